// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// tempPrefix begins the names of our temporary files. Readers ignore names that are no digests.
const tempPrefix = ".ocm-"

// lockWait is the longest pause between two looks at a lock that another process holds.
const lockWait = 5 * time.Millisecond

// Bounds of the time that a group of updates may grow before it is written.
const (
	growMax = 200 * time.Millisecond
	growBy  = 2 // times the duration of the last write
)

// writer is the part of a directory that only writers need.
type writer struct {
	turn  chan struct{} // holds one value while a goroutine of this process changes the index
	tidy  sync.Once     // old temporary blobs are looked for once
	clean bool          // old temporary indexes were looked for; guarded by turn

	groupMu sync.Mutex
	group   []*change     // who waits for the next write of the index
	full    chan struct{} // closed when the group has wanted members; nil while nobody waits for that
	wanted  int
	last    time.Duration // of the last write; guarded by turn
	crowd   int           // members of the last group; guarded by turn

	enc encoder // guarded by turn

	modeOnce sync.Once
	chmod    bool // new files do not get the mode that they are made with

	unsynced
}

// change is one update that waits for its turn.
type change struct {
	fn      func(*index) (*index, error)
	visible bool
	done    chan error // takes one value
}

// update replaces the index by what fn makes of it, as one step for all processes. fn may run
// only once, under the lock, and returns its argument if nothing changes. All blobs pushed or found
// before are on the disk when the new index is; with visible set, update returns when
// the new index cannot be lost any more.
//
// Updates that come while another one is written wait and are written together: one of those who wait
// takes the turn and does the work for all. Who is cancelled does not wait any longer; whether his
// update is written is open then.
func (d *directory) update(ctx context.Context, visible bool, fn func(*index) (*index, error)) error {
	c := &change{fn: fn, visible: visible, done: make(chan error, 1)}
	d.join(c)
	for {
		select {
		case err := <-c.done:
			return err
		case <-ctx.Done():
			if d.leave(c) {
				return context.Cause(ctx)
			}
			select {
			case err := <-c.done:
				return err
			default:
				return context.Cause(ctx)
			}
		case d.turn <- struct{}{}:
		}
		if len(c.done) > 0 { // another one did it meanwhile
			<-d.turn
			return <-c.done
		}
		err := d.lead(ctx)
		<-d.turn
		if err != nil {
			d.leave(c)
			return err
		}
	}
}

// join adds a change to the group that is written next.
func (d *directory) join(c *change) {
	d.groupMu.Lock()
	defer d.groupMu.Unlock()
	d.group = append(d.group, c)
	if d.full != nil && len(d.group) >= d.wanted {
		close(d.full)
		d.full = nil
	}
}

// leave takes a change out again, and reports false if somebody has begun with it already.
func (d *directory) leave(c *change) bool {
	d.groupMu.Lock()
	defer d.groupMu.Unlock()
	i := slices.Index(d.group, c)
	if i >= 0 {
		d.group = slices.Delete(d.group, i, i+1)
	}
	return i >= 0
}

// lead does the work of all who wait, and tells them. The caller has the turn. An error is the caller's
// own: the others stay, and one of them has to try.
func (d *directory) lead(ctx context.Context) error {
	if _, err := d.rootDir(true); err != nil {
		return err
	}
	d.grow(ctx)
	d.groupMu.Lock()
	group := d.group
	d.group = nil
	d.groupMu.Unlock()
	if len(group) == 0 {
		return nil
	}
	start := time.Now()
	var errs []error
	err := d.flush()
	if err == nil {
		var unlock func()
		if unlock, err = d.lock(ctx); err != nil {
			d.groupMu.Lock()
			d.group = append(group, d.group...)
			d.groupMu.Unlock()
			return err
		}
		errs, err = d.write(group)
		unlock()
	}
	d.last, d.crowd = time.Since(start), len(group)
	for i, c := range group {
		if err == nil {
			c.done <- errs[i]
		} else {
			c.done <- err
		}
	}
	return nil
}

// grow waits until as many updates have come together as the last time, but not much longer than writing them
// took: the cost of a write grows with the index, and should be shared. A writer who is alone never waits.
func (d *directory) grow(ctx context.Context) {
	if d.crowd < 2 {
		return
	}
	d.groupMu.Lock()
	if len(d.group) >= d.crowd {
		d.groupMu.Unlock()
		return
	}
	full := make(chan struct{})
	d.full, d.wanted = full, d.crowd
	d.groupMu.Unlock()
	timer := time.NewTimer(min(growMax, growBy*d.last))
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
	case <-ctx.Done():
	}
	d.groupMu.Lock()
	d.full = nil
	d.groupMu.Unlock()
}

// write changes the index for a group. The caller has the turn and the lock.
func (d *directory) write(group []*change) ([]error, error) {
	old, err := d.load()
	if err != nil {
		return nil, err
	}
	fns := make([]func(*index) (*index, error), len(group))
	visible := false
	for i, c := range group {
		fns[i] = c.fn
		visible = visible || c.visible
	}
	idx, errs := old.apply(fns)
	if idx == old {
		return errs, nil
	}
	return errs, d.replace(idx, visible)
}

// lock waits for the right to change the index among processes. The caller has the turn.
func (d *directory) lock(ctx context.Context) (unlock func(), err error) {
	root, err := d.rootDir(true)
	if err != nil {
		return nil, err
	}
	f, err := root.Open(".")
	if err != nil {
		return nil, explain(err)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, lockWait) {
		free, err := tryLock(f)
		if free {
			return func() { f.Close() }, nil
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

// replace writes the index beside the old one and renames it. The caller holds the lock. Of a durable directory the
// bytes are on the disk before the name is: the index that is replaced may have been there for years. Only
// the new name may be lost with the power, unless it has to be visible.
func (d *directory) replace(idx *index, visible bool) (err error) {
	root, err := d.rootDir(true)
	if err != nil {
		return err
	}
	d.dropOldIndexes(root)
	f, name, err := createTemp(root, tempPrefix+"index-", 0o444)
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
	if err := f.Chmod(0o444); err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	if err := d.enc.write(w, idx); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if d.durable {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	allowReplacing(root, indexName)
	if err := root.Rename(name, indexName); err != nil {
		return err
	}
	d.cacheMu.Lock()
	d.setCache(cachedIndex{idx: idx, file: f, info: fi})
	d.cacheMu.Unlock()
	if visible && d.durable {
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
