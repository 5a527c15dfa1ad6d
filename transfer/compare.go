// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"fmt"

	"ocm"
	"ocm/graph"
	"ocm/oci"
)

// compare decides about a version that the target has.
func (p *Plan) compare(ctx context.Context, vp *VersionPlan) error {
	src, dst := vp.node.Descriptor(), vp.base.Descriptor()
	if vp.sameState() {
		if p.missing(vp, dst) {
			vp.merged = dst
		}
		return nil
	}
	difference, err := signedDifference(src, dst)
	if err == nil && difference == "" {
		difference, err = p.uncovered(ctx, vp)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", vp.Component, err)
	case difference != "" && !p.o.Overwrite:
		return fmt.Errorf("target %s: %s is there with other content (%s): %w (replace it by --overwrite)", p.Target, vp.Component, difference, ocm.ErrExists)
	case difference != "":
		vp.State = Overwrite
		return nil
	}
	p.missing(vp, dst)
	out, notes := merged(withoutPlatforms(src), dst, p.o.Overwrite)
	vp.Notes = append(vp.Notes, notes...)
	if !sameDocument(out, dst) {
		vp.State = Merge
	}
	if vp.State == Merge {
		vp.merged = out
	}
	return nil
}

// compareSame decides about a version that the target has with the very same manifest: only places of
// content may differ from what is asked for.
func (p *Plan) compareSame(ctx context.Context, vp *VersionPlan) error {
	if !p.missing(vp, vp.node.Descriptor()) {
		return nil
	}
	if err := p.open(ctx, vp); err != nil {
		return err
	}
	if vp.base == nil || !vp.sameState() {
		return fmt.Errorf("target %s: %s: %w while it was planned", p.Target, vp.Component, ocm.ErrConflict)
	}
	vp.merged = vp.base.Descriptor()
	return nil
}

// sameState reports whether both sides are the same without looking at what they say: the digest
// of a manifest addresses all of the version, and a document all that it says.
func (vp *VersionPlan) sameState() bool {
	if vp.node.Manifest().Digest == vp.base.Manifest().Digest {
		return true
	}
	a, b := vp.node.Descriptor().Origin(), vp.base.Descriptor().Origin()
	return a != nil && b != nil && a.MediaType == b.MediaType && bytes.Equal(a.Bytes, b.Bytes)
}

// missing keeps what the target, whose descriptor is dst, has already, and what is left out now: that
// stays as it is there. It reports whether the target lacks something that is to be copied: then the
// version is to be merged, else it is identical.
func (p *Plan) missing(vp *VersionPlan, dst *ocm.Descriptor) bool {
	vp.State = Identical
	src := vp.node.Descriptor()
	for i := range vp.Moves {
		m := &vp.Moves[i]
		switch {
		case m.uploader != nil && p.o.Overwrite: // what is there already the uploader finds out
			vp.State = Merge
		case m.Action == Omit, vp.placed(m, dst) && !p.lacks(labelsOf(dst, m), labelsOf(src, m)):
			if m.Moves() && m.uploader == nil {
				m.at = m.To
			}
			m.Action, m.To = Keep, ""
		case m.Moves():
			vp.State = Merge
		}
	}
	return vp.State == Merge
}

// placed reports whether the content of an element, or a part of it, is where the move would put it.
func (vp *VersionPlan) placed(m *Move, dst *ocm.Descriptor) bool {
	access, _ := element(dst, m)
	from, want := element(vp.node.Descriptor(), m)
	if m.uploader != nil { // only the uploader knows which access it would make; what is neither here nor at the source is its work
		return !oci.IsLocal(access.Type) && !graph.IsOmitted(access.Type) && !equal(*access, *from)
	}
	return published(m, *access, want) || m.Action != Upload && oci.IsLocal(access.Type)
}

// uncovered names the first content that no digest covers and that cannot be shown to be the
// same on both sides. A version may have become signed in the target, or be relied on there;
// its sources and undigested resources are not exchanged in silence.
func (p *Plan) uncovered(ctx context.Context, vp *VersionPlan) (string, error) {
	for i := range vp.Moves {
		m := &vp.Moves[i]
		from, want := element(vp.node.Descriptor(), m)
		to, _ := element(vp.base.Descriptor(), m)
		if !want.Empty() && !want.Excluded() {
			continue
		}
		switch {
		case m.transformer != nil || m.uploader != nil:
			if same, err := p.sameContent(ctx, vp, m, *from, *to); err != nil || !same {
				return fmt.Sprintf("%s %s has no digest, and the target has other content than what would be stored", m.Kind, m.Element), err
			}
		case sameOmitted(from, to):
		case oci.IsLocal(from.Type), graph.IsOmitted(from.Type):
			a, err := localDigest(ctx, vp.node.Version, *from)
			if err != nil {
				return "", fmt.Errorf("source: %s %s: %w", m.Kind, m.Element, err)
			}
			if b, err := digestAt(ctx, vp.base, *to); err != nil || a != b || a == "" {
				//nolint:nilerr // what cannot be read in the target is not the same
				return fmt.Sprintf("%s %s has no digest, source has content %s, target has access %s %s", m.Kind, m.Element, a, to.Type, b), nil
			}
		case oci.IsLocal(to.Type), equal(from, to), published(m, *to, nil):
		default:
			return fmt.Sprintf("%s %s has no digest, source has access %s %s, target %s %s", m.Kind, m.Element, from.Type, address(*from), to.Type, address(*to)), nil
		}
	}
	return "", nil
}

// digestAt is the digest of content in the target: beside the descriptor, or where an upload put it.
func digestAt(ctx context.Context, v ocm.Version, access ocm.Spec) (string, error) {
	if d := pinned(access); d != "" {
		return d.String(), nil
	}
	return localDigest(ctx, v, access)
}

// localDigest is the digest of content beside a descriptor, or that would be there if it had not been
// left out. Only content that is stored in parts must be read for it.
func localDigest(ctx context.Context, v ocm.Version, access ocm.Spec) (string, error) {
	if graph.IsOmitted(access.Type) {
		o, err := graph.ParseOmitted(access)
		return o.Digest, err
	}
	c, err := v.Blob(ctx, access)
	if err != nil {
		return "", err
	}
	if c.Root.Digest == "" {
		c.Root, err = describe(ctx, c)
	}
	return c.Root.Digest.String(), err
}
