// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"fmt"
	"maps"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// change calls fn with the repository's content, if there is any.
func (r *repo) change(ctx context.Context, what string, fn func(c *content) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	err := ocm.ErrNotFound
	if c := r.s.repos[r.name]; c != nil {
		err = fn(c)
	}
	if err != nil {
		return fmt.Errorf("memory: repository %s: %s: %w", r.name, what, err)
	}
	return nil
}

// Untag implements [oci.Deleter].
func (r *repo) Untag(ctx context.Context, tag string) error {
	return r.change(ctx, fmt.Sprintf("tag %.200q", tag), func(c *content) error {
		if _, ok := c.tags[tag]; !ok {
			return ocm.ErrNotFound
		}
		delete(c.tags, tag)
		return nil
	})
}

// DeleteManifest implements [oci.Deleter].
func (r *repo) DeleteManifest(ctx context.Context, d digest.Digest) error {
	if err := blob.CheckDigest(d); err != nil {
		return err
	}
	return r.change(ctx, fmt.Sprintf("manifest %s", d), func(c *content) error {
		if _, ok := c.manifests[d]; !ok {
			return ocm.ErrNotFound
		}
		if err := c.needed(d, blob.IsIndex); err != nil {
			return err
		}
		delete(c.manifests, d)
		maps.DeleteFunc(c.tags, func(_ string, at digest.Digest) bool { return at == d })
		return nil
	})
}

// DeleteBlob implements [oci.Deleter]. The blobs of other repositories are others.
func (r *repo) DeleteBlob(ctx context.Context, d digest.Digest) error {
	if err := blob.CheckDigest(d); err != nil {
		return err
	}
	return r.change(ctx, fmt.Sprintf("blob %s", d), func(c *content) error {
		if _, ok := c.manifests[d]; ok {
			return fmt.Errorf("it is a manifest: delete that first: %w", ocm.ErrDenied)
		}
		if _, ok := c.blobs[d]; !ok {
			return ocm.ErrNotFound
		}
		if err := c.needed(d, blob.IsManifest); err != nil {
			return err
		}
		delete(c.blobs, d)
		return nil
	})
}

// needed is an error if a manifest of one of these media types refers to d, or if nobody knows what it refers to.
func (c *content) needed(d digest.Digest, among func(mediaType string) bool) error {
	for key, m := range c.manifests {
		if !among(m.mediaType) {
			continue
		}
		children, err := blob.Children(ociv1.Descriptor{MediaType: m.mediaType, Digest: key}, m.raw)
		if err != nil {
			return err
		}
		for _, child := range children {
			if child.Digest == d {
				return fmt.Errorf("manifest %s needs it: delete that first: %w", key, ocm.ErrDenied)
			}
		}
	}
	return nil
}
