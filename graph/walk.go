// SPDX-License-Identifier: Apache-2.0

// Package graph loads, walks, checks, signs and verifies closures: a component version and
// everything that it references. It is what sign, verify, transfer and deploy have in common.
//
// [Walk] loads the versions and puts them into an order in which children come before their
// parents. A reference that carries a digest is compared with the version that was found, on
// the way, so that nothing below a verified version can be exchanged.
package graph

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/normalise"
)

// Limits of a closure.
const (
	MaxVersions = 100_000
	MaxDepth    = 100
)

// Find opens a component version wherever it is: in the repository of its parent, or where the
// configuration says. [ocm.ErrNotFound] if it is nowhere.
type Find func(ctx context.Context, name, version string) (ocm.Version, error)

// Node is a component version in a graph.
type Node struct {
	ocm.Version
	Children []*Node // one per reference that is followed, in the descriptor's order

	refs    []int                 // which reference leads to each child
	matched map[string]ocm.Digest // digests that the descriptor was found to have
}

// matches compares the descriptor with a digest, each digest once: a hundred thousand references
// to one large version must not cost a hundred thousand normalisations of it. It is not for
// concurrent use.
func (n *Node) matches(d ocm.Digest) error {
	key := d.HashAlgorithm + " " + d.NormalisationAlgorithm + " " + strings.ToLower(d.Value)
	if _, known := n.matched[key]; known {
		return nil
	}
	if err := n.compare(d); err != nil {
		return err
	}
	if n.matched == nil {
		n.matched = map[string]ocm.Digest{}
	}
	n.matched[key] = d
	return nil
}

// compare normalises the descriptor; one that has its digests elsewhere in both its forms.
func (n *Node) compare(d ocm.Digest) error {
	if c, ok := n.Version.(*completed); ok {
		return c.prove(d)
	}
	return normalise.Matches(n.Descriptor(), d)
}

// Key is "name:version".
func (n *Node) Key() string {
	c := &n.Descriptor().Component
	return c.Name + ":" + c.Version
}

// Graph is a closure of component versions.
type Graph struct {
	Roots []*Node
	Nodes []*Node // each version once, children before parents
}

// Options says how far to walk.
type Options struct {
	Recursive bool // follow references
	Trust     bool // do not compare reference digests: for looking at a graph, never for using it
	// Follow says whether the references of a version are followed; nil: always.
	Follow func(ctx context.Context, v ocm.Version) (bool, error)
	// Skip says which references are not followed; nil: none.
	Skip func(ref *ocm.Reference) bool
}

// Walk loads the closure of roots. Versions are loaded in parallel as far as job allows.
// A cycle of references is [ocm.ErrInvalid], a reference whose digest does not match
// [ocm.ErrDigest], a version that cannot be found [ocm.ErrNotFound]; each names the path
// from the root.
func Walk(ctx context.Context, job *ocm.Job, find Find, roots []ocm.Version, o Options) (*Graph, error) {
	w := &walker{job: job, find: find, o: o, nodes: map[string]*Node{}}
	g := &Graph{}
	for _, r := range roots {
		n := &Node{Version: r}
		if known, ok := w.nodes[n.Key()]; ok {
			n = known
		}
		w.nodes[n.Key()] = n
		g.Roots = append(g.Roots, n)
	}
	if err := w.load(ctx, g.Roots); err != nil {
		return nil, err
	}
	var err error
	g.Nodes, err = order(g.Roots)
	return g, err
}

type walker struct {
	job   *ocm.Job
	find  Find
	o     Options
	nodes map[string]*Node
}

// load brings in the references of a generation of nodes, then of the next one, until there
// is no new one: breadth first, so that depth is bounded and everything of one generation is
// loaded at once.
func (w *walker) load(ctx context.Context, generation []*Node) error {
	for depth := 0; w.o.Recursive && len(generation) > 0; depth++ {
		if depth > MaxDepth {
			return fmt.Errorf("references nested more than %d deep: %w", MaxDepth, ocm.ErrLimit)
		}
		var next []*Node
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(w.job.Parallel())
		for _, parent := range generation {
			if follow, err := w.follow(ctx, parent); err != nil || !follow {
				_ = g.Wait() // the first error is the one to tell
				if err != nil {
					return err
				}
				continue
			}
			refs := parent.Descriptor().Component.References
			for i := range refs {
				if w.o.Skip != nil && w.o.Skip(&refs[i]) {
					continue
				}
				key := refs[i].ComponentName + ":" + refs[i].Version
				child, known := w.nodes[key]
				if !known {
					child = &Node{}
					w.nodes[key] = child
					next = append(next, child)
					if len(w.nodes) > MaxVersions {
						_ = g.Wait() // the limit is the error to tell
						return fmt.Errorf("more than %d component versions: %w", MaxVersions, ocm.ErrLimit)
					}
					g.Go(func() error { return w.open(gctx, parent, &refs[i], child) })
				}
				parent.Children, parent.refs = append(parent.Children, child), append(parent.refs, i)
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if err := w.check(generation); err != nil {
			return err
		}
		generation = next
	}
	return nil
}

func (w *walker) follow(ctx context.Context, n *Node) (bool, error) {
	if w.o.Follow == nil {
		return true, nil
	}
	return w.o.Follow(ctx, n.Version)
}

func (w *walker) open(ctx context.Context, parent *Node, ref *ocm.Reference, n *Node) error {
	return w.job.Do(ctx, func() error {
		v, err := w.find(ctx, ref.ComponentName, ref.Version)
		if err != nil {
			return &referenceError{parent, &ref.Element, err, ""}
		}
		c := &v.Descriptor().Component
		if c.Name != ref.ComponentName || c.Version != ref.Version {
			err := fmt.Errorf("expected %s:%s, found %s:%s: %w", ref.ComponentName, ref.Version, c.Name, c.Version, ocm.ErrInvalid)
			return &referenceError{parent, &ref.Element, err, ""}
		}
		n.Version = v
		return nil
	})
}

// check compares the reference digests of a generation whose children are loaded.
func (w *walker) check(generation []*Node) error {
	if w.o.Trust {
		return nil
	}
	for _, n := range generation {
		for i, child := range n.Children {
			if err := checkReference(n, n.refs[i], child); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkReference(parent *Node, i int, child *Node) error {
	ref := &parent.Descriptor().Component.References[i]
	if ref.Digest.Empty() {
		return nil
	}
	if err := child.matches(*ref.Digest); err != nil {
		return &referenceError{parent, &ref.Element, err, " to " + child.Key()}
	}
	return nil
}

// referenceError is what is wrong with what a reference leads to.
type referenceError struct {
	parent  *Node
	element *ocm.Element
	err     error
	to      string // what it leads to, for the text
}

func (e *referenceError) Error() string {
	return fmt.Sprintf("%s: reference %s%s: %v", e.parent.Key(), e.element, e.to, e.err)
}

func (e *referenceError) Unwrap() error { return e.err }

// order sorts topologically and refuses cycles.
func order(roots []*Node) ([]*Node, error) {
	var out []*Node
	state := map[*Node]int{} // 1: on the path, 2: done
	var path []string
	var visit func(n *Node) error
	visit = func(n *Node) error {
		switch state[n] {
		case 2:
			return nil
		case 1:
			return fmt.Errorf("references form a cycle: %s -> %s: %w", strings.Join(path, " -> "), n.Key(), ocm.ErrInvalid)
		}
		if len(path) > MaxDepth {
			return fmt.Errorf("references nested more than %d deep: %w", MaxDepth, ocm.ErrLimit)
		}
		state[n] = 1
		path = append(path, n.Key())
		for _, c := range n.Children {
			if err := visit(c); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[n] = 2
		out = append(out, n)
		return nil
	}
	for _, r := range roots {
		if err := visit(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}
