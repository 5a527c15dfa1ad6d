// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

func layoutSeeds(f *testing.F) {
	m := &image{}
	root := m.index(m.manifest([]byte("layer")), m.manifest())
	plain := tarOf(f, append(m.entries("/"), indexEntry("index.json", nil, root))...)
	f.Add(plain)
	f.Add(gz(f, plain))
	f.Add(tarOf(f, append(m.entries("."), indexEntry("artifact-descriptor.json", map[string]string{annotationMain: root.Digest.String()}, root))...))
	f.Add(tarOf(f, entry{name: "blobs/sha256/x", flag: tar.TypeSymlink, link: "../../x"}))
	for _, name := range []string{"testdata/chart-artifactset.tgz", "testdata/image-artifactset.tgz"} {
		b, err := os.ReadFile(name)
		must(f, err)
		f.Add(b)
	}
}

// FuzzLayout: nothing panics, and in place, streamed and verified reading agree on what the main
// artifact is.
func FuzzLayout(f *testing.F) {
	layoutSeeds(f)
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, b []byte) {
		inPlace := ocm.Content{Root: ociv1.Descriptor{Size: int64(len(b))}, From: readerAtFetcher(b)}
		a, errA := Layout(ctx, inPlace)
		s, errS := Layout(ctx, ocm.Content{Root: ociv1.Descriptor{Size: -1}, From: &streamed{b: b}})
		if (errA == nil) != (errS == nil) {
			t.Fatalf("in place: %v, streamed: %v", errA, errS)
		}
		if errA != nil {
			return
		}
		if a.Root.Digest != s.Root.Digest || a.Root.MediaType != s.Root.MediaType {
			t.Fatalf("in place: %+v, streamed: %+v", a.Root, s.Root)
		}
		if (Check(ctx, a) == nil) != (Check(ctx, s) == nil) {
			t.Fatal("the content differs")
		}
	})
}

type readerAtFetcher []byte

func (b readerAtFetcher) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	return struct {
		*bytes.Reader
		nopCloser
	}{bytes.NewReader(b), nopCloser{}}, nil
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

// FuzzCheckLayout: what CheckLayout accepts, Layout delivers completely.
func FuzzCheckLayout(f *testing.F) {
	layoutSeeds(f)
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, b []byte) {
		c := ocm.Content{Root: ociv1.Descriptor{Size: -1}, From: &streamed{b: b}}
		d, err := CheckLayout(ctx, c)
		if err != nil {
			return
		}
		l, err := Layout(ctx, c)
		must(t, err)
		if l.Root.Digest != d.Digest || l.Root.MediaType != d.MediaType || l.Root.Size != d.Size {
			t.Fatalf("checked %+v, opened %+v", d, l.Root)
		}
		must(t, Check(ctx, l))
	})
}

// FuzzExtract: whatever is unpacked, nothing appears outside, and no link leads there.
func FuzzExtract(f *testing.F) {
	for _, entries := range [][]entry{
		{{name: "./", flag: tar.TypeDir}, {name: "a/b", body: "x"}, {name: "l", flag: tar.TypeSymlink, link: "a/b"}, {name: "h", flag: tar.TypeLink, link: "a/b"}},
		{{name: "d/up", flag: tar.TypeSymlink, link: ".."}, {name: "l", flag: tar.TypeSymlink, link: "d/up"}, {name: "l/f", body: "x"}},
		{{name: "../x", body: "x"}},
	} {
		f.Add(tarOf(f, entries...))
		f.Add(gz(f, tarOf(f, entries...)))
	}
	f.Fuzz(extractSafely)
}

// FuzzExtractEntries does the same with archives that are well-formed: each line is an entry,
// "name>target" a symbolic link, "name=target" a hard link, "name/" a directory.
func FuzzExtractEntries(f *testing.F) {
	f.Add("d/\nd/up>..\nl>d/up\nf\nh=f")
	f.Add("a/b/c>../..\nx>a/b/c/../y\nl>x\nl/f")
	f.Fuzz(func(t *testing.T, lines string) {
		var entries []entry
		for line := range strings.SplitSeq(lines, "\n") {
			e := entry{name: line, flag: tar.TypeReg, body: "x"}
			if i := strings.IndexAny(line, ">="); i >= 0 {
				e = entry{name: line[:i], link: line[i+1:], flag: tar.TypeSymlink}
				if line[i] == '=' {
					e.flag = tar.TypeLink
				}
			} else if strings.HasSuffix(line, "/") {
				e.flag = tar.TypeDir
			}
			if e.name == "" || strings.ContainsRune(line, 0) {
				return // cannot be written
			}
			entries = append(entries, e)
		}
		extractSafely(t, tarOf(t, entries...))
	})
}

func extractSafely(t *testing.T, b []byte) {
	base := t.TempDir()
	dir := filepath.Join(base, "out")
	err := extract(dir, b, ExtractOptions{MaxEntries: 100, MaxBytes: 1 << 20})
	beside, readErr := os.ReadDir(base)
	must(t, readErr)
	if err != nil && len(beside) != 0 || err == nil && (len(beside) != 1 || beside[0].Name() != "out") {
		t.Fatalf("error %v, found %v", err, beside)
	}
	if err != nil {
		return
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink != 0 {
			rel, err := filepath.Rel(dir, p)
			must(t, err)
			if _, err := root.Stat(rel); leaves(err) {
				t.Fatalf("%s leads out", p)
			}
		}
		return err
	}))
}

// FuzzGlob: patterns do not panic, and one that is a "**" before any other still matches what
// the other one does.
func FuzzGlob(f *testing.F) {
	f.Add("a/**/b*", "a/x/bc")
	f.Add("[a-", "a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g, err := newGlobs("test", []string{pattern})
		if err != nil {
			return
		}
		if deep := (globs{"**/" + g[0]}); g.match(name) && !strings.Contains(name, "/") && !strings.Contains(g[0], "/") && !deep.match(name) {
			t.Fatalf("%q matches %q, %q does not", g[0], name, deep[0])
		}
	})
}
