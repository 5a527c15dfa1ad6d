// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
)

// copier moves content with everything below it into one repository, node by node: children
// before parents, each digest once per job, nothing that is there already.
type copier struct {
	env   *ocm.Env
	to    Repo
	place place // names the repository in the job's table
}

// place is one OCI repository of one opened repository. Two that are called the same are not the same.
type place struct {
	in        *Repository
	component string
}

// done is the key under which a job remembers that content is in its place.
type done struct {
	place    place
	digest   digest.Digest
	manifest bool
}

func (c copier) job() *ocm.Job {
	if c.env == nil {
		return nil
	}
	return c.env.Job
}

// copy returns the root's complete descriptor.
func (c copier) copy(ctx context.Context, content ocm.Content) (ociv1.Descriptor, error) {
	root := content.Root
	if blob.IsManifest(root.MediaType) {
		return plain(root), c.node(ctx, content, root, 0)
	}
	if root.Digest == "" { // known only after reading
		var stored ociv1.Descriptor
		err := c.job().Do(ctx, func() (err error) {
			if stored, err = c.push(ctx, content, root); err == nil {
				c.count(Moved, stored.Size)
			}
			return err
		})
		return stored, err
	}
	err := c.blob(ctx, content, root)
	if err == nil && root.Size < 0 {
		return root, fmt.Errorf("blob %s: size is not known: %w", root.Digest, ocm.ErrInvalid)
	}
	return plain(root), err
}

// plain drops what is not part of the identity of content.
func plain(d ociv1.Descriptor) ociv1.Descriptor {
	return ociv1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// node copies a manifest or index after everything that it refers to.
func (c copier) node(ctx context.Context, content ocm.Content, d ociv1.Descriptor, depth int) error {
	if depth > blob.MaxDepth {
		return fmt.Errorf("indexes nested more than %d deep: %w", blob.MaxDepth, ocm.ErrLimit)
	}
	index := blob.IsIndex(d.MediaType)
	copyNode := func() error {
		var raw []byte
		var there bool
		err := c.job().Do(ctx, func() (err error) {
			// An index may be there without all of its entries: they are looked at one by one.
			if there, err = c.to.Exists(ctx, d); err == nil && (!there || index) {
				raw, err = blob.ReadAll(ctx, content.From, d, blob.MaxManifest)
			}
			return err
		})
		if err != nil || there && !index {
			return err
		}
		children, err := blob.Children(d, raw)
		if err != nil {
			return err
		}
		children = blob.Selected(content, d, children)
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(c.job().Parallel())
		for _, child := range children {
			g.Go(func() error {
				if blob.IsManifest(child.MediaType) {
					return c.node(gctx, content, child, depth+1)
				}
				return c.blob(gctx, content, child)
			})
		}
		if err := g.Wait(); err != nil || there {
			return err
		}
		return c.job().Do(ctx, func() error { return c.to.PutManifest(ctx, plain(d), raw, "", Any()) })
	}
	if index && content.Skip != nil {
		return copyNode() // what another one of this digest leaves behind is its own business
	}
	return c.job().Once(ctx, done{c.place, d.Digest, true}, copyNode)
}

// blob copies one blob of known digest: skip, mount or stream.
func (c copier) blob(ctx context.Context, content ocm.Content, d ociv1.Descriptor) error {
	if err := blob.CheckDigest(d.Digest); err != nil {
		return err
	}
	// Another key than that of node: a manifest that is also somebody's layer is two things to store.
	return c.job().Once(ctx, done{c.place, d.Digest, false}, func() error {
		return c.job().Do(ctx, func() error {
			how, err := c.put(ctx, content, d)
			if err == nil {
				c.count(how, d.Size)
			}
			return err
		})
	})
}

// put lets the repository find the shortest way, if it knows one.
func (c copier) put(ctx context.Context, content ocm.Content, d ociv1.Descriptor) (How, error) {
	p, ok := c.to.(Placer)
	if !ok {
		if there, err := c.to.Exists(ctx, d); there || err != nil {
			return Found, err
		}
		_, err := c.push(ctx, content, d)
		return Moved, err
	}
	var origins []string
	if content.Origin != "" {
		origins = append(origins, content.Origin)
	}
	return p.Place(ctx, plain(d), origins, func(ctx context.Context) (io.ReadCloser, error) {
		return c.open(ctx, content, d)
	})
}

func (c copier) count(how How, size int64) {
	s := c.job().Counters()
	size = max(0, size)
	switch how {
	case Moved, Deferred:
		s.Blobs.Add(1)
		s.Moved.Add(size)
	case Mounted:
		s.Mounted.Add(1)
		s.Skipped.Add(size)
	case Found:
		s.Found.Add(1)
		s.Skipped.Add(size)
	}
}

// push streams one blob.
func (c copier) push(ctx context.Context, content ocm.Content, d ociv1.Descriptor) (ociv1.Descriptor, error) {
	rc, err := c.open(ctx, content, d)
	if err != nil {
		return d, err
	}
	defer rc.Close()
	stored, err := c.to.Push(ctx, plain(d), rc)
	stored.MediaType = d.MediaType
	return stored, err
}

// open opens a blob of the source; what is read of it is reported.
func (c copier) open(ctx context.Context, content ocm.Content, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := content.From.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return watch(ctx, c.env, rc, item(d), d.Size), nil
}

func item(d ociv1.Descriptor) string {
	if t := d.Annotations[ociv1.AnnotationTitle]; t != "" {
		return t
	}
	if d.Digest != "" {
		return d.Digest.Encoded()[:12]
	}
	return d.MediaType
}
