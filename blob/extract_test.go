// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
)

// outer makes a directory with a secret beside the place that archives are extracted to, and
// proves in the end that nothing but that place has changed.
func outer(t *testing.T) (dir string) {
	t.Helper()
	base := t.TempDir()
	must(t, os.WriteFile(filepath.Join(base, "secret"), []byte("secret"), 0o600))
	must(t, os.Mkdir(filepath.Join(base, "other"), 0o755))
	t.Cleanup(func() {
		var found []string
		err := filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(base, p)
			if rel == "out" {
				return fs.SkipDir
			}
			found = append(found, rel)
			return err
		})
		if got := strings.Join(found, " "); err != nil || got != ". other secret" {
			t.Errorf("something outside has changed: %s %v", got, err)
		}
		if b, err := os.ReadFile(filepath.Join(base, "secret")); err != nil || string(b) != "secret" {
			t.Errorf("the secret was changed: %q %v", b, err)
		}
	})
	return filepath.Join(base, "out")
}

func extract(dir string, b []byte, o ExtractOptions) error {
	return Extract(context.Background(), bytes.NewReader(b), dir, o)
}

func TestExtract(t *testing.T) {
	t.Parallel()
	b := tarOf(t,
		entry{name: "pax", flag: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "x"}},
		entry{name: "./", flag: tar.TypeDir, mode: 0o755},
		entry{name: "a.txt", body: "a", mode: 0o4755},
		entry{name: "closed/", flag: tar.TypeDir, mode: 0o555},
		entry{name: "closed/b.txt", body: "b", mode: 0o440},
		entry{name: "no/parents/c.txt", body: "c"},
		entry{name: "no/link", flag: tar.TypeSymlink, link: "../a.txt"},
		entry{name: "no/up", flag: tar.TypeSymlink, link: ".."},
		entry{name: "hard", flag: tar.TypeLink, link: "./closed/b.txt"},
		entry{name: "dangling", flag: tar.TypeSymlink, link: "not/there"},
	)
	for _, b := range [][]byte{b, gz(t, b)} {
		dir := outer(t)
		must(t, extract(dir, b, ExtractOptions{}))
		for name, want := range map[string]string{
			"a.txt": "a", "closed/b.txt": "b", "no/parents/c.txt": "c", "no/link": "a", "no/up/a.txt": "a", "hard": "b",
		} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
				t.Errorf("%s: expected %q, found %q, %v", name, want, got, err)
			}
		}
		for name, want := range map[string]fs.FileMode{"a.txt": 0o755, "closed/b.txt": 0o440, "no/parents/c.txt": 0o644, "closed": fs.ModeDir | 0o755} {
			info, err := os.Lstat(filepath.Join(dir, name))
			must(t, err)
			if got := info.Mode(); got&^0o022 != want&^0o022 { // the process's mask may take away these
				t.Errorf("%s: expected mode %s, found %s", name, want, got)
			}
		}
	}
}

func TestExtractTarget(t *testing.T) {
	t.Parallel()
	b := tarOf(t, entry{name: "f", body: "x"})
	dir := filepath.Join(t.TempDir(), "new/parents/out")
	must(t, extract(dir, b, ExtractOptions{}))
	wantError(t, extract(dir, b, ExtractOptions{}), ocm.ErrExists, "with content")
	wantError(t, extract(filepath.Join(dir, "f"), b, ExtractOptions{}), ocm.ErrExists)
	must(t, extract(t.TempDir(), b, ExtractOptions{})) // empty
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(t.TempDir(), link))
	wantError(t, extract(link, b, ExtractOptions{}), ocm.ErrExists, "a symbolic link")

	// After an error, also one of the reader, there is no directory at all.
	parent := t.TempDir()
	broken := io.MultiReader(bytes.NewReader(tarOf(t, entry{name: "f", body: "x"})[:1024]), failingReader{io.ErrNoProgress})
	wantError(t, Extract(context.Background(), broken, filepath.Join(parent, "out"), ExtractOptions{}), io.ErrNoProgress)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantError(t, Extract(ctx, bytes.NewReader(b), filepath.Join(parent, "out"), ExtractOptions{}), context.Canceled)
	left, err := os.ReadDir(parent)
	must(t, err)
	if len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// refused extracts archives that must not be extracted.
func refused(t *testing.T, archives map[string][]entry) {
	t.Helper()
	for name, entries := range archives {
		t.Run(name, func(t *testing.T) {
			dir := outer(t)
			wantError(t, extract(dir, tarOf(t, entries...), ExtractOptions{}), ocm.ErrInvalid, "archive entry")
			if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("the directory is there: %v", err)
			}
		})
	}
}

// TestCVE_2021_21272_ZipSlip: names that lead out of the directory.
func TestCVE_2021_21272_ZipSlip(t *testing.T) {
	t.Parallel()
	refused(t, map[string][]entry{
		"parent":    {{name: "../secret", body: "x"}},
		"deep":      {{name: "a/../../secret", body: "x"}},
		"inside":    {{name: "a/../b", body: "x"}},
		"absolute":  {{name: "/secret", body: "x"}},
		"directory": {{name: "../other2/", flag: tar.TypeDir}},
		"dots":      {{name: "..", body: "x"}},
		"link":      {{name: "../l", flag: tar.TypeSymlink, link: "x"}},
	})
}

// TestCVE_2026_50162_SymlinkedParent: a file below a link that the archive brought along, even
// if the link stays inside.
func TestCVE_2026_50162_SymlinkedParent(t *testing.T) {
	t.Parallel()
	refused(t, map[string][]entry{
		"out":       {{name: "l", flag: tar.TypeSymlink, link: ".."}, {name: "l/secret", body: "x"}},
		"absolute":  {{name: "l", flag: tar.TypeSymlink, link: "/tmp"}, {name: "l/secret", body: "x"}},
		"inside":    {{name: "d/", flag: tar.TypeDir}, {name: "l", flag: tar.TypeSymlink, link: "d"}, {name: "l/f", body: "x"}},
		"directory": {{name: "l", flag: tar.TypeSymlink, link: "d"}, {name: "l/", flag: tar.TypeDir}},
		"file":      {{name: "l", flag: tar.TypeSymlink, link: "new"}, {name: "l", body: "x"}},
		"dir first": {{name: "d/", flag: tar.TypeDir}, {name: "d", flag: tar.TypeSymlink, link: "x"}},
		"via file":  {{name: "f", body: "x"}, {name: "f/g", body: "x"}},
	})
}

// TestGHSA_m37j_52j7_pjw7_SymlinkChain: links each of which looks harmless.
func TestGHSA_m37j_52j7_pjw7_SymlinkChain(t *testing.T) {
	t.Parallel()
	refused(t, map[string][]entry{
		// d/up is the root, so d/up/.. is its parent, though the text "d/up/.." reads as "d".
		"dots behind a link": {{name: "d/", flag: tar.TypeDir}, {name: "d/up", flag: tar.TypeSymlink, link: ".."}, {name: "l", flag: tar.TypeSymlink, link: "d/up/.."}},
		"order turned":       {{name: "l", flag: tar.TypeSymlink, link: "d/up/../secret"}, {name: "d/", flag: tar.TypeDir}, {name: "d/up", flag: tar.TypeSymlink, link: ".."}},
		"hidden dots":        {{name: "l", flag: tar.TypeSymlink, link: "./x/./../../secret"}},
		"too many dots":      {{name: "d/l", flag: tar.TypeSymlink, link: "../../secret"}},
		"absolute":           {{name: "l", flag: tar.TypeSymlink, link: "/etc/passwd"}},
		"hard link to link":  {{name: "d/up", flag: tar.TypeSymlink, link: ".."}, {name: "h", flag: tar.TypeLink, link: "d/up"}},
		"hard link via link": {{name: "f", body: "x"}, {name: "d/up", flag: tar.TypeSymlink, link: ".."}, {name: "h", flag: tar.TypeLink, link: "d/up/f"}},
	})
}

// TestCVE_2026_29064_SymlinkTarget: links that are kept never lead out, whatever way they take.
func TestCVE_2026_29064_SymlinkTarget(t *testing.T) {
	t.Parallel()
	dir := outer(t)
	must(t, extract(dir, tarOf(t,
		entry{name: "a/b/up", flag: tar.TypeSymlink, link: "../.."},
		entry{name: "a/l", flag: tar.TypeSymlink, link: "b/up/a/b/up"},
		entry{name: "loop", flag: tar.TypeSymlink, link: "loop"},
	), ExtractOptions{}))
	real, err := filepath.EvalSymlinks(filepath.Join(dir, "a/l"))
	must(t, err)
	if want, _ := filepath.EvalSymlinks(dir); real != want {
		t.Fatalf("expected %s, found %s", want, real)
	}
}

// TestCVE_2026_50163_Hardlink: the target of a hard link is a file of the archive, not one of
// the current directory.
func TestCVE_2026_50163_Hardlink(t *testing.T) {
	t.Parallel()
	refused(t, map[string][]entry{
		"current directory": {{name: "h", flag: tar.TypeLink, link: "extract.go"}}, // is there when tests run
		"parent":            {{name: "h", flag: tar.TypeLink, link: "../secret"}},
		"absolute":          {{name: "h", flag: tar.TypeLink, link: "/etc/hostname"}},
		"later":             {{name: "h", flag: tar.TypeLink, link: "f"}, {name: "f", body: "x"}},
		"directory":         {{name: "d/", flag: tar.TypeDir}, {name: "h", flag: tar.TypeLink, link: "d"}},
		"root":              {{name: "h", flag: tar.TypeLink, link: "."}},
		"itself":            {{name: "h", flag: tar.TypeLink, link: "h"}},
		"then overwritten":  {{name: "f", body: "x"}, {name: "h", flag: tar.TypeLink, link: "f"}, {name: "h", body: "y"}},
	})
}

// TestCVE_2024_10389_LetterCase: on a file system that ignores case, "L" is the link "l". The
// extractor asks the file system for each parent, so it refuses there; elsewhere they are two
// names. Either way nothing is written through the link.
func TestCVE_2024_10389_LetterCase(t *testing.T) {
	t.Parallel()
	dir := outer(t)
	err := extract(dir, tarOf(t, entry{name: "d/", flag: tar.TypeDir}, entry{name: "l", flag: tar.TypeSymlink, link: "d"}, entry{name: "L/f", body: "x"}), ExtractOptions{})
	if err != nil {
		wantError(t, err, ocm.ErrInvalid)
		return
	}
	if _, err := os.Lstat(filepath.Join(dir, "d/f")); err == nil {
		t.Fatal("a file was written through a link")
	}
}

func TestExtractRefuses(t *testing.T) {
	t.Parallel()
	refused(t, map[string][]entry{
		"device":       {{name: "dev", flag: tar.TypeBlock}},
		"pipe":         {{name: "p", flag: tar.TypeFifo}},
		"unknown type": {{name: "u", flag: 'V'}},
		"twice":        {{name: "f", body: "x"}, {name: "f", body: "y"}},
		"root as file": {{name: ".", body: "x"}},
		"empty target": {{name: "l", flag: tar.TypeSymlink, link: ""}},
	})
}

// TestCVE_2025_32386_Bomb: a few bytes that unpack to many, or to many files.
func TestCVE_2025_32386_Bomb(t *testing.T) {
	t.Parallel()
	big := gz(t, tarOf(t, entry{name: "a", body: strings.Repeat("\x00", 3<<20)}, entry{name: "b", body: strings.Repeat("\x00", 3<<20)}))
	if len(big) > 64<<10 {
		t.Fatalf("no bomb: %d bytes", len(big))
	}
	wantError(t, extract(outer(t), big, ExtractOptions{MaxBytes: 5 << 20}), ocm.ErrLimit, `"b"`)
	many := tarOf(t, entry{name: "a"}, entry{name: "b"}, entry{name: "c"})
	wantError(t, extract(outer(t), many, ExtractOptions{MaxEntries: 2}), ocm.ErrLimit)
	must(t, extract(outer(t), many, ExtractOptions{MaxEntries: 4}))
	// Directories that only stand in names count as well.
	deep := tarOf(t, entry{name: "a/b/c/d/e", body: ""})
	wantError(t, extract(outer(t), deep, ExtractOptions{MaxEntries: 3}), ocm.ErrLimit)
	wantError(t, extract(outer(t), tarOf(t, entry{name: strings.Repeat("d/", maxExtractDepth+1) + "f"}), ExtractOptions{}), ocm.ErrLimit, "nested")
	wantError(t, extract(outer(t), tarOf(t, entry{name: strings.Repeat("d", maxPath+1)}), ExtractOptions{}), ocm.ErrLimit, "bytes")
	// Headers that belong to no entry do not go on for ever.
	pax := tarOf(t, entry{name: strings.Repeat("n", 1<<10)})[:512+1536]
	wantError(t, extract(outer(t), gz(t, bytes.Repeat(pax, 4096)), ExtractOptions{}), ocm.ErrLimit)
}
