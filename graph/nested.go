// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"ocm"
	"ocm/normalise"
)

// The digest mode "top" of an existing tool leaves the descriptors below the one that is signed as
// they are: digests that they lack are kept in the root, as its nestedDigests. These are no part
// of what is signed, so that by themselves they prove nothing. But the tool computed the digest of
// each reference over the referenced descriptor with the missing digests filled in. So what they
// say can be proven: filled in, they must lead to a digest that is signed. Nothing that is there
// is ever replaced by them.

// nested are the nested digests of a root by "name:version".
type nested map[string]*nestedEntry

type nestedEntry struct {
	digest    *ocm.Digest
	resources map[string]*ocm.Digest // by resourceKey
}

// resourceKey is an unambiguous text of a resource's identity.
func resourceKey(name, version string, extra ocm.Identity) string {
	return fmt.Sprintf("%q %q %q", name, version, map[string]string(extra)) // sorted by fmt
}

// nestedOf finds them; two entries for one version or resource are [ocm.ErrInvalid].
func nestedOf(d *ocm.Descriptor) (nested, error) {
	all := nested{}
	for i := range d.NestedDigests {
		n := &d.NestedDigests[i]
		key := n.Name + ":" + n.Version
		if all[key] != nil {
			return nil, fmt.Errorf("two nested digests are for %s: %w", key, ocm.ErrInvalid)
		}
		e := &nestedEntry{n.Digest, make(map[string]*ocm.Digest, len(n.ResourceDigests))}
		all[key] = e
		for k := range n.ResourceDigests {
			r := &n.ResourceDigests[k]
			id := resourceKey(r.Name, r.Version, r.ExtraIdentity)
			if e.resources[id] != nil {
				return nil, fmt.Errorf("two nested digests are for resource %.100s of %s: %w", id, key, ocm.ErrInvalid)
			}
			e.resources[id] = &r.Digest
		}
	}
	return all, nil
}

// of is what an entry says of a resource; nil if nothing.
func (e *nestedEntry) of(res *ocm.Resource) *ocm.Digest {
	return e.resources[resourceKey(res.Name, res.Version, res.ExtraIdentity)]
}

// completed is a version that lacks digests, with the descriptor in which they are filled in. That
// one counts as soon as a digest proves it.
type completed struct {
	ocm.Version
	full   *ocm.Descriptor
	proven bool
}

// Descriptor is the one whose digest was proven.
func (c *completed) Descriptor() *ocm.Descriptor {
	if c.proven {
		return c.full
	}
	return c.Version.Descriptor()
}

// prove compares the descriptor as it is, then with what is filled in.
func (c *completed) prove(d ocm.Digest) error {
	err := normalise.Matches(c.Version.Descriptor(), d)
	if !errors.Is(err, ocm.ErrDigest) {
		return err
	}
	if again := normalise.Matches(c.full, d); again != nil {
		return fmt.Errorf("%w (with the nested digests of the root, which no signature covers, it does not match either: sign again without digest mode \"top\")", err)
	}
	c.proven = true
	return nil
}

// complete fills in what v lacks; v itself if nothing is missing, or nothing is known of it.
func (all nested) complete(v ocm.Version) ocm.Version {
	if len(all) == 0 {
		return v
	}
	full, changed := v.Descriptor().Clone(), false
	c := &full.Component
	for i := range c.References {
		ref := &c.References[i]
		if e := all[ref.ComponentName+":"+ref.Version]; ref.Digest.Empty() && e != nil && !e.digest.Empty() {
			ref.Digest, changed = e.digest, true
		}
	}
	if e := all[c.Name+":"+c.Version]; e != nil {
		for i := range c.Resources {
			res := &c.Resources[i]
			if d := e.of(res); res.Digest.Empty() && d != nil && HasContent(res.Access.Type) {
				res.Digest, changed = d, true
			}
		}
	}
	if !changed {
		return v
	}
	return &completed{Version: v, full: full}
}

// in completes what find finds.
func (all nested) in(find Find) Find {
	if len(all) == 0 {
		return find
	}
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		v, err := find(ctx, name, version)
		if err != nil {
			return nil, err
		}
		return all.complete(v), nil
	}
}

// check compares an entry with a version that was proven by other digests: what contradicts these
// could mislead a reader who believes it.
func (all nested) check(key string, nodes map[string]*Node) error {
	e, n := all[key], nodes[key]
	if n == nil {
		return fmt.Errorf("%s is not referenced: %w", key, ocm.ErrDigest)
	}
	if !e.digest.Empty() {
		if err := normalise.Matches(n.Descriptor(), *e.digest); err != nil {
			return err
		}
	}
	left := maps.Clone(e.resources)
	for i := range n.Descriptor().Component.Resources {
		res := &n.Descriptor().Component.Resources[i]
		d := e.of(res)
		if d != nil && (res.Digest == nil || d.HashAlgorithm != res.Digest.HashAlgorithm || d.NormalisationAlgorithm != res.Digest.NormalisationAlgorithm || d.Value != res.Digest.Value) {
			return fmt.Errorf("resource %s: expected %s, found %s: %w", &res.Element, res.Digest, d, ocm.ErrDigest)
		}
		delete(left, resourceKey(res.Name, res.Version, res.ExtraIdentity))
	}
	for id := range left {
		return fmt.Errorf("%s has no resource %.100s: %w", key, id, ocm.ErrDigest)
	}
	return nil
}
