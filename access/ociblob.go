// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci/remote"
)

// OCIBlob is one blob in a registry, such as a layer. Nothing is asked before it is read: the access says all.
var OCIBlob = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "ociBlob", "OCIBlob", "OCIImageLayer", "ociImageLayer"),
		About:     "One blob in a registry, such as a layer of an image.",
		Fields:    ocm.FieldsOf(ociBlob{}),
		Consumers: []string{"OCIRegistry"},
		Notes:     []string{"Digest and size are compared while the blob is read. A manifest is no blob; ociArtifact leads to it."},
	},
	Opener: ocm.OpenerFunc(openOCIBlob),
}

type ociBlob struct {
	Ref       string        `json:"ref" need:"yes" about:"[scheme://]host/repository"`
	Digest    digest.Digest `json:"digest" need:"yes" about:"the blob's digest, algorithm:hex"`
	Size      *int64        `json:"size" need:"yes" about:"the blob's size in bytes"`
	MediaType string        `json:"mediaType" about:"media type; default application/octet-stream"`
}

func openOCIBlob(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var a ociBlob
	if err := s.Members(&a); err != nil {
		return ocm.Content{}, err
	}
	d := ociv1.Descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: *a.Size}
	if d.MediaType == "" {
		d.MediaType = "application/octet-stream"
	}
	if d.Size < 0 {
		return ocm.Content{}, fmt.Errorf("access %s: size %d: %w", s.Type, d.Size, ocm.ErrInvalid)
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return ocm.Content{}, fmt.Errorf("access %s: %w", s.Type, err)
	}
	c, err := remote.OpenBlob(env, a.Ref, d)
	if err != nil {
		return c, fmt.Errorf("access %s: ref or mediaType: %w", s.Type, err)
	}
	return c, ctx.Err()
}
