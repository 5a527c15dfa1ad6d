// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocm"
)

// directory is the form that can be written. update.go changes the index, push.go adds blobs.
type directory struct {
	path    string
	durable bool // see [Store.Durable]

	standing  bool // see [Store.Standing]
	sessionMu sync.Mutex
	session   *os.File // shares the lock of the folder of blobs; nil until something is written

	bufs sync.Pool // of *[chunkSize]byte, for pump

	mu     sync.Mutex
	closed bool
	root   *os.Root // nil until the folder exists
	blobs  *os.Root // nil until the folder exists

	cacheMu sync.Mutex
	cache   cachedIndex

	writer // what only writers need
}

// cachedIndex is a parsed index and the file it came from. The file is kept open so that its
// inode is not used again: no other file can be taken for it.
type cachedIndex struct {
	idx  *index
	file *os.File
	info fs.FileInfo
}

func newDirectory(path string) *directory {
	return &directory{
		path:   path,
		bufs:   sync.Pool{New: func() any { return new([chunkSize]byte) }},
		writer: writer{turn: make(chan struct{}, 1), unsynced: unsynced{pending: map[string]bool{}}},
	}
}

func (d *directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.end()
	var errs []error
	for _, r := range []*os.Root{d.blobs, d.root} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	d.root, d.blobs = nil, nil
	d.cacheMu.Lock()
	defer d.cacheMu.Unlock()
	d.setCache(cachedIndex{})
	return errors.Join(errs...)
}

// rootDir opens the CTF's folder once it exists, or creates it if asked to; nil if it does not exist.
func (d *directory) rootDir(create bool) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rootLocked(create)
}

func (d *directory) rootLocked(create bool) (*os.Root, error) {
	if d.closed {
		return nil, fmt.Errorf("the CTF is closed: %w", fs.ErrClosed)
	}
	if d.root != nil {
		return d.root, nil
	}
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, nil
		}
		if err := os.Mkdir(d.path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, explain(err)
		}
		if parent, err := os.OpenRoot(filepath.Dir(d.path)); err == nil && d.durable {
			_ = syncDir(parent) // as far as we may
			parent.Close()
		}
		root, err = os.OpenRoot(d.path)
	}
	if err != nil {
		return nil, explain(err)
	}
	d.root = root
	return root, nil
}

// blobsDir is rootDir for the folder of blobs, which must be a folder, not a link to one.
func (d *directory) blobsDir(create bool) (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := d.rootLocked(create)
	if d.blobs != nil || root == nil {
		return d.blobs, err
	}
	fi, err := root.Lstat(blobsName)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, nil
		}
		if err := root.Mkdir(blobsName, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, explain(err)
		}
		fi, err = root.Lstat(blobsName)
	}
	if err != nil {
		return nil, explain(err)
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("%s: expected a folder, found %s: %w", blobsName, kindOf(fi), ocm.ErrInvalid)
	}
	blobs, err := root.OpenRoot(blobsName)
	if err != nil {
		return nil, explain(err)
	}
	d.blobs = blobs
	return blobs, nil
}

// blobName is the file name of a blob. The digest was checked.
func blobName(d digest.Digest) string { return strings.Replace(string(d), ":", ".", 1) }

func (d *directory) stat(dg digest.Digest) (int64, error) {
	fi, _, err := d.lstat(dg)
	if err != nil {
		return 0, err
	}
	if d.durable {
		d.noteFound(blobName(dg))
	}
	return fi.Size(), nil
}

// lstat accepts regular files only.
func (d *directory) lstat(dg digest.Digest) (fs.FileInfo, *os.Root, error) {
	blobs, err := d.blobsDir(false)
	if err != nil {
		return nil, nil, err
	}
	if blobs == nil {
		return nil, nil, fmt.Errorf("blob %s: %w", dg, ocm.ErrNotFound)
	}
	fi, err := blobs.Lstat(blobName(dg))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("blob %s: %w", dg, ocm.ErrNotFound)
	case err != nil:
		return nil, nil, fmt.Errorf("blob %s: %w", dg, explain(err))
	case !fi.Mode().IsRegular():
		return nil, nil, notRegular(filepath.Join(blobsName, blobName(dg)), fi)
	}
	return fi, blobs, nil
}

func notRegular(name string, fi fs.FileInfo) error {
	return fmt.Errorf("%s: expected a regular file, found %s: %w", name, kindOf(fi), ocm.ErrInvalid)
}

// open returns an *os.File.
func (d *directory) open(_ context.Context, dg digest.Digest) (io.ReadCloser, error) {
	before, blobs, err := d.lstat(dg)
	if err != nil {
		return nil, err
	}
	return d.openSeen(dg, before, blobs)
}

// openSeen opens a blob that was there a moment ago. What stands there now may be a pipe, or nothing.
func (d *directory) openSeen(dg digest.Digest, before fs.FileInfo, blobs *os.Root) (io.ReadCloser, error) {
	f, err := blobs.OpenFile(blobName(dg), os.O_RDONLY|openSafely, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", dg, ocm.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", dg, explain(err))
	}
	after, err := f.Stat()
	if err == nil && !after.Mode().IsRegular() { // exchanged between the two looks at it
		err = notRegular(blobName(dg), after)
	}
	if err == nil && !os.SameFile(before, after) {
		// Another writer renamed the same blob over it, which is fine; a link put there is not.
		before, _, err = d.lstat(dg)
		if err == nil && !os.SameFile(before, after) {
			err = fmt.Errorf("blob %s: the file is exchanged while it is opened: %w", dg, ocm.ErrConflict)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// load returns the index, from the cache if the file is the same as when it was read.
func (d *directory) load() (*index, error) {
	root, err := d.rootDir(false)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return newIndex(nil)
	}
	fi, err := root.Lstat(indexName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newIndex(nil)
	case err != nil:
		return nil, explain(err)
	case !fi.Mode().IsRegular():
		return nil, notRegular(indexName, fi)
	}
	d.cacheMu.Lock()
	defer d.cacheMu.Unlock()
	if c := d.cache; c.idx != nil && os.SameFile(c.info, fi) && c.info.Size() == fi.Size() && c.info.ModTime().Equal(fi.ModTime()) {
		return c.idx, nil
	}
	f, err := root.OpenFile(indexName, os.O_RDONLY|openSafely, 0)
	if err != nil {
		return nil, explain(err)
	}
	c, err := readIndex(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	d.setCache(c)
	return c.idx, nil
}

func readIndex(f *os.File) (cachedIndex, error) {
	fi, err := f.Stat()
	if err != nil {
		return cachedIndex{}, explain(err)
	}
	if !fi.Mode().IsRegular() {
		return cachedIndex{}, notRegular(indexName, fi)
	}
	idx, err := parseIndex(f)
	return cachedIndex{idx: idx, file: f, info: fi}, err
}

// setCache replaces the cache. The caller holds cacheMu.
func (d *directory) setCache(c cachedIndex) {
	if d.cache.file != nil {
		d.cache.file.Close()
	}
	d.cache = c
}
