// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"
	"maps"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/normalise"
)

// Limits of accesses that lead to a resource of another component version.
const (
	MaxHops          = 8  // accesses that lead to each other
	MaxReferencePath = 64 // references from one version to the next within one access
)

// Components is what the access [OCM] needs of the rest of the program.
type Components struct {
	// Repository opens a repository that a specification names.
	Repository func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error)
	// Content opens the content of a resource, pinned to the resource's digest.
	Content func(ctx context.Context, env *ocm.Env, v ocm.Version, r *ocm.Resource) (ocm.Content, error)
}

// OCM is a resource of another component version. Its opener also has a method OpenFrom (see
// graph.VersionOpener): what the access does not say is the same as in the version that has it.
func OCM(c Components) ocm.Method {
	return ocm.Method{
		Type: ocm.Type{
			Names:     ocm.Versioned("v1", "ocm", "OCM"),
			About:     "A resource of another component version.",
			Fields:    ocm.FieldsOf(ocmResource{}),
			Consumers: []string{"OCIRegistry"},
			Notes: []string{
				"In a descriptor, what is left out (repository, component, version) is that of the version itself, and ocmRepository must be a registry: nobody else's text may open local files.",
				"resourceRef is {resource: {name: …, …}, referencePath: [{name: …}, …]}, or the name and extraIdentity of the resource alone; it must fit one resource.",
				"What is found is compared with the digest that the resource has there.",
			},
		},
		Opener: &ocmOpener{c},
	}
}

type ocmResource struct {
	Repository  *ocm.Spec   `json:"ocmRepository" about:"the repository; in a descriptor default the one of the version itself"`
	Component   string      `json:"component" about:"the component's name"`
	Version     string      `json:"version" about:"the component's version"`
	ResourceRef resourceRef `json:"resourceRef" need:"yes" about:"the resource, {resource: {name: …}, referencePath: [{name: …}]}"`
}

// resourceRef names a resource, perhaps one of a version that is referenced.
type resourceRef struct {
	Resource      ocm.Identity
	ReferencePath []ocm.Identity
}

// UnmarshalJSON reads both forms: with a member resource, and an identity alone.
func (r *resourceRef) UnmarshalJSON(raw []byte) error {
	var long struct {
		Resource      identity   `json:"resource"`
		ReferencePath []identity `json:"referencePath"`
		Name          string     `json:"name"`
	}
	if err := jsonv2.Unmarshal(raw, &long); err == nil && len(long.Resource) > 0 && long.Name == "" {
		r.Resource = ocm.Identity(long.Resource)
		for _, step := range long.ReferencePath {
			r.ReferencePath = append(r.ReferencePath, ocm.Identity(step))
		}
		return nil
	}
	var short identity
	if err := jsonv2.Unmarshal(raw, &short); err != nil {
		return fmt.Errorf("resourceRef: expected {resource: {name: …}, referencePath: […]}: %w", err)
	}
	r.Resource = ocm.Identity(short)
	return nil
}

// identity is one as people write it: flat, or name, version and extraIdentity.
type identity ocm.Identity

// UnmarshalJSON implements json.Unmarshaler.
func (id *identity) UnmarshalJSON(raw []byte) error {
	members := map[string]ocm.RawJSON{}
	if err := jsonv2.Unmarshal(raw, &members); err != nil {
		return err
	}
	out := ocm.Identity{}
	if extra, ok := members["extraIdentity"]; ok && extra.Kind() == '{' {
		if err := jsonv2.Unmarshal(extra, &out); err != nil {
			return err
		}
		delete(members, "extraIdentity")
	}
	for name, value := range members {
		var text string
		if err := jsonv2.Unmarshal(value, &text); err != nil {
			return err
		}
		out[name] = text
	}
	*id = identity(out)
	return nil
}

// ocmOpener is a pointer: it is also the key by which a job tells the repositories of one from those of another.
type ocmOpener struct{ Components }

// Open implements [ocm.Opener] where no version has the specification: it must say all.
func (o *ocmOpener) Open(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	return o.OpenFrom(ctx, env, nil, s)
}

// OpenFrom opens the access of an element of v.
func (o *ocmOpener) OpenFrom(ctx context.Context, env *ocm.Env, v ocm.Version, s ocm.Spec) (ocm.Content, error) {
	var a ocmResource
	if err := s.Decode(&a); err != nil {
		return ocm.Content{}, err
	}
	if a.ResourceRef.Resource["name"] == "" {
		return ocm.Content{}, fmt.Errorf("type %s: resourceRef is missing, or has no name: %w", s.Type, ocm.ErrInvalid)
	}
	ctx, err := hop(ctx)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: %w", s.Type, err)
	}
	c, err := o.open(ctx, env, v, a)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: %w", s.Type, err)
	}
	return c, nil
}

func (o *ocmOpener) open(ctx context.Context, env *ocm.Env, v ocm.Version, a ocmResource) (ocm.Content, error) {
	in, err := o.repository(ctx, env, v, a.Repository)
	if err != nil {
		return ocm.Content{}, err
	}
	if v, err = version(ctx, in, v, a); err != nil {
		return ocm.Content{}, err
	}
	if v, err = follow(ctx, in, v, a.ResourceRef.ReferencePath); err != nil {
		return ocm.Content{}, err
	}
	c := &v.Descriptor().Component
	r, err := one(c.Resources, func(r *ocm.Resource) *ocm.Element { return &r.Element }, a.ResourceRef.Resource)
	if err == nil {
		var content ocm.Content
		if content, err = o.Content(ctx, env, v, r); err == nil {
			return content, nil
		}
	}
	return ocm.Content{}, fmt.Errorf("%s:%s: resource %s: %w", c.Name, c.Version, a.ResourceRef.Resource, err)
}

// repositories are those that accesses have opened in one job. They are not closed before the program
// forgets them: their content may be read for as long as the job takes.
type repositories struct {
	mu   sync.Mutex
	open map[string]ocm.Repository
}

// repository is where the access leads: what it says, or where v lies.
func (o *ocmOpener) repository(ctx context.Context, env *ocm.Env, v ocm.Version, s *ocm.Spec) (ocm.Repository, error) {
	if s == nil || s.Type == "" {
		if at, ok := v.(interface{ In() ocm.Repository }); ok && at.In() != nil {
			return at.In(), nil
		}
		return nil, fmt.Errorf("ocmRepository is missing: %w", ocm.ErrInvalid)
	}
	all := &repositories{open: map[string]ocm.Repository{}}
	if env != nil {
		all, _ = env.Job.Keep(o, func() any { return all }).(*repositories)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if in := all.open[string(s.Raw)]; in != nil {
		return in, nil
	}
	in, err := o.Repository(ctx, env, *s)
	if err != nil {
		return nil, fmt.Errorf("ocmRepository: %w", err)
	}
	all.open[string(s.Raw)] = in
	return in, nil
}

// version opens the version that the access names; what is not said is that of from.
func version(ctx context.Context, in ocm.Repository, from ocm.Version, a ocmResource) (ocm.Version, error) {
	if from != nil {
		c := &from.Descriptor().Component
		if a.Component == "" {
			a.Component = c.Name
		}
		if a.Version == "" && a.Component == c.Name {
			a.Version = c.Version
		}
		if a.Repository == nil && a.Component == c.Name && a.Version == c.Version {
			return from, nil // this very state
		}
	}
	switch {
	case a.Component == "":
		return nil, fmt.Errorf("component is missing: %w", ocm.ErrInvalid)
	case a.Version == "":
		return nil, fmt.Errorf("version is missing: %w", ocm.ErrInvalid)
	}
	return in.Open(ctx, a.Component, a.Version)
}

// follow goes from reference to reference, each compared with its digest.
func follow(ctx context.Context, in ocm.Repository, v ocm.Version, path []ocm.Identity) (ocm.Version, error) {
	if len(path) > MaxReferencePath {
		return nil, fmt.Errorf("referencePath has %d elements, accepted are %d: %w", len(path), MaxReferencePath, ocm.ErrLimit)
	}
	for _, id := range path {
		c := &v.Descriptor().Component
		ref, err := one(c.References, func(r *ocm.Reference) *ocm.Element { return &r.Element }, id)
		if err != nil {
			return nil, fmt.Errorf("%s:%s: reference %s: %w", c.Name, c.Version, id, err)
		}
		next, err := in.Open(ctx, ref.ComponentName, ref.Version)
		if err == nil && !ref.Digest.Empty() {
			err = normalise.Matches(next.Descriptor(), *ref.Digest)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%s: reference %s: %w", c.Name, c.Version, id, err)
		}
		v = next
	}
	return v, nil
}

// one finds the element that has an identity, or else the only one of which it is a part.
func one[T any](list []T, element func(*T) *ocm.Element, want ocm.Identity) (*T, error) {
	var found []*T
	for i := range list {
		id := element(&list[i]).Identity()
		if maps.Equal(id, want) {
			return &list[i], nil
		}
		if want.Selects(id) {
			found = append(found, &list[i])
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, ocm.ErrNotFound
	}
	return nil, fmt.Errorf("%d fit, say more of the identity: %w", len(found), ocm.ErrInvalid)
}

// hops is the key of a context that counts the accesses on the way to where we are.
type hops struct{}

// hop counts one more.
func hop(ctx context.Context) (context.Context, error) {
	n, _ := ctx.Value(hops{}).(int)
	if n >= MaxHops {
		return ctx, fmt.Errorf("accesses lead from one to the next more than %d times, perhaps in a circle: %w", MaxHops, ocm.ErrLimit)
	}
	return context.WithValue(ctx, hops{}, n+1), nil
}
