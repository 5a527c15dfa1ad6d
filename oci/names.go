// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"ocm"
)

// Names and media types of the mapping.
const (
	// DescriptorPrefix is the repository path above a component's name.
	DescriptorPrefix = "component-descriptors/"

	MediaTypeConfig    = "application/vnd.ocm.software.component.config.v1+json"
	mediaTypeConfigOld = "application/vnd.gardener.cloud.cnudie.component.config.v1+json"
	mediaTypeConfigV2  = "application/vnd.oci.gardener.cloud.cnudie.component-descriptor-metadata.config.v2+json"

	// ArtifactTypeDescriptor marks manifests of component versions.
	ArtifactTypeDescriptor = "application/vnd.ocm.software.component-descriptor.v2"

	annotationVersion    = "software.ocm.componentversion"
	annotationCreator    = "software.ocm.creator"
	annotationArtifact   = "software.ocm.artifact"
	annotationDescriptor = "software.ocm.descriptor"

	// creator must not change from build to build: the same input gives the same bytes.
	creator = "ocm"
)

// LocalBlobType is the access type written for content that lives beside the descriptor. Every
// existing implementation reads it.
const LocalBlobType = "localBlob/v1"

// RepoName is the OCI repository of a component below a store.
func RepoName(component string) string { return DescriptorPrefix + component }

// Tag is the tag of a version: "+" is not allowed in tags and becomes ".build-".
func Tag(version string) string { return strings.ReplaceAll(version, "+", ".build-") }

var semverTag = regexp.MustCompile(`^v?\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// versionOf turns a tag back into a version. Tags that are no versions, such as aliases and
// referrer tags, give false.
func versionOf(tag string) (string, bool) {
	if i := strings.LastIndex(tag, ".build-"); i >= 0 {
		tag = tag[:i] + "+" + tag[i+len(".build-"):]
	}
	return tag, semverTag.MatchString(tag)
}

// LocalBlob is the access of content that is stored beside the descriptor.
type LocalBlob struct {
	Type           string      `json:"type"`
	LocalReference string      `json:"localReference" need:"yes" about:"the blob's digest"`
	MediaType      string      `json:"mediaType" about:"media type"`
	ReferenceName  string      `json:"referenceName,omitempty" about:"name in a registry, path[:tag], for uploads"`
	GlobalAccess   ocm.RawJSON `json:"globalAccess,omitempty" about:"another access to the same content"`
}

// IsLocal reports whether an access type is repository-relative and served by [ocm.Version.Blob].
func IsLocal(accessType string) bool {
	switch strings.TrimSuffix(accessType, "/v1") {
	case "localBlob", "LocalBlob", "localFilesystemBlob", "localOciBlob":
		return true
	}
	return false
}

// ParseLocal reads a local access of any of the known forms into the common one. The
// global access that may stand beside it is never followed.
func ParseLocal(s ocm.Spec) (LocalBlob, error) {
	var l struct {
		LocalBlob
		FileName string `json:"fileName"`
		Older    string `json:"filename"` // as the first tools wrote it
		Digest   string `json:"digest"`
	}
	if err := s.Decode(&l); err != nil {
		return LocalBlob{}, err
	}
	for _, alternative := range []string{l.FileName, l.Older, l.Digest} {
		if l.LocalReference == "" {
			l.LocalReference = alternative
		}
	}
	if l.LocalReference == "" {
		return LocalBlob{}, fmt.Errorf("access %s: localReference is missing: %w", s.Type, ocm.ErrInvalid)
	}
	return l.LocalBlob, nil
}

// maxChunks bounds the parts of one local blob.
const maxChunks = 1000

// digests splits a local reference into the digests of its parts. "sha256.<hex>" is the name of
// a blob file of an archive; a comma separates parts of a blob that was stored in pieces.
func (l LocalBlob) digests() ([]digest.Digest, error) {
	parts := strings.Split(l.LocalReference, ",")
	if len(parts) > maxChunks {
		return nil, fmt.Errorf("localReference has %d parts, accepted are %d: %w", len(parts), maxChunks, ocm.ErrLimit)
	}
	out := make([]digest.Digest, len(parts))
	for i, p := range parts {
		p = strings.TrimSpace(p)
		if !strings.Contains(p, ":") {
			p = strings.Replace(p, ".", ":", 1)
		}
		out[i] = digest.Digest(p)
		if err := out[i].Validate(); err != nil {
			return nil, fmt.Errorf("localReference %.200q is no digest: %w", p, ocm.ErrInvalid)
		}
	}
	return out, nil
}
