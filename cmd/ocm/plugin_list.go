// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"ocm"
	"ocm/plugin/host"
	"ocm/plugin/installed"
	"ocm/plugin/wire"
)

const pluginListLong = `List the plugins that are installed: where they come from, who has signed them, and what they
can do. Each is asked that, as it is when a type is needed that is not compiled in; a program
that is not what was installed is not run, and that is told.

VERIFIED BY is the signer that was found when it was installed; "unsigned" was installed with
--unsigned, and of what has no origin nothing is known: somebody has put it there by other
means. json is an array of objects with name, version, protocol, types, component,
repository, verified, signatures, installed, path and problem.`

const pluginListExample = `  ocm plugin list

  # with protocols, repositories and paths
  ocm plugin list -o wide`

const pluginDescribeLong = `Describe an installed plugin: where it comes from, what was verified, and what it can do.`

const pluginDescribeExample = `  ocm plugin describe hello

  # for a script
  ocm plugin describe hello -o json`

const pluginRemoveLong = `Remove an installed plugin, and what is remembered of it. A program that was not installed as
a component is removed with --force only.`

const pluginRemoveExample = `  ocm plugin remove hello`

// pluginCommands are the objects below "ocm plugin".
func pluginCommands(a *app) []*cobra.Command {
	return []*cobra.Command{newPluginInstall(a), newPluginList(a), newPluginDescribe(a), newPluginRemove(a),
		newGroup("registry", "Look into registries of plugins", newPluginRegistryList(a), newPluginRegistryGet(a))}
}

// pluginListed is what is told of an installed plugin.
type pluginListed struct {
	Name         string                `json:"name"`
	Version      string                `json:"version,omitempty"`
	Protocol     string                `json:"protocol,omitempty"`
	About        string                `json:"about,omitempty"`
	Types        []string              `json:"types"`
	Component    string                `json:"component,omitempty"`
	Repository   string                `json:"repository,omitempty"`
	Registry     string                `json:"registry,omitempty"`
	Resource     ocm.Identity          `json:"resource,omitempty"`
	Digest       string                `json:"digest,omitempty"`
	Verified     bool                  `json:"verified"`
	Signatures   []installed.Signature `json:"signatures,omitempty"`
	Installed    time.Time             `json:"installed,omitzero"`
	Path         string                `json:"path"`
	Problem      string                `json:"problem,omitempty"`
	Capabilities []wire.Capability     `json:"capabilities,omitempty"`
}

func newPluginList(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Short:   "List the plugins that are installed",
		Long:    pluginListLong,
		Example: pluginListExample,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.session()
			if err != nil {
				return err
			}
			list, err := s.installedPlugins(cmd.Context(), "")
			if err != nil {
				return err
			}
			a.err.stopProgress()
			if len(list) == 0 && (output == "table" || output == "wide") {
				return s.noPlugins()
			}
			for i := range list {
				list[i].Capabilities = nil // "describe" tells
			}
			if output == "wide" {
				return installedTable(list, true).write(a.out)
			}
			return printList(a.out, output, list, func(list []pluginListed) *table { return installedTable(list, false) })
		},
	}
	addEnum(cmd.Flags(), &output, "output", "o", "output format", "table", "wide", "yaml", "json", "ndjson")
	return cmd
}

// noPlugins tells where there are none; a table without rows would not.
func (s *session) noPlugins() error {
	folders, err := s.Plugins().Folders()
	if err == nil {
		_, err = fmt.Fprintf(s.app.out, "no plugins in %s; \"ocm plugin install\" brings one there\n", clean(strings.Join(folders, ", "), true))
	}
	return err
}

func installedTable(list []pluginListed, wide bool) *table {
	t := newTable("NAME", "VERSION", "COMPONENT", "TYPES", "VERIFIED BY", "PROBLEM")
	if wide {
		t = newTable("NAME", "VERSION", "COMPONENT", "TYPES", "VERIFIED BY", "PROBLEM", "PROTOCOL", "REPOSITORY", "PATH")
	}
	for _, p := range list {
		t.add([]string{p.Name, p.Version, p.Component, strings.Join(p.Types, ", "), p.verifiedBy(), p.Problem, p.Protocol, p.Repository, p.Path}[:len(t.titles)]...)
	}
	t.keep = 2
	t.dropEmpty()
	return t
}

func (p *pluginListed) verifiedBy() string {
	switch {
	case p.Component == "":
		return ""
	case !p.Verified:
		return "unsigned"
	}
	var names []string
	for _, s := range p.Signatures {
		names = append(names, s.Signer)
	}
	return strings.Join(names, "; ")
}

// listHint is the next step where a plugin is not installed.
const listHint = "\"ocm plugin list\" lists what is"

func newPluginDescribe(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "describe NAME [flags]",
		Short:   "Describe an installed plugin",
		Long:    pluginDescribeLong,
		Example: pluginDescribeExample,
		Args:    arguments("NAME"),

		ValidArgsFunction: a.completePlugins,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.session()
			if err != nil {
				return err
			}
			list, err := s.installedPlugins(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return withHint(fmt.Errorf("plugin %s: it is not installed: %w", args[0], ocm.ErrNotFound), listHint)
			}
			a.err.stopProgress()
			if output != "text" {
				return printValue(a.out, output, list[0])
			}
			return describePlugin(a.out, &list[0])
		},
	}
	addEnum(cmd.Flags(), &output, "output", "o", "output format", "text", "json", "yaml")
	return cmd
}

func describePlugin(w io.Writer, p *pluginListed) error {
	verified := ""
	switch {
	case p.Verified:
		verified = signers(p.Signatures)
	case p.Component != "":
		verified = "no, it was installed with --unsigned"
	}
	when := ""
	if !p.Installed.IsZero() {
		when = p.Installed.Format(time.RFC3339)
	}
	var b bytes.Buffer
	for _, line := range [...][2]string{
		{"Plugin", p.Name}, {"Version", p.Version}, {"About", p.About}, {"Protocol", p.Protocol}, {"Component", p.Component}, {"Repository", p.Repository},
		{"Registry", p.Registry}, {"Resource", p.Resource.String()}, {"Verified", verified}, {"Installed", when}, {"Digest", p.Digest}, {"Path", p.Path}, {"Problem", p.Problem},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-11s %s\n", line[0]+":", clean(line[1], true))
		}
	}
	if len(p.Capabilities) > 0 {
		t := newTable("KIND*", "TYPE", "ABOUT")
		for _, c := range p.Capabilities {
			t.add(c.Kind, strings.Join(c.Names, ", "), c.About)
		}
		b.WriteString("\nIt can do\n")
		t.width = lineWidth(w, describeWidth)
		if err := t.write(&b); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func newPluginRemove(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "remove NAME [flags]",
		Aliases: []string{"uninstall", "rm"},
		Short:   "Remove an installed plugin",
		Long:    pluginRemoveLong,
		Example: pluginRemoveExample,
		Args:    arguments("NAME"),

		ValidArgsFunction: a.completePlugins,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := installed.CheckName(args[0]); err != nil {
				return usage(err)
			}
			s, err := a.session()
			if err != nil {
				return err
			}
			folder, err := s.folderOf(args[0])
			if err != nil {
				return err
			}
			err = installed.Remove(folder, args[0], force)
			switch {
			case errors.Is(err, ocm.ErrDenied):
				return withHint(err, "--force removes it")
			case errors.Is(err, ocm.ErrNotFound):
				return withHint(err, listHint)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove it although it was not installed as a component")
	return cmd
}

// folderOf is the first folder of plugins with something of that name.
func (s *session) folderOf(name string) (string, error) {
	paths, folders, err := pathsOf(s.Plugins())
	if err != nil {
		return "", err
	}
	for _, path := range paths {
		if filepath.Base(path) == name {
			return filepath.Dir(path), nil
		}
	}
	return folders[0], nil // who removes it there will say that it is not there
}

// completePlugins offers the names of what is installed. Nothing is run.
func (a *app) completePlugins(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var list []cobra.Completion
	if s, err := a.session(); err == nil && len(args) == 0 {
		paths, _, _ := pathsOf(s.Plugins()) // what cannot be read is not offered
		for _, path := range paths {
			list = append(list, filepath.Base(path))
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// pathsOf are the programs in the folders of plugins.
func pathsOf(h *host.Host) (paths, folders []string, err error) {
	if folders, err = h.Folders(); err != nil {
		return nil, nil, err
	}
	for _, folder := range folders {
		more, err := installed.Paths(folder)
		if err != nil {
			return nil, nil, err
		}
		paths = append(paths, more...)
	}
	return paths, folders, nil
}

// installedPlugins looks at everything in the folders of plugins, or at what has a name.
func (s *session) installedPlugins(ctx context.Context, name string) ([]pluginListed, error) {
	h := s.Plugins()
	paths, _, err := pathsOf(h)
	if err != nil {
		return nil, err
	}
	var list []pluginListed
	for _, path := range paths {
		if name == "" || filepath.Base(path) == name {
			list = append(list, pluginListed{Name: filepath.Base(path), Path: path, Types: []string{}})
		}
	}
	var wait sync.WaitGroup
	for i := range list {
		wait.Go(func() {
			_ = s.env.Job.Do(ctx, func() error {
				if err := list[i].look(ctx, h); err != nil {
					list[i].Problem = wire.Text(wording(err), maxProblem)
				}
				return nil
			})
		})
	}
	wait.Wait()
	return list, ctx.Err()
}

// maxProblem bounds what is told of a plugin that cannot be used, in bytes.
const maxProblem = 1000

// look finds out what a plugin is. What is not as it was installed is not run.
func (p *pluginListed) look(ctx context.Context, h *host.Host) error {
	record, err := installed.Check(p.Path)
	if record != nil {
		p.Version, p.Component, p.Repository, p.Registry, p.Resource = record.Version, record.Component, record.Repository, record.Registry, record.Resource
		p.Digest, p.Verified, p.Signatures, p.Installed = record.Digest.String(), record.Verified, record.Signatures, record.Installed
	}
	if err != nil {
		return err
	}
	found, err := h.Probe(ctx, p.Path)
	if err != nil {
		return err
	}
	if p.Version == "" {
		p.Version = found.Capabilities.Version
	}
	p.Protocol, p.About, p.Capabilities = found.Capabilities.Protocol, found.Capabilities.About, found.Capabilities.Capabilities
	for _, c := range found.Capabilities.Capabilities {
		if len(c.Names) > 0 {
			p.Types = append(p.Types, c.Kind+" "+c.Names[0])
		}
	}
	return nil
}
