// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// File is the content of a regular file. Its size is known, its digest is not. Fetch returns an
// *os.File, so that the kernel may copy it; it fails if the file has another size by then. An
// empty media type means application/octet-stream. [ocm.ErrNotFound] if there is no such file,
// [ocm.ErrInvalid] if it is no regular one.
func File(path, mediaType string) (ocm.Content, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return ocm.Content{}, err
	}
	return newFile(file{name: path}, mediaType)
}

// FileIn is [File] for a slash-separated name below the directory dir, which neither ".." nor a
// symbolic link in the name can leave.
func FileIn(dir, name, mediaType string) (ocm.Content, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ocm.Content{}, err
	}
	return newFile(file{dir: dir, name: filepath.FromSlash(name)}, mediaType)
}

func newFile(f file, mediaType string) (ocm.Content, error) {
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	opened, err := f.open() // to know that it can be read
	if err != nil {
		return ocm.Content{}, err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return ocm.Content{}, err
	}
	f.size = info.Size()
	return ocm.Content{Root: ociv1.Descriptor{MediaType: mediaType, Size: f.size}, From: f}, nil
}

// file fetches a file by its path, or by its name below dir.
type file struct {
	dir, name string
	size      int64
}

func (f file) Fetch(_ context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	opened, err := f.open()
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err == nil && info.Size() != f.size {
		err = fmt.Errorf("file %s: expected %d bytes, found %d: it changed in the meantime: %w", f, f.size, info.Size(), ocm.ErrConflict)
	}
	if err != nil {
		opened.Close()
		return nil, err
	}
	return opened, nil
}

// open asks what the file is before it opens it, because opening a named pipe would wait for
// a writer, and once more afterwards.
func (f file) open() (*os.File, error) {
	stat, open := os.Stat, os.Open
	if f.dir != "" {
		root, err := os.OpenRoot(f.dir)
		if err != nil {
			return nil, fileError(err)
		}
		defer root.Close()
		stat, open = root.Stat, root.Open
	}
	info, err := stat(f.name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("expected a regular file, found %s: %w", kind(info.Mode()), ocm.ErrInvalid)
	}
	if err != nil {
		return nil, f.failed(err)
	}
	opened, err := open(f.name)
	if err != nil {
		return nil, f.failed(err)
	}
	if now, err := opened.Stat(); err != nil || !os.SameFile(info, now) {
		opened.Close()
		return nil, fmt.Errorf("file %s was replaced while it was opened: %w", f, ocm.ErrConflict)
	}
	return opened, nil
}

// failed names the path once, and not the call that failed.
func (f file) failed(err error) error {
	var p *fs.PathError
	switch {
	case leaves(err) && errors.As(err, &p):
		err = fmt.Errorf("%w: %w", p.Err, ocm.ErrInvalid)
	case errors.As(err, &p):
		err = fileError(p.Err)
	default:
		err = fileError(err)
	}
	return fmt.Errorf("file %s: %w", f, err)
}

// String is the file's path, for messages.
func (f file) String() string { return filepath.Join(f.dir, f.name) }

// fileError adds the sentinels of package ocm to errors of the file system.
func fileError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", err, ocm.ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", err, ocm.ErrDenied)
	case leaves(err):
		return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return err
}

// leaves reports whether an os.Root refused a path that leads out of it. Package os has no
// sentinel for that; tests notice if the text changes.
func leaves(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Err.Error() == "path escapes from parent"
}

// kind names what is not a regular file.
func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
