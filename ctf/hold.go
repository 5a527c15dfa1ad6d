// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// How those who write keep [Store.Clean] of another process from taking what they rely on.
//
// The time of a blob's file is when somebody relied on it last: who pushes it makes the file, and who finds it, and is about to
// put a manifest that needs it, sets the time to now. Young blobs stay. Whoever takes a blob away, renames another over it or
// sets its time has the lock of its file meanwhile, so that between looking at the time and taking away nobody comes.
//
// A day's copying would lose what it began with. So each store that writes shares the lock of the folder of blobs from its first
// write until it is closed, and who cleans up must have that lock alone. It goes with its process, and leaves nothing. A store that stands
// for long shares it only from when it looks whether the content of a manifest is there until that is in the index: whatever age who
// cleans up takes for old, and whatever the clocks say, nothing is listed that has just gone.

// youngFor is the age at which the time of a blob is still good enough.
const youngFor = time.Minute

// begin shares the lock of the folder of blobs, once.
func (d *directory) begin(ctx context.Context, blobs *os.Root) error {
	if d.standing || !HasLocks {
		return nil
	}
	d.sessionMu.Lock()
	defer d.sessionMu.Unlock()
	if d.session != nil {
		return nil
	}
	var err error
	d.session, err = share(ctx, blobs)
	return err
}

// share shares the lock of the folder of blobs until the file is closed. Where there are no locks nobody cleans up.
func share(ctx context.Context, blobs *os.Root) (*os.File, error) {
	f, err := blobs.Open(".")
	if err != nil {
		return nil, explain(err)
	}
	for {
		if free, err := tryShare(f); free || err != nil {
			return f, nil //nolint:nilerr // see above
		}
		select {
		case <-time.After(lockWait):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another process that cleans up: %w", context.Cause(ctx))
		}
	}
}

// end gives the lock back.
func (d *directory) end() {
	d.sessionMu.Lock()
	defer d.sessionMu.Unlock()
	if d.session != nil {
		d.session.Close()
		d.session = nil
	}
}

var (
	_ oci.Keeper = (*repo)(nil)
	_ oci.Holder = (*repo)(nil)
)

// Hold implements [oci.Holder]. The lock is not the one that the index is changed with, which comes after it.
func (r *repo) Hold(ctx context.Context) (release func(), err error) {
	release = func() {}
	dir, ok := r.s.sink(r.name).(*directory)
	if !ok || !HasLocks {
		return release, nil
	}
	blobs, err := dir.blobsDir(false)
	if blobs == nil || err != nil {
		return release, r.wrap(err)
	}
	f, err := share(ctx, blobs)
	if err != nil {
		return release, r.wrap(err)
	}
	return func() { f.Close() }, nil
}

// Keep implements [oci.Keeper].
func (r *repo) Keep(ctx context.Context, d ociv1.Descriptor) (bool, error) {
	there, err := r.Exists(ctx, d)
	dir, ok := r.s.sink(r.name).(*directory)
	if !there || err != nil || !ok {
		return there, err
	}
	there, err = dir.hold(ctx, d.Digest)
	return there, r.wrap(err)
}

// hold makes a blob that is there young, and reports false if it is not there any more.
func (d *directory) hold(ctx context.Context, dg digest.Digest) (bool, error) {
	blobs, err := d.blobsDir(false)
	if blobs == nil || err != nil {
		return false, err
	}
	if err := d.begin(ctx, blobs); err != nil {
		return false, err
	}
	fi, _, err := d.lstat(dg)
	if errors.Is(err, ocm.ErrNotFound) {
		return false, nil
	}
	if err != nil || time.Since(fi.ModTime()) < youngFor {
		return err == nil, err
	}
	name := blobName(dg)
	unlock, err := lockBlob(ctx, blobs, name)
	if err != nil {
		return false, err
	}
	err = blobs.Chtimes(name, time.Time{}, time.Now())
	unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, fs.ErrPermission): // the file is somebody else's: one of our own takes its place
		return d.renew(ctx, dg)
	}
	return err == nil, explain(err)
}

// renew writes a blob once more. One that is damaged is not there.
func (d *directory) renew(ctx context.Context, dg digest.Digest) (bool, error) {
	rc, err := d.open(ctx, dg)
	if err == nil {
		defer rc.Close()
		_, err = d.push(ctx, ociv1.Descriptor{Digest: dg, Size: -1}, rc)
	}
	if errors.Is(err, ocm.ErrNotFound) || errors.Is(err, ocm.ErrDigest) {
		return false, nil
	}
	return err == nil, err
}

// lockBlob waits for the lock of a blob's file. There is nothing to be locked if there is none, or none that can be opened; where there
// are no locks, nobody cleans up.
func lockBlob(ctx context.Context, blobs *os.Root, name string) (unlock func(), err error) {
	f, err := blobs.OpenFile(name, os.O_RDONLY|openSafely, 0)
	if err != nil {
		return func() {}, nil //nolint:nilerr // see above
	}
	for {
		if free, err := tryLock(f); free || err != nil {
			return func() { f.Close() }, nil //nolint:nilerr // see above
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another process that cleans up: %w", context.Cause(ctx))
		}
	}
}

// settle gives a blob its name.
func settle(ctx context.Context, blobs *os.Root, temp, name string) error {
	unlock, err := lockBlob(ctx, blobs, name)
	if err != nil {
		return err
	}
	defer unlock()
	return blobs.Rename(temp, name)
}
