// SPDX-License-Identifier: Apache-2.0

// Package transfer moves component versions between repositories: it plans, then runs.
//
// [NewPlan] decides for every version and element what happens, without writing anything.
// [Plan.Run] does it: one job bounds the work, content streams from source to target and is
// hashed on the way, versions become visible after the versions that they reference, and
// what signatures cover is compared before anything becomes visible. Elements whose
// content stays where it is keep their access unread.
package transfer

import (
	"context"
	"errors"
	"fmt"

	"ocm"
	"ocm/blob"
	"ocm/graph"
	"ocm/oci"
)

// Options say what to move. The zero value moves descriptors and the blobs beside them.
type Options struct {
	CopyResources bool            // bring resources that live elsewhere into the target
	CopyLocal     bool            // the same, but only resources of relation "local"
	CopySources   bool            // sources that live elsewhere, too
	OmitAccess    []string        // access types that stay as they are even so
	Select        *Select         // what is left out; nil: nothing
	Platforms     []blob.Platform `json:"platforms,omitempty"` // of images for several, only these; none: all
	Overwrite     bool            // replace a target version whose signed content differs
	KeepExisting  bool            // never touch a version that is in the target already
}

// Actions of a [Move].
const (
	Copy = "copy" // the content becomes part of the target
	Keep = "keep" // the access stays as it is
	Omit = "omit" // the content is left out, and the access says so
)

// Move is what happens with one resource or source.
type Move struct {
	Component string `json:"component"` // name:version
	Kind      string `json:"kind"`      // "resource" or "source"
	Element   string `json:"element"`
	Access    string `json:"access"` // its type at the source
	Action    string `json:"action"`
	Reason    string `json:"reason,omitempty"` // why it is left out

	index int
}

// VersionPlan is what happens with one component version.
type VersionPlan struct {
	Component string `json:"component"` // name:version
	// State of the target: "absent", "identical", "merge" (only unsigned parts, signatures or places
	// of content differ), "overwrite" or "keep".
	State string `json:"state"`
	Moves []Move `json:"moves"`
	// Notes tell what the source has and the target does not take over: signatures and unsigned
	// labels that the target has otherwise, signatures that are not of this version.
	Notes []string `json:"notes,omitempty"`

	node   *graph.Node
	base   ocm.Version
	merged *ocm.Descriptor // what the version becomes, if the state is Merge
}

// States of a version at the target.
const (
	Absent    = "absent"
	Identical = "identical"
	Merge     = "merge"
	Overwrite = "overwrite"
	Kept      = "keep"
)

// Plan is a transfer that was decided and not yet done.
type Plan struct {
	Target   string         `json:"target"`
	Versions []*VersionPlan `json:"versions"` // children before parents

	kit    *ocm.Kit
	env    *ocm.Env
	target ocm.Repository
	o      Options
}

// NewPlan decides what transferring the graph to target means. It reads the target, and writes
// nothing. [ocm.ErrExists] names the versions that are there with other content: what is signed
// differs, or content that no digest covers cannot be shown to be the same.
func NewPlan(ctx context.Context, kit *ocm.Kit, env *ocm.Env, g *graph.Graph, target ocm.Repository, o Options) (*Plan, error) {
	p := &Plan{Target: target.String(), kit: kit, env: env, target: target, o: o}
	var conflicts []error
	for _, n := range g.Nodes {
		vp := &VersionPlan{Component: n.Key(), Moves: []Move{}, node: n}
		if err := p.decide(ctx, vp); err != nil {
			if !errors.Is(err, ocm.ErrExists) {
				return nil, err
			}
			conflicts = append(conflicts, err)
		}
		for _, note := range vp.Notes {
			env.Logger().Warn(note, "component", vp.Component, "target", p.Target)
		}
		p.Versions = append(p.Versions, vp)
	}
	return p, errors.Join(conflicts...)
}

// decide says what happens with a version: what the target has, which contents move, and
// whether anything is left to be done.
func (p *Plan) decide(ctx context.Context, vp *VersionPlan) error {
	c := &vp.node.Descriptor().Component
	base, err := p.target.Open(ctx, c.Name, c.Version)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		vp.State = Absent
	case err != nil && p.o.Overwrite:
		return fmt.Errorf("target: cannot be read, so it cannot be replaced safely: %w", err)
	case err != nil:
		return fmt.Errorf("target: %w", err)
	case p.o.KeepExisting:
		vp.State = Kept
	}
	vp.base = base
	if err = p.moves(vp); err != nil {
		return err
	}
	if vp.State == "" {
		err = p.compare(ctx, vp)
	}
	if vp.State != Kept && err == nil {
		vp.Notes = append(vp.Notes, missing(vp)...)
	}
	return err
}

// moves decides what happens with the contents of a version.
func (p *Plan) moves(vp *VersionPlan) error {
	c := &vp.node.Descriptor().Component
	for i := range c.Resources {
		r := &c.Resources[i]
		all := p.o.CopyResources || p.o.CopyLocal && r.Relation == ocm.RelationLocal
		if err := p.move(vp, "resource", &r.Element, r.Type, r.Access, all, i); err != nil {
			return err
		}
	}
	for i := range c.Sources {
		e := &c.Sources[i]
		if err := p.move(vp, "source", &e.Element, e.Type, e.Access, p.o.CopySources, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) move(vp *VersionPlan, kind string, e *ocm.Element, typ string, access ocm.Spec, all bool, index int) error {
	m := Move{Component: vp.Component, Kind: kind, Element: e.String(), Access: access.Type, Action: Keep, index: index}
	_, unknown := p.kit.Access.For(access.Type)
	reason, left := p.o.Select.leaves(p.kit, item{vp.Component, kind, e.Name, typ, access})
	switch {
	case vp.State == Kept, !graph.HasContent(access.Type), graph.IsOmitted(access.Type):
	case left:
		leaveOut(&m, access, reason)
	case oci.IsLocal(access.Type):
		m.Action = Copy
	case isRelative(access.Type) && (!all || unknown != nil):
		return fmt.Errorf("%s: %s %s: access %s is relative to the source repository and would lead nowhere in the target: %w", vp.Component, kind, e, access.Type, ocm.ErrInvalid)
	case p.omits(access.Type):
	case all && unknown != nil:
		return fmt.Errorf("%s: %s %s cannot be copied (leave it where it is by --omit-access-types %s): %w", vp.Component, kind, e, access.Type, unknown)
	case all:
		m.Action = Copy
	}
	vp.Moves = append(vp.Moves, m)
	return nil
}

// isRelative reports whether an access is meant relative to the repository of its descriptor
// without being content of it.
func isRelative(accessType string) bool {
	return accessType == "relativeOciReference" || accessType == "relativeOciReference/v1"
}

// compare decides about a version that the target has.
func (p *Plan) compare(ctx context.Context, vp *VersionPlan) error {
	src, dst := vp.node.Descriptor(), vp.base.Descriptor()
	difference, err := signedDifference(src, dst)
	if err == nil && difference == "" {
		difference, err = p.uncovered(ctx, vp)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", vp.Component, err)
	case difference != "" && !p.o.Overwrite:
		return fmt.Errorf("target %s: %s is there with other content (%s): %w (replace it by --overwrite)", p.Target, vp.Component, difference, ocm.ErrExists)
	case difference != "":
		vp.State = Overwrite
		return nil
	}
	vp.State = Identical
	for i, m := range vp.Moves {
		if p.has(dst, src, m) {
			vp.Moves[i].Action = Keep
		} else if m.Action == Copy {
			vp.State = Merge
		}
	}
	vp.merged, vp.Notes = merged(withoutPlatforms(src), dst, p.o.Overwrite)
	if !sameDocument(vp.merged, dst) {
		vp.State = Merge
	}
	return nil
}

// uncovered names the first content that no digest covers and that cannot be shown to be the
// same on both sides. A version may have become signed in the target, or be relied on there;
// its sources and undigested resources are not exchanged in silence.
func (p *Plan) uncovered(ctx context.Context, vp *VersionPlan) (string, error) {
	for _, m := range vp.Moves {
		from, want := element(vp.node.Descriptor(), m)
		to, _ := element(vp.base.Descriptor(), m)
		if !want.Empty() && !want.Excluded() {
			continue
		}
		switch {
		case sameOmitted(from, to):
		case oci.IsLocal(from.Type), graph.IsOmitted(from.Type):
			a, err := localDigest(ctx, vp.node.Version, *from)
			if err != nil {
				return "", fmt.Errorf("source: %s %s: %w", m.Kind, m.Element, err)
			}
			if b, err := localDigest(ctx, vp.base, *to); err != nil || a != b {
				//nolint:nilerr // what cannot be read in the target is not the same
				return fmt.Sprintf("%s %s has no digest, source has content %s, target has access %s %s", m.Kind, m.Element, a, to.Type, b), nil
			}
		case oci.IsLocal(to.Type), equal(from, to):
		default:
			return fmt.Sprintf("%s %s has no digest, source has access %s, target %s", m.Kind, m.Element, from.Raw, to.Raw), nil
		}
	}
	return "", nil
}

// localDigest is the digest of content beside a descriptor, or that would be there if it had not been
// left out. Only content that is stored in parts must be read for it.
func localDigest(ctx context.Context, v ocm.Version, access ocm.Spec) (string, error) {
	if graph.IsOmitted(access.Type) {
		o, err := graph.ParseOmitted(access)
		return o.Digest, err
	}
	c, err := v.Blob(ctx, access)
	if err != nil {
		return "", err
	}
	if c.Root.Digest == "" {
		c.Root, err = describe(ctx, c)
	}
	return c.Root.Digest.String(), err
}
