// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// Media types of Docker's own schema 2, which are copied unread like OCI's.
const (
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Limits of a graph of manifests.
const (
	MaxDepth    = 8       // an index of an index of … a manifest
	MaxChildren = 10_000  // entries of one manifest or index
	MaxNodes    = 100_000 // all nodes below one root
)

// IsIndex reports whether a media type is an OCI index or a Docker manifest list.
func IsIndex(mediaType string) bool {
	return mediaType == ociv1.MediaTypeImageIndex || mediaType == MediaTypeDockerIndex
}

// IsManifest reports whether a media type is a manifest or an index: something that has children.
func IsManifest(mediaType string) bool {
	return mediaType == ociv1.MediaTypeImageManifest || mediaType == MediaTypeDockerManifest || IsIndex(mediaType)
}

// Children returns what a manifest or index refers to: config, then layers, or the manifests
// of an index; not its subject. raw must have been verified against d. A document that is both
// manifest and index, or whose mediaType member says something else than d, is refused
// (CVE-2021-41190).
func Children(d ociv1.Descriptor, raw []byte) ([]ociv1.Descriptor, error) {
	var m struct {
		MediaType string             `json:"mediaType"`
		Config    *ociv1.Descriptor  `json:"config"`
		Layers    []ociv1.Descriptor `json:"layers"`
		FSLayers  ocm.RawJSON        `json:"fsLayers"`
		Manifests []ociv1.Descriptor `json:"manifests"`
		Other     ocm.RawJSON        `json:",embed"`
	}
	if err := jsonv2.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("manifest %s: %v: %w", d.Digest, err, ocm.ErrInvalid)
	}
	if m.MediaType != "" && m.MediaType != d.MediaType {
		return nil, fmt.Errorf("manifest %s: expected media type %s, the document says %s: %w", d.Digest, d.MediaType, m.MediaType, ocm.ErrInvalid)
	}
	isIndex := IsIndex(d.MediaType)
	if isIndex && (m.Config != nil || m.Layers != nil) || !isIndex && m.Manifests != nil || m.FSLayers != nil {
		return nil, fmt.Errorf("manifest %s: the document is a manifest and an index at once: %w", d.Digest, ocm.ErrInvalid)
	}
	children := m.Manifests
	if !isIndex {
		if m.Config == nil {
			return nil, fmt.Errorf("manifest %s: config is missing: %w", d.Digest, ocm.ErrInvalid)
		}
		children = append([]ociv1.Descriptor{*m.Config}, m.Layers...)
	}
	if len(children) > MaxChildren {
		return nil, fmt.Errorf("manifest %s has %d entries, accepted are %d: %w", d.Digest, len(children), MaxChildren, ocm.ErrLimit)
	}
	for _, c := range children {
		if err := CheckDigest(c.Digest); err != nil {
			return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		if c.Size < 0 {
			return nil, fmt.Errorf("manifest %s: entry %s has a negative size: %w", d.Digest, c.Digest, ocm.ErrInvalid)
		}
	}
	return children, nil
}

// Walk calls fn for every node below root and for root itself, children before parents, each
// digest once; twice only where the same digest is named as a manifest and as a plain blob, which
// are two things to store. For manifests and indexes raw holds the verified bytes, for other
// blobs it is nil. A digest that is named with two sizes is [ocm.ErrInvalid]. It bounds depth
// and number of nodes.
func Walk(ctx context.Context, from ocm.Fetcher, root ociv1.Descriptor, fn func(d ociv1.Descriptor, raw []byte) error) error {
	return WalkContent(ctx, ocm.Content{Root: root, From: from}, fn)
}

// WalkContent is [Walk] for content that may leave entries of its indexes behind.
func WalkContent(ctx context.Context, c ocm.Content, fn func(d ociv1.Descriptor, raw []byte) error) error {
	root := c.Root
	type node struct {
		digest   digest.Digest
		manifest bool // else its children could be hidden behind a mention as a layer
	}
	seen := map[node]int64{}
	var visit func(d ociv1.Descriptor, depth int) error
	visit = func(d ociv1.Descriptor, depth int) error {
		n := node{d.Digest, IsManifest(d.MediaType)}
		if size, ok := seen[n]; ok {
			if size != d.Size {
				return fmt.Errorf("%s: %s is named with %d and with %d bytes: %w", root.Digest, d.Digest, size, d.Size, ocm.ErrInvalid)
			}
			return nil
		}
		seen[n] = d.Size
		switch {
		case len(seen) > MaxNodes:
			return fmt.Errorf("%s: more than %d nodes: %w", root.Digest, MaxNodes, ocm.ErrLimit)
		case depth > MaxDepth:
			return fmt.Errorf("%s: indexes nested more than %d deep: %w", root.Digest, MaxDepth, ocm.ErrLimit)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !IsManifest(d.MediaType):
			return fn(d, nil)
		}
		raw, err := ReadAll(ctx, c.From, d, MaxManifest)
		if err != nil {
			return err
		}
		children, err := Children(d, raw)
		if err != nil {
			return err
		}
		for _, child := range Selected(c, d, children) {
			if err := visit(child, depth+1); err != nil {
				return err
			}
		}
		return fn(d, raw)
	}
	return visit(root, 0)
}

// Selected are the children of a node that belong to the content: all, but for those entries of an
// index that stay behind.
func Selected(c ocm.Content, d ociv1.Descriptor, children []ociv1.Descriptor) []ociv1.Descriptor {
	if c.Skip == nil || !IsIndex(d.MediaType) {
		return children
	}
	return slices.DeleteFunc(children, c.Skip)
}

// Check reads the content with everything below it and compares every digest and size.
func Check(ctx context.Context, c ocm.Content) error {
	return WalkContent(ctx, c, func(d ociv1.Descriptor, raw []byte) error {
		if raw != nil {
			return nil // verified by Walk
		}
		r, err := Open(ctx, c.From, d)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = Drain(r, d.Size)
		return err
	})
}

// Bytes is content held in memory.
func Bytes(mediaType string, b []byte) ocm.Content {
	return ocm.Content{
		Root: ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))},
		From: bytesFetcher(b),
	}
}

type bytesFetcher string

func (b bytesFetcher) Fetch(_ context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(b))), nil
}
