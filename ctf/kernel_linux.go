// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"ocm/oci"
)

const (
	kernelMin   = 1 << 20 // bytes from which on it is worth to ask the kernel
	kernelChunk = 8 << 20 // bytes that it copies at once: so long a cancelled copy goes on
	kernelLead  = 8       // chunks that the copy may be ahead of the hash: they should still be in memory
	cloneBlock  = 4 << 10 // what clones have to be aligned to, on file systems that can clone
)

// kernelCopy lets the kernel copy what src has left, up to limit bytes in t, if both are local files: as a
// clone that shares the blocks, else without the bytes coming by here. What is hashed is read from the copy.
// Whatever the kernel does not do, or not completely, is left in src, and no error.
func (d *directory) kernelCopy(ctx context.Context, t *target, h hash.Hash, src io.Reader, limit int64) error {
	from := extent(src)
	if from == nil {
		return nil
	}
	f, offset, left := from.Extent()
	if limit >= 0 {
		left = min(left, limit-t.size)
	}
	if f == nil || left < kernelMin {
		return nil
	}
	ends := make(chan int64, kernelLead)
	hashed := make(chan error, 1)
	go func(at int64) { hashed <- d.hashBehind(t.f, h, at, ends) }(t.size)
	cloned := clone(t, f, offset, left)
	var err error
	for left > 0 {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		n := min(kernelChunk, left)
		if cloned >= n {
			cloned -= n
		} else if cloned > 0 {
			n, cloned = cloned, 0
		} else if n = copyRange(t.f, f, offset, n); n <= 0 {
			break
		}
		from.Skip(n)
		offset += n
		left -= n
		t.size += n
		ends <- t.size
	}
	close(ends)
	if herr := <-hashed; err == nil {
		err = herr
	}
	return err
}

// hashBehind reads and hashes a file from at on, up to each of ends as it comes.
func (d *directory) hashBehind(f *os.File, h hash.Hash, at int64, ends <-chan int64) (err error) {
	buf := d.bufs.Get().(*[chunkSize]byte)
	defer d.bufs.Put(buf)
	for end := range ends {
		for at < end && err == nil {
			var n int
			n, err = f.ReadAt(buf[:min(chunkSize, end-at)], at)
			h.Write(buf[:n]) // never fails
			at += int64(n)
		}
	}
	return explain(err)
}

// extent returns nil for what is no part of a file.
func extent(src io.Reader) oci.Extent {
	switch src := src.(type) {
	case oci.Extent:
		return src
	case *os.File:
		return wholeFile{src}
	}
	return nil
}

// wholeFile is what is left of a file that nobody else reads.
type wholeFile struct{ f *os.File }

func (w wholeFile) Extent() (f *os.File, offset, size int64) {
	fi, err := w.f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return nil, 0, 0
	}
	at, err := w.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0, 0
	}
	return w.f, at, fi.Size() - at
}

func (w wholeFile) Skip(n int64) { _, _ = w.f.Seek(n, io.SeekCurrent) } // it could say where it is

// clone makes the next bytes of t share the blocks of f, and returns how many.
func clone(t *target, f *os.File, offset, size int64) int64 {
	if offset%cloneBlock != 0 || t.size%cloneBlock != 0 {
		return 0
	}
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	if offset+size != fi.Size() { // only a file's end may be in the middle of a block
		size -= size % cloneBlock
	}
	err = withBoth(t.f, f, func(dst, src int) error {
		return unix.IoctlFileCloneRange(dst, &unix.FileCloneRange{
			Src_fd: int64(src), Src_offset: uint64(offset), Src_length: uint64(size), Dest_offset: uint64(t.size),
		})
	})
	if err != nil {
		return 0
	}
	if _, err = t.f.Seek(t.size+size, io.SeekStart); err != nil {
		return 0
	}
	return size
}

// copyRange copies up to n bytes to where dst is. The place in src does not move. Errors are not told:
// who copies in another way meets them again, and then knows whose they are.
func copyRange(dst, src *os.File, offset, n int64) int64 {
	var copied int
	err := withBoth(dst, src, func(dst, src int) (err error) {
		copied, err = unix.CopyFileRange(src, &offset, dst, nil, int(n), 0)
		return err
	})
	if err != nil {
		return 0
	}
	return int64(copied)
}

// withBoth calls fn with the descriptors of two files. Neither is closed meanwhile, whatever others do.
func withBoth(a, b *os.File, fn func(a, b int) error) error {
	ca, err := a.SyscallConn()
	if err != nil {
		return err
	}
	cb, err := b.SyscallConn()
	if err != nil {
		return err
	}
	var inner, outer error
	outer = ca.Control(func(fa uintptr) {
		inner = cb.Control(func(fb uintptr) { err = fn(int(fa), int(fb)) })
	})
	for _, e := range []error{outer, inner} {
		if e != nil {
			return e
		}
	}
	return err
}
