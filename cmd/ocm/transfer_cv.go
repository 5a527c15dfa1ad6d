// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/config"
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
the copy. An image index is kept as it is, whatever --platform leaves behind;
some registries refuse that, archives never do.

What is attached to an image travels with it: signatures, SBOMs, attestations. So does what is
attached to a component version, if the copy is the same to the byte. What was attached only
after the transfer, or got lost, the same transfer brings. --no-referrers leaves all of it behind.

--upload-as ociArtifact gives images that are copied into a registry a repository of their
own, REGISTRY/PATH/NAME:TAG, where other tools find them; a tag that leads to something
else is an error. Without it images stand beside their component. --uploader stores resources
that are copied in another place, by an uploader of a plugin; the configuration can say so
for some of them (transfer.config.ocm.software, rules). What was stored there is read and
compared before the component version becomes visible.

--dry-run shows the plan: what would move, from where to where, how much, and what is there
already. As JSON it can be reviewed, and made again by --transfer-spec: that refuses if
source or target are not what they were.

--verify verifies signatures and content at the source before anything is written, and at the
target at the end, with the keys that "ocm verify cv" takes.

A target whose name ends with .tar, .tgz, .tar.gz or .tar.zst is an archive in one file, which
becomes visible at the end as a whole; any other name is a folder. ctf::- is an archive that
goes to standard output, or comes from standard input, and is not stored anywhere in between.

A version becomes visible in the target when all its content is there and was compared
with its digests. After an interruption the same command finishes the work; what is there
already is not copied again, except into an archive in one file, which is written anew.`

const transferExample = `  # to a registry, with all that is needed to install it there
  ocm transfer cv ./archive//acme.org/app:1.0.0 ghcr.io/acme --recursive --copy-resources

  # from a registry into a folder that can be carried away; first only the plan
  ocm transfer cv ghcr.io/acme//acme.org/app:1.0.0 ./airgap -r --copy-resources --dry-run
  ocm transfer cv ghcr.io/acme//acme.org/app:1.0.0 ./airgap -r --copy-resources

  # without the charts of one component, and of images only what is needed
  ocm transfer cv ./archive//acme.org/app:1.0.0 ./small -r --exclude component=acme.org/lib,type=helmChart --platform linux/amd64

  # the newest version of a component
  ocm transfer cv ./archive//acme.org/app ./airgap --latest

  # write the plan down (> plan.json), review it, then do exactly that
  ocm transfer cv ./archive//acme.org/app:1.0.0 ghcr.io/acme -r --dry-run -o json
  ocm transfer cv --transfer-spec plan.json

  # with images in repositories of their own, and only if all signatures are good
  ocm transfer cv ./archive//acme.org/app:1.0.0 ghcr.io/acme -r -V -u ociArtifact --verify --public-key rsa.pub`

type transferOptions struct {
	recursive      depth
	copyResources  bool
	copyLocal      bool
	copySources    bool
	omitTypes      []string
	uploadAs       string
	uploader       string
	constraint     string
	latest         bool
	overwrite      bool
	noUpdate       bool
	stopOnExisting bool
	lookup         []string
	dryRun         bool
	spec           string
	verify         bool
	trust          trustOptions
	output         string
	selection      selectOptions
	noReferrers    bool
}

func (o *transferOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	addDepth(fs, &o.recursive)
	fs.BoolVarP(&o.copyResources, "copy-resources", "V", false, "copy also resources that are only referred to")
	fs.BoolVarP(&o.copyLocal, "copy-local-resources", "L", false, "copy also resources that are only referred to, if their relation is local")
	fs.BoolVar(&o.copySources, "copy-sources", false, "copy also sources that are only referred to")
	fs.StringSliceVarP(&o.omitTypes, "omit-access-types", "N", nil, "leave content with these `types` of access where it is")
	addEnum(fs, &o.uploadAs, "upload-as", "u", "how images are stored in a registry: beside their component, or in repositories of their own",
		transfer.UploadLocalBlob, transfer.UploadOCIArtifact)
	fs.StringVar(&o.uploader, "uploader", "", "store resources that are copied by this uploader and not beside their component: its `type`, or its specification as JSON or in a file")
	addSelection(fs, &o.constraint, &o.latest)
	addSelectFlags(fs, &o.selection)
	fs.BoolVar(&o.noReferrers, "no-referrers", false, "leave behind what is attached to images: signatures, SBOMs, attestations")
	fs.BoolVarP(&o.overwrite, "overwrite", "f", false, "replace a version of the target that differs in what is signed")
	fs.BoolVar(&o.noUpdate, "no-update", false, "leave versions that the target has as they are")
	fs.BoolVarP(&o.stopOnExisting, "stop-on-existing", "E", false, "do not follow references of versions that the target has")
	fs.StringArrayVar(&o.lookup, "lookup", nil, "another `repository` to look for referenced versions in; may be repeated")
	fs.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, write nothing")
	fs.StringVar(&o.spec, "transfer-spec", "", "`file` with a plan that --dry-run wrote as json or yaml, - for standard input: do exactly that")
	fs.BoolVar(&o.verify, "verify", false, "verify signatures and content, at the source before and at the target after")
	o.trust.AddFlags(fs)
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
	uploadAs           string                // localBlob or ociArtifact
	uploader           *ocm.Spec             // nil: none but those of the configuration
	rules              []config.TransferRule // of the configuration, and that of uploader
	explicit           explicitFlags
	overwrite          bool
	noUpdate           bool
	stopOnExisting     bool
	lookup             []repositoryName
	dryRun             bool
	selected           selected
	noReferrers        bool
	verify             *verifyRequest     // nil: nothing is verified
	document           *transfer.Document // the plan to make again; nil: a new one
}

// explicitFlags tells which flags were given; the configuration decides about the others.
type explicitFlags struct{ recursive, copyResources, uploadAs bool }

// moved is what happened, or would happen, to one component version.
type moved struct {
	Component string `json:"component"` // name:version
	State     string `json:"state"`     // of the target before: absent, identical, complete, merge, overwrite or keep
	Moves     []move `json:"moves"`
	// Attached is what was attached to the manifest of the version.
	Attached []string `json:"attached,omitempty"`
}

// move is what happens with one resource or source.
type move struct {
	Kind    string `json:"kind"` // resource or source
	Element string `json:"element"`
	Access  string `json:"access"` // its type at the source
	Action  string `json:"action"` // copy, upload, keep, omit or attach
	// Attached is what was attached to what the target had.
	Attached []string `json:"attached,omitempty"`
}

// transferred is what became of a transfer.
type transferred struct {
	versions []moved
	done     *transfer.Summary  // nil: nothing, in a dry run
	plan     *transfer.Document // of a dry run
	left     int                // references to versions that were not asked for
}

func newTransferCV(a *app) *cobra.Command {
	var o transferOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version (<reference> <target repository> | --transfer-spec <file>) [flags]",
		Short:   "Copy a component version to another repository",
		Long:    transferLong,
		Example: transferExample,
		Args:    o.arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTransferCV(cmd.Context(), a, o, cmd.Flags(), args)
		},
	})
	o.AddFlags(cmd.Flags(), &a.global)
	return cmd
}

// arguments are source and target, unless a plan names them.
func (o *transferOptions) arguments(cmd *cobra.Command, args []string) error {
	if o.spec == "" {
		return arguments("<reference>", "<target repository>")(cmd, args)
	}
	if len(args) > 0 {
		return usagef("unexpected argument %q: with --transfer-spec the plan names source and target", args[0])
	}
	return nil
}

func runTransferCV(ctx context.Context, a *app, o transferOptions, fs *pflag.FlagSet, args []string) error {
	r, err := o.request(a, fs, args)
	if err != nil {
		return err
	}
	w, err := a.results(r.targetType, r.target)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	if r.document != nil {
		s.tellIgnored(fs)
	}
	done, err := s.transfer(ctx, r)
	if err != nil {
		return withHint(err, transferHint(err, o))
	}
	a.err.stopProgress()
	if o.output == "table" {
		return printTransferred(w, done)
	}
	if done.left > 0 {
		s.env.Log.Warn(notCopied(done.left))
	}
	return printTransfer(w, o.output, done)
}

// printTransfer writes the plan of a dry run as it can be made again, or what was done.
func printTransfer(w io.Writer, format string, t transferred) error {
	type summary struct {
		Summary *transfer.Summary `json:"summary"`
	}
	switch {
	case t.plan != nil:
		return printValue(w, format, t.plan)
	case format != "ndjson":
		return printValue(w, format, struct {
			Versions []moved           `json:"versions"`
			Summary  *transfer.Summary `json:"summary"`
		}{t.versions, t.done})
	}
	if err := printList(w, format, t.versions, moveTable); err != nil {
		return err
	}
	return printValue(w, format, summary{t.done})
}

// printTransferred writes tables, and ends them with what was done, and what was not.
func printTransferred(w io.Writer, t transferred) error {
	list, line := moveTable(t.versions), ""
	if t.plan != nil {
		list, line = planTable(t.plan), planned(t.plan)
	} else {
		line = summaryText(t.done)
	}
	if t.left > 0 {
		line += "\n" + notCopied(t.left)
	}
	if err := list.write(w); err != nil {
		return err
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

func (o *transferOptions) request(a *app, fs *pflag.FlagSet, args []string) (transferRequest, error) {
	r := transferRequest{constraint: o.constraint, latest: o.latest, recursive: o.recursive != 0,
		copyResources: o.copyResources, copyLocal: o.copyLocal, copySources: o.copySources, omitTypes: o.omitTypes,
		uploadAs: o.uploadAs, noReferrers: o.noReferrers, overwrite: o.overwrite, noUpdate: o.noUpdate, stopOnExisting: o.stopOnExisting, dryRun: o.dryRun,
		explicit: explicitFlags{fs.Changed("recursive"), fs.Changed("copy-resources"), fs.Changed("upload-as")}}
	if err := o.requestProof(&r, fs); err != nil {
		return r, err
	}
	var err error
	if r.uploader, err = parseSpec("uploader", o.uploader); err != nil {
		return r, err
	}
	if r.uploader != nil && r.explicit.uploadAs {
		return r, usagef("--uploader and --upload-as contradict each other")
	}
	if o.spec != "" {
		return r, r.replay(a, o.spec)
	}
	if r.from, err = parseSelection(args[0], o.constraint, o.latest); err != nil {
		return r, err
	}
	if r.targetType, r.target, err = parseTarget(args[1]); err != nil {
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
			t.add(e.Kind+" "+e.Element, e.Access, e.Action+attachedText(e.Attached))
		}
		if len(m.Attached) > 0 {
			t.add(ownText, "", transfer.Attach+attachedText(m.Attached))
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
	case transfer.Complete:
		return "in the target, without all that is attached to it"
	case transfer.Merge:
		return "in the target, to be completed"
	case transfer.Overwrite:
		return "different in the target, to be overwritten"
	case transfer.Kept:
		return "in the target, left as it is"
	}
	return state
}

func transferHint(err error, o transferOptions) string {
	switch {
	case anyOf(transfer.ErrTag)(err):
		return ""
	case o.spec != "" && anyOf(ocm.ErrConflict)(err):
		return "make a new plan by --dry-run, and review it"
	case anyOf(ocm.ErrExists)(err):
		return "the target has this version with other content; --overwrite replaces it, --no-update leaves it"
	}
	return verifyHint(err, o.trust)
}
