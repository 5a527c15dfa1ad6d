// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// SourceTimeout bounds one question to an [ocm.CredentialSource].
const SourceTimeout = time.Minute

// foreign is a place of a type that is none of ours: that of an [ocm.CredentialSource], which is looked up when it is needed, because plugins
// are loaded to find it. It is told the specification as it was written, and who asks, always in the same spelling.
type foreign struct {
	store *Store
	spec  ocm.Spec
	own   *bundle // what it is opened with, where the configuration says so besides
	asked answers
	tell  sync.Once
}

// foreign makes a place of a type that is none of ours.
func (s *Store) foreign(raw ocm.RawJSON) (*foreign, error) {
	if s.foreigners++; s.foreigners > MaxConsumers {
		return nil, fmt.Errorf("more than %d references to credential sources: %w", MaxConsumers, ocm.ErrLimit)
	}
	text, err := json.Marshal(raw, json.Deterministic(true))
	var spec ocm.Spec
	if err != nil || spec.UnmarshalJSON(text) != nil { // its message may quote what it found
		return nil, fmt.Errorf("not an object with a type: %w", ocm.ErrInvalid)
	}
	return &foreign{store: s, spec: spec}, nil
}

// find implements finder. [ocm.ErrUnknownType] if nobody knows the type.
func (f *foreign) find(ctx context.Context, request ocm.Identity, n *notes) (ocm.Secret, error) {
	sources := f.store.o.Sources
	if sources == nil {
		return nil, fmt.Errorf("credential type %q: %w", f.spec.Type, ocm.ErrUnknownType)
	}
	src, err := sources.For(f.spec.Type)
	if err != nil {
		return nil, err
	}
	key, err := json.Marshal(request, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("%s: the identity is no text: %w", f, ocm.ErrInvalid)
	}
	secret, err := f.asked.get(ctx, string(key), SourceTimeout, func(ctx context.Context) (ocm.Secret, error) {
		env := &ocm.Env{Credentials: direct{f}, HTTP: f.store.o.HTTP, Log: f.store.log}
		return src.Find(ctx, env, f.spec, maps.Clone(request))
	})
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		n.add("%s: has nothing", f)
		return nil, fmt.Errorf("%s: nothing for %s: %w", f, request, ocm.ErrNotFound)
	case errors.Is(err, ocm.ErrUnknownType): // not that of this source, which is known
		err = fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	if err != nil {
		n.add("%s: failed", f)
		return nil, fmt.Errorf("%s: %w", f, err)
	}
	n.has(f.String(), secret)
	return secret, nil
}

// warn tells once that it cannot be asked.
func (f *foreign) warn(err error) {
	f.tell.Do(func() {
		f.store.log.Warn("credential repository cannot be asked: its type is not known", "type", f.spec.Type, "error", err)
	})
}

// String names the type, and the plugin that it is of as soon as that is known.
func (f *foreign) String() string {
	name := fmt.Sprintf("credential source %.100s", f.spec.Type)
	if f.store.o.Sources == nil {
		return name
	}
	for _, t := range f.store.o.Sources.Types() {
		if t.Origin != "" && slices.Contains(t.Names, f.spec.Type) {
			return name + " of " + t.Origin
		}
	}
	return name
}

// GoString hides what is inside.
func (f *foreign) GoString() string { return f.String() }

// direct are the credentials that a source may be opened with: those that stand beside it, or else those of consumers. Repositories
// are not asked, nor what is in another source: that could go round in circles.
type direct struct{ of *foreign }

// Resolve implements [ocm.Credentials].
func (d direct) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id[attrType] == "" {
		return nil, fmt.Errorf("credentials for %s: the identity has no type: %w", id, ocm.ErrInvalid)
	}
	request, s := normal(id), d.of.store
	b, place := d.of.own, "those of the source"
	if b == nil {
		c := s.best(request)
		if c == nil {
			return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
		}
		b, place = &c.bundle, c.String()
	}
	if s.needsForeign(b, map[any]bool{}) {
		return nil, fmt.Errorf("credentials for %s: %s: they are in a credential source, and a credential source is to be opened with them; write them down or keep them in a vault: %w",
			id, place, ocm.ErrInvalid)
	}
	secret, err := b.secret(ctx, request, nil)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %s: %w", id, place, promised(err))
	}
	return renamed(request[attrType], secret), nil
}

// String hides what is inside.
func (d direct) String() string { return "credentials for " + d.of.String() }

// GoString hides what is inside.
func (d direct) GoString() string { return d.String() }

// needsForeign reports whether a credential source has to be asked before a bundle or source can answer.
func (s *Store) needsForeign(node any, seen map[any]bool) bool {
	if _, ok := node.(*foreign); ok {
		return true
	}
	if seen[node] {
		return false
	}
	seen[node] = true
	return slices.ContainsFunc(s.needs(node), func(next any) bool { return s.needsForeign(next, seen) })
}
