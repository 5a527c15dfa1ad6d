// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
)

// MaxBlobs is how many files the folder of blobs may have to be cleaned. What exceeds it is refused with [ocm.ErrLimit].
const MaxBlobs = 4_000_000

// CleanOptions say what [Store.Clean] takes out.
type CleanOptions struct {
	OlderThan time.Duration // nothing that somebody stored or relied on since then; with 0 what was there before this began
	Untagged  bool          // manifests without a tag, too, unless something that stays keeps them
	DryRun    bool          // nothing is taken out
}

// Cleaned is what was taken out, or would be, each list sorted.
type Cleaned struct {
	Manifests []CleanedManifest // entries of the index
	Blobs     []CleanedBlob     // among them the bytes of the manifests
	Leftovers []CleanedFile     // of interrupted writes
	Young     int               // blobs that nothing needs and that stay because they are too young
}

// CleanedManifest is a manifest without a tag.
type CleanedManifest struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
}

// CleanedBlob is a blob that nothing needs.
type CleanedBlob struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"` // bytes
}

// CleanedFile is what a write left that came to no end.
type CleanedFile struct {
	Name string `json:"name"` // below the folder
	Size int64  `json:"size"` // bytes
}

// Clean takes the blobs out of a directory to which no manifest in the index leads, and what interrupted writes left. What a
// manifest refers to, its subject, and every digest that the descriptor of a component version mentions is led to. Files with
// other names are not touched.
//
// Others may write meanwhile, in whatever process, if they do it by this package: what they push, or find and rely on, is young
// from then on. While a store is open that has written, this one too, it is [ocm.ErrConflict], and a store that begins to write meanwhile
// waits; one that stands for long does without that, see [Store.Standing]. The index does not change while this runs.
//
// With Untagged, a manifest stays that has a tag, or is younger than OlderThan, and what such a one leads to: the manifests of
// an index, the subject, those whose subject it is, and those whose digest a component descriptor mentions. The entries of others leave
// the index before their blobs go, so that whatever happens in between leaves a directory that can be read.
//
// If one manifest or component descriptor cannot be read, nobody knows what it needs: then nothing is taken out ([ocm.ErrInvalid]). So it is
// without an index ([ErrNoIndex]). From an archive in one file nothing is taken out: [ocm.ErrDenied]. An error on the way comes with what
// was taken out before it.
func (s *Store) Clean(ctx context.Context, o CleanOptions) (Cleaned, error) {
	c, err := s.clean(ctx, o)
	if err != nil {
		err = fmt.Errorf("CTF %s: %w", s.path, err)
	}
	return c, err
}

func (s *Store) clean(ctx context.Context, o CleanOptions) (Cleaned, error) {
	d, err := (&repo{s: s}).folder()
	switch {
	case err != nil:
		return Cleaned{}, err
	case !HasLocks:
		return Cleaned{}, fmt.Errorf("this system has no locks that would keep others from writing meanwhile: %w", errors.ErrUnsupported)
	}
	root, err := d.rootDir(false)
	if err != nil {
		return Cleaned{}, err
	}
	if root == nil {
		return Cleaned{}, ocm.ErrNotFound
	}
	c := &cleaner{s: s, d: d, o: o, root: root, limit: time.Now().Add(-max(0, o.OlderThan))}
	if c.blobs, err = d.blobsDir(false); err != nil {
		return Cleaned{}, err
	}
	if err := c.indexed(); err != nil {
		return Cleaned{}, err
	}
	unlock, err := c.exclude(ctx) // before the lock of the index, as those who write take them
	if err != nil {
		return Cleaned{}, err
	}
	defer unlock()
	err = d.alone(ctx, func() error { return c.run(ctx) })
	return c.done, err
}

// cleaner is one cleaning.
type cleaner struct {
	s     *Store
	d     *directory
	o     CleanOptions
	root  *os.Root
	blobs *os.Root  // nil: there is no such folder
	limit time.Time // what is not older stays

	old   map[digest.Digest]fs.FileInfo // blobs that may go, as far as is known
	young map[digest.Digest]bool        // those that may not
	files []CleanedFile                 // what is no blob, and ours

	done Cleaned
}

// run does it. The caller has the turn and the lock.
func (c *cleaner) run(ctx context.Context) error {
	if err := c.indexed(); err != nil { // nor has it gone since
		return err
	}
	idx, err := c.d.load()
	if err != nil {
		return err
	}
	if c.blobs == nil {
		return nil
	}
	if err := c.list(ctx); err != nil {
		return err
	}
	next, err := c.mark(ctx, idx)
	if err != nil {
		return fmt.Errorf("%w (nothing was taken out, because nobody knows what it needs: bring it in once more, or delete it)", err)
	}
	for dg := range c.young { // what mark has left of them
		if c.young[dg] {
			c.done.Young++
		}
	}
	if next != idx && !c.o.DryRun {
		if err := c.d.replace(next, true); err != nil {
			c.done.Manifests = nil
			return err
		}
	}
	return c.sweep(ctx)
}

// indexed is an error if there is no index, or something in its place: nobody knows then what is needed.
func (c *cleaner) indexed() error {
	fi, err := c.root.Lstat(indexName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNoIndex
	case err != nil:
		return explain(err)
	case !fi.Mode().IsRegular():
		return notRegular(indexName, fi)
	case fi.Size() == 0:
		return fmt.Errorf("%s is empty: %w (write {\"schemaVersion\":1,\"artifacts\":[]} into it if nothing is to stay)", indexName, ocm.ErrInvalid)
	}
	return nil
}

// list looks at what lies in the folder of blobs.
func (c *cleaner) list(ctx context.Context) error {
	c.old, c.young = map[digest.Digest]fs.FileInfo{}, map[digest.Digest]bool{}
	all, err := c.names(ctx)
	if err != nil {
		return err
	}
	for _, name := range all {
		fi, err := c.blobs.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return explain(err)
		}
		dg, isBlob := blobDigest(blobsName + "/" + name)
		switch {
		case !fi.Mode().IsRegular():
		case isBlob && fi.ModTime().Before(c.limit):
			c.old[dg] = fi
		case isBlob:
			c.young[dg] = true
		case (strings.HasPrefix(name, tempPrefix) || isPart(name)) && fi.ModTime().Before(c.limit):
			c.files = append(c.files, CleanedFile{name, fi.Size()})
		}
	}
	return nil
}

// names lists the folder of blobs.
func (c *cleaner) names(ctx context.Context) ([]string, error) {
	const atOnce = 10_000
	f, err := c.blobs.Open(".")
	if err != nil {
		return nil, explain(err)
	}
	defer f.Close()
	var all []string
	for ctx.Err() == nil {
		some, err := f.Readdirnames(atOnce)
		all = append(all, some...)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, explain(err)
		case len(all) > MaxBlobs:
			return nil, fmt.Errorf("%s: more than %d files: %w", blobsName, MaxBlobs, ocm.ErrLimit)
		}
	}
	return nil, context.Cause(ctx)
}

// excludeWait is how long a manifest may take that is just being stored. Who has begun a longer piece of work is not waited for.
const excludeWait = time.Second

// exclude keeps stores that write from beginning, if none has begun.
func (c *cleaner) exclude(ctx context.Context) (unlock func(), err error) {
	if c.o.DryRun || c.blobs == nil {
		return func() {}, nil
	}
	f, err := c.blobs.Open(".")
	if err != nil {
		return nil, explain(err)
	}
	for end := time.Now().Add(excludeWait); ; {
		free, err := tryLock(f)
		switch {
		case free:
			return func() { f.Close() }, nil
		case err == nil && time.Now().After(end):
			err = fmt.Errorf("another program is writing there, and nobody knows what it still needs: %w (run the same again when it has finished)", ocm.ErrConflict)
		case err == nil:
			select {
			case <-time.After(time.Millisecond):
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		f.Close()
		return nil, explain(err)
	}
}

// sweep takes out what is left to go.
func (c *cleaner) sweep(ctx context.Context) error {
	var list []CleanedBlob
	for dg, fi := range c.old {
		list = append(list, CleanedBlob{dg, fi.Size()})
	}
	slices.SortFunc(list, func(a, b CleanedBlob) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	for _, one := range list {
		gone, err := c.take(ctx, blobName(one.Digest), c.old[one.Digest])
		if err != nil {
			return err
		}
		if gone {
			c.done.Blobs = append(c.done.Blobs, one)
		} else {
			c.done.Young++
		}
	}
	slices.SortFunc(c.files, func(a, b CleanedFile) int { return strings.Compare(a.Name, b.Name) })
	for _, one := range c.files {
		gone, err := c.take(ctx, one.Name, nil)
		if err != nil {
			return err
		}
		if gone {
			c.done.Leftovers = append(c.done.Leftovers, CleanedFile{blobsName + "/" + one.Name, one.Size})
		}
	}
	if err := c.oldIndexes(); err != nil {
		return err
	}
	if c.d.durable && !c.o.DryRun {
		return explain(syncDir(c.blobs))
	}
	return nil
}

// take removes a file, unless somebody has locked it, relied on it or replaced it since it was listed.
func (c *cleaner) take(ctx context.Context, name string, was fs.FileInfo) (gone bool, err error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	f, err := c.blobs.OpenFile(name, os.O_RDONLY|openSafely, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, explain(err)
	}
	defer f.Close()
	if free, err := tryLock(f); err != nil || !free {
		return false, explain(err)
	}
	fi, err := f.Stat()
	if err != nil {
		return false, explain(err)
	}
	now, err := c.blobs.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, explain(err)
	case !os.SameFile(fi, now), was != nil && !os.SameFile(fi, was), !fi.ModTime().Before(c.limit):
		return false, nil
	case c.o.DryRun:
		return true, nil
	}
	return true, explain(c.blobs.Remove(name))
}

// oldIndexes removes what killed writers left beside the index. Only the holder of the lock has a temporary one.
func (c *cleaner) oldIndexes() error {
	for _, name := range names(c.root) {
		if !strings.HasPrefix(name, tempPrefix+"index-") {
			continue
		}
		fi, err := c.root.Lstat(name)
		if err != nil || !fi.Mode().IsRegular() {
			continue
		}
		if !c.o.DryRun {
			if err := c.root.Remove(name); err != nil {
				return explain(err)
			}
		}
		c.done.Leftovers = append(c.done.Leftovers, CleanedFile{name, fi.Size()})
	}
	return nil
}
