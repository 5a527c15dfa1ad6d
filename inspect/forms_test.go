// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/inspect"
	"ocm/internal/fixture"
	"ocm/oci/memory"
)

const (
	chartConfig  = "application/vnd.cncf.helm.config.v1+json"
	chartContent = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	chartProof   = "application/vnd.cncf.helm.chart.provenance.v1.prov"
)

// fetch downloads the resource of a version as an option says, into a folder of its own, and lists what is there
// afterwards.
func fetch(t testing.TB, v ocm.Version, name string, o inspect.DownloadOptions) (dir string, written []string, err error) {
	t.Helper()
	dir = t.TempDir()
	written, err = inspect.Download(t.Context(), builtin.Kit(), &ocm.Env{}, v, &v.Descriptor().Component.Resources[0], filepath.Join(dir, name), o)
	for i, path := range written {
		rel := fixture.Must[string](t)(filepath.Rel(dir, path))
		written[i] = rel
	}
	if found := left(t, dir); err != nil && len(found)+len(written) > 0 {
		t.Errorf("left after %v: %q, said to be written: %q", err, found, written)
	}
	return dir, written, err
}

// tgz is the archive of a chart.
func tgz(t testing.TB) string {
	t.Helper()
	const text = "apiVersion: v2\nname: app\nversion: 1.2.3\n"
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "app/Chart.yaml", Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	fixture.Must[int](t)(w.Write([]byte(text)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return zipped(t, b.String())
}

func put(t testing.TB, h fixture.Heap, mediaType string, v any) ociv1.Descriptor {
	t.Helper()
	return h.Put(mediaType, fixture.Must[[]byte](t)(json.Marshal(v)))
}

// runnable puts an image that tools of others accept: its configuration names what the layer is.
func runnable(t testing.TB, h fixture.Heap, os, architecture string) ociv1.Descriptor {
	t.Helper()
	layer := archive(t, file("bin/"+architecture))
	p := ociv1.Platform{OS: os, Architecture: architecture}
	m := put(t, h, ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		Config: put(t, h, ociv1.MediaTypeImageConfig, ociv1.Image{Platform: p, RootFS: ociv1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(layer), digest.FromString(layer)}}}),
		Layers: []ociv1.Descriptor{h.Put(ociv1.MediaTypeImageLayerGzip, []byte(zipped(t, layer))), h.Put(ociv1.MediaTypeImageLayerGzip, []byte(zipped(t, layer)))},
	})
	m.Platform = &p
	return m
}

func indexOf(t testing.TB, h fixture.Heap, entries ...ociv1.Descriptor) ocm.Content {
	t.Helper()
	return ocm.Content{Root: put(t, h, ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: entries,
	}), From: h}
}

// chartArtifact is a chart as registries hold it.
func chartArtifact(t testing.TB, name, proof string) ocm.Content {
	t.Helper()
	h := fixture.Heap{}
	m := ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		Config: h.Put(chartConfig, fmt.Appendf(nil, `{"name":%q,"version":"1.2.3","apiVersion":"v2"}`, name)),
		Layers: []ociv1.Descriptor{h.Put(chartContent, []byte(tgz(t)))},
	}
	if proof != "" {
		m.Layers = append(m.Layers, h.Put(chartProof, []byte(proof)))
	}
	return ocm.Content{Root: put(t, h, ociv1.MediaTypeImageManifest, m), From: h}
}

func TestDownloadForDocker(t *testing.T) {
	t.Parallel()
	h := fixture.Heap{}
	attestation := runnable(t, h, "unknown", "unknown")
	v := version(t, memory.New(), indexOf(t, h, runnable(t, h, "linux", "amd64"), runnable(t, h, "linux", "arm64"), attestation), func(r *ocm.Resource) { r.Name = "App" })
	o := inspect.DownloadOptions{Form: inspect.FormDocker, Platform: &blob.Platform{OS: "linux", Architecture: "arm64"}}
	dir, _, err := fetch(t, v, "app.tar", o)
	if err != nil {
		t.Fatal(err)
	}
	raw := fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(dir, "app.tar")))
	files := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil || files[hdr.Name] != "" {
			t.Fatal(hdr, err)
		}
		files[hdr.Name] = string(fixture.Must[[]byte](t)(io.ReadAll(r)))
	}
	var entries []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal([]byte(files["manifest.json"]), &entries); err != nil || len(entries) != 1 {
		t.Fatal(err, files["manifest.json"])
	}
	e := entries[0]
	if !slices.Equal(e.RepoTags, []string{"app:1.0.0"}) || !strings.Contains(files[e.Config], "arm64") || len(e.Layers) != 2 || len(files) != 3 || files[e.Layers[0]] == "" {
		t.Errorf("found %+v and %q", e, slices.Collect(maps.Keys(files)))
	}
	again, _, err := fetch(t, v, "app.tar", o)
	if second := fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(again, "app.tar"))); err != nil || !bytes.Equal(raw, second) {
		t.Error("the same image gave other bytes", err)
	}
	if skopeo, err := exec.LookPath("skopeo"); err == nil {
		out, err := exec.Command(skopeo, "--insecure-policy", "copy", "docker-archive:"+filepath.Join(dir, "app.tar"), "oci:"+filepath.Join(dir, "copied")+":app").CombinedOutput()
		if err != nil {
			t.Errorf("skopeo: %v\n%s", err, out)
		}
		out, err = exec.Command(skopeo, "inspect", "--config", "oci:"+filepath.Join(dir, "copied")+":app").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "arm64") {
			t.Errorf("skopeo: %v\n%s", err, out)
		}
	}
}

func TestDownloadForDockerRefuses(t *testing.T) {
	t.Parallel()
	h := fixture.Heap{}
	amd := runnable(t, h, "linux", "amd64")
	twice := amd
	twice.Platform = &ociv1.Platform{OS: "linux", Architecture: "amd64", Variant: "v2"}
	other := runnable(t, h, "linux", "s390x")
	other.Platform = twice.Platform
	for name, c := range map[string]struct {
		content ocm.Content
		err     error
		texts   []string
	}{
		"platform":  {indexOf(t, h, other, runnable(t, h, "windows", "arm64")), ocm.ErrNotFound, []string{"linux/arm64", "windows/arm64", "resource res"}},
		"ambiguous": {indexOf(t, h, amd, other), ocm.ErrInvalid, []string{"2 images"}},
		"chart":     {chartArtifact(t, "app", ""), ocm.ErrInvalid, []string{"no image", chartConfig}},
		"blob":      {blob.Bytes("text/plain", []byte("x")), ocm.ErrInvalid, []string{"OCI artifact", "text/plain"}},
	} {
		want := &blob.Platform{OS: "linux", Architecture: "amd64"}
		if name == "platform" {
			want.Architecture = "arm64"
		}
		_, _, err := fetch(t, version(t, memory.New(), c.content, nil), "x.tar", inspect.DownloadOptions{Form: inspect.FormDocker, Platform: want})
		fixture.WantErr(t, err, c.err, c.texts...)
	}
}

// A chart is what helm installs, in whatever form it was stored.
func TestDownloadChart(t *testing.T) {
	t.Parallel()
	own := func(name string) string { return name }
	helmChart := func(r *ocm.Resource) { r.Name, r.Version, r.Type = "app", "1.2.3", "helmChart" }
	for name, c := range map[string]struct {
		content ocm.Content
		edit    func(*ocm.Resource)
		options inspect.DownloadOptions
		want    []string
	}{
		"artifact":            {chartArtifact(t, "app", ""), nil, inspect.DownloadOptions{Own: own}, []string{"app-1.2.3.tgz"}},
		"named by the user":   {chartArtifact(t, "app", "proof"), nil, inspect.DownloadOptions{Form: inspect.FormChart}, []string{"x", "x.prov"}},
		"provenance":          {chartArtifact(t, "app", "proof"), nil, inspect.DownloadOptions{Own: own}, []string{"app-1.2.3.tgz", "app-1.2.3.tgz.prov"}},
		"blob":                {blob.Bytes(chartContent, []byte(tgz(t))), helmChart, inspect.DownloadOptions{Own: own}, []string{"app-1.2.3.tgz"}},
		"resource is a chart": {blob.Bytes("application/x-tgz", []byte(tgz(t))), helmChart, inspect.DownloadOptions{}, []string{"x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, written, err := fetch(t, version(t, memory.New(), c.content, c.edit), "x", c.options)
			if err != nil || !slices.Equal(written, c.want) || !slices.Equal(left(t, dir), c.want) {
				t.Fatalf("expected %q, found %q, %q, %v", c.want, written, left(t, dir), err)
			}
			if got := string(fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(dir, written[0])))); got != tgz(t) {
				t.Errorf("found %q", got)
			}
			if len(written) > 1 {
				if got := string(fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(dir, written[1])))); got != "proof" {
					t.Errorf("found %q", got)
				}
			}
		})
	}
	for name, c := range map[string]ocm.Content{"text": blob.Bytes("text/plain", []byte("x")), "image": fixture.Image("x"), "index": fixture.Index("x")} {
		_, _, err := fetch(t, version(t, memory.New(), c, nil), "x", inspect.DownloadOptions{Form: inspect.FormChart})
		if !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: found %v", name, err)
		}
	}
}

// The name that a chart gives itself leads nowhere.
func TestCVE_2026_35206_NameOfChartIsNoPath(t *testing.T) {
	t.Parallel()
	v := version(t, memory.New(), chartArtifact(t, "../../app", ""), nil)
	dir, written, err := fetch(t, v, "x", inspect.DownloadOptions{Own: func(name string) string { return name }})
	if err == nil && (!slices.Equal(written, left(t, dir)) || len(written) != 1) || err != nil && !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("found %q, %v", written, err)
	}
}

// A chart of which one byte is wrong is not written, nor is its provenance.
func TestDownloadOfWrongChartLeavesNothing(t *testing.T) {
	t.Parallel()
	v := version(t, memory.New(), chartArtifact(t, "app", "proof"), func(r *ocm.Resource) { r.Digest.Value = strings.Repeat("0", 64) })
	_, _, err := fetch(t, v, "x", inspect.DownloadOptions{})
	fixture.WantErr(t, err, ocm.ErrDigest)
}

func TestDownloadLayout(t *testing.T) {
	t.Parallel()
	v := version(t, memory.New(), chartArtifact(t, "app", ""), nil) // as a layout although it is a chart
	dir, _, err := fetch(t, v, "x", inspect.DownloadOptions{Form: inspect.FormLayout})
	if _, statErr := os.Stat(filepath.Join(dir, "x", "oci-layout")); err != nil || statErr != nil {
		t.Error(err, statErr)
	}
	dir, _, err = fetch(t, v, "x.tar", inspect.DownloadOptions{Form: inspect.FormLayout})
	if err != nil {
		t.Fatal(err)
	}
	c := fixture.Must[ocm.Content](t)(blob.File(filepath.Join(dir, "x.tar"), blob.MediaTypeLayout))
	fixture.Must[ociv1.Descriptor](t)(blob.CheckLayout(t.Context(), c))
	_, _, err = fetch(t, version(t, memory.New(), blob.Bytes("text/plain", []byte("x")), nil), "x", inspect.DownloadOptions{Form: inspect.FormLayout})
	fixture.WantErr(t, err, ocm.ErrInvalid, "oci-layout", "text/plain")
	_, _, err = fetch(t, v, "x", inspect.DownloadOptions{Form: "zip"})
	fixture.WantErr(t, err, ocm.ErrInvalid, "zip", "docker")
}
