// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ocm"
	"ocm/graph"
	"ocm/inspect"
)

// Place is a repository in which a version is looked for.
type Place struct {
	Name string // for messages
	Open func(ctx context.Context) (ocm.Repository, error)
}

// Places are the repositories in which a version is looked for, in the order that all verbs have in common:
//
//  1. own, the repository that the reference names, for the component that it names;
//  2. where the configured resolvers say;
//  3. own for every other component;
//  4. others, which somebody named besides.
func (s *Session) Places(own ocm.Repository, component string, others []Place, name, version string) []Place {
	var list []Place
	addOwn := func() {
		if own != nil {
			list = append(list, Place{own.String(), func(context.Context) (ocm.Repository, error) { return own, nil }})
		}
	}
	if name == component {
		addOwn()
	}
	for _, spec := range s.Resolvers.Match(name, version) {
		list = append(list, Place{locationOf(spec), func(ctx context.Context) (ocm.Repository, error) { return s.Existing(ctx, spec) }})
	}
	if name != component {
		addOwn()
	}
	return append(list, others...)
}

// First opens a version in the first place that has it. A place that fails for another reason is not skipped: then
// the repository, if it could be opened, comes with the error.
func First(ctx context.Context, places []Place, name, ref string) (ocm.Repository, ocm.Version, error) {
	at := name + ":" + ref
	var asked []string
	var seen []ocm.Repository
	err := fmt.Errorf("%s: in no repository that was named or configured: %w", at, ocm.ErrNotFound)
	for _, p := range places {
		repo, failed := p.Open(ctx)
		if failed == nil && slices.Contains(seen, repo) {
			continue
		}
		var v ocm.Version
		if failed == nil {
			seen = append(seen, repo)
			v, failed = repo.Open(ctx, name, ref)
		}
		if !errors.Is(failed, ocm.ErrNotFound) {
			return repo, v, failed
		}
		asked, err = append(asked, p.Name), failed
	}
	if len(asked) > 1 {
		err = fmt.Errorf("%s: in none of the repositories that were asked, in this order: %s: %w", at, strings.Join(asked, ", "), ocm.ErrNotFound)
	}
	return nil, nil, err
}

// Locator finds referenced versions, and the repositories that they are in.
func (s *Session) Locator(own ocm.Repository, component string, others []Place) inspect.Locate {
	return func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		return First(ctx, s.Places(own, component, others, name, version), name, version)
	}
}

// Finder is Locator for those who need not know where a version was found.
func (s *Session) Finder(own ocm.Repository, component string, others []Place) graph.Find {
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		_, v, err := First(ctx, s.Places(own, component, others, name, version), name, version)
		return v, err
	}
}

// locationOf names a configured repository for messages.
func locationOf(spec ocm.Spec) string {
	var r struct {
		BaseURL  string `json:"baseUrl"`
		SubPath  string `json:"subPath"`
		FilePath string `json:"filePath"`
		Name     string `json:"name"`
	}
	if err := spec.Decode(&r); err != nil {
		return spec.Type
	}
	at := r.BaseURL + r.FilePath + r.Name
	if r.SubPath != "" {
		at += "/" + strings.Trim(r.SubPath, "/")
	}
	if at == "" {
		return spec.Type
	}
	return withoutUser(at)
}

// withoutUser hides what stands before the host: a password that somebody wrote there is refused when it is used.
func withoutUser(url string) string {
	if at := strings.LastIndexByte(url, '@'); at >= 0 {
		return "…" + url[at:]
	}
	return url
}
