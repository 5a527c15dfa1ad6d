// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
	"ocm/normalise"
)

// VerifyOptions says what must hold.
type VerifyOptions struct {
	// Signatures are the names that must be there and good. None: all that are there,
	// at least one.
	Signatures []string
	// Spec configures the verifier of a signature: a configuration of its family, or the zero Spec.
	Spec func(sig ocm.Signature) ocm.Spec
	// Demand refuses signatures that are not those that are wanted, whether they are good or not. nil: all are wanted.
	Demand func(selected []ocm.Signature) error
	// Shallow checks signatures and the descriptor only: no content, no references.
	Shallow bool
	// NoContent compares no content: for those who compare it when they use it. References are checked, and so is that
	// everything has a digest.
	NoContent bool
	// AllCovered makes a failure of everything that a signature could cover and does not.
	AllCovered bool
}

// Verify recomputes everything that the signatures of the root claim to cover: the digest of the
// descriptor, every signature, the digest of every reference, recursively, and of every resource's
// content. It returns a report that names every step; Report.Err says whether the version is
// good. The error is non-nil only if the context ended.
//
// The steps demand each other: nothing is read because of a descriptor that no good signature or
// reference digest covers. What was not reached is in the report, with the reason. What cannot
// be judged fails: a version without signatures, an unknown algorithm, a missing digest.
//
// All that was verified was read through root and find; versions are pinned, so what is used
// afterwards through the same values is what was verified.
func Verify(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Find, root ocm.Version, o VerifyOptions) (*Report, error) {
	v := &verification{kit: kit, env: env, find: find, o: o, root: &Node{Version: root}}
	v.rep = &Report{Component: v.root.Key(), Manifest: root.Manifest().Digest, Shallow: o.Shallow, Signatures: []SignatureResult{}, Steps: []Step{}}
	v.nodes = []*Node{v.root}
	if why := v.run(ctx); why != "" {
		v.skip(why)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	v.rep.sort(v.nodes)
	v.rep.Verified = v.rep.Err() == nil
	return v.rep, nil
}

// verification is one run of [Verify].
type verification struct {
	kit    *ocm.Kit
	env    *ocm.Env
	find   Find
	o      VerifyOptions
	root   *Node
	nodes  []*Node // that are known: the root alone, or children before their parents
	nested nested

	mu  sync.Mutex // for the steps: contents are read in parallel
	rep *Report
}

// The states of a verification, in the order of the specification. Each has one method, which leads
// to the next one: no step can be made before the one that it rests on has succeeded.
type (
	unpinned struct{ *verification }
	pinned   struct{ *verification } // the state is fixed by a digest, and the descriptor is what was read there
	chosen   struct {                // it is known which signatures must hold
		*verification
		signatures []ocm.Signature
	}
	matched struct { // the descriptor has the digest that these of them name
		*verification
		signatures []ocm.Signature
		all        bool // none is missing
	}
	signed struct{ *verification } // all of them are good: the descriptor may be believed as far as they cover it
	walked struct{ *verification } // and so may all that it references
)

// run goes through the states, and says why if steps are left.
func (v *verification) run(ctx context.Context) (why string) {
	p, ok := unpinned{v}.pin()
	if !ok {
		return "the version is not pinned"
	}
	c, ok := p.choose()
	if !ok {
		return "no signature to rest on"
	}
	s, ok := c.match().judge(ctx)
	if !ok {
		return "a signature is not good"
	}
	if v.o.Shallow {
		s.covered(v.root)
		v.rep.ended = true
		return "not asked for (shallow)"
	}
	w, ok := s.walk(ctx)
	if !ok {
		return "a reference is not good"
	}
	if v.o.NoContent {
		for _, n := range v.nodes {
			s.covered(n)
		}
		v.rep.ended = true
		return "content is compared when it is used"
	}
	w.contents(ctx)
	v.rep.ended = true
	return ""
}

// pin demands that the version has a digest, and that what was made of the document that was read
// says what the document says.
func (v unpinned) pin() (pinned, bool) {
	err := received(v.root)
	v.add(v.root, 0, "component version", stepPinned, v.rep.Manifest.String(), err)
	return pinned(v), err == nil
}

func received(n *Node) error {
	if err := blob.CheckDigest(n.Manifest().Digest); err != nil {
		return fmt.Errorf("the version is not pinned by the digest of a manifest: %w", err)
	}
	d := n.Descriptor()
	if c, ok := n.Version.(*completed); ok {
		d = c.Version.Descriptor()
	}
	if d.Origin() == nil {
		return nil // of whoever has committed it just now
	}
	doc, err := descriptor.Encode(d)
	if err == nil && !bytes.Equal(doc.Bytes, d.Origin().Bytes) {
		err = fmt.Errorf("the descriptor was changed since it was read: %w", ocm.ErrInvalid)
	}
	return err
}

// choose selects the signatures.
func (v pinned) choose() (chosen, bool) {
	d := v.root.Descriptor()
	for i := range d.Signatures[:min(len(d.Signatures), maxSignatures)] {
		s := &d.Signatures[i]
		v.rep.Signatures = append(v.rep.Signatures, SignatureResult{Name: s.Name, Algorithm: s.Signature.Algorithm, Verdict: Skipped,
			Digest: SignedDigest{s.Digest.HashAlgorithm, s.Digest.NormalisationAlgorithm, s.Digest.Value}})
	}
	list, err := selectSignatures(d.Signatures, v.o.Signatures)
	if err == nil && v.o.Demand != nil {
		err = v.o.Demand(list)
	}
	if err == nil {
		v.nested, err = nestedOf(d)
	}
	if err != nil {
		v.add(v.root, 1, "signatures", stepSignature, "", err)
		return chosen{}, false
	}
	v.root.Version = v.nested.complete(v.root.Version)
	for i := range d.Signatures {
		if name := d.Signatures[i].Name; !slices.ContainsFunc(list, func(s ocm.Signature) bool { return s.Name == name }) {
			v.append(v.root, 2, Step{Object: "signature " + name, Check: stepSignature, Verdict: Skipped, Detail: "not asked for"})
		}
	}
	return chosen{v.verification, list}, true
}

// match compares the descriptor with the digest of each signature.
func (v chosen) match() matched {
	out := matched{verification: v.verification, all: true}
	for i, sig := range v.signatures {
		object := "signature " + sig.Name
		err := v.root.matches(sig.Digest)
		if err == nil {
			v.add(v.root, 10*(i+1), object, stepDescriptor, sig.Digest.String(), nil)
			out.signatures = append(out.signatures, sig)
			continue
		}
		out.all = false
		v.result(sig.Name).Verdict = Failed
		v.add(v.root, 10*(i+1), object, stepDescriptor, "", fmt.Errorf("the descriptor is not what was signed: %w", err))
		v.append(v.root, 10*(i+1), Step{Object: object, Check: stepSignature, Verdict: Skipped, Detail: "its digest does not match"})
	}
	return out
}

// judge asks the verifier of each signature, and demands that all were good.
func (v matched) judge(ctx context.Context) (signed, bool) {
	good := v.all // at least one was chosen
	for i, sig := range v.signatures {
		good = v.judgeOne(ctx, 10*(i+1), sig) && good
	}
	if good {
		v.coverage(v.root)
	}
	return signed{v.verification}, good
}

// walk loads all that is referenced, generation by generation: only what has the digest that
// somebody who is believed demands is believed, and asked what it references.
func (v signed) walk(ctx context.Context) (walked, bool) {
	g, err := Walk(ctx, v.env.Job, v.nested.in(v.find), []ocm.Version{v.root.Version}, Options{Recursive: true,
		Skip: func(ref *ocm.Reference) bool { return ref.Digest.Empty() }})
	if err != nil {
		v.unwalkable(err)
		return walked{}, false
	}
	g.Roots[0].matched = v.root.matched // by signatures
	v.root, v.nodes, v.rep.graph = g.Roots[0], g.Nodes, g
	nodes := map[string]*Node{}
	good := true
	for _, n := range g.Nodes {
		nodes[n.Key()] = n
		good = v.references(n) && good
		if n != v.root {
			err := received(n)
			v.add(n, 0, "component version", stepPinned, n.Manifest().Digest.String(), err)
			v.coverage(n)
			good = good && err == nil
		}
	}
	for i, key := range slices.Sorted(maps.Keys(v.nested)) {
		err := v.nested.check(key, nodes)
		v.add(v.root, ofNested+i, "nested digests of "+key, stepNested, "they are what is signed", err)
		good = good && err == nil
	}
	return walked(v), good
}

// unwalkable tells where the walk has ended.
func (v signed) unwalkable(err error) {
	if at := (*referenceError)(nil); errors.As(err, &at) {
		v.add(at.parent, ofReferences, "reference "+at.element.String(), stepReference, "", at.err)
		return
	}
	v.add(v.root, ofReferences, "references", stepReference, "", err)
}

// contents reads all resources and sources.
func (v walked) contents(ctx context.Context) {
	eg := errgroup.Group{}
	eg.SetLimit(v.env.Job.Parallel())
	for _, n := range v.nodes {
		for i := range n.Descriptor().Component.Resources {
			eg.Go(func() error { v.resource(ctx, n, i); return nil })
		}
		for i := range n.Descriptor().Component.Sources {
			eg.Go(func() error { v.source(ctx, n, i); return nil })
		}
	}
	_ = eg.Wait() // steps carry the errors
}

// coverage tells what of a version the digests that prove it do not cover, though others of their
// kind would. If there are several, what one of them covers is covered.
func (v *verification) coverage(n *Node) {
	missed := map[string]int{}
	for _, d := range n.matched {
		for _, what := range normalise.Uncovered(n.Descriptor(), d) {
			missed[what]++
		}
	}
	maps.DeleteFunc(missed, func(_ string, times int) bool { return times < len(n.matched) })
	for i, what := range slices.Sorted(maps.Keys(missed)) {
		v.exclude(n, ofCoverage+i, "descriptor", stepCoverage, what)
	}
}
