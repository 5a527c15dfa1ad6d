// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// feed brings large content of sources that are read front to back: instead of every version asking for
// its blobs, every blob is given to the versions that need it when it comes by. After
// that the run finds everything in its place. A target that is written as a whole takes the
// content when it is finished.
type feed struct {
	plan  *Plan
	from  []ocm.Sequential
	needs map[digest.Digest][]need
	mixed bool // some content must be read again, to compare it otherwise than by its digest

	drafts map[string]ocm.Draft // by component version
	taken  bool                 // the sources were read

	mu   sync.Mutex
	came map[digest.Digest]ocm.Content // what came by, where it is now
}

// need is a blob of a version that is to be written.
type need struct {
	version *VersionPlan
	root    ociv1.Descriptor
}

// sequential is a version or repository whose content may come in an order; see [oci.Repository].
type sequential interface {
	Sequential() (ocm.Sequential, bool)
}

// feeding is a target that may be an [oci.Feeder].
type feeding interface {
	Feeder() (oci.Feeder, bool)
}

// feed reads the sequential sources of the plan, if there are any, and stores what is needed of them.
func (p *Plan) feed(ctx context.Context) error {
	f := &feed{plan: p, needs: map[digest.Digest][]need{}, drafts: map[string]ocm.Draft{}, came: map[digest.Digest]ocm.Content{}}
	for _, vp := range p.Versions {
		if err := f.expand(ctx, vp); err != nil {
			return fmt.Errorf("%s: %w", vp.Component, err)
		}
	}
	if len(f.from) == 0 {
		return nil
	}
	p.fed = f
	if _, later := feederOf(p.target); later && !f.mixed && !p.o.Unfinished {
		return nil
	}
	f.taken = true
	defer f.close()
	for _, src := range f.from {
		if err := src.Each(ctx, func(d ociv1.Descriptor, r io.Reader) error { return f.take(ctx, d, r) }); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	return nil
}

// finish makes the target visible if that is a step of its own.
func (p *Plan) finish(ctx context.Context) error {
	if p.o.Unfinished {
		return nil
	}
	if feeder, ok := feederOf(p.target); ok && p.fed != nil && !p.fed.taken {
		return feeder.FinishFrom(ctx, p.fed.from...)
	}
	if f, ok := p.target.(ocm.Finisher); ok {
		return f.Finish(ctx)
	}
	return nil
}

func feederOf(target ocm.Repository) (oci.Feeder, bool) {
	if f, ok := target.(feeding); ok {
		return f.Feeder()
	}
	return nil, false
}

// expand notes what a version needs of a sequential source.
func (f *feed) expand(ctx context.Context, vp *VersionPlan) error {
	if vp.State == Identical || vp.State == Kept {
		return nil
	}
	s, ok := vp.node.Version.(sequential)
	if !ok {
		return nil
	}
	src, ok := s.Sequential()
	if !ok {
		return nil
	}
	known := false
	for _, have := range f.from {
		known = known || have == src
	}
	if !known {
		f.from = append(f.from, src)
	}
	if own, ok := vp.own(); ok && (len(vp.Attached) > 0 || vp.State == Absent && vp.whole()) {
		if err := f.expandAttached(ctx, vp, own.From, own.Root, map[digest.Digest]bool{}, 0); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	for i := range vp.Moves {
		m := &vp.Moves[i]
		if m.Action == Attach {
			if err := f.expandAttach(ctx, vp, m); err != nil {
				return fmt.Errorf("source: %s %s: %w", m.Kind, m.Element, err)
			}
			continue
		}
		if m.Action != Copy && m.uploader == nil {
			continue
		}
		access, want := element(vp.node.Descriptor(), m)
		if !oci.IsLocal(access.Type) && !oci.IsRelative(access.Type) {
			continue
		}
		c, err := vp.node.Version.Blob(ctx, *access)
		if err == nil && c.Root.Digest != "" {
			err = f.expandContent(ctx, vp, m, c, want)
		}
		if err != nil {
			return fmt.Errorf("source: %s %s: %w", m.Kind, m.Element, err)
		}
	}
	return nil
}

func (f *feed) expandContent(ctx context.Context, vp *VersionPlan, m *Move, c ocm.Content, want *ocm.Digest) error {
	if !want.Empty() && !want.Excluded() && !addressed(c.Root, want) || m.transformer != nil || m.uploader != nil {
		f.mixed = true
	}
	c, _, err := f.plan.narrow(ctx, vp, m, c)
	if err != nil {
		return err
	}
	return f.expandGraph(ctx, vp, c, map[digest.Digest]bool{}, 0)
}

// expandAttach notes the blobs of what is attached to an image that the target has. Those that it has of them, too, come by in vain.
func (f *feed) expandAttach(ctx context.Context, vp *VersionPlan, m *Move) error {
	c, ok, err := f.plan.image(ctx, vp, m)
	if err != nil || !ok || !oci.IsLocal(m.Access) && !oci.IsRelative(m.Access) {
		return err
	}
	asked := map[digest.Digest]bool{}
	return blob.WalkContent(ctx, c, func(d ociv1.Descriptor, raw []byte) error {
		if raw == nil {
			return nil
		}
		return f.expandAttached(ctx, vp, c.From, d, asked, 0)
	})
}

// expandGraph notes the blobs of content, and of what is attached to it. No manifest is asked twice what is attached to it.
func (f *feed) expandGraph(ctx context.Context, vp *VersionPlan, c ocm.Content, asked map[digest.Digest]bool, depth int) error {
	return blob.WalkContent(ctx, c, func(d ociv1.Descriptor, raw []byte) error {
		if raw == nil {
			f.needs[d.Digest] = append(f.needs[d.Digest], need{vp, d})
			return nil
		}
		return f.expandAttached(ctx, vp, c.From, d, asked, depth)
	})
}

// expandAttached notes the blobs of what is attached to a manifest.
func (f *feed) expandAttached(ctx context.Context, vp *VersionPlan, from ocm.Fetcher, d ociv1.Descriptor, asked map[digest.Digest]bool, depth int) error {
	at, ok := from.(attaching)
	if !ok || f.plan.o.NoReferrers || depth == oci.MaxAttachedDepth || asked[d.Digest] {
		return nil
	}
	if asked[d.Digest] = true; len(asked) > oci.MaxAttachedNodes {
		return fmt.Errorf("more than %d manifests: %w", oci.MaxAttachedNodes, ocm.ErrLimit)
	}
	for r, err := range at.Referrers(ctx, d, "") {
		if err == nil {
			err = f.expandGraph(ctx, vp, ocm.Content{Root: r, From: from}, asked, depth+1)
		}
		if err != nil {
			return fmt.Errorf("attached to %s: %w", d.Digest, err)
		}
	}
	for _, tag := range oci.CosignTags(d.Digest) {
		r, err := at.Resolve(ctx, tag)
		if errors.Is(err, ocm.ErrNotFound) {
			continue
		}
		if err == nil {
			err = f.expandGraph(ctx, vp, ocm.Content{Root: r, From: from}, asked, depth+1)
		}
		if err != nil {
			return fmt.Errorf("attached to %s: tag %s: %w", d.Digest, tag, err)
		}
	}
	return nil
}

// take stores a blob that comes by for all who need it: the first one reads the stream, the others
// take it from there.
func (f *feed) take(ctx context.Context, d ociv1.Descriptor, r io.Reader) error {
	_, whole := feederOf(f.plan.target)
	for i, n := range f.needs[d.Digest] {
		draft, err := f.draft(ctx, n.version)
		if err != nil {
			return err
		}
		c := ocm.Content{Root: n.root, From: &once{r: r}}
		if i > 0 {
			var again bool
			if c, again = f.get(d.Digest); !again {
				c.From = &once{} // the target may have it for all; if not, nobody has
			}
			c.Root = n.root
		}
		if whole && i == 0 { // it would put off reading
			c.Root.Digest, c.Root.Size = "", -1
		}
		stored, err := draft.Add(ctx, c, "")
		if err == nil && (stored.Root.Digest != n.root.Digest || stored.Root.Size != n.root.Size) {
			err = fmt.Errorf("blob: expected %s, found %s: %w", n.root.Digest, stored.Root.Digest, ocm.ErrDigest)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.version.Component, err)
		}
		if a, ok := draft.(interface {
			Added(root ociv1.Descriptor) ocm.Content
		}); ok && i == 0 {
			f.put(a.Added(stored.Root))
		}
	}
	return nil
}

func (f *feed) draft(ctx context.Context, vp *VersionPlan) (ocm.Draft, error) {
	if d := f.drafts[vp.Component]; d != nil {
		return d, nil
	}
	c := &vp.node.Descriptor().Component
	d, err := f.plan.target.Draft(ctx, c.Name, c.Version, vp.base)
	if err == nil {
		f.drafts[vp.Component] = d
	}
	return d, err
}

// close drops the drafts: what was added to them is there, and is found when the versions are written.
func (f *feed) close() {
	for _, d := range f.drafts {
		d.Close()
	}
}

func (f *feed) get(d digest.Digest) (ocm.Content, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.came[d]
	return c, ok
}

func (f *feed) put(c ocm.Content) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.came[c.Root.Digest] = c
}

// again makes content readable that came by: it is read from its new place.
func (f *feed) again(c ocm.Content) ocm.Content {
	if f == nil {
		return c
	}
	from := again{f, c.From}
	c.From = from
	if a, ok := from.from.(attaching); ok {
		c.From = againAttaching{from, a}
	}
	return c
}

// attaching is a source that tells what is attached to an image.
type attaching interface {
	oci.ReferrerLister
	Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error)
	Tags(ctx context.Context) iter.Seq2[string, error]
}

// againAttaching is again for such a source: who asks for what is attached must see that it can tell.
type againAttaching struct {
	again
	attaching
}

// CheckStrays implements [oci.StrayChecker], if the source does.
func (a againAttaching) CheckStrays(ctx context.Context, subject digest.Digest) error {
	if c, ok := a.attaching.(oci.StrayChecker); ok {
		return c.CheckStrays(ctx, subject)
	}
	return nil
}

type again struct {
	f    *feed
	from ocm.Fetcher
}

func (a again) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if c, ok := a.f.get(d.Digest); ok {
		return c.From.Fetch(ctx, d)
	}
	return a.from.Fetch(ctx, d)
}

// once is content that can be read once.
type once struct {
	mu sync.Mutex
	r  io.Reader
}

func (o *once) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.r
	if o.r = nil; r == nil {
		return nil, fmt.Errorf("blob %s came by and cannot be read again: repeat the whole transfer, or save the stream into a file first: %w", d.Digest, ocm.ErrLimit)
	}
	return io.NopCloser(r), nil
}
