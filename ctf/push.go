// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
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

// staleAfter is the age at which a temporary blob is dead, if nobody holds its lock either.
const staleAfter = time.Hour

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
	d.tidy.Do(func() { dropStale(blobs, time.Now().Add(-staleAfter)) })
	f, name, err := createTemp(blobs, tempPrefix)
	if err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("push: %w", explain(err))
	}
	_, _ = tryLock(f) // tells others that we live; without locks, the age has to do
	got, err := d.receive(ctx, target{f}, want, src)
	if err == nil {
		err = explain(f.Chmod(0o444))
	}
	if cerr := f.Close(); err == nil {
		err = explain(cerr)
	}
	if err == nil {
		err = explain(blobs.Rename(name, blobName(got.Digest)))
	}
	if err != nil {
		blobs.Remove(name)
		return ociv1.Descriptor{}, fmt.Errorf("push: %w", err)
	}
	d.pendMu.Lock()
	d.pending[blobName(got.Digest)] = true
	d.pendMu.Unlock()
	return got, nil
}

// target explains its own errors only: those of the source are not about this directory.
type target struct{ f *os.File }

func (t target) Write(b []byte) (int, error) {
	n, err := t.f.Write(b)
	return n, explain(err)
}

// receive copies src to dst and compares it with what is wanted.
func (d *directory) receive(ctx context.Context, dst io.Writer, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	got := want
	alg := digest.SHA256
	if want.Digest != "" {
		alg = want.Digest.Algorithm()
		if want.Size >= 0 { // one byte more tells as much as an endless stream
			src = io.LimitReader(src, want.Size+1)
		}
	}
	h, err := blob.NewHash(alg)
	if err != nil {
		return got, err
	}
	got.Size, err = pump(ctx, dst, h, src, &d.bufs)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return got, err
	}
	got.Digest = digest.NewDigest(alg, h)
	if got.MediaType == "" {
		got.MediaType = octetStream
	}
	switch {
	case want.Digest == "":
	case want.Size >= 0 && got.Size > want.Size:
		err = fmt.Errorf("blob %s: expected %d bytes, found more: %w", want.Digest, want.Size, ocm.ErrDigest)
	case want.Size >= 0 && got.Size < want.Size:
		err = fmt.Errorf("blob %s: expected %d bytes, found %d: %w", want.Digest, want.Size, got.Size, ocm.ErrDigest)
	case got.Digest != want.Digest:
		err = fmt.Errorf("blob: expected %s, found %s: %w", want.Digest, got.Digest, ocm.ErrDigest)
	}
	return got, err
}

func createTemp(dir *os.Root, prefix string) (*os.File, string, error) {
	var b [8]byte
	rand.Read(b[:]) // never fails
	name := prefix + hex.EncodeToString(b[:])
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, name, err
}

// dropStale removes temporary blobs that were not written since then and whose writer is gone.
// It is a courtesy: errors do not matter.
func dropStale(blobs *os.Root, since time.Time) {
	for _, name := range names(blobs) {
		if !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		fi, err := blobs.Lstat(name)
		if err != nil || !fi.Mode().IsRegular() || fi.ModTime().After(since) {
			continue
		}
		f, err := blobs.Open(name)
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

// explain adds to an error of the file system what can be done about it.
func explain(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w (nothing half-written is left: make room and run the same again)", err)
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
