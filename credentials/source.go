// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"fmt"
	"slices"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// finder is a place that keeps credentials.
type finder interface {
	// String is what people call it, such as a file.
	String() string
	// find answers a consumer, [ocm.ErrNotFound] if it has nothing for it.
	find(ctx context.Context, request ocm.Identity, n *notes) (ocm.Secret, error)
}

// source is a finder of one of the kinds that are known here, a repository in the configuration's words.
type source interface {
	finder
	// named returns one set by its name, [ocm.ErrNotFound] if there is none.
	named(ctx context.Context, name string, n *notes) (ocm.Secret, error)
}

// kind is a type of repositories.
type kind struct {
	ocm.Type
	open func(s *Store, spec ocm.Spec) (source, error)
}

// kinds is the list of all types of repositories.
func kinds() []kind {
	return []kind{dockerKind(), kubernetesKind(), npmrcKind(), environmentKind(), vaultKind()}
}

func kindOf(typ string) (kind, bool) {
	all := kinds()
	i := slices.IndexFunc(all, func(k kind) bool { return slices.Contains(k.Names, typ) })
	if i < 0 {
		return kind{}, false
	}
	return all[i], true
}

// Repositories describes the types of repositories that credentials may be kept in.
func Repositories() []ocm.Type {
	var out []ocm.Type
	for _, k := range kinds() {
		out = append(out, k.Type)
	}
	return out
}

// source opens a repository, each once: those with the same members, except for the name of a set in it, are the same one.
func (s *Store) source(raw ocm.RawJSON) (source, error) {
	var members map[string]ocm.RawJSON
	if err := decode(raw, &members); err != nil {
		return nil, err
	}
	delete(members, "credentialsName")
	text, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("repository: %w", ocm.ErrInvalid)
	}
	if have, ok := s.opened[string(text)]; ok {
		return have, nil
	}
	if len(s.opened) == MaxRepositories {
		return nil, fmt.Errorf("more than %d credential repositories: %w", MaxRepositories, ocm.ErrLimit)
	}
	var spec ocm.Spec
	if spec.UnmarshalJSON(text) != nil { // its message may quote what it found
		return nil, fmt.Errorf("repository is not an object with a type: %w", ocm.ErrInvalid)
	}
	k, ok := kindOf(spec.Type)
	if !ok {
		return nil, fmt.Errorf("repository type %q: %w", spec.Type, ocm.ErrUnknownType)
	}
	if err := s.confinedKind(spec.Type); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Type, err)
	}
	opened, err := k.open(s, spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Type, err)
	}
	s.opened[string(text)] = opened
	return opened, nil
}

// answersNobody reads the switch propagateConsumerIdentity: where it is false, a repository is only asked for sets by
// name. Without it repositories answer consumers, too.
func answersNobody(propagate *bool) bool { return propagate != nil && !*propagate }

// notes collects what was asked on the way, for [Store.Explain]. nil takes none.
type notes struct {
	lines []string
	from  string // what has answered last
}

// has notes a place that has something.
func (n *notes) has(place string, secret ocm.Secret) {
	if n != nil {
		n.add("%s: has %s", place, names(secret))
		n.from = place
	}
}

func (n *notes) add(format string, args ...any) {
	if n != nil {
		n.lines = append(n.lines, fmt.Sprintf(format, args...))
	}
}
