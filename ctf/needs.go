// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// maxKept bounds the relatives that are remembered: a few ten megabytes. Beyond it, manifests are read again.
const maxKept = 200_000

// relative is what a manifest refers to, or a manifest itself.
type relative struct {
	digest    digest.Digest
	mediaType string // of a manifest; empty for a blob
}

// family remembers what manifests refer to: what has a digest does not change.
type family struct {
	mu   sync.Mutex
	of   map[relative][]relative
	kept int
}

func (f *family) get(m relative) ([]relative, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	children, ok := f.of[m]
	return children, ok
}

func (f *family) keep(m relative, children []relative) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || f.kept+len(children)+1 > maxKept {
		f.of, f.kept = map[relative][]relative{}, 0
	}
	f.of[m] = children
	f.kept += len(children) + 1
}

// children reads what a manifest refers to. Its media type may be unknown.
func (s *Store) children(ctx context.Context, m relative) ([]relative, error) {
	if known, ok := s.family.get(m); ok {
		return known, nil
	}
	size, err := s.files.stat(m.digest)
	if err != nil {
		return nil, err
	}
	d := ociv1.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: size}
	raw, err := blob.ReadAll(ctx, &repo{s: s}, d, blob.MaxManifest)
	if err != nil {
		return nil, err
	}
	if d.MediaType == "" {
		d.MediaType = sniff(raw)
	}
	all, err := blob.Children(d, raw)
	if err != nil {
		return nil, err
	}
	children := make([]relative, len(all))
	for i, c := range all {
		children[i].digest = c.Digest
		if blob.IsManifest(c.MediaType) {
			children[i].mediaType = c.MediaType
		}
	}
	s.family.keep(m, children)
	return children, nil
}

// parent finds among manifests, and those nested in them, one that refers to want; empty if there is none. Only indexes are
// looked into if indexes is set. What is nested and not there refers to nothing; it is an error of a manifest in the list.
func (s *Store) parent(ctx context.Context, list []relative, want digest.Digest, indexes bool) (digest.Digest, error) {
	listed, seen := len(list), map[digest.Digest]bool{}
	for i := 0; i < len(list); i++ {
		m := list[i]
		if seen[m.digest] || indexes && m.mediaType != "" && !blob.IsIndex(m.mediaType) {
			continue
		}
		seen[m.digest] = true
		children, err := s.children(ctx, m)
		switch {
		case err == nil:
		case errors.Is(err, ocm.ErrNotFound) && i >= listed, errors.Is(err, ocm.ErrInvalid) && indexes:
			continue
		default:
			return "", fmt.Errorf("manifest %s, to see what it refers to: %w", m.digest, err)
		}
		for _, c := range children {
			if c.digest == want {
				return m.digest, nil
			}
			if c.mediaType != "" {
				list = append(list, c)
			}
		}
	}
	return "", nil
}

// relatives are the manifests of a repository.
func (idx *index) relatives(repository string) []relative {
	var list []relative
	for _, i := range idx.repo(repository) {
		list = append(list, relative{idx.entries[i].Digest, idx.entries[i].MediaType})
	}
	return list
}

// needed is an error if a manifest that is listed in any repository needs a blob, or is it.
func (s *Store) needed(ctx context.Context, idx *index, d digest.Digest) error {
	list := make([]relative, len(idx.entries))
	for i, e := range idx.entries {
		if e.Digest == d {
			return fmt.Errorf("it is a manifest of repository %s: delete that first: %w", e.Repository, ocm.ErrDenied)
		}
		list[i] = relative{e.Digest, e.MediaType}
	}
	by, err := s.parent(ctx, list, d, false)
	if err == nil && by != "" {
		err = fmt.Errorf("manifest %s needs it: delete that first: %w", by, ocm.ErrDenied)
	}
	return err
}
