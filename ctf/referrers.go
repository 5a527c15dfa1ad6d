// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// Limits of what is looked into to find the referrers in one repository. What exceeds them is refused
// with [ocm.ErrLimit].
const (
	MaxManifests     = 100_000   // manifests
	MaxManifestBytes = 512 << 20 // bytes of them, each read once
	MaxReferrerBytes = 8 << 20   // bytes of annotations and types that are kept in memory
)

var _ oci.ReferrerLister = (*repo)(nil)

// referrers remembers what the manifests of the repositories refer to. A manifest is read once: what
// has a digest does not change.
type referrers struct {
	mu    sync.Mutex
	repos map[string]*subjects

	once   sync.Once
	strays map[digest.Digest][]entry // see [Store.strays]
}

// subjects is what is known about one repository.
type subjects struct {
	mu   sync.Mutex
	idx  *index // of which every manifest was looked into
	seen map[digest.Digest]bool
	by   map[digest.Digest][]ociv1.Descriptor // referrers by their subject
	read int64                                // bytes of manifests
	kept int64                                // bytes of annotations and types
}

func (rs *referrers) of(repository string) *subjects {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	s := rs.repos[repository]
	if s == nil {
		if rs.repos == nil {
			rs.repos = map[string]*subjects{}
		}
		s = &subjects{seen: map[digest.Digest]bool{}, by: map[digest.Digest][]ociv1.Descriptor{}}
		rs.repos[repository] = s
	}
	return s
}

// Referrers looks into all manifests of the repository, in the order of the index, the first time it
// is called. The existing tools list referrers in an index under a tag (see [oci.ReferrersTag]) and
// may list them nowhere else: it is honoured too. Every manifest that is listed was verified and does have
// the subject. A manifest that the index lists and that is not there is [ocm.ErrInvalid], because
// nobody knows what it refers to; an entry of the tagged index that is not there is passed over.
func (r *repo) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		found, err := r.referrers(ctx, d.Digest)
		if err != nil {
			yield(ociv1.Descriptor{}, r.wrap(fmt.Errorf("referrers of %s: %w", d.Digest, err)))
			return
		}
		for _, one := range found {
			if ctx.Err() != nil {
				yield(ociv1.Descriptor{}, context.Cause(ctx))
				return
			}
			if (artifactType == "" || one.ArtifactType == artifactType) && !yield(one, nil) {
				return
			}
		}
	}
}

func (r *repo) referrers(ctx context.Context, subject digest.Digest) ([]ociv1.Descriptor, error) {
	if err := blob.CheckDigest(subject); err != nil {
		return nil, err
	}
	idx, err := r.s.files.load()
	if err != nil {
		return nil, err
	}
	found, err := r.referrersIn(ctx, idx, subject)
	for range resolveTries { // as in Resolve
		now, nerr := r.s.files.load()
		if err == nil || nerr != nil || now == idx {
			break
		}
		idx = now
		found, err = r.referrersIn(ctx, idx, subject)
	}
	return found, err
}

func (r *repo) referrersIn(ctx context.Context, idx *index, subject digest.Digest) ([]ociv1.Descriptor, error) {
	if !idx.has(r.name) {
		return nil, nil // and nothing is remembered: of names there is no end
	}
	s := r.s.referrers.of(r.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idx != idx {
		for _, i := range idx.repo(r.name) {
			e := idx.entries[i]
			err := r.look(ctx, s, ociv1.Descriptor{MediaType: e.MediaType, Digest: e.Digest})
			if errors.Is(err, ocm.ErrNotFound) {
				err = fmt.Errorf("manifest %s is in the index, but not there: %w", e.Digest, ocm.ErrInvalid)
			}
			if err != nil {
				return nil, err
			}
		}
		s.idx = idx
	}
	listed, err := r.tagged(ctx, idx, s, subject)
	if err != nil {
		return nil, err
	}
	var found []ociv1.Descriptor
	for _, one := range s.by[subject] {
		if _, is := idx.digest(r.name, one.Digest); is || listed[one.Digest] {
			found = append(found, one) // else it was taken out of the index since it was seen
		}
	}
	return found, nil
}

// tagged looks into what the index under the referrers tag lists, if there is one.
func (r *repo) tagged(ctx context.Context, idx *index, s *subjects, subject digest.Digest) (map[digest.Digest]bool, error) {
	e, ok := idx.tag(r.name, oci.ReferrersTag(subject))
	if !ok || e.MediaType != ociv1.MediaTypeImageIndex || e.Digest == subject {
		return nil, nil
	}
	raw, err := blob.ReadAll(ctx, r, ociv1.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: -1}, blob.MaxManifest)
	if err != nil {
		return nil, err
	}
	entries, err := blob.Children(ociv1.Descriptor{MediaType: e.MediaType, Digest: e.Digest}, raw)
	if err != nil {
		return nil, err
	}
	listed := map[digest.Digest]bool{}
	for _, one := range entries {
		if err := r.look(ctx, s, one); err != nil && !errors.Is(err, ocm.ErrNotFound) {
			return nil, err
		}
		listed[one.Digest] = true
	}
	return listed, nil
}

// look reads a manifest and remembers its subject. What is no manifest of OCI has none.
func (r *repo) look(ctx context.Context, s *subjects, d ociv1.Descriptor) error {
	if s.seen[d.Digest] {
		return nil
	}
	switch d.MediaType {
	case ociv1.MediaTypeImageManifest, ociv1.MediaTypeImageIndex:
	default:
		if blob.IsManifest(d.MediaType) {
			return nil // Docker's have no subject
		}
		d.MediaType = "" // nobody writes others into an index: what it is shows in it
	}
	size, err := r.s.files.stat(d.Digest)
	if err != nil {
		return err
	}
	if d.MediaType == "" && size > blob.MaxManifest {
		return nil // no manifest
	}
	if len(s.seen) >= MaxManifests || s.read+size > MaxManifestBytes {
		return fmt.Errorf("more than %d manifests, or %d bytes of them, to look into: %w", MaxManifests, MaxManifestBytes, ocm.ErrLimit)
	}
	d.Size = size
	raw, err := blob.ReadAll(ctx, r, d, blob.MaxManifest)
	if err != nil {
		return err
	}
	if d.MediaType == "" {
		d.MediaType = sniff(raw)
	}
	subject, referrer, err := oci.AsReferrer(d, raw)
	if err == nil && subject != "" && blob.IsManifest(d.MediaType) {
		s.kept += weight(referrer)
		if s.kept > MaxReferrerBytes {
			return fmt.Errorf("more than %d bytes of annotations of referrers: %w", MaxReferrerBytes, ocm.ErrLimit)
		}
		s.by[subject] = append(s.by[subject], referrer)
	}
	s.seen[d.Digest], s.read = true, s.read+size
	return nil
}

// weight is about what a descriptor takes in memory.
func weight(d ociv1.Descriptor) int64 {
	n := 500 + len(d.ArtifactType)
	for k, v := range d.Annotations {
		n += 100 + len(k) + len(v)
	}
	return int64(n)
}
