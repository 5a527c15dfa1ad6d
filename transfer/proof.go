// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"

	"ocm"
	"ocm/graph"
)

// Proof demands that signatures and content are good: at the source before anything is written, at
// the target after the last version became visible there. A root without signature is an error
// ([ocm.ErrSignature]), unless another root references it: then it is verified with that one.
type Proof struct {
	graph.VerifyOptions // Shallow and NoContent are ignored: content is always checked
	// Find finds what is referenced and does not move; nil: nothing does.
	Find graph.Find
}

// proveSource verifies the very versions that will be moved.
func (p *Plan) proveSource(ctx context.Context) error {
	if p.o.Proof == nil {
		return nil
	}
	nodes := p.moving()
	find := p.orElsewhere(nodes, func(_ context.Context, name, version string) (ocm.Version, error) {
		return nodes[name+":"+version], nil
	})
	for _, n := range p.tops() {
		if err := p.prove(ctx, find, n.Version); err != nil {
			return fmt.Errorf("source: %w (nothing was written)", err)
		}
	}
	return nil
}

// proveTarget verifies what others will find in the target.
func (p *Plan) proveTarget(ctx context.Context) error {
	if p.o.Proof == nil {
		return nil
	}
	find := p.orElsewhere(p.moving(), p.target.Open)
	for _, n := range p.tops() {
		c := &n.Descriptor().Component
		v, err := p.target.Open(ctx, c.Name, c.Version)
		if err == nil {
			err = p.prove(ctx, find, v)
		}
		if err != nil {
			return fmt.Errorf("target %s, after the transfer: %w", p.Target, err)
		}
	}
	return nil
}

// moving are the versions of the plan.
func (p *Plan) moving() map[string]ocm.Version {
	nodes := make(map[string]ocm.Version, len(p.graph.Nodes))
	for _, n := range p.graph.Nodes {
		nodes[n.Key()] = n.Version
	}
	return nodes
}

// orElsewhere looks for versions that move by find, and for others where the proof says.
func (p *Plan) orElsewhere(moving map[string]ocm.Version, find graph.Find) graph.Find {
	return func(ctx context.Context, name, version string) (ocm.Version, error) {
		switch _, moves := moving[name+":"+version]; {
		case moves:
			return find(ctx, name, version)
		case p.o.Proof.Find != nil:
			return p.o.Proof.Find(ctx, name, version)
		}
		return nil, fmt.Errorf("%s:%s is referenced and not transferred: %w", name, version, ocm.ErrNotFound)
	}
}

// tops are the roots that no other version of the transfer references.
func (p *Plan) tops() []*graph.Node {
	below := map[*graph.Node]bool{}
	for _, n := range p.graph.Nodes {
		for _, c := range n.Children {
			below[c] = true
		}
	}
	var out []*graph.Node
	for _, r := range p.graph.Roots {
		if !below[r] {
			out = append(out, r)
			below[r] = true // once, if it was named twice
		}
	}
	return out
}

func (p *Plan) prove(ctx context.Context, find graph.Find, v ocm.Version) error {
	o := p.o.Proof.VerifyOptions
	o.Shallow, o.NoContent = false, false
	report, err := graph.Verify(ctx, p.kit, p.env, find, v, o)
	if err != nil {
		return err
	}
	c := &v.Descriptor().Component
	if err := report.Err(); err != nil {
		return fmt.Errorf("%s:%s: %w", c.Name, c.Version, err)
	}
	return nil
}
