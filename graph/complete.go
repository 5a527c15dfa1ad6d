// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/normalise"
)

// Complete returns the descriptor with every digest that a signature needs: references are
// followed and their digests checked or added, resources without a digest are read and get one,
// and those with one are compared with their content. With shallow, contents that have a
// digest are not read. Existing digests are never rewritten.
//
// Versions that are referenced must have all their digests, or nobody could verify what is signed here:
// [ocm.ErrDigest]. [CompleteAll] completes those too.
func Complete(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Find, v ocm.Version, shallow bool) (*ocm.Descriptor, error) {
	g, err := Walk(ctx, env.Job, find, []ocm.Version{v}, Options{Recursive: true})
	if err != nil {
		return nil, err
	}
	c := newCompleter(kit, env, shallow)
	root := g.Roots[0]
	if err := c.complete(ctx, []*Node{root}); err != nil {
		return nil, err
	}
	return c.desc[root], nil
}

// CompleteAll is Complete for each version of a graph that was walked with its references, children first. Versions
// whose descriptors change are the keys of changed. The digest of a reference to one of them, which was compared with
// what is there, is renewed, by the same algorithms; no other is.
func CompleteAll(ctx context.Context, kit *ocm.Kit, env *ocm.Env, g *Graph, shallow bool) (all map[*Node]*ocm.Descriptor, changed map[*Node]bool, err error) {
	c := newCompleter(kit, env, shallow)
	err = c.complete(ctx, g.Nodes)
	return c.desc, c.changed, err
}

// completer adds missing digests to copies of descriptors.
type completer struct {
	kit     *ocm.Kit
	env     *ocm.Env
	shallow bool
	desc    map[*Node]*ocm.Descriptor // of the versions that are completed
	changed map[*Node]bool            // those that got a digest
	whole   map[*Node]bool            // others, which were found to need none
}

func newCompleter(kit *ocm.Kit, env *ocm.Env, shallow bool) *completer {
	return &completer{kit: kit, env: env, shallow: shallow,
		desc: map[*Node]*ocm.Descriptor{}, changed: map[*Node]bool{}, whole: map[*Node]bool{}}
}

// complete completes versions, children before parents. Contents are read in parallel.
func (c *completer) complete(ctx context.Context, nodes []*Node) error {
	for _, n := range nodes {
		c.desc[n] = n.Descriptor().Clone()
	}
	eg, ectx := errgroup.WithContext(ctx)
	eg.SetLimit(c.env.Job.Parallel())
	for _, n := range nodes {
		list := c.desc[n].Component.Resources
		for i := range list {
			if HasContent(list[i].Access.Type) && list[i].Digest.Empty() {
				c.changed[n] = true
			}
			eg.Go(func() error {
				err := c.env.Job.Do(ectx, func() error { return completeResource(ectx, c.kit, c.env, n.Version, &list[i], c.shallow) })
				if err != nil {
					err = fmt.Errorf("%s: resource %s: %w", n.Key(), &list[i].Element, err)
				}
				return err
			})
		}
	}
	if err := eg.Wait(); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := c.references(n); err != nil {
			return err
		}
	}
	return nil
}

// references completes the digests of a version's references. Those that are there were compared by Walk.
func (c *completer) references(n *Node) error {
	for k, child := range n.Children {
		ref := &c.desc[n].Component.References[n.refs[k]]
		desc, here := c.desc[child]
		if !here {
			desc = child.Descriptor()
			if err := c.demand(child); err != nil {
				return fmt.Errorf("%s: reference %s: %w", n.Key(), &ref.Element, err)
			}
		}
		hash, form := ocm.SHA256, normalise.V3
		switch {
		case !ref.Digest.Empty() && !c.changed[child]:
			continue
		case !ref.Digest.Empty(): // it was of the version that had not all digests yet
			hash, form = ref.Digest.HashAlgorithm, ref.Digest.NormalisationAlgorithm
		}
		d, err := normalise.Digest(desc, hash, form)
		if err != nil {
			return fmt.Errorf("%s: reference %s: %w", n.Key(), &ref.Element, err)
		}
		ref.Digest, c.changed[n] = &d, true
	}
	return nil
}

// demand makes sure that everything below a referenced version is covered by digests: adding
// them would change a version that is not being signed. Each version is looked at once: there may
// be more paths to it than anybody could follow.
func (c *completer) demand(n *Node) error {
	if c.whole[n] {
		return nil
	}
	c.whole[n] = true
	lacks := func(what string, e *ocm.Element) error {
		return fmt.Errorf("%s: %s %s has no digest: sign it first, or together with this version (--recursive): %w", n.Key(), what, e, ocm.ErrDigest)
	}
	d := &n.Descriptor().Component
	for i := range d.Resources {
		if r := &d.Resources[i]; r.Digest.Empty() && HasContent(r.Access.Type) {
			return lacks("resource", &r.Element)
		}
	}
	for i := range d.References {
		if r := &d.References[i]; r.Digest.Empty() {
			return lacks("reference", &r.Element)
		}
	}
	for _, child := range n.Children {
		if err := c.demand(child); err != nil {
			return err
		}
	}
	return nil
}

func completeResource(ctx context.Context, kit *ocm.Kit, env *ocm.Env, v ocm.Version, res *ocm.Resource, shallow bool) error {
	if !HasContent(res.Access.Type) || res.Digest.Excluded() || shallow && !res.Digest.Empty() {
		return nil
	}
	c, err := Content(ctx, kit, env, v, res.Access)
	if err != nil {
		return err
	}
	if res.Digest.Empty() {
		d, err := NewDigest(ctx, c, ocm.SHA256)
		res.Digest = &d
		return err
	}
	_, err = v.Blob(ctx, res.Access)
	if local := err == nil; local {
		return Check(ctx, c, *res.Digest)
	}
	// Content elsewhere: an artifact is known by its manifest, there is no need to move it.
	found, err := compute(ctx, c, res.Digest.NormalisationAlgorithm, res.Digest.HashAlgorithm, false)
	if err == nil && found != res.Digest.Value {
		err = fmt.Errorf("content: expected %s, found %s: %w", res.Digest, found, ocm.ErrDigest)
	}
	return err
}
