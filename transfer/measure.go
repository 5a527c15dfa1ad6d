// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/graph"
	"ocm/oci"
)

// prober is a target that can say what it has.
type prober interface {
	// Has reports whether one of its OCI repositories has a blob or manifest.
	Has(ctx context.Context, repository string, d ociv1.Descriptor) (bool, error)
	// Tagged is the digest that a name with a tag leads to; [ocm.ErrNotFound].
	Tagged(ctx context.Context, name string) (digest.Digest, error)
}

// Measure finds out how many bytes each content has that is to move, and how many of them the target
// has already. It asks both sides about every blob, and so costs requests: it is for showing
// a plan, not for running it. What could not be moved is an error already now.
func (p *Plan) Measure(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.env.Job.Parallel())
	for _, vp := range p.Versions {
		for i := range vp.Moves {
			m := &vp.Moves[i]
			if vp.Idle() || m.Action == Keep || m.Action == Attach {
				continue
			}
			g.Go(func() error {
				err := p.env.Job.Do(gctx, func() error { return p.measure(gctx, vp, m) })
				if err != nil {
					return fmt.Errorf("%s: %s %s: %w", vp.Component, m.Kind, m.Element, err)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

func (p *Plan) measure(ctx context.Context, vp *VersionPlan, m *Move) error {
	if m.Action == Omit {
		p.measureOmitted(ctx, vp, m)
		return nil
	}
	access, want := element(vp.node.Descriptor(), m)
	c, err := graph.Content(ctx, p.kit, p.env, vp.node.Version, *access)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if !want.Empty() && !want.Excluded() && c.Root.Digest != "" && addressed(c.Root, want) {
		if err := compare(c.Root, want); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	if m.transformer != nil { // how much that makes of it nobody knows
		return nil
	}
	if c.Root.Digest == "" {
		m.Bytes = c.Root.Size
		return nil
	}
	m.Digest = c.Root.Digest
	if m.uploader != nil { // what it has already only the uploader knows
		return m.weigh(ctx, c, nil, "")
	}
	repository := oci.RepoName(vp.node.Descriptor().Component.Name)
	if m.Action == Upload {
		repository, _ = cutTag(m.name)
		if err := p.checkTag(ctx, m); err != nil {
			return err
		}
	}
	if c, _, err = p.narrow(ctx, vp, m, c); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	at, _ := p.target.(prober)
	return m.weigh(ctx, c, at, repository)
}

// measureOmitted finds out how much is left out. Perhaps the source has not got it either.
func (p *Plan) measureOmitted(ctx context.Context, vp *VersionPlan, m *Move) {
	access, _ := element(vp.node.Descriptor(), m)
	c, err := vp.node.Blob(ctx, *access)
	if err != nil || c.Root.Digest == "" || m.weigh(ctx, c, nil, "") != nil {
		m.Bytes = -1
	}
}

// checkTag finds a tag that is taken, as publishing will.
func (p *Plan) checkTag(ctx context.Context, m *Move) error {
	if err := p.uploads.claim(m, m.Digest); err != nil {
		return err
	}
	at, ok := p.target.(prober)
	if _, tag := cutTag(m.name); tag == "" || !ok {
		return nil
	}
	found, err := at.Tagged(ctx, m.name)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		return nil
	case err != nil:
		return err
	case found != m.Digest && !p.o.Overwrite:
		return fmt.Errorf("%s leads to %s, expected %s: %w (--overwrite moves the tag)", m.To, found, m.Digest, ErrTag)
	case found != m.Digest:
		m.Replaces = found
	}
	return nil
}

// weigh adds up the bytes of content and of everything below it, and of what of it is at the target, if there
// is one to be asked.
func (m *Move) weigh(ctx context.Context, c ocm.Content, at prober, repository string) error {
	has := func(d ociv1.Descriptor) (bool, error) {
		if at == nil {
			return false, nil
		}
		there, err := at.Has(ctx, repository, d)
		if err != nil {
			return false, fmt.Errorf("target: %w", err)
		}
		return there, nil
	}
	root, err := has(c.Root)
	if err != nil {
		return err
	}
	whole := root && !blob.IsIndex(c.Root.MediaType) // of an index there may be a part, of a manifest never
	m.Bytes, m.Present = 0, 0
	unknown := false
	err = blob.WalkContent(ctx, c, func(d ociv1.Descriptor, _ []byte) error {
		there := whole
		switch {
		case d.Digest == c.Root.Digest:
			there = root
		case !whole:
			var err error
			if there, err = has(d); err != nil {
				return err
			}
		}
		if d.Size < 0 {
			unknown = true
			return nil
		}
		m.Bytes += d.Size
		if there {
			m.Present += d.Size
		}
		return nil
	})
	if unknown {
		m.Bytes, m.Present = -1, 0
	}
	return err
}

// Totals add up what a plan will do.
type Totals struct {
	Versions int   `json:"versions"` // to be written or completed
	Contents int   `json:"contents"` // to be stored for them
	Bytes    int64 `json:"bytes"`    // known not to be there yet; content that several versions share counts for each
	Unknown  int   `json:"unknown"`  // contents whose size is not known
	Attached int   `json:"attached"` // manifests to be attached to what the target has
}

// Totals of the plan.
func (p *Plan) Totals() Totals {
	var t Totals
	for _, vp := range p.Versions {
		if vp.Idle() {
			continue
		}
		t.Versions++
		t.Attached += len(vp.Attached)
		t.Bytes += vp.attachedBytes
		for i := range vp.Moves {
			m := &vp.Moves[i]
			switch {
			case m.Action == Attach:
				t.Attached += len(m.Attached)
				t.Bytes += m.Bytes
				continue
			case !m.Moves():
				continue
			case m.Bytes < 0:
				t.Unknown++
			default:
				t.Bytes += m.Bytes - m.Present
			}
			t.Contents++
		}
	}
	return t
}
