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
	"time"

	"ocm"
)

// spoolPrefix begins the names of temporary files beside an archive.
const spoolPrefix = tempPrefix + "archive-"

// place is the file that an archive is written to.
type place struct {
	path string
	was  fs.FileInfo // of the file, when it was opened or written; nil: there was none

	durable bool // see [Store.Durable]
}

// spool makes a temporary file beside the archive, where there must be room for it anyway.
func (p *place) spool() (*os.File, error) { return newSpool(filepath.Dir(p.path)) }

// write writes beside the archive and renames.
func (p *place) write(ctx context.Context, fn func(w io.Writer) error) (err error) {
	root, err := os.OpenRoot(filepath.Dir(p.path))
	if err != nil {
		return explain(err)
	}
	defer root.Close()
	if err := p.check(root); err != nil { // before the work, and after it
		return err
	}
	dropDead(root)
	f, name, err := createSpool(root)
	if err != nil {
		return explain(err)
	}
	defer func() {
		if err != nil {
			root.Remove(name)
		}
		f.Close()
	}()
	if err := fn(&target{f: f}); err != nil {
		return err
	}
	err = f.Chmod(0o644)
	if err == nil && p.durable {
		err = f.Sync()
	}
	if err != nil {
		return explain(err)
	}
	unlock, err := lockFolder(ctx, root)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.check(root); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return explain(err)
	}
	if err := root.Rename(name, filepath.Base(p.path)); err != nil {
		return explain(err)
	}
	p.was = info
	if !p.durable {
		return nil
	}
	return explain(syncDir(root))
}

// check makes sure that the archive is the one that was opened.
func (p *place) check(root *os.Root) error {
	now, err := root.Lstat(filepath.Base(p.path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && p.was == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the archive was removed since it was opened: %w", ocm.ErrConflict)
	case err != nil:
		return explain(err)
	case p.was == nil:
		return fmt.Errorf("somebody else made this archive in the meantime: %w (run the same again)", ocm.ErrConflict)
	case !os.SameFile(now, p.was) || now.Size() != p.was.Size() || !now.ModTime().Equal(p.was.ModTime()):
		return fmt.Errorf("the archive is not the one that was opened: %w (run the same again)", ocm.ErrConflict)
	}
	return nil
}

// lockFolder keeps other processes from renaming while this one does. Where there are no locks,
// the check has to do.
func lockFolder(ctx context.Context, root *os.Root) (unlock func(), err error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, explain(err)
	}
	for {
		if free, lerr := tryLock(f); free || lerr != nil {
			return func() { f.Close() }, nil //nolint:nilerr // where there are no locks, the check has to do
		}
		select {
		case <-time.After(lockWait):
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// createSpool makes a temporary file that others can see is in use.
func createSpool(root *os.Root) (*os.File, string, error) {
	for {
		f, name, err := createTemp(root, spoolPrefix, 0o600)
		if err != nil {
			return nil, "", err
		}
		_, _ = tryLock(f)
		mine, err := f.Stat()
		if there, lerr := root.Lstat(name); err == nil && lerr == nil && os.SameFile(mine, there) {
			return f, name, nil
		}
		f.Close() // somebody took it for dead before it was locked
		if err != nil {
			return nil, "", err
		}
	}
}

// newSpool makes a temporary file without a name, so that nothing is left of it.
func newSpool(dir string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dropDead(root)
	f, name, err := createSpool(root)
	if err != nil {
		return nil, err
	}
	// Where an open file keeps its name, the next writer removes it.
	_ = root.Remove(name)
	return f, nil
}

// dropDead removes temporary files that killed processes left.
func dropDead(root *os.Root) {
	for _, name := range names(root) {
		if !strings.HasPrefix(name, spoolPrefix) {
			continue
		}
		f, err := root.OpenFile(name, os.O_RDONLY|openSafely, 0)
		if err != nil {
			continue
		}
		fi, err := f.Stat()
		free, _ := tryLock(f)
		if err == nil && free && fi.Mode().IsRegular() && (HasLocks || time.Since(fi.ModTime()) > staleAfter) {
			root.Remove(name)
		}
		f.Close()
	}
}

// outlet is a pipe that an archive is written to, once.
type outlet struct {
	w    io.Writer
	temp string
	done bool
}

func (p *outlet) spool() (*os.File, error) { return newSpool(p.temp) }

func (p *outlet) write(_ context.Context, fn func(w io.Writer) error) error {
	if p.done {
		return fmt.Errorf("the archive was written to the pipe already: %w", errors.ErrUnsupported)
	}
	p.done = true
	return fn(p.w)
}
