// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

func deleter(t *testing.T, r oci.Repo) oci.Deleter {
	t.Helper()
	d, ok := r.(oci.Deleter)
	if !ok {
		t.Skip("the store deletes nothing")
	}
	return d
}

// wantGone checks that a manifest cannot be had by its digest.
func wantGone(t *testing.T, r oci.Repo, d ociv1.Descriptor) {
	t.Helper()
	_, err := r.Resolve(t.Context(), d.Digest.String())
	wantErr(t, err, ocm.ErrNotFound)
	wantExists(t, r, d, false)
}

func wantNoTag(t *testing.T, r oci.Repo, tag string) {
	t.Helper()
	_, err := r.Resolve(t.Context(), tag)
	wantErr(t, err, ocm.ErrNotFound)
}

func wantDone(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func testUntag(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	d, raw := newManifest(t, f.repo)
	put(t, f.repo, d, raw, "1.0.0", oci.Any())
	put(t, f.repo, d, raw, "latest", oci.Any())
	wantDone(t, "untag", del.Untag(t.Context(), "latest"))
	wantNoTag(t, f.repo, "latest")
	wantRef(t, f.repo, "1.0.0", d)
	wantTags(t, f.repo, "1.0.0")
	wantDone(t, "untag", del.Untag(t.Context(), "1.0.0"))
	wantTags(t, f.repo)
	wantRef(t, f.repo, d.Digest.String(), d)
	wantExists(t, f.repo, d, true)
	wantBytes(t, f.repo, d, raw)
	put(t, f.repo, d, raw, "1.0.0", oci.Absent()) // as if it had never been there
	wantTags(t, f.repo, "1.0.0")
}

func testDeleteManifest(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	a, rawA := newManifest(t, f.repo)
	b, rawB := newManifest(t, f.repo)
	for _, tag := range []string{"1.0.0", "latest"} {
		put(t, f.repo, a, rawA, tag, oci.Any())
	}
	put(t, f.repo, b, rawB, "2.0.0", oci.Any())
	wantDone(t, "delete", del.DeleteManifest(t.Context(), a.Digest))
	wantGone(t, f.repo, a)
	wantNoTag(t, f.repo, "1.0.0")
	wantNoTag(t, f.repo, "latest")
	wantTags(t, f.repo, "2.0.0")
	wantRef(t, f.repo, "2.0.0", b)
	wantBytes(t, f.repo, b, rawB)
	wantErr(t, del.DeleteManifest(t.Context(), a.Digest), ocm.ErrNotFound)
	put(t, f.repo, a, rawA, "1.0.0", oci.Absent())
	wantRef(t, f.repo, "1.0.0", a)
	// One without a tag, and the last one of a repository.
	wantDone(t, "untag", del.Untag(t.Context(), "1.0.0"))
	wantDone(t, "delete", del.DeleteManifest(t.Context(), a.Digest))
	wantDone(t, "delete", del.DeleteManifest(t.Context(), b.Digest))
	wantGone(t, f.repo, a)
	wantGone(t, f.repo, b)
	wantTags(t, f.repo)
}

// putIndex stores an index over manifests.
func putIndex(t *testing.T, r oci.Repo, tag string, children ...ociv1.Descriptor) ociv1.Descriptor {
	t.Helper()
	d, raw := encode(t, ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: children,
	})
	put(t, r, d, raw, tag, oci.Any())
	return d
}

func testDeleteNested(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	a, rawA := newManifest(t, f.repo)
	put(t, f.repo, a, rawA, "amd64", oci.Any())
	inner := putIndex(t, f.repo, "", a)
	outer := putIndex(t, f.repo, "1.0.0", inner)
	wantErr(t, del.DeleteManifest(t.Context(), a.Digest), ocm.ErrDenied)
	wantErr(t, del.DeleteManifest(t.Context(), inner.Digest), ocm.ErrDenied)
	wantRef(t, f.repo, "amd64", a)
	wantRef(t, f.repo, inner.Digest.String(), inner)
	for _, d := range []ociv1.Descriptor{outer, inner, a} { // from above, it goes
		wantDone(t, "delete", del.DeleteManifest(t.Context(), d.Digest))
		wantGone(t, f.repo, d)
	}
	wantTags(t, f.repo)
}

// What is deleted in one repository stays in another one, and is gone in the first.
func testDeleteShared(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	d, raw := newManifest(t, f.repo)
	stays, staysRaw := newManifest(t, f.repo) // so that the repository does not vanish
	put(t, f.repo, d, raw, "1.0.0", oci.Any())
	put(t, f.repo, stays, staysRaw, "2.0.0", oci.Any())
	other := f.store.Repo(f.name + "/other")
	push(t, other, ociv1.Descriptor{MediaType: ociv1.MediaTypeEmptyJSON, Digest: ociv1.DescriptorEmptyJSON.Digest, Size: 2}, []byte("{}"))
	put(t, other, d, raw, "1.0.0", oci.Any())
	index := putIndex(t, other, "index", d)
	wantDone(t, "delete", del.DeleteManifest(t.Context(), d.Digest))
	wantGone(t, f.repo, d)
	wantTags(t, f.repo, "2.0.0")
	wantRef(t, other, "1.0.0", d)
	wantRef(t, other, index.Digest.String(), index)
	wantBytes(t, other, d, raw)
	wantTags(t, other, "1.0.0", "index")
}

func testDeleteReferrer(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	if _, ok := f.repo.(oci.ReferrerLister); !ok {
		t.Skip("the store does not list referrers")
	}
	subject, raw := newManifest(t, f.repo)
	put(t, f.repo, subject, raw, "1.0.0", oci.Any())
	a, rawA := newReferrer(t, f.repo, subject, typeA, nil)
	put(t, f.repo, a, rawA, "", oci.Any())
	b, rawB := newReferrer(t, f.repo, subject, typeB, nil)
	put(t, f.repo, b, rawB, "sbom", oci.Any())
	wantReferrers(t, f.repo, subject.Digest, "", a, b)
	wantDone(t, "delete", del.DeleteManifest(t.Context(), a.Digest))
	wantReferrers(t, f.repo, subject.Digest, "", b)
	wantDone(t, "untag", del.Untag(t.Context(), "sbom"))
	wantReferrers(t, f.repo, subject.Digest, "", b)
	put(t, f.repo, a, rawA, "", oci.Any())
	wantReferrers(t, f.repo, subject.Digest, "", a, b)
	// The subject goes first: its referrers can still be listed, and so be deleted.
	wantDone(t, "delete", del.DeleteManifest(t.Context(), subject.Digest))
	wantReferrers(t, f.repo, subject.Digest, "", a, b)
	wantDone(t, "delete", del.DeleteManifest(t.Context(), a.Digest))
	wantDone(t, "delete", del.DeleteManifest(t.Context(), b.Digest))
	wantReferrers(t, f.repo, subject.Digest, "")
}

// An index of referrers is an index like others: what it has is deleted after it.
func testDeleteFallback(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	subject, raw := newManifest(t, f.repo)
	put(t, f.repo, subject, raw, "1.0.0", oci.Any())
	a, rawA := newReferrer(t, f.repo, subject, typeA, nil)
	put(t, f.repo, a, rawA, "", oci.Any())
	entry := a
	entry.Annotations = nil
	tag := oci.ReferrersTag(subject.Digest)
	list := putIndex(t, f.repo, tag, entry)
	wantErr(t, del.DeleteManifest(t.Context(), a.Digest), ocm.ErrDenied)
	wantDone(t, "delete", del.DeleteManifest(t.Context(), list.Digest))
	wantNoTag(t, f.repo, tag)
	wantDone(t, "delete", del.DeleteManifest(t.Context(), a.Digest))
	wantGone(t, f.repo, a)
	if _, ok := f.repo.(oci.ReferrerLister); ok {
		wantReferrers(t, f.repo, subject.Digest, "")
	}
}

func testDeleteBlob(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	plain, b := newBlob(100)
	push(t, f.repo, plain, b)
	wantDone(t, "delete", del.DeleteBlob(t.Context(), plain.Digest))
	wantExists(t, f.repo, plain, false)
	_, err := f.repo.Fetch(t.Context(), plain)
	wantErr(t, err, ocm.ErrNotFound)
	push(t, f.repo, plain, b)
	wantBytes(t, f.repo, plain, b)

	// What a manifest needs stays, and so does the manifest itself.
	config := ociv1.Descriptor{MediaType: typeA, Digest: plain.Digest, Size: plain.Size}
	layer, layerRaw := newBlob(10)
	push(t, f.repo, layer, layerRaw)
	d, raw := encode(t, ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, Config: config, Layers: []ociv1.Descriptor{layer},
	})
	put(t, f.repo, d, raw, "", oci.Any())
	index := putIndex(t, f.repo, "1.0.0", d)
	for _, needed := range []digest.Digest{plain.Digest, layer.Digest, d.Digest, index.Digest} {
		wantErr(t, del.DeleteBlob(t.Context(), needed), ocm.ErrDenied)
	}
	wantBytes(t, f.repo, layer, layerRaw)
	wantRef(t, f.repo, "1.0.0", index)
	wantDone(t, "delete", del.DeleteManifest(t.Context(), index.Digest))
	wantErr(t, del.DeleteBlob(t.Context(), layer.Digest), ocm.ErrDenied)
	wantDone(t, "delete", del.DeleteManifest(t.Context(), d.Digest))
	wantDone(t, "delete", del.DeleteBlob(t.Context(), layer.Digest))
	wantDone(t, "delete", del.DeleteBlob(t.Context(), plain.Digest))
	wantExists(t, f.repo, layer, false)
}

func testDeleteAbsent(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	for range 2 { // without a repository, and with one
		wantErr(t, del.Untag(t.Context(), "1.0.0"), ocm.ErrNotFound)
		wantErr(t, del.Untag(t.Context(), ""), ocm.ErrNotFound)
		wantErr(t, del.DeleteManifest(t.Context(), otherDigest()), ocm.ErrNotFound)
		wantErr(t, del.DeleteBlob(t.Context(), otherDigest()), ocm.ErrNotFound)
		d, raw := newManifest(t, f.repo)
		put(t, f.repo, d, raw, "2.0.0", oci.Any())
		put(t, f.repo, d, raw, "", oci.Any())
	}
	plain, b := newBlob(10) // a blob is no manifest
	push(t, f.repo, plain, b)
	wantErr(t, del.DeleteManifest(t.Context(), plain.Digest), ocm.ErrNotFound)
	wantBytes(t, f.repo, plain, b)
	for _, bad := range malformed() {
		if del.DeleteManifest(t.Context(), bad) == nil || del.DeleteBlob(t.Context(), bad) == nil {
			t.Errorf("delete %q: expected an error", bad)
		}
	}
}

// Some delete while others put: nothing else is lost.
func testDeleteConcurrently(t *testing.T, f fixture) {
	del := deleter(t, f.repo)
	const n = 10
	var old, fresh [n]ociv1.Descriptor
	var raw [n][]byte
	for i := range n {
		var b []byte
		old[i], b = newManifest(t, f.repo)
		put(t, f.repo, old[i], b, fmt.Sprint("old-", i), oci.Any())
		fresh[i], raw[i] = newManifest(t, f.repo)
	}
	deleted, stored := make(chan error, 2*n), make(chan error, n)
	var wg sync.WaitGroup
	for i := range n {
		for range 2 { // one of both finds it
			wg.Go(func() { deleted <- del.DeleteManifest(t.Context(), old[i].Digest) })
		}
		wg.Go(func() {
			stored <- f.repo.PutManifest(t.Context(), fresh[i], raw[i], fmt.Sprint("new-", i), oci.Absent())
		})
	}
	wg.Wait()
	close(deleted)
	close(stored)
	done := 0
	for err := range deleted {
		if err == nil {
			done++
		} else {
			wantErr(t, err, ocm.ErrNotFound)
		}
	}
	if done != n {
		t.Errorf("expected each of %d manifests to be deleted once, found %d", n, done)
	}
	for err := range stored {
		wantDone(t, "put", err)
	}
	var tags []string
	for i := range n {
		wantGone(t, f.repo, old[i])
		wantRef(t, f.repo, fmt.Sprint("new-", i), fresh[i])
		tags = append(tags, fmt.Sprint("new-", i))
	}
	wantTags(t, f.repo, tags...)
}
