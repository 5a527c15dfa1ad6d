// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// large is a blob that has a part while it comes.
func large(name string) (ociv1.Descriptor, []byte) {
	raw := make([]byte, 5<<20+123)
	rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(raw)
	return ociv1.Descriptor{MediaType: "application/x", Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw
}

func partFile(dir string, d ociv1.Descriptor) string {
	return filepath.Join(dir, "blobs", ".sha256."+d.Digest.Encoded()+".part")
}

// counting counts the bytes that are read of a source that can seek.
type counting struct {
	*bytes.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *counting) WriteTo(io.Writer) (int64, error) { panic("not by this way") }

// cut ends with an error after so many bytes.
func cut(raw []byte, n int) io.Reader {
	return io.MultiReader(bytes.NewReader(raw[:n]), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
}

func wantPart(t *testing.T, dir string, d ociv1.Descriptor, prefix []byte) {
	t.Helper()
	got, err := os.ReadFile(partFile(dir, d))
	if err != nil || len(got) == 0 || !bytes.HasPrefix(prefix, got) {
		t.Fatalf("expected the beginning of the blob, found %d bytes, %v", len(got), err)
	}
}

func wantBlob(t *testing.T, dir string, d ociv1.Descriptor) {
	t.Helper()
	verifyFile(t, blobFile(dir, d.Digest))
	if fi, err := os.Lstat(blobFile(dir, d.Digest)); err != nil || fi.Mode() != 0o444 {
		t.Errorf("expected a file with mode 0444, found %v, %v", fi, err)
	}
	wantNoTemps(t, dir)
}

// A process that is killed in the middle of a blob leaves its part; the next run reads the rest.
func TestPart_killed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := process(t, "half", dir, "blob")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "stuck\n" {
		t.Fatalf("found %q, %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()

	d, raw := large("blob")
	s := open(t, dir)
	if there, err := s.Repo("r").Exists(t.Context(), d); there || err != nil {
		t.Fatalf("half a blob must not exist: %v, %v", there, err)
	}
	wantPart(t, dir, d, raw)
	fi, _ := os.Stat(partFile(dir, d))
	src := &counting{Reader: bytes.NewReader(raw)}
	if _, err := s.Repo("r").Push(t.Context(), d, src); err != nil {
		t.Fatal(err)
	}
	if want := d.Size - fi.Size(); src.n != want {
		t.Errorf("expected %d bytes to be read, found %d", want, src.n)
	}
	wantBlob(t, dir, d)
}

// Processes that bring the same blob at once do not disturb each other, nor one that is stuck in it.
func TestPart_processes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := process(t, "half", dir, "blob")
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "stuck\n" {
		t.Fatalf("found %q, %v", line, err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if out, err := process(t, "whole", dir, "blob").CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	d, raw := large("blob")
	verifyFile(t, blobFile(dir, d.Digest))
	wantPart(t, dir, d, raw) // of the one that is stuck
	first.Process.Kill()
	first.Wait()
	if _, err := open(t, dir).Repo("r").Push(t.Context(), d, bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, dir, d)
}

// So do goroutines.
func TestPart_goroutines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	d, raw := large("blob")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Repo("r").Push(t.Context(), d, bytes.NewReader(raw)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantBlob(t, dir, d)
}

func TestPart_kept(t *testing.T) {
	t.Parallel()
	d, raw := large("blob")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cancelling := func() io.Reader {
		return io.MultiReader(bytes.NewReader(raw[:2<<20]), readerFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() }))
	}
	for name, src := range map[string]io.Reader{"cut": cut(raw, 2<<20), "cancelled": cancelling()} {
		dir := t.TempDir()
		s := open(t, dir)
		if _, err := s.Repo("r").Push(ctx, d, src); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: found %v", name, err)
		}
		wantPart(t, dir, d, raw)
		for range s.Repos(t.Context()) {
			t.Errorf("%s: a repository", name)
		}
		// A source that cannot seek begins again.
		if _, err := s.Repo("r").Push(t.Context(), d, io.MultiReader(bytes.NewReader(raw))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantBlob(t, dir, d)
	}
}

func TestPart_complete(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	push(t, s, "x")
	d, raw := large("blob")
	os.WriteFile(partFile(dir, d), raw, 0o600)
	src := &counting{Reader: bytes.NewReader(raw)}
	if _, err := s.Repo("r").Push(t.Context(), d, src); err != nil || src.n != 0 {
		t.Errorf("expected nothing to be read, found %d, %v", src.n, err)
	}
	wantBlob(t, dir, d)
}

// What is in a part is hashed from its first byte. If it has rotted, the blob comes again as a whole.
func TestPart_corrupt(t *testing.T) {
	t.Parallel()
	d, raw := large("blob")
	bad := bytes.Clone(raw[:3<<20])
	bad[7]++
	for name, part := range map[string][]byte{
		"other bytes": bad, "too long": append(bytes.Clone(raw), 'x'), "all of it, rotten": append(bytes.Clone(bad), raw[3<<20:]...),
	} {
		dir := t.TempDir()
		s := open(t, dir)
		push(t, s, "x")
		os.WriteFile(partFile(dir, d), part, 0o600)
		if _, err := s.Repo("r").Push(t.Context(), d, bytes.NewReader(raw)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantBlob(t, dir, d)
	}
}

// A source that has other bytes leaves no part, with one or without one before.
func TestPart_wrongSource(t *testing.T) {
	t.Parallel()
	d, raw := large("blob")
	bad := bytes.Clone(raw)
	bad[4<<20]++
	for name, src := range map[string][]byte{"other bytes": bad, "too short": raw[:len(raw)-1], "too long": append(bytes.Clone(raw), 'x')} {
		for _, have := range []int{0, 2 << 20} {
			dir := t.TempDir()
			s := open(t, dir)
			push(t, s, "x")
			if have > 0 {
				os.WriteFile(partFile(dir, d), raw[:have], 0o600)
			}
			_, err := s.Repo("r").Push(t.Context(), d, bytes.NewReader(src))
			if !errors.Is(err, ocm.ErrDigest) {
				t.Errorf("%s after %d: expected %q, found %v", name, have, ocm.ErrDigest, err)
			}
			wantNoTemps(t, dir)
		}
	}
}

// GHSA-fxhp-mv3v-67qp: what stands where a part should be, and is none, is neither followed nor touched.
func TestGHSA_fxhp_mv3v_67qp_PartIsALink(t *testing.T) {
	t.Parallel()
	d, raw := large("blob")
	for name, plant := range map[string]func(secret, path string) error{
		"link":          os.Symlink,
		"second name":   os.Link,
		"dangling link": func(_, path string) error { return os.Symlink("nowhere", path) },
		"pipe":          func(_, path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":        func(_, path string) error { return os.Mkdir(path, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			push(t, s, "x")
			secret := filepath.Join(dir, "secret")
			os.WriteFile(secret, []byte("keep"), 0o600)
			if err := plant(secret, partFile(dir, d)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Repo("r").Push(t.Context(), d, bytes.NewReader(raw)); err != nil {
				t.Fatal(err)
			}
			verifyFile(t, blobFile(dir, d.Digest))
			if b, _ := os.ReadFile(secret); string(b) != "keep" {
				t.Errorf("the file was changed: %d bytes", len(b))
			}
			if _, err := os.Stat(filepath.Join(dir, "blobs", "nowhere")); !errors.Is(err, fs.ErrNotExist) {
				t.Error("the target of the link was created")
			}
		})
	}
}

func TestPart_stale(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	push(t, open(t, dir), "x")
	young, _ := large("young")
	old, _ := large("old")
	alive, _ := large("alive")
	foreign := filepath.Join(dir, "blobs", ".sha256.x.part")
	for path, age := range map[string]time.Duration{
		partFile(dir, young): 6 * 24 * time.Hour, partFile(dir, old): 8 * 24 * time.Hour, partFile(dir, alive): 8 * 24 * time.Hour, foreign: 8 * 24 * time.Hour,
	} {
		os.WriteFile(path, []byte("half"), 0o600)
		at := time.Now().Add(-age)
		os.Chtimes(path, at, at)
	}
	f, err := os.Open(partFile(dir, alive))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	push(t, open(t, dir), "y")
	for path, want := range map[string]bool{partFile(dir, young): true, partFile(dir, old): false, partFile(dir, alive): true, foreign: true} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: expected %v, found %v", path, want, err)
		}
	}
}

// Place goes on where it was, too.
func TestPart_place(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := open(t, dir).Repo("r").(oci.Placer)
	d, raw := large("blob")
	_, err := p.Place(t.Context(), d, nil, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(cut(raw, 3<<20)), nil })
	wantErr(t, err, io.ErrUnexpectedEOF)
	fi, err := os.Stat(partFile(dir, d))
	if err != nil {
		t.Fatal(err)
	}
	src := &counting{Reader: bytes.NewReader(raw)}
	how, err := p.Place(t.Context(), d, nil, func(context.Context) (io.ReadCloser, error) {
		return struct {
			io.ReadSeeker
			io.Closer
		}{src, io.NopCloser(nil)}, nil
	})
	if err != nil || how != oci.Moved || src.n != d.Size-fi.Size() {
		t.Errorf("expected %d bytes, found %d, %v, %v", d.Size-fi.Size(), src.n, how, err)
	}
	wantBlob(t, dir, d)
	if how, err = p.Place(t.Context(), d, nil, nil); how != oci.Found || err != nil {
		t.Errorf("found %v, %v", how, err)
	}
}

// A source that says that it can seek and then cannot be read from there fails once, not for ever.
func TestPart_sourceCannotContinue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	push(t, s, "x")
	d, raw := large("blob")
	os.WriteFile(partFile(dir, d), raw[:2<<20], 0o600)
	_, err := s.Repo("r").Push(t.Context(), d, &refusing{Reader: bytes.NewReader(raw)})
	wantErr(t, err, fs.ErrInvalid)
	if _, err := s.Repo("r").Push(t.Context(), d, &refusing{Reader: bytes.NewReader(raw)}); err != nil {
		t.Error(err)
	}
	wantBlob(t, dir, d)
}

// refusing cannot be read any more after it was moved.
type refusing struct {
	*bytes.Reader
	moved bool
}

func (r *refusing) Seek(offset int64, whence int) (int64, error) {
	r.moved = r.moved || offset != 0
	return r.Reader.Seek(offset, whence)
}

func (r *refusing) Read(b []byte) (int, error) {
	if r.moved {
		return 0, fs.ErrInvalid
	}
	return r.Reader.Read(b)
}
