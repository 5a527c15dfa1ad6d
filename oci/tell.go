// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// What is attached to an image is told where the image is in another process than the one that copies it: who has it answers with
// [Attachments], who wants it asks through [Telling].

// Attacher is an [ocm.Version] that can tell what is attached to its manifest.
type Attacher interface {
	// Attached lists it, as far as its repository says. [errors.ErrUnsupported] if there is no way to know.
	Attached(ctx context.Context) ([]Attached, error)
}

// Tells reports whether the source of a content can tell what is attached to its manifests, and that is to travel with it.
func Tells(c ocm.Content) bool {
	return !c.Alone && blob.IsManifest(c.Root.MediaType) && hasAttachments(c.From)
}

// Attachments lists what is attached to one manifest where the content comes from, with what is under cosign's tags now. Nothing of it was
// read: whether a referrer is one is for who copies it to find out. [errors.ErrUnsupported] if the content is one of which [Tells] is not
// true, [ocm.ErrLimit] for more than [MaxAttached].
func Attachments(ctx context.Context, env *ocm.Env, c ocm.Content, subject digest.Digest) ([]Attached, error) {
	if !Tells(c) {
		return nil, fmt.Errorf("what is attached to %.200q cannot be told: %w", subject, errors.ErrUnsupported)
	}
	if err := blob.CheckDigest(subject); err != nil {
		return nil, err
	}
	d := ociv1.Descriptor{Digest: subject, Size: -1}
	listed, err := copier{env: env}.attachments(ctx, c, d)
	if err != nil {
		return nil, err
	}
	list := make([]Attached, 0, len(listed))
	for _, a := range listed {
		if a.Tag != "" {
			found, err := c.From.(tagged).Resolve(ctx, a.Tag)
			if errors.Is(err, ocm.ErrNotFound) {
				continue // lists may be older than what they list
			}
			if err != nil {
				return nil, fmt.Errorf("tag %s: %w", a.Tag, err)
			}
			a.Descriptor = plain(found)
		}
		list = append(list, a)
	}
	if len(list) > MaxAttached {
		return nil, tooMany(d)
	}
	return list, nil
}

// maxNamed bounds the attachments that a message names.
const maxNamed = 20

// NamesOf names attachments for a message, not more than people read.
func NamesOf(list []Attached) []string {
	var names []string
	for _, a := range list[:min(len(list), maxNamed)] {
		names = append(names, a.String())
	}
	if more := len(list) - maxNamed; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return names
}

// LeftBehind lists what is attached to the manifests of a content for somebody who asked for some of it. answered returns what he was
// told about a manifest, and false if he did not ask: then what is attached to that is left behind. [ocm.ErrLimit] beyond the limits that
// copying has.
func LeftBehind(ctx context.Context, env *ocm.Env, c ocm.Content, answered func(subject digest.Digest) ([]Attached, bool)) (left []Attached, err error) {
	if !Tells(c) {
		return nil, nil
	}
	subjects, err := copier{env: env}.manifests(ctx, c)
	if err != nil {
		return nil, err
	}
	seen := map[digest.Digest]bool{}
	for depth := 0; depth <= MaxAttachedDepth && len(subjects) > 0; depth++ {
		var next []Attached
		for _, s := range subjects {
			if seen[s.Digest] {
				continue
			}
			if seen[s.Digest] = true; len(seen) > MaxSubjects {
				return left, fmt.Errorf("more than %d manifests that may have something attached: %w", MaxSubjects, ocm.ErrLimit)
			}
			list, asked := answered(s.Digest)
			if asked {
				next = append(next, list...)
				continue
			}
			if list, err = Attachments(ctx, env, c, s.Digest); err != nil {
				return left, err
			}
			if left = append(left, list...); len(left) > MaxAttached {
				return left, tooMany(c.Root)
			}
		}
		if subjects, err = below(ctx, env, c, next); err != nil {
			return left, err
		}
	}
	return left, nil
}

// below lists the manifests of what is attached.
func below(ctx context.Context, env *ocm.Env, c ocm.Content, attached []Attached) (all []ociv1.Descriptor, err error) {
	for _, a := range attached {
		list, err := copier{env: env}.manifests(ctx, ocm.Content{Root: a.Descriptor, From: c.From})
		if err != nil && !errors.Is(err, ocm.ErrNotFound) { // lists may be older than what they list
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// Telling makes a source that tells what is attached, as [ReferrerLister] and by cosign's tags, by asking somebody else, who answers as
// [Attachments] does. What he answers is held against what was asked: [ocm.ErrInvalid] for what can be no attachment of that manifest,
// [ocm.ErrLimit] for more than [MaxAttached]. Annotations of referrers are not told.
func Telling(from ocm.Fetcher, ask func(ctx context.Context, subject digest.Digest) ([]Attached, error)) ocm.Fetcher {
	return &telling{Fetcher: from, ask: ask, said: map[digest.Digest][]Attached{}}
}

// maxSaid bounds the answers that are kept, each for the tags of the manifest whose referrers were just asked for.
const maxSaid = 64

type telling struct {
	ocm.Fetcher
	ask func(ctx context.Context, subject digest.Digest) ([]Attached, error)

	mu   sync.Mutex
	said map[digest.Digest][]Attached
}

func (t *telling) attached(ctx context.Context, subject digest.Digest) ([]Attached, error) {
	list, err := t.ask(ctx, subject)
	if err == nil {
		err = checkAttached(subject, list)
	}
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.said) >= maxSaid {
		clear(t.said)
	}
	t.said[subject] = list
	return list, nil
}

// checkAttached refuses an answer that cannot be one.
func checkAttached(subject digest.Digest, list []Attached) error {
	if len(list) > MaxAttached {
		return tooMany(ociv1.Descriptor{Digest: subject})
	}
	tags := CosignTags(subject)
	for _, a := range list {
		at := slices.Index(tags, a.Tag)
		switch {
		case a.Tag != "" && at < 0:
			return fmt.Errorf("attached to %s: %.200q is no tag of cosign for it, or comes twice: %w", subject, a.Tag, ocm.ErrInvalid)
		case a.MediaType == "" || len(a.MediaType) > maxTypeName || len(a.ArtifactType) > maxTypeName || a.Size < 0:
			return fmt.Errorf("attached to %s: %.200q lacks media type or size, or has one that is none: %w", subject, a.Digest, ocm.ErrInvalid)
		}
		if err := blob.CheckDigest(a.Digest); err != nil {
			return fmt.Errorf("attached to %s: %w", subject, err)
		}
		if at >= 0 {
			tags = slices.Delete(tags, at, at+1)
		}
	}
	return nil
}

// maxTypeName bounds a media type, in bytes: 127 for each of its two names (RFC 6838, 4.2).
const maxTypeName = 255

// Referrers implements [ReferrerLister]. It always asks.
func (t *telling) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		list, err := t.attached(ctx, d.Digest)
		if err != nil {
			yield(ociv1.Descriptor{}, err)
			return
		}
		for _, a := range list {
			if a.Tag == "" && (artifactType == "" || a.ArtifactType == artifactType) && !yield(a.Descriptor, nil) {
				return
			}
		}
	}
}

// Resolve finds a tag of cosign, by what was answered last about its manifest. It knows no other tags.
func (t *telling) Resolve(ctx context.Context, tag string) (ociv1.Descriptor, error) {
	hex, _, _ := strings.Cut(strings.TrimPrefix(tag, "sha256-"), ".")
	subject := digest.NewDigestFromEncoded(digest.SHA256, hex)
	if subject.Validate() != nil || !slices.Contains(CosignTags(subject), tag) {
		return ociv1.Descriptor{}, fmt.Errorf("%.200q is no tag of cosign: %w", tag, errors.ErrUnsupported)
	}
	t.mu.Lock()
	list, said := t.said[subject]
	t.mu.Unlock()
	if !said {
		var err error
		if list, err = t.attached(ctx, subject); err != nil {
			return ociv1.Descriptor{}, err
		}
	}
	for _, a := range list {
		if a.Tag == tag {
			return a.Descriptor, nil
		}
	}
	return ociv1.Descriptor{}, fmt.Errorf("tag %s: %w", tag, ocm.ErrNotFound)
}

// Tags cannot list: each tag of cosign is known with its manifest.
func (t *telling) Tags(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		yield("", fmt.Errorf("tags of another process: %w", errors.ErrUnsupported))
	}
}
