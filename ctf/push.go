// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

const (
	staleAfter     = time.Hour          // the age at which a temporary blob is dead, if nobody holds its lock either
	partStaleAfter = 7 * 24 * time.Hour // the same for a part, which waits for the next run
	smallBlob      = 64 << 10           // bytes of a blob up to which it is read before a file is made for it
)

// place stores a blob that is not there.
func (d *directory) place(ctx context.Context, want ociv1.Descriptor, open func(context.Context) (io.ReadCloser, error)) (oci.How, error) {
	rc, err := open(ctx)
	if err != nil {
		return oci.Moved, err
	}
	defer rc.Close()
	_, err = d.push(ctx, want, rc)
	return oci.Moved, err
}

// push stores a blob under its digest. A file that is there already is replaced: what comes
// now was verified, what is there may have rotted.
func (d *directory) push(ctx context.Context, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	blobs, err := d.blobsDir(true)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	d.tidy.Do(func() { dropStale(blobs, time.Now()) })
	if err := d.begin(ctx, blobs); err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("push: %w", err)
	}
	var got ociv1.Descriptor
	if want.Digest != "" && want.Size >= 0 && want.Size <= smallBlob {
		got, err = d.pushSmall(ctx, blobs, want, src)
	} else {
		got, err = d.pushLarge(ctx, blobs, want, src)
	}
	if err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("push: %w", err)
	}
	if d.durable {
		d.note(blobName(got.Digest))
	}
	return got, nil
}

// pushSmall writes a blob that was verified before. Many small blobs are made of system calls: these
// are the four that it takes, and one that looks whether another file has the name.
func (d *directory) pushSmall(ctx context.Context, blobs *os.Root, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	in, err := newIncoming(want)
	if err != nil {
		return want, err
	}
	buf := make([]byte, want.Size+1) // one byte more tells as much as an endless stream
	n, err := fill(src, buf)
	if err == nil || err == io.EOF {
		err = ctx.Err()
	}
	if err != nil {
		return want, err
	}
	in.hash.Write(buf[:n]) // never fails
	got, err := in.check(int64(n))
	if err != nil {
		return want, err
	}
	f, name, err := createTemp(blobs, tempPrefix, 0o444)
	if err != nil {
		return want, explain(err)
	}
	d.modeOnce.Do(func() { // whether new files have the mode that they should: mostly, they do
		fi, err := f.Stat()
		d.chmod = err != nil || fi.Mode() != 0o444
	})
	if d.chmod {
		err = f.Chmod(0o444)
	}
	if err == nil {
		_, err = f.Write(buf[:n])
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = settle(ctx, blobs, name, blobName(got.Digest))
	}
	if err != nil {
		blobs.Remove(name)
	}
	return got, explain(err)
}

// pushLarge lets a blob grow in a file of its own: in its part if it has one, see part.go, else in a
// temporary one.
func (d *directory) pushLarge(ctx context.Context, blobs *os.Root, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	t, err := openPart(blobs, want)
	if err != nil {
		return want, explain(err)
	}
	if t == nil {
		f, name, err := createTemp(blobs, tempPrefix, 0o600)
		if err != nil {
			return want, explain(err)
		}
		_, _ = tryLock(f) // tells others that we live; without locks, the age has to do
		t = &target{f: f, name: name}
	}
	resumed := t.size > 0
	got, err := d.receive(ctx, t, want, src)
	if err == nil {
		err = explain(t.f.Chmod(0o444))
	}
	if err == nil && resumed { // perhaps nothing was written to it now
		err = explain(blobs.Chtimes(t.name, time.Time{}, time.Now()))
	}
	if err == nil { // before the lock of a part is given back
		err = explain(settle(ctx, blobs, t.name, blobName(got.Digest)))
	}
	if err != nil && (!t.part || t.size == 0 || errors.Is(err, ocm.ErrDigest)) {
		blobs.Remove(t.name)
	}
	if cerr := t.f.Close(); err == nil {
		err = explain(cerr)
	}
	return got, err
}

// target is the file in which a blob grows.
type target struct {
	f    *os.File
	name string
	part bool  // it is kept for the next run if this one cannot finish it
	size int64 // bytes in it
	full bool  // it could not be written
}

// Write explains its own errors only: those of the source are not about this directory.
func (t *target) Write(b []byte) (int, error) {
	n, err := t.f.Write(b)
	t.size += int64(n)
	t.full = t.full || err != nil
	return n, explain(err)
}

// reset begins again.
func (t *target) reset(h hash.Hash) error {
	h.Reset()
	t.size = 0
	err := t.f.Truncate(0)
	if err == nil {
		_, err = t.f.Seek(0, io.SeekStart)
	}
	return explain(err)
}

// receive copies src to t and compares it with what is wanted. What is in t already is not
// read again, if src can do without.
func (d *directory) receive(ctx context.Context, t *target, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	in, err := newIncoming(want)
	if err != nil {
		return want, err
	}
	if t.size > 0 && t.size >= want.Size { // only the last step was missing, or it is no part of this blob
		if err := d.hashFile(ctx, in.hash, t.f, t.size); err != nil {
			return want, err
		}
		if got, err := in.check(t.size); err == nil {
			return got, nil
		}
		if err := t.reset(in.hash); err != nil {
			return want, err
		}
	}
	start, resumed, err := d.resume(ctx, t, in.hash, src)
	if err != nil {
		return want, err
	}
	had := t.size
	got, err := d.fetch(ctx, t, in, src)
	if resumed && errors.Is(err, ocm.ErrDigest) {
		// It was the part that had rotted, or the source has. Beginning again tells.
		if _, serr := src.(io.Seeker).Seek(start, io.SeekStart); serr != nil {
			return got, err
		}
		if err := t.reset(in.hash); err != nil {
			return got, err
		}
		return d.fetch(ctx, t, in, src)
	}
	if resumed && err != nil && t.size == had && !t.full && ctx.Err() == nil {
		t.part = false // the source can be opened, but not be read from there: not to try that again and again
	}
	return got, err
}

// fetch copies what t lacks.
func (d *directory) fetch(ctx context.Context, t *target, in *incoming, src io.Reader) (ociv1.Descriptor, error) {
	limit := int64(-1)
	if in.want.Digest != "" && in.want.Size >= 0 {
		limit = in.want.Size
	}
	err := d.kernelCopy(ctx, t, in.hash, src, limit)
	if err == nil { // the rest, if there is any
		if limit >= 0 { // one byte more tells as much as an endless stream
			src = io.LimitReader(src, limit-t.size+1)
		}
		_, err = pump(ctx, t, in.hash, src, &d.bufs)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return in.want, err
	}
	return in.check(t.size)
}

// incoming is what is known of a blob that comes.
type incoming struct {
	want ociv1.Descriptor
	alg  digest.Algorithm
	hash hash.Hash
}

func newIncoming(want ociv1.Descriptor) (*incoming, error) {
	in := &incoming{want: want, alg: digest.SHA256}
	if want.Digest != "" {
		in.alg = want.Digest.Algorithm()
	}
	var err error
	in.hash, err = blob.NewHash(in.alg)
	return in, err
}

// check compares what came with what was wanted, and returns its complete descriptor.
func (in *incoming) check(size int64) (got ociv1.Descriptor, err error) {
	want := in.want
	got = want
	got.Size, got.Digest = size, digest.NewDigest(in.alg, in.hash)
	if got.MediaType == "" {
		got.MediaType = octetStream
	}
	switch {
	case want.Digest == "":
	case want.Size >= 0 && size > want.Size:
		err = fmt.Errorf("blob %s: expected %d bytes, found more: %w", want.Digest, want.Size, ocm.ErrDigest)
	case want.Size >= 0 && size < want.Size:
		err = fmt.Errorf("blob %s: expected %d bytes, found %d: %w", want.Digest, want.Size, size, ocm.ErrDigest)
	case got.Digest != want.Digest:
		err = fmt.Errorf("blob: expected %s, found %s: %w", want.Digest, got.Digest, ocm.ErrDigest)
	}
	return got, err
}

// createTemp makes a file with a name that nobody uses. Its mode may be the final one that lets nobody
// write: who made it can.
func createTemp(dir *os.Root, prefix string, mode fs.FileMode) (*os.File, string, error) {
	var b [8]byte
	rand.Read(b[:]) // never fails
	name := prefix + hex.EncodeToString(b[:])
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	return f, name, err
}

// dropStale removes temporary blobs and parts that were not written for long and whose writer is gone.
// It is a courtesy: errors do not matter.
func dropStale(blobs *os.Root, now time.Time) {
	for _, name := range names(blobs) {
		age := staleAfter
		switch {
		case isPart(name):
			age = partStaleAfter
		case !strings.HasPrefix(name, tempPrefix):
			continue
		}
		fi, err := blobs.Lstat(name)
		if err != nil || !fi.Mode().IsRegular() || fi.ModTime().After(now.Add(-age)) {
			continue
		}
		f, err := blobs.OpenFile(name, os.O_RDONLY|openSafely, 0)
		if err != nil {
			continue
		}
		if free, _ := tryLock(f); free {
			blobs.Remove(name)
		}
		f.Close()
	}
}

// names lists a folder, as far as it can be read.
func names(dir *os.Root) []string {
	f, err := dir.Open(".")
	if err != nil {
		return nil
	}
	defer f.Close()
	list, _ := f.Readdirnames(-1)
	return list
}

// explained is an error that says already what can be done about it.
type explained struct{ error }

func (e explained) Unwrap() error { return e.error }

// explain adds to an error of the file system what can be done about it.
func explain(err error) error {
	var done explained
	switch {
	case err == nil, errors.As(err, &done):
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return explained{fmt.Errorf("%w (make room and run the same again)", err)}
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w (the file system or a process limit does not allow files of this size)", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w (the file system can only be read: write to another directory)", err, ocm.ErrDenied)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w (look at owner and mode of the directory, or take another one)", err, ocm.ErrDenied)
	}
	return err
}

// invalid marks an error of a document or archive as its fault, unless it says more already.
func invalid(err error) error {
	var pathErr *fs.PathError
	if errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrLimit) || errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
}
