// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
)

// Verdicts of a [Step].
const (
	OK       = "ok"
	Failed   = "failed"
	Excluded = "excluded" // deliberately not covered by the signature; nothing was checked
	Skipped  = "skipped"  // not checked because the caller asked for less
)

// Step is one check of a verification.
type Step struct {
	Component string `json:"component"`        // name:version
	Object    string `json:"object"`           // "resource image", "reference lib", "signature release", …
	Check     string `json:"check"`            // what was compared
	Verdict   string `json:"verdict"`          // one of the constants above
	Detail    string `json:"detail,omitempty"` // the digest that was confirmed, or the error
	err       error
	order     int // among the steps of a component: checks end in any order
}

// Places of the kinds of objects in the order of a component's steps.
const (
	ofReferences = 1_000_000
	ofResources  = 2_000_000
	ofSources    = 3_000_000
)

// Report tells every step of a verification.
type Report struct {
	Steps []Step `json:"steps"`
	// Shallow is set if contents and referenced versions were not checked.
	Shallow bool `json:"shallow"`
	mu      sync.Mutex
}

// Err joins the errors of all failed steps; nil only if nothing failed and a signature was good.
// Whatever failed, the error is an [ocm.ErrSignature]: what cannot be checked is not verified.
func (r *Report) Err() error {
	var errs []error
	signed := false
	for _, s := range r.Steps {
		if s.Verdict == Failed {
			errs = append(errs, fmt.Errorf("%s: %s: %w", s.Component, s.Object, s.err))
		}
		signed = signed || s.Check == stepSignature && s.Verdict == OK
	}
	if len(errs) == 0 && !signed {
		return fmt.Errorf("no signature was verified: %w", ocm.ErrSignature)
	}
	if len(errs) == 0 {
		return nil
	}
	return unverified{errors.Join(errs...)}
}

type unverified struct{ error }

func (u unverified) Unwrap() error        { return u.error }
func (u unverified) Is(target error) bool { return target == ocm.ErrSignature }

const (
	stepSignature  = "signature"
	stepDescriptor = "descriptor digest"
	stepContent    = "content digest"
	stepIntegrity  = "stored bytes" // against the address, not covered by the signature
	stepReference  = "reference digest"
)

func (r *Report) add(n *Node, order int, object, check, detail string, err error) {
	s := Step{Component: n.Key(), Object: object, Check: check, Verdict: OK, Detail: detail, err: err, order: order}
	if err != nil {
		s.Verdict, s.Detail = Failed, err.Error()
	}
	r.append(s)
}

func (r *Report) append(s Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Steps = append(r.Steps, s)
}

// VerifyOptions says what must hold.
type VerifyOptions struct {
	// Signatures are the names that must be there and good. None: all that are there,
	// at least one.
	Signatures []string
	// Spec configures the verifiers (a verifier configuration), may be the zero Spec.
	Spec func(sig ocm.Signature) ocm.Spec
	// Shallow checks signatures and the descriptor only: no content, no references.
	Shallow bool
}

// Verify recomputes everything that the signatures of the root claim to cover: the digest of
// every resource's content, of every reference recursively, of the descriptor, then every
// signature. It returns a report that names every step; Report.Err says whether the version is
// good. The error is non-nil only if the context ended.
//
// What cannot be judged fails: a version without signatures, an unknown algorithm, a
// missing digest. All that was verified was read through root and find; versions are
// pinned, so what is used afterwards through the same values is what was verified.
func Verify(ctx context.Context, kit *ocm.Kit, env *ocm.Env, find Find, root ocm.Version, o VerifyOptions) (*Report, error) {
	rep := &Report{Shallow: o.Shallow}
	n := &Node{Version: root}
	rep.signatures(ctx, kit, env, n, o)
	if o.Shallow {
		return rep, context.Cause(ctx)
	}
	g, err := Walk(ctx, env.Job, find, []ocm.Version{root}, Options{Recursive: true})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil { // what is referenced cannot be read, or is not what it should be
		rep.add(n, ofReferences, "references", stepReference, "", err)
		return rep, nil
	}
	eg, ectx := errgroup.WithContext(ctx)
	eg.SetLimit(env.Job.Parallel())
	for _, n := range g.Nodes {
		rep.references(n)
		for i := range n.Descriptor().Component.Resources {
			eg.Go(func() error { rep.resource(ectx, kit, env, n, i); return nil })
		}
		for i := range n.Descriptor().Component.Sources {
			eg.Go(func() error { rep.source(ectx, n, i); return nil })
		}
	}
	_ = eg.Wait() // steps carry the errors
	rep.sort(g)
	return rep, context.Cause(ctx)
}

// sort puts the root first, then children in walking order, each with its steps in the order of
// the descriptor.
func (r *Report) sort(g *Graph) {
	at := map[string]int{}
	for i, n := range g.Nodes {
		at[n.Key()] = len(g.Nodes) - i
	}
	slices.SortStableFunc(r.Steps, func(a, b Step) int {
		return cmp.Or(at[a.Component]-at[b.Component], a.order-b.order)
	})
}

// signatures judges the signatures of the root.
func (r *Report) signatures(ctx context.Context, kit *ocm.Kit, env *ocm.Env, n *Node, o VerifyOptions) {
	d := n.Descriptor()
	sigs, err := selectSignatures(d.Signatures, o.Signatures)
	if err != nil {
		r.add(n, 0, "signatures", stepSignature, "", err)
		return
	}
	for _, sig := range sigs {
		object := "signature " + sig.Name
		if err := n.matches(sig.Digest); err != nil {
			r.add(n, 0, object, stepDescriptor, "", fmt.Errorf("the descriptor is not what was signed: %w", err))
			continue
		}
		r.add(n, 0, object, stepDescriptor, sig.Digest.String(), nil)
		found, err := judge(ctx, kit, env, sig, o)
		check, detail := stepSignature, sig.Signature.Algorithm
		for _, f := range found {
			if f.Check == ocm.FoundSigner {
				detail += " by " + f.Detail
				continue
			}
			r.add(n, 0, object, f.Check, f.Detail, nil)
		}
		if failed := (*ocm.CheckError)(nil); errors.As(err, &failed) {
			check = failed.Check
		}
		r.add(n, 0, object, check, detail, err)
	}
}

func judge(ctx context.Context, kit *ocm.Kit, env *ocm.Env, sig ocm.Signature, o VerifyOptions) ([]ocm.Finding, error) {
	v, err := kit.Verifiers.For(sig.Signature.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrSignature)
	}
	var spec ocm.Spec
	if o.Spec != nil {
		spec = o.Spec(sig)
	}
	return v.Verify(ctx, env, sig, spec)
}

// maxSignatures bounds what one descriptor makes us compute.
const maxSignatures = 100

// selectSignatures picks signatures by name. Two signatures of one name are refused: which
// of them is meant cannot be known.
func selectSignatures(all []ocm.Signature, names []string) ([]ocm.Signature, error) {
	if len(all) == 0 {
		return nil, fmt.Errorf("the version has no signatures (sign it, or verify where it was signed): %w", ocm.ErrSignature)
	}
	if len(all) > maxSignatures {
		return nil, fmt.Errorf("%d signatures, accepted are %d: %w", len(all), maxSignatures, ocm.ErrLimit)
	}
	byName := map[string]ocm.Signature{}
	for _, s := range all {
		if _, twice := byName[s.Name]; twice {
			return nil, fmt.Errorf("two signatures are named %q: %w", s.Name, ocm.ErrSignature)
		}
		byName[s.Name] = s
	}
	if len(names) == 0 {
		return all, nil
	}
	out := make([]ocm.Signature, 0, len(names))
	for _, name := range names {
		s, ok := byName[name]
		if !ok {
			known := make([]string, len(all))
			for i := range all {
				known[i] = all[i].Name
			}
			return nil, fmt.Errorf("no signature is named %q, there are %q: %w", name, known, ocm.ErrSignature)
		}
		out = append(out, s)
	}
	return out, nil
}

// references demands a digest on every reference; Walk has compared those that are there.
func (r *Report) references(n *Node) {
	for i := range n.Descriptor().Component.References {
		ref := &n.Descriptor().Component.References[i]
		object := "reference " + ref.Element.String()
		if ref.Digest.Empty() {
			r.add(n, ofReferences+i, object, stepReference, "", fmt.Errorf("no digest: %s:%s is not covered by the signature: %w", ref.ComponentName, ref.Version, ocm.ErrDigest))
			continue
		}
		r.add(n, ofReferences+i, object, stepReference, ref.Digest.String(), checkReferenceDigest(n, i))
	}
}

// checkReferenceDigest compares again: Walk may be told to trust, Verify never does.
func checkReferenceDigest(n *Node, i int) error {
	return n.Children[i].matches(*n.Descriptor().Component.References[i].Digest)
}

// resource reads a resource's content and compares it with its digest.
func (r *Report) resource(ctx context.Context, kit *ocm.Kit, env *ocm.Env, n *Node, i int) {
	res := &n.Descriptor().Component.Resources[i]
	object := "resource " + res.Element.String()
	switch {
	case unsignedAccess(res.Access.Type), !HasContent(res.Access.Type) && res.Digest.Empty():
		r.append(Step{Component: n.Key(), Object: object, Check: stepContent, Verdict: Excluded, order: ofResources + i, Detail: "access none: there is no content"})
	case res.Digest.Excluded():
		r.append(Step{Component: n.Key(), Object: object, Check: stepContent, Verdict: Excluded, order: ofResources + i, Detail: "the descriptor excludes it from the signature"})
	case res.Digest.Empty():
		r.add(n, ofResources+i, object, stepContent, "", fmt.Errorf("no digest: its content is not covered by the signature: %w", ocm.ErrDigest))
	default:
		err := env.Job.Do(ctx, func() error {
			c, err := Content(ctx, kit, env, n.Version, res.Access)
			if err != nil {
				return err
			}
			return ExplainMissing(ctx, c, res.Labels, Check(ctx, c, *res.Digest))
		})
		r.add(n, ofResources+i, object, stepContent, res.Digest.String(), err)
	}
}

// source reads a source that is stored beside the descriptor. Sources carry no digest, so the
// signature does not cover their bytes; that they are what was stored is still checked.
func (r *Report) source(ctx context.Context, n *Node, i int) {
	s := &n.Descriptor().Component.Sources[i]
	object := "source " + s.Element.String()
	if IsOmitted(s.Access.Type) {
		r.append(Step{Component: n.Key(), Object: object, Check: stepIntegrity, Verdict: Excluded, order: ofSources + i, Detail: "left out of this copy"})
		return
	}
	c, err := n.Blob(ctx, s.Access)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	switch {
	case err != nil:
	case c.Root.Digest == "": // stored in parts, each of which is compared while it is read
		_, err = hashBytes(ctx, c, sha256.New(), digest.SHA256)
	default:
		err = ExplainMissing(ctx, c, s.Labels, blob.Check(ctx, c))
	}
	r.add(n, ofSources+i, object, stepIntegrity, c.Root.Digest.String(), err)
}
