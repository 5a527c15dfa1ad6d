// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"fmt"
	"slices"

	"ocm"
	"ocm/blob"
	"ocm/oci/remote"
)

// OCIArtifact is an artifact in a registry, which is packed with everything below its manifest.
var OCIArtifact = ocm.Method{
	Type: ocm.Type{
		Names:  ocm.Versioned("v1", "ociArtifact", "OCIArtifact", "ociImage", "OCIImage", "ociArtefact"),
		About:  "An image, chart or other OCI artifact in a registry, with everything below its manifest.",
		Fields: ocm.FieldsOf(ociSpec{}),
		Notes: []string{
			"The artifact keeps its digest. With platforms, of an index only what belongs to them is packed: that is a new index with a digest of its own; signatures and what else is attached to the original are none of it.",
			"What is no index is packed whole, whatever platforms says.",
		},
	},
	Opener: ocm.OpenerFunc(openOCI),
}

type ociSpec struct {
	Path       string   `json:"path" need:"yes" about:"[scheme://]host/repository[:tag][@digest]"`
	Repository string   `json:"repository" about:"name for uploads, path[:tag], below the component's name; from the root with a / before it"`
	Platforms  []string `json:"platforms" about:"os/architecture[/variant] of the images to take of an index; default all"`
}

func openOCI(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var o ociSpec
	if err := s.Members(&o); err != nil {
		return ocm.Content{}, err
	}
	var wanted []blob.Platform
	for _, text := range o.Platforms {
		p, err := blob.ParsePlatform(text)
		if err != nil {
			return ocm.Content{}, fmt.Errorf("input %s: platforms: %w", s.Type, err)
		}
		wanted = append(wanted, p)
	}
	if err := checkHint(s, o.Repository); err != nil {
		return ocm.Content{}, err
	}
	c, err := remote.OpenArtifact(ctx, env, o.Path)
	if err == nil && len(wanted) > 0 {
		c, err = blob.Narrow(ctx, c, func(p blob.Platform) bool {
			return slices.ContainsFunc(wanted, func(w blob.Platform) bool { return w.Covers(p) })
		})
	}
	if err != nil {
		return ocm.Content{}, fmt.Errorf("input %s: path %s: %w", s.Type, o.Path, err)
	}
	c.Hint = o.Repository
	return c, nil
}
