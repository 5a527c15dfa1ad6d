// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/inspect"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

// version makes a version with one resource of this content.
func version(t testing.TB, store oci.Store, c ocm.Content, edit func(r *ocm.Resource)) ocm.Version {
	t.Helper()
	repo := oci.NewRepository(store, &ocm.Env{})
	draft := fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
	s := fixture.Must[ocm.Stored](t)(draft.Add(t.Context(), c, ""))
	d := fixture.Must[ocm.Digest](t)(graph.NewDigest(t.Context(), ocm.Content{Root: s.Root, From: c.From}, ocm.SHA256))
	r := ocm.Resource{Element: ocm.Element{Name: "res", Version: "1.0.0"}, Type: "blob", Relation: ocm.RelationLocal, Access: s.Access, Digest: &d}
	if edit != nil {
		edit(&r)
	}
	return fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), &ocm.Descriptor{
		Meta:      ocm.Meta{SchemaVersion: ocm.SchemaV2},
		Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "p", Resources: []ocm.Resource{r}},
	}))
}

func download(t testing.TB, v ocm.Version, path string, form string) (isDir bool, err error) {
	t.Helper()
	_, err = inspect.Download(t.Context(), builtin.Kit(), &ocm.Env{}, v, &v.Descriptor().Component.Resources[0], path, inspect.DownloadOptions{Form: form})
	info, statErr := os.Stat(path)
	return statErr == nil && info.IsDir(), err
}

// left lists what is in a folder.
func left(t testing.TB, dir string) (names []string) {
	t.Helper()
	for _, e := range fixture.Must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		names = append(names, e.Name())
	}
	return names
}

func zipped(t testing.TB, b string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// archive is a tar of headers; regular files hold their own names.
func archive(t testing.TB, headers ...tar.Header) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, h.Name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func file(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o640} }

// described is a version that is nothing but its descriptor.
type described struct {
	ocm.Version
	d *ocm.Descriptor
}

func (v described) Descriptor() *ocm.Descriptor { return v.d }

func TestFindResource(t *testing.T) {
	t.Parallel()
	element := func(name, version string, extra ocm.Identity) ocm.Resource {
		return ocm.Resource{Element: ocm.Element{Name: name, Version: version, ExtraIdentity: extra}}
	}
	d := &ocm.Descriptor{Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Resources: []ocm.Resource{
		element("tool", "1.0.0", ocm.Identity{"os": "linux"}), element("tool", "1.0.0", ocm.Identity{"os": "darwin"}), element("doc", "2.0.0", nil),
	}}}
	for _, c := range []struct {
		selector string
		want     int
		err      error
		texts    []string
	}{
		{"name=doc", 2, nil, nil},
		{"name=doc,version=2.0.0", 2, nil, nil},
		{"os=darwin", 1, nil, nil},
		{"name=tool,os=linux", 0, nil, nil},
		{"name=tool", 0, ocm.ErrInvalid, []string{"2 resources", "os=linux", "os=darwin", "acme.org/app:1.0.0"}},
		{"name=none", 0, ocm.ErrNotFound, []string{"name=none", "name=doc,version=2.0.0", "acme.org/app:1.0.0"}},
		{"name=doc,os=linux", 0, ocm.ErrNotFound, nil},
	} {
		r, err := inspect.FindResource(described{d: d}, fixture.Must[inspect.Selector](t)(inspect.ParseSelector([]string{c.selector}, nil, nil)))
		if c.err != nil {
			fixture.WantErr(t, err, c.err, c.texts...)
		} else if err != nil || r != &d.Component.Resources[c.want] {
			t.Errorf("%s: %+v, %v", c.selector, r, err)
		}
	}
}

func TestDownloadFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, mediaType, body, policy, want string }{
		{"plain", "text/plain", "hello", inspect.FormAuto, "hello"},
		{"empty", "text/plain", "", inspect.FormAuto, ""},
		{"compressed", "application/json+gzip", zipped(t, "{}"), inspect.FormAuto, "{}"},
		{"compressed, as it is", "application/json+gzip", zipped(t, "{}"), inspect.FormBlob, zipped(t, "{}")},
		{"said to be compressed", "application/gzip", "plain after all", inspect.FormAuto, "plain after all"},
		{"archive, as it is", "application/x-tar", archive(t, file("a")), inspect.FormBlob, archive(t, file("a"))},
		{"compressed, but nobody says so", "text/plain", zipped(t, "x"), inspect.FormAuto, zipped(t, "x")},
	} {
		for _, typ := range []string{"blob", "executable"} {
			t.Run(c.name+" "+typ, func(t *testing.T) {
				v := version(t, memory.New(), blob.Bytes(c.mediaType, []byte(c.body)), func(r *ocm.Resource) { r.Type = typ })
				dir := t.TempDir()
				path := filepath.Join(dir, "new", "folder", "file")
				isDir, err := download(t, v, path, c.policy)
				if err != nil || isDir {
					t.Fatal(isDir, err)
				}
				if got := string(fixture.Must[[]byte](t)(os.ReadFile(path))); got != c.want {
					t.Errorf("expected %q, found %q", c.want, got)
				}
				mode := os.FileMode(0o644)
				if typ == "executable" {
					mode = 0o755
				}
				if got := fixture.Must[os.FileInfo](t)(os.Stat(path)).Mode(); got != mode {
					t.Errorf("expected mode %v, found %v", mode, got)
				}
				if names := left(t, filepath.Dir(path)); len(names) != 1 {
					t.Errorf("left: %q", names)
				}
				// once more over the file that is there
				if _, err := download(t, v, path, c.policy); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestDownloadArchives(t *testing.T) {
	t.Parallel()
	tree := archive(t, tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755}, tar.Header{Typeflag: tar.TypeDir, Name: "sub/", Mode: 0o755}, file("sub/b.txt"), file("a.txt"))
	for _, c := range []struct{ mediaType, body string }{
		{"application/x-tar", tree}, {"application/x-tar+gzip", zipped(t, tree)}, {"application/x-tgz", zipped(t, tree)},
		{"application/tar+gzip", zipped(t, tree)}, {"application/tar", tree}, {"application/x-tar", zipped(t, tree)},
	} {
		v := version(t, memory.New(), blob.Bytes(c.mediaType, []byte(c.body)), nil)
		path := filepath.Join(t.TempDir(), "out")
		isDir, err := download(t, v, path, inspect.FormAuto)
		if err != nil || !isDir {
			t.Fatal(c.mediaType, isDir, err)
		}
		for _, name := range []string{"a.txt", "sub/b.txt"} {
			if got := string(fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(path, name)))); got != name {
				t.Errorf("%s: %q", c.mediaType, got)
			}
		}
		if names := left(t, filepath.Dir(path)); len(names) != 1 {
			t.Errorf("left: %q", names)
		}
		if _, err = download(t, v, path, inspect.FormAuto); !errors.Is(err, ocm.ErrExists) {
			t.Errorf("over an existing directory: expected ErrExists, found %v", err)
		}
	}
}

// An artifact is one layout archive, or the layout as a directory; its digest is checked by
// either of the names that it is known under.
func TestDownloadArtifact(t *testing.T) {
	t.Parallel()
	img := fixture.Image("layer")
	for _, kind := range []string{ocm.OCIArtifactDigest, ocm.GenericBlobDigest} {
		v := version(t, memory.New(), img, func(r *ocm.Resource) { r.Digest.NormalisationAlgorithm = kind })
		path := filepath.Join(t.TempDir(), "image.tar")
		if isDir, err := download(t, v, path, inspect.FormBlob); err != nil || isDir {
			t.Fatal(kind, isDir, err)
		}
		c := fixture.Must[ocm.Content](t)(blob.File(path, blob.MediaTypeLayout))
		if root := fixture.Must[ociv1.Descriptor](t)(blob.CheckLayout(t.Context(), c)); root.Digest != img.Root.Digest {
			t.Errorf("found %v", root)
		}
		path = filepath.Join(t.TempDir(), "image")
		if isDir, err := download(t, v, path, inspect.FormAuto); err != nil || !isDir {
			t.Fatal(kind, isDir, err)
		}
		if _, err := os.Stat(filepath.Join(path, "blobs", "sha256", img.Root.Digest.Encoded())); err != nil {
			t.Error(err)
		}
		wrong := version(t, memory.New(), img, func(r *ocm.Resource) {
			r.Digest.NormalisationAlgorithm, r.Digest.Value = kind, fixture.Image("other").Root.Digest.Encoded()
		})
		dir := t.TempDir()
		_, err := download(t, wrong, filepath.Join(dir, "image"), inspect.FormAuto)
		fixture.WantErr(t, err, ocm.ErrDigest)
		if names := left(t, dir); len(names) != 0 {
			t.Errorf("left: %q", names)
		}
	}
}

// corrupt delivers other bytes for every plain blob of one media type.
type corrupt struct {
	oci.Store
	body *string
}

func (c corrupt) Repo(name string) oci.Repo { return corruptRepo{c.Store.Repo(name), c.body} }

type corruptRepo struct {
	oci.Repo
	body *string
}

func (r corruptRepo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if *r.body != "" && (d.MediaType == "text/plain" || d.MediaType == ociv1.MediaTypeImageLayer) {
		return io.NopCloser(strings.NewReader(*r.body)), nil
	}
	return r.Repo.Fetch(ctx, d)
}

func TestDownloadOfWrongBytesLeavesNothing(t *testing.T) {
	t.Parallel()
	wrongDigest := func(r *ocm.Resource) { r.Digest.Value = strings.Repeat("0", 64) }
	wrong512 := func(r *ocm.Resource) {
		*r.Digest = ocm.Digest{HashAlgorithm: ocm.SHA512, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: strings.Repeat("0", 128)}
	}
	unknown := func(r *ocm.Resource) { r.Digest.NormalisationAlgorithm = "other/v1" }
	for _, c := range []struct {
		name    string
		content ocm.Content
		edit    func(r *ocm.Resource)
		bytes   string
		want    error
	}{
		{"stored bytes", blob.Bytes("text/plain", []byte("hello")), nil, "jello", ocm.ErrDigest},
		{"too short", blob.Bytes("text/plain", []byte("hello")), nil, "hell", ocm.ErrDigest},
		{"too long", blob.Bytes("text/plain", []byte("hello")), nil, "hello!", ocm.ErrDigest},
		{"stored bytes without digest", blob.Bytes("text/plain", []byte("hello")), func(r *ocm.Resource) { r.Digest = nil }, "jello", ocm.ErrDigest},
		{"layer", fixture.Image("layer"), nil, "lawyer", ocm.ErrDigest},
		{"digest", blob.Bytes("text/plain", []byte("hello")), wrongDigest, "", ocm.ErrDigest},
		{"sha512", blob.Bytes("text/plain", []byte("hello")), wrong512, "", ocm.ErrDigest},
		{"unknown digest", blob.Bytes("text/plain", []byte("hello")), unknown, "", ocm.ErrUnknownType},
	} {
		for _, policy := range []string{inspect.FormAuto, inspect.FormBlob} {
			t.Run(c.name+" "+policy, func(t *testing.T) {
				body := ""
				v := version(t, corrupt{memory.New(), &body}, c.content, c.edit)
				body = c.bytes
				dir := t.TempDir()
				_, err := download(t, v, filepath.Join(dir, "out"), policy)
				fixture.WantErr(t, err, c.want)
				if names := left(t, dir); len(names) != 0 {
					t.Errorf("left: %q", names)
				}
				// and what is there already stays
				path := filepath.Join(dir, "mine")
				if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
				_, err = download(t, v, path, policy)
				fixture.WantErr(t, err, c.want)
				if got := string(fixture.Must[[]byte](t)(os.ReadFile(path))); got != "mine" {
					t.Errorf("found %q", got)
				}
			})
		}
	}
}

func TestDownloadRefusesHostileArchives(t *testing.T) {
	t.Parallel()
	link := func(typ byte, name, to string) tar.Header {
		return tar.Header{Typeflag: typ, Name: name, Linkname: to, Mode: 0o777}
	}
	for name, body := range map[string]string{
		"zip slip (CVE-2021-21272)": archive(t, file("../evil")),
		"absolute":                  archive(t, file("/tmp/evil")),
		"link out":                  archive(t, link(tar.TypeSymlink, "l", "../.."), file("l/evil")),
		"absolute link":             archive(t, link(tar.TypeSymlink, "l", "/etc")),
		"hard link to the outside (GHSA-fxhp-mv3v)":   archive(t, link(tar.TypeLink, "l", "/etc/passwd")),
		"file below a link (GHSA-8xwf-rjm4)":          archive(t, link(tar.TypeSymlink, "l", "d"), file("l/evil")),
		"two entries of one name":                     archive(t, file("a"), file("a")),
		"file and directory of one name":              archive(t, file("a"), file("a/b")),
		"device":                                      archive(t, tar.Header{Typeflag: tar.TypeChar, Name: "dev", Devmajor: 1, Devminor: 5}),
		"cut off":                                     archive(t, file("a"), file("b"))[:1300],
		"no archive":                                  strings.Repeat("not a tar ", 100),
		"cut off inside gzip":                         zipped(t, archive(t, file("a"), file("b")))[:60],
		"two archives, of which readers see only one": archive(t, file("a")) + archive(t, file("b")),
	} {
		t.Run(name, func(t *testing.T) {
			v := version(t, memory.New(), blob.Bytes("application/x-tar", []byte(body)), nil)
			root := t.TempDir()
			dir := filepath.Join(root, "in", "here")
			_, err := download(t, v, filepath.Join(dir, "out"), inspect.FormAuto)
			if !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("expected ErrInvalid, found %v", err)
			}
			if names := left(t, dir); len(names) != 0 {
				t.Errorf("left: %q", names)
			}
			if names := left(t, root); len(names) != 1 {
				t.Errorf("outside: %q", names)
			}
		})
	}
}

func TestDownloadPlaces(t *testing.T) {
	t.Parallel()
	v := version(t, memory.New(), blob.Bytes("text/plain", []byte("hello")), nil)
	dir := t.TempDir()
	_, err := download(t, v, dir, inspect.FormAuto)
	fixture.WantErr(t, err, ocm.ErrExists, dir)
	// a link at the path is replaced, what it points at is not written
	target, path := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("mine"), 0o600), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
	if _, err := download(t, v, path, inspect.FormAuto); err != nil {
		t.Fatal(err)
	}
	if got := string(fixture.Must[[]byte](t)(os.ReadFile(target))); got != "mine" {
		t.Errorf("written through the link: %q", got)
	}
	// below a file there is no place
	if _, err := download(t, v, filepath.Join(target, "x"), inspect.FormAuto); err == nil {
		t.Error("a file below a file")
	}
	// an archive does not replace a file
	a := version(t, memory.New(), blob.Bytes("application/x-tar", []byte(archive(t, file("a")))), nil)
	if _, err := download(t, a, target, inspect.FormAuto); err == nil {
		t.Error("a directory in place of a file")
	}
	if got := string(fixture.Must[[]byte](t)(os.ReadFile(target))); got != "mine" {
		t.Errorf("found %q", got)
	}
	if names := left(t, dir); len(names) != 2 {
		t.Errorf("left: %q", names)
	}
}

func TestDownloadWithoutContent(t *testing.T) {
	t.Parallel()
	for access, want := range map[string]error{"none": errors.ErrUnsupported, "carrierPigeon/v7": ocm.ErrUnknownType} {
		v := version(t, memory.New(), blob.Bytes("text/plain", []byte("x")), func(r *ocm.Resource) { r.Access = ocm.Spec{Type: access} })
		_, err := download(t, v, filepath.Join(t.TempDir(), "out"), inspect.FormAuto)
		fixture.WantErr(t, err, want)
	}
}

func TestDownloadStopsWithItsContext(t *testing.T) {
	t.Parallel()
	v := version(t, fixture.Must[*ctf.Store](t)(ctf.Open(t.TempDir()+"/ctf")), blob.Bytes("text/plain", make([]byte, 1<<20)), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := inspect.Download(ctx, builtin.Kit(), &ocm.Env{}, v, &v.Descriptor().Component.Resources[0], filepath.Join(dir, "out"), inspect.DownloadOptions{Form: inspect.FormBlob})
	fixture.WantErr(t, err, context.Canceled)
	if names := left(t, dir); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

func Example() {
	ctx := context.Background()
	env := &ocm.Env{}
	archive, err := ctf.Open("../ctf/testdata/golden/v2n-copied")
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := oci.NewRepository(archive, env).Open(ctx, "golden.example/app", "1.0.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := inspect.FindResource(v, inspect.Selector{Identities: []ocm.Identity{{"name": "multi", "architecture": "arm64"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	dir, _ := os.MkdirTemp("", "example-")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "multi")
	if _, err := inspect.Download(ctx, builtin.Kit(), env, v, r, path, inspect.DownloadOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	b, _ := os.ReadFile(path)
	fmt.Println(string(b))
	// Output: arm64
}
