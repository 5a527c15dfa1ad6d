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
	"slices"

	"ocm"
	"ocm/graph"
	"ocm/oci"
)

// Options say what to move. The zero value moves descriptors and the blobs beside them.
type Options struct {
	CopyResources bool     // bring resources that live elsewhere into the target
	CopyLocal     bool     // the same, but only resources of relation "local"
	CopySources   bool     // sources that live elsewhere, too
	OmitAccess    []string // access types that stay as they are even so
	Overwrite     bool     // replace a target version whose signed content differs
	KeepExisting  bool     // never touch a version that is in the target already
}

// Actions of a [Move].
const (
	Copy = "copy" // the content becomes part of the target
	Keep = "keep" // the access stays as it is
)

// Move is what happens with one resource or source.
type Move struct {
	Component string `json:"component"` // name:version
	Kind      string `json:"kind"`      // "resource" or "source"
	Element   string `json:"element"`
	Access    string `json:"access"` // its type at the source
	Action    string `json:"action"`

	index int
}

// VersionPlan is what happens with one component version.
type VersionPlan struct {
	Component string `json:"component"` // name:version
	// State of the target: "absent", "identical", "merge" (only unsigned parts, signatures or places
	// of content differ), "overwrite" or "keep".
	State string `json:"state"`
	Moves []Move `json:"moves"`

	node *graph.Node
	base ocm.Version
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
// nothing. [ocm.ErrExists] names the versions that are there with other signed content.
func NewPlan(ctx context.Context, kit *ocm.Kit, env *ocm.Env, g *graph.Graph, target ocm.Repository, o Options) (*Plan, error) {
	p := &Plan{Target: target.String(), kit: kit, env: env, target: target, o: o}
	var conflicts []error
	for _, n := range g.Nodes {
		vp := &VersionPlan{Component: n.Key(), node: n}
		if err := p.moves(vp); err != nil {
			return nil, err
		}
		if err := p.compare(ctx, vp); err != nil {
			if !errors.Is(err, ocm.ErrExists) {
				return nil, err
			}
			conflicts = append(conflicts, err)
		}
		p.Versions = append(p.Versions, vp)
	}
	return p, errors.Join(conflicts...)
}

// moves decides what happens with the contents of a version.
func (p *Plan) moves(vp *VersionPlan) error {
	c := &vp.node.Descriptor().Component
	for i := range c.Resources {
		r := &c.Resources[i]
		all := p.o.CopyResources || p.o.CopyLocal && r.Relation == ocm.RelationLocal
		if err := p.move(vp, "resource", &r.Element, r.Access, all, i); err != nil {
			return err
		}
	}
	for i := range c.Sources {
		if err := p.move(vp, "source", &c.Sources[i].Element, c.Sources[i].Access, p.o.CopySources, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) move(vp *VersionPlan, kind string, e *ocm.Element, access ocm.Spec, all bool, index int) error {
	m := Move{Component: vp.Component, Kind: kind, Element: e.String(), Access: access.Type, Action: Keep, index: index}
	switch {
	case oci.IsLocal(access.Type):
		m.Action = Copy
	case !graph.HasContent(access.Type), slices.Contains(p.o.OmitAccess, access.Type):
	case all:
		if _, err := p.kit.Access.For(access.Type); err != nil {
			return fmt.Errorf("%s: %s %s cannot be copied (leave it where it is by --omit-access-types %s): %w", vp.Component, kind, e, access.Type, err)
		}
		m.Action = Copy
	case access.Type == "relativeOciReference" || access.Type == "relativeOciReference/v1":
		return fmt.Errorf("%s: %s %s: its access is relative to the source repository and would lead nowhere in the target: use --copy-resources: %w", vp.Component, kind, e, ocm.ErrInvalid)
	}
	vp.Moves = append(vp.Moves, m)
	return nil
}

// compare finds out what the target has already.
func (p *Plan) compare(ctx context.Context, vp *VersionPlan) error {
	src := vp.node.Descriptor()
	base, err := p.target.Open(ctx, src.Component.Name, src.Component.Version)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		vp.State = Absent
		return nil
	case err != nil && !p.o.Overwrite:
		return fmt.Errorf("target: %w", err)
	case err != nil:
		return fmt.Errorf("target: cannot be read, so it cannot be replaced safely: %w", err)
	}
	vp.base = base
	if p.o.KeepExisting {
		vp.State = Kept
		return nil
	}
	difference, err := signedDifference(src, base.Descriptor())
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", vp.Component, err)
	case difference != "" && !p.o.Overwrite:
		return fmt.Errorf("target %s: %s is there with other content (%s): %w (replace it by --overwrite)", p.Target, vp.Component, difference, ocm.ErrExists)
	case difference != "":
		vp.State = Overwrite
		return nil
	}
	vp.State = Merge
	if nothingToDo(vp, base.Descriptor()) {
		vp.State = Identical
	}
	return nil
}
