// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"errors"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// RunReadOnly checks a store that can only be read: it must list repositories, hold at
// least one tag, resolve what it lists to content that verifies, and refuse to be written
// with [errors.ErrUnsupported].
func RunReadOnly(t *testing.T, s oci.Store) {
	t.Helper()
	lister, ok := s.(oci.RepoLister)
	if !ok {
		t.Fatalf("%s does not list repositories", s)
	}
	tags := 0
	for name, err := range lister.Repos(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		r := s.Repo(name)
		for tag, err := range r.Tags(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			tags++
			readTag(t, r, tag)
		}
		refusesWrites(t, r)
	}
	if tags == 0 {
		t.Fatalf("%s holds no tag", s)
	}
	f := newFixture(s)
	wantTags(t, f.repo)
	wantAbsent(t, f.repo)
	wantMalformedRefused(t, f.repo)
}

// readTag reads everything below a tag.
func readTag(t *testing.T, r oci.Repo, tag string) {
	t.Helper()
	d, err := r.Resolve(t.Context(), tag)
	if err != nil {
		t.Fatal(err)
	}
	wantRef(t, r, d.Digest.String(), d)
	wantExists(t, r, d, true)
	err = blob.Walk(t.Context(), r, d, func(d ociv1.Descriptor, raw []byte) error {
		if raw == nil {
			wantExists(t, r, d, true)
		}
		return blob.Check(t.Context(), ocm.Content{Root: d, From: r})
	})
	if err != nil {
		t.Fatalf("%s: %v", tag, err)
	}
}

func refusesWrites(t *testing.T, r oci.Repo) {
	t.Helper()
	d, b := newBlob(10)
	_, err := r.Push(t.Context(), d, bytes.NewReader(b))
	wantErr(t, err, errors.ErrUnsupported)
	d, raw := encode(t, ociv1.MediaTypeImageIndex, ociv1.Index{MediaType: ociv1.MediaTypeImageIndex})
	wantErr(t, r.PutManifest(t.Context(), d, raw, "new", oci.Any()), errors.ErrUnsupported)
	wantExists(t, r, d, false)
	_, err = r.Resolve(t.Context(), "new")
	wantErr(t, err, ocm.ErrNotFound)
}
