// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// Extract is an [ocm.Transformer] that makes the chart's own archive of an OCI artifact with a chart, as [Find] finds it. Its
// specification has no members. The new content is a [Provider] if there is a provenance file.
type Extract struct{}

// Transform implements [ocm.Transformer].
func (Extract) Transform(ctx context.Context, _ *ocm.Env, c ocm.Content, s ocm.Spec) (ocm.Content, error) {
	members := map[string]ocm.RawJSON{}
	if err := s.Decode(&members); err != nil {
		return ocm.Content{}, err
	}
	if delete(members, "type"); len(members) > 0 {
		return ocm.Content{}, fmt.Errorf("type %s: it has no members, found %.200q: %w", s.Type, strings.Join(slices.Sorted(maps.Keys(members)), ", "), ocm.ErrInvalid)
	}
	found, err := Find(ctx, c)
	if err != nil {
		return ocm.Content{}, err
	}
	made := ocm.Content{Root: ociv1.Descriptor{MediaType: MediaTypeContent, Digest: found.Archive.Root.Digest, Size: found.Archive.Root.Size},
		From: found.Archive.From, Name: c.Name}
	if found.Provenance != nil {
		made.From = provided{made.From, *found.Provenance}
	}
	return made, nil
}

// provided is an archive whose provenance file was found with it.
type provided struct {
	ocm.Fetcher
	provenance ocm.Content
}

// Provenance implements [Provider].
func (p provided) Provenance(ctx context.Context) ([]byte, error) {
	return readLayer(ctx, p.provenance)
}
