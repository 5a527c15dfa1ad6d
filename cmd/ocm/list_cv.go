// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
)

const listLong = `List names and versions of component versions, newest first, and nothing else: no descriptor
is read, so that this is cheap for a component with thousands of versions.

The argument is a repository, or a component in it; not every registry lists its components.
json is an array of objects with component and version.`

const listExample = `  # the versions of a component
  ocm list cv ghcr.io/acme//acme.org/app

  # everything in an archive, for a script
  ocm list cv ./archive -o json`

type listOptions struct {
	constraint string
	latest     bool
	output     string
}

func (o *listOptions) AddFlags(fs *pflag.FlagSet) {
	addSelection(fs, &o.constraint, &o.latest)
	addEnum(fs, &o.output, "output", "o", "output format", "table", "json", "yaml", "ndjson")
}

func newListCV(a *app) *cobra.Command {
	var o listOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-versions <repository>[//component] [flags]",
		Short:   "List names and versions only",
		Long:    listLong,
		Example: listExample,
		Args:    arguments("<repository>[//component]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runListCV(cmd.Context(), a, o, args[0])
		},
	})
	cmd.Aliases = append(cmd.Aliases, "component-version")
	o.AddFlags(cmd.Flags())
	return cmd
}

// listed is a version by name.
type listed struct {
	Component string `json:"component"`
	Version   string `json:"version"`
}

func runListCV(ctx context.Context, a *app, o listOptions, reference string) error {
	c, err := parseSelection(reference, o.constraint, o.latest)
	if err != nil {
		return err
	}
	if c.Digest != "" || c.Version != "" {
		return usagef("reference %q names a version: leave it out, or use \"ocm get cv\"", reference)
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	list, err := s.list(ctx, c, o)
	if err != nil {
		return withHint(err, s.findHint(ctx, err, c))
	}
	a.err.stopProgress()
	return printList(a.out, o.output, list, func(list []listed) *table {
		t := newTable("COMPONENT*", "VERSION")
		for _, l := range list {
			t.add(l.Component, l.Version)
		}
		return t
	})
}

// list names the versions of a component, or of all components of a repository.
func (s *session) list(ctx context.Context, c ocm.Coordinates, o listOptions) ([]listed, error) {
	found, err := s.wanted(ctx, c, o.constraint, o.latest, nil)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, notFound(c)
	}
	list := make([]listed, len(found))
	for i, w := range found {
		list[i] = listed{w.at.Component, w.ref}
	}
	return list, nil
}

func notFound(c ocm.Coordinates) error {
	return fmt.Errorf("no component version: %s: %w", reference(c), ocm.ErrNotFound)
}
