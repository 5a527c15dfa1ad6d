// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"ocm"
)

const getLong = `List component versions, newest first.

The reference names one version, a component (all its versions are listed), or only a
repository (all versions of all components; of registries those only that list their
repositories, as "ocm serve" does and many public ones do not).

json is always an array of component descriptors, yaml a list of them, ndjson has one
descriptor in each line.`

const getExample = `  # everything in an archive
  ocm get cv ./archive

  # the versions of a component, or only some of them
  ocm get cv ghcr.io/acme//acme.org/app
  ocm get cv ghcr.io/acme//acme.org/app --semver-constraint '>=1.0.0, <2.0.0' --latest

  # one descriptor as it is stored, and all versions that it refers to
  ocm get cv ./archive//acme.org/app:1.0.0 -o yaml
  ocm get cv ./archive//acme.org/app:1.0.0 --recursive -o tree`

type getOptions struct {
	constraint string
	latest     bool
	recursive  depth
	output     string
}

func (o *getOptions) AddFlags(fs *pflag.FlagSet) {
	addSelection(fs, &o.constraint, &o.latest)
	addDepth(fs, &o.recursive)
	addEnum(fs, &o.output, "output", "o", "output format", "table", "tree", "yaml", "json", "ndjson")
	ignored(fs, "display-mode=static")
}

// addSelection adds the flags that select among the versions of a component.
func addSelection(fs *pflag.FlagSet, constraint *string, latest *bool) {
	fs.StringVar(constraint, "semver-constraint", "", "only versions in this `range`, such as '>=1.2.0, <2.0.0' ('>=1.2.0-0' takes pre-releases too); where the reference has no version")
	fs.BoolVar(latest, "latest", false, "only the newest version, be it a pre-release; where the reference has none")
	alias(fs, "semver-constraint", "constraints", "c")
}

func newGetCV(a *app) *cobra.Command {
	var o getOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version <reference> [flags]",
		Short:   "List component versions",
		Long:    getLong,
		Example: getExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runGetCV(cmd.Context(), a, o, args[0])
		},
	})
	o.AddFlags(cmd.Flags())
	return cmd
}

func runGetCV(ctx context.Context, a *app, o getOptions, reference string) error {
	c, err := parseSelection(reference, o.constraint, o.latest)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	found, err := s.find(ctx, c, o.constraint, o.latest, nil)
	if err != nil {
		return withHint(err, s.findHint(ctx, err, c))
	}
	roots := make([]*node, len(found))
	for i, f := range found {
		if roots[i] = (&node{descriptor: f.descriptor}); o.recursive != 0 {
			if roots[i], err = s.load(ctx, f.at); err != nil {
				return err
			}
		}
	}
	a.err.stopProgress()
	if o.output == "tree" {
		return printTree(a.out, roots)
	}
	return printList(a.out, o.output, flatten(roots), descriptorTable)
}

// parseSelection reads a reference whose version, and even component, may be missing.
func parseSelection(reference, constraint string, latest bool) (ocm.Coordinates, error) {
	if constraint != "" {
		if err := checkConstraint(constraint); err != nil {
			return ocm.Coordinates{}, err
		}
	}
	c, err := ocm.ParseCoordinates(reference)
	if err != nil {
		var repoErr error
		c.Type, c.Repository, repoErr = ocm.ParseRepository(reference)
		if _, rest, isURL := strings.Cut(reference, "://"); repoErr != nil || strings.Contains(rest, "//") || !isURL && strings.Contains(reference, "//") {
			return c, withHint(usage(err), slashHint(reference)) // a component was meant, and is wrong
		}
	}
	if (c.Version != "" || c.Digest != "") && (constraint != "" || latest) {
		return c, usagef("reference %q names a version already: leave out --semver-constraint and --latest", reference)
	}
	return c, nil
}

// found is a component version and where it was found.
type found struct {
	in         ocm.Repository
	at         ocm.Coordinates
	version    ocm.Version
	descriptor *ocm.Descriptor
}

// find opens all versions that a reference names, newest first; [ocm.ErrNotFound] if
// there are none.
func (s *session) find(ctx context.Context, c ocm.Coordinates, constraint string, latest bool, lookup []repositoryName) ([]found, error) {
	list, err := s.wanted(ctx, c, constraint, latest, lookup)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, notFound(c)
	}
	return openAll(ctx, s.env.Job, list)
}

// reference writes c for messages, whether it has a component or not.
func reference(c ocm.Coordinates) string {
	return strings.TrimSuffix(c.String(), "//")
}

// componentsOf is the component that c names, or else all of the repository.
func componentsOf(ctx context.Context, repo ocm.Repository, c ocm.Coordinates) ([]string, error) {
	if c.Component != "" {
		return []string{c.Component}, nil
	}
	lister, ok := repo.(ocm.Lister)
	if !ok {
		return nil, usagef("%s cannot list its components: name one, %s//COMPONENT", repo, reference(c))
	}
	var names []string
	for name, err := range lister.Components(ctx) {
		if errors.Is(err, errors.ErrUnsupported) {
			return nil, usagef("%s cannot list its components: name one, %s//COMPONENT", repo, reference(c))
		} else if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// openAll opens versions, as many at a time as the job allows.
func openAll(ctx context.Context, job *ocm.Job, wanted []wanted) ([]found, error) {
	list := make([]found, len(wanted))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(job.Parallel())
	for i, w := range wanted {
		g.Go(func() error {
			return job.Do(ctx, func() error {
				at := w.at
				v, err := w.in.Open(ctx, at.Component, w.ref)
				if err == nil {
					err = checkFound(at, v)
				}
				if err != nil {
					return err
				}
				at.Version, at.Digest = v.Descriptor().Component.Version, v.Manifest().Digest
				list[i] = found{w.in, at, v, v.Descriptor()}
				return nil
			})
		})
	}
	return list, g.Wait()
}
