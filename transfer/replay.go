// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ocm"
	"ocm/graph"
)

// Follow is what a walk of the source needs to come to the versions of the plan, whatever the target
// has by now. A version that is not in the plan is followed, and refused later.
func (d *Document) Follow() func(ctx context.Context, v ocm.Version) (bool, error) {
	if !d.Source.StopOnExisting {
		return nil
	}
	planned := d.byKey()
	return func(_ context.Context, v ocm.Version) (bool, error) {
		c := &v.Descriptor().Component
		p := planned[c.Name+":"+c.Version]
		return p == nil || p.State == Absent, nil
	}
}

func (d *Document) byKey() map[string]*DocumentVersion {
	m := make(map[string]*DocumentVersion, len(d.Versions))
	for i := range d.Versions {
		m[d.Versions[i].key()] = &d.Versions[i]
	}
	return m
}

// Replay makes a plan again that was written down. [ocm.ErrConflict] names the first thing that is not
// as it was: another state of a version at the source, one that is missing or additional, or a
// target in which the plan would now do something else. A target that has some of it
// already, because the plan was run before, is fine.
func Replay(ctx context.Context, kit *ocm.Kit, env *ocm.Env, g *graph.Graph, target ocm.Repository, d *Document, proof *Proof) (*Plan, error) {
	if err := d.sameSource(g); err != nil {
		return nil, err
	}
	o := d.Options
	o.Proof = proof
	p, err := NewPlan(ctx, kit, env, g, target, o)
	if errors.Is(err, ocm.ErrExists) {
		return nil, fmt.Errorf("the target is not what it was when it was planned: %w: %w", ocm.ErrConflict, err)
	}
	if err != nil {
		return nil, err
	}
	p.replayed = true
	planned := d.byKey()
	for _, vp := range p.Versions {
		err := vp.accept(planned[vp.Component])
		if err == nil {
			err = p.acceptTags(ctx, vp, planned[vp.Component])
		}
		if err != nil {
			return nil, fmt.Errorf("%s is not as it was planned: %w: %w", vp.Component, err, ocm.ErrConflict)
		}
	}
	return p, nil
}

// sameSource compares the versions of the source with those of the plan.
func (d *Document) sameSource(g *graph.Graph) error {
	planned := d.byKey()
	for _, n := range g.Nodes {
		v := planned[n.Key()]
		if v == nil {
			return fmt.Errorf("source: %s is not in the plan: %w", n.Key(), ocm.ErrConflict)
		}
		delete(planned, n.Key())
		if got := n.Manifest().Digest; got != v.Manifest {
			return fmt.Errorf("source: %s: planned was the manifest %s, found %s: %w", n.Key(), v.Manifest, got, ocm.ErrConflict)
		}
		if got := descriptorDigest(n.Version); got != v.Descriptor {
			return fmt.Errorf("source: %s: planned was the descriptor %s, found %s: %w", n.Key(), v.Descriptor, got, ocm.ErrConflict)
		}
	}
	for i := range d.Versions {
		if key := d.Versions[i].key(); planned[key] != nil {
			return fmt.Errorf("source: %s is in the plan and was not found: %w", key, ocm.ErrConflict)
		}
	}
	return nil
}

// accept compares what is to be done with what was planned, and takes over the digests of contents
// that the plan has seen.
func (vp *VersionPlan) accept(v *DocumentVersion) error {
	if err := vp.acceptState(v); err != nil {
		return err
	}
	if len(vp.Moves) != len(v.Moves) {
		return fmt.Errorf("planned were %d elements, found %d", len(v.Moves), len(vp.Moves))
	}
	for i := range vp.Moves {
		m, planned := &vp.Moves[i], &v.Moves[i]
		name := m.Kind + " " + m.Element
		switch {
		case m.Kind != planned.Kind || m.Element != planned.Element || m.Access != planned.Access:
			return fmt.Errorf("planned was %.40s %.100q with access %.100q, found %s with %s", planned.Kind, planned.Element, planned.Access, name, m.Access)
		case !vp.acceptAction(v, m, planned):
			return fmt.Errorf("%s: planned was to %s, it would be to %s", name, planned.Action, m.Action)
		case m.Moves() && (m.Transformer != planned.Transformer || m.Uploader != planned.Uploader):
			return fmt.Errorf("%s: planned were transformer %.100q and uploader %.100q, found %q and %q", name, planned.Transformer, planned.Uploader, m.Transformer, m.Uploader)
		case (m.Moves() || m.Action == Attach && planned.Action == Attach) && (m.To != planned.To || m.From != planned.From):
			return fmt.Errorf("%s: planned was from %.200q to %.200q, it would be from %q to %q", name, planned.From, planned.To, m.From, m.To)
		case m.Digest != "" && planned.Digest != "" && m.Digest != planned.Digest:
			return fmt.Errorf("%s: planned was %s, found %s", name, planned.Digest, m.Digest)
		case m.Digest == "":
			m.Digest = planned.Digest
		}
	}
	return nil
}

// acceptAction allows, beside what was planned, what is left of it, and to attach what goes with content that was to move.
func (vp *VersionPlan) acceptAction(v *DocumentVersion, m, planned *Move) bool {
	switch {
	case m.Action == Attach:
		return v.State != Complete || planned.Action == Attach && within(m.Attached, planned.Attached)
	case m.Action == Keep && planned.Action == Attach:
		return true
	}
	return m.Action == planned.Action || vp.State != v.State && !m.Moves()
}

// within reports whether all of list is in planned.
func within(list, planned []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(planned, s) })
}

// acceptTags allows to move only tags that lead to where they did when it was planned.
func (p *Plan) acceptTags(ctx context.Context, vp *VersionPlan, v *DocumentVersion) error {
	at, ok := p.target.(prober)
	if !ok || !p.o.Overwrite {
		return nil // no tag is moved
	}
	for i := range vp.Moves {
		m, planned := &vp.Moves[i], &v.Moves[i]
		if _, tag := cutTag(m.name); vp.Idle() || m.Action != Upload || tag == "" {
			continue
		}
		found, err := at.Tagged(ctx, m.name)
		switch {
		case errors.Is(err, ocm.ErrNotFound), err == nil && (found == m.Digest || found == planned.Replaces):
		case err != nil:
			return err
		default:
			return fmt.Errorf("%s %s: the tag %s leads to %s, planned was to replace %q", m.Kind, m.Element, m.To, found, planned.Replaces)
		}
	}
	return nil
}

// acceptState allows, beside the state that was planned for, the one after the plan was run.
func (vp *VersionPlan) acceptState(v *DocumentVersion) error {
	switch {
	case vp.State == v.State && (vp.State == Merge || vp.State == Overwrite) && vp.base.Manifest().Digest != v.Replaces:
		return fmt.Errorf("in the target the manifest %s was to be replaced, found %s", v.Replaces, vp.base.Manifest().Digest)
	case vp.State == Complete && (v.State == Absent || v.State == Merge || v.State == Overwrite): // what is attached belongs to that
		return nil
	case vp.State == Complete && v.State == Complete && !within(vp.Attached, v.Attached):
		return fmt.Errorf("planned was to attach %.500q to it, it would be %.500q", v.Attached, vp.Attached)
	case vp.State == v.State, vp.State == Identical && v.State != Kept:
		return nil
	case vp.State == Kept && v.State == Absent && vp.base == nil: // it is what this plan writes
		return nil
	case vp.State == Kept && v.State == Absent:
		difference, err := signedDifference(vp.node.Descriptor(), vp.base.Descriptor())
		if err == nil && difference == "" {
			return nil
		}
		return fmt.Errorf("the target has it with other content by now (%s)", difference)
	}
	return fmt.Errorf("for the target was planned %q, it would be %q", v.State, vp.State)
}
