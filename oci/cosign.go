// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// tagged is a source that has tags.
type tagged interface {
	Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error)
	Tags(ctx context.Context) iter.Seq2[string, error]
}

// tagsOf lists the tags of an image's repository, once per job; nothing is known of one that has no name.
func (c copier) tagsOf(ctx context.Context, image ocm.Content) (*tagList, error) {
	from, ok := image.From.(tagged)
	if !ok || image.Origin == "" {
		return &tagList{}, nil
	}
	key := tagListOf{image.Origin}
	all := c.job().Keep(key, func() any { return &tagList{} }).(*tagList)
	return all, c.job().Once(ctx, key, func() error {
		return c.job().Do(ctx, func() error { return all.read(ctx, from) })
	})
}

// CosignTags are the tags under which cosign keeps signatures, attestations and lists of contents of a manifest. It knows sha256
// only; the digest was checked.
func CosignTags(d digest.Digest) []string {
	if d.Algorithm() != digest.SHA256 {
		return nil
	}
	var tags []string
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		tags = append(tags, ReferrersTag(d)+suffix)
	}
	return tags
}

// cosignTags finds the tags that cosign made of a digest.
func (c copier) cosignTags(ctx context.Context, image ocm.Content, d digest.Digest, all *tagList) ([]string, error) {
	from, ok := image.From.(tagged)
	if !ok {
		return nil, nil
	}
	var found []string
	for _, tag := range CosignTags(d) {
		there := all.cosign[tag]
		if !there && !all.complete {
			err := c.job().Do(ctx, func() error {
				_, err := from.Resolve(ctx, tag)
				return err
			})
			if err != nil && !errors.Is(err, ocm.ErrNotFound) {
				return found, fmt.Errorf("tag %s: %w", tag, err)
			}
			there = err == nil
		}
		if there {
			found = append(found, tag)
		}
	}
	return found, nil
}

// tagListOf is the key of a repository's tags in a job.
type tagListOf struct{ origin string }

// tagList is what is known about the tags of a repository. It is not changed once it was read.
type tagList struct {
	cosign   map[string]bool // those that are made of digests, also by others than cosign
	complete bool            // what is not here does not exist
}

// read lists tags, if the registry lets us and there are not too many.
func (l *tagList) read(ctx context.Context, from tagged) error {
	l.cosign = map[string]bool{}
	n := 0
	for tag, err := range from.Tags(ctx) {
		if n++; err != nil || n > MaxListedTags {
			return context.Cause(ctx) // not complete; each tag is asked for
		}
		if strings.HasPrefix(tag, "sha256-") {
			l.cosign[tag] = true
		}
	}
	l.complete = true
	return nil
}

// tagTries is how often a tag is looked at that others move at the same time.
const tagTries = 3

// copyTag copies what a tag of cosign points at, and sets the tag. A tag that the target has already
// is moved only if nothing is lost by it.
func (w *walk) copyTag(ctx context.Context, p pair) error {
	d, raw, err := w.readTag(ctx, w.image.From, p.Tag)
	if errors.Is(err, ocm.ErrNotFound) {
		w.leave(p, "it is listed, but not there")
		return nil
	}
	if err != nil {
		return err
	}
	for range tagTries {
		was, keep, err := w.mayMove(ctx, p, d, raw)
		switch {
		case err != nil:
			return err
		case keep:
			return nil
		case was == At(d.Digest) && w.costs(): // it is there, but what is attached to it may not be
			return w.later(ctx, ocm.Content{Root: d, From: held{w.from, d.Digest, raw}})
		}
		if err := w.copyNode(ctx, d, raw); err != nil {
			return err
		}
		err = w.job().Do(ctx, func() error { return w.to.PutManifest(ctx, d, raw, p.Tag, was) })
		if !errors.Is(err, ocm.ErrExists) && !errors.Is(err, ocm.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("the target's tag moves all the time: %w", ocm.ErrConflict)
}

// mayMove looks at the target's tag. keep says that it stays where it is; was is its state otherwise.
func (w *walk) mayMove(ctx context.Context, p pair, d ociv1.Descriptor, raw []byte) (was Was, keep bool, err error) {
	var old ociv1.Descriptor
	err = w.job().Do(ctx, func() (err error) {
		old, err = w.to.Resolve(ctx, p.Tag)
		return err
	})
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		return Absent(), false, nil
	case errors.Is(err, ocm.ErrInvalid) && !w.costs(): // the archive has lost what its tag leads to
		return Any(), false, nil
	case err != nil || old.Digest == d.Digest:
		return At(old.Digest), false, err
	}
	old, oldRaw, err := w.readTag(ctx, w.to, old.Digest.String())
	switch {
	case err != nil:
		return At(old.Digest), false, fmt.Errorf("at the target: %w", err)
	case covers(raw, oldRaw):
		return At(old.Digest), false, nil
	case !covers(oldRaw, raw):
		w.leave(p, fmt.Sprintf("the target's tag is at %s, which holds something else; it stays there", old.Digest))
	}
	return At(old.Digest), true, nil
}

// readTag reads a manifest by a tag or a digest.
func (w *walk) readTag(ctx context.Context, from ocm.Fetcher, ref string) (d ociv1.Descriptor, raw []byte, err error) {
	err = w.job().Do(ctx, func() (err error) {
		if r, ok := from.(ManifestReader); ok {
			d, raw, err = r.ReadManifest(ctx, ref)
			return err
		}
		if d, err = from.(tagged).Resolve(ctx, ref); err == nil {
			raw, err = blob.ReadAll(ctx, from, d, blob.MaxManifest)
		}
		return err
	})
	if err == nil && !blob.IsManifest(d.MediaType) {
		err = fmt.Errorf("%s: expected a manifest, found media type %.100q: %w", ref, d.MediaType, ocm.ErrInvalid)
	}
	return plain(d), raw, err
}

// covers reports whether a manifest has all layers of another one. Cosign's manifests are lists to which
// signatures are added as layers. The layers of two signatures may be the same bytes: the signature
// itself stands in the annotations, so these must be the same, too.
func covers(raw, otherRaw []byte) bool {
	layers, ok := layersOf(raw)
	others, otherOK := layersOf(otherRaw)
	if !ok || !otherOK {
		return false
	}
	have := map[string]bool{}
	for _, l := range layers {
		have[layerKey(l)] = true
	}
	return !slices.ContainsFunc(others, func(o ociv1.Descriptor) bool { return !have[layerKey(o)] })
}

func layerKey(d ociv1.Descriptor) string {
	return string(mustJSON(ociv1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Annotations: d.Annotations}))
}

// layersOf reads the layers of a manifest; an index has none.
func layersOf(raw []byte) ([]ociv1.Descriptor, bool) {
	var m struct {
		Config *ociv1.Descriptor  `json:"config"`
		Layers []ociv1.Descriptor `json:"layers"`
	}
	ok := jsonv2.Unmarshal(raw, &m) == nil && m.Config != nil
	return m.Layers, ok
}
