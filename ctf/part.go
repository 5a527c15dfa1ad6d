// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// A blob of known digest and some size grows in a file that is called after it: its part. A run
// that cannot finish leaves the part, and the next one goes on with it. Whoever writes to a part holds its
// lock; others who bring the same blob meanwhile use a temporary file.
const (
	partMin    = 1 << 20 // bytes of the smallest blob that has a part
	partPrefix = "."     // readers ignore names that are no digests
	partSuffix = ".part"
)

func partName(want ociv1.Descriptor) string { return partPrefix + blobName(want.Digest) + partSuffix }

// isPart reports whether a file has the name of a part.
func isPart(name string) bool {
	middle, ok := strings.CutPrefix(name, partPrefix)
	if !ok {
		return false
	}
	if middle, ok = strings.CutSuffix(middle, partSuffix); !ok {
		return false
	}
	_, ok = blobDigest(blobsName + "/" + middle)
	return ok
}

// openPart opens or creates the part of a blob and locks it. It returns nil if the blob should have none, or
// if the part belongs to somebody else just now.
func openPart(blobs *os.Root, want ociv1.Descriptor) (*target, error) {
	if !HasLocks || want.Digest == "" || want.Size < partMin {
		return nil, nil
	}
	name := partName(want)
	f, err := blobs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = openOld(blobs, name), nil
	}
	if f == nil || err != nil {
		return nil, err
	}
	if free, lerr := tryLock(f); lerr != nil || !free || !isOurs(blobs, name, f) {
		f.Close()
		return nil, nil //nolint:nilerr // a file system without locks has no parts
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		f.Close()
		return nil, err
	}
	return &target{f: f, name: name, part: true, size: fi.Size()}, nil
}

// openOld opens the part of an earlier run. It returns nil if that is not what stands there: we
// neither follow nor remove what others put in our way.
func openOld(blobs *os.Root, name string) *os.File {
	if fi, err := blobs.Lstat(name); err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	f, err := blobs.OpenFile(name, os.O_RDWR|openSafely, 0)
	if err != nil {
		return nil
	}
	return f
}

// isOurs reports whether name is this very file, regular, ours and known by no other name. To be asked when
// the lock is held: whoever held it before may have given the file its final name.
func isOurs(blobs *os.Root, name string, f *os.File) bool {
	at, err := blobs.Lstat(name)
	if err != nil {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode().IsRegular() && os.SameFile(at, fi) && ownedAlone(fi)
}

// resume hashes what a part has and moves the source behind it. start is where the source was. A source
// that cannot seek is read from its beginning, and so is one for which there is no part.
func (d *directory) resume(ctx context.Context, t *target, h hash.Hash, src io.Reader) (start int64, resumed bool, err error) {
	if t.size == 0 {
		return 0, false, nil
	}
	seeker, ok := src.(io.Seeker)
	if ok {
		start, err = seeker.Seek(0, io.SeekCurrent)
		ok = err == nil
	}
	if !ok {
		return 0, false, t.reset(h)
	}
	if err := d.hashFile(ctx, h, t.f, t.size); err != nil {
		return 0, false, err
	}
	if _, err := seeker.Seek(start+t.size, io.SeekStart); err != nil {
		return 0, false, t.reset(h)
	}
	return start, true, nil
}

// hashFile reads the first bytes of a file.
func (d *directory) hashFile(ctx context.Context, h hash.Hash, f *os.File, size int64) error {
	buf := d.bufs.Get().(*[chunkSize]byte)
	defer d.bufs.Put(buf)
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.ReadAt(buf[:min(chunkSize, size-at)], at)
		h.Write(buf[:n]) // never fails
		if at += int64(n); err != nil {
			return explain(err)
		}
	}
	return nil
}
