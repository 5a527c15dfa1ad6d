// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// Lack is what is attached to an artifact where it comes from, and not where it was copied to.
type Lack struct {
	Attached []string // a type and a digest each, or a tag of cosign; sorted
	Bytes    int64    // of the manifests and of what they refer to, as these say
}

// Empty reports whether nothing is lacking.
func (l Lack) Empty() bool { return len(l.Attached) == 0 }

// LacksAttached compares what is attached to the manifests of an artifact, or to those of subjects only, with what the
// OCI repository of this name has, to which the artifact was copied before. Nothing is written. The source is asked first, and
// the target only about manifests to which something is attached there: one request for each that lists
// anything, and one for each tag of cosign. What the copy would leave out does not count; what the target has
// more than the source never does. Empty where one of the two cannot tell, and where both are one place.
// The limits are those of the copy, see [MaxAttached].
func (r *Repository) LacksAttached(ctx context.Context, repository string, c ocm.Content, subjects ...ociv1.Descriptor) (Lack, error) {
	to := r.copierTo(repository)
	_, lists := to.to.(ReferrerLister)
	if c.Alone || !lists || !hasAttachments(c.From) || c.Origin != "" && c.Origin == to.to.Origin() {
		return Lack{}, nil
	}
	w := to.walk(c)
	w.lack = &Lack{}
	err := w.run(ctx, subjects)
	if err != nil {
		return Lack{}, attachedTo(c, err)
	}
	if w.lack.Empty() { // else the copy tells it
		for _, tell := range w.left {
			tell()
		}
	}
	slices.Sort(w.lack.Attached)
	w.lack.Attached = slices.Compact(w.lack.Attached)
	return *w.lack, nil
}

// Attach copies what is attached to the manifests of an artifact, or to those of subjects only, into the OCI repository
// of this name, which has the artifact itself. What is there already is not copied again, and nothing is taken away. Other
// than copies of artifacts it looks each time, also in a job that has copied the artifact before; only the tags of a registry are
// listed once in a job.
func (r *Repository) Attach(ctx context.Context, repository string, c ocm.Content, subjects ...ociv1.Descriptor) error {
	if c.Alone || !hasAttachments(c.From) {
		return nil
	}
	return attachedTo(c, r.copierTo(repository).walk(c).run(ctx, subjects))
}

// copierTo copies into one OCI repository, be it that of a component or of a published artifact.
func (r *Repository) copierTo(repository string) copier {
	component, is := strings.CutPrefix(repository, DescriptorPrefix)
	if !is {
		return publication{r: r, repo: r.store.Repo(repository), path: repository}.copier()
	}
	return copier{env: r.env, to: r.store.Repo(repository), place: place{r, component}}
}

// Original is the content of a manifest of the version in the repository in which the version was asked for. What is
// attached to it is listed there, also where the version itself is read from a copy (see [Repository.Beside]).
func (v *version) Original(d ociv1.Descriptor) ocm.Content {
	from := v.asked()
	return ocm.Content{Root: plain(d), From: from, Origin: from.Origin()}
}

// costs reports whether the target is one where each look costs a request.
func (c copier) costs() bool {
	_, costs := c.to.(ManifestReader)
	return costs
}

// lackLevel notes what the target lacks of a level: referrers that it does not list, and tags that the copy
// would set.
func (w *walk) lackLevel(ctx context.Context, pairs []pair) error {
	groups := bySubject(pairs)
	return each(ctx, w.job(), len(groups), func(ctx context.Context, i int) error { return w.lackOf(ctx, groups[i]) })
}

// lackOf notes what the target lacks of what is attached to one subject.
func (w *walk) lackOf(ctx context.Context, pairs []pair) error {
	listed, err := w.listed(ctx, pairs)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return each(ctx, w.job(), len(pairs), func(ctx context.Context, i int) (err error) {
		p := pairs[i]
		if p.Tag != "" {
			err = w.lackTag(ctx, p)
		} else {
			err = w.lackReferrer(ctx, p, listed[p.Digest])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Attached, err)
		}
		return nil
	})
}

// listed asks a target where that costs requests for the referrers of a subject that has some at the source. What a
// target lists that has no way to tell is not known; then it is taken for everything.
func (w *walk) listed(ctx context.Context, pairs []pair) (map[digest.Digest]bool, error) {
	known := map[digest.Digest]bool{}
	if !w.costs() || !slices.ContainsFunc(pairs, func(p pair) bool { return p.Tag == "" }) {
		return known, nil // each is looked for by itself
	}
	subject := pairs[0].subject
	return known, w.job().Do(ctx, func() error {
		for d, err := range w.to.(ReferrerLister).Referrers(ctx, subject, "") {
			if errors.Is(err, errors.ErrUnsupported) {
				for _, p := range pairs {
					known[p.Digest] = true
				}
				return nil
			}
			if err != nil {
				return fmt.Errorf("referrers of %s: %w", subject.Digest, err)
			}
			known[d.Digest] = true
		}
		return nil
	})
}

// lackReferrer notes a referrer that is one, and that the target neither lists nor has as a whole.
func (w *walk) lackReferrer(ctx context.Context, p pair, there bool) error {
	if !there && !w.costs() {
		there = w.has(ctx, plain(p.Descriptor))
	}
	if there {
		err := w.later(ctx, ocm.Content{Root: plain(p.Descriptor), From: w.from, Origin: w.image.Origin})
		if errors.Is(err, ocm.ErrNotFound) {
			return nil // the source lists it, and has it no more
		}
		return err
	}
	raw, err := w.readReferrer(ctx, p)
	if err != nil || raw == nil {
		return err
	}
	return w.note(ctx, p, plain(p.Descriptor), raw)
}

// lackTag notes a tag of cosign that the copy would set.
func (w *walk) lackTag(ctx context.Context, p pair) error {
	d, raw, err := w.readTag(ctx, w.image.From, p.Tag)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	was, keep, err := w.mayMove(ctx, p, d, raw)
	switch {
	case err != nil || keep:
		return err
	case was == At(d.Digest) && (w.costs() || w.has(ctx, d)):
		return w.later(ctx, ocm.Content{Root: d, From: held{w.from, d.Digest, raw}, Origin: w.image.Origin})
	}
	return w.note(ctx, p, d, raw)
}

// has reports whether a target in which looking costs nothing has a manifest with all below it.
func (w *walk) has(ctx context.Context, d ociv1.Descriptor) bool {
	return w.job().Do(ctx, func() error { return whole(ctx, w.to, d, 0) }) == nil
}

// note remembers something that is lacking, and asks on.
func (w *walk) note(ctx context.Context, p pair, d ociv1.Descriptor, raw []byte) error {
	children, err := blob.Children(d, raw)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.lack.Attached = append(w.lack.Attached, fmt.Sprintf("%.200s", p.Attached))
	w.lack.Bytes += d.Size
	for _, child := range children {
		w.lack.Bytes += max(0, child.Size)
	}
	w.mu.Unlock()
	return w.later(ctx, ocm.Content{Root: d, From: held{w.from, d.Digest, raw}, Origin: w.image.Origin})
}
