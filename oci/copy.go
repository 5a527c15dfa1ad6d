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
			stored, err = c.push(ctx, content, root)
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
	return c.job().Once(ctx, done{c.place, d.Digest, true}, func() error {
		var raw []byte
		var there bool
		err := c.job().Do(ctx, func() (err error) {
			if there, err = c.to.Exists(ctx, d); err == nil && !there {
				raw, err = blob.ReadAll(ctx, content.From, d, blob.MaxManifest)
			}
			return err
		})
		if err != nil || there {
			return err
		}
		children, err := blob.Children(d, raw)
		if err != nil {
			return err
		}
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
		if err := g.Wait(); err != nil {
			return err
		}
		return c.job().Do(ctx, func() error { return c.to.PutManifest(ctx, plain(d), raw, "", Any()) })
	})
}

// blob copies one blob of known digest: skip, mount or stream.
func (c copier) blob(ctx context.Context, content ocm.Content, d ociv1.Descriptor) error {
	if err := blob.CheckDigest(d.Digest); err != nil {
		return err
	}
	// Another key than that of node: a manifest that is also somebody's layer is two things to store.
	return c.job().Once(ctx, done{c.place, d.Digest, false}, func() error {
		return c.job().Do(ctx, func() error {
			if ok, err := c.to.Exists(ctx, d); ok || err != nil {
				return err
			}
			if m, ok := c.to.(Mounter); ok && content.Origin != "" {
				if done, err := m.Mount(ctx, plain(d), content.Origin); done || err != nil {
					return err
				}
			}
			_, err := c.push(ctx, content, d)
			return err
		})
	})
}

// push streams one blob and reports progress.
func (c copier) push(ctx context.Context, content ocm.Content, d ociv1.Descriptor) (ociv1.Descriptor, error) {
	rc, err := content.From.Fetch(ctx, d)
	if err != nil {
		return d, err
	}
	defer rc.Close()
	p := &progress{ctx: ctx, r: rc, env: c.env, ev: ocm.Event{Item: item(d), Total: d.Size}}
	defer p.done()
	stored, err := c.to.Push(ctx, plain(d), p)
	stored.MediaType = d.MediaType
	return stored, err
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

// progress tells the environment how far a stream is, every mebibyte.
type progress struct {
	ctx  context.Context
	r    io.Reader
	env  *ocm.Env
	ev   ocm.Event
	next int64
}

func (p *progress) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil { // files do not look at it
		return 0, context.Cause(p.ctx)
	}
	n, err := p.r.Read(b)
	p.ev.Bytes += int64(n)
	if p.ev.Bytes >= p.next {
		p.next = p.ev.Bytes + 1<<20
		p.env.Event(p.ev)
	}
	return n, err
}

func (p *progress) done() {
	p.ev.Done = true
	p.env.Event(p.ev)
}
