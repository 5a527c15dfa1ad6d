// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tempPrefix begins the names of our temporary files. Readers ignore names that are no digests.
const tempPrefix = ".ocm-"

// lockWait is the longest pause between two looks at a lock that another process holds.
const lockWait = 5 * time.Millisecond

// writer is the part of a directory that only writers need.
type writer struct {
	turn  chan struct{} // holds one value while a goroutine of this process changes the index
	tidy  sync.Once     // old temporary blobs are looked for once
	clean bool          // old temporary indexes were looked for; guarded by turn

	syncMu  sync.Mutex // held while pending is written to the disk
	pendMu  sync.Mutex
	pending map[string]bool // blobs that may be in the system's cache only
}

// update replaces the index by what fn makes of it, as one step for all processes. fn may run
// only once, under the lock, and returns its argument if nothing changes. With visible set, all
// blobs pushed before are on the disk when the new index is.
func (d *directory) update(ctx context.Context, visible bool, fn func(*index) (*index, error)) error {
	if visible {
		if err := d.flush(); err != nil {
			return err
		}
	}
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := d.load()
	if err != nil {
		return err
	}
	idx, err := fn(old)
	if err != nil || idx == old {
		return err
	}
	return d.replace(idx, visible)
}

// lock waits for the right to change the index: first among the goroutines of this process,
// then among processes.
func (d *directory) lock(ctx context.Context) (unlock func(), err error) {
	root, err := d.rootDir(true)
	if err != nil {
		return nil, err
	}
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		if err != nil {
			<-d.turn
		}
	}()
	f, err := root.Open(".")
	if err != nil {
		return nil, explain(err)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, lockWait) {
		free, err := tryLock(f)
		if free {
			return func() { f.Close(); <-d.turn }, nil
		}
		if err == nil {
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
				err = fmt.Errorf("waiting for another process that writes: %w", context.Cause(ctx))
			}
		} else {
			err = fmt.Errorf("lock: %w (does the file system have locks? otherwise write to a local directory)", err)
		}
		f.Close()
		return nil, err
	}
}

// replace writes the index beside the old one and renames it. The caller holds the lock.
func (d *directory) replace(idx *index, durable bool) (err error) {
	root, err := d.rootDir(true)
	if err != nil {
		return err
	}
	d.dropOldIndexes(root)
	f, name, err := createTemp(root, tempPrefix+"index-")
	if err != nil {
		return fmt.Errorf("%s: %w", indexName, explain(err))
	}
	defer func() {
		if err != nil {
			f.Close()
			root.Remove(name)
			err = fmt.Errorf("%s: %w", indexName, explain(err))
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	if err := idx.write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o444); err != nil {
		return err
	}
	if durable {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := root.Rename(name, indexName); err != nil {
		return err
	}
	d.cacheMu.Lock()
	d.setCache(cachedIndex{idx: idx, file: f, info: fi})
	d.cacheMu.Unlock()
	if durable {
		return syncDir(root)
	}
	return nil
}

// dropOldIndexes removes what killed writers left. Only the holder of the lock has a
// temporary index, so every one found now is dead.
func (d *directory) dropOldIndexes(root *os.Root) {
	if d.clean {
		return
	}
	d.clean = true
	for _, name := range names(root) {
		if strings.HasPrefix(name, tempPrefix+"index-") {
			root.Remove(name)
		}
	}
}

// flush writes to the disk what was pushed and not flushed yet. Two calls wait for each other,
// because the second one relies on what the first one is writing.
func (d *directory) flush() error {
	d.syncMu.Lock()
	defer d.syncMu.Unlock()
	d.pendMu.Lock()
	pending := d.pending
	d.pending = map[string]bool{}
	d.pendMu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	blobs, err := d.blobsDir(true)
	if err != nil {
		return err
	}
	if err = syncBlobs(blobs, pending); err != nil { // the next one tries again
		d.pendMu.Lock()
		for name := range pending {
			d.pending[name] = true
		}
		d.pendMu.Unlock()
		return fmt.Errorf("flush: %w", explain(err))
	}
	return nil
}

// manyBlobs is the number of blobs from which on writing back the whole file system is cheaper than
// waiting for each.
const manyBlobs = 64

func syncBlobs(blobs *os.Root, names map[string]bool) error {
	if len(names) >= manyBlobs {
		if done, err := syncTogether(blobs); done {
			return err
		}
	}
	for name := range names {
		if err := syncFile(blobs, name); err != nil {
			return err
		}
	}
	return syncDir(blobs)
}

func syncFile(root *os.Root, name string) error {
	f, err := root.Open(name)
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
