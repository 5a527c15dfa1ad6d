// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/graph"
	"ocm/inspect"
	"ocm/oci"
)

// MaxPath bounds the references that lead to a resource.
const MaxPath = graph.MaxDepth

// ErrReference says that a path of references leads nowhere; what it wraps says why.
var ErrReference = errors.New("referencePath")

// Resource is a resource of a version below an answer.
type Resource struct {
	ocm.Resource
	Component, Version string     // that has it
	Digest             ocm.Digest // of that version's normalised descriptor
	Repository         ocm.Spec   // in which that version is
	// Artifact describes the content if it is an OCI artifact, pullable from where it is; nil if it is not.
	Artifact *ociv1.Descriptor

	answer *Answer
	node   *graph.Node
}

// Resource finds a resource by a path of references and an identity, each a part of what is to be found that must fit exactly one.
// [ocm.ErrNotFound] and [ocm.ErrInvalid] name the element, and what there is; of the path they are an [ErrReference] as well. An OCI artifact that is only referred to is
// asked for at its registry.
func (a *Answer) Resource(ctx context.Context, path []ocm.Identity, id ocm.Identity) (*Resource, error) {
	if len(path) > MaxPath {
		return nil, fmt.Errorf("%w: %d elements, accepted are %d: %w", ErrReference, len(path), MaxPath, ocm.ErrLimit)
	}
	n := a.nodes[a.Component+":"+a.Version]
	for i, part := range path {
		refs := n.Descriptor().Component.References
		k, err := only(part, len(refs), func(i int) *ocm.Element { return &refs[i].Element })
		if err != nil {
			return nil, fmt.Errorf("%w[%d]: reference %s of %s: %w", ErrReference, i, part, n.Key(), err)
		}
		key := refs[k].ComponentName + ":" + refs[k].Version
		if n = a.nodes[key]; n == nil {
			return nil, fmt.Errorf("%w[%d]: %s was not loaded: %w", ErrReference, i, key, ocm.ErrNotFound)
		}
	}
	all := n.Descriptor().Component.Resources
	k, err := only(id, len(all), func(i int) *ocm.Element { return &all[i].Element })
	if err != nil {
		return nil, fmt.Errorf("resource %s of %s: %w", id, n.Key(), err)
	}
	return a.resource(ctx, n, &all[k])
}

// only finds the one element that has all of an identity.
func only(part ocm.Identity, n int, element func(int) *ocm.Element) (int, error) {
	if len(part) == 0 {
		return 0, fmt.Errorf("it says nothing, expected a name: %w", ocm.ErrInvalid)
	}
	found := -1
	var all []string
	for i := range n {
		id := element(i).Identity()
		all = append(all, id.String())
		switch {
		case !part.Selects(id):
		case found >= 0:
			return 0, fmt.Errorf("it fits several, among them {%s} and {%s}: %w", all[found], id, ocm.ErrInvalid)
		default:
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("%w, there is %s", ocm.ErrNotFound, told(all))
	}
	return found, nil
}

func (a *Answer) resource(ctx context.Context, n *graph.Node, r *ocm.Resource) (*Resource, error) {
	c := &n.Descriptor().Component
	out := &Resource{Resource: *r, Component: c.Name, Version: c.Version, Repository: a.found.get(n.Key()).in, answer: a, node: n}
	var err error
	if out.Digest, err = digestOf(n.Descriptor()); err != nil {
		return nil, fmt.Errorf("%s: %w", n.Key(), err)
	}
	if out.Artifact, err = out.artifact(ctx); err != nil {
		return nil, out.wrap(err)
	}
	return out, nil
}

// wrap says which resource an error is about.
func (r *Resource) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: resource %s: access %s: %w", r.node.Key(), r.Element.String(), r.Access.Type, err)
}

// env is that of one piece of work.
func (r *Resource) env() *ocm.Env {
	env := *r.answer.session.Env
	env.Job = ocm.NewJob(env.Job.Parallel())
	return &env
}

// artifact describes what is in a registry.
func (r *Resource) artifact(ctx context.Context) (*ociv1.Descriptor, error) {
	if !graph.HasContent(r.Access.Type) || graph.IsOmitted(r.Access.Type) {
		return nil, nil
	}
	c, err := r.node.Blob(ctx, r.Access)
	if errors.Is(err, errors.ErrUnsupported) {
		if !r.answer.session.Kit.Access.Same(r.Access.Type, oci.ArtifactType) {
			return nil, nil
		}
		c, err = r.content(ctx)
	}
	if err != nil || c.Origin == "" || !blob.IsManifest(c.Root.MediaType) {
		return nil, err
	}
	return &c.Root, nil
}

func (r *Resource) content(ctx context.Context) (ocm.Content, error) {
	return graph.Content(ctx, r.answer.session.Kit, r.env(), r.node.Version, r.Access)
}

// promised is the digest that the content must have; nil if there is none.
func (r *Resource) promised() *ocm.Digest {
	d := r.Resource.Digest
	if d.Empty() || d.Excluded() {
		return nil
	}
	return d
}

// Check compares the content of a resource with its digest: all bytes of a blob; of an OCI artifact the manifest with the digest by which it is
// pulled. A resource without a digest, or that is excluded from signatures, is [ocm.ErrDigest], and so is one whose Artifact is another
// than what was compared: a registry may give another answer each time, and the Artifact is what is pulled.
func (r *Resource) Check(ctx context.Context) error {
	want := r.promised()
	if want == nil {
		return r.wrap(fmt.Errorf("it has no digest to compare with: %w", ocm.ErrDigest))
	}
	c, err := r.content(ctx)
	if err == nil && blob.IsManifest(c.Root.MediaType) {
		c, err = r.manifest(ctx)
		if err == nil {
			_, err = blob.ReadAll(ctx, c.From, c.Root, blob.MaxManifest)
		}
	} else if err == nil {
		err = graph.Check(ctx, c, *want)
	}
	if r.Artifact != nil && err == nil && c.Root.Digest != r.Artifact.Digest {
		err = fmt.Errorf("expected %s, which was found before, found %s: %w", r.Artifact.Digest, c.Root.Digest, ocm.ErrDigest)
	}
	return r.wrap(err)
}

// manifest is content whose root is an OCI manifest that has the digest.
func (r *Resource) manifest(ctx context.Context) (ocm.Content, error) {
	c, err := graph.ResourceContent(ctx, r.answer.session.Kit, r.env(), r.node.Version, &r.Resource)
	if err == nil && !blob.IsManifest(c.Root.MediaType) {
		err = fmt.Errorf("the media type has changed to %s: %w", c.Root.MediaType, ocm.ErrDigest)
	}
	return c, err
}

// Open opens the content, of at most limit bytes ([ocm.ErrLimit]), of which nothing is delivered that has not the digest: blobs as they
// are, charts in OCI artifacts as their archive. mediaType is that of what is delivered. It is held in memory.
//
// A resource without a digest is [ocm.ErrDigest] if the version was verified: nobody has signed that content. If it was not, nothing
// was promised, and the content is delivered as it is.
func (r *Resource) Open(ctx context.Context, limit int64) (content io.ReadCloser, mediaType string, err error) {
	want := r.promised()
	if want == nil && r.answer.Verified {
		return nil, "", r.wrap(fmt.Errorf("it has no digest, no signature covers its content: %w", ocm.ErrDigest))
	}
	c, err := r.content(ctx)
	if err == nil && blob.IsManifest(c.Root.MediaType) {
		if c, err = r.manifest(ctx); err == nil {
			c, err = archiveOf(ctx, c)
		}
		want = nil // the archive has a digest of its own, which the manifest names
	}
	var data []byte
	if err == nil {
		data, err = read(ctx, c, limit)
	}
	if err != nil {
		return nil, "", r.wrap(err)
	}
	held := blob.Bytes(c.Root.MediaType, data)
	if want != nil {
		err = graph.Check(ctx, held, *want)
	}
	if err == nil && blob.IsLayout(held.Root.MediaType) {
		if held, err = archiveOf(ctx, held); err == nil {
			data, err = read(ctx, held, limit)
		}
	}
	if err != nil {
		return nil, "", r.wrap(err)
	}
	return io.NopCloser(bytes.NewReader(data)), held.Root.MediaType, nil
}

// archiveOf is the archive of a chart.
func archiveOf(ctx context.Context, c ocm.Content) (ocm.Content, error) {
	archive, _, _, err := inspect.Chart(ctx, c)
	if err != nil {
		return archive, fmt.Errorf("an OCI artifact that is no chart cannot be deployed: %w", err)
	}
	return archive, nil
}

// read reads content that is compared with its own digest, where it has one.
func read(ctx context.Context, c ocm.Content, limit int64) ([]byte, error) {
	tooLarge := fmt.Errorf("the content has more than %d bytes: %w", limit, ocm.ErrLimit)
	if c.Root.Size > limit {
		return nil, tooLarge
	}
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = tooLarge
	}
	return data, err
}
