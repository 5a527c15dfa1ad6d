// SPDX-License-Identifier: Apache-2.0

package componentarchive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/componentarchive"
	"ocm/descriptor"
	"ocm/internal/fixture"
)

// document is a descriptor with one resource, whose access is a local blob of this reference.
func document(reference string) string {
	return fmt.Sprintf(`{"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/app","version":"1.0.0","provider":"p",
"repositoryContexts":[],"sources":[],"componentReferences":[],"resources":[{"name":"res","version":"1.0.0","type":"blob","relation":"local",
"access":{"type":"localBlob","mediaType":"text/plain","localReference":%q}}]}}`, reference)
}

// content reads the one resource of an archive.
func content(t testing.TB, path string) (string, error) {
	t.Helper()
	r, err := componentarchive.Open(path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	v, err := r.Open(t.Context(), "acme.org/app", "1.0.0")
	if err != nil {
		return "", err
	}
	c, err := v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access)
	if err != nil {
		return "", err
	}
	rc, err := blob.OpenContent(t.Context(), c)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	return string(raw), err
}

// CVE-2021-21272, CVE-2024-3727, CVE-2026-40090: what a descriptor says is never a path.
func TestReferencesDoNotLeadOut(t *testing.T) {
	t.Parallel()
	for _, reference := range []string{
		"../component-descriptor.yaml", "..", ".", "/etc/passwd", "sub/file", "sub\\file", "sha256:../../secret", "../blobs/sub/file",
		"./good", "good/", "good/../good", "a\x00b",
	} {
		for name, form := range forms() {
			path := form(t, []member{{descriptor.FileName, document(reference)}, {"blobs/good", "good"}, {"blobs/sub/file", "nested"}, {"secret", "s3cret"}})
			if text, err := content(t, path); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("%s, %q: found %q, %v", name, reference, text, err)
			}
		}
	}
	for name, form := range forms() { // a folder below blobs is none of its files, whatever it is called
		path := form(t, []member{{descriptor.FileName, document("sub")}, {"blobs/sub/file", "nested"}})
		if text, err := content(t, path); err == nil {
			t.Errorf("%s: found %q", name, text)
		}
	}
}

// CVE-2026-50162, GHSA-m37j-52j7-pjw7, CVE-2026-29064, and links among the blobs of a layout: none is followed.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, build := range map[string]func(dir string) error{
		"a blob outside": func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "blobs", "x")) },
		"a chain": func(dir string) error {
			return errors.Join(os.Symlink("y", filepath.Join(dir, "blobs", "x")), os.Symlink(outside, filepath.Join(dir, "blobs", "y")))
		},
		"a blob inside": func(dir string) error { return os.Symlink("good", filepath.Join(dir, "blobs", "x")) },
		"the folder": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "blobs")), os.Symlink(filepath.Dir(outside), filepath.Join(dir, "blobs")))
		},
		"the folder, inside": func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "blobs"), filepath.Join(dir, "real")), os.Symlink("real", filepath.Join(dir, "blobs")))
		},
		"the document": func(dir string) error {
			file := filepath.Join(dir, descriptor.FileName)
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file))
		},
		"the document, inside": func(dir string) error {
			file := filepath.Join(dir, descriptor.FileName)
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(descriptor.FileName+".real", file))
		},
	} {
		reference := "x"
		if strings.HasPrefix(name, "the") {
			reference = "good"
		}
		if name == "the folder" {
			reference = "secret"
		}
		dir := folderOf(t, []member{{descriptor.FileName, document(reference)}, {"blobs/good", "good"}})
		if err := build(dir); err != nil {
			t.Fatal(err)
		}
		if text, err := content(t, dir); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: found %q, %v", name, text, err)
		}
		if reference != "x" {
			continue
		}
		v := fixture.Must[ocm.Version](t)(open(t, dir).Open(t.Context(), "acme.org/app", "1.0.0"))
		if c, err := v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: it is told as %+v, %v", name, c.Root, err)
		}
	}
}

// CVE-2026-50163, CVE-2018-1002207, CVE-2025-58183, CVE-2022-41722 and others: what an archive of this format has no need for.
func TestOddTarEntriesAreRefused(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]tar.Header{
		"zip slip":      {Name: "blobs/../../x"},
		"absolute":      {Name: "/blobs/x"},
		"backslash":     {Name: `blobs\x`},
		"symbolic link": {Name: "blobs/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		"hard link":     {Name: "blobs/x", Typeflag: tar.TypeLink, Linkname: "../secret"},
		"device":        {Name: "blobs/x", Typeflag: tar.TypeChar},
		"pipe":          {Name: "blobs/x", Typeflag: tar.TypeFifo},
		"sparse":        {Name: "blobs/x", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}},
		"second blob":   {Name: "blobs/good", Typeflag: tar.TypeReg},
		"other case":    {Name: "blobs/GOOD", Typeflag: tar.TypeReg}, // CVE-2024-10389
	} {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		raw := tarOf(t, []member{{descriptor.FileName, document("good")}, {"blobs/good", "good"}})
		var more bytes.Buffer
		w := tar.NewWriter(&more)
		if h.PAXRecords == nil {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(name, err)
			}
		} else {
			more.Write(sparse(t, h.Name))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all := append(bytes.TrimSuffix(raw, make([]byte, 1024)), more.Bytes()...)
		for form, raw := range map[string][]byte{"tar": all, "tgz": gzipped(t, all)} {
			if text, err := content(t, write(t, "a."+form, raw)); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("%s, %s: found %q, %v", name, form, text, err)
			}
		}
	}
}

// sparse is an entry of PAX format that claims to be sparse; the tar writer of the standard library makes none.
func sparse(t *testing.T, name string) []byte {
	t.Helper()
	var records string
	for _, kv := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=" + name, "GNU.sparse.realsize=1048576"} {
		n := len(kv) + 4 // " ", "\n" and two digits
		records += fmt.Sprintf("%d %s\n", n, kv)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "PaxHeaders/x", Typeflag: tar.TypeReg, Size: int64(len(records)), Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, records); err != nil {
		t.Fatal(err)
	}
	const data = "1\n0\n5\n"
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 512 + 5, Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(append(append([]byte(data), make([]byte, 512-len(data))...), "hello"...)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	raw[156] = tar.TypeXHeader
	sum := 0
	for i, c := range raw[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return raw
}

// In a folder on a disk where case counts, two names may still be the same for others: CVE-2024-10389.
func TestNamesThatDifferByCase(t *testing.T) {
	t.Parallel()
	dir := folderOf(t, []member{{descriptor.FileName, document("good")}, {"blobs/good", "good"}, {"blobs/Good", "evil"}})
	if entries, err := os.ReadDir(filepath.Join(dir, "blobs")); err != nil || len(entries) < 2 {
		t.Skip("case does not count here")
	}
	if text, err := content(t, dir); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "case does not count") {
		t.Errorf("found %q, %v", text, err)
	}
}

// CVE-2025-47290: what is read is what was there when the archive was opened, or an error.
func TestChangedFolderIsNoticed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"longer": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("longer"), 0o600))
		},
		"link":   func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/hostname", path)) },
		"folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"gone":   os.Remove,
	} {
		dir := folderOf(t, []member{{descriptor.FileName, document("good")}, {"blobs/good", "good"}})
		r := open(t, dir)
		v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/app", "1.0.0"))
		c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
		if err := change(filepath.Join(dir, "blobs", "good")); err != nil {
			t.Fatal(err)
		}
		if rc, err := c.Open(t.Context()); err == nil {
			rc.Close()
			t.Errorf("%s: not noticed", name)
		}
	}
}

// A file whose name is a digest has to have it, whatever the resource says of its own.
func TestContentUnderItsDigest(t *testing.T) {
	t.Parallel()
	d := digest.FromString("good")
	for _, reference := range []string{d.String(), "sha256." + d.Encoded()} {
		for name, form := range forms() {
			path := form(t, []member{{descriptor.FileName, document(reference)}, {"blobs/sha256." + d.Encoded(), "evil"}})
			if text, err := content(t, path); !errors.Is(err, ocm.ErrDigest) {
				t.Errorf("%s: found %q, %v", name, text, err)
			}
		}
	}
}

// CVE-2025-32386, CVE-2026-54448 and their like: what decompresses to more than it should is refused, in little memory.
func TestBombs(t *testing.T) {
	for name, c := range map[string]struct {
		build func(w *tar.Writer, raw io.Writer) error
		want  error
		most  uint64 // bytes of memory in all; 0: not measured
	}{
		"document": {func(w *tar.Writer, _ io.Writer) error { return zeros(w, descriptor.FileName, 64<<20) }, ocm.ErrLimit, 100 << 20},
		"padding": {func(w *tar.Writer, raw io.Writer) error {
			err := errors.Join(small(w), w.Close())
			_, more := io.CopyN(raw, zero{}, 24<<20)
			return errors.Join(err, more)
		}, ocm.ErrLimit, 0},
		"entries": {func(w *tar.Writer, _ io.Writer) error {
			err := small(w)
			for i := 0; err == nil && i <= componentarchive.MaxEntries; i++ {
				err = w.WriteHeader(&tar.Header{Name: fmt.Sprint("x", i), Typeflag: tar.TypeReg})
			}
			return err
		}, ocm.ErrLimit, 0},
		"blob": {func(w *tar.Writer, _ io.Writer) error { return errors.Join(small(w), zeros(w, "blobs/large", 64<<20)) }, nil, 32 << 20},
	} {
		var b bytes.Buffer
		zw := gzip.NewWriter(&b)
		w := tar.NewWriter(zw)
		if err := errors.Join(c.build(w, zw), w.Close(), zw.Close()); err != nil {
			t.Fatal(name, err)
		}
		path := write(t, "bomb.tgz", b.Bytes())
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		if _, err := content(t, path); !errors.Is(err, c.want) {
			t.Errorf("%s: expected %v, found %v", name, c.want, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; c.most > 0 && used > c.most {
			t.Errorf("%s: %d bytes of memory", name, used)
		}
	}
}

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func zeros(w *tar.Writer, name string, size int64) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size}); err != nil {
		return err
	}
	_, err := io.CopyN(w, zero{}, size)
	return err
}

func small(w *tar.Writer) error {
	text := document("good")
	if err := w.WriteHeader(&tar.Header{Name: descriptor.FileName, Typeflag: tar.TypeReg, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := io.WriteString(w, text)
	return errors.Join(err, zeros(w, "blobs/good", 4))
}

// Large content of a compressed archive is found again each time, and its reader ends with its context.
func TestLargeContentOfCompressedArchive(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", (componentarchive.MaxSmall/16)+1)
	path := forms()["tgz"](t, []member{{"blobs/large", text}, {descriptor.FileName, document("large")}, {"blobs/other", "small"}})
	for range 2 {
		if found, err := content(t, path); err != nil || found != text {
			t.Fatalf("%d bytes, %v", len(found), err)
		}
	}
	r := open(t, path)
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/app", "1.0.0"))
	c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
	ctx, cancel := context.WithCancel(t.Context())
	rc := fixture.Must[io.ReadCloser](t)(c.Open(ctx))
	cancel()
	if _, err := rc.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	if _, err := c.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	rc = fixture.Must[io.ReadCloser](t)(c.Open(t.Context()))
	if err := rc.Close(); err != nil {
		t.Error(err)
	}
	if _, err := rc.Read(make([]byte, 1)); err == nil {
		t.Error("a closed reader reads")
	}
	raw := fixture.Must[[]byte](t)(os.ReadFile(path))
	other := fixture.Must[[]byte](t)(os.ReadFile(forms()["tgz"](t, []member{{descriptor.FileName, document("large")}})))
	if len(other) > len(raw) {
		t.Fatal("not the archive that the test wants")
	}
	if err := os.WriteFile(path, append(other, make([]byte, len(raw)-len(other))...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context()); err == nil {
		t.Error("another archive under the same name is not noticed")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := []member{{descriptor.FileName, document("good")}, {"blobs/good", strings.Repeat("good", 1000)}}
	whole := tarOf(t, good)
	for name, c := range map[string]struct {
		path string
		want error
		says string
	}{
		"nothing there":   {filepath.Join(t.TempDir(), "x"), ocm.ErrNotFound, "no such folder or archive"},
		"empty folder":    {t.TempDir(), ocm.ErrInvalid, "component-descriptor.yaml is missing"},
		"empty file":      {write(t, "a", nil), ocm.ErrInvalid, ""},
		"text":            {write(t, "a", []byte(strings.Repeat("no archive ", 100))), ocm.ErrInvalid, "neither a folder nor a tar archive"},
		"no document":     {write(t, "a", tarOf(t, good[1:])), ocm.ErrInvalid, "component-descriptor.yaml is missing"},
		"two documents":   {write(t, "a", tarOf(t, append(good, good[0]))), ocm.ErrInvalid, "is there twice"},
		"truncated":       {write(t, "a", whole[:len(whole)-4096]), ocm.ErrInvalid, "truncated"},
		"truncated gzip":  {write(t, "a", gzipped(t, whole)[:200]), ocm.ErrInvalid, ""},
		"bad checksum":    {write(t, "a", spoil(gzipped(t, whole), -6)), ocm.ErrInvalid, ""},
		"half a header":   {write(t, "a", []byte{0x1f, 0x8b}), ocm.ErrInvalid, ""},
		"no descriptor":   {folderOf(t, []member{{descriptor.FileName, "hello"}}), ocm.ErrInvalid, ""},
		"unknown schema":  {folderOf(t, []member{{descriptor.FileName, "meta: {schemaVersion: v9}\ncomponent: {}"}}), ocm.ErrUnknownType, "v9"},
		"blobs is a file": {folderOf(t, []member{{descriptor.FileName, document("x")}, {"blobs", ""}}), ocm.ErrInvalid, "blobs is no folder"},
		"large document":  {folderOf(t, []member{{descriptor.FileName, strings.Repeat(" ", descriptor.MaxBytes+1)}}), ocm.ErrLimit, ""},
		"device":          {os.DevNull, ocm.ErrInvalid, ""},
	} {
		if _, err := componentarchive.Open(c.path); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: expected %v with %q, found %v", name, c.want, c.says, err)
		}
	}
}

func spoil(raw []byte, at int) []byte {
	raw[len(raw)+at] ^= 0xff
	return raw
}
