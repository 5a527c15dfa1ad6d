// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/graph"
	"ocm/oci"
)

// Summary tells what a run did. After an error it tells what was finished before.
type Summary struct {
	Versions int   `json:"versions"` // in the plan
	Written  int64 `json:"written"`  // new or changed in the target
	Contents int64 `json:"contents"` // resources and sources that were stored, or found stored, for these
}

// Run does what was planned. Versions move in parallel, each after the versions that it
// references; the first error stops the run. What was finished stays; the same plan made anew
// continues from there.
func (p *Plan) Run(ctx context.Context) (*Summary, error) {
	s := &Summary{Versions: len(p.Versions)}
	done := make(map[string]chan struct{}, len(p.Versions))
	for _, vp := range p.Versions {
		done[vp.Component] = make(chan struct{})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * p.env.Job.Parallel())
	// The order is children first: whatever a version waits for was started before it.
	for _, vp := range p.Versions {
		g.Go(func() error {
			for _, child := range vp.node.Children {
				select {
				case <-done[child.Key()]:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if err := p.version(ctx, vp, s); err != nil {
				return fmt.Errorf("%s: %w", vp.Component, err)
			}
			close(done[vp.Component])
			return nil
		})
	}
	return s, g.Wait()
}

func (p *Plan) version(ctx context.Context, vp *VersionPlan, s *Summary) error {
	if vp.State == Identical || vp.State == Kept {
		return nil
	}
	src := vp.node.Descriptor()
	out := src.Clone()
	if vp.State == Merge {
		out = vp.merged.Clone()
	}
	draft, err := p.target.Draft(ctx, src.Component.Name, src.Component.Version, vp.base)
	if err != nil {
		return err
	}
	defer draft.Close()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.env.Job.Parallel())
	var contents int64
	for _, m := range vp.Moves {
		if m.Action == Omit {
			if err := omit(ctx, vp, m, out); err != nil {
				return fmt.Errorf("%s %s: %w", m.Kind, m.Element, err)
			}
		}
		if m.Action != Copy {
			continue
		}
		contents++
		g.Go(func() error {
			if err := p.content(gctx, vp, m, out, draft); err != nil {
				return fmt.Errorf("%s %s: %w", m.Kind, m.Element, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// The promise: what signatures cover is the same on both sides, before anybody sees it.
	if difference, err := signedDifference(src, out); err != nil || difference != "" {
		return fmt.Errorf("the copy would differ in what is signed (%s): %w", difference, firstOf(err, ocm.ErrDigest))
	}
	if _, err := draft.Commit(ctx, out); err != nil {
		return err
	}
	atomic.AddInt64(&s.Written, 1)
	atomic.AddInt64(&s.Contents, contents)
	return nil
}

func firstOf(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

// content stores one resource or source in the target and points the access of out at it.
func (p *Plan) content(ctx context.Context, vp *VersionPlan, m Move, out *ocm.Descriptor, draft ocm.Draft) error {
	access, want := element(vp.node.Descriptor(), m)
	target, _ := element(out, m)
	c, err := graph.Content(ctx, p.kit, p.env, vp.node.Version, *access)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	c, narrowed := p.narrow(ctx, vp, m, out, c)
	if c, err = p.checkBefore(ctx, c, want); err == nil {
		err = narrowed
	}
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	stored, err := draft.Add(ctx, c, hint(*access))
	if err != nil {
		return refusedPart(c, err)
	}
	if err := checkAfter(stored, want); err != nil {
		return err
	}
	if graph.IsOmitted(target.Type) {
		*target = *access // what was left out before is here now
	}
	if !sameBlob(*target, stored) {
		*target = stored.Access
	}
	return nil
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
// says, or repository and tag of an image reference.
func hint(access ocm.Spec) string {
	var a struct {
		ReferenceName  string      `json:"referenceName"`
		ImageReference string      `json:"imageReference"`
		Rest           ocm.RawJSON `json:",embed"`
	}
	if err := access.Decode(&a); err != nil || a.ImageReference == "" {
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
