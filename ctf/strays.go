// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/oci"
)

var _ oci.StrayChecker = (*repo)(nil)

// CheckStrays implements [oci.StrayChecker]. An entry of the index whose repository was damaged, be it by one bit, stands
// in a repository of its own, without a tag: what it lists would not be found, and be left behind without a word.
// The index of an archive is covered by no digest, so that this is how it shows.
func (r *repo) CheckStrays(ctx context.Context, subject digest.Digest) error {
	idx, err := r.s.files.load()
	if err != nil {
		return r.wrap(err)
	}
	for _, e := range r.s.strays(ctx, idx)[subject] {
		_, here := idx.digest(r.name, e.Digest)
		_, there := idx.digest(e.Repository, subject)
		if !here && !there {
			return r.wrap(fmt.Errorf("%s: %s refers to %s, but is listed in repository %.200q, which does not have that: %w", indexName, e.Digest, subject, e.Repository, ErrBroken))
		}
	}
	return nil
}

// strays lists what refers to something in repositories without any tag, by what it refers to. It looks once.
func (s *Store) strays(ctx context.Context, idx *index) map[digest.Digest][]entry {
	rs := &s.referrers
	rs.once.Do(func() {
		rs.strays = map[digest.Digest][]entry{}
		for _, name := range idx.tagless() {
			s.straysIn(ctx, idx, name)
		}
	})
	return rs.strays
}

// straysIn adds those of one repository. What is wrong with that is up to those who read it.
func (s *Store) straysIn(ctx context.Context, idx *index, name string) {
	of := s.referrers.of(name)
	of.mu.Lock()
	defer of.mu.Unlock()
	r := &repo{s: s, name: name}
	for _, i := range idx.repo(name) {
		e := idx.entries[i]
		_ = r.look(ctx, of, ociv1.Descriptor{MediaType: e.MediaType, Digest: e.Digest})
	}
	for subject, list := range of.by {
		for _, one := range list {
			s.referrers.strays[subject] = append(s.referrers.strays[subject], entry{Repository: name, Digest: one.Digest})
		}
	}
}

// tagless lists the repositories in which nothing has a tag.
func (idx *index) tagless() []string {
	tagged := map[string]bool{}
	for _, e := range idx.entries {
		if e.Tag != "" {
			tagged[e.Repository] = true
		}
	}
	var list []string
	for _, name := range idx.repos {
		if !tagged[name] {
			list = append(list, name)
		}
	}
	return list
}
