// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/graph"
	"ocm/oci"
)

// content stores one resource or source in the target and returns where it is now.
func (p *Plan) content(ctx context.Context, vp *VersionPlan, m *Move, draft ocm.Draft) (landed, error) {
	access, want := element(vp.node.Descriptor(), m)
	c, err := graph.Content(ctx, p.kit, p.env, vp.node.Version, *access)
	if err == nil {
		err = m.asPlanned(c.Root.Digest)
	}
	var l landed
	if err == nil {
		c.Name, c.Alone = vp.Component+" "+m.Element, p.o.NoReferrers
		c, err = p.transform(ctx, m, p.fed.again(c), want)
	}
	if err == nil {
		var narrowed error
		c, l.labels, narrowed = p.narrow(ctx, vp, m, c)
		c, err = p.checkBefore(ctx, c, want)
		if err = m.changed(err); err == nil { // that it is not what it should be says more
			err = narrowed
		}
	}
	if err != nil {
		return l, fmt.Errorf("source: %w", err)
	}
	switch {
	case m.uploader != nil:
		l.Stored, err = p.upload(ctx, vp, m, c, *access, want)
		return l, err
	case m.Action == Upload:
		l.Stored, err = p.uploads.publish(ctx, m, c)
	case m.transformer != nil:
		l.Stored, err = draft.Add(ctx, c, c.Hint)
	default:
		l.Stored, err = draft.Add(ctx, c, cmp.Or(hint(*access), c.Hint))
	}
	if errors.Is(err, ocm.ErrDigest) && m.transformer == nil { // it is the target that found out
		return l, fmt.Errorf("source %s: the content is damaged (ocm check cv tells all): %w", m.From, err)
	}
	if err != nil {
		return l, refusedPart(c, err)
	}
	return l, errors.Join(m.changed(checkAfter(l.Stored, want)), m.asPlanned(l.Root.Digest))
}

// asPlanned compares with the digest that content had when it was planned to be moved.
func (m *Move) asPlanned(found digest.Digest) error {
	if m.Digest == "" || found == "" || m.Digest == found {
		return nil
	}
	return fmt.Errorf("content: planned %s, found %s: %w", m.Digest, found, ocm.ErrConflict)
}

// checkBefore compares content with its digest where storing it does not do so: an artifact inside
// an archive, and hashes other than the one that addresses the blob. Excluded and missing
// digests say nothing that could be compared. The content that it returns is pinned to what
// was compared.
func (p *Plan) checkBefore(ctx context.Context, c ocm.Content, want *ocm.Digest) (ocm.Content, error) {
	switch {
	case want.Empty() || want.Excluded():
		return c, nil
	case addressed(c.Root, want) && c.Root.Digest == "":
		return c, nil // hashed while it is stored
	case addressed(c.Root, want):
		return c, compare(c.Root, want) // before the first byte moves
	}
	return c, p.env.Job.Do(ctx, func() (err error) {
		if c.Root.Digest == "" {
			if c.Root, err = describe(ctx, c); err != nil {
				return err
			}
		}
		return graph.Check(ctx, c, *want)
	})
}

// checkAfter compares the digest that was computed while storing with the descriptor's.
func checkAfter(s ocm.Stored, want *ocm.Digest) error {
	if want.Empty() || want.Excluded() || !addressed(s.Root, want) {
		return nil
	}
	return compare(s.Root, want)
}

// addressed reports whether the digest is the one by which a store addresses this content.
func addressed(root ociv1.Descriptor, want *ocm.Digest) bool {
	algorithm := digest.SHA256 // what stores compute of what has no digest yet
	if root.Digest != "" {
		algorithm = root.Digest.Algorithm()
	}
	same := algorithm == digest.SHA256 && (want.HashAlgorithm == ocm.SHA256 || want.HashAlgorithm == "sha256") ||
		algorithm == digest.SHA512 && (want.HashAlgorithm == ocm.SHA512 || want.HashAlgorithm == "sha512")
	if blob.IsManifest(root.MediaType) {
		return same && (want.NormalisationAlgorithm == ocm.OCIArtifactDigest || want.NormalisationAlgorithm == ocm.GenericBlobDigest)
	}
	return same && want.NormalisationAlgorithm == ocm.GenericBlobDigest
}

func compare(root ociv1.Descriptor, want *ocm.Digest) error {
	if root.Digest.Encoded() != want.Value {
		return fmt.Errorf("content: expected %s, found %s: %w", want, root.Digest, ocm.ErrDigest)
	}
	return nil
}

// describe reads content whose digest is not known and returns its complete descriptor.
func describe(ctx context.Context, c ocm.Content) (ociv1.Descriptor, error) {
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return c.Root, err
	}
	defer rc.Close()
	h := sha256.New()
	n, err := io.Copy(h, rc)
	return ociv1.Descriptor{MediaType: c.Root.MediaType, Digest: digest.NewDigest(digest.SHA256, h), Size: n}, err
}

// sameBlob reports whether an access says already what storing the content has led to; then the
// document stays as it is, byte for byte.
func sameBlob(access ocm.Spec, s ocm.Stored) bool {
	if !oci.IsLocal(access.Type) {
		return false
	}
	l, err := oci.ParseLocal(access)
	return err == nil && l.LocalReference == s.Root.Digest.String() && l.MediaType == s.Root.MediaType
}

// hint is the name under which content may be published later: what a local access
// says, or repository and tag of an image reference, or of one that is relative.
func hint(access ocm.Spec) string {
	var a struct {
		ReferenceName  string      `json:"referenceName"`
		ImageReference string      `json:"imageReference"`
		Reference      string      `json:"reference"`
		Rest           ocm.RawJSON `json:",embed"`
	}
	err := access.Decode(&a)
	if err == nil && oci.IsRelative(access.Type) {
		name, _, _ := strings.Cut(a.Reference, "@")
		return name
	}
	if err != nil || a.ImageReference == "" {
		return a.ReferenceName
	}
	ref := a.ImageReference
	if _, rest, ok := strings.Cut(ref, "://"); ok {
		ref = rest
	}
	ref, _, _ = strings.Cut(ref, "@")
	host, path, ok := strings.Cut(ref, "/")
	if ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return path
	}
	return ref
}
