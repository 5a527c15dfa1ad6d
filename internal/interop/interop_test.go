// SPDX-License-Identifier: Apache-2.0

// Package interop holds tests with tools of other people: what is embedded in a component must be
// an ordinary artifact for them. The tools are looked up on PATH and in bin/; "make peers" installs
// those that Go can build. Where CI is set, all of them must be there.
package interop

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/builtin"
	"ocm/construct"
	"ocm/graph"
	"ocm/oci"
)

// tool finds a program of somebody else.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path, err := filepath.Abs(filepath.Join("..", "..", "bin", name)); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: make peers installs it, or the distribution", name)
	}
	t.Skipf("%s is not installed (make peers)", name)
	return ""
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// layout is an OCI layout archive with one artifact.
type layout struct {
	blobs map[digest.Digest][]byte
	root  ociv1.Descriptor
}

func (l *layout) put(mediaType string, b []byte) ociv1.Descriptor {
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	l.blobs[d.Digest] = b
	return d
}

func newLayout(t *testing.T, configType string, config []byte, layerType string, layer []byte) *layout {
	t.Helper()
	l := &layout{blobs: map[digest.Digest][]byte{}}
	m, err := json.Marshal(ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		Config: l.put(configType, config), Layers: []ociv1.Descriptor{l.put(layerType, layer)},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.root = l.put(ociv1.MediaTypeImageManifest, m)
	return l
}

func (l *layout) write(t *testing.T, path string) {
	t.Helper()
	index, err := json.Marshal(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ociv1.Descriptor{l.root}})
	if err != nil {
		t.Fatal(err)
	}
	entries := []string{"oci-layout", "index.json"}
	contents := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for d, b := range l.blobs {
		name := "blobs/sha256/" + d.Encoded()
		entries, contents[name] = append(entries, name), b
	}
	if err := os.WriteFile(path, tarOf(t, entries, contents), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tarOf(t *testing.T, names []string, contents map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(contents[n])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(contents[n]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const chartYAML = "apiVersion: v2\nname: hello\nversion: 0.1.0\n"

// packed is a component in a registry with an image and a chart, and where they are.
type packed struct {
	host         string
	image, chart string // host/repository@digest
	layer        []byte
	archive      []byte // chart.tgz
}

func pack(t *testing.T) *packed {
	t.Helper()
	s := httptest.NewServer(olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}}))
	t.Cleanup(s.Close)
	p := &packed{host: strings.TrimPrefix(s.URL, "http://")}

	dir := t.TempDir()
	files := tarOf(t, []string{"hello"}, map[string][]byte{"hello": []byte("hello from the image\n")})
	p.layer = gzipped(t, files)
	imageConfig := fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromBytes(files))
	image := newLayout(t, ociv1.MediaTypeImageConfig, []byte(imageConfig), ociv1.MediaTypeImageLayerGzip, p.layer)
	image.write(t, filepath.Join(dir, "image.tar"))
	p.archive = gzipped(t, tarOf(t, []string{"hello/Chart.yaml"}, map[string][]byte{"hello/Chart.yaml": []byte(chartYAML)}))
	chart := newLayout(t, "application/vnd.cncf.helm.config.v1+json", []byte(`{"apiVersion":"v2","name":"hello","version":"0.1.0"}`),
		"application/vnd.cncf.helm.chart.content.v1.tar+gzip", p.archive)
	chart.write(t, filepath.Join(dir, "chart.tar"))

	file, err := construct.Parse([]byte(`
name: acme.org/interop
version: 1.0.0
provider: {name: acme.org}
resources:
- {name: image, type: ociImage, input: {type: file, path: image.tar, mediaType: application/vnd.ocm.software.oci.layout.v1+tar}}
- {name: chart, type: helmChart, input: {type: file, path: chart.tar, mediaType: application/vnd.ocm.software.oci.layout.v1+tar}}
`), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	env := &ocm.Env{Dir: dir, Job: ocm.NewJob(4)}
	spec, err := ocm.RepositorySpec(ocm.OCIRepositoryType, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := builtin.OpenRepository(t.Context(), builtin.Kit(), env, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	if _, err := construct.Run(t.Context(), builtin.Kit(), env, repo, file, construct.Options{}); err != nil {
		t.Fatal(err)
	}
	at := p.host + "/" + oci.RepoName("acme.org/interop") + "@"
	p.image, p.chart = at+image.root.Digest.String(), at+chart.root.Digest.String()
	return p
}

func TestSkopeoCopiesAnEmbeddedImage(t *testing.T) {
	skopeo := tool(t, "skopeo")
	p := pack(t)
	dir := t.TempDir()
	run(t, skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+p.image, "dir:"+dir)
	got, err := os.ReadFile(filepath.Join(dir, digest.FromBytes(p.layer).Encoded()))
	if err != nil || !bytes.Equal(got, p.layer) {
		t.Errorf("layer: %v", err)
	}
}

func TestCranePullsAnEmbeddedImage(t *testing.T) {
	crane := tool(t, "crane")
	p := pack(t)
	out := filepath.Join(t.TempDir(), "rootfs.tar")
	run(t, crane, "export", "--insecure", p.image, out)
	got, err := os.ReadFile(out)
	if err != nil || !bytes.Contains(got, []byte("hello from the image")) {
		t.Errorf("root file system: %v", err)
	}
	run(t, crane, "validate", "--insecure", "--remote", p.image)
}

func TestHelmPullsAnEmbeddedChart(t *testing.T) {
	helm := tool(t, "helm")
	p := pack(t)
	dir := t.TempDir()
	run(t, helm, "pull", "--plain-http", "oci://"+p.chart, "--destination", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	got, err := os.ReadFile(files[0])
	if err != nil || !bytes.Equal(got, p.archive) {
		t.Errorf("the chart is not the one that was packed: %v", err)
	}
}

// An image that skopeo wrote into a registry is taken in by reference, with the digest of its manifest.
func TestImageThatSkopeoPushedIsPackedByReference(t *testing.T) {
	skopeo := tool(t, "skopeo")
	p := pack(t)
	ref := p.host + "/other/image:1"
	run(t, skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+p.image, "docker://"+ref)
	access, err := ocm.NewSpec(map[string]string{"type": "ociArtifact/v1", "imageReference": "http://" + ref})
	if err != nil {
		t.Fatal(err)
	}
	kit := builtin.Kit()
	opener, err := kit.Access.For(access.Type)
	if err != nil {
		t.Fatal(err)
	}
	c, err := opener.Open(context.Background(), &ocm.Env{}, access)
	if err != nil {
		t.Fatal(err)
	}
	d, err := graph.NewDigest(t.Context(), c, ocm.SHA256)
	if err != nil || d.NormalisationAlgorithm != ocm.OCIArtifactDigest || !strings.HasSuffix(p.image, d.Value) {
		t.Errorf("%s: %s, %v", p.image, &d, err)
	}
}
