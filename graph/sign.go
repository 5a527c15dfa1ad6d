// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ocm"
	"ocm/normalise"
)

// SignOptions says how to sign. The zero value of a field means its default.
type SignOptions struct {
	Name          string   // signature name; default "default"
	Algorithm     string   // default RSASSA-PSS; decides the signer unless Spec has a type
	Hash          string   // default SHA-256
	Normalisation string   // default jsonNormalisation/v3
	Spec          ocm.Spec // signer configuration
	Force         bool     // replace a signature of the same name
	DryRun        bool     // compute, do not store
	Shallow       bool     // do not read contents that have a digest already
}

func (o *SignOptions) defaults() {
	for _, f := range []struct {
		field *string
		value string
	}{{&o.Name, "default"}, {&o.Algorithm, "RSASSA-PSS"}, {&o.Hash, ocm.SHA256}, {&o.Normalisation, normalise.V3}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
}

// maxAttempts bounds how often a signature is added again because somebody else changed the
// version at the same moment.
const maxAttempts = 5

// Sign signs a component version in a repository: it completes missing digests, checks those that
// are there, and adds the signature. If the version changes meanwhile it is read and signed
// anew, so that two who sign at once both succeed. [ocm.ErrExists] if the signature's name is
// taken.
func Sign(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Find, repo ocm.Repository, name, ref string, o SignOptions) (*ocm.Signature, error) {
	o.defaults()
	for attempt := 1; ; attempt++ {
		sig, err := signOnce(ctx, kit, env, find, repo, name, ref, o)
		if !errors.Is(err, ocm.ErrConflict) || attempt == maxAttempts {
			return sig, err
		}
		env.Logger().Info("the version was changed by somebody else, signing again", "component", name, "version", ref)
	}
}

func signOnce(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Find, repo ocm.Repository, name, ref string, o SignOptions) (*ocm.Signature, error) {
	v, err := repo.Open(ctx, name, ref)
	if err != nil {
		return nil, err
	}
	taken := slices.IndexFunc(v.Descriptor().Signatures, func(s ocm.Signature) bool { return s.Name == o.Name })
	if taken >= 0 && !o.Force {
		return nil, fmt.Errorf("%s:%s: signature %q: %w (choose another name, or replace it by --force)", name, ref, o.Name, ocm.ErrExists)
	}
	desc, err := Complete(ctx, kit, env, find, v, o.Shallow)
	if err != nil {
		return nil, err
	}
	sig := ocm.Signature{Name: o.Name}
	if sig.Digest, err = normalise.Digest(desc, o.Hash, o.Normalisation); err != nil {
		return nil, err
	}
	if o.Spec.Type == "" { // the name of an algorithm is the shortest configuration of its signer
		o.Spec = ocm.Spec{Type: o.Algorithm}
	}
	signer, err := kit.Signers.For(o.Spec.Type)
	if err != nil {
		return nil, err
	}
	if sig.Signature, err = signer.Sign(ctx, env, o.Name, sig.Digest, o.Spec); err != nil {
		return nil, fmt.Errorf("%s:%s: signature %q: %w", name, ref, o.Name, err)
	}
	if taken >= 0 {
		desc.Signatures[taken] = sig
	} else {
		desc.Signatures = append(desc.Signatures, sig)
	}
	if o.DryRun {
		return &sig, nil
	}
	draft, err := repo.Draft(ctx, name, desc.Component.Version, v)
	if err != nil {
		return nil, err
	}
	defer draft.Close()
	_, err = draft.Commit(ctx, desc)
	return &sig, err
}

// Complete returns the descriptor with every digest that a signature needs: references are
// followed and their digests checked or added, resources without a digest are read and get one,
// and those with one are compared with their content. With shallow, contents that have a
// digest are not read. Existing digests are never rewritten.
func Complete(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Find, v ocm.Version, shallow bool) (*ocm.Descriptor, error) {
	g, err := Walk(ctx, env.Job, find, []ocm.Version{v}, Options{Recursive: true})
	if err != nil {
		return nil, err
	}
	root := g.Roots[0]
	desc := v.Descriptor().Clone()
	seen := map[*Node]bool{}
	for i, child := range root.Children {
		ref := &desc.Component.References[i]
		if !ref.Digest.Empty() {
			continue // compared by Walk
		}
		if err := complete(child, seen); err != nil {
			return nil, fmt.Errorf("%s: reference %s: %w", root.Key(), &ref.Element, err)
		}
		d, err := normalise.Digest(child.Descriptor(), ocm.SHA256, normalise.V3)
		if err != nil {
			return nil, err
		}
		ref.Digest = &d
	}
	for i := range desc.Component.Resources {
		res := &desc.Component.Resources[i]
		if err := completeResource(ctx, kit, env, v, res, shallow); err != nil {
			return nil, fmt.Errorf("%s: resource %s: %w", root.Key(), &res.Element, err)
		}
	}
	return desc, nil
}

// complete demands that everything below a referenced version is covered by digests: adding
// them would change a version that is not being signed. Each version is looked at once: there may
// be more paths to it than anybody could follow.
func complete(n *Node, seen map[*Node]bool) error {
	if seen[n] {
		return nil
	}
	seen[n] = true
	c := &n.Descriptor().Component
	for i := range c.Resources {
		r := &c.Resources[i]
		if r.Digest.Empty() && HasContent(r.Access.Type) {
			return fmt.Errorf("%s: resource %s has no digest: sign or rebuild %s first: %w", n.Key(), &r.Element, n.Key(), ocm.ErrDigest)
		}
	}
	for i := range c.References {
		if c.References[i].Digest.Empty() {
			return fmt.Errorf("%s: reference %s has no digest: sign or rebuild %s first: %w", n.Key(), &c.References[i].Element, n.Key(), ocm.ErrDigest)
		}
	}
	for _, child := range n.Children {
		if err := complete(child, seen); err != nil {
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
