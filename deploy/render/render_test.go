// SPDX-License-Identifier: Apache-2.0

package render

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// archived is a tar archive of files.
func archived(t testing.TB, contents map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(contents[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(contents[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// chartArchive is a packaged chart named web; files win over those that it has by default.
func chartArchive(t testing.TB, contents map[string]string) []byte {
	all := map[string]string{"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: 4.5.6\n"}
	for name, text := range contents {
		all["web/"+name] = text
	}
	return gzipped(t, archived(t, all))
}

func renderBytes(t testing.TB, content []byte, o Options) (*Result, error) {
	t.Helper()
	if o.ReleaseName == "" {
		o.ReleaseName, o.Namespace, o.Install = "rel", "ns", true
	}
	return Render(t.Context(), Source{Name: "resource content", Content: bytes.NewReader(content)}, o)
}

// want checks the kind of an error, and that it says all of this.
func want(t testing.TB, err, kind error, says ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("expected %q, found %v", kind, err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("expected %q in the error, found: %v", s, err)
		}
	}
}

func names(objects []*unstructured.Unstructured) string {
	var out []string
	for _, u := range objects {
		out = append(out, u.GetKind()+"/"+u.GetName())
	}
	return strings.Join(out, " ")
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"

func cm(name string) string { return strings.ReplaceAll(configMap, "NAME", name) }

func TestAutoFindsTheFormat(t *testing.T) {
	t.Parallel()
	chart := map[string]string{"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "web/templates/a.yaml": cm("chart")}
	flat := map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "templates/a.yaml": cm("chart")}
	kust := map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": cm("kust")}
	for name, test := range map[string]struct {
		content []byte
		path    string
		format  v1alpha1.Format
		objects string
	}{
		"plain":         {[]byte(cm("a")), "", v1alpha1.FormatManifests, "ConfigMap/a"},
		"gzip":          {gzipped(t, []byte(cm("a"))), "", v1alpha1.FormatManifests, "ConfigMap/a"},
		"tar":           {archived(t, map[string]string{"b.yml": cm("b"), "a.yaml": cm("a"), "c/d.json": `{"apiVersion":"v1","kind":"X","metadata":{"name":"d"}}`, "README.md": "{"}), "", v1alpha1.FormatManifests, "ConfigMap/a ConfigMap/b X/d"},
		"tgz path":      {gzipped(t, archived(t, map[string]string{"x/b.yml": cm("b"), "a.yaml": cm("a")})), "x", v1alpha1.FormatManifests, "ConfigMap/b"},
		"file":          {archived(t, map[string]string{"x/b.txt": cm("b"), "a.yaml": cm("a")}), "x/b.txt", v1alpha1.FormatManifests, "ConfigMap/b"},
		"chart":         {gzipped(t, archived(t, chart)), "", v1alpha1.FormatHelm, "ConfigMap/chart"},
		"chart at top":  {archived(t, flat), "", v1alpha1.FormatHelm, "ConfigMap/chart"},
		"chart at path": {archived(t, chart), "web", v1alpha1.FormatHelm, "ConfigMap/chart"},
		"kustomization": {archived(t, kust), "", v1alpha1.FormatKustomize, "ConfigMap/kust"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := renderBytes(t, test.content, Options{Path: test.path})
			if err != nil {
				t.Fatal(err)
			}
			if r.Format != test.format || names(r.Objects) != test.objects {
				t.Errorf("expected %s %s, found %s %s", test.format, test.objects, r.Format, names(r.Objects))
			}
		})
	}
}

func TestFormatThatDoesNotFit(t *testing.T) {
	t.Parallel()
	_, err := renderBytes(t, []byte(cm("a")), Options{Format: v1alpha1.FormatHelm})
	want(t, err, ocm.ErrInvalid, "Chart.yaml")
	_, err = renderBytes(t, []byte(cm("a")), Options{Format: v1alpha1.FormatKustomize})
	want(t, err, ocm.ErrInvalid, "kustomization.yaml")
	_, err = renderBytes(t, []byte(cm("a")), Options{Format: "Other"})
	want(t, err, ocm.ErrInvalid, "spec.format")
	_, err = Render(context.Background(), Source{ResourceType: "helmChart", Content: strings.NewReader(cm("a"))}, Options{})
	want(t, err, ocm.ErrInvalid, "Chart.yaml")
	_, err = renderBytes(t, []byte(cm("a")), Options{Path: "../x"})
	want(t, err, ocm.ErrInvalid, "spec.path")
	_, err = renderBytes(t, archived(t, map[string]string{"x/a.yaml": cm("a")}), Options{Path: "y"})
	want(t, err, ocm.ErrNotFound, "spec.path", `"x/"`)
}
