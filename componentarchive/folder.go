// SPDX-License-Identifier: Apache-2.0

package componentarchive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
)

// folder is a component archive that is not packed.
type folder struct {
	root  *os.Root
	blobs *os.Root // nil: there is none
}

func openFolder(path string) (*folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &folder{root: root}
	info, err := root.Lstat(blobsName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, nil
	case err == nil && !info.IsDir():
		err = fmt.Errorf("%s is no folder: %w", blobsName, ocm.ErrInvalid)
	case err == nil:
		d.blobs, err = openSub(root, info)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

// openSub opens the folder that was looked at, and no other that took its place.
func openSub(root *os.Root, want fs.FileInfo) (*os.Root, error) {
	sub, err := root.OpenRoot(blobsName)
	if err != nil {
		return nil, err
	}
	if now, err := sub.Stat("."); err != nil || !os.SameFile(want, now) {
		sub.Close()
		return nil, fmt.Errorf("%s was replaced while it was opened: %w", blobsName, ocm.ErrConflict)
	}
	return sub, nil
}

func (d *folder) Close() error {
	if d.blobs == nil {
		return d.root.Close()
	}
	return errors.Join(d.blobs.Close(), d.root.Close())
}

func (d *folder) list() ([]byte, *listing, error) {
	f, err := openRegular(d.root, descriptor.FileName, -1)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil, nil, ErrNoDescriptor
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	raw, err := blob.ReadDocument(f, -1, descriptor.MaxBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", descriptor.FileName, err)
	}
	blobs, err := d.names()
	return raw, blobs, err
}

// names lists the files in blobs. Links and the like are known, so that it can be told why they are not read.
func (d *folder) names() (*listing, error) {
	l := newListing()
	if d.blobs == nil {
		return l, nil
	}
	dir, err := d.blobs.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(1000)
		if err == io.EOF {
			return l, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			f := file{name: e.Name()}
			if !e.Type().IsRegular() {
				f.refused = fmt.Sprintf("expected a file, found %s", e.Type())
			} else if info, err := e.Info(); err != nil {
				return nil, err
			} else {
				f.size = info.Size()
			}
			if err := l.add(f); err != nil {
				return nil, err
			}
		}
	}
}

func (d *folder) open(_ context.Context, f file) (io.ReadCloser, error) {
	return openRegular(d.blobs, f.name, f.size)
}

// openRegular opens a regular file, which no link leads to. A size below zero is any.
func openRegular(root *os.Root, name string, size int64) (*os.File, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", name, ocm.ErrNotFound)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: expected a file, found %s: %w", name, info.Mode().Type(), ocm.ErrInvalid)
	}
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%s: %w: %w", name, err, ocm.ErrDenied)
	}
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	switch {
	case err != nil:
	case !os.SameFile(info, now):
		err = fmt.Errorf("%s was replaced while it was opened: %w", name, ocm.ErrConflict)
	case size >= 0 && now.Size() != size:
		err = fmt.Errorf("%s: expected %d bytes, found %d: it changed in the meantime: %w", name, size, now.Size(), ocm.ErrConflict)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
