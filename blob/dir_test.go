// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
)

func isKind(err, kind error) bool { return errors.Is(err, kind) }

// vectorTree is the directory of the specification's test vector.
func vectorTree(t *testing.T) string {
	root := tree(t, "a.txt", "sub/b.txt")
	must(t, os.WriteFile(filepath.Join(root, "a.txt"), []byte("a\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "sub/b.txt"), []byte("b\n"), 0o640))
	must(t, os.Chmod(filepath.Join(root, "a.txt"), 0o755))
	must(t, os.Chmod(filepath.Join(root, "sub"), 0o755))
	must(t, os.Chmod(filepath.Join(root, "sub/b.txt"), 0o640))
	must(t, os.Chmod(root, 0o755))
	return root
}

func TestTarDirVector(t *testing.T) {
	t.Parallel()
	root := vectorTree(t)
	must(t, os.Chtimes(filepath.Join(root, "a.txt"), time.Now(), time.Unix(1e9, 0)))
	for name, tc := range map[string]struct {
		opt  DirOptions
		want digest.Digest
	}{
		"plain":       {DirOptions{}, "sha256:73436adc69f123026593a22cc53f0653ab41f8787070a19c98ae557754530202"},
		"preserveDir": {DirOptions{PreserveDir: true}, "sha256:1347d3bf0a7be30fb867149ee3f0988e13cf156ad542b0b1f144365920fe56e3"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := TarDir(root, tc.opt)
			must(t, err)
			for range 2 { // content may be fetched again
				if b := readContent(t, c); digest.FromBytes(b) != tc.want || len(b) != 4096 {
					t.Fatalf("expected %s, 4096 bytes; found %s, %d bytes", tc.want, digest.FromBytes(b), len(b))
				}
			}
			if c.Root.MediaType != "application/x-tar" || c.Root.Size != -1 || c.Root.Digest != "" {
				t.Fatalf("found %+v", c.Root)
			}
		})
	}
}

func TestTarDirSelection(t *testing.T) {
	t.Parallel()
	root := tree(t, ".hidden", "a.txt", "a/x.txt", "a/deep/y.txt", "a/deep/z.md", "b/x.txt", "empty/")
	all := []string{"./", ".hidden", "a/", "a/deep/", "a/deep/y.txt", "a/deep/z.md", "a/x.txt", "a.txt", "b/", "b/x.txt", "empty/"}
	for name, tc := range map[string]struct {
		opt  DirOptions
		want []string
	}{
		"all":                {DirOptions{}, all},
		"star stays":         {DirOptions{Include: []string{"*.txt"}}, []string{"a.txt"}},
		"leading dot slash":  {DirOptions{Include: []string{"./a/*.txt"}}, []string{"a/x.txt"}},
		"leading slash":      {DirOptions{Include: []string{"/b/x.txt"}}, []string{"b/x.txt"}},
		"deep":               {DirOptions{Include: []string{"**/*.txt"}}, []string{"a/deep/y.txt", "a/x.txt", "a.txt", "b/x.txt"}},
		"everything below":   {DirOptions{Include: []string{"a/**"}}, []string{"a/", "a/deep/", "a/deep/y.txt", "a/deep/z.md", "a/x.txt"}},
		"middle":             {DirOptions{Include: []string{"a/**/z.md"}}, []string{"a/deep/z.md"}},
		"exclude a subtree":  {DirOptions{Exclude: []string{"a"}}, []string{"./", ".hidden", "a.txt", "b/", "b/x.txt", "empty/"}},
		"exclude wins":       {DirOptions{Include: []string{"**/*.txt"}, Exclude: []string{"a/deep"}}, []string{"a/x.txt", "a.txt", "b/x.txt"}},
		"root not excluded":  {DirOptions{Exclude: []string{".*"}}, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == ".hidden" })},
		"preserved, include": {DirOptions{PreserveDir: true, Include: []string{"b/*"}}, []string{"dr/b/x.txt"}},
		"preserved":          {DirOptions{PreserveDir: true, Exclude: []string{"*a*", "*.*", "b"}}, []string{"dr/", "dr/empty/"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := TarDir(root, tc.opt)
			must(t, err)
			if got := names(t, readContent(t, c)); !slices.Equal(got, tc.want) {
				t.Fatalf("expected %q\nfound    %q", tc.want, got)
			}
		})
	}
	_, err := TarDir(root, DirOptions{Include: []string{"[a"}})
	wantError(t, err, ocm.ErrInvalid, `"[a"`)
	_, err = TarDir(filepath.Join(root, "none"), DirOptions{})
	wantError(t, err, ocm.ErrNotFound, "none")
}

// TestGlobIsQuick holds a pattern against a name that costs exponential time if every "**" is
// tried at every place.
func TestGlobIsQuick(t *testing.T) {
	t.Parallel()
	pattern, name := "", ""
	for range 60 {
		pattern += "**/a/"
		name += "a/"
	}
	if matchGlob(pattern+"b", name+"c") {
		t.Fatal("matched")
	}
	if !matchGlob(pattern+"**", name+"c") {
		t.Fatal("not matched")
	}
}

func TestTarDirLinks(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	for name, tc := range map[string]struct {
		files  []string
		follow bool
		want   []string
		err    error
		text   string
	}{
		"refused":         {files: []string{"f", "l -> f"}, err: ocm.ErrInvalid, text: "followSymlinks"},
		"followed":        {files: []string{"d/f", "l -> d/f", "m -> d"}, follow: true, want: []string{"./", "d/", "d/f", "l", "m/", "m/f"}},
		"chain":           {files: []string{"f", "l -> m", "m -> f"}, follow: true, want: []string{"./", "f", "l", "m"}},
		"relative out":    {files: []string{"f", "l -> ../../" + filepath.Base(filepath.Dir(outside)) + "/secret"}, follow: true, err: ocm.ErrInvalid, text: "l"},
		"absolute out":    {files: []string{"l -> " + outside}, follow: true, err: ocm.ErrInvalid, text: "l"},
		"directory out":   {files: []string{"l -> .."}, follow: true, err: ocm.ErrInvalid, text: "l"},
		"circle":          {files: []string{"d/f", "d/up -> .."}, follow: true, err: ocm.ErrInvalid, text: "d/up"},
		"circle of two":   {files: []string{"a/", "b/", "a/x -> ../b", "b/y -> ../a"}, follow: true, err: ocm.ErrInvalid, text: "leads back"},
		"points at self":  {files: []string{"l -> l"}, follow: true, err: nil, text: "l"},
		"dangling":        {files: []string{"l -> none"}, follow: true, err: ocm.ErrNotFound, text: "points at nothing"},
		"excluded":        {files: []string{"f", "l -> f"}, want: []string{"./", "f"}},
		"out of the root": {files: []string{"f", "l -> ../dr/f"}, follow: true, err: ocm.ErrInvalid, text: "l"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := DirOptions{FollowSymlinks: tc.follow}
			if name == "excluded" {
				opt.Exclude = []string{"l"}
			}
			c, err := TarDir(tree(t, tc.files...), opt)
			must(t, err)
			b, err := read(c)
			if tc.want != nil {
				must(t, err)
				if got := names(t, b); !slices.Equal(got, tc.want) {
					t.Fatalf("expected %q, found %q", tc.want, got)
				}
				return
			}
			if tc.err == nil {
				tc.err = err
			}
			wantError(t, err, tc.err, tc.text)
			if bytes.Contains(b, []byte("secret")) {
				t.Fatal("content from outside was read")
			}
		})
	}
}

func TestTarDirWithin(t *testing.T) {
	t.Parallel()
	root := tree(t, "in/f", "out -> ../..", "ok -> in")
	for _, p := range []string{"in", "ok", "./in"} {
		c, err := TarDir(p, DirOptions{Within: root})
		must(t, err)
		if got := names(t, readContent(t, c)); !slices.Equal(got, []string{"./", "f"}) {
			t.Fatalf("%s: found %q", p, got)
		}
	}
	for _, p := range []string{"out", "..", "/", "in/../.."} {
		_, err := TarDir(p, DirOptions{Within: root})
		wantError(t, err, ocm.ErrInvalid)
	}
}

func TestTarDirMetadata(t *testing.T) {
	t.Parallel()
	root := tree(t, "f")
	when := time.Unix(1234567890, 0)
	must(t, os.Chtimes(filepath.Join(root, "f"), when, when))
	c, err := TarDir(root, DirOptions{Metadata: true, Include: []string{"f"}, MediaType: "application/x-mine"})
	must(t, err)
	if c.Root.MediaType != "application/x-mine" {
		t.Fatalf("found %s", c.Root.MediaType)
	}
	h, err := tar.NewReader(bytes.NewReader(readContent(t, c))).Next()
	must(t, err)
	if !h.ModTime.Equal(when) || h.Uid != os.Getuid() {
		t.Fatalf("found time %s, owner %d", h.ModTime, h.Uid)
	}
}

func TestTarDirChangedWhileRead(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"shorter": 100 << 10, "longer": 5 << 20} {
		root := tree(t, "f")
		f := filepath.Join(root, "f")
		must(t, os.Truncate(f, 4<<20))
		c, err := TarDir(root, DirOptions{})
		must(t, err)
		r, err := c.Open(context.Background())
		must(t, err)
		_, err = io.ReadFull(r, make([]byte, 1024))
		must(t, err)
		must(t, os.Truncate(f, size))
		_, err = io.Copy(io.Discard, r)
		wantError(t, err, ocm.ErrConflict, "f changed its size")
		must(t, r.Close())
		t.Log(name, err)
	}
}

func TestTarDirStops(t *testing.T) {
	t.Parallel()
	root := tree(t, "f", "g")
	must(t, os.Truncate(filepath.Join(root, "f"), 1<<20))
	c, err := TarDir(root, DirOptions{})
	must(t, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	r, err := c.Open(ctx)
	must(t, err)
	_, err = io.ReadFull(r, make([]byte, 512))
	must(t, err)
	mine := errors.New("enough")
	cancel(mine)
	_, err = io.Copy(io.Discard, r)
	wantError(t, err, mine)
	must(t, r.Close())
	r, err = c.Open(context.Background())
	must(t, err)
	must(t, r.Close()) // without reading: must not hang
}

func TestTarDirUnreadable(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("the superuser may read everything")
	}
	root := tree(t, "f")
	must(t, os.Chmod(filepath.Join(root, "f"), 0))
	c, err := TarDir(root, DirOptions{})
	must(t, err)
	_, err = read(c)
	wantError(t, err, ocm.ErrDenied, "f")
}

func TestTarDirTooDeep(t *testing.T) {
	t.Parallel()
	root := tree(t)
	deep := root
	for range MaxDirDepth + 1 {
		deep = filepath.Join(deep, "d")
	}
	must(t, os.MkdirAll(deep, 0o755))
	c, err := TarDir(root, DirOptions{})
	must(t, err)
	_, err = read(c)
	wantError(t, err, ocm.ErrLimit, "nested")
}

func TestFile(t *testing.T) {
	t.Parallel()
	root := tree(t, "f", "d/g", "l -> d/g", "out -> ../..", "exit -> /etc/hostname")
	c, err := File(filepath.Join(root, "l"), "")
	must(t, err)
	if c.Root.MediaType != "application/octet-stream" || c.Root.Size != 15 || c.Root.Digest != "" {
		t.Fatalf("found %+v", c.Root)
	}
	r, err := c.Open(context.Background())
	must(t, err)
	if _, ok := r.(*os.File); !ok {
		t.Fatalf("expected an *os.File, found %T", r)
	}
	must(t, r.Close())
	_, err = FileIn(root, "l", "")
	must(t, err)
	for _, name := range []string{"../dr/f", "exit", "out/x", "/etc/hostname"} {
		_, err = FileIn(root, name, "")
		wantError(t, err, ocm.ErrInvalid)
	}
	_, err = File(root, "")
	wantError(t, err, ocm.ErrInvalid, "a directory")
	_, err = File(filepath.Join(root, "none"), "")
	wantError(t, err, ocm.ErrNotFound, "none")
	must(t, os.Truncate(filepath.Join(root, "d/g"), 3))
	_, err = c.Open(context.Background())
	wantError(t, err, ocm.ErrConflict, "expected 15 bytes, found 3")
}

// What is wrong with a file is told with its path, and not with the call that found it.
func TestFileInTellsThePathOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range map[string]string{"missing": syscall.ENOENT.Error(), "../above": "path escapes from parent"} {
		_, err := FileIn(dir, name, "")
		if text := fmt.Sprint(err); !strings.HasPrefix(text, "file "+filepath.Join(dir, name)+": "+want) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
