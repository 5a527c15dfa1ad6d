// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/transfer"
)

const transferLong = `Copy a component version to another repository: registry or archive, in any
direction. Signatures stay good: nothing that they cover changes.

Content that lies in the source repository is always copied; --copy-resources copies also
content that is only referred to, such as images in other registries, so that the target
needs nobody else. --recursive follows references to other component versions.

Without a version in the reference all versions of the component are copied, or those
that --semver-constraint and --latest select; only the name of an archive means
everything in it.

--include, --exclude and --platform make a copy of less. What was left out is written down in the
copy, where no signature covers it, so that "ocm check cv" tells it; "ocm verify cv" does not
accept such a copy. A rule as component=acme.org/**,type=helmChart must match in all parts;
several flags are alternatives, and --exclude wins. The same transfer without them completes
the copy. An image index is kept as it is, whatever --platform leaves behind.

A version becomes visible in the target when all its content is there and was compared
with its digests. After an interruption the same command finishes the work; what is there
already is not copied again.`

const transferExample = `  # to a registry, with all that is needed to install it there
  ocm transfer cv ./archive//acme.org/app:1.0.0 ghcr.io/acme --recursive --copy-resources

  # from a registry into a folder that can be carried away; first only the plan
  ocm transfer cv ghcr.io/acme//acme.org/app:1.0.0 ./airgap -r --copy-resources --dry-run
  ocm transfer cv ghcr.io/acme//acme.org/app:1.0.0 ./airgap -r --copy-resources

  # without the charts of one component, and of images only what is needed
  ocm transfer cv ./archive//acme.org/app:1.0.0 ./small -r --exclude component=acme.org/lib,type=helmChart --platform linux/amd64

  # the newest version of a component
  ocm transfer cv ./archive//acme.org/app ./airgap --latest`

type transferOptions struct {
	recursive      depth
	copyResources  bool
	copyLocal      bool
	copySources    bool
	omitTypes      []string
	uploadAs       string
	constraint     string
	latest         bool
	overwrite      bool
	noUpdate       bool
	stopOnExisting bool
	lookup         []string
	dryRun         bool
	output         string
	selection      selectOptions
}

func (o *transferOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	addDepth(fs, &o.recursive)
	fs.BoolVarP(&o.copyResources, "copy-resources", "V", false, "copy also resources that are only referred to")
	fs.BoolVarP(&o.copyLocal, "copy-local-resources", "L", false, "copy also resources that are only referred to, if their relation is local")
	fs.BoolVar(&o.copySources, "copy-sources", false, "copy also sources that are only referred to")
	fs.StringSliceVarP(&o.omitTypes, "omit-access-types", "N", nil, "leave content with these `types` of access where it is")
	addEnum(fs, &o.uploadAs, "upload-as", "u", "how images are stored: beside their component", "localBlob")
	fs.Lookup("upload-as").Hidden = true // for scripts of other tools: there is nothing to choose
	addSelection(fs, &o.constraint, &o.latest)
	addSelectFlags(fs, &o.selection)
	fs.BoolVarP(&o.overwrite, "overwrite", "f", false, "replace a version of the target that differs in what is signed")
	fs.BoolVar(&o.noUpdate, "no-update", false, "leave versions that the target has as they are")
	fs.BoolVarP(&o.stopOnExisting, "stop-on-existing", "E", false, "do not follow references of versions that the target has")
	fs.StringArrayVar(&o.lookup, "lookup", nil, "another `repository` to look for referenced versions in; may be repeated")
	fs.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, write nothing")
	addEnum(fs, &o.output, "output", "o", "output format", "table", "yaml", "json", "ndjson")
	boundAlias(fs, &g.parallel)
}

// transferRequest is what "ocm transfer cv" asks for.
type transferRequest struct {
	from               ocm.Coordinates // without version: all that meet constraint and latest
	constraint         string
	latest             bool
	targetType, target string
	recursive          bool
	copyResources      bool
	copyLocal          bool
	copySources        bool
	omitTypes          []string
	uploadAs           string // localBlob or ociArtifact
	explicit           explicitFlags
	overwrite          bool
	noUpdate           bool
	stopOnExisting     bool
	lookup             []repositoryName
	dryRun             bool
	selected           selected
}

// explicitFlags tells which flags were given; the configuration decides about the others.
type explicitFlags struct{ recursive, copyResources, uploadAs bool }

// moved is what happened, or would happen, to one component version.
type moved struct {
	Component string `json:"component"` // name:version
	State     string `json:"state"`     // of the target before: absent, identical, merge, overwrite or keep
	Moves     []move `json:"moves"`
}

// move is what happens with one resource or source.
type move struct {
	Kind    string `json:"kind"` // resource or source
	Element string `json:"element"`
	Access  string `json:"access"` // its type at the source
	Action  string `json:"action"` // copy or keep
}

// transferred is what became of a transfer.
type transferred struct {
	versions []moved
	done     *transfer.Summary // nil: nothing, in a dry run
	left     int               // references to versions that were not asked for
}

func newTransferCV(a *app) *cobra.Command {
	var o transferOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version <reference> <target repository> [flags]",
		Short:   "Copy a component version to another repository",
		Long:    transferLong,
		Example: transferExample,
		Args:    arguments("<reference>", "<target repository>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed
			return runTransferCV(cmd.Context(), a, o, args,
				explicitFlags{given("recursive"), given("copy-resources"), given("upload-as")})
		},
	})
	o.AddFlags(cmd.Flags(), &a.global)
	return cmd
}

func runTransferCV(ctx context.Context, a *app, o transferOptions, args []string, explicit explicitFlags) error {
	r, err := o.request(args[0], args[1])
	if err != nil {
		return err
	}
	r.explicit = explicit
	s, err := a.session()
	if err != nil {
		return err
	}
	moved, err := s.transfer(ctx, r)
	if err != nil {
		return withHint(err, transferHint(err))
	}
	a.err.stopProgress()
	if err := printList(a.out, o.output, moved.versions, moveTable); err != nil {
		return err
	}
	if o.output == "table" {
		return printTransferred(a.out, moved)
	}
	if moved.left > 0 {
		s.env.Log.Warn(notCopied(moved.left))
	}
	return nil
}

// printTransferred ends the table with what was done, and what was not.
func printTransferred(w io.Writer, t transferred) error {
	line := ""
	if t.done == nil {
		line = "dry run: nothing was written, " + toDo(t.versions)
	} else {
		line = fmt.Sprintf("transferred: %s written, %d unchanged, %s", count(int(t.done.Written), "component version"),
			t.done.Versions-int(t.done.Written), count(int(t.done.Contents), "content"))
	}
	if t.left > 0 {
		line += "\n" + notCopied(t.left)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", line)
	return err
}

// notCopied says that a target cannot be verified as it is.
func notCopied(references int) string {
	if references == 1 {
		return "1 reference not copied (--recursive copies it)"
	}
	return count(references, "reference") + " not copied (--recursive copies them)"
}

// toDo counts what a dry run left undone.
func toDo(moves []moved) string {
	versions, contents := 0, 0
	for _, m := range moves {
		if m.State == transfer.Identical || m.State == transfer.Kept {
			continue
		}
		versions++
		for _, e := range m.Moves {
			if e.Action == transfer.Copy {
				contents++
			}
		}
	}
	return fmt.Sprintf("%s with %s would be", count(versions, "component version"), count(contents, "content"))
}

func (o *transferOptions) request(reference, target string) (transferRequest, error) {
	r := transferRequest{constraint: o.constraint, latest: o.latest, recursive: o.recursive != 0,
		copyResources: o.copyResources, copyLocal: o.copyLocal, copySources: o.copySources, omitTypes: o.omitTypes,
		uploadAs: o.uploadAs, overwrite: o.overwrite, noUpdate: o.noUpdate, stopOnExisting: o.stopOnExisting, dryRun: o.dryRun}
	var err error
	if r.from, err = parseSelection(reference, o.constraint, o.latest); err != nil {
		return r, err
	}
	if r.targetType, r.target, err = parseTarget(target); err != nil {
		return r, err
	}
	if r.selected, err = o.selection.parse(); err != nil {
		return r, err
	}
	if o.overwrite && o.noUpdate {
		return r, usagef("--overwrite and --no-update contradict each other")
	}
	r.lookup, err = parseRepositories(o.lookup)
	return r, err
}

func moveTable(list []moved) *table {
	t := newTable("ELEMENT", "ACCESS", "ACTION")
	for _, m := range list {
		t.line("", m.Component+": "+stateText(m.State))
		for _, e := range m.Moves {
			if m.State == transfer.Identical || m.State == transfer.Kept {
				break // nothing happens with them
			}
			t.add(e.Kind+" "+e.Element, e.Access, e.Action)
		}
	}
	return t
}

// stateText says what a state of the target means.
func stateText(state string) string {
	switch state {
	case transfer.Absent:
		return "new in the target"
	case transfer.Identical:
		return "identical in the target"
	case transfer.Merge:
		return "in the target, to be completed"
	case transfer.Overwrite:
		return "different in the target, to be overwritten"
	case transfer.Kept:
		return "in the target, left as it is"
	}
	return state
}

func transferHint(err error) string {
	if anyOf(ocm.ErrExists)(err) {
		return "the target has this version with other content; --overwrite replaces it, --no-update leaves it"
	}
	return ""
}
