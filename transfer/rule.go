// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/config"
	"ocm/graph"
	"ocm/oci"
)

// MaxRules bounds the rules of a transfer.
const MaxRules = 100

// handling is a rule that is ready for use.
type handling struct {
	name, kind, mediaType func(string) bool
	access                string
	transformer, uploader *ocm.Spec
}

// prepareRules refuses rules that could never be followed, before anything is decided by them.
func (p *Plan) prepareRules() error {
	if len(p.o.Rules) > MaxRules {
		return fmt.Errorf("%d rules, accepted are %d: %w", len(p.o.Rules), MaxRules, ocm.ErrLimit)
	}
	for i, r := range p.o.Rules {
		h, err := p.prepareRule(r)
		if err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
		p.rules = append(p.rules, h)
	}
	return nil
}

func (p *Plan) prepareRule(r config.TransferRule) (h handling, err error) {
	h = handling{access: r.Match.AccessType, transformer: r.Transformer, uploader: r.Uploader}
	for _, g := range []struct {
		to      *func(string) bool
		pattern string
	}{{&h.name, r.Match.Name}, {&h.kind, r.Match.ResourceType}, {&h.mediaType, r.Match.MediaType}} {
		if g.pattern == "" {
			continue
		}
		if *g.to, err = blob.Glob(g.pattern); err != nil {
			return h, err
		}
	}
	if r.Transformer != nil {
		_, err = p.kit.Transformers.For(r.Transformer.Type)
		err = errors.Join(err, withoutLogin(*r.Transformer))
	}
	if r.Uploader != nil {
		_, unknown := p.kit.Uploaders.For(r.Uploader.Type)
		err = errors.Join(err, unknown, withoutLogin(*r.Uploader))
	}
	return h, err
}

// withoutLogin refuses a specification with a user or password in an address: plans are written down and shown.
func withoutLogin(s ocm.Spec) error {
	var members map[string]any
	if err := s.Decode(&members); err != nil {
		return err
	}
	for name, value := range members {
		text, _ := value.(string)
		if u, err := url.Parse(text); err == nil && u.User != nil {
			return fmt.Errorf("type %s: %s has a user or a password in it; they belong into the credentials of the configuration: %w", s.Type, name, ocm.ErrInvalid)
		}
	}
	return nil
}

// apply finds the rule for a resource that is copied.
func (p *Plan) apply(ctx context.Context, vp *VersionPlan, m *Move, it item) error {
	if m.Action != Copy || m.Kind != "resource" {
		return nil
	}
	for _, h := range p.rules {
		matches, err := p.matches(ctx, vp, m, it, h)
		if err != nil {
			return err
		}
		if !matches {
			continue
		}
		if m.transformer = h.transformer; h.transformer != nil {
			m.Transformer, m.Digest, m.Bytes = h.transformer.Type, "", -1
		}
		if m.uploader = h.uploader; h.uploader != nil {
			m.Action, m.Uploader = Upload, h.uploader.Type
			m.To = strings.TrimSpace(h.uploader.Type + " " + address(*h.uploader))
		}
		return nil
	}
	return nil
}

func (p *Plan) matches(ctx context.Context, vp *VersionPlan, m *Move, it item, h handling) (bool, error) {
	if h.name != nil && !h.name(it.name) || h.kind != nil && !h.kind(it.typ) || h.access != "" && !sameAccess(p.kit, h.access, it.access.Type) {
		return false, nil
	}
	if h.mediaType == nil {
		return true, nil
	}
	if m.mediaType == "" { // only who has it can tell
		c, err := graph.Content(ctx, p.kit, p.env, vp.node.Version, it.access)
		if err != nil {
			return false, fmt.Errorf("source: %w", err)
		}
		m.mediaType = c.Root.MediaType
	}
	return h.mediaType(m.mediaType), nil
}

// transform makes other content of a source, which is compared with its digest before.
func (p *Plan) transform(ctx context.Context, m *Move, c ocm.Content, want *ocm.Digest) (ocm.Content, error) {
	if m.transformer == nil {
		return c, nil
	}
	c, err := p.checkBefore(ctx, c, want)
	if err == nil {
		c.Root, err = promised(c.Root, want)
	}
	if err != nil {
		return c, err
	}
	return graph.Transform(ctx, p.kit, p.env, c, *m.transformer)
}

// promised completes what is known of content by the digest that it is to have, so that readers compare it.
func promised(root ociv1.Descriptor, want *ocm.Digest) (ociv1.Descriptor, error) {
	if root.Digest != "" || want.Empty() || want.Excluded() || !addressed(root, want) {
		return root, nil
	}
	root.Digest = digest.NewDigestFromEncoded(digest.SHA256, want.Value)
	return root, blob.CheckDigest(root.Digest)
}

// changed explains why what a transformer has made is refused, if it was that; nil if err is nil.
func (m *Move) changed(err error) error {
	if m.transformer == nil || !errors.Is(err, ocm.ErrDigest) {
		return err
	}
	return fmt.Errorf("transformer %s makes other content of it than that whose digest is in the descriptor, which signatures cover: transform it when it is packed or downloaded, or leave it out of the rule: %w", m.Transformer, err)
}

// upload stores content by an uploader, and proves that what is there now is what was given.
func (p *Plan) upload(ctx context.Context, vp *VersionPlan, m *Move, c ocm.Content, access ocm.Spec, want *ocm.Digest) (ocm.Stored, error) {
	uploader, err := p.kit.Uploaders.For(m.uploader.Type)
	if err != nil {
		return ocm.Stored{}, err
	}
	if c.Root, err = promised(c.Root, want); err == nil && c.Root.Digest == "" {
		err = p.env.Job.Do(ctx, func() (err error) {
			c.Root, err = describe(ctx, c)
			return err
		})
	}
	if err != nil {
		return ocm.Stored{}, fmt.Errorf("source: %w", err)
	}
	name := c.Hint
	if m.transformer == nil {
		name = cmp.Or(hint(access), name)
	}
	stored, err := uploader.Upload(ctx, p.env, c, *m.uploader, name)
	if err == nil {
		err = p.checkUploaded(ctx, vp, c, stored, want)
	}
	if err != nil {
		return ocm.Stored{}, fmt.Errorf("uploader %s: %w", m.Uploader, err)
	}
	return stored, nil
}

// checkUploaded reads what an access of an uploader leads to. Nothing that it says is taken for granted.
func (p *Plan) checkUploaded(ctx context.Context, vp *VersionPlan, c ocm.Content, s ocm.Stored, want *ocm.Digest) error {
	a := s.Access
	if a.Type == "" || !graph.HasContent(a.Type) || graph.IsOmitted(a.Type) || oci.IsLocal(a.Type) || isRelative(a) {
		return fmt.Errorf("it says that the content is at an access of type %.100q, expected one that leads to it from everywhere: %w", a.Type, ocm.ErrInvalid)
	}
	if s.Root.Digest != c.Root.Digest {
		return fmt.Errorf("it was given %s, and says that it has stored %.100q: %w", c.Root.Digest, string(s.Root.Digest), ocm.ErrDigest)
	}
	there, err := graph.Content(ctx, p.kit, p.env, vp.node.Version, a)
	if err != nil {
		return fmt.Errorf("what it has stored cannot be opened: %w", err)
	}
	there.Skip = c.Skip
	if want.Empty() || want.Excluded() {
		want = digestOf(c.Root)
	}
	if err := p.env.Job.Do(ctx, func() error { return graph.Check(ctx, there, *want) }); err != nil {
		return fmt.Errorf("what it has stored: %w", err)
	}
	return nil
}

// digestOf is the digest of a descriptor for content that is known by its root.
func digestOf(root ociv1.Descriptor) *ocm.Digest {
	d := ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: root.Digest.Encoded()}
	if root.Digest.Algorithm() == digest.SHA512 {
		d.HashAlgorithm = ocm.SHA512
	}
	if blob.IsManifest(root.MediaType) {
		d.NormalisationAlgorithm = ocm.OCIArtifactDigest
	}
	return &d
}

// sameContent reports whether the target has what this move would store there: both are read as far as their digests are not known.
func (p *Plan) sameContent(ctx context.Context, vp *VersionPlan, m *Move, from, to ocm.Spec) (bool, error) {
	if m.transformer == nil && equal(from, to) {
		return true, nil
	}
	c, err := graph.Content(ctx, p.kit, p.env, vp.node.Version, from)
	if err == nil {
		c, err = p.transform(ctx, m, c, nil)
	}
	if err == nil && c.Root.Digest == "" {
		c.Root, err = describe(ctx, c)
	}
	if err != nil {
		return false, fmt.Errorf("source: %s %s: %w", m.Kind, m.Element, err)
	}
	there, err := graph.Content(ctx, p.kit, p.env, vp.base, to)
	if err == nil && there.Root.Digest == "" {
		there.Root, err = describe(ctx, there)
	}
	//nolint:nilerr // what cannot be read in the target is not the same
	return err == nil && there.Root.Digest == c.Root.Digest, nil
}
