// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/inspect"
)

const pluginRegistryListLong = `List the plugins of registries. A registry of plugins is a component version whose references
are plugins; it is named by --registry, or in the configuration by an entry of type
plugin.registry.config.ocm.software. Without a version its newest release counts.

Nothing is verified: "ocm plugin install" does that. json is an array of objects with name,
version, component, platforms, description and registry.`

const pluginRegistryListExample = `  ocm plugin registry list --registry ./archive//acme.org/plugins

  # with components and registries
  ocm plugin registry list --registry ./archive//acme.org/plugins -o wide`

const pluginRegistryGetLong = `Show a plugin of registries in all its versions, or in one: NAME:VERSION or --version.
--component-descriptor shows the descriptors of its component versions.`

const pluginRegistryGetExample = `  ocm plugin registry get hello --registry ./archive//acme.org/plugins

  # the descriptor of a version
  ocm plugin registry get hello:1.0.0 --registry ./archive//acme.org/plugins --component-descriptor -o yaml`

func addRegistries(fs *pflag.FlagSet, list *[]string) {
	fs.StringSliceVar(list, "registry", nil, "`reference` of a registry of plugins, a component version; several with commas or repeated (default: as configured)")
}

type pluginRegistryOptions struct {
	registries []string
	version    string
	descriptor bool
	output     string
}

func newPluginRegistryList(a *app) *cobra.Command {
	var o pluginRegistryOptions
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Short:   "List the plugins of registries",
		Long:    pluginRegistryListLong,
		Example: pluginRegistryListExample,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPluginRegistry(cmd.Context(), a, o, "")
		},
	}
	addRegistries(cmd.Flags(), &o.registries)
	addEnum(cmd.Flags(), &o.output, "output", "o", "output format", "table", "wide", "yaml", "json", "ndjson")
	return cmd
}

func newPluginRegistryGet(a *app) *cobra.Command {
	var o pluginRegistryOptions
	cmd := &cobra.Command{
		Use:     "get NAME[:VERSION] [flags]",
		Short:   "Show a plugin of registries",
		Long:    pluginRegistryGetLong,
		Example: pluginRegistryGetExample,
		Args:    arguments("NAME[:VERSION]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, ok := strings.Cut(args[0], ":")
			switch {
			case name == "" || ok && version == "":
				return usagef("%q is no name of a plugin: expected NAME or NAME:VERSION", args[0])
			case ok && o.version != "" && o.version != version:
				return usagef("--version %s: %s names another version", o.version, args[0])
			case ok:
				o.version = version
			}
			return runPluginRegistry(cmd.Context(), a, o, name)
		},
	}
	addRegistries(cmd.Flags(), &o.registries)
	cmd.Flags().StringVar(&o.version, "version", "", "only this `version`")
	cmd.Flags().BoolVar(&o.descriptor, "component-descriptor", false, "show the descriptors of the component versions")
	addEnum(cmd.Flags(), &o.output, "output", "o", "output format", "table", "wide", "yaml", "json", "ndjson")
	return cmd
}

func runPluginRegistry(ctx context.Context, a *app, o pluginRegistryOptions, name string) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	all, err := s.registries(ctx, o.registries)
	if err == nil && name != "" {
		all, err = pluginsNamed(all, name, o.version)
	}
	if err != nil {
		return err
	}
	if o.descriptor {
		return s.printPluginDescriptors(ctx, all, o.output)
	}
	a.err.stopProgress()
	list := make([]inspect.Plugin, len(all))
	for i, p := range all {
		list[i] = p.Plugin
	}
	if o.output != "wide" {
		return printList(a.out, o.output, list, func(list []inspect.Plugin) *table { return registryTable(list, false) })
	}
	return registryTable(list, true).write(a.out)
}

func registryTable(list []inspect.Plugin, wide bool) *table {
	titles := []string{"NAME*", "VERSION", "PLATFORMS", "DESCRIPTION"}
	if wide {
		titles = append(titles, "COMPONENT", "REGISTRY")
	}
	t := newTable(titles...)
	for _, p := range list {
		cells := []string{p.Name, p.Version, strings.Join(p.Platforms, ", "), p.Description}
		if wide {
			cells = append(cells, p.Component, p.Registry)
		}
		t.add(cells...)
	}
	t.keep = 2
	return t
}

func (s *session) printPluginDescriptors(ctx context.Context, all []registered, format string) error {
	var list []*ocm.Descriptor
	for _, p := range all {
		v, err := s.Finder(p.repo, p.In.Descriptor().Component.Name, nil)(ctx, p.Component, p.Version)
		if err != nil {
			return fmt.Errorf("registry %s: plugin %s: %w", p.Registry, p.Name, err)
		}
		list = append(list, v.Descriptor())
	}
	s.app.err.stopProgress()
	if format == "wide" {
		format = "table"
	}
	return printList(s.app.out, format, list, descriptorTable)
}

// registered is a plugin in a registry.
type registered struct {
	inspect.Plugin
	repo ocm.Repository // the one that the registry is in
}

// registries reads registries of plugins, those of the configuration if none is named.
func (s *session) registries(ctx context.Context, references []string) ([]registered, error) {
	if len(references) == 0 {
		var err error
		if references, err = s.config.PluginRegistries(); err != nil {
			return nil, err
		}
	}
	if len(references) == 0 {
		return nil, withHint(usagef("--registry is missing: no registry of plugins is named or configured"),
			"configure it by an entry of type plugin.registry.config.ocm.software (ocm describe types config plugin.registry.config.ocm.software)")
	}
	var all []registered
	for _, text := range references {
		at, err := ocm.ParseCoordinates(text)
		if err != nil {
			return nil, withHint(usage(fmt.Errorf("registry %s: %w", text, err)), slashHint(text))
		}
		repo, v, err := s.openNewest(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
		list, err := inspect.Plugins(v)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			all = append(all, registered{p, repo})
		}
	}
	return all, nil
}

// pluginsNamed are those of a name, and of a version if one is given, newest first. [ocm.ErrNotFound] names what there is.
func pluginsNamed(all []registered, name, version string) ([]registered, error) {
	var list []registered
	var names, versions []string
	for _, p := range all {
		switch {
		case p.Name != name:
			names = append(names, p.Name)
		case version != "" && p.Version != version:
			versions = append(versions, p.Version)
		default:
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		err := fmt.Errorf("plugin %s: %w", name, ocm.ErrNotFound)
		switch near := closest(name, names); {
		case len(versions) > 0:
			return nil, withHint(fmt.Errorf("plugin %s: no version %s: %w", name, version, ocm.ErrNotFound), "there is "+strings.Join(versions, ", "))
		case near != "":
			return nil, withHint(err, fmt.Sprintf("did you mean %s?", near))
		}
		return nil, withHint(err, "\"ocm plugin registry list\" lists what there is")
	}
	slices.SortStableFunc(list, func(a, b registered) int { return byVersion(b.Version, a.Version) })
	return list, nil
}

// byVersion compares semantic versions, and texts where one of them is none.
func byVersion(a, b string) int {
	older, err := inspect.IsOlder(a, b)
	newer, failed := inspect.IsOlder(b, a)
	switch {
	case err != nil || failed != nil:
		return strings.Compare(a, b)
	case older:
		return -1
	case newer:
		return 1
	}
	return 0
}

// choosePlugin is the one plugin that is meant by a name: the newest release of them. If a name means different components, nobody
// but the user can say which one is meant.
func choosePlugin(all []registered, name, version string) (registered, error) {
	list, err := pluginsNamed(all, name, version)
	if err != nil {
		return registered{}, err
	}
	var versions []string
	for _, p := range list {
		if p.Component != list[0].Component {
			return registered{}, withHint(usagef("plugin %s: in registry %s it is %s, in registry %s it is %s", name, list[0].Registry, list[0].Component, p.Registry, p.Component),
				"name the registry by --registry, or install the component by its reference")
		}
		versions = append(versions, p.Version)
	}
	if version != "" {
		return list[0], nil
	}
	selected, err := inspect.SelectVersions(versions, "*")
	if err == nil && len(selected) == 0 {
		selected, err = inspect.SelectVersions(versions, "")
	}
	if err != nil || len(selected) == 0 {
		return registered{}, errors.Join(err, usagef("plugin %s: say which version: %s", name, strings.Join(versions, ", ")))
	}
	i := slices.IndexFunc(list, func(p registered) bool { return p.Version == selected[0] })
	return list[i], nil
}
