// SPDX-License-Identifier: Apache-2.0

// Package transfer moves component versions between repositories: it plans, then runs.
//
// [NewPlan] decides for every version and element what happens, without writing anything.
// [Plan.Run] does it: one job bounds the work, content streams from source to target and is
// hashed on the way, versions become visible after the versions that they reference, and
// what signatures cover is compared before anything becomes visible. Elements whose
// content stays where it is keep their access unread.
//
// A plan can be measured ([Plan.Measure]), written down ([Plan.Document]), reviewed, read
// ([ParseDocument]) and made again as it was ([Document.Accept]).
package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/config"
	"ocm/graph"
	"ocm/oci"
)

// Options say what to move. The zero value moves descriptors and the blobs beside them.
type Options struct {
	CopyResources bool            `json:"copyResources,omitzero"` // bring resources that live elsewhere into the target
	CopyLocal     bool            `json:"copyLocal,omitzero"`     // the same, but only resources of relation "local"
	CopySources   bool            `json:"copySources,omitzero"`   // sources that live elsewhere, too
	OmitAccess    []string        `json:"omitAccess,omitempty"`   // access types that stay as they are even so
	Select        *Select         `json:"select,omitzero"`        // what is left out; nil: nothing
	Platforms     []blob.Platform `json:"platforms,omitempty"`    // of images for several, only these; none: all
	NoReferrers   bool            `json:"noReferrers,omitzero"`   // leave behind what is attached to images and versions
	UploadAs      string          `json:"uploadAs,omitempty"`     // [UploadLocalBlob], which is the default, or [UploadOCIArtifact]
	// Rules say what becomes of resources that are copied: other content, another place. The first one that matches counts.
	Rules        []config.TransferRule `json:"rules,omitempty"`
	Overwrite    bool                  `json:"overwrite,omitzero"`    // replace a target version whose signed content differs
	KeepExisting bool                  `json:"keepExisting,omitzero"` // never touch a version that is in the target already

	Unfinished bool `json:"-"` // the caller writes more, and finishes the target (see ocm.Finisher)
	// Proof demands that the roots are verified, before the first write and after the last; nil: not.
	Proof *Proof `json:"-"`
}

// Actions of a [Move].
const (
	Copy   = "copy"   // the content becomes part of the target, beside its descriptor
	Upload = "upload" // the artifact gets a repository of its own in the target's registry, or goes where an uploader stores it
	Keep   = "keep"   // the access stays as it is
	Omit   = "omit"   // the content is left out, and the access says so
	Attach = "attach" // the content is there, and what is attached to it at the source is brought to it
)

// Move is what happens with one resource or source.
type Move struct {
	Component string        `json:"-"`    // name:version
	Kind      string        `json:"kind"` // "resource" or "source"
	Element   string        `json:"element"`
	Access    string        `json:"access"` // its type at the source
	Action    string        `json:"action"`
	Reason    string        `json:"reason,omitempty"`   // why it is left out
	From      string        `json:"from,omitempty"`     // repository or reference that the content comes from
	To        string        `json:"to,omitempty"`       // repository or reference that it goes to; empty: nowhere
	Replaces  digest.Digest `json:"replaces,omitempty"` // what the tag of an upload leads to, and no longer will; known after [Plan.Measure]
	Digest    digest.Digest `json:"digest,omitempty"`   // of the content's root, where it is known without reading
	Bytes     int64         `json:"bytes"`              // with everything below the root, as far as it moves; -1: not known
	Present   int64         `json:"present,omitzero"`   // bytes of it that the target has; known after [Plan.Measure]

	// Attached is what an Attach brings: types and digests, tags of cosign; Bytes are those of it.
	Attached []string `json:"attached,omitempty"`

	Transformer string `json:"transformer,omitempty"` // type of what makes other content of it before it is stored
	Uploader    string `json:"uploader,omitempty"`    // type of what stores it; empty: the target does

	index     int
	name      string // repository path and tag of an upload
	at        string // where the target has had what was to move; empty: nowhere
	mediaType string // of the content's root, if it is local

	transformer, uploader *ocm.Spec // nil: none
}

// Moves reports whether content goes to the target.
func (m *Move) Moves() bool { return m.Action == Copy || m.Action == Upload }

// VersionPlan is what happens with one component version.
type VersionPlan struct {
	Component string // name:version
	// State of the target: "absent", "identical", "complete" (identical, but something that is attached at the source
	// is missing), "merge" (only unsigned parts, signatures or places of content differ), "overwrite" or "keep".
	State string
	Moves []Move
	// Attached is what is attached to the manifest of the version at the source, and not to the same one at
	// the target: types and digests, tags of cosign.
	Attached []string
	// Notes tell what the source has and the target does not take over: signatures and unsigned
	// labels that the target has otherwise, signatures that are not of this version.
	Notes []string

	node   *graph.Node
	base   ocm.Version
	merged *ocm.Descriptor // what the version becomes, if the state is Merge

	attachedBytes int64 // of Attached
}

// Idle reports whether nothing is to be done: the target has the version, and keeps it as it is.
func (vp *VersionPlan) Idle() bool { return vp.State == Identical || vp.State == Kept }

// States of a version at the target.
const (
	Absent    = "absent"
	Identical = "identical"
	Complete  = "complete"
	Merge     = "merge"
	Overwrite = "overwrite"
	Kept      = "keep"
)

// Plan is a transfer that was decided and not yet done.
type Plan struct {
	Target   string
	Versions []*VersionPlan // children before parents

	kit      *ocm.Kit
	env      *ocm.Env
	target   ocm.Repository
	graph    *graph.Graph
	o        Options
	uploads  uploads
	rules    []handling
	replayed bool  // it is another one's plan, and nothing else may be done
	fed      *feed // nil: no source is read front to back

	asked  *ocm.Job // remembers what was asked and done about what is attached; see question
	silent sync.Map // registries that did not answer when they were asked for it, and their errors
}

// NewPlan decides what transferring the graph to target means. It reads the target, each version
// once and as many at a time as the job allows, and writes nothing. [ocm.ErrExists] names the
// versions that are there with other content: what is signed differs, or content that no digest
// covers cannot be shown to be the same.
func NewPlan(ctx context.Context, kit *ocm.Kit, env *ocm.Env, g *graph.Graph, target ocm.Repository, o Options) (*Plan, error) {
	p := &Plan{Target: target.String(), Versions: make([]*VersionPlan, len(g.Nodes)), kit: kit, env: env, target: target, graph: g, o: o, asked: ocm.NewJob(1)}
	if err := errors.Join(p.uploads.prepare(p), p.prepareRules()); err != nil {
		return nil, err
	}
	conflicts := make([]error, len(g.Nodes))
	eg, ectx := errgroup.WithContext(ctx)
	eg.SetLimit(env.Job.Parallel())
	for i, n := range g.Nodes {
		vp := &VersionPlan{Component: n.Key(), Moves: []Move{}, node: n}
		p.Versions[i] = vp
		eg.Go(func() error {
			err := p.decide(ectx, vp)
			if errors.Is(err, ocm.ErrExists) { // all of them are told at once
				conflicts[i], err = err, nil
			}
			return err
		})
	}
	if err := eg.Wait(); err != nil {
		return nil, err
	}
	p.tell()
	return p, errors.Join(conflicts...)
}

// tell logs what people should know, in the order of the versions.
func (p *Plan) tell() {
	for _, vp := range p.Versions {
		for _, note := range vp.Notes {
			p.env.Logger().Warn(note, "component", vp.Component, "target", p.Target)
		}
	}
}

// decide says what happens with a version: what the target has, which contents move, and
// whether anything is left to be done.
func (p *Plan) decide(ctx context.Context, vp *VersionPlan) error {
	if err := p.env.Job.Do(ctx, func() error { return p.state(ctx, vp) }); err != nil {
		return err
	}
	return p.complete(ctx, vp)
}

// state is decide for the content of the version itself.
func (p *Plan) state(ctx context.Context, vp *VersionPlan) error {
	same, err := p.look(ctx, vp)
	if err != nil {
		return err
	}
	if err := p.moves(ctx, vp); err != nil || vp.State == Kept {
		return err
	}
	switch {
	case vp.State != "": // it is absent
	case same:
		err = p.compareSame(ctx, vp)
	default:
		err = p.compare(ctx, vp)
	}
	if err == nil && vp.State == Identical {
		err = p.repair(ctx, vp)
	}
	if err == nil {
		vp.Notes = append(vp.Notes, leftOutBefore(vp)...)
	}
	return err
}

// repair brings back content that the target shows and has lost, as a look at names and sizes tells: an
// archive that was damaged is made whole by the same transfer that made it.
func (p *Plan) repair(ctx context.Context, vp *VersionPlan) error {
	target, ok := p.target.(interface {
		Lacks(ctx context.Context, v ocm.Version) string
	})
	if !ok {
		return nil
	}
	have := vp.base
	if have == nil {
		have = vp.node.Version // the very same manifest
	}
	lost := target.Lacks(ctx, have)
	if lost == "" {
		return nil
	}
	if vp.base == nil {
		if err := p.open(ctx, vp); err != nil || vp.base == nil {
			return err
		}
	}
	vp.State, vp.merged = Merge, vp.base.Descriptor()
	for i := range vp.Moves {
		m := &vp.Moves[i]
		access, _ := element(vp.merged, m)
		if oci.IsLocal(m.Access) && oci.IsLocal(access.Type) {
			m.Action, m.To = Copy, p.Target
		}
	}
	vp.Notes = append(vp.Notes, "the target had lost content ("+lost+"): it is copied again")
	return nil
}

// look finds out whether the target lacks a version, or has the very same manifest, which addresses all
// of it; if neither, it is opened.
func (p *Plan) look(ctx context.Context, vp *VersionPlan) (same bool, err error) {
	c := &vp.node.Descriptor().Component
	if h, ok := p.target.(interface {
		Head(ctx context.Context, name, version string) (digest.Digest, error)
	}); ok {
		found, err := h.Head(ctx, c.Name, c.Version)
		same = err == nil && found == vp.node.Manifest().Digest
		switch {
		case errors.Is(err, ocm.ErrNotFound):
			vp.State = Absent
			return false, nil
		case err != nil && p.o.Overwrite:
			return false, fmt.Errorf("target: cannot be read, so it cannot be replaced safely: %w", err)
		case err != nil:
			return false, fmt.Errorf("target: %w", err)
		}
	}
	if !same {
		if err := p.open(ctx, vp); err != nil || vp.State != "" {
			return false, err
		}
	}
	if p.o.KeepExisting {
		vp.State = Kept
	}
	return same, nil
}

// open opens what the target has of a version.
func (p *Plan) open(ctx context.Context, vp *VersionPlan) error {
	c := &vp.node.Descriptor().Component
	base, err := p.target.Open(ctx, c.Name, c.Version)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		vp.State = Absent
	case err != nil && p.o.Overwrite:
		return fmt.Errorf("target: cannot be read, so it cannot be replaced safely: %w", err)
	case err != nil:
		return fmt.Errorf("target: %w", err)
	}
	vp.base = base
	return nil
}

// moves decides what happens with the contents of a version.
func (p *Plan) moves(ctx context.Context, vp *VersionPlan) error {
	c := &vp.node.Descriptor().Component
	for i := range c.Resources {
		r := &c.Resources[i]
		all := p.o.CopyResources || p.o.CopyLocal && r.Relation == ocm.RelationLocal
		if err := p.move(ctx, vp, &r.Element, item{vp.Component, "resource", r.Name, r.Type, r.Access}, all, i); err != nil {
			return err
		}
	}
	for i := range c.Sources {
		e := &c.Sources[i]
		if err := p.move(ctx, vp, &e.Element, item{vp.Component, "source", e.Name, e.Type, e.Access}, p.o.CopySources, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) move(ctx context.Context, vp *VersionPlan, e *ocm.Element, it item, all bool, index int) error {
	kind, access := it.kind, it.access
	m := Move{Component: vp.Component, Kind: kind, Element: e.String(), Access: access.Type, Action: Keep, Bytes: -1, index: index}
	_, unknown := p.kit.Access.For(access.Type)
	reason, left := p.o.Select.leaves(p.kit, it)
	switch {
	case vp.State == Kept, !graph.HasContent(access.Type), graph.IsOmitted(access.Type):
	case left:
		leaveOut(&m, access, reason)
	case oci.IsLocal(access.Type):
		m.Action = Copy
	case isRelative(access) && p.omits(access.Type):
		return fmt.Errorf("%s: %s %s: access %s is relative to the source repository and would lead nowhere in the target: %w", vp.Component, kind, e, access.Type, ocm.ErrInvalid)
	case isRelative(access): // like a local blob: what stays behind would dangle
		m.Action = Copy
	case p.omits(access.Type):
	case all && unknown != nil:
		return fmt.Errorf("%s: %s %s cannot be copied (leave it where it is by --omit-access-types %s): %w", vp.Component, kind, e, access.Type, unknown)
	case all:
		m.Action = Copy
	}
	p.place(ctx, vp, &m, access)
	err := p.apply(ctx, vp, &m, it)
	if err == nil && m.Uploader == "" && m.Transformer == "" {
		err = p.uploads.place(vp, &m, access)
	}
	if err != nil {
		return fmt.Errorf("%s: %s %s: %w", vp.Component, kind, e, err)
	}
	vp.Moves = append(vp.Moves, m)
	return nil
}
