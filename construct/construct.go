// SPDX-License-Identifier: Apache-2.0

// Package construct packs software into component versions: it reads a constructor file, takes
// content from inputs and accesses, computes digests, and writes the versions into a
// repository, referenced ones first.
//
// The same input gives the same bytes: nothing is written that depends on the clock, the
// machine or the order of work. A version becomes visible only when all of its content is stored.
package construct

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
	"ocm/graph"
	"ocm/normalise"
	"ocm/oci"
)

// Conflict says what happens if a component version is there already.
type Conflict string

// Conflict policies.
const (
	Abort   Conflict = "abort-and-fail"
	Skip    Conflict = "skip"    // keep what is there and use it for references
	Replace Conflict = "replace" // overwrite
)

// Options steer [Run]. The zero value works.
type Options struct {
	Conflict   Conflict // default Abort
	SkipDigest bool     // no digests for resources that stay elsewhere
	// Find looks for referenced versions that are neither in the file nor in the target; nil: nowhere.
	Find graph.Find
	// CopyExternal brings a referenced version that Find found into the target; nil: it stays
	// where it is.
	CopyExternal func(ctx context.Context, v ocm.Version) error
}

// Run makes the component versions of the file in the target repository and returns them in
// the order of the file. Versions that were finished before an error stay.
func Run(ctx context.Context, kit *ocm.Kit, env *ocm.Env, target ocm.Repository, f *File, o Options) ([]ocm.Version, error) {
	b := &builder{kit: kit, env: env, target: target, o: o, file: map[string]*Component{}, made: map[string]ocm.Version{}}
	for i := range f.Components {
		c := &f.Components[i]
		key := c.Name + ":" + c.Version
		if b.file[key] != nil {
			return nil, fmt.Errorf("component %s stands twice in the constructor: %w", key, ocm.ErrInvalid)
		}
		b.file[key] = c
	}
	out := make([]ocm.Version, len(f.Components))
	for i := range f.Components {
		v, err := b.build(ctx, &f.Components[i], nil)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	if f, ok := target.(ocm.Finisher); ok {
		return out, f.Finish(ctx)
	}
	return out, nil
}

type builder struct {
	kit    *ocm.Kit
	env    *ocm.Env
	target ocm.Repository
	o      Options
	file   map[string]*Component
	made   map[string]ocm.Version
}

// build makes one component version after those that it references. path holds the versions
// that wait for this one.
func (b *builder) build(ctx context.Context, c *Component, path []string) (ocm.Version, error) {
	key := c.Name + ":" + c.Version
	if v := b.made[key]; v != nil {
		return v, nil
	}
	for _, p := range path {
		if p == key {
			return nil, fmt.Errorf("references form a cycle: %s -> %s: %w", strings.Join(path, " -> "), key, ocm.ErrInvalid)
		}
	}
	if len(path) > graph.MaxDepth {
		return nil, fmt.Errorf("references nested more than %d deep: %w", graph.MaxDepth, ocm.ErrLimit)
	}
	v, err := b.version(ctx, c, append(path, key))
	if err != nil {
		return nil, fmt.Errorf("component %s: %w", key, err)
	}
	b.made[key] = v
	return v, nil
}

func (b *builder) version(ctx context.Context, c *Component, path []string) (ocm.Version, error) {
	desc, err := b.skeleton(ctx, c, path)
	if err != nil {
		return nil, err
	}
	if err := descriptor.Validate(desc); err != nil {
		return nil, err
	}
	base, err := b.target.Open(ctx, c.Name, c.Version)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
	case err != nil:
		return nil, err
	case b.o.Conflict == Skip:
		b.env.Logger().Warn("kept the component version that is there already", "component", c.Name, "version", c.Version)
		return base, nil
	case b.o.Conflict != Replace:
		return nil, fmt.Errorf("%s: %w (see --component-version-conflict-policy)", b.target, ocm.ErrExists)
	}
	draft, err := b.target.Draft(ctx, c.Name, c.Version, base)
	if err != nil {
		return nil, err
	}
	defer draft.Close()
	if err := b.contents(ctx, c, desc, draft); err != nil {
		return nil, err
	}
	if err := descriptor.Validate(desc); err != nil {
		return nil, err
	}
	return draft.Commit(ctx, desc)
}

// skeleton is the descriptor without its contents; references are resolved.
func (b *builder) skeleton(ctx context.Context, c *Component, path []string) (*ocm.Descriptor, error) {
	provider, err := ocm.NewProvider(c.Provider.Name, c.Provider.Labels)
	if err != nil {
		return nil, err
	}
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}}
	d.Component = ocm.Component{
		Name: c.Name, Version: c.Version, CreationTime: c.CreationTime, Provider: provider, Labels: c.Labels,
	}
	for i := range c.Resources {
		r := &c.Resources[i]
		res := ocm.Resource{Element: r.Element, Type: r.Type, Relation: r.Relation, SrcRefs: r.SrcRefs, Digest: r.Digest, Access: ocm.Spec{Type: "none"}}
		if r.Access != nil {
			res.Access = *r.Access
		}
		d.Component.Resources = append(d.Component.Resources, res)
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		src := ocm.Source{Element: s.Element, Type: s.Type, Access: ocm.Spec{Type: "none"}}
		if s.Access != nil {
			src.Access = *s.Access
		}
		d.Component.Sources = append(d.Component.Sources, src)
	}
	for _, ref := range c.References {
		if err := b.reference(ctx, &ref, path); err != nil {
			return nil, fmt.Errorf("reference %s: %w", &ref.Element, err)
		}
		d.Component.References = append(d.Component.References, ref)
	}
	return d, nil
}

// reference resolves a reference and gives it the digest of what it refers to.
func (b *builder) reference(ctx context.Context, ref *ocm.Reference, path []string) error {
	v, err := b.find(ctx, ref.ComponentName, ref.Version, path)
	if err != nil {
		return err
	}
	if !ref.Digest.Empty() {
		return normalise.Matches(v.Descriptor(), *ref.Digest)
	}
	d, err := normalise.Digest(v.Descriptor(), ocm.SHA256, normalise.V3)
	ref.Digest = &d
	return err
}

// find looks in the file, in the target, then elsewhere.
func (b *builder) find(ctx context.Context, name, version string, path []string) (ocm.Version, error) {
	if c := b.file[name+":"+version]; c != nil {
		return b.build(ctx, c, path)
	}
	v, err := b.target.Open(ctx, name, version)
	if !errors.Is(err, ocm.ErrNotFound) || b.o.Find == nil {
		return v, err
	}
	if v, err = b.o.Find(ctx, name, version); err == nil && b.o.CopyExternal != nil {
		err = b.o.CopyExternal(ctx, v)
	}
	return v, err
}

// contents stores the inputs and fills in accesses and digests.
func (b *builder) contents(ctx context.Context, c *Component, desc *ocm.Descriptor, draft ocm.Draft) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * b.env.Job.Parallel()) // twice: one prepares while another moves bytes
	for i := range c.Resources {
		in, res := &c.Resources[i], &desc.Component.Resources[i]
		g.Go(func() error {
			if err := b.resource(ctx, c, in, res, draft); err != nil {
				return fmt.Errorf("resource %s: %w", &res.Element, err)
			}
			return nil
		})
	}
	for i := range c.Sources {
		in, src := &c.Sources[i], &desc.Component.Sources[i]
		g.Go(func() error {
			if in.Input == nil {
				return nil
			}
			stored, _, err := b.input(ctx, c, &src.Element, *in.Input, in.Transformer, draft)
			if err != nil {
				return fmt.Errorf("source %s: %w", &src.Element, err)
			}
			src.Access = stored.Access
			return nil
		})
	}
	return g.Wait()
}

// input opens the input of an element and stores what it delivers, or what a transformer, if there is one, makes of that.
func (b *builder) input(ctx context.Context, c *Component, e *ocm.Element, spec ocm.Spec, transformer *ocm.Spec, draft ocm.Draft) (ocm.Stored, ocm.Content, error) {
	opener, err := b.kit.Inputs.For(spec.Type)
	if err != nil {
		return ocm.Stored{}, ocm.Content{}, err
	}
	content, err := opener.Open(ctx, b.env, spec)
	if err != nil {
		return ocm.Stored{}, ocm.Content{}, err
	}
	if transformer != nil {
		if content, err = graph.Transform(ctx, b.kit, b.env, content, *transformer); err != nil {
			return ocm.Stored{}, ocm.Content{}, err
		}
	}
	content.Name = c.Name + ":" + c.Version + " " + e.String()
	stored, err := draft.Add(ctx, content, hint(c.Name, content.Hint))
	return stored, content, err
}

// hint is the name that content has below a registry: what does not begin with "/" lies below the component.
func hint(component, name string) string {
	if rest, absolute := strings.CutPrefix(name, "/"); absolute || name == "" {
		return rest
	}
	return component + "/" + name
}

func (b *builder) resource(ctx context.Context, c *Component, in *Resource, res *ocm.Resource, draft ocm.Draft) error {
	if in.Input != nil {
		stored, content, err := b.input(ctx, c, &res.Element, *in.Input, in.Transformer, draft)
		if err != nil {
			return err
		}
		res.Access = stored.Access
		return b.inputDigest(ctx, in, res, stored, content)
	}
	if !graph.HasContent(in.Access.Type) || in.Digest.Excluded() {
		return nil
	}
	if oci.IsLocal(in.Access.Type) {
		return localDigest(res, in.SkipDigest)
	}
	if _, err := b.kit.Access.For(in.Access.Type); err != nil && !oci.IsRelative(in.Access.Type) {
		b.env.Logger().Warn("unknown access type: the resource is stored without a digest", "resource", res.Name, "type", in.Access.Type)
		return nil //nolint:nilerr // such accesses are carried untouched
	}
	if in.SkipDigest || b.o.SkipDigest {
		return nil
	}
	return b.byReference(ctx, res)
}

// inputDigest gives a resource the digest that was computed while its content was stored, or
// checks the one that the file gives, by the algorithm that it names, and keeps it.
func (b *builder) inputDigest(ctx context.Context, in *Resource, res *ocm.Resource, stored ocm.Stored, content ocm.Content) error {
	found, given := storedDigest(stored), in.Digest
	switch {
	case given.Excluded():
		return nil
	case given.Empty():
		if res.Digest = nil; !in.SkipDigest {
			res.Digest = &found
		}
		return nil
	case given.HashAlgorithm == found.HashAlgorithm && given.NormalisationAlgorithm == found.NormalisationAlgorithm:
		return compare(given, &found)
	}
	content.Root = stored.Root // what is read once more must be what was stored
	return b.env.Job.Do(ctx, func() error { return graph.Check(ctx, content, *given) })
}

func compare(given, found *ocm.Digest) error {
	if given.Value != found.Value {
		return fmt.Errorf("content: expected %s, found %s: %w", given, found, ocm.ErrDigest)
	}
	return nil
}

// localDigest is the digest of content that is in the target already: it is addressed by it.
// Committing reads it and refuses what is not there or not that. A digest that the file gives
// must be the same; one of another kind cannot be compared without the content.
func localDigest(res *ocm.Resource, skip bool) error {
	l, err := oci.ParseLocal(res.Access)
	if err != nil || skip && res.Digest.Empty() {
		return err
	}
	d := digest.Digest(l.LocalReference)
	if err := blob.CheckDigest(d); err != nil {
		return fmt.Errorf("localReference: %w", err)
	}
	found := storedDigest(ocm.Stored{Root: ociv1.Descriptor{MediaType: l.MediaType, Digest: d}})
	switch given := res.Digest; {
	case given.Empty():
		res.Digest = &found
	case given.HashAlgorithm != found.HashAlgorithm || given.NormalisationAlgorithm != found.NormalisationAlgorithm:
		return fmt.Errorf("digest of content that is there already: expected one of %s and %s, found %s and %s: %w",
			found.HashAlgorithm, found.NormalisationAlgorithm, given.HashAlgorithm, given.NormalisationAlgorithm, ocm.ErrInvalid)
	default:
		return compare(given, &found)
	}
	return nil
}

// byReference finds the digest of content that stays where it is, without a download where the source
// tells it, and pins the access to it where the access type can say so.
func (b *builder) byReference(ctx context.Context, res *ocm.Resource) error {
	content, err := b.access(ctx, res.Access)
	if err != nil {
		return err
	}
	err = b.env.Job.Do(ctx, func() error {
		if !res.Digest.Empty() {
			return graph.Check(ctx, content, *res.Digest)
		}
		if told := content.Root; told.Digest != "" && !blob.IsManifest(told.MediaType) && !blob.IsLayout(told.MediaType) {
			// Whoever reads the content compares it; if the source has lied, nobody will get it.
			d := storedDigest(ocm.Stored{Root: told})
			res.Digest = &d
			return blob.CheckDigest(told.Digest)
		}
		d, err := graph.NewDigest(ctx, content, ocm.SHA256)
		res.Digest = &d
		return err
	})
	if err != nil {
		return err
	}
	if err == nil && content.Pinned != nil {
		res.Access = *content.Pinned
	}
	return err
}

// access opens content that stays where it is: in the target itself, or by the method of its type.
func (b *builder) access(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	if target, ok := b.target.(interface {
		Artifact(ctx context.Context, access ocm.Spec) (ocm.Content, error)
	}); ok && oci.IsRelative(access.Type) {
		return target.Artifact(ctx, access)
	}
	opener, err := b.kit.Access.For(access.Type)
	if err != nil {
		return ocm.Content{}, err
	}
	return opener.Open(ctx, b.env, access)
}

// storedDigest is the digest of content that was hashed while it was stored.
func storedDigest(s ocm.Stored) ocm.Digest {
	d := ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: s.Root.Digest.Encoded()}
	if blob.IsManifest(s.Root.MediaType) {
		d.NormalisationAlgorithm = ocm.OCIArtifactDigest
	}
	if s.Root.Digest.Algorithm() == "sha512" {
		d.HashAlgorithm = ocm.SHA512
	}
	return d
}
