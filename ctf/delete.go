// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

var _ oci.Deleter = (*repo)(nil)

// Untag implements [oci.Deleter] for directories. From an archive in one file nothing is taken out: [ocm.ErrDenied].
func (r *repo) Untag(ctx context.Context, tag string) error {
	return r.wrap(r.takeOut(ctx, func(idx *index) (*index, error) {
		e, ok := idx.tag(r.name, tag)
		if !ok {
			return nil, fmt.Errorf("tag %.200q: %w", tag, ocm.ErrNotFound)
		}
		return idx.without(e, true)
	}))
}

// DeleteManifest implements [oci.Deleter] for directories. The bytes stay among the blobs, which other repositories share,
// until DeleteBlob takes them away.
func (r *repo) DeleteManifest(ctx context.Context, d digest.Digest) error {
	if err := blob.CheckDigest(d); err != nil {
		return r.wrap(err)
	}
	return r.wrap(r.takeOut(ctx, func(idx *index) (*index, error) {
		by, err := r.s.parent(ctx, idx.relatives(r.name), d, true)
		_, listed := idx.digest(r.name, d)
		switch {
		case err != nil:
			return nil, err
		case by != "": // it would still be found, by its digest
			return nil, fmt.Errorf("manifest %s: index %s has it: delete that first: %w", d, by, ocm.ErrDenied)
		case !listed:
			return nil, fmt.Errorf("manifest %s: %w", d, ocm.ErrNotFound)
		}
		return idx.without(entry{Repository: r.name, Digest: d}, false)
	}))
}

// takeOut changes the index of a directory.
func (r *repo) takeOut(ctx context.Context, fn func(*index) (*index, error)) error {
	d, err := r.folder()
	if err != nil {
		return err
	}
	return d.update(ctx, true, fn)
}

// folder is the directory that this repository is in.
func (r *repo) folder() (*directory, error) {
	d, ok := r.s.out.(*directory)
	if !ok {
		return nil, fmt.Errorf("from an archive in one file nothing is taken out: copy what should stay into another one, or into a folder: %w (%w)",
			ocm.ErrDenied, errors.ErrUnsupported)
	}
	return d, nil
}

// DeleteBlob implements [oci.Deleter] for directories. Somebody who found the blob a moment ago, and puts a manifest that
// needs it a moment later, is not seen.
func (r *repo) DeleteBlob(ctx context.Context, dg digest.Digest) error {
	return r.wrap(r.deleteBlob(ctx, dg))
}

func (r *repo) deleteBlob(ctx context.Context, dg digest.Digest) error {
	if err := blob.CheckDigest(dg); err != nil {
		return err
	}
	d, err := r.folder()
	if err != nil {
		return err
	}
	if _, _, err := d.lstat(dg); err != nil {
		return err
	}
	err = d.alone(ctx, func() error {
		idx, err := d.load() // as it is on the disk: what a crash leaves must be whole
		if err == nil {
			err = r.s.needed(ctx, idx, dg)
		}
		if err == nil {
			err = d.remove(dg)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("blob %s: %w", dg, err)
	}
	return nil
}

// alone calls fn while nobody else, of no process, changes the index.
func (d *directory) alone(ctx context.Context, fn func() error) error {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return fn()
}

func (d *directory) remove(dg digest.Digest) error {
	blobs, err := d.blobsDir(false)
	if err != nil {
		return err
	}
	if blobs == nil {
		return ocm.ErrNotFound
	}
	err = blobs.Remove(blobName(dg))
	switch {
	case errors.Is(err, fs.ErrNotExist): // another one was faster
		return ocm.ErrNotFound
	case err == nil && d.durable:
		err = syncDir(blobs)
	}
	return explain(err)
}

// without returns an index in which a tag is gone, but not its manifest, which stays listed; or all entries of a manifest.
func (idx *index) without(gone entry, tagOnly bool) (*index, error) {
	var left entries
	listed := false // by another entry than that of the tag
	for _, e := range idx.entries {
		same := e.Repository == gone.Repository && e.Digest == gone.Digest
		if same && (!tagOnly || e.Tag == gone.Tag) {
			continue
		}
		listed = listed || same
		left = append(left, e)
	}
	if tagOnly && !listed {
		gone.Tag = ""
		left = append(left, gone)
	}
	return newIndex(left)
}
