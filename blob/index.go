// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// made are documents that were made here, above the places where everything below them is.
type made struct {
	docs map[digest.Digest][]byte
	from []ocm.Fetcher
}

// Fetch implements [ocm.Fetcher].
func (m made) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if raw, ok := m.docs[d.Digest]; ok {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}
	var missing error
	for _, from := range m.from {
		rc, err := from.Fetch(ctx, d)
		if !errors.Is(err, ocm.ErrNotFound) {
			return rc, err
		}
		missing = err
	}
	return nil, missing
}

// add keeps a document and describes it.
func (m made) add(mediaType string, v any) (ociv1.Descriptor, error) {
	raw, err := jsonv2.Marshal(v, jsonv2.Deterministic(true))
	if err == nil && len(raw) > MaxManifest {
		err = fmt.Errorf("index of %d bytes, accepted are %d: %w", len(raw), MaxManifest, ocm.ErrLimit)
	}
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	m.docs[d.Digest] = raw
	return d, nil
}

// IndexOf is a new image index of images for several platforms, which are read from their configurations, in
// the given order. Equal images give equal bytes. [ocm.ErrInvalid] for what is no image of one
// platform, and for two of one platform.
func IndexOf(ctx context.Context, images []ocm.Content) (ocm.Content, error) {
	m := made{docs: map[digest.Digest][]byte{}}
	index := ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: []ociv1.Descriptor{}}
	if len(images) > MaxChildren {
		return ocm.Content{}, fmt.Errorf("%d images, accepted are %d: %w", len(images), MaxChildren, ocm.ErrLimit)
	}
	seen := map[string]bool{}
	for i, c := range images {
		p, err := imagePlatform(ctx, c)
		if err != nil {
			return ocm.Content{}, fmt.Errorf("image %d: %w", i+1, err)
		}
		name := strings.TrimSpace(newPlatform(p.OS, p.Architecture, p.Variant).String() + " " + p.OSVersion)
		if seen[name] {
			return ocm.Content{}, fmt.Errorf("image %d: there is one for %s already: %w", i+1, name, ocm.ErrInvalid)
		}
		seen[name] = true
		entry := ociv1.Descriptor{MediaType: c.Root.MediaType, Digest: c.Root.Digest, Size: c.Root.Size, Platform: p}
		index.Manifests = append(index.Manifests, entry)
		m.from = append(m.from, c.From)
	}
	root, err := m.add(index.MediaType, index)
	return ocm.Content{Root: root, From: m}, err
}

// imagePlatform is what an image is made for, by its configuration.
func imagePlatform(ctx context.Context, c ocm.Content) (*ociv1.Platform, error) {
	if !IsManifest(c.Root.MediaType) || IsIndex(c.Root.MediaType) {
		return nil, fmt.Errorf("expected the manifest of one image, found media type %q: %w", c.Root.MediaType, ocm.ErrInvalid)
	}
	raw, err := ReadAll(ctx, c.From, c.Root, MaxManifest)
	if err != nil {
		return nil, err
	}
	children, err := Children(c.Root, raw)
	if err != nil {
		return nil, err
	}
	config := children[0]
	if raw, err = ReadAll(ctx, c.From, config, MaxManifest); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var p struct {
		ociv1.Platform
		Other ocm.RawJSON `json:",embed"`
	}
	if err := jsonv2.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("configuration %s: %v: %w", config.Digest, err, ocm.ErrInvalid)
	}
	if p.OS == "" || p.Architecture == "" {
		return nil, fmt.Errorf("configuration %s: it does not say os and architecture: %w", config.Digest, ocm.ErrInvalid)
	}
	return &p.Platform, nil
}

// Narrow is the content with only those entries of its index, and of the indexes in it, that belong to the
// platforms that accept says yes to (see [SelectPlatforms]): a new index, with another digest than
// the original one, unless all belong to them. Signatures of the original are none of the new one. What is no
// index stays as it is. [ocm.ErrInvalid] names the platforms that there are if none is accepted.
func Narrow(ctx context.Context, c ocm.Content, accept func(Platform) bool) (ocm.Content, error) {
	s, err := SelectPlatforms(ctx, c.From, c.Root, accept)
	if err != nil || !IsIndex(c.Root.MediaType) {
		return c, err
	}
	if s.Matched == 0 {
		return c, fmt.Errorf("%s: no image for these platforms, there are images for %.500q: %w", c.Root.Digest, s.Offered, ocm.ErrInvalid)
	}
	if len(s.Left) == 0 {
		return c, nil
	}
	n := narrowing{made: made{docs: map[digest.Digest][]byte{}, from: []ocm.Fetcher{c.From}}, from: c.From, skip: s.Skip(), done: map[digest.Digest]ociv1.Descriptor{}}
	root, err := n.index(ctx, c.Root)
	if err != nil {
		return c, err
	}
	c.Root, c.From = ociv1.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}, n.made
	return c, nil
}

type narrowing struct {
	made
	from ocm.Fetcher
	skip func(ociv1.Descriptor) bool
	done map[digest.Digest]ociv1.Descriptor
}

// index writes an index without what is left out; all other members, and the entries that stay, are kept.
// SelectPlatforms has read all of them already, and found them within the limits.
func (n narrowing) index(ctx context.Context, d ociv1.Descriptor) (ociv1.Descriptor, error) {
	if done, ok := n.done[d.Digest]; ok {
		return done, nil
	}
	raw, err := ReadAll(ctx, n.from, d, MaxManifest)
	if err != nil {
		return d, err
	}
	entries, err := Children(d, raw)
	if err != nil {
		return d, err
	}
	var doc struct {
		Manifests []ocm.RawJSON `json:"manifests"`
		Other     ocm.RawJSON   `json:",embed"`
	}
	if err := jsonv2.Unmarshal(raw, &doc); err != nil {
		return d, fmt.Errorf("index %s: %v: %w", d.Digest, err, ocm.ErrInvalid)
	}
	all, changed := doc.Manifests, false
	doc.Manifests = []ocm.RawJSON{}
	for i, e := range entries {
		if n.skip(e) {
			changed = true
			continue
		}
		if IsIndex(e.MediaType) {
			inner, err := n.index(ctx, e)
			if err != nil {
				return d, err
			}
			if inner.Digest != e.Digest {
				changed = true
				if all[i], err = redirected(all[i], inner); err != nil {
					return d, err
				}
			}
		}
		doc.Manifests = append(doc.Manifests, all[i])
	}
	out := d
	if changed {
		if out, err = n.add(d.MediaType, doc); err != nil {
			return d, err
		}
	}
	n.done[d.Digest] = out
	return out, nil
}

// redirected is an entry of an index that leads to another document and stays the same in all else.
func redirected(entry ocm.RawJSON, to ociv1.Descriptor) (ocm.RawJSON, error) {
	var e struct {
		Digest digest.Digest `json:"digest"`
		Size   int64         `json:"size"`
		Data   []byte        `json:"data,omitempty"`
		Other  ocm.RawJSON   `json:",embed"`
	}
	if err := jsonv2.Unmarshal(entry, &e); err != nil {
		return nil, fmt.Errorf("entry of an index: %v: %w", err, ocm.ErrInvalid)
	}
	e.Digest, e.Size, e.Data = to.Digest, to.Size, nil
	return jsonv2.Marshal(e, jsonv2.Deterministic(true))
}
