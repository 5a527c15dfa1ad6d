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
	return p.proveTarget(ctx)
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

func (p *Plan) version(ctx context.Context, vp *VersionPlan, t *tally) error {
	c := &vp.node.Descriptor().Component
	draft, err := p.target.Draft(ctx, c.Name, c.Version, vp.base)
	if err != nil {
		return err
	}
	defer draft.Close()
	stored, err := p.contents(ctx, vp, draft)
	if err != nil {
		return err
	}
	if err := vp.commit(ctx, draft, stored); err != nil {
		return err
	}
	atomic.AddInt64(&t.written, 1)
	atomic.AddInt64(&t.contents, int64(vp.count()))
	return nil
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

// contents stores what moves.
func (p *Plan) contents(ctx context.Context, vp *VersionPlan, draft ocm.Draft) ([]ocm.Stored, error) {
	stored := make([]ocm.Stored, len(vp.Moves))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(p.env.Job.Parallel(), maxContents/min(maxVersions, len(p.Versions)))))
	for i := range vp.Moves {
		m := &vp.Moves[i]
		if !m.Moves() {
			continue
		}
		g.Go(func() (err error) {
			if stored[i], err = p.content(gctx, vp, m, draft); err != nil {
				return fmt.Errorf("%s %s: %w", m.Kind, m.Element, err)
			}
			return nil
		})
	}
	return stored, g.Wait()
}

// commit makes the version visible: as the very manifest of the source, if nothing changes and the target
// can do that, else with a descriptor that leads to what was stored.
func (vp *VersionPlan) commit(ctx context.Context, draft ocm.Draft, stored []ocm.Stored) error {
	out, err := vp.document(stored)
	if err != nil {
		return err
	}
	if a, ok := draft.(ocm.Adopter); ok && vp.State == Absent && out == vp.node.Descriptor() && vp.whole() {
		_, err := a.Adopt(ctx, vp.node.Version)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	_, err = draft.Commit(ctx, out)
	return err
}

// whole reports whether all that is stored beside the descriptor moves, and nothing else does.
func (vp *VersionPlan) whole() bool {
	for i := range vp.Moves {
		if m := &vp.Moves[i]; (m.Action == Copy) != oci.IsLocal(m.Access) {
			return false
		}
	}
	return true
}

// document is the descriptor with the accesses of what was stored: the source's very own where
// nothing changes. The promise: what signatures cover is the same on both sides, before
// anybody sees it.
func (vp *VersionPlan) document(stored []ocm.Stored) (*ocm.Descriptor, error) {
	src := vp.node.Descriptor()
	was, out := src, src
	if vp.State == Merge {
		was, out = vp.merged, vp.merged
	}
	for i := range vp.Moves {
		m := &vp.Moves[i]
		if access, _ := element(was, m); !m.Moves() || m.Action == Copy && sameBlob(*access, stored[i]) {
			continue
		}
		if out == was {
			out = was.Clone()
		}
		access, _ := element(out, m)
		*access = stored[i].Access
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
