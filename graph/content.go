// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// legacyArtifactDigest is an old spelling of [ocm.OCIArtifactDigest].
const legacyArtifactDigest = "ociArtefactDigest/v1"

// Content opens what an access refers to: beside the version's descriptor if the access is
// repository-relative, else by the access method of its type. [ocm.ErrNotFound] if it was left out of
// this copy.
//
// Descriptors come from elsewhere, so methods do not see the environment's Dir: there is no local place
// that an access could be relative to.
//
// A manifest is always known by its digest, which all that read one rely on: content that says it is one and has
// none is [ocm.ErrInvalid].
func Content(ctx context.Context, kit *ocm.Kit, env *ocm.Env, v ocm.Version, access ocm.Spec) (ocm.Content, error) {
	c, err := open(ctx, kit, env, v, access)
	if err == nil && blob.IsManifest(c.Root.MediaType) && blob.CheckDigest(c.Root.Digest) != nil {
		err = fmt.Errorf("access %s: the media type is that of a manifest, %s, whose digest is not known: %w", access.Type, c.Root.MediaType, ocm.ErrInvalid)
	}
	return c, err
}

func open(ctx context.Context, kit *ocm.Kit, env *ocm.Env, v ocm.Version, access ocm.Spec) (ocm.Content, error) {
	c, err := v.Blob(ctx, access)
	if !errors.Is(err, errors.ErrUnsupported) {
		return c, err
	}
	if IsOmitted(access.Type) {
		return c, errOmitted(access)
	}
	method, err := kit.Access.For(access.Type)
	if err != nil {
		return ocm.Content{}, err
	}
	if env != nil && env.Dir != "" {
		foreign := *env
		foreign.Dir = ""
		env = &foreign
	}
	if near, ok := method.(VersionOpener); ok {
		return near.OpenFrom(ctx, env, v, access)
	}
	return method.Open(ctx, env, access)
}

// VersionOpener is an [ocm.Opener] for which it counts which version has the specification: what is not
// said in it is the same as there.
type VersionOpener interface {
	OpenFrom(ctx context.Context, env *ocm.Env, v ocm.Version, s ocm.Spec) (ocm.Content, error)
}

// ResourceContent is the content of a resource, of which nothing is delivered that has not the resource's digest:
// that is compared now, or it is the digest by which readers compare. Only for digests of a kind
// that no reader knows all is read before. Without a digest the content is as it is.
func ResourceContent(ctx context.Context, kit *ocm.Kit, env *ocm.Env, v ocm.Version, r *ocm.Resource) (ocm.Content, error) {
	c, err := Content(ctx, kit, env, v, r.Access)
	if err != nil || r.Digest.Empty() || r.Digest.Excluded() {
		return c, err
	}
	want, manifest := r.Digest, blob.IsManifest(c.Root.MediaType)
	_, algorithm, err := newHash(want.HashAlgorithm)
	if err != nil {
		return c, err
	}
	plain := !manifest && want.NormalisationAlgorithm == ocm.GenericBlobDigest
	artifact := manifest && (want.NormalisationAlgorithm == ocm.GenericBlobDigest || want.NormalisationAlgorithm == ocm.OCIArtifactDigest || want.NormalisationAlgorithm == legacyArtifactDigest)
	promised := digest.NewDigestFromEncoded(algorithm, want.Value)
	switch {
	case plain && c.Root.Digest == "" && algorithm == digest.SHA256:
		c.Root.Digest = promised
		return c, blob.CheckDigest(promised)
	case (plain || artifact) && c.Root.Digest != "" && c.Root.Digest.Algorithm() == algorithm:
		if c.Root.Digest != promised {
			return c, fmt.Errorf("content: expected %s, found %s: %w", want, c.Root.Digest, ocm.ErrDigest)
		}
		return c, nil
	}
	if c.Root.Digest == "" { // whoever reads it after this gets what was compared, or an error
		sum, err := hashBytes(ctx, c, sha256.New(), digest.SHA256)
		if err != nil {
			return c, err
		}
		c.Root.Digest = digest.NewDigestFromEncoded(digest.SHA256, sum)
	}
	return c, Check(ctx, c, *want)
}

// HasContent reports whether an access type refers to content at all.
func HasContent(accessType string) bool {
	switch accessType {
	case "none", "None", "none/v1", "None/v1":
		return false
	}
	return true
}

// unsignedAccess reports whether an access of this type makes normalisation drop the element's
// digest. Only these two spellings do.
func unsignedAccess(accessType string) bool { return accessType == "none" || accessType == "None" }

// Check reads content to its last byte, with everything below it, and compares it with the
// digest of the descriptor by the algorithm that the digest names. [ocm.ErrDigest] on any
// difference; what cannot be judged is an error too.
func Check(ctx context.Context, c ocm.Content, want ocm.Digest) error {
	found, err := compute(ctx, c, want.NormalisationAlgorithm, want.HashAlgorithm, true)
	if err != nil {
		return err
	}
	if found != want.Value {
		return fmt.Errorf("content: expected %s, found %s: %w", &want, found, ocm.ErrDigest)
	}
	return nil
}

// NewDigest computes the digest of content as it is written into new descriptors: the
// manifest's digest for OCI artifacts, the hash of the bytes for everything else.
// Only what the digest needs is read.
func NewDigest(ctx context.Context, c ocm.Content, hashAlgorithm string) (ocm.Digest, error) {
	d := ocm.Digest{HashAlgorithm: hashAlgorithm, NormalisationAlgorithm: ocm.GenericBlobDigest}
	if blob.IsManifest(c.Root.MediaType) || blob.IsLayout(c.Root.MediaType) {
		d.NormalisationAlgorithm = ocm.OCIArtifactDigest
		// The algorithm of a manifest's digest is the registry's choice, not ours.
		root, err := artifactRoot(ctx, c, false)
		if err != nil {
			return d, err
		}
		d.HashAlgorithm, d.Value = hashName(root.Digest), root.Digest.Encoded()
		return d, nil
	}
	var err error
	d.Value, err = compute(ctx, c, d.NormalisationAlgorithm, hashAlgorithm, false)
	return d, err
}

func hashName(d digest.Digest) string {
	if d.Algorithm() == digest.SHA512 {
		return ocm.SHA512
	}
	return ocm.SHA256
}

// hashes of digest triples; the lower-case names are found in old descriptors.
func newHash(name string) (hash.Hash, digest.Algorithm, error) {
	switch name {
	case ocm.SHA256, "sha256":
		return sha256.New(), digest.SHA256, nil
	case ocm.SHA512, "sha512":
		return sha512.New(), digest.SHA512, nil
	}
	return nil, "", fmt.Errorf("hash algorithm %q: expected SHA-256 or SHA-512: %w", name, ocm.ErrUnknownType)
}

// compute returns the hex digest of content. With deep, everything below a manifest is read and
// compared as well.
func compute(ctx context.Context, c ocm.Content, normalisation, hashAlgorithm string, deep bool) (string, error) {
	h, algorithm, err := newHash(hashAlgorithm)
	if err != nil {
		return "", err
	}
	switch normalisation {
	case ocm.OCIArtifactDigest, legacyArtifactDigest:
	case ocm.GenericBlobDigest:
		if !blob.IsManifest(c.Root.MediaType) {
			return hashBytes(ctx, c, h, algorithm)
		}
		// One existing tool writes this name with the manifest's digest. Both mean the same bytes.
	default:
		return "", fmt.Errorf("digest algorithm %q cannot be checked: %w", normalisation, ocm.ErrUnknownType)
	}
	root, err := artifactRoot(ctx, c, deep)
	if err != nil {
		return "", err
	}
	if root.Digest.Algorithm() != algorithm {
		return "", fmt.Errorf("content: expected a digest of algorithm %s, the manifest is %s: %w", hashAlgorithm, root.Digest, ocm.ErrDigest)
	}
	return root.Digest.Encoded(), nil
}

// artifactRoot finds the manifest or index that an OCI artifact is known by.
func artifactRoot(ctx context.Context, c ocm.Content, deep bool) (ociv1.Descriptor, error) {
	switch {
	case blob.IsManifest(c.Root.MediaType) && deep:
		return c.Root, blob.Check(ctx, c)
	case blob.IsManifest(c.Root.MediaType):
		_, err := blob.ReadAll(ctx, c.From, c.Root, blob.MaxManifest)
		return c.Root, err
	case blob.IsLayout(c.Root.MediaType):
		return blob.CheckLayout(ctx, c)
	}
	return c.Root, fmt.Errorf("the digest is that of an OCI artifact, the content is of media type %q: %w", c.Root.MediaType, ocm.ErrDigest)
}

// hashBytes hashes the stream; bytes that are addressed by a digest are compared with that too.
func hashBytes(ctx context.Context, c ocm.Content, h hash.Hash, algorithm digest.Algorithm) (string, error) {
	if c.Root.Digest != "" && c.Root.Digest.Algorithm() == algorithm {
		r, err := blob.Open(ctx, c.From, c.Root)
		if err != nil {
			return "", err
		}
		defer r.Close()
		_, err = blob.Drain(r, c.Root.Size)
		return c.Root.Digest.Encoded(), err // equal, or err says so
	}
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	if _, err := io.Copy(h, rc); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
