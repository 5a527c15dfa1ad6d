// SPDX-License-Identifier: Apache-2.0

// Package access opens content that lives outside of component repositories: one file per
// access method. An access is an [ocm.Opener]; package builtin says which type names it has.
//
// An opened access has read just enough to describe its root, so that a plan or a digest of an
// image costs one request, not the image.
package access

import (
	"context"
	"strings"

	"ocm"
	"ocm/oci/remote"
)

// All lists the access methods of this package.
func All() []ocm.Method {
	return []ocm.Method{
		OCIArtifact, OCIBlob, Helm,
		Git, GitHub, Maven, NPM, S3, S3V1, S3V2, Wget,
		File, None,
	}
}

// OCIArtifact is an image, chart or any other OCI artifact in a registry.
var OCIArtifact = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "ociArtifact", "OCIArtifact", "ociImage", "OCIImage", "ociRegistry"),
		About:     "An image, chart or other OCI artifact in a registry, with everything below its manifest.",
		Fields:    ocm.FieldsOf(ociArtifact{}),
		Pins:      "tag to digest",
		Consumers: []string{"OCIRegistry"},
	},
	Opener: ocm.OpenerFunc(openOCIArtifact),
}

type ociArtifact struct {
	Type           string      `json:"type"`
	ImageReference string      `json:"imageReference" need:"yes" about:"[scheme://]host/repository[:tag][@digest]"`
	Rest           ocm.RawJSON `json:",embed"`
}

func openOCIArtifact(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var a ociArtifact
	if err := s.Members(&a); err != nil {
		return ocm.Content{}, err
	}
	c, err := remote.OpenArtifact(ctx, env, a.ImageReference)
	if err != nil || strings.Contains(a.ImageReference, "@") {
		return c, err
	}
	// the tag may move, the component may not
	a.ImageReference += "@" + c.Root.Digest.String()
	pinned, err := ocm.NewSpec(a)
	c.Pinned = &pinned
	return c, err
}
