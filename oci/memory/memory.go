// SPDX-License-Identifier: Apache-2.0

// Package memory keeps OCI repositories in memory. It is the shortest implementation of
// [oci.Store], says what the interface means where words leave a doubt, and is what tests
// and programs use that need a place which disappears with them.
//
// It is as strict as a registry: blobs belong to one repository and are not seen from
// another one.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// MaxBlob bounds one blob, in bytes. What is larger does not belong in memory.
const MaxBlob = 512 << 20

var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// Set is stores by name, which live as long as the set. The zero value is empty; it may be used concurrently.
type Set struct {
	mu     sync.Mutex
	stores map[string]*Store
}

// Open returns the store of a name, always the same. Closing what it returns closes nothing.
func (s *Set) Open(name string) oci.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stores == nil {
		s.stores = map[string]*Store{}
	}
	if s.stores[name] == nil {
		s.stores[name] = New()
	}
	return named{s.stores[name], name}
}

// named is a store of a set.
type named struct {
	*Store
	name string
}

func (n named) String() string { return "memory::" + n.name }

func (named) Close() error { return nil }

// Store is an [oci.Store] and [oci.RepoLister] in memory. It may be used concurrently.
type Store struct {
	mu    sync.RWMutex
	repos map[string]*content
}

// content is one repository. Bytes are never modified once they are here.
type content struct {
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]manifest
	tags      map[string]digest.Digest
}

type manifest struct {
	mediaType string
	raw       []byte
}

// New returns an empty store.
func New() *Store { return &Store{repos: map[string]*content{}} }

// Repo gives access to a repository, which appears with its first content.
func (s *Store) Repo(name string) oci.Repo { return &repo{s: s, name: name} }

// String is "memory".
func (s *Store) String() string { return "memory" }

// Close forgets everything.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.repos)
	return nil
}

// Repos lists the repositories that hold something, sorted.
func (s *Store) Repos(ctx context.Context) iter.Seq2[string, error] {
	s.mu.RLock()
	names := slices.Sorted(maps.Keys(s.repos))
	s.mu.RUnlock()
	return list(ctx, names)
}

func list(ctx context.Context, names []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range names {
			if ctx.Err() != nil {
				yield("", context.Cause(ctx))
				return
			}
			if !yield(name, nil) {
				return
			}
		}
	}
}

type repo struct {
	s    *Store
	name string
}

var (
	_ oci.ReferrerLister = (*repo)(nil)
	_ oci.Deleter        = (*repo)(nil)
)

// read calls fn with the repository's content, an empty one if there is none.
func (r *repo) read(fn func(c *content)) {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	c := r.s.repos[r.name]
	if c == nil {
		c = &content{}
	}
	fn(c)
}

// write calls fn with the repository's content, and creates it before.
func (r *repo) write(fn func(c *content) error) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	c := r.s.repos[r.name]
	if c == nil {
		c = &content{blobs: map[digest.Digest][]byte{}, manifests: map[digest.Digest]manifest{}, tags: map[string]digest.Digest{}}
		r.s.repos[r.name] = c
	}
	return fn(c)
}

func (r *repo) Origin() string { return "" }

// Fetch finds blobs and manifests alike: the digest says all.
func (r *repo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	var raw []byte
	found := false
	r.read(func(c *content) {
		if raw, found = c.blobs[d.Digest]; !found {
			var m manifest
			m, found = c.manifests[d.Digest]
			raw = m.raw
		}
	})
	if !found {
		return nil, fmt.Errorf("memory: repository %s: blob %s: %w", r.name, d.Digest, ocm.ErrNotFound)
	}
	return file{bytes.NewReader(raw)}, nil
}

// file can be sought and read at any place, as a file can.
type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

func (r *repo) Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return ociv1.Descriptor{}, err
	}
	want := digest.Digest(ref)
	byDigest := strings.Contains(ref, ":")
	if byDigest {
		if err := blob.CheckDigest(want); err != nil {
			return ociv1.Descriptor{}, err
		}
	}
	var m manifest
	found := false
	r.read(func(c *content) {
		if !byDigest {
			want = c.tags[ref]
		}
		m, found = c.manifests[want]
	})
	if !found {
		return ociv1.Descriptor{}, fmt.Errorf("memory: repository %s: manifest %q: %w", r.name, ref, ocm.ErrNotFound)
	}
	return ociv1.Descriptor{MediaType: m.mediaType, Digest: want, Size: int64(len(m.raw))}, nil
}

func (r *repo) Exists(ctx context.Context, d ociv1.Descriptor) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return false, err
	}
	var raw []byte
	found := false
	r.read(func(c *content) {
		if blob.IsManifest(d.MediaType) {
			var m manifest
			m, found = c.manifests[d.Digest]
			raw = m.raw
		} else {
			raw, found = c.blobs[d.Digest]
		}
	})
	return found && (d.Size < 0 || d.Size == int64(len(raw))), nil
}

// Push keeps at most [MaxBlob] bytes; more are an [ocm.ErrLimit].
func (r *repo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return ociv1.Descriptor{}, err
	}
	if d.Digest != "" {
		br, err := blob.NewReader(io.NopCloser(src), d)
		if err != nil {
			return ociv1.Descriptor{}, err
		}
		src = br
	}
	raw, err := io.ReadAll(io.LimitReader(src, MaxBlob+1))
	if err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("memory: repository %s: push: %w", r.name, err)
	}
	if len(raw) > MaxBlob {
		return ociv1.Descriptor{}, fmt.Errorf("memory: repository %s: push: blob has more than the accepted %d bytes: %w", r.name, MaxBlob, ocm.ErrLimit)
	}
	d.Size = int64(len(raw))
	if d.Digest == "" {
		d.Digest = digest.FromBytes(raw)
	}
	if d.MediaType == "" {
		d.MediaType = "application/octet-stream"
	}
	return d, r.write(func(c *content) error {
		c.blobs[d.Digest] = raw
		return nil
	})
}

func (r *repo) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !blob.IsManifest(d.MediaType) {
		return fmt.Errorf("memory: put manifest: %q is not the media type of a manifest or index: %w", d.MediaType, ocm.ErrInvalid)
	}
	if tag != "" && !tagPattern.MatchString(tag) {
		return fmt.Errorf("memory: put manifest: tag %.200q: expected letters, digits, '_', '.', '-', at most 128: %w", tag, ocm.ErrInvalid)
	}
	raw, err := blob.ReadAll(ctx, blob.Bytes(d.MediaType, raw).From, d, blob.MaxManifest)
	if err != nil {
		return fmt.Errorf("memory: repository %s: put manifest: %w", r.name, err)
	}
	return r.write(func(c *content) error {
		if tag != "" {
			if err := was.Check(c.tags[tag]); err != nil {
				return fmt.Errorf("memory: repository %s: tag %s: found at %q: %w", r.name, tag, c.tags[tag], err)
			}
			c.tags[tag] = d.Digest
		}
		c.manifests[d.Digest] = manifest{d.MediaType, raw}
		return nil
	})
}

// Tags are sorted.
func (r *repo) Tags(ctx context.Context) iter.Seq2[string, error] {
	var tags []string
	r.read(func(c *content) { tags = slices.Sorted(maps.Keys(c.tags)) })
	return list(ctx, tags)
}

// Referrers are sorted by digest.
func (r *repo) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		if err := blob.CheckDigest(d.Digest); err != nil {
			yield(ociv1.Descriptor{}, err)
			return
		}
		var all map[digest.Digest]manifest
		r.read(func(c *content) { all = maps.Clone(c.manifests) })
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if ctx.Err() != nil {
				yield(ociv1.Descriptor{}, context.Cause(ctx))
				return
			}
			m := all[key]
			subject, found, err := oci.AsReferrer(ociv1.Descriptor{MediaType: m.mediaType, Digest: key, Size: int64(len(m.raw))}, m.raw)
			if err != nil || subject != d.Digest || artifactType != "" && found.ArtifactType != artifactType {
				continue // what cannot be read refers to nothing
			}
			if !yield(found, nil) {
				return
			}
		}
	}
}
