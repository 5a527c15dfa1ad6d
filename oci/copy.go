// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"fmt"
	"io"
	"sync"

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
		if err := c.node(ctx, content, root, 0); err != nil {
			return root, err
		}
		return plain(root), c.attached(ctx, content)
	}
	if root.Digest == "" || root.Size < 0 { // known only after reading
		var stored ociv1.Descriptor
		err := c.job().Do(ctx, func() (err error) {
			stored, err = c.push(ctx, content, root)
			return err
		})
		return stored, err
	}
	return plain(root), c.blob(ctx, content, root)
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
	if err := c.oneSize(d); err != nil {
		return err
	}
	index := blob.IsIndex(d.MediaType)
	_, costs := c.to.(ManifestReader)
	// An index may be there without all of its entries. A registry has the rest of what it shows; elsewhere
	// files get lost, and looking costs nothing.
	look := index || !costs
	copyNode := func() error {
		var raw []byte
		var there bool
		err := c.job().Do(ctx, func() (err error) {
			if there, err = Keep(ctx, c.to, d); err != nil || there && !look {
				return err
			}
			if !there {
				raw, err = blob.ReadAll(ctx, content.From, d, blob.MaxManifest)
				return err
			}
			if raw, err = blob.ReadAll(ctx, c.to, d, blob.MaxManifest); err != nil {
				err = fmt.Errorf("target: %w", err)
			}
			return err
		})
		if err != nil || there && !look {
			return err
		}
		if err := c.children(ctx, content, d, raw, depth); err != nil || there {
			return err
		}
		return c.job().Do(ctx, func() error { return c.to.PutManifest(ctx, plain(d), raw, "", Any()) })
	}
	if index && content.Skip != nil {
		return copyNode() // what another one of this digest leaves behind is its own business
	}
	return c.job().Once(ctx, done{c.place, d.Digest, true}, copyNode)
}

// children copies what a manifest or index refers to.
func (c copier) children(ctx context.Context, content ocm.Content, d ociv1.Descriptor, raw []byte, depth int) error {
	children, err := blob.Children(d, raw)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.job().Parallel())
	for _, child := range blob.Selected(content, d, children) {
		g.Go(func() error {
			if blob.IsManifest(child.MediaType) {
				return c.node(ctx, content, child, depth+1)
			}
			return c.blob(ctx, content, child)
		})
	}
	return g.Wait()
}

// blob copies one blob of known digest. The first repository that wants it gets it from the source;
// those that want it too wait, and then find it, or have it mounted from the first.
func (c copier) blob(ctx context.Context, content ocm.Content, d ociv1.Descriptor) error {
	if err := blob.CheckDigest(d.Digest); err != nil {
		return err
	}
	if err := c.oneSize(d); err != nil {
		return err
	}
	put := func() error {
		return c.job().Do(ctx, func() error { return c.put(ctx, content, d) })
	}
	// Another key than that of node: a manifest that is also somebody's layer is two things to store.
	return c.job().Once(ctx, done{c.place, d.Digest, false}, func() error {
		c.env.Event(ocm.Event{Total: max(0, d.Size)})
		first := false
		err := c.job().Once(ctx, arrival{c.place.in, d.Digest}, func() error {
			first = true
			return put()
		})
		if err != nil || first {
			return err
		}
		return put()
	})
}

// oneSize refuses a digest that is named with two sizes. What is copied once is copied for all who
// name it, so they must mean the same.
func (c copier) oneSize(d ociv1.Descriptor) error {
	if d.Size < 0 {
		return nil
	}
	if size := c.job().Keep(sizeOf{d.Digest}, func() any { return d.Size }); size != d.Size {
		return fmt.Errorf("%s is named with %d and with %d bytes: %w", d.Digest, size, d.Size, ocm.ErrInvalid)
	}
	return nil
}

// sizeOf is the key under which a job remembers the size that a blob was named with.
type sizeOf struct{ digest digest.Digest }

// arrival is the key under which a job remembers that a blob has come to a target for the first time.
type arrival struct {
	in     *Repository
	digest digest.Digest
}

// put lets the repository find the shortest way, if it knows one.
func (c copier) put(ctx context.Context, content ocm.Content, d ociv1.Descriptor) error {
	s := &source{copier: c, content: content, d: d}
	how, err := c.find(ctx, d, content.Origin, s.open)
	if err != nil {
		s.finish()
		return err
	}
	c.place.in.homes.add(d.Digest, c.to.Origin())
	c.count(how, d.Size)
	switch how {
	case Moved:
		s.finish()
	case Deferred:
		s.deferred.Store(true)
	default:
		c.env.Event(ocm.Event{Item: item(content, d), Bytes: d.Size, Total: d.Size, Done: true, Skipped: true})
	}
	return nil
}

func (c copier) find(ctx context.Context, d ociv1.Descriptor, origin string, open func(context.Context) (io.ReadCloser, error)) (How, error) {
	if p, ok := c.to.(Placer); ok {
		var origins []string
		for _, o := range []string{c.place.in.homes.of(d.Digest), origin} {
			if o != "" && o != c.to.Origin() {
				origins = append(origins, o)
			}
		}
		return p.Place(ctx, plain(d), origins, open)
	}
	if there, err := c.to.Exists(ctx, d); there || err != nil {
		return Found, err
	}
	rc, err := open(ctx)
	if err != nil {
		return Moved, err
	}
	defer rc.Close()
	_, err = c.to.Push(ctx, plain(d), rc)
	return Moved, err
}

// homes remembers where in a registry the blobs of this run are.
type homes struct{ byDigest sync.Map }

func (h *homes) add(d digest.Digest, origin string) {
	if origin != "" {
		h.byDigest.LoadOrStore(d, origin)
	}
}

func (h *homes) of(d digest.Digest) string {
	origin, _ := h.byDigest.Load(d)
	s, _ := origin.(string)
	return s
}

// push streams a blob whose digest or size is not known; a digest that is known is demanded of the bytes.
func (c copier) push(ctx context.Context, content ocm.Content, d ociv1.Descriptor) (ociv1.Descriptor, error) {
	c.env.Event(ocm.Event{Total: max(0, d.Size)})
	s := &source{copier: c, content: content, d: d}
	defer s.finish()
	rc, err := s.open(ctx)
	if err != nil {
		return d, err
	}
	defer rc.Close()
	stored, err := c.to.Push(ctx, plain(d), rc)
	if err == nil {
		c.count(Moved, stored.Size)
	}
	stored.MediaType = d.MediaType
	return stored, err
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

// item names a stream for people.
func item(content ocm.Content, d ociv1.Descriptor) string {
	part := d.MediaType
	if d.Digest != "" {
		part = d.Digest.Encoded()[:12]
	}
	switch {
	case content.Name == "":
		return part
	case d.Digest == content.Root.Digest:
		return content.Name
	}
	return content.Name + " " + part
}
