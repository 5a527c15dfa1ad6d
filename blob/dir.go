// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// Limits of a directory that is archived.
const (
	MaxDirEntries = 1_000_000 // files and directories; links that are followed count each time
	MaxDirDepth   = 256       // nested directories
)

// DirOptions says what of a directory is archived, and how. The zero value archives everything,
// reproducibly.
type DirOptions struct {
	// MediaType of the archive; empty: application/x-tar.
	MediaType string
	// Within is a directory that the archived one must not leave: its path is then a
	// slash path below Within, and neither ".." nor a symbolic link leads out of it.
	Within string
	// PreserveDir puts the directory's own name before every entry.
	PreserveDir bool
	// FollowSymlinks stores what a symbolic link points at in place of the link. Links that
	// lead out of the directory, and circles, are errors. Without it every selected link is.
	FollowSymlinks bool
	// Metadata keeps the modification times, owners and full modes of the file system. The
	// archive then differs from one checkout to the next. Without it times are 1970, owners
	// are root and modes are the nine permission bits.
	Metadata bool
	// PlainModes makes modes the same whatever the umask of whoever wrote the files was: 0755 for directories and
	// files that their owner may execute, else 0644. Metadata wins over it.
	PlainModes bool
	// Include selects entries by pattern; empty selects all. Files in a directory that is not
	// selected are still looked at. Exclude removes entries and wins over Include; with a
	// directory goes everything in it. Patterns are those of [path.Match] on the slash path
	// below the directory; an element "**" stands for any number of directories. The
	// directory itself has the path "." and cannot be excluded.
	Include, Exclude []string
}

// TarDir is the content of a directory as a tar archive, written while it is read: entries in
// lexical order per directory, directories with a trailing slash, the directory itself first
// as "./". The same files give the same bytes on every machine. Digest and size are not known
// before it was read; it can be fetched any number of times.
//
// What is neither file, directory nor followed link is an error, as are files that cannot be
// read and files that change their size meanwhile. [ocm.ErrLimit] beyond [MaxDirEntries] or
// [MaxDirDepth].
func TarDir(root string, o DirOptions) (ocm.Content, error) {
	d := &directory{path: filepath.FromSlash(root), opt: o}
	var err error
	if d.include, err = newGlobs("include", o.Include); err != nil {
		return ocm.Content{}, err
	}
	if d.exclude, err = newGlobs("exclude", o.Exclude); err != nil {
		return ocm.Content{}, err
	}
	full, err := filepath.Abs(filepath.Join(o.Within, d.path))
	if err != nil {
		return ocm.Content{}, err
	}
	if o.Within == "" {
		d.path = full
	} else if d.opt.Within, err = filepath.Abs(o.Within); err != nil {
		return ocm.Content{}, err
	}
	if d.base = filepath.Base(full); o.PreserveDir && !filepath.IsLocal(d.base) {
		return ocm.Content{}, fmt.Errorf("directory %s has no name that could be preserved: %w", full, ocm.ErrInvalid)
	}
	r, err := d.open()
	if err != nil {
		return ocm.Content{}, err
	}
	r.Close()
	if o.MediaType == "" {
		o.MediaType = "application/x-tar"
	}
	return ocm.Content{Root: ociv1.Descriptor{MediaType: o.MediaType, Size: -1}, From: d}, nil
}

// directory fetches a directory as an archive.
type directory struct {
	path, base       string
	opt              DirOptions
	include, exclude globs
}

func (d *directory) open() (*os.Root, error) {
	open := os.OpenRoot
	if d.opt.Within != "" {
		within, err := os.OpenRoot(d.opt.Within)
		if err != nil {
			return nil, fmt.Errorf("directory %s: %w", d.opt.Within, fileError(err))
		}
		defer within.Close()
		open = within.OpenRoot
	}
	r, err := open(d.path)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", d.path, fileError(err))
	}
	return r, nil
}

func (d *directory) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	return pipe(ctx, func(ctx context.Context, w io.Writer) error {
		defer root.Close()
		t := &dirTar{directory: d, ctx: ctx, root: root, tw: tar.NewWriter(w)}
		if err := t.visit("."); err != nil {
			return fmt.Errorf("directory %s: %w", d.path, err)
		}
		return t.tw.Close()
	}), nil
}

// dirTar is one walk through a directory.
type dirTar struct {
	*directory
	ctx   context.Context
	root  *os.Root
	tw    *tar.Writer
	above []fs.FileInfo // the directories that the walk is in
	count int
}

// visit archives the entry with this slash path and what is below it.
func (t *dirTar) visit(name string) error {
	if name != "." && t.exclude.match(name) {
		return nil
	}
	if t.count++; t.count > MaxDirEntries {
		return fmt.Errorf("more than %d entries: %w", MaxDirEntries, ocm.ErrLimit)
	}
	info, err := t.stat(name)
	switch {
	case t.ctx.Err() != nil:
		return context.Cause(t.ctx)
	case err != nil:
		return err
	case info.IsDir():
		return t.dir(name, info)
	case !t.selected(name):
		return nil
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link; exclude it, or set followSymlinks to store what it points at: %w", name, ocm.ErrInvalid)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: expected a file or a directory, found %s: %w", name, kind(info.Mode()), ocm.ErrInvalid)
	}
	return t.file(name, info)
}

func (t *dirTar) selected(name string) bool { return len(t.include) == 0 || t.include.match(name) }

// stat describes an entry, a followed link by what it points at.
func (t *dirTar) stat(name string) (fs.FileInfo, error) {
	info, err := t.root.Lstat(name)
	if err != nil {
		return nil, fileError(err)
	}
	if info.Mode()&fs.ModeSymlink == 0 || !t.opt.FollowSymlinks {
		return info, nil
	}
	target, err := t.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: the symbolic link points at nothing: %w", name, fileError(err))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the symbolic link must lead to something in the archived directory: %w", name, fileError(err))
	}
	return target, nil
}

// dir archives a directory. Its names are read before the walk goes down, so that the number
// of open files does not grow with the depth.
func (t *dirTar) dir(name string, info fs.FileInfo) error {
	if len(t.above) >= MaxDirDepth {
		return fmt.Errorf("%s: directories nested more than %d deep: %w", name, MaxDirDepth, ocm.ErrLimit)
	}
	for _, a := range t.above {
		if os.SameFile(a, info) {
			return fmt.Errorf("%s: the symbolic link leads back to a directory that it is in: %w", name, ocm.ErrInvalid)
		}
	}
	if t.selected(name) {
		if err := t.header(name, info); err != nil {
			return err
		}
	}
	f, err := t.root.Open(filepath.FromSlash(name))
	if err != nil {
		return fileError(err)
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	slices.Sort(names)
	t.above = append(t.above, info)
	defer func() { t.above = t.above[:len(t.above)-1] }()
	for _, n := range names {
		if err := t.visit(path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

// file archives a file. Its header was written with one size, so it must keep it.
func (t *dirTar) file(name string, info fs.FileInfo) error {
	f, err := t.root.Open(filepath.FromSlash(name))
	if err != nil {
		return fileError(err)
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, now) {
		return fmt.Errorf("%s was replaced while it was opened: %w", name, ocm.ErrConflict)
	}
	if err := t.header(name, now); err != nil {
		return err
	}
	n, err := io.Copy(t.tw, io.LimitReader(ctxReader{t.ctx, f}, now.Size()))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if more, _ := f.Read(make([]byte, 1)); n < now.Size() || more > 0 {
		return fmt.Errorf("%s changed its size while it was read (expected %d bytes): %w", name, now.Size(), ocm.ErrConflict)
	}
	return nil
}

func (t *dirTar) header(name string, info fs.FileInfo) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Mode: int64(t.mode(info)), ModTime: time.Unix(0, 0)}
	if t.opt.Metadata {
		var err error
		if h, err = tar.FileInfoHeader(info, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	h.Name = name
	if t.opt.PreserveDir {
		h.Name = path.Join(t.base, name)
	}
	if info.IsDir() {
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	} else {
		h.Size = info.Size()
	}
	if err := t.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (t *dirTar) mode(info fs.FileInfo) fs.FileMode {
	switch perm := info.Mode().Perm(); {
	case !t.opt.PlainModes:
		return perm
	case info.IsDir() || perm&0o100 != 0:
		return 0o755
	}
	return 0o644
}
