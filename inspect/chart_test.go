// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/access"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/builtin"
	"ocm/inspect"
	"ocm/internal/fixture"
	"ocm/oci/memory"
)

const chartYAML = "apiVersion: v2\nname: app\nversion: 1.0.0+b.1\n"

func bytesOf(t *testing.T, c ocm.Content) []byte {
	t.Helper()
	rc, err := blob.OpenContent(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func provenanceText(archive []byte) []byte {
	return []byte("-----BEGIN PGP SIGNED MESSAGE-----\n\nfiles:\n  app.tgz: " + digest.FromBytes(archive).String() + "\n-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n")
}

// A chart is found in all forms in which components have it.
func TestChart(t *testing.T) {
	t.Parallel()
	tgz := fixture.Tgz(map[string]string{"app/Chart.yaml": chartYAML, "app/values.yaml": "a: 1\n"})
	prov := provenanceText(tgz)
	artifact, _, err := chart.Artifact(t.Context(), blob.Bytes(chart.MediaTypeContent, tgz), prov)
	if err != nil {
		t.Fatal(err)
	}
	bare, _, err := chart.Artifact(t.Context(), blob.Bytes(chart.MediaTypeContent, tgz), nil)
	if err != nil {
		t.Fatal(err)
	}
	var layout bytes.Buffer
	if err := blob.WriteLayout(t.Context(), &layout, artifact, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content ocm.Content
		prov    bool
	}{
		"blob": {blob.Bytes(chart.MediaTypeContent, tgz), false}, "blob of another type": {blob.Bytes("application/x-tgz", tgz), false},
		"artifact": {artifact, true}, "artifact without provenance": {bare, false}, "archive of an artifact": {blob.Bytes(blob.MediaTypeLayout, layout.Bytes()), true},
	} {
		archive, found, file, err := inspect.Chart(t.Context(), c.content)
		if err != nil || file != "app-1.0.0+b.1.tgz" || !bytes.Equal(bytesOf(t, archive), tgz) || (found != nil) != c.prov || found != nil && !bytes.Equal(bytesOf(t, *found), prov) {
			t.Errorf("%s: %q, provenance %v, %v", name, file, found, err)
		}
	}
	_, _, _, err = inspect.Chart(t.Context(), fixture.Image("x"))
	fixture.WantErr(t, err, ocm.ErrInvalid, "is no chart")
}

// The provenance file beside a chart in a repository comes along when the chart is downloaded from there.
func TestChartWithProvenanceFromARepository(t *testing.T) {
	t.Parallel()
	tgz := fixture.Tgz(map[string]string{"app/Chart.yaml": chartYAML})
	var status int
	dir := t.TempDir()
	for name, text := range map[string]string{"app.tgz": string(tgz), "app.tgz.prov": string(provenanceText(tgz)), "index.yaml": "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: [app.tgz]}]}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".prov") && status != 0 {
			w.WriteHeader(status)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	for _, c := range []struct {
		status int
		there  bool
		fails  bool
	}{{0, true, false}, {404, false, false}, {403, false, false}, {400, false, true}} {
		status = c.status
		s, err := ocm.NewSpec(map[string]string{"type": "helm", "helmRepository": srv.URL, "helmChart": "app:1.0.0"})
		if err != nil {
			t.Fatal(err)
		}
		content, err := access.Helm.Open(t.Context(), &ocm.Env{}, s)
		if err != nil {
			t.Fatal(err)
		}
		_, prov, name, err := inspect.Chart(t.Context(), content)
		if (err != nil) != c.fails || (prov != nil) != c.there || err == nil && name != "app-1.0.0+b.1.tgz" {
			t.Errorf("status %d: %q %v %v", c.status, name, prov, err)
		}
	}
}

// Names and versions in a chart, or in the config of an artifact, become the name of a file here.
func TestCVE_2024_25620_CVE_2026_35204_CVE_2026_35206_NameOfTheFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, version string }{{"../app", "1.0.0"}, {"..", "1.0.0"}, {"app", "../1.0.0"}, {"/app", "1.0.0"}, {"a/b", "1.0.0"}, {`a\b`, "1.0.0"}, {"", "1.0.0"}, {"app", ""}} {
		h := fixture.Heap{}
		tgz := fixture.Tgz(map[string]string{"app/Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: %q\nversion: %q\n", c.name, c.version)})
		config := h.Put(chart.MediaTypeConfig, fmt.Appendf(nil, `{"name":%q,"version":%q,"apiVersion":"v2"}`, c.name, c.version))
		layer := h.Put(chart.MediaTypeContent, tgz)
		const manifestType = "application/vnd.oci.image.manifest.v1+json"
		root := h.Put(manifestType, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
			manifestType, config.MediaType, config.Digest, config.Size, layer.MediaType, layer.Digest, layer.Size))
		for _, content := range []ocm.Content{{Root: root, From: h}, {Root: layer, From: h}} {
			_, _, name, err := inspect.Chart(t.Context(), content)
			if err == nil {
				t.Fatalf("%+v became the file %q", c, name)
			}
			fixture.WantErr(t, err, ocm.ErrInvalid)
		}
	}
}

// No digest of the component covers the provenance file of a repository: a wrong one does not come to lie beside the
// chart, nor does it take the place of another resource.
func TestProvenanceBesideADownloadedChart(t *testing.T) {
	t.Parallel()
	archive := fixture.Tgz(map[string]string{"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"})
	prov := string(provenanceText(archive))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch filepath.Base(r.URL.Path) {
		case "index.yaml":
			fmt.Fprint(w, "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: [app.tgz]}]}\n")
		case "app.tgz":
			w.Write(archive) //nolint:errcheck // the client will tell
		default:
			fmt.Fprint(w, prov)
		}
	}))
	t.Cleanup(srv.Close)
	s := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]string{"type": "helm", "helmRepository": srv.URL, "helmChart": "app:1.0.0"}))
	v := version(t, memory.New(), blob.Bytes("text/plain", []byte("x")), func(r *ocm.Resource) {
		r.Type, r.Access = "helmChart", s
		r.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: digest.FromBytes(archive).Encoded()}
	})
	used := map[string]bool{"app-1.0.0.tgz.prov": true}
	own := func(name string) string { return inspect.Unused(used, name) }
	dir, written, err := fetch(t, v, "chart", inspect.DownloadOptions{Own: own})
	if err != nil || !slices.Equal(written, []string{"app-1.0.0.tgz", "app-1.0.0.tgz-2.prov"}) || !slices.Equal(left(t, dir), written) {
		t.Errorf("found %q, %v", written, err)
	}
	helm := inspect.DownloadOptions{Own: func(name string) string { return name }, Transformer: &ocm.Spec{Type: "helm"}}
	if dir, written, err = fetch(t, v, "chart", helm); err != nil || !slices.Equal(written, []string{"app-1.0.0.tgz", "app-1.0.0.tgz.prov"}) || !slices.Equal(left(t, dir), written) {
		t.Errorf("transformed: found %q, %v", written, err)
	}
	prov = string(provenanceText([]byte("another")))
	dir, _, err = fetch(t, v, "chart.tgz", helm)
	if fixture.WantErr(t, err, ocm.ErrDigest, "provenance file"); len(left(t, dir)) != 0 {
		t.Errorf("left: %q", left(t, dir))
	}
	_, _, err = fetch(t, v, "chart.tgz", inspect.DownloadOptions{})
	fixture.WantErr(t, err, ocm.ErrDigest, "provenance file")
	prov = "<html>Welcome</html>"
	_, _, err = fetch(t, v, "chart.tgz", inspect.DownloadOptions{})
	fixture.WantErr(t, err, ocm.ErrInvalid, "provenance file", `the form "blob"`)
	if _, _, err = fetch(t, v, "chart.tgz", inspect.DownloadOptions{Form: inspect.FormBlob}); err != nil {
		t.Error(err)
	}
}

// A chart that cannot get its name leaves no provenance file behind.
func TestProvenanceWithoutItsChartIsNotLeft(t *testing.T) {
	t.Parallel()
	v := version(t, memory.New(), chartArtifact(t, "app", "proof"), func(r *ocm.Resource) { r.Type = "helmChart" })
	dir := t.TempDir()
	own := func(name string) string {
		os.MkdirAll(filepath.Join(dir, name), 0o755) //nolint:errcheck // it fails where the test is over
		return name
	}
	_, err := inspect.Download(t.Context(), builtin.Kit(), &ocm.Env{}, v, &v.Descriptor().Component.Resources[0], filepath.Join(dir, "chart"), inspect.DownloadOptions{Own: func(name string) string {
		if strings.HasSuffix(name, ".prov") {
			return name
		}
		return own(name)
	}})
	fixture.WantErr(t, err, ocm.ErrExists)
	if found := left(t, dir); !slices.Equal(found, []string{"app-1.2.3.tgz"}) {
		t.Errorf("left: %q", found)
	}
}

// The transformer helm makes the same of an artifact as the form of charts does, and nothing of what does not have its digest.
func TestTransformerHelm(t *testing.T) {
	t.Parallel()
	archive := fixture.Tgz(map[string]string{"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"})
	artifact, _, err := chart.Artifact(t.Context(), blob.Bytes(chart.MediaTypeContent, archive), provenanceText(archive))
	if err != nil {
		t.Fatal(err)
	}
	own := func(name string) string { return name }
	for _, o := range []inspect.DownloadOptions{{Own: own, Transformer: &ocm.Spec{Type: "helm"}}, {Own: own}, {Own: own, Form: inspect.FormChart}} {
		dir, written, err := fetch(t, version(t, memory.New(), artifact, nil), "x", o)
		if err != nil || !slices.Equal(written, []string{"app-1.0.0.tgz", "app-1.0.0.tgz.prov"}) || !slices.Equal(left(t, dir), written) {
			t.Fatalf("%+v: found %q, %v", o, written, err)
		}
		got := fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(dir, written[0])))
		prov := fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(dir, written[1])))
		if !bytes.Equal(got, archive) || !bytes.Equal(prov, provenanceText(archive)) {
			t.Errorf("%+v: found %d and %d bytes", o, len(got), len(prov))
		}
	}
	dir, _, err := fetch(t, version(t, memory.New(), artifact, func(r *ocm.Resource) {
		r.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: digest.FromString("x").Encoded()}
	}), "x", inspect.DownloadOptions{Transformer: &ocm.Spec{Type: "helm"}})
	if fixture.WantErr(t, err, ocm.ErrDigest); len(left(t, dir)) != 0 {
		t.Errorf("left: %q", left(t, dir))
	}
}
