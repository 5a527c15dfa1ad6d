// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
)

// add appends a step that was made.
func (v *verification) add(n *Node, order int, object, check, detail string, err error) {
	s := Step{Object: object, Check: check, Verdict: OK, Detail: detail, err: err}
	if err != nil {
		s.Verdict, s.Detail = Failed, err.Error()
	}
	v.append(n, order, s)
}

// exclude appends what no signature covers.
func (v *verification) exclude(n *Node, order int, object, check, why string) {
	if v.o.AllCovered {
		v.add(n, order, object, check, "", fmt.Errorf("%s: everything must be covered by the signature: %w", why, ocm.ErrSignature))
		return
	}
	v.append(n, order, Step{Object: object, Check: check, Verdict: Excluded, Detail: why})
}

func (v *verification) append(n *Node, order int, s Step) {
	s.Component, s.order = n.Key(), order
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rep.Steps = append(v.rep.Steps, s)
}

// skip tells which steps were not made, and why.
func (v *verification) skip(why string) {
	type object struct{ component, name string }
	made := map[object]bool{}
	for _, s := range v.rep.Steps {
		made[object{s.Component, s.Object}] = true
	}
	for _, n := range v.nodes {
		missing := func(order int, name, check string) {
			if !made[object{n.Key(), name}] {
				v.append(n, order, Step{Object: name, Check: check, Verdict: Skipped, Detail: why})
			}
		}
		d := n.Descriptor()
		if n == v.root {
			for i := range d.Signatures[:min(len(d.Signatures), maxSignatures)] {
				missing(i+2, "signature "+d.Signatures[i].Name, stepSignature)
			}
		}
		for i := range d.Component.References {
			missing(ofReferences+i, "reference "+d.Component.References[i].Element.String(), stepReference)
		}
		for i := range d.Component.Resources {
			missing(ofResources+i, "resource "+d.Component.Resources[i].Element.String(), stepContent)
		}
		for i := range d.Component.Sources {
			missing(ofSources+i, "source "+d.Component.Sources[i].Element.String(), stepIntegrity)
		}
	}
}

// covered tells what can be told without reading anything: what lacks a digest.
func (v signed) covered(n *Node) {
	c := &n.Descriptor().Component
	for i := range c.References {
		if err := undigested(&c.References[i]); err != nil {
			v.add(n, ofReferences+i, "reference "+c.References[i].Element.String(), stepReference, "", err)
		}
	}
	for i := range c.Resources {
		v.undigestedResource(n, i)
	}
}

// references demands a digest on every reference; Walk has compared them all and followed no others.
func (v signed) references(n *Node) bool {
	good, next := true, 0
	for i := range n.Descriptor().Component.References {
		ref := &n.Descriptor().Component.References[i]
		err := undigested(ref)
		switch {
		case err != nil:
		case next == len(n.refs) || n.refs[next] != i:
			err = fmt.Errorf("%s:%s was not followed: %w", ref.ComponentName, ref.Version, ocm.ErrDigest)
		default: // Walk may be told to trust, Verify never does
			err = n.Children[next].matches(*ref.Digest)
			next++
		}
		v.add(n, ofReferences+i, "reference "+ref.Element.String(), stepReference, ref.Digest.String(), err)
		good = good && err == nil
	}
	return good
}

func undigested(ref *ocm.Reference) error {
	if !ref.Digest.Empty() {
		return nil
	}
	return fmt.Errorf("no digest: %s:%s and all below it is not covered by the signature: %w", ref.ComponentName, ref.Version, ocm.ErrDigest)
}

// undigestedResource makes the step of a resource that has no digest to compare with, and reports
// whether it is one.
func (v *verification) undigestedResource(n *Node, i int) bool {
	res := &n.Descriptor().Component.Resources[i]
	object := "resource " + res.Element.String()
	switch {
	case unsignedAccess(res.Access.Type), !HasContent(res.Access.Type) && res.Digest.Empty():
		v.exclude(n, ofResources+i, object, stepContent, "access none: there is no content")
	case res.Digest.Excluded():
		v.exclude(n, ofResources+i, object, stepContent, "the descriptor excludes it from the signature")
	case res.Digest.Empty():
		v.add(n, ofResources+i, object, stepContent, "", fmt.Errorf("no digest: its content is not covered by the signature: %w", ocm.ErrDigest))
	default:
		return false
	}
	return true
}

// resource reads a resource's content and compares it with its digest.
func (v *verification) resource(ctx context.Context, n *Node, i int) {
	if v.undigestedResource(n, i) {
		return
	}
	res := &n.Descriptor().Component.Resources[i]
	err := v.env.Job.Do(ctx, func() error {
		c, err := Content(ctx, v.kit, v.env, n.Version, res.Access)
		if err != nil {
			return err
		}
		return ExplainMissing(ctx, c, res.Labels, Check(ctx, c, *res.Digest))
	})
	v.add(n, ofResources+i, "resource "+res.Element.String(), stepContent, res.Digest.String(), err)
}

// source reads a source that is stored beside the descriptor. Sources carry no digest, so that no
// signature covers their bytes; that they are what was stored is still checked.
func (v *verification) source(ctx context.Context, n *Node, i int) {
	s := &n.Descriptor().Component.Sources[i]
	object := "source " + s.Element.String()
	skipped := func(why string) {
		v.append(n, ofSources+i, Step{Object: object, Check: stepIntegrity, Verdict: Skipped, Detail: why})
	}
	if IsOmitted(s.Access.Type) {
		skipped("left out of this copy")
		return
	}
	var c ocm.Content
	err := v.env.Job.Do(ctx, func() (err error) {
		if c, err = n.Blob(ctx, s.Access); err != nil {
			return err
		}
		if c.Root.Digest == "" { // stored in parts, each of which is compared while it is read
			_, err = hashBytes(ctx, c, sha256.New(), digest.SHA256)
			return err
		}
		return ExplainMissing(ctx, c, s.Labels, blob.Check(ctx, c))
	})
	if errors.Is(err, errors.ErrUnsupported) {
		skipped("it is elsewhere, and sources have no digest")
		return
	}
	v.add(n, ofSources+i, object, stepIntegrity, c.Root.Digest.String(), err)
}
