// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// file is an entry of an archive that a test makes.
type file struct {
	tar.Header
	data string
}

func regular(name, data string) file { return file{tar.Header{Name: name}, data} }

func blobEntry(data string) file { return regular("blobs/"+blobName(digest.FromString(data)), data) }

func indexEntry() file {
	return regular(indexName, fmt.Sprintf(`{"schemaVersion":1,"artifacts":[{"repository":"r","tag":"t","digest":%q,"mediaType":%q}]}`,
		digest.FromString("manifest"), ociv1.MediaTypeImageManifest))
}

func makeTar(t testing.TB, fs ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range fs {
		if f.Typeflag == 0 {
			f.Typeflag = tar.TypeReg
		}
		if f.Typeflag == tar.TypeReg {
			f.Mode, f.Size = 0o644, int64(len(f.data))
		}
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// openBytes opens an archive that holds b.
func openBytes(t testing.TB, b []byte) (*Store, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	} else if !strings.Contains(err.Error(), path) {
		t.Errorf("the error must name the archive: %v", err)
	}
	return s, err
}

// bothForms runs a test on an archive as tar and as tgz.
func bothForms(t *testing.T, b []byte, fn func(t *testing.T, b []byte)) {
	t.Helper()
	t.Run("tar", func(t *testing.T) { fn(t, b) })
	t.Run("tgz", func(t *testing.T) { fn(t, zip(t, b)) })
}

func wantContent(t *testing.T, s *Store, want ...string) {
	t.Helper()
	for _, data := range want {
		d := ociv1.Descriptor{Digest: digest.FromString(data), Size: int64(len(data))}
		got, err := blob.ReadAll(t.Context(), s.Repo("r"), d, 64<<20)
		if err != nil || string(got) != data {
			t.Errorf("expected %.20q, found %.20q, %v", data, got, err)
		}
		if there, err := s.Repo("r").Exists(t.Context(), d); !there || err != nil {
			t.Errorf("%.20q: expected it to exist, found %v, %v", data, there, err)
		}
	}
}

func TestArchive_tolerance(t *testing.T) {
	t.Parallel()
	manifest, other := blobEntry("manifest"), blobEntry("other")
	format := func(f file, format tar.Format) file { f.Format = format; return f }
	dotted := func(f file) file { f.Name = "./" + f.Name; return f }
	folder := func(name string) file { return file{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""} }
	pax := format(other, tar.FormatPAX)
	pax.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "y"}
	for name, fs := range map[string][]file{
		"index last":      {manifest, other, indexEntry()},
		"leading dots":    {folder("./"), dotted(manifest), folder("./blobs/"), dotted(other), dotted(indexEntry())},
		"ustar, gnu, pax": {format(indexEntry(), tar.FormatUSTAR), format(manifest, tar.FormatGNU), pax},
		"other files":     {regular("README", "x"), regular("blobs/README", "x"), regular("blobs/sha256.x/y", "x"), regular("README", "x"), indexEntry(), manifest, other},
		"global comment":  {{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "x"}}, ""}, indexEntry(), manifest, other},
		"folder twice":    {folder("blobs"), folder("blobs"), indexEntry(), manifest, other},
		"empty blob":      {indexEntry(), manifest, other, blobEntry("")},
		"sha512":          {indexEntry(), manifest, other, regular("blobs/"+blobName(digest.SHA512.FromString("x")), "x")},
	} {
		t.Run(name, func(t *testing.T) {
			bothForms(t, makeTar(t, fs...), func(t *testing.T, b []byte) {
				s, err := openBytes(t, b)
				if err != nil {
					t.Fatal(err)
				}
				wantContent(t, s, "manifest", "other")
				d, err := s.Repo("r").Resolve(t.Context(), "t")
				if err != nil || d.Size != int64(len("manifest")) {
					t.Errorf("found %+v, %v", d, err)
				}
			})
		})
	}
}

func TestArchive_padding(t *testing.T) {
	t.Parallel()
	b := append(makeTar(t, indexEntry(), blobEntry("manifest")), make([]byte, 20*512)...)
	bothForms(t, b, func(t *testing.T, b []byte) {
		s, err := openBytes(t, b)
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, s, "manifest")
	})
}

// CVE-2021-21272 (zip slip), GHSA-8xwf-rjm4-xvhv, GHSA-m37j-52j7-pjw7 (links), GHSA-fxhp-mv3v-67qp (hard links),
// CVE-2025-58183 (sparse files), and the rest of what does not belong into a CTF.
func TestCVE_2021_21272_RefusedEntries(t *testing.T) {
	t.Parallel()
	entry := func(typeflag byte, name, link string) file {
		return file{tar.Header{Typeflag: typeflag, Name: name, Linkname: link, Mode: 0o644}, ""}
	}
	name := blobEntry("other").Name
	sparse := blobEntry("other")
	sparse.Format, sparse.PAXRecords = tar.FormatPAX, map[string]string{"XGNU.sparse.major": "1"} // renamed below
	for what, f := range map[string]file{
		"symbolic link":        entry(tar.TypeSymlink, name, "../../etc/passwd"),
		"symbolic link inside": entry(tar.TypeSymlink, name, "sha256.x"),
		"blobs as link":        entry(tar.TypeSymlink, "blobs", "/etc"),
		"hard link":            entry(tar.TypeLink, name, "/etc/passwd"),
		"character device":     entry(tar.TypeChar, name, ""),
		"block device":         entry(tar.TypeBlock, name, ""),
		"pipe":                 entry(tar.TypeFifo, name, ""),
		"contiguous file":      entry(tar.TypeCont, name, ""),
		"absolute name":        regular("/"+name, "other"),
		"absolute folder":      entry(tar.TypeDir, "/blobs/", ""),
		"name with ..":         regular("blobs/../"+name, "other"),
		"leading ..":           regular("../"+name, "other"),
		"only ..":              entry(tar.TypeDir, "..", ""),
		"backslash":            regular(`..\x`, "other"),
		"blob twice":           blobEntry("manifest"),
		"blob twice, dotted":   regular("./"+blobEntry("manifest").Name, "x"),
		"blob twice, slashes":  regular("blobs//"+blobName(digest.FromString("manifest")), "x"),
		"index twice":          indexEntry(),
		"index twice, dotted":  regular("././"+indexName, `{"schemaVersion":1}`),
		"global path":          {tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}, ""},
		"sparse":               sparse,
	} {
		t.Run(what, func(t *testing.T) {
			for _, last := range []bool{true, false} {
				fs := []file{indexEntry(), blobEntry("manifest"), f}
				if !last {
					fs = []file{f, indexEntry(), blobEntry("manifest")}
				}
				b := makeTar(t, fs...)
				b = bytes.Replace(b, []byte("23 XGNU.sparse.major=1\n"), []byte("23 GNU.sparse.major=01\n"), 1)
				bothForms(t, b, func(t *testing.T, b []byte) {
					if _, err := openBytes(t, b); !errors.Is(err, ocm.ErrInvalid) {
						t.Errorf("expected %q, found %v", ocm.ErrInvalid, err)
					}
				})
			}
		})
	}
}

// The old GNU form of a sparse file, by hand: the standard library does not write it.
func TestCVE_2025_58183_Sparse(t *testing.T) {
	t.Parallel()
	b := makeTar(t, file{tar.Header{Name: blobEntry("manifest").Name, Format: tar.FormatGNU}, "manifest"}, indexEntry())
	b[156] = 'S'
	copy(b[386:], "00000000000\x0000000000010\x00") // one piece: offset 0, 8 bytes
	copy(b[483:], "00000000010\x00")                // real size
	sum := 0
	copy(b[148:156], "        ")
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	tr := tar.NewReader(bytes.NewReader(b))
	if hdr, err := tr.Next(); err != nil || hdr.Typeflag != tar.TypeGNUSparse {
		t.Fatalf("the test's archive is not what it should be: %+v, %v", hdr, err)
	}
	bothForms(t, b, func(t *testing.T, b []byte) {
		if _, err := openBytes(t, b); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("expected %q, found %v", ocm.ErrInvalid, err)
		}
	})
}

func TestArchive_damaged(t *testing.T) {
	t.Parallel()
	whole := makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry(strings.Repeat("x", 3000)))
	huge := bytes.Clone(whole)
	copy(huge[1024+124:], "77777777777\x00") // size of the second entry
	fix := func(b []byte, at int) []byte {
		sum := 0
		copy(b[at+148:at+156], "        ")
		for _, c := range b[at : at+512] {
			sum += int(c)
		}
		copy(b[at+148:], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}
	negative := bytes.Clone(whole)
	copy(negative[1024+124:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0")
	for name, b := range map[string][]byte{
		"no index":         makeTar(t, blobEntry("manifest")),
		"nothing":          makeTar(t),
		"broken index":     makeTar(t, regular(indexName, "{")),
		"cut in header":    whole[:1024+100],
		"cut in data":      whole[:1024+512+4],
		"cut after data":   whole[:1024+512+512],
		"cut before end":   whole[:len(whole)-1024],
		"cut in last data": whole[:len(whole)-1024-600],
		"huge size":        fix(huge, 1024),
		"negative size":    fix(negative, 1024),
		"wrong checksum":   append(bytes.Clone(whole[:1024]), bytes.Repeat([]byte{1}, 1024)...),
	} {
		t.Run(name, func(t *testing.T) {
			bothForms(t, b, func(t *testing.T, b []byte) {
				if _, err := openBytes(t, b); !errors.Is(err, ocm.ErrInvalid) {
					t.Errorf("expected %q, found %v", ocm.ErrInvalid, err)
				}
			})
		})
	}
}

func TestTar_truncatedSaysWhere(t *testing.T) {
	t.Parallel()
	b := makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry(strings.Repeat("x", 3000)))
	_, err := openBytes(t, b[:len(b)-1024-600])
	if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "3000 bytes at offset 2560") {
		t.Errorf("expected an error with size and offset, found %v", err)
	}
}

func TestTgz_damaged(t *testing.T) {
	t.Parallel()
	random := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(random)
	good := zip(t, makeTar(t, indexEntry(), blobEntry(string(random))))
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, b := range map[string][]byte{
		"cut in the middle":   good[:len(good)/2],
		"cut before checksum": good[:len(good)-8],
		"cut in checksum":     good[:len(good)-1],
		"flipped in content":  flip(len(good) / 2),
		"flipped checksum":    flip(len(good) - 8),
		"flipped length":      flip(len(good) - 1),
		"header only":         good[:10],
		"something behind it": append(bytes.Clone(good), "garbage, more than ten bytes of it"...),
		"magic only":          {0x1f, 0x8b},
		"not a tar inside":    zip(t, []byte("text")),
		"nothing inside":      zip(t, nil),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openBytes(t, b); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("expected %q, found %v", ocm.ErrInvalid, err)
			}
		})
	}
}

func TestTgz_severalMembers(t *testing.T) {
	t.Parallel()
	b := makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry("other"))
	s, err := openBytes(t, append(zip(t, b[:700]), zip(t, b[700:])...))
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "manifest", "other")
}

// Trivy CVE-2026-54448, Helm CVE-2025-32386: what unpacks to much more than it is.
func TestCVE_2026_54448_Bombs(t *testing.T) {
	t.Parallel()
	t.Run("index", func(t *testing.T) {
		bothForms(t, makeTar(t, regular(indexName, `{"schemaVersion":1}`+strings.Repeat(" ", MaxIndex))), wantLimit)
	})
	t.Run("padding", func(t *testing.T) {
		wantLimit(t, zip(t, append(makeTar(t, indexEntry()), make([]byte, MaxPadding+1)...)))
	})
	t.Run("entries", func(t *testing.T) {
		var b bytes.Buffer
		one := makeTar(t, regular("x", ""))[:512]
		for range MaxArchiveEntries {
			b.Write(one)
		}
		b.Write(makeTar(t, indexEntry()))
		bothForms(t, b.Bytes(), wantLimit)
	})
}

func wantLimit(t *testing.T, b []byte) {
	if _, err := openBytes(t, b); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected %q, found %v", ocm.ErrLimit, err)
	}
}

// largeTgz has more content than a tgz keeps in memory.
func largeTgz(t testing.TB) (b []byte, data []string) {
	fs := []file{indexEntry()}
	for i := range 6 {
		large := strings.Repeat(fmt.Sprint("large ", i, " "), 200_000)
		data = append(data, large, fmt.Sprint("small ", i))
	}
	for _, d := range data {
		fs = append(fs, blobEntry(d))
	}
	return zip(t, makeTar(t, fs...)), data
}

func TestTgz_large(t *testing.T) {
	t.Parallel()
	b, data := largeTgz(t)
	s, err := openBytes(t, b)
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, data...)
	for _, i := range []int{4, 0, 2, 10, 10, 6, 8} { // back and forth
		wantContent(t, s, data[i])
	}
	r := s.Repo("r")
	fetch := func(i int) io.ReadCloser {
		rc, err := r.Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString(data[i]), Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		return rc
	}
	// Readers that are open at once, and closed before their end, do not disturb each other.
	first, second := fetch(2), fetch(0)
	io.CopyN(io.Discard, first, 1000)
	io.CopyN(io.Discard, second, 2000)
	second.Close()
	rest, err := io.ReadAll(first)
	if err != nil || string(rest) != data[2][1000:] {
		t.Errorf("expected the rest of the blob, found %d bytes, %v", len(rest), err)
	}
	first.Close()
	first.Close()
	if _, err := first.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a closed reader must fail, found %v", err)
	}
	wantContent(t, s, data...)
}

func TestTgz_oneCursor(t *testing.T) {
	t.Parallel()
	b, data := largeTgz(t)
	s, err := openBytes(t, b)
	if err != nil {
		t.Fatal(err)
	}
	in := s.files.(*overlay).old.(*packed)
	wantContent(t, s, data[0])
	c := in.idle
	for _, d := range data {
		if len(d) > MaxSmall && d != data[0] {
			wantContent(t, s, d)
		}
		if in.idle != c {
			t.Fatal("reading in the archive's order must not begin at its start again")
		}
	}
	wantContent(t, s, data[0])
	if in.idle == c {
		t.Fatal("a cursor cannot go back")
	}
}

func TestTgz_concurrently(t *testing.T) {
	t.Parallel()
	b, data := largeTgz(t)
	s, err := openBytes(t, b)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { wantContent(t, s, data[(i*5)%len(data)], data[(i*7+3)%len(data)]) })
	}
	wg.Wait()
}

// Content is held in memory up to a bound; beyond it, small content is read from the archive as well.
func TestTgz_heldIsBounded(t *testing.T) {
	t.Parallel()
	fs := []file{indexEntry()}
	var data []string
	for i := range 40 {
		data = append(data, strings.Repeat(fmt.Sprintf("%03d ", i), MaxSmall/4))
		fs = append(fs, blobEntry(data[i]))
	}
	s, err := openBytes(t, zip(t, makeTar(t, fs...)))
	if err != nil {
		t.Fatal(err)
	}
	inMemory := 0
	for _, b := range s.files.(*overlay).old.(*packed).blobs {
		inMemory += len(b.data)
	}
	if inMemory != MaxHeld {
		t.Errorf("expected %d bytes in memory, found %d", MaxHeld, inMemory)
	}
	wantContent(t, s, data...)
}

func TestTgz_changedMeanwhile(t *testing.T) {
	t.Parallel()
	b, data := largeTgz(t)
	path := filepath.Join(t.TempDir(), "x.tgz")
	os.WriteFile(path, b, 0o644)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	os.WriteFile(path, zip(t, makeTar(t, indexEntry(), blobEntry(strings.Repeat("other", 1<<20)))), 0o644)
	_, err = s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString(data[4]), Size: -1})
	if err == nil {
		t.Error("expected an error")
	}
}

func TestTgz_cancelled(t *testing.T) {
	t.Parallel()
	b, data := largeTgz(t)
	s, err := openBytes(t, b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d := ociv1.Descriptor{Digest: digest.FromString(data[4]), Size: int64(len(data[4]))}
	rc, err := s.Repo("r").Fetch(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(rc); !errors.Is(err, context.Canceled) {
		t.Errorf("expected %q, found %v", context.Canceled, err)
	}
	rc.Close()
	wantContent(t, s, data[4], data[6])
}

// What tar gives can be read at any place, so that it can be served in pieces.
func TestTar_readAt(t *testing.T) {
	t.Parallel()
	s, err := openBytes(t, makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry("0123456789")))
	if err != nil {
		t.Fatal(err)
	}
	rc, err := s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString("0123456789"), Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	var b [4]byte
	if _, err := rc.(io.ReaderAt).ReadAt(b[:], 3); err != nil || string(b[:]) != "3456" {
		t.Errorf("found %q, %v", b, err)
	}
	if n, err := rc.(io.Seeker).Seek(0, io.SeekEnd); n != 10 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	s.Close()
	if _, err := rc.(io.ReaderAt).ReadAt(b[:], 3); err == nil {
		t.Error("the archive is closed")
	}
}

// inMemory spares the fuzzer the disk.
type inMemory struct{ io.ReaderAt }

func (inMemory) Close() error { return nil }

func fuzzArchive(f *testing.F, pack func([]byte) []byte) {
	f.Add(makeTar(f, indexEntry(), blobEntry("manifest"), blobEntry("other")))
	f.Add(makeTar(f, blobEntry("other"), file{tar.Header{Name: "blobs/", Typeflag: tar.TypeDir}, ""}, indexEntry()))
	f.Add(makeTar(f, file{tar.Header{Name: "blobs/x", Typeflag: tar.TypeSymlink, Linkname: "/"}, ""}))
	f.Add(makeTar(f, file{tar.Header{Name: indexName, PAXRecords: map[string]string{"a.b": "c"}}, ""}))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = pack(b)
		in, _, err := newArchive(inMemory{bytes.NewReader(b)}, int64(len(b)))
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		s := &Store{files: in}
		var found []digest.Digest
		switch in := in.(type) {
		case *tarFiles:
			for d := range in.blobs {
				found = append(found, d)
			}
		case *packed:
			for d := range in.blobs {
				found = append(found, d)
			}
		}
		for _, d := range found {
			rc, err := s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: d, Size: -1})
			if err != nil {
				t.Fatal(err)
			}
			size, _ := in.stat(d)
			if n, err := io.Copy(io.Discard, rc); err != nil || n != size {
				t.Fatalf("%s: expected %d bytes, found %d, %v", d, size, n, err)
			}
			rc.Close()
		}
	})
}

func FuzzTar(f *testing.F) { fuzzArchive(f, func(b []byte) []byte { return b }) }

// FuzzTgz compresses what the fuzzer makes, because it would never guess a checksum.
func FuzzTgz(f *testing.F) {
	fuzzArchive(f, func(b []byte) []byte {
		var out bytes.Buffer
		w, _ := gzip.NewWriterLevel(&out, gzip.NoCompression)
		w.Write(b)
		w.Close()
		return out.Bytes()
	})
}

func FuzzGzip(f *testing.F) {
	f.Add(zip(f, makeTar(f, indexEntry(), blobEntry("manifest")))[2:])
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append([]byte{0x1f, 0x8b}, b...)
		if _, _, err := newArchive(inMemory{bytes.NewReader(b)}, int64(len(b))); err != nil && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Fatalf("an error of no kind: %v", err)
		}
	})
}
