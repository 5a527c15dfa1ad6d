// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// piece is a part of a file that counts in which way it is read.
type piece struct {
	section
	f             *os.File
	size          int64 // what it says that it has
	read, skipped int64
	onSkip        func()
}

func newPiece(f *os.File, offset, size int64) *piece {
	return &piece{section: section{io.NewSectionReader(f, offset, size)}, f: f, size: size}
}

func (p *piece) Read(b []byte) (int, error) {
	n, err := p.section.Read(b)
	p.read += int64(n)
	return n, err
}

func (p *piece) Extent() (*os.File, int64, int64) {
	f, offset, _ := p.section.Extent()
	return f, offset, p.size - p.skipped
}

func (p *piece) Skip(n int64) {
	p.section.Skip(n)
	p.skipped += n
	if p.onSkip != nil {
		p.onSkip()
	}
}

func randomFile(t testing.TB, dir string, size int) (*os.File, []byte) {
	t.Helper()
	raw := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(raw)
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(raw); err != nil {
		t.Fatal(err)
	}
	return f, raw
}

func described(raw []byte) ociv1.Descriptor {
	return ociv1.Descriptor{Digest: digest.FromBytes(raw), Size: int64(len(raw))}
}

func wantStored(t *testing.T, d *directory, raw []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(d.path, blobsName, blobName(digest.FromBytes(raw))))
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("expected the same %d bytes, found %d, %v", len(raw), len(got), err)
	}
	for _, name := range names(d.blobs) {
		if name[0] == '.' {
			t.Errorf("found %s", name)
		}
	}
}

// The kernel copies what lies in a file, from wherever it lies, and whoever reads that file too does not notice.
func TestKernelCopy(t *testing.T) {
	t.Parallel()
	f, raw := randomFile(t, t.TempDir(), 20<<20+5)
	if _, err := f.Seek(42, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int{{0, len(raw)}, {0, 3 << 20}, {512, 9<<20 + 1}, {4096, 16 << 20}, {77, 1 << 20}} {
		want := raw[at[0] : at[0]+at[1]]
		for _, known := range []bool{true, false} {
			d := newTestDirectory(t)
			p := newPiece(f, int64(at[0]), int64(at[1]))
			desc := ociv1.Descriptor{}
			if known {
				desc = described(want)
			}
			got, err := d.push(t.Context(), desc, p)
			if err != nil || got.Digest != digest.FromBytes(want) || got.Size != int64(len(want)) {
				t.Fatalf("%v: found %v, %v", at, got, err)
			}
			wantStored(t, d, want)
			if p.read != 0 || p.skipped != int64(len(want)) {
				t.Errorf("%v: expected the kernel to copy everything, found %d read, %d skipped", at, p.read, p.skipped)
			}
		}
	}
	if at, _ := f.Seek(0, io.SeekCurrent); at != 42 {
		t.Errorf("the place in the file that others share moved to %d", at)
	}
}

func TestKernelCopy_wholeFile(t *testing.T) {
	t.Parallel()
	f, raw := randomFile(t, t.TempDir(), 9<<20)
	f.Seek(3, io.SeekStart)
	d := newTestDirectory(t)
	if _, err := d.push(t.Context(), described(raw[3:]), f); err != nil {
		t.Fatal(err)
	}
	wantStored(t, d, raw[3:])
	if at, _ := f.Seek(0, io.SeekCurrent); at != int64(len(raw)) {
		t.Errorf("expected the file to be read to its end, found %d", at)
	}
}

// What was there counts from its first byte, and the rest is copied behind it.
func TestKernelCopy_resumed(t *testing.T) {
	t.Parallel()
	f, raw := randomFile(t, t.TempDir(), 12<<20)
	d := newTestDirectory(t)
	blobs, err := d.blobsDir(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := blobs.WriteFile(partName(described(raw)), raw[:5<<20+1], 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPiece(f, 0, int64(len(raw)))
	if _, err := d.push(t.Context(), described(raw), p); err != nil {
		t.Fatal(err)
	}
	wantStored(t, d, raw)
	if want := int64(len(raw) - 5<<20 - 1); p.skipped > want || p.read > want {
		t.Errorf("expected at most %d bytes, found %d skipped, %d read", want, p.skipped, p.read)
	}
}

// A file that has other bytes than it should, more or fewer, is noticed.
func TestKernelCopy_wrongSource(t *testing.T) {
	t.Parallel()
	f, raw := randomFile(t, t.TempDir(), 12<<20)
	other := bytes.Clone(raw)
	other[11<<20]++
	shrunk, _ := randomFile(t, t.TempDir(), 12<<20)
	if err := shrunk.Truncate(7 << 20); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		want []byte
		src  *piece
	}{
		"other bytes": {other, newPiece(f, 0, int64(len(raw)))},
		"more":        {raw[:len(raw)-1], newPiece(f, 0, int64(len(raw)))},
		"fewer":       {raw, newPiece(f, 0, int64(len(raw)-1))},
		"shrunk":      {raw, newPiece(shrunk, 0, int64(len(raw)))},
	} {
		d := newTestDirectory(t)
		if _, err := d.push(t.Context(), described(tt.want), tt.src); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%s: expected %q, found %v", name, ocm.ErrDigest, err)
		}
		if left := names(d.blobs); len(left) != 0 {
			t.Errorf("%s: found %v", name, left)
		}
	}
}

// Where the kernel refuses, or stops half way, the bytes come by here: another file system, a file that
// cannot be read.
func TestKernelCopy_refused(t *testing.T) {
	t.Parallel()
	if dir, err := os.MkdirTemp("/dev/shm", ""); err == nil { // mostly a file system of its own
		t.Cleanup(func() { os.RemoveAll(dir) })
		f, raw := randomFile(t, dir, 9<<20)
		f.Seek(0, io.SeekStart)
		d := newTestDirectory(t)
		if _, err := d.push(t.Context(), described(raw), f); err != nil {
			t.Error(err)
		}
		wantStored(t, d, raw)
	}
	f, raw := randomFile(t, t.TempDir(), 9<<20)
	writeOnly, err := os.OpenFile(f.Name(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writeOnly.Close()
	d := newTestDirectory(t)
	if _, err := d.push(t.Context(), described(raw), writeOnly); err == nil {
		t.Errorf("expected an error, found %v", err)
	}
	// The extent is of no use, the reader is.
	if _, err := d.push(t.Context(), described(raw), &elsewhere{Reader: bytes.NewReader(raw), f: writeOnly}); err != nil {
		t.Error(err)
	}
	wantStored(t, d, raw)
}

type elsewhere struct {
	*bytes.Reader
	f *os.File
}

func (e *elsewhere) Extent() (*os.File, int64, int64) { return e.f, 0, int64(e.Len()) }
func (e *elsewhere) Skip(int64)                       {}

func TestKernelCopy_cancelled(t *testing.T) {
	t.Parallel()
	f, raw := randomFile(t, t.TempDir(), 20<<20)
	d := newTestDirectory(t)
	ctx, cancel := context.WithCancel(t.Context())
	p := newPiece(f, 0, int64(len(raw)))
	p.onSkip = cancel
	if _, err := d.push(ctx, described(raw), p); !errors.Is(err, context.Canceled) || p.skipped != kernelChunk {
		t.Errorf("expected the end after one chunk, found %d bytes, %v", p.skipped, err)
	}
	p = newPiece(f, 0, int64(len(raw)))
	if _, err := d.push(t.Context(), described(raw), p); err != nil || p.skipped > int64(len(raw)-kernelChunk) { // nothing after a clone
		t.Errorf("expected the rest at most, found %d bytes, %v", p.skipped, err)
	}
	wantStored(t, d, raw)
}

// Where blocks can be shared they are: from the first byte, or from any block on, up to the end of the file
// or of a block.
func TestKernelCopy_clone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, raw := randomFile(t, dir, 5<<20+77)
	to := func(size int64) *target {
		out, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { out.Close() })
		out.Write(raw[:size])
		return &target{f: out, size: size}
	}
	if clone(to(0), f, 0, int64(len(raw))) == 0 {
		t.Skip("the file system cannot share blocks")
	}
	for _, tt := range []struct{ have, offset, size, want int64 }{
		{0, 0, 5<<20 + 77, 5<<20 + 77},
		{0, 0, 1<<20 + 77, 1 << 20},
		{0, 8192, 2 << 20, 2 << 20},
		{4096, 4096, 5<<20 + 77 - 4096, 5<<20 + 77 - 4096},
		{0, 512, 1 << 20, 0},
		{100, 100, 1 << 20, 0},
	} {
		target := to(tt.have)
		if got := clone(target, f, tt.offset, tt.size); got != tt.want {
			t.Errorf("%+v: found %d", tt, got)
		}
		if _, err := target.f.Write([]byte("end")); err != nil {
			t.Error(err)
		}
		got, err := os.ReadFile(target.f.Name())
		if want := string(raw[:tt.have]) + string(raw[tt.offset:tt.offset+tt.want]) + "end"; err != nil || string(got) != want {
			t.Errorf("%+v: the copy has other bytes", tt)
		}
	}
}

// Many copies from one file, as from a tar archive, do not disturb each other.
func TestKernelCopy_sameFile(t *testing.T) {
	t.Parallel()
	f, raw := randomFile(t, t.TempDir(), 16<<20)
	d := newTestDirectory(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			part := raw[i<<21 : (i+1)<<21]
			if _, err := d.push(t.Context(), described(part), section{io.NewSectionReader(f, int64(i<<21), 2<<20)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		wantStored(t, d, raw[i<<21:(i+1)<<21])
	}
}

// A section of something that is no file has no extent.
func TestSection_extent(t *testing.T) {
	t.Parallel()
	if f, _, _ := (section{io.NewSectionReader(bytes.NewReader(make([]byte, 10)), 2, 5)}).Extent(); f != nil {
		t.Error("expected no file")
	}
	f, _ := randomFile(t, t.TempDir(), 100)
	s := section{io.NewSectionReader(f, 10, 50)}
	s.Skip(20)
	if got, offset, size := s.Extent(); got != f || offset != 30 || size != 30 {
		t.Errorf("found %d bytes at %d", size, offset)
	}
	b := make([]byte, 100)
	if n, _ := s.Read(b); n != 30 {
		t.Errorf("expected the 30 bytes after what was skipped, found %d", n)
	}
}
