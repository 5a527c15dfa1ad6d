// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/graph"
	"ocm/oci"
)

// Bounds of what is under way at once. It is far more than the job does at once: who waits for a
// slot costs only memory, and a repository that writes in groups wants many to wait.
const (
	maxVersions = 256  // versions
	maxContents = 1024 // contents of all of them
)

// Run does what was planned. Versions move in parallel, each after the versions that it
// references; the first error stops the run. What was finished stays; the same plan made anew
// continues from there. The summary tells what was done, also beside an error.
func (p *Plan) Run(ctx context.Context) (*Summary, error) {
	t := p.begin()
	err := p.run(ctx, t)
	return t.summary(), err
}

func (p *Plan) run(ctx context.Context, t *tally) error {
	if err := p.proveSource(ctx); err != nil {
		return err
	}
	if err := p.feed(ctx); err != nil {
		return err
	}
	if err := p.versions(ctx, t); err != nil {
		return err
	}
	if err := p.finish(ctx); err != nil {
		return err
	}
	if err := p.proveTarget(ctx); err != nil {
		return err
	}
	if p.o.Proof != nil {
		t.verified = len(p.tops())
	}
	return nil
}

// versions moves all versions, children before parents.
func (p *Plan) versions(ctx context.Context, t *tally) error {
	done := make(map[*graph.Node]chan struct{}, len(p.Versions))
	for _, vp := range p.Versions {
		done[vp.node] = make(chan struct{})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxVersions)
	// The order is children first: whatever a version waits for was started before it.
	for _, vp := range p.Versions {
		if vp.Idle() {
			close(done[vp.node])
			continue
		}
		g.Go(func() error {
			for _, child := range vp.node.Children {
				select {
				case <-done[child]:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if err := p.version(ctx, vp, t); err != nil {
				return fmt.Errorf("%s: %w", vp.Component, err)
			}
			close(done[vp.node])
			return nil
		})
	}
	return g.Wait()
}

// maxRaces bounds how often a version is looked at again because somebody else wrote it meanwhile.
const maxRaces = 3

// version writes a version. If somebody else was faster, what is there now decides: the same is as good.
func (p *Plan) version(ctx context.Context, vp *VersionPlan, t *tally) error {
	err := p.write(ctx, vp, t)
	for range maxRaces {
		if errors.Is(err, ErrTag) || !errors.Is(err, ocm.ErrExists) && !errors.Is(err, ocm.ErrConflict) {
			return err
		}
		now := &VersionPlan{Component: vp.Component, Moves: []Move{}, node: vp.node}
		if derr := p.decide(ctx, now); derr != nil {
			return derr
		}
		if now.Idle() {
			return nil
		}
		if now.State == Absent || p.replayed { // it was something else, or this was not planned
			return err
		}
		vp, err = now, p.write(ctx, now, t)
	}
	return err
}

func (p *Plan) write(ctx context.Context, vp *VersionPlan, t *tally) error {
	if vp.State == Complete {
		return p.attach(ctx, vp, t)
	}
	c := &vp.node.Descriptor().Component
	draft, err := p.target.Draft(ctx, c.Name, c.Version, vp.base)
	if err != nil {
		return err
	}
	defer draft.Close()
	stored, err := p.contents(ctx, vp, draft, t)
	if err != nil {
		return err
	}
	if err := p.commit(ctx, vp, draft, stored); err != nil {
		return err
	}
	atomic.AddInt64(&t.written, 1)
	atomic.AddInt64(&t.contents, int64(vp.count()))
	atomic.AddInt64(&t.leftOut, int64(vp.leftOut(stored)))
	return nil
}

// leftOut is the number of contents that the copy lacks, as a whole or some platforms of them.
func (vp *VersionPlan) leftOut(stored []landed) (n int) {
	for i := range vp.Moves {
		if vp.Moves[i].Action == Omit || len(graph.Platforms(stored[i].labels)) > 0 {
			n++
		}
	}
	return n
}

// count is the number of contents that move.
func (vp *VersionPlan) count() (n int) {
	for i := range vp.Moves {
		if vp.Moves[i].Moves() {
			n++
		}
	}
	return n
}

// landed is where the content of a move is now, and what is to be said of it.
type landed struct {
	ocm.Stored             // without access: the one that is there stays
	labels     []ocm.Label // of the element
}

// contents stores what moves, and says of the rest what is left out.
func (p *Plan) contents(ctx context.Context, vp *VersionPlan, draft ocm.Draft, t *tally) ([]landed, error) {
	stored := make([]landed, len(vp.Moves))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(p.env.Job.Parallel(), maxContents/min(maxVersions, len(p.Versions)))))
	for i := range vp.Moves {
		m := &vp.Moves[i]
		if m.Action == Keep {
			continue
		}
		g.Go(func() (err error) {
			switch m.Action {
			case Omit:
				stored[i], err = omit(gctx, vp, m)
			case Attach:
				return p.attachMove(gctx, vp, m, t)
			default:
				stored[i], err = p.content(gctx, vp, m, draft)
			}
			if err != nil {
				return fmt.Errorf("%s %s: %w", m.Kind, m.Element, err)
			}
			return nil
		})
	}
	return stored, g.Wait()
}

// commit makes the version visible: as the very manifest of the source, if nothing changes and the target
// can do that, else with a descriptor that leads to what was stored.
func (p *Plan) commit(ctx context.Context, vp *VersionPlan, draft ocm.Draft, stored []landed) error {
	out, err := vp.document(stored)
	if err != nil {
		return err
	}
	if a, ok := draft.(ocm.Adopter); ok && vp.State == Absent && out == vp.node.Descriptor() && vp.whole() {
		_, err := a.Adopt(ctx, vp.node.Version, p.o.NoReferrers)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if _, err = draft.Commit(ctx, out); err == nil {
		p.tellLeftBehind(ctx, vp)
	}
	return err
}

// tellLeftBehind names what is attached to the manifest of the source: the target has another one, to which
// it cannot be attached. Not to be able to tell is no error.
func (p *Plan) tellLeftBehind(ctx context.Context, vp *VersionPlan) {
	v, ok := vp.node.Version.(oci.Attacher)
	if !ok || p.o.NoReferrers {
		return
	}
	log := p.env.Logger().With("component", vp.Component, "manifest", vp.node.Manifest().Digest)
	switch list, err := v.Attached(ctx); {
	case err != nil:
		log.Info("what is attached to the version at the source is not known, and was left behind", "error", err)
	case len(list) > 0:
		log.Warn("left behind, because the copy has another manifest than the version to which it is attached", "attached", oci.NamesOf(list))
	}
}

// whole reports whether all that is stored beside the descriptor moves as a whole, and nothing else does.
func (vp *VersionPlan) whole() bool {
	for i := range vp.Moves {
		m := &vp.Moves[i]
		if (m.Action == Copy) != oci.IsLocal(m.Access) || len(graph.Platforms(labelsOf(vp.node.Descriptor(), m).Labels)) > 0 {
			return false
		}
	}
	return true
}

// was is the descriptor that the one of the target is made of: the source's, or what it was merged to.
func (vp *VersionPlan) was() *ocm.Descriptor {
	if vp.State == Merge {
		return vp.merged
	}
	return vp.node.Descriptor()
}

// document is the descriptor with the accesses of what was stored: the source's very own where
// nothing changes. The promise: what signatures cover is the same on both sides, before
// anybody sees it.
func (vp *VersionPlan) document(stored []landed) (*ocm.Descriptor, error) {
	src, was := vp.node.Descriptor(), vp.was()
	out := was
	for i := range vp.Moves {
		m := &vp.Moves[i]
		if m.Action == Keep || m.Action == Attach {
			continue
		}
		now, _ := element(was, m)
		access, labels := vp.access(m, *now, &stored[i]), labelsOf(was, m).Labels
		if equal(access, *now) && equal(stored[i].labels, labels) {
			continue
		}
		if out == was {
			out = was.Clone()
		}
		to, _ := element(out, m)
		*to, labelsOf(out, m).Labels = access, stored[i].labels
	}
	if out == src {
		return out, nil
	}
	if difference, err := signedDifference(src, out); err != nil || difference != "" {
		if err == nil {
			err = ocm.ErrDigest
		}
		return nil, fmt.Errorf("the copy would differ in what is signed (%s): %w", difference, err)
	}
	return out, nil
}

// access is what leads to content in its new place: what led to it before if that does as well, here or,
// if it was left out here until now, at the source.
func (vp *VersionPlan) access(m *Move, now ocm.Spec, l *landed) ocm.Spec {
	if l.Access.Type == "" {
		return now
	}
	if graph.IsOmitted(now.Type) {
		from, _ := element(vp.node.Descriptor(), m)
		now = *from
	}
	if m.Action == Copy && sameBlob(now, l.Stored) {
		return now
	}
	return l.Access
}
