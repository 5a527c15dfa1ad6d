// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// OpenBlob is one blob of a repository, which is no manifest. Nothing is sent before it is read; a tag or
// digest of the reference has no say. Like [OpenArtifact] it is meant for references from descriptors.
// [ocm.ErrInvalid] for a reference or digest that is none.
func OpenBlob(env *ocm.Env, reference string, d ociv1.Descriptor) (ocm.Content, error) {
	ref, err := ParseReference(reference)
	if err != nil {
		return ocm.Content{}, err
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return ocm.Content{}, err
	}
	if blob.IsManifest(d.MediaType) {
		return ocm.Content{}, fmt.Errorf("media type %s is that of an artifact, which has a manifest and is no blob: %w", d.MediaType, ocm.ErrInvalid)
	}
	r, err := openDescribed(env, ref)
	if err != nil {
		return ocm.Content{}, err
	}
	return ocm.Content{Root: d, From: r, Origin: r.Origin()}, nil
}
