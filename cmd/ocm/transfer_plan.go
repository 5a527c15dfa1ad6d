// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/graph"
	"ocm/transfer"
)

// Plans of transfers: how they are read, made again and shown.

// planFlags are those that a plan has decided about.
var planFlags = []string{"recursive", "copy-resources", "copy-local-resources", "copy-sources", "omit-access-types", "upload-as", "uploader",
	"include", "exclude", "platform", "no-referrers",
	"semver-constraint", "latest", "overwrite", "no-update", "stop-on-existing", "lookup"}

// tellIgnored warns of flags that say nothing beside a plan.
func (s *session) tellIgnored(fs *pflag.FlagSet) {
	for _, name := range planFlags {
		if fs.Changed(name) {
			s.env.Log.Warn("--" + name + " is ignored: the plan has decided about it")
		}
	}
}

// requestProof reads what is to be verified.
func (o *transferOptions) requestProof(r *transferRequest, fs *pflag.FlagSet) error {
	v, err := o.trust.request()
	if err != nil {
		return err
	}
	if o.verify {
		r.verify = &v
		return nil
	}
	for _, name := range []string{"signature", "public-key", "ca-cert", "tsa-cert", "issuer", "verifier-spec", "trusted-root", "certificate-identity",
		"certificate-identity-regexp", "certificate-oidc-issuer", "certificate-oidc-issuer-regexp", "private-infrastructure"} {
		if fs.Changed(name) {
			return usagef("--%s has no effect without --verify", name)
		}
	}
	return nil
}

// replay reads a plan and takes source, target and options from it.
func (r *transferRequest) replay(a *app, path string) error {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("--transfer-spec %s: %w", path, err)
		}
		defer f.Close()
		in = f
	}
	d, err := untilInterrupted(a.ctx, func() (*transfer.Document, error) { return transfer.ParseDocument(in) })
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.from, err = parseSelection(d.Source.Reference, "", false); err != nil {
		return fmt.Errorf("%s: source: %w", path, err)
	}
	if r.targetType, r.target, err = parseTarget(d.Target); err != nil {
		return fmt.Errorf("%s: target: %w", path, err)
	}
	if r.lookup, err = parseRepositories(d.Source.Lookup); err != nil {
		return fmt.Errorf("%s: lookup: %w", path, err)
	}
	r.document, r.recursive, r.selected.rules = d, d.Source.Recursive, d.Options.Select
	return nil
}

// String names a repository as flags and plans do.
func (n repositoryName) String() string {
	return reference(ocm.Coordinates{Type: n.typ, Repository: n.location})
}

// source is what a plan says of where its versions came from.
func (r *transferRequest) source(roots []ocm.Version) transfer.Source {
	if r.document != nil {
		return r.document.Source
	}
	s := transfer.Source{Reference: reference(r.from), Recursive: r.recursive, StopOnExisting: r.stopOnExisting}
	for _, v := range roots {
		c := &v.Descriptor().Component
		s.Roots = append(s.Roots, c.Name+":"+c.Version)
	}
	for _, l := range r.lookup {
		s.Lookup = append(s.Lookup, l.String())
	}
	return s
}

// walk says how far references are followed.
func (r *transferRequest) walk(target ocm.Repository) graph.Options {
	o := graph.Options{Recursive: r.recursive, Skip: r.selected.rules.Skip}
	switch {
	case r.document != nil:
		o.Follow = r.document.Follow()
	case r.stopOnExisting:
		o.Follow = func(ctx context.Context, v ocm.Version) (bool, error) { return isMissing(ctx, target, v) }
	}
	return o
}

// transferRoots opens what was asked for, or what a plan names, and the repository that it is in; nil if there
// are several, which only a reference without a repository leads to.
func (s *session) transferRoots(ctx context.Context, r transferRequest) (ocm.Repository, []ocm.Version, error) {
	if r.document != nil {
		return s.plannedRoots(ctx, r)
	}
	selected, err := s.find(ctx, r.from, r.constraint, r.latest, r.lookup)
	if err != nil {
		return nil, nil, withHint(err, s.findHint(ctx, err, r.from))
	}
	roots, err := r.selected.roots(selected, r.from.Component != "")
	return sourceOf(selected), roots, err
}

func (s *session) plannedRoots(ctx context.Context, r transferRequest) (ocm.Repository, []ocm.Version, error) {
	var list []wanted
	for _, name := range r.document.Source.Roots {
		at, err := ocm.ParseCoordinates(repositoryName{r.from.Type, r.from.Repository}.String() + "//" + name)
		if err != nil || at.Version == "" {
			return nil, nil, fmt.Errorf("plan: source.roots: %.300q is no name:version: %w", name, ocm.ErrInvalid)
		}
		at.Digest = r.from.Digest
		one, err := s.wanted(ctx, at, "", false, r.lookup)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, one...)
	}
	opened, err := openAll(ctx, s.env.Job, list)
	if err != nil {
		return nil, nil, err
	}
	return sourceOf(opened), versionsOf(opened), nil
}

// sourceOf is the repository that all are in; nil if there are several.
func sourceOf(list []found) ocm.Repository {
	in := make([]wanted, len(list))
	for i, f := range list {
		in[i] = wanted{in: f.in}
	}
	return sharedBy(in)
}

func versionsOf(list []found) []ocm.Version {
	out := make([]ocm.Version, len(list))
	for i, f := range list {
		out[i] = f.version
	}
	return out
}

// proof is what --verify demands; what does not move is looked for by find.
func (s *session) proof(r transferRequest, find graph.Find, roots []ocm.Version) (*transfer.Proof, error) {
	if r.verify == nil {
		return nil, nil
	}
	judges, err := s.verifiers(r.verify.trust)
	if err != nil {
		return nil, err
	}
	if err := judges.keysOfVerify(r.verify.trust); err != nil {
		return nil, err
	}
	for _, v := range roots {
		if err := judges.demand(v.Descriptor().Signatures, r.verify.signatures); err != nil {
			return nil, err
		}
	}
	demand := func(selected []ocm.Signature) error { return judges.demand(selected, nil) } // of what is in the target, too
	return &transfer.Proof{VerifyOptions: graph.VerifyOptions{Signatures: r.verify.signatures, Spec: judges.specOf, Demand: demand}, Find: find}, nil
}

// planTable shows what would move, from where to where.
func planTable(d *transfer.Document) *table {
	t := newTable("ELEMENT", "FROM", "TO", "SIZE", "ACTION")
	for i := range d.Versions {
		v := &d.Versions[i]
		t.line("", v.Component+":"+v.Version+": "+stateText(v.State))
		if v.State == transfer.Identical || v.State == transfer.Kept {
			continue // nothing happens with them
		}
		for k := range v.Moves {
			m := &v.Moves[k]
			t.add(m.Kind+" "+m.Element, fromText(m), toText(m), size(m.Bytes), actionText(m))
		}
		if len(v.Attached) > 0 {
			t.add(ownText, "", "", "", transfer.Attach+attachedText(v.Attached))
		}
	}
	t.dropEmpty()
	return t
}

// ownText is how the manifest of a version is called among its elements.
const ownText = "component version"

// attachedText lists what is attached: types and digests, tags of cosign.
func attachedText(list []string) string {
	const shown = 3
	var texts []string
	for i, a := range list {
		if i == shown {
			texts = append(texts, fmt.Sprintf("and %d more", len(list)-shown))
			break
		}
		texts = append(texts, shortDigests(a))
	}
	if len(texts) == 0 {
		return ""
	}
	return " " + strings.Join(texts, ", ")
}

// besideText is how the plan calls content that is stored beside its descriptor.
const besideText = "local blob"

func fromText(m *transfer.Move) string {
	switch {
	case slices.Contains([]string{"none", "None"}, strings.TrimSuffix(m.Access, "/v1")):
		return ""
	case strings.HasPrefix(strings.ToLower(m.Access), "local"):
		return besideText
	case m.From == "":
		return m.Access
	}
	if at, _, ok := strings.Cut(m.From, "@sha"); ok && strings.LastIndexByte(at, ':') > strings.LastIndexByte(at, '/') {
		return at // the tag is enough for people
	}
	return shortDigests(m.From)
}

func toText(m *transfer.Move) string {
	switch m.Action {
	case transfer.Copy:
		return besideText
	case transfer.Upload, transfer.Attach:
		return m.To
	}
	return ""
}

func actionText(m *transfer.Move) string {
	switch {
	case m.Action == transfer.Attach:
		return m.Action + attachedText(m.Attached)
	case m.Transformer != "":
		return m.Action + ", transformed by " + m.Transformer
	case m.Reason != "":
		return m.Action + ", " + m.Reason
	case !m.Moves() || m.Bytes < 0 || m.Present == 0:
		return m.Action
	case m.Present == m.Bytes:
		return m.Action + ", there already"
	}
	return m.Action + ", " + size(m.Present) + " there already"
}

// planned is what a plan comes to.
func planned(d *transfer.Document) string {
	t := d.Totals
	if t.Versions == 0 {
		return "dry run: nothing to do, " + count(len(d.Versions), "component version") + " unchanged"
	}
	what := count(t.Contents, "content")
	if t.Attached > 0 {
		what += " and " + count(t.Attached, "attached manifest")
	}
	line := fmt.Sprintf("dry run: nothing was written\nwould write %s with %s\nwould move %s from %s to %s", count(t.Versions, "component version"),
		what, size(t.Bytes), d.Source.Reference, d.Target)
	if t.Unknown > 0 {
		line += fmt.Sprintf(", and %s of unknown size", count(t.Unknown, "content"))
	}
	return line
}

// summaryText is what was done, in words.
func summaryText(s *transfer.Summary) string {
	if s.Written == 0 && s.Completed == 0 {
		return "nothing to do: " + count(s.Versions, "component version") + " unchanged"
	}
	done := count(int(s.Written), "component version") + " written"
	if s.Completed > 0 {
		done += fmt.Sprintf(", %d completed", s.Completed)
	}
	text := fmt.Sprintf("transferred: %s, %d unchanged, %s", done, s.Unchanged, count(int(s.Contents), "content"))
	if s.Attached > 0 {
		text += ", " + count(int(s.Attached), "attached manifest")
	}
	text += fmt.Sprintf("\nmoved %s in %s, %.1f s", size(s.Moved), count(int(s.Blobs), "blob"), s.Seconds)
	if s.Moved > 0 && s.Seconds >= 0.1 { // less is no measure
		text += " (" + size(s.Rate) + "/s)"
	}
	var more []string
	if n := s.Found + s.Mounted; n > 0 {
		more = append(more, fmt.Sprintf("%s not sent again: %d there already, %d mounted", size(s.Skipped), s.Found, s.Mounted))
	}
	if s.Retries > 0 {
		more = append(more, fmt.Sprintf("retries: %d", s.Retries))
	}
	text = strings.Join(append([]string{text}, more...), "; ")
	if s.LeftOut > 0 {
		text += "\n" + count(int(s.LeftOut), "content") + " left out, as a whole or in part (ocm check cv tells which)"
	}
	if s.Verified > 0 {
		text += "\nverified: signatures and content of " + count(s.Verified, "component version") + ", at the source and at the target"
	}
	return text
}
