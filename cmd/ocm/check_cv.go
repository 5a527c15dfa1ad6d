// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/inspect"
)

const checkLong = `Check whether component versions are complete and undamaged: every blob in the repository
is read and compared with its digest, images with everything that belongs to them, and
references are followed (--recursive=0: not). All that is wrong is listed, not only the
first.

The reference names one version, a component (all its versions are checked), or only an
archive (everything in it). What a transfer left out with --exclude or --platform, and
referenced versions that are nowhere, are told as left out; content that is only referred
to is elsewhere, and is read with --remote.

Whether a version is what somebody signed is not checked here: "ocm verify cv" does that.
The exit status is 0 if all is there, 4 if anything is damaged, 1 if anything is missing or
left out.`

const checkExample = `  # after carrying an archive somewhere
  ocm check cv ./archive

  # one version with all that it references, also content in other registries
  ocm check cv ghcr.io/acme//acme.org/app:1.0.0 --remote

  # a copy that was made without some of the content, for a script
  ocm check cv ./small//acme.org/app:1.0.0 --allow-left-out -o json`

type checkOptions struct {
	recursive    depth
	remote       bool
	allowLeftOut bool
	constraint   string
	latest       bool
	lookup       []string
	output       string
}

func (o *checkOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	o.recursive = -1 // a version without what it references is not complete
	addDepth(fs, &o.recursive)
	fs.BoolVar(&o.remote, "remote", false, "read also content that is only referred to")
	fs.BoolVar(&o.allowLeftOut, "allow-left-out", false, "succeed although something was left out")
	addSelection(fs, &o.constraint, &o.latest)
	fs.StringArrayVar(&o.lookup, "lookup", nil, "another `repository` to look for referenced versions in; may be repeated")
	addEnum(fs, &o.output, "output", "o", "output format", "table", "json", "yaml")
	boundAlias(fs, &g.parallel)
}

// checkRequest is what "ocm check cv" asks for.
type checkRequest struct {
	at         ocm.Coordinates // without version: all that meet constraint and latest
	constraint string
	latest     bool
	recursive  bool
	remote     bool
	lookup     []repositoryName
}

func newCheckCV(a *app) *cobra.Command {
	var o checkOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version <reference> [flags]",
		Short:   "Check that a component version and all it consists of is there",
		Long:    checkLong,
		Example: checkExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCheckCV(cmd.Context(), a, o, args[0])
		},
	})
	o.AddFlags(cmd.Flags(), &a.global)
	return cmd
}

func runCheckCV(ctx context.Context, a *app, o checkOptions, reference string) error {
	r := checkRequest{constraint: o.constraint, latest: o.latest, recursive: o.recursive != 0, remote: o.remote}
	var err error
	if r.at, err = parseSelection(reference, o.constraint, o.latest); err != nil {
		return err
	}
	if r.lookup, err = parseRepositories(o.lookup); err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	report, err := s.check(ctx, r)
	if err != nil {
		return err
	}
	a.err.stopProgress()
	failure := report.Err(o.allowLeftOut)
	if failure != nil {
		failure = withHint(fmt.Errorf("%s: %w", reference, failure), checkHint(report))
	}
	return errors.Join(printList(a.out, o.output, report.Findings, findingTable), printChecked(a.out, o, report), failure)
}

// check finds the versions that are meant, and looks at them.
func (s *session) check(ctx context.Context, r checkRequest) (*inspect.CheckReport, error) {
	list, err := s.wanted(ctx, r.at, r.constraint, r.latest, r.lookup)
	if err == nil && len(list) == 0 {
		err = notFound(r.at)
	}
	if err != nil {
		return nil, withHint(err, s.findHint(ctx, err, r.at))
	}
	// Versions that were not named are not opened here: what cannot be opened is a finding.
	roots := make([]inspect.Root, len(list))
	for i, w := range list {
		roots[i] = inspect.Root{In: w.in, Component: w.at.Component, Ref: w.ref}
	}
	if r.at.Version != "" || r.at.Digest != "" {
		v, err := roots[0].In.Open(ctx, roots[0].Component, roots[0].Ref)
		if errors.Is(err, ocm.ErrNotFound) {
			return nil, withHint(err, s.findHint(ctx, err, r.at))
		}
		if err == nil {
			if err := checkFound(r.at, v); err != nil {
				return nil, err
			}
			roots[0].Version = v
		}
	}
	return inspect.Check(ctx, s.kit, s.env, s.Locator(sharedBy(list), r.at.Component, s.beside(r.lookup)), roots,
		inspect.CheckOptions{Recursive: r.recursive, Remote: r.remote})
}

// findingTable is short, as that of a verification is.
func findingTable(list []inspect.Finding) *table {
	t := newTable("ELEMENT", "STATUS", "DETAIL")
	for i, f := range list {
		if i == 0 || f.Component != list[i-1].Component {
			t.line("", f.Component)
		}
		t.add(f.Element, f.Status, shortDigests(f.Detail))
	}
	return t
}

// printChecked ends the table with what it means.
func printChecked(w io.Writer, o checkOptions, r *inspect.CheckReport) error {
	if o.output != "table" {
		return nil
	}
	line := fmt.Sprintf("checked: %s, %s read (%s)", count(r.Versions, "component version"), count(r.Blobs, "blob"), size(r.Bytes))
	for _, status := range []string{inspect.Damaged, inspect.Missing, inspect.Failed, inspect.LeftOut, inspect.Elsewhere} {
		if n := r.Count[status]; n > 0 {
			line += fmt.Sprintf("; %d %s", n, status)
		}
	}
	listed := 0
	for _, n := range r.Count {
		listed += n
	}
	if listed -= len(r.Findings); listed > 0 {
		line += fmt.Sprintf("; %d not listed", listed)
	}
	if r.Err(false) == nil {
		line += "; complete"
	}
	_, err := fmt.Fprintf(w, "\n%s\n", line)
	return err
}

func checkHint(r *inspect.CheckReport) string {
	if bad := []string{inspect.Damaged, inspect.Missing}; slices.ContainsFunc(bad, func(s string) bool { return r.Count[s] > 0 }) {
		return "transfer it again from where it is good, into a new place"
	}
	if r.Count[inspect.LeftOut] > 0 && r.Count[inspect.Failed] == 0 {
		return "\"ocm transfer cv --recursive\" without --exclude and --platform completes the copy; --allow-left-out accepts it as it is"
	}
	return ""
}
