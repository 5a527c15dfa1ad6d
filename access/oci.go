// SPDX-License-Identifier: Apache-2.0

// Package access opens content that lives outside of component repositories: one file per
// access method. An access is an [ocm.Opener]; package builtin says which type names it has.
//
// An opened access has read just enough to describe its root, so that a plan or a digest of an
// image costs one request, not the image.
package access

import (
	"context"
	"fmt"

	"ocm"
	"ocm/oci/remote"
)

// OCIArtifact is an image, chart or any other OCI artifact in a registry. The spec's field
// imageReference is [scheme://]host/repository[:tag][@digest].
var OCIArtifact ocm.Opener = ocm.OpenerFunc(openOCIArtifact)

func openOCIArtifact(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var a struct {
		ImageReference string `json:"imageReference"`
	}
	if err := s.Decode(&a); err != nil {
		return ocm.Content{}, err
	}
	if a.ImageReference == "" {
		return ocm.Content{}, fmt.Errorf("access %s: imageReference is missing: %w", s.Type, ocm.ErrInvalid)
	}
	return remote.OpenArtifact(ctx, env, a.ImageReference)
}
