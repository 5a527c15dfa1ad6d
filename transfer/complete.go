// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/graph"
	"ocm/oci"
)

// What is attached to an image or to a version can come later than these, or get lost: no digest of
// theirs covers it. So a version that the target has is complete only if what is attached to it at the
// source, and to its images that this transfer would copy, is attached to them at the target.

// completer is a target that can tell what is attached to what it has, and take more; see [oci.Repository].
type completer interface {
	LacksAttached(ctx context.Context, repository string, c ocm.Content, subjects ...ociv1.Descriptor) (oci.Lack, error)
	Attach(ctx context.Context, repository string, c ocm.Content, subjects ...ociv1.Descriptor) error
}

// complete finds out what is attached to what the target has already, and not there. A target that cannot tell is
// taken for complete.
func (p *Plan) complete(ctx context.Context, vp *VersionPlan) error {
	to, ok := p.target.(completer)
	if !ok || p.o.NoReferrers || vp.State != Identical && vp.State != Merge {
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.env.Job.Parallel())
	unknown := make([]string, len(vp.Moves))
	for i := range vp.Moves {
		if m := &vp.Moves[i]; m.Action == Keep && m.at != "" {
			g.Go(func() (err error) {
				unknown[i], err = p.completeMove(gctx, to, vp, m)
				return err
			})
		}
	}
	if own, ok := vp.own(); ok {
		g.Go(func() error { return p.completeOwn(gctx, to, vp, own) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, note := range unknown {
		if note != "" {
			vp.Notes = append(vp.Notes, note)
		}
	}
	if vp.State == Identical && vp.lacksAttached() {
		vp.State = Complete
	}
	return nil
}

// lacksAttached reports whether something is to be attached.
func (vp *VersionPlan) lacksAttached() bool {
	for i := range vp.Moves {
		if vp.Moves[i].Action == Attach {
			return true
		}
	}
	return len(vp.Attached) > 0
}

// completeMove looks at one image. An image that came from elsewhere may be out of reach by now, and the target has it: that
// nobody knows then what is attached to it is said, and is no error.
func (p *Plan) completeMove(ctx context.Context, to completer, vp *VersionPlan, m *Move) (unknown string, err error) {
	host := m.host()
	if err, silent := p.silent.Load(host); silent && host != "" {
		return m.unknown(err.(error)), nil
	}
	var lack oci.Lack
	c, ok, err := p.image(ctx, vp, m)
	if err == nil && ok {
		lack, err = p.lacking(ctx, to, m.repository(), c)
	}
	switch {
	case err == nil:
	case host == "" || ctx.Err() != nil:
		return "", fmt.Errorf("%s: %s %s: %w", vp.Component, m.Kind, m.Element, err)
	default:
		if !errors.Is(err, ocm.ErrNotFound) && !errors.Is(err, ocm.ErrDenied) {
			p.silent.Store(host, err) // it is not asked again for each of a hundred images
		}
		return m.unknown(err), nil
	}
	if !lack.Empty() {
		m.Action, m.To, m.Attached, m.Bytes = Attach, m.at, lack.Attached, lack.Bytes
	}
	return "", nil
}

func (m *Move) unknown(err error) string {
	return fmt.Sprintf("what is attached to %s %s at the source is not known: %v", m.Kind, m.Element, err)
}

// host is that of the registry of an image that is not in the source repository; empty if it is there.
func (m *Move) host() string {
	if oci.IsLocal(m.Access) || oci.IsRelative(m.Access) {
		return ""
	}
	_, rest, ok := strings.Cut(m.From, "://")
	if !ok {
		rest = m.From
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// repository is the OCI repository of the target in which the artifact is.
func (m *Move) repository() string {
	if m.name != "" {
		path, _ := cutTag(m.name)
		return path
	}
	name, _, _ := strings.Cut(m.Component, ":")
	return oci.RepoName(name)
}

// image is the artifact at the source of which the target has the very same, as far as this transfer would copy it;
// false if it is something else.
func (p *Plan) image(ctx context.Context, vp *VersionPlan, m *Move) (c ocm.Content, ok bool, err error) {
	err = p.env.Job.Do(ctx, func() error {
		c, ok, err = p.sameImage(ctx, vp, m)
		return err
	})
	return c, ok, err
}

func (p *Plan) sameImage(ctx context.Context, vp *VersionPlan, m *Move) (c ocm.Content, ok bool, err error) {
	from, _ := element(vp.node.Descriptor(), m)
	to, there := from, vp.node.Version // the very same manifest
	if vp.base != nil {
		to, _ = element(vp.base.Descriptor(), m)
		there = vp.base
	}
	have := pinned(*to)
	if oci.IsLocal(to.Type) {
		at, err := there.Blob(ctx, *to)
		if err != nil || !blob.IsManifest(at.Root.MediaType) {
			return c, false, nil //nolint:nilerr // what is wrong with it others tell
		}
		have = at.Root.Digest
	}
	if have == "" || m.transformer != nil {
		return c, false, nil
	}
	c, err = graph.Content(ctx, p.kit, p.env, vp.node.Version, *from)
	if err != nil || c.Root.Digest != have || !blob.IsManifest(c.Root.MediaType) {
		return c, false, err
	}
	if near, is := vp.node.Version.(original); is && oci.IsLocal(from.Type) {
		c = near.Original(c.Root)
	}
	c.Name = vp.Component + " " + m.Element
	c, _, err = p.narrow(ctx, vp, m, c)
	return c, err == nil, err
}

// original is a version that knows where it was asked for; see [oci.Repository].
type original interface {
	Original(d ociv1.Descriptor) ocm.Content
}

// own is the manifest of a version that both sides have.
func (vp *VersionPlan) own() (ocm.Content, bool) {
	v, ok := vp.node.Version.(original)
	if !ok || vp.State == Merge || vp.base != nil && vp.base.Manifest().Digest != vp.node.Manifest().Digest {
		return ocm.Content{}, false
	}
	c := v.Original(vp.node.Manifest())
	c.Name = vp.Component
	return c, true
}

// repository is the OCI repository of the target in which the version is.
func (vp *VersionPlan) repository() string { return oci.RepoName(vp.node.Descriptor().Component.Name) }

func (p *Plan) completeOwn(ctx context.Context, to completer, vp *VersionPlan, own ocm.Content) error {
	lack, err := p.lacking(ctx, to, vp.repository(), own, own.Root)
	if err != nil {
		return fmt.Errorf("%s: %w", vp.Component, err)
	}
	vp.Attached, vp.attachedBytes = lack.Attached, lack.Bytes
	return nil
}

// question is what is asked, and done, once for a plan, however many versions have the same image.
type question struct {
	repository, origin string
	root               digest.Digest
	own, attach        bool
}

// questionAbout names what is asked; false if nothing tells two sources, or two parts of an image, apart.
func questionAbout(repository string, c ocm.Content, subjects []ociv1.Descriptor) (question, bool) {
	return question{repository: repository, origin: c.Origin, root: c.Root.Digest, own: len(subjects) > 0}, c.Origin != "" && c.Skip == nil
}

// lacking asks what is lacking of what is attached to an artifact.
func (p *Plan) lacking(ctx context.Context, to completer, repository string, c ocm.Content, subjects ...ociv1.Descriptor) (oci.Lack, error) {
	q, once := questionAbout(repository, c, subjects)
	if !once {
		return to.LacksAttached(ctx, repository, c, subjects...)
	}
	answer := p.asked.Keep(q, func() any { return &oci.Lack{} }).(*oci.Lack)
	err := p.asked.Once(ctx, q, func() (err error) {
		*answer, err = to.LacksAttached(ctx, repository, c, subjects...)
		return err
	})
	if err != nil {
		return oci.Lack{}, err
	}
	return *answer, nil
}

// attach brings what is attached to a version that stays as it is.
func (p *Plan) attach(ctx context.Context, vp *VersionPlan, t *tally) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.env.Job.Parallel())
	for i := range vp.Moves {
		if m := &vp.Moves[i]; m.Action == Attach {
			g.Go(func() error { return p.attachMove(gctx, vp, m, t) })
		}
	}
	if own, ok := vp.own(); ok && len(vp.Attached) > 0 {
		g.Go(func() error { return p.attachTo(gctx, vp.repository(), own, len(vp.Attached), t, own.Root) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	atomic.AddInt64(&t.completed, 1)
	return nil
}

// attachMove brings what is attached to an image that the target has.
func (p *Plan) attachMove(ctx context.Context, vp *VersionPlan, m *Move, t *tally) error {
	c, ok, err := p.image(ctx, vp, m)
	if err == nil && !ok {
		err = fmt.Errorf("it is another one than when it was planned: %w", ocm.ErrConflict)
	}
	if err == nil {
		err = p.attachTo(ctx, m.repository(), c, len(m.Attached), t)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", m.Kind, m.Element, err)
	}
	return nil
}

// attachTo brings n manifests that are attached to an artifact.
func (p *Plan) attachTo(ctx context.Context, repository string, c ocm.Content, n int, t *tally, subjects ...ociv1.Descriptor) error {
	do := func() error {
		err := p.target.(completer).Attach(ctx, repository, p.fed.again(c), subjects...)
		if err == nil {
			atomic.AddInt64(&t.attached, int64(n))
		}
		return err
	}
	q, once := questionAbout(repository, c, subjects)
	if q.attach = true; !once {
		return do()
	}
	return p.asked.Once(ctx, q, do)
}
