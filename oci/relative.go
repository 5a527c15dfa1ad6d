// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
)

// MaxRelative bounds the text of a relative reference, in characters.
const MaxRelative = 1024

// What the distribution specification allows. Two dots never stand beside each other, no element is empty,
// and nothing but a name can come before the tag: such a path cannot leave the place that it is put below.
var (
	relativePath = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	})
	relativeTag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`) })
)

// Types describes the accesses that are relative to the repository of their descriptor; [ocm.Version.Blob]
// opens them.
func Types() []ocm.Type {
	return []ocm.Type{
		{
			Names: ocm.Versioned("v1", "localBlob", "LocalBlob"), About: "Content that is stored beside the descriptor.", Fields: ocm.FieldsOf(LocalBlob{}),
			Notes: []string{"A localReference may be a list of digests, separated by commas, of a blob that was stored in pieces.", "The globalAccess is carried and never followed."},
		},
		{Names: ocm.Versioned("v1", "localFilesystemBlob"), About: "The same, as older archives wrote it.", Fields: ocm.FieldsOf(struct {
			FileName  string `json:"fileName" need:"yes" about:"name of the blob's file, sha256.hex"`
			MediaType string `json:"mediaType" about:"media type"`
		}{})},
		{Names: ocm.Versioned("v1", "localOciBlob"), About: "The same, as older registries have it.", Fields: ocm.FieldsOf(struct {
			Digest string `json:"digest" need:"yes" about:"the blob's digest"`
		}{})},
		{
			Names: ocm.Versioned("v1", "relativeOciReference"), About: "An OCI artifact in the repository that the descriptor lies in.", Fields: ocm.FieldsOf(RelativeReference{}),
			Notes: []string{"The path is always one below the repository, never a host. A transfer stores the artifact beside its descriptor: elsewhere the path would lead nowhere."},
		},
	}
}

// RelativeReference is the access of an artifact in a repository of its own below the same store.
type RelativeReference struct {
	Type      string      `json:"type"`
	Reference string      `json:"reference" need:"yes" about:"path[:tag][@digest] below the repository"`
	Rest      ocm.RawJSON `json:",embed"`
}

// IsRelative reports whether an access type is one of an artifact in the repository of its descriptor,
// which is served by [ocm.Version.Blob] though it is not content of the version.
func IsRelative(accessType string) bool {
	return strings.TrimSuffix(accessType, "/v1") == "relativeOciReference"
}

// ParseRelative reads such an access: the path of an OCI repository, and a tag or digest in it, which is
// "latest" if none is said; a digest wins. [ocm.ErrInvalid] for what could lead out of the repository.
func ParseRelative(s ocm.Spec) (path, ref string, err error) {
	var r RelativeReference
	if err := s.Members(&r); err != nil {
		return "", "", err
	}
	bad := func(why string) (string, string, error) {
		return "", "", fmt.Errorf("access %s: reference %.200q %s; expected path[:tag][@digest] below the repository: %w", s.Type, r.Reference, why, ocm.ErrInvalid)
	}
	if len(r.Reference) > MaxRelative {
		return bad(fmt.Sprintf("is longer than %d characters", MaxRelative))
	}
	rest, sum, pinned := strings.Cut(r.Reference, "@")
	path, tag := splitTag(rest)
	switch {
	case !relativePath().MatchString(path):
		return bad("is no path")
	case path == strings.TrimSuffix(DescriptorPrefix, "/") || strings.HasPrefix(path, DescriptorPrefix):
		return bad("leads to component versions") // they are opened as such, and checked
	case tag == "" && path != rest || tag != "" && !relativeTag().MatchString(tag):
		return bad("has no proper tag")
	case pinned && blob.CheckDigest(digest.Digest(sum)) != nil:
		return bad("has no proper digest")
	case pinned:
		return path, sum, nil
	case tag == "":
		return path, "latest", nil
	}
	return path, tag, nil
}

// Artifact finds the artifact of a relative reference below the store, and pins it. [ocm.ErrInvalid] for a
// reference that could lead out of it, [ocm.ErrNotFound] if it is not there.
func (r *Repository) Artifact(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	path, ref, err := ParseRelative(access)
	if err != nil {
		return ocm.Content{}, err
	}
	repo := r.store.Repo(path)
	root, err := repo.Resolve(ctx, ref)
	if err == nil && !blob.IsManifest(root.MediaType) {
		err = fmt.Errorf("media type %q is not that of an artifact: %w", root.MediaType, ocm.ErrInvalid)
	}
	if err != nil {
		return ocm.Content{}, fmt.Errorf("%s: %s:%s: %w", r, path, ref, err)
	}
	return ocm.Content{Root: plain(root), From: repo, Origin: repo.Origin()}, nil
}

// relative is the artifact of a relative reference in the repository that the version was opened in.
func (v *version) relative(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	if v.in == nil {
		return ocm.Content{}, fmt.Errorf("access %s: it is not known which repository the version lies in: %w", access.Type, errors.ErrUnsupported)
	}
	return v.in.Artifact(ctx, access)
}

// In is the repository that the version was opened in; nil if that is not known. It lives no longer than
// that is open.
func (v *version) In() ocm.Repository {
	if v.in == nil {
		return nil
	}
	return v.in
}
