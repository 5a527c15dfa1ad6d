// SPDX-License-Identifier: Apache-2.0

package render

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ocm"
	"ocm/deploy/v1alpha1"
)

func TestManifestsThatAreRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, objects string }{
		"several":              {cm("a") + "---\n" + cm("b") + "--- # behind it\n" + cm("c") + "---\n", "ConfigMap/a ConfigMap/b ConfigMap/c"},
		"Windows":              {strings.ReplaceAll(cm("a")+"---\n"+cm("b"), "\n", "\r\n"), "ConfigMap/a ConfigMap/b"},
		"a directive":          {"%YAML 1.2\n---\n" + cm("a"), "ConfigMap/a"},
		"an end":               {cm("a") + "...\n" + cm("b"), "ConfigMap/a ConfigMap/b"},
		"a mark with content":  {"--- {apiVersion: v1, kind: X, metadata: {name: a}}\n", "X/a"},
		"a text with marks":    {"apiVersion: v1\nkind: X\nmetadata: {name: a}\ndata: |\n  ---\n  b\n", "X/a"},
		"empty documents":      {"---\n---\n# nothing\n---\nnull\n---\n" + cm("a"), "ConfigMap/a"},
		"a byte order mark":    {"\xef\xbb\xbf" + cm("a"), "ConfigMap/a"},
		"JSON":                 {`{"apiVersion":"v1","kind":"X","metadata":{"name":"a"}}`, "X/a"},
		"JSON after JSON":      {`{"apiVersion":"v1","kind":"X","metadata":{"name":"a"}}{"apiVersion":"v1","kind":"X","metadata":{"name":"b"}}`, "X/a X/b"},
		"YAML that looks like": {`{apiVersion: v1, kind: X, metadata: {name: a}}`, "X/a"},
		"a list":               {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: X, metadata: {name: a}}\n- {apiVersion: v1, kind: ZList, items: [{apiVersion: v1, kind: Z, metadata: {name: b}}]}\n", "X/a Z/b"},
		"one name, two kinds":  {cm("a") + "---\n" + `{apiVersion: v1, kind: X, metadata: {name: a}}`, "ConfigMap/a X/a"},
		"two namespaces":       {`{apiVersion: v1, kind: X, metadata: {name: a, namespace: one}}` + "\n---\n" + `{apiVersion: v1, kind: X, metadata: {name: a, namespace: two}}`, "X/a X/a"},
		"an empty annotation":  {`{apiVersion: v1, kind: X, metadata: {name: a, labels: null, annotations: {b: null}}}`, "X/a"},
		"an anchor":            {"apiVersion: v1\nkind: X\nmetadata: {name: a, labels: &l {b: c}}\nspec: {selector: *l}\n", "X/a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := renderBytes(t, []byte(test.text), Options{Format: v1alpha1.FormatManifests})
			if err != nil {
				t.Fatal(err)
			}
			if found := names(r.Objects); found != test.objects {
				t.Errorf("expected %s, found %s", test.objects, found)
			}
		})
	}
}

func TestWholeNumbersStayWhole(t *testing.T) {
	t.Parallel()
	r, err := renderBytes(t, []byte("apiVersion: v1\nkind: X\nmetadata: {name: a}\nspec: {count: 9007199254740993}\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Objects[0].Object["spec"].(map[string]any)["count"]; n != int64(9007199254740993) {
		t.Errorf("found %T %v", n, n)
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	t.Parallel()
	laughs := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ","))
	}
	for name, test := range map[string]struct {
		text string
		kind error
		says string
	}{
		"nothing":              {"", ocm.ErrInvalid, "no objects found in manifest"},
		"comments":             {"# nothing\n---\n", ocm.ErrInvalid, "no objects found in manifest"},
		"no YAML":              {"a: [", ocm.ErrInvalid, "document 1"},
		"the second document":  {cm("a") + "---\n- b\n", ocm.ErrInvalid, "document 2: expected an object, found a list"},
		"no kind":              {"apiVersion: v1\nmetadata: {name: a}\n", ocm.ErrInvalid, "kind"},
		"no version":           {"kind: X\nmetadata: {name: a}\n", ocm.ErrInvalid, "apiVersion"},
		"odd version":          {"apiVersion: a/b/c\nkind: X\nmetadata: {name: a}\n", ocm.ErrInvalid, "apiVersion"},
		"no name":              {"apiVersion: v1\nkind: X\nmetadata: {}\n", ocm.ErrInvalid, "metadata.name"},
		"a number as name":     {"apiVersion: v1\nkind: X\nmetadata: {name: 1}\n", ocm.ErrInvalid, "metadata.name: expected a text, found a number"},
		"no metadata":          {"apiVersion: v1\nkind: X\n", ocm.ErrInvalid, "metadata"},
		"generated name":       {"apiVersion: v1\nkind: X\nmetadata: {generateName: a-}\n", ocm.ErrInvalid, "generateName"},
		"namespace":            {"apiVersion: v1\nkind: X\nmetadata: {name: a, namespace: [b]}\n", ocm.ErrInvalid, "metadata.namespace"},
		"a label":              {"apiVersion: v1\nkind: X\nmetadata: {name: a, labels: {b: true}}\n", ocm.ErrInvalid, `metadata.labels["b"]: expected a text, found a boolean`},
		"twice":                {cm("a") + "---\n" + cm("a"), ocm.ErrInvalid, `document 2: ConfigMap "a" is there a second time`},
		"twice, other version": {`{apiVersion: x/v1, kind: X, metadata: {name: a}}` + "\n---\n" + `{apiVersion: x/v2, kind: X, metadata: {name: a}}`, ocm.ErrInvalid, "second time"},
		"in a list":            {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: X}]\n", ocm.ErrInvalid, "items[0]"},
		"a hidden document":    {cm("a") + "x: y\r--- \rapiVersion: v1\n", ocm.ErrInvalid, "unusual end"},
		"a billion laughs":     {laughs, nil, "document 1"},
		"aliases of a text":    {"a: &a " + strings.Repeat("x", 100_000) + "\nb: [" + strings.Repeat("*a,", 1000) + "]\n", ocm.ErrLimit, "aliases"},
		"depth":                {"apiVersion: v1\nkind: X\nmetadata: {name: a}\nspec: " + strings.Repeat("[", 200) + strings.Repeat("]", 200), ocm.ErrLimit, "deep"},
		"great depth":          {strings.Repeat("[", 1_000_000), nil, ""},
		"great depth in JSON":  {`{"a":` + strings.Repeat("[", 1_000_000), nil, ""},
		"lists of lists":       {strings.Repeat("{apiVersion: v1, kind: List, items: [", 20) + strings.Repeat("]}", 20), ocm.ErrLimit, "lists"},
		"a large document":     {"apiVersion: v1\nkind: X\nmetadata: {name: a}\nx: " + strings.Repeat("x", MaxDocument), ocm.ErrLimit, "document 1"},
		"zstd":                 {"\x28\xb5\x2f\xfd" + strings.Repeat("x", 1000), ocm.ErrInvalid, "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderBytes(t, []byte(test.text), Options{Format: v1alpha1.FormatManifests})
			if test.kind == nil {
				if test.kind = ocm.ErrInvalid; errors.Is(err, ocm.ErrLimit) {
					test.kind = ocm.ErrLimit
				}
			}
			want(t, err, test.kind, test.says)
		})
	}
}

// Small values take much memory to be read, which is another process's.
func TestManifestsOfManyValues(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]string{"texts": "a,", "objects": "{a: 1},", "lists": "[],"} {
		text := "apiVersion: v1\nkind: X\nmetadata: {name: a}\nspec: [" + strings.Repeat(unit, (MaxDocument-100)/len(unit)) + "]\n"
		_, err := renderBytes(t, gzipped(t, []byte(text)), Options{})
		want(t, err, ocm.ErrLimit)
		_, err = toJSON([]document{{Text: text}}) // the parser would have done it
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nor is much text refused.
	text := "apiVersion: v1\nkind: X\nmetadata: {name: a}\ndata: |\n" + strings.Repeat("  a: [b, c]\n", 100_000)
	r, err := renderBytes(t, []byte(text), Options{})
	if err != nil || len(r.Objects) != 1 {
		t.Error(err)
	}
}

func TestTooManyObjects(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range MaxObjects + 1 {
		fmt.Fprintf(&b, `{"apiVersion":"v1","kind":"X","metadata":{"name":"n%d"}}`, i)
	}
	_, err := renderBytes(t, []byte(b.String()), Options{})
	want(t, err, ocm.ErrLimit, "objects")
}

// What is unpacked ends, however small it was.
func TestArchiveBombs(t *testing.T) {
	t.Parallel()
	zeros := gzipped(t, make([]byte, MaxExpanded+1))
	_, err := renderBytes(t, zeros, Options{})
	want(t, err, ocm.ErrLimit)

	many := map[string]string{}
	for i := range MaxFiles + 1 {
		many[fmt.Sprintf("%d.txt", i)] = ""
	}
	_, err = renderBytes(t, gzipped(t, archived(t, many)), Options{})
	want(t, err, ocm.ErrLimit, "entries")

	large := map[string]string{"a.yaml": strings.Repeat("#", MaxExpanded/2), "b.yaml": strings.Repeat("#", MaxExpanded/2+1)}
	_, err = renderBytes(t, gzipped(t, archived(t, large)), Options{})
	want(t, err, ocm.ErrLimit, "b.yaml")
}

// entries is an archive of entries as they are.
func entries(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Size = int64(len(cm("a")))
		if h.Typeflag != tar.TypeReg {
			h.Size = 0
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(cm("a"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchivesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]tar.Header{
		"CVE-2022-36049 a link":     {{Name: "web/Chart.yaml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		"a hard link":               {{Name: "a.yaml", Typeflag: tar.TypeLink, Linkname: "b.yaml"}},
		"a link to the token":       {{Name: "a.yaml", Typeflag: tar.TypeSymlink, Linkname: "/var/run/secrets/kubernetes.io/serviceaccount/token"}},
		"a name that leads out":     {{Name: "../a.yaml", Typeflag: tar.TypeReg}},
		"a name that leads through": {{Name: "a/../../b.yaml", Typeflag: tar.TypeReg}},
		"an absolute name":          {{Name: "/a.yaml", Typeflag: tar.TypeReg}},
		"a device":                  {{Name: "a.yaml", Typeflag: tar.TypeChar}},
		"two of one name":           {{Name: "a.yaml", Typeflag: tar.TypeReg}, {Name: "./a.yaml", Typeflag: tar.TypeReg}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderBytes(t, entries(t, headers...), Options{})
			want(t, err, ocm.ErrInvalid, "archive")
		})
	}
	_, err := renderBytes(t, archived(t, map[string]string{"a.yaml": cm("a")})[:530], Options{})
	want(t, err, ocm.ErrInvalid)
}

func TestReadingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Render(ctx, Source{Content: strings.NewReader(cm("a"))}, Options{})
	want(t, err, context.Canceled)
}

func FuzzManifests(f *testing.F) {
	for _, seed := range []string{cm("a"), cm("a") + "---\n" + cm("b"), `{"apiVersion":"v1","kind":"List","items":[{}]}{`, "a: &a [*a]", "--- a\n...\n%b\n", "a: b\r---\rc: d", "- &x [1, *x]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		objects, err := manifests(t.Context(), files{"": text}, "")
		if err != nil {
			return
		}
		for _, u := range objects {
			if u.GetName() == "" || u.GetKind() == "" || u.GetAPIVersion() == "" {
				t.Errorf("an object without name, kind or version: %v", u.Object)
			}
			u.DeepCopy()
			if _, err := u.MarshalJSON(); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzArchive(f *testing.F) {
	f.Add(archived(f, map[string]string{"a.yaml": cm("a"), "b/c.json": "{}"}), "b")
	f.Add(gzipped(f, archived(f, map[string]string{"web/Chart.yaml": "name: a"})), "")
	f.Add([]byte(cm("a")), "../x")
	f.Fuzz(func(t *testing.T, content []byte, dir string) {
		all, err := unpack(t.Context(), bytes.NewReader(content))
		if err != nil {
			return
		}
		for name := range all {
			if strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") {
				t.Errorf("%q", name)
			}
		}
		dir, err = cleanPath(dir)
		if err != nil {
			return
		}
		for _, format := range []v1alpha1.Format{"", v1alpha1.FormatHelm, v1alpha1.FormatKustomize} {
			_, _, _ = detect(Source{}, format, all, dir)
		}
		_, _ = manifests(t.Context(), all, dir)
	})
}
