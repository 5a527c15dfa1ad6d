// SPDX-License-Identifier: Apache-2.0

package input

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/blob"
)

func unix(sec int64) time.Time { return time.Unix(sec, 0) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open reads a specification as a constructor has it, in YAML, and opens the input.
func open(t testing.TB, env *ocm.Env, text string) (ocm.Content, error) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	must(t, err)
	var s ocm.Spec
	must(t, json.Unmarshal(raw, &s))
	kit := ocm.NewRegistry[ocm.Opener]("input")
	for _, in := range All() {
		kit.Register(in, in.Type)
	}
	opener, err := kit.For(s.Type)
	must(t, err)
	return opener.Open(context.Background(), env, s)
}

func read(t testing.TB, c ocm.Content) string {
	t.Helper()
	r, err := c.Open(context.Background())
	must(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	must(t, err)
	return string(b)
}

func wantError(t testing.TB, err, kind error, texts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("expected an error of kind %v, found: %v", kind, err)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("expected an error that mentions %q, found: %v", s, err)
		}
	}
}

// workspace is a directory with files, and a secret beside it.
func workspace(t testing.TB) *ocm.Env {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "ws")
	must(t, os.MkdirAll(filepath.Join(dir, "d/sub"), 0o755))
	for name, body := range map[string]string{
		"../secret": "secret", "f.txt": "text\n", "f.yaml": "a: 1\n", "page": "<!DOCTYPE html><p>hi", "d/a.txt": "a\n", "d/sub/b.md": "b\n", "c.tgz": "\x1f\x8b",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644))
	}
	for name, target := range map[string]string{"out": "../secret", "abs": filepath.Join(base, "secret"), "up": "..", "in": "d/a.txt", "d/way": ".."} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	return &ocm.Env{Dir: dir}
}

func TestFile(t *testing.T) {
	t.Parallel()
	env := workspace(t)
	for spec, want := range map[string][2]string{
		"{type: file, path: f.txt}":                                        {"text/plain", "text\n"},
		"{type: File/v1, path: ./f.yaml}":                                  {"application/x-yaml", "a: 1\n"},
		"{type: file/v1, path: page}":                                      {"text/html", "<!DOCTYPE html><p>hi"},
		"{type: File, path: d/sub/b.md, mediaType: text/x-own}":            {"text/x-own", "b\n"},
		"{type: file, path: in}":                                           {"text/plain", "a\n"},
		"{type: file, path: d/../f.txt}":                                   {"text/plain", "text\n"},
		"{type: file, path: c.tgz}":                                        {"application/gzip", "\x1f\x8b"},
		"{type: file, path: " + filepath.Join(env.Dir, "f.txt") + "}":      {"text/plain", "text\n"},
		"{type: dir, path: f.txt}":                                         {"application/octet-stream", "text\n"},
		"{type: dir, path: f.txt, mediaType: text/x-own, compress: false}": {"text/x-own", "text\n"},
	} {
		c, err := open(t, env, spec)
		must(t, err)
		if got := read(t, c); got != want[1] || c.Root.MediaType != want[0] || c.Root.Size != int64(len(got)) {
			t.Errorf("%s: found %+v %q", spec, c.Root, got)
		}
	}
	c, err := open(t, env, "{type: file, path: f.txt, compress: true}")
	must(t, err)
	if c.Root.MediaType != "text/plain+gzip" || c.Root.Size != -1 || !strings.HasPrefix(read(t, c), "\x1f\x8b") {
		t.Errorf("found %+v", c.Root)
	}
	_, err = open(t, env, "{type: file, path: c.tgz, compress: true}")
	wantError(t, err, ocm.ErrInvalid, "compressed already")
}

// TestConfinement: CVE-2021-21272 and its kind seen from the other side: a constructor that
// reads what it was not given.
func TestConfinement(t *testing.T) {
	t.Parallel()
	env := workspace(t)
	for _, typ := range []string{"file", "dir"} {
		for _, path := range []string{"../secret", "..", "out", "abs", "up", "up/secret", "d/way/up/secret", "/etc", "/etc/passwd", env.Dir + "/../secret", "d/../../secret"} {
			_, err := open(t, env, "{type: "+typ+", path: "+path+"}")
			wantError(t, err, ocm.ErrInvalid, env.Dir)
		}
		_, err := open(t, env, "{type: "+typ+", path: none}")
		wantError(t, err, ocm.ErrNotFound, env.Dir, "none")
		_, err = open(t, env, "{type: "+typ+"}")
		wantError(t, err, ocm.ErrInvalid, "path is missing")
	}
	_, err := open(t, env, "{type: file, path: d}")
	wantError(t, err, ocm.ErrInvalid, "a directory")
}

func TestAbsoluteBelowLinkedDir(t *testing.T) {
	t.Parallel()
	env := workspace(t)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(env.Dir, link))
	for _, dir := range []string{env.Dir, link} {
		c, err := open(t, &ocm.Env{Dir: link}, "{type: file, path: "+filepath.Join(dir, "f.txt")+"}")
		must(t, err)
		if read(t, c) != "text\n" {
			t.Error(dir)
		}
	}
}

func entries(t testing.TB, b string) string {
	t.Helper()
	var out []string
	for tr := tar.NewReader(strings.NewReader(b)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return strings.Join(out, " ")
		}
		must(t, err)
		out = append(out, h.Name)
	}
}

func TestDir(t *testing.T) {
	t.Parallel()
	env := workspace(t)
	must(t, os.Remove(filepath.Join(env.Dir, "d/way")))
	for spec, want := range map[string][2]string{
		"{type: dir, path: d}": {"application/x-tar", "./ a.txt sub/ sub/b.md"},
		"{type: Dir/v1, path: d/, preserveDir: true, mediaType: text/x-own}":        {"text/x-own", "d/ d/a.txt d/sub/ d/sub/b.md"},
		"{type: Dir, path: ., includeFiles: ['**/*.md', f.txt]}":                    {"application/x-tar", "d/sub/b.md f.txt"},
		"{type: dir/v1, path: ., excludeFiles: [out, abs, up, c.tgz, f.*, page]}":   {"", ""},
		"{type: dir, path: d, excludeFiles: [sub]}":                                 {"application/x-tar", "./ a.txt"},
		"{type: dir, path: ., followSymlinks: true, includeFiles: [in, 'd/*.txt']}": {"", ""},
	} {
		c, err := open(t, env, spec)
		must(t, err)
		if want[0] == "" {
			continue // see TestDirLinks
		}
		if got := entries(t, read(t, c)); got != want[1] || c.Root.MediaType != want[0] {
			t.Errorf("%s: found %s %q", spec, c.Root.MediaType, got)
		}
	}
	for spec, want := range map[string]string{
		"{type: dir, path: d, compress: true}":                                    "application/x-tar+gzip",
		"{type: dir, path: d, compress: true, mediaType: application/x-tar+gzip}": "application/x-tar+gzip",
		"{type: dir, path: d, compress: true, mediaType: text/x-own}":             "text/x-own+gzip",
	} {
		c, err := open(t, env, spec)
		must(t, err)
		plain, was, err := blob.Gunzip(strings.NewReader(read(t, c)))
		must(t, err)
		b, err := io.ReadAll(plain)
		must(t, err)
		if got := entries(t, string(b)); !was || got != "./ a.txt sub/ sub/b.md" || c.Root.MediaType != want {
			t.Errorf("%s: found %v %s %q", spec, was, c.Root.MediaType, got)
		}
	}
}

func TestDirLinks(t *testing.T) {
	t.Parallel()
	env := workspace(t)
	c, err := open(t, env, "{type: dir, path: ., followSymlinks: true, includeFiles: [in]}")
	must(t, err)
	r, err := c.Open(context.Background())
	must(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	wantError(t, err, ocm.ErrInvalid) // links that lead out, and the circle d/way
	if bytes.Contains(b, []byte("secret")) {
		t.Error("content from outside was read")
	}
}

// TestReproducible: the default does not depend on the checkout and the umask; reproducible: false does, and with true
// permissions count, as other tools write them.
func TestReproducible(t *testing.T) {
	t.Parallel()
	digests := map[string]map[digest.Digest]bool{}
	for i := range 2 {
		env := workspace(t)
		when := int64(1e9 + i)
		must(t, os.Chtimes(filepath.Join(env.Dir, "d/a.txt"), unix(when), unix(when)))
		for _, name := range []string{"d", "d/sub", "d/a.txt"} { // another umask
			must(t, os.Chmod(filepath.Join(env.Dir, name), []os.FileMode{0o755, 0o700}[i]))
		}
		for _, rep := range []string{"", ", reproducible: true", ", reproducible: false"} {
			c, err := open(t, env, "{type: dir, path: d, excludeFiles: [way]"+rep+"}")
			must(t, err)
			if digests[rep] == nil {
				digests[rep] = map[digest.Digest]bool{}
			}
			digests[rep][digest.FromString(read(t, c))] = true
		}
	}
	if len(digests[""]) != 1 || len(digests[", reproducible: true"]) != 2 || len(digests[", reproducible: false"]) != 2 {
		t.Fatalf("found %v", digests)
	}
}

func TestUTF8(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][2]string{
		"{type: utf8, text: hello}":                                         {"text/plain", "hello"},
		"{type: UTF8/v1, text: ''}":                                         {"text/plain", ""},
		"{type: UTF8, json: {b: 1, a: [1, 2]}}":                             {"application/json", `{"a":[1,2],"b":1}`},
		"{type: utf8/v1, formattedJson: {b: {}, a: [1, x]}}":                {"application/json", "{\n  \"a\": [\n    1,\n    \"x\"\n  ],\n  \"b\": {}\n}"},
		"{type: utf8, yaml: {b: {d: [x], c: 1.5}, a: text}}":                {"application/x-yaml", "a: text\nb:\n  c: 1.5\n  d:\n  - x\n"},
		"{type: utf8, json: 9007199254740993}":                              {"application/json", "9007199254740993"},
		"{type: utf8, yaml: {big: 9007199254740993}}":                       {"application/x-yaml", "big: 9007199254740993\n"},
		"{type: utf8, json: null, mediaType: application/vnd.own}":          {"application/vnd.own", "null"},
		"{type: utf8, text: hello, mediaType: text/x-own, compress: false}": {"text/x-own", "hello"},
	} {
		c, err := open(t, nil, spec)
		must(t, err)
		if got := read(t, c); got != want[1] || c.Root.MediaType != want[0] || c.Root.Digest != digest.FromString(got) || c.Root.Size != int64(len(got)) {
			t.Errorf("%s: found %+v %q", spec, c.Root, got)
		}
	}
	c, err := open(t, nil, "{type: utf8, text: hello, compress: true}")
	must(t, err)
	if got := read(t, c); c.Root.MediaType != "text/plain+gzip" || c.Root.Digest != digest.FromString(got) || got[0] != 0x1f {
		t.Errorf("found %+v", c.Root)
	}
	for spec, text := range map[string]string{
		"{type: utf8}":                      "found 0",
		"{type: utf8, text: x, json: 1}":    "found 2",
		"{type: utf8, text: x, yaml: null}": "found 2",
		"{type: utf8, text: 1}":             "text",
		"{type: utf8, json: " + strings.Repeat("[", MaxInlineDepth+1) + strings.Repeat("]", MaxInlineDepth+1) + "}": "deep",
	} {
		kind := ocm.ErrInvalid
		if text == "deep" {
			kind = ocm.ErrLimit
		}
		_, err := open(t, nil, spec)
		wantError(t, err, kind, text)
	}
}

func TestBinary(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][2]string{
		"{type: binary, data: AAEC/w==}":                           {"application/octet-stream", "\x00\x01\x02\xff"},
		"{type: Binary/v1, data: '', mediaType: text/x-own}":       {"text/x-own", ""},
		"type: Binary\ndata: |\n  aGVsbG8g\n  d29ybGQ=\n":          {"application/octet-stream", "hello world"},
		"{type: binary/v1, data: AAEC/w==, compress: false}":       {"application/octet-stream", "\x00\x01\x02\xff"},
		"{type: binary, mediaType: image/png, data: 'iVBORw0K\n'}": {"image/png", "\x89PNG\r\n"},
	} {
		c, err := open(t, nil, spec)
		must(t, err)
		if got := read(t, c); got != want[1] || c.Root.MediaType != want[0] || c.Root.Digest != digest.FromString(got) {
			t.Errorf("%s: found %+v %q", spec, c.Root, got)
		}
	}
	for _, spec := range []string{"{type: binary}", "{type: binary, data: '*'}", "{type: binary, data: AAE}", "{type: binary, data: 5}"} {
		_, err := open(t, nil, spec)
		wantError(t, err, ocm.ErrInvalid, "data")
	}
	_, err := open(t, nil, "{type: binary, data: "+strings.Repeat("AAAA", MaxInline/3+1)+"}")
	wantError(t, err, ocm.ErrLimit, "put them into a file")
}

// TestUnknownFields: a misspelt member does not pass.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	env := workspace(t)
	for spec, field := range map[string]string{
		"{type: file, path: f.txt, mediatype: text/plain}": `"mediatype"`,
		"{type: file, path: f.txt, preserveDir: true}":     `"preserveDir"`,
		"{type: dir, path: d, excludes: [secret]}":         `"excludes"`,
		"{type: utf8, text: x, formattedjson: {}}":         `"formattedjson"`,
		"{type: binary, data: '', Compress: true}":         `"Compress"`,
	} {
		_, err := open(t, env, spec)
		wantError(t, err, ocm.ErrInvalid, "unknown field "+field, "known: ")
	}
	for _, in := range All() {
		_, err := in.Opener.Open(context.Background(), env, ocm.Spec{Type: in.Names[0]})
		wantError(t, err, ocm.ErrInvalid, in.Names[0])
		_, err = in.Opener.Open(context.Background(), env, ocm.Spec{Type: in.Names[0], Raw: ocm.RawJSON(`{"path":"a","path":"b"}`)})
		wantError(t, err, ocm.ErrInvalid, "duplicate")
	}
}

// TestLayoutBecomesArtifact: an OCI layout is taken apart, an artifact set stays a blob.
func TestLayoutBecomesArtifact(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	env := workspace(t)
	empty := blob.Bytes(ociv1.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
	var b bytes.Buffer
	must(t, blob.WriteLayout(ctx, &b, empty, "1"))
	must(t, os.WriteFile(filepath.Join(env.Dir, "layout"), b.Bytes(), 0o644))
	for mt, graph := range map[string]bool{
		blob.MediaTypeLayout: true, blob.MediaTypeLayoutGzip: true, "application/vnd.oci.image.index.v1+tar": false,
	} {
		c, err := open(t, env, "{type: file, path: layout, mediaType: "+mt+"}")
		must(t, err)
		if graph != (c.Root.MediaType == ociv1.MediaTypeImageIndex) || graph != (c.Root.Digest == empty.Root.Digest) {
			t.Errorf("%s: found %+v", mt, c.Root)
		}
	}
	_, err := open(t, env, "{type: file, path: f.txt, mediaType: "+blob.MediaTypeLayout+"}")
	wantError(t, err, ocm.ErrInvalid, "OCI layout")
}

func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, in := range All() {
		for _, n := range in.Names {
			if seen[n] {
				t.Errorf("%s stands twice", n)
			}
			seen[n] = true
		}
	}
	for _, n := range []string{"file", "Dir/v1", "UTF8", "utf8/v1", "binary"} {
		if !seen[n] {
			t.Errorf("%s is missing", n)
		}
	}
}

// nowhere is a network without hosts.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

// FuzzInputs: specifications from anywhere do not panic and never reach the file beside the
// workspace.
func FuzzInputs(f *testing.F) {
	env := workspace(f)
	env.HTTP = nowhere{}
	for _, seed := range []string{
		`{"type":"file","path":"f.txt","compress":true}`, `{"type":"dir","path":".","includeFiles":["**"],"followSymlinks":true}`,
		`{"type":"utf8","yaml":{"a":[1,null,"x"]}}`, `{"type":"binary","data":"AAAA"}`, `{"type":"file","path":"d/way/up/secret"}`,
	} {
		f.Add(0, seed)
	}
	inputs := All()
	f.Fuzz(func(t *testing.T, which int, raw string) {
		in := inputs[uint(which)%uint(len(inputs))]
		c, err := in.Opener.Open(context.Background(), env, ocm.Spec{Type: in.Names[0], Raw: ocm.RawJSON(raw)})
		if err != nil {
			return
		}
		r, err := c.Open(context.Background())
		if err != nil {
			return // what would have to be fetched
		}
		defer r.Close()
		b, _ := io.ReadAll(io.LimitReader(r, 1<<20))
		if c.Root.Digest == "" && bytes.Contains(b, []byte("secret")) {
			t.Fatalf("read the secret: %q", b)
		}
	})
}
