// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ocm"
	"ocm/builtin"
	"ocm/inspect"
)

// What shells complete besides commands, flags and the values of flags that are known. Nothing here opens a connection:
// what is in a registry is not looked up because somebody presses a key, only what is in an archive on this computer.

// maxCompleted bounds what is offered: nobody reads more.
const maxCompleted = 1000

type completion = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeAll gives every command what its flags and arguments offer.
func completeAll(a *app, cmd *cobra.Command) {
	completeEnums(cmd)
	if cmd.ValidArgsFunction == nil && (strings.Contains(cmd.Use, "<reference>") || strings.Contains(cmd.Use, "<repository>")) {
		cmd.ValidArgsFunction = a.completeReference
	}
	// Each fails only where the command has no such flag, or it is completed already.
	for name, offer := range map[string]completion{
		"identity":          a.completeIdentity,
		"working-directory": cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"plugin-directory":  cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
	} {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, offer)
		}
	}
	for _, sub := range cmd.Commands() {
		completeAll(a, sub)
	}
}

// completeTypes offers kinds, types and members.
func completeTypes(a *app) completion {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		kinds := builtin.Types(a.kit())
		var list []cobra.Completion
		if len(args) == 0 {
			for _, k := range kinds {
				list = append(list, cobra.CompletionWithDesc(k.Name, k.About))
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		}
		kind, err := kindNamed(kinds, args[0])
		if err != nil || len(args) > 2 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if len(args) == 1 {
			for _, t := range kind.Types {
				for _, name := range t.Names {
					list = append(list, cobra.CompletionWithDesc(name, t.About))
				}
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		}
		if t, err := typeNamed(kind, args[1]); err == nil {
			walkFields("", t.Fields, func(path string, f ocm.Field) { list = append(list, cobra.CompletionWithDesc(path, f.About)) })
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeReference offers archives, and components and versions of an archive; for what is no archive, files, and
// nothing of a registry.
func (a *app) completeReference(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 { // a target
		return nil, cobra.ShellCompDirectiveDefault
	}
	before, component, ok := strings.Cut(toComplete, "//")
	if !ok || strings.HasSuffix(before, ":") { // a path, or a URL
		return a.completeArchive(cmd.Context(), toComplete)
	}
	repo := a.openLocal(cmd.Context(), before)
	if repo == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer repo.Close()
	var list []cobra.Completion
	if name, _, versions := strings.Cut(component, ":"); versions {
		for _, v := range localVersions(cmd.Context(), repo, name) {
			list = append(list, before+"//"+name+":"+v)
		}
		return bounded(list, toComplete), cobra.ShellCompDirectiveNoFileComp
	}
	for _, name := range componentNames(cmd.Context(), repo) {
		list = append(list, before+"//"+name)
	}
	return bounded(list, toComplete), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeArchive offers what comes after the path of an archive, and else leaves paths to the shell.
func (a *app) completeArchive(ctx context.Context, path string) ([]cobra.Completion, cobra.ShellCompDirective) {
	repo := a.openLocal(ctx, path)
	if repo == nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	defer repo.Close()
	return []cobra.Completion{path + "//"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeIdentity offers the identities of the elements of the version that was named, if it lies in an archive.
func (a *app) completeIdentity(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(args) == 0 {
		return nil, directive
	}
	c, err := ocm.ParseCoordinates(args[0])
	if err != nil || c.Version == "" {
		return nil, directive
	}
	place, _, _ := strings.Cut(args[0], "//")
	repo := a.openLocal(cmd.Context(), place)
	if repo == nil {
		return nil, directive
	}
	defer repo.Close()
	v, err := repo.Open(cmd.Context(), c.Component, c.Version)
	if err != nil {
		return nil, directive
	}
	kind := inspect.KindResource
	for _, k := range elementKinds {
		if cmd.Name() == k.kind+"s" {
			kind = k.kind
		}
	}
	var list []cobra.Completion
	for _, e := range inspect.ElementsOf(v, kind) {
		id := e.Common.ExtraIdentity.String()
		if id != "" {
			id = "," + id
		}
		list = append(list, cobra.CompletionWithDesc("name="+e.Common.Name+id, e.Type))
	}
	return bounded(list, toComplete), directive
}

// openLocal opens an archive on this computer; nil if location names none.
func (a *app) openLocal(ctx context.Context, location string) ocm.Repository {
	typ, path, err := ocm.ParseRepository(location)
	if err != nil || typ != ocm.CTFType && typ != ocm.ComponentArchiveType || path == "" || path == pipeLocation {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || info.IsDir() && !isArchive(path) || !info.IsDir() && !hasArchiveName(path) {
		return nil
	}
	spec, err := ocm.RepositorySpec(typ, path)
	if err != nil {
		return nil
	}
	open, err := a.kit().Repositories.For(spec.Type)
	if err != nil {
		return nil
	}
	repo, err := open(ctx, &ocm.Env{HTTP: noNetwork{}, Job: ocm.NewJob(1)}, spec)
	if err != nil {
		return nil
	}
	return repo
}

// hasArchiveName keeps completion from reading every large file that is there.
func hasArchiveName(path string) bool {
	return slices.Contains([]string{".tar", ".tgz", ".gz", ".ctf"}, filepath.Ext(path))
}

func componentNames(ctx context.Context, repo ocm.Repository) (names []string) {
	lister, ok := repo.(ocm.Lister)
	if !ok {
		return nil
	}
	for name, err := range lister.Components(ctx) {
		if err != nil {
			return nil
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func localVersions(ctx context.Context, repo ocm.Repository, component string) (versions []string) {
	for v, err := range repo.Versions(ctx, component) {
		if err != nil {
			return nil
		}
		versions = append(versions, v)
	}
	versions, _ = selectVersions(versions, "", false) // it fails for a wrong constraint only
	return versions
}

// bounded are those that begin with what was typed. Nothing that a shell or terminal would take for more than text is offered.
func bounded(list []cobra.Completion, typed string) []cobra.Completion {
	list = slices.DeleteFunc(list, func(c cobra.Completion) bool {
		return !strings.HasPrefix(c, typed) || clean(strings.ReplaceAll(c, "\t", " "), false) != strings.ReplaceAll(c, "\t", " ")
	})
	return list[:min(len(list), maxCompleted)]
}

// noNetwork refuses every request.
type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s: completion opens no connections: %w", r.URL.Host, ocm.ErrDenied)
}
