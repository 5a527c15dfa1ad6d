// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// unsynced are the blobs of a directory that may be in the system's cache only. A blob that was found
// counts like one that was pushed: whoever wrote it may have been killed before he came to flush it.
type unsynced struct {
	syncMu  sync.Mutex // held while pending is written to the disk
	pendMu  sync.Mutex
	pending map[string]bool // by file name
	all     bool            // more were found than are remembered
}

const (
	manyBlobs    = 32     // from here on writing back the whole file system is cheaper than waiting for each blob
	syncParallel = 8      // else, as many are waited for at once: the file system takes them together
	maxFound     = 10_000 // names that are remembered of blobs that were found
)

// note remembers a blob for the next flush.
func (u *unsynced) note(name string) {
	u.pendMu.Lock()
	defer u.pendMu.Unlock()
	u.pending[name] = true
}

// noteFound is note for a blob that was there. Who only reads never flushes: beyond
// some number the names are not kept, and everything is flushed instead.
func (u *unsynced) noteFound(name string) {
	u.pendMu.Lock()
	defer u.pendMu.Unlock()
	if len(u.pending) < maxFound {
		u.pending[name] = true
	} else if !u.pending[name] {
		u.all = true
	}
}

// take returns what is to be flushed and begins a new list.
func (u *unsynced) take() (pending map[string]bool, all bool) {
	u.pendMu.Lock()
	defer u.pendMu.Unlock()
	pending, all = u.pending, u.all
	u.pending, u.all = map[string]bool{}, false
	return pending, all
}

// putBack is for those who could not flush what they took.
func (u *unsynced) putBack(pending map[string]bool, all bool) {
	u.pendMu.Lock()
	defer u.pendMu.Unlock()
	maps.Copy(u.pending, pending)
	u.all = u.all || all
}

// flush writes to the disk what was pushed or found and not flushed yet. Two calls wait for each
// other, because the second one relies on what the first one is writing.
func (d *directory) flush() error {
	if !d.durable {
		return nil
	}
	d.syncMu.Lock()
	defer d.syncMu.Unlock()
	pending, all := d.take()
	if len(pending) == 0 && !all {
		return nil
	}
	blobs, err := d.blobsDir(true)
	if err == nil {
		err = explain(syncBlobs(blobs, pending, all))
	}
	if err != nil { // the next one tries again
		d.putBack(pending, all)
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

func syncBlobs(blobs *os.Root, pending map[string]bool, all bool) error {
	if all || len(pending) >= manyBlobs {
		if done, err := syncTogether(blobs); done {
			return err
		}
	}
	if all {
		for _, name := range names(blobs) {
			if !strings.HasPrefix(name, ".") {
				pending[name] = true
			}
		}
	}
	var g errgroup.Group
	g.SetLimit(syncParallel)
	for name := range pending {
		g.Go(func() error { return syncFile(blobs, name) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return syncDir(blobs)
}

func syncFile(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|openSafely, 0)
	if errors.Is(err, fs.ErrNotExist) { // somebody removed it after it was found
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// syncDir makes renames durable, where folders can be synced at all.
func syncDir(root *os.Root) error {
	err := syncFile(root, ".")
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
