// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ocm"
	shared "ocm/session"
)

// beside are the repositories that --lookup names.
func (s *session) beside(lookup []repositoryName) []shared.Place {
	var list []shared.Place
	for _, l := range lookup {
		list = append(list, shared.Place{Name: l.String(), Open: func(ctx context.Context) (ocm.Repository, error) { return s.openSource(ctx, l.typ, l.location) }})
	}
	return list
}

// anywhere are the places for a reference that names no repository.
func (s *session) anywhere(c ocm.Coordinates, lookup []repositoryName) ([]shared.Place, error) {
	places := s.Places(nil, "", s.beside(lookup), c.Component, c.Version)
	if len(places) == 0 {
		return nil, fmt.Errorf("%s: the reference names no repository, and no resolver is configured for it: %w", reference(c), ocm.ErrNotFound)
	}
	return places, nil
}

// wanted is a version to be opened.
type wanted struct {
	in  ocm.Repository
	at  ocm.Coordinates // as it was named: the version that is found must be that
	ref string
}

// want is the version that c names.
func want(in ocm.Repository, c ocm.Coordinates) wanted {
	if c.Digest != "" {
		return wanted{in, c, c.Digest.String()}
	}
	return wanted{in, c, c.Version}
}

// wanted lists the versions that a reference names, without opening them; newest first for each component.
func (s *session) wanted(ctx context.Context, c ocm.Coordinates, constraint string, latest bool, lookup []repositoryName) ([]wanted, error) {
	if c.Repository == "" {
		return s.wantedAnywhere(ctx, c, constraint, latest, lookup)
	}
	repo, err := s.openSource(ctx, c.Type, c.Repository)
	if err != nil {
		return nil, err
	}
	if c.Version != "" || c.Digest != "" {
		return []wanted{want(repo, c)}, nil
	}
	components, err := componentsOf(ctx, repo, c)
	if err != nil {
		return nil, err
	}
	var list []wanted
	for _, name := range components {
		at := c
		at.Component = name
		in := map[string]ocm.Repository{}
		if err := listVersions(ctx, repo, name, in); err != nil {
			return nil, err
		}
		more, err := selectWanted(at, in, constraint, latest)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// wantedAnywhere is wanted for a reference without a repository. A version that is in several of the places is taken
// from the first of them.
func (s *session) wantedAnywhere(ctx context.Context, c ocm.Coordinates, constraint string, latest bool, lookup []repositoryName) ([]wanted, error) {
	places, err := s.anywhere(c, lookup)
	if err != nil {
		return nil, err
	}
	if c.Version != "" || c.Digest != "" {
		w := want(nil, c)
		w.in, _, err = shared.First(ctx, places, c.Component, w.ref)
		if w.in == nil {
			return nil, err
		}
		return []wanted{w}, nil // what is wrong with it is seen when it is opened
	}
	in := map[string]ocm.Repository{}
	for _, p := range places {
		repo, err := p.Open(ctx)
		if err == nil {
			err = listVersions(ctx, repo, c.Component, in)
		}
		if err != nil && !errors.Is(err, ocm.ErrNotFound) {
			return nil, err
		}
	}
	return selectWanted(c, in, constraint, latest)
}

// listVersions adds the versions of a component that are not known yet.
func listVersions(ctx context.Context, repo ocm.Repository, component string, in map[string]ocm.Repository) error {
	for v, err := range repo.Versions(ctx, component) {
		if err != nil {
			return err
		}
		if in[v] == nil {
			in[v] = repo
		}
	}
	return nil
}

func selectWanted(c ocm.Coordinates, in map[string]ocm.Repository, constraint string, latest bool) ([]wanted, error) {
	var all []string
	for v := range in {
		all = append(all, v)
	}
	slices.Sort(all) // what is equally new keeps an order
	selected, err := selectVersions(all, constraint, latest)
	list := make([]wanted, len(selected))
	for i, v := range selected {
		list[i] = wanted{in[v], c, v}
	}
	return list, err
}

// sharedBy is the repository that all are in; nil if there are several.
func sharedBy(list []wanted) ocm.Repository {
	for _, w := range list {
		if w.in != list[0].in {
			return nil
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[0].in
}

// specOf is the specification of a repository that was named: by an alias of the configuration, or by itself. A type that neither is
// compiled in nor is one of a plugin is wrong use.
func (s *session) specOf(typ, location string) (ocm.Spec, error) {
	if spec, ok := s.Aliases[location]; ok {
		return spec, nil
	}
	spec, err := ocm.RepositorySpec(typ, location)
	if err != nil {
		return spec, err
	}
	if _, err := s.kit.Repositories.For(spec.Type); err != nil {
		return spec, usage(err)
	}
	return spec, nil
}
