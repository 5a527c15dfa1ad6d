// SPDX-License-Identifier: Apache-2.0

package main

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

// candidate is a repository in which a version is looked for.
type candidate struct {
	name string
	open func(ctx context.Context) (ocm.Repository, error)
}

// places are the repositories in which a version is looked for, in the order that all commands have in common:
//
//  1. own, the repository that the reference names, for the component that it names;
//  2. where the configured resolvers say;
//  3. own for every other component;
//  4. the repositories that --lookup names.
func (s *session) places(own ocm.Repository, component string, lookup []repositoryName, name, version string) []candidate {
	var list []candidate
	addOwn := func() {
		if own != nil {
			list = append(list, candidate{own.String(), func(context.Context) (ocm.Repository, error) { return own, nil }})
		}
	}
	if name == component {
		addOwn()
	}
	for _, spec := range s.resolvers.Match(name, version) {
		list = append(list, candidate{locationOf(spec), func(ctx context.Context) (ocm.Repository, error) { return s.openExisting(ctx, spec) }})
	}
	if name != component {
		addOwn()
	}
	for _, l := range lookup {
		list = append(list, candidate{l.String(), func(ctx context.Context) (ocm.Repository, error) { return s.openSource(ctx, l.typ, l.location) }})
	}
	return list
}

// first opens a version in the first place that has it. A place that fails for another reason is not skipped: then
// the repository, if it could be opened, comes with the error.
func first(ctx context.Context, places []candidate, name, ref string) (ocm.Repository, ocm.Version, error) {
	at := name + ":" + ref
	var asked []string
	var seen []ocm.Repository
	err := fmt.Errorf("%s: in no repository that was named or configured: %w", at, ocm.ErrNotFound)
	for _, p := range places {
		repo, failed := p.open(ctx)
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
		asked, err = append(asked, p.name), failed
	}
	if len(asked) > 1 {
		err = fmt.Errorf("%s: in none of the repositories that were asked, in this order: %s: %w", at, strings.Join(asked, ", "), ocm.ErrNotFound)
	}
	return nil, nil, err
}

// locator finds referenced versions, and the repositories that they are in.
func (s *session) locator(own ocm.Repository, component string, lookup []repositoryName) inspect.Locate {
	return func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		repo, v, err := first(ctx, s.places(own, component, lookup, name, version), name, version)
		return repo, v, err
	}
}

// finder is locator for those who need not know where a version was found.
func (s *session) finder(own ocm.Repository, component string, lookup []repositoryName) graph.Find {
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		_, v, err := first(ctx, s.places(own, component, lookup, name, version), name, version)
		return v, err
	}
}

// anywhere are the places for a reference that names no repository.
func (s *session) anywhere(c ocm.Coordinates, lookup []repositoryName) ([]candidate, error) {
	places := s.places(nil, "", lookup, c.Component, c.Version)
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
		w.in, _, err = first(ctx, places, c.Component, w.ref)
		if w.in == nil {
			return nil, err
		}
		return []wanted{w}, nil // what is wrong with it is seen when it is opened
	}
	in := map[string]ocm.Repository{}
	for _, p := range places {
		repo, err := p.open(ctx)
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

// specOf is the specification of a repository that was named: by an alias of the configuration, or by itself.
func (s *session) specOf(typ, location string) (ocm.Spec, error) {
	if spec, ok := s.aliases[location]; ok {
		return spec, nil
	}
	return ocm.RepositorySpec(typ, location)
}

// openExisting opens a repository that is read. An archive that is to be written may be missing,
// one that is read must be there: [ocm.ErrNotFound].
func (s *session) openExisting(ctx context.Context, spec ocm.Spec) (ocm.Repository, error) {
	var archive struct {
		FilePath string `json:"filePath"`
	}
	if s.kit.Repositories.Same(spec.Type, ocm.CTFType) && spec.Decode(&archive) == nil && archive.FilePath != "" && isAbsent(archive.FilePath) {
		return nil, fmt.Errorf("%s: no such folder or archive: %w", archive.FilePath, ocm.ErrNotFound)
	}
	return s.openSpec(ctx, spec)
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
