// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// ReferrersTag is the tag of the index that lists the referrers of a manifest where there is no
// other way to list them: "sha256-<hex>", the referrers tag schema of the distribution
// specification 1.1. The digest was checked.
func ReferrersTag(d digest.Digest) string {
	return fmt.Sprintf("%.32s-%.64s", d.Algorithm(), d.Encoded())
}

// AsReferrer reads from a manifest or index which manifest it refers to by its subject, and describes
// it as the distribution specification wants it in lists of referrers: with annotations, and with the
// artifact type, for which the media type of an image manifest's config may stand in. subject is
// empty if there is none. [ocm.ErrInvalid] if raw is no manifest; raw must have been verified against d.
func AsReferrer(d ociv1.Descriptor, raw []byte) (subject digest.Digest, referrer ociv1.Descriptor, err error) {
	var m struct {
		Subject *struct {
			Digest digest.Digest `json:"digest"`
		} `json:"subject"`
		ArtifactType string `json:"artifactType"`
		Config       struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := jsonv2.Unmarshal(raw, &m); err != nil {
		return "", d, fmt.Errorf("manifest %s: %v: %w", d.Digest, err, ocm.ErrInvalid)
	}
	if m.Subject == nil {
		return "", plain(d), nil
	}
	if err := blob.CheckDigest(m.Subject.Digest); err != nil {
		return "", d, fmt.Errorf("manifest %s: subject: %w", d.Digest, err)
	}
	referrer = plain(d)
	referrer.Annotations, referrer.ArtifactType = m.Annotations, m.ArtifactType
	if referrer.ArtifactType == "" && d.MediaType == ociv1.MediaTypeImageManifest {
		referrer.ArtifactType = m.Config.MediaType
	}
	return m.Subject.Digest, referrer, nil
}
