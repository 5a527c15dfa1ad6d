// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

func testManifestUntagged(t *testing.T, f fixture) {
	d, raw := newManifest(t, f.repo)
	wantExists(t, f.repo, d, false)
	put(t, f.repo, d, raw, "", oci.Any())
	wantExists(t, f.repo, d, true)
	wantBytes(t, f.repo, d, raw)
	wantRef(t, f.repo, d.Digest.String(), d)
	wantTags(t, f.repo)
	put(t, f.repo, d, raw, "", oci.Any())
	wantRef(t, f.repo, d.Digest.String(), d)

	// The condition is about the tag, so without one there is none.
	put(t, f.repo, d, raw, "", oci.Absent())

	d.Size++
	wantExists(t, f.repo, d, false)
	d.Size = -1
	wantExists(t, f.repo, d, true)
}

func testManifestTagged(t *testing.T, f fixture) {
	d, raw := newManifest(t, f.repo)
	put(t, f.repo, d, raw, "1.0.0", oci.Absent())
	wantRef(t, f.repo, "1.0.0", d)
	wantRef(t, f.repo, d.Digest.String(), d)
	wantBytes(t, f.repo, d, raw)
	wantTags(t, f.repo, "1.0.0")
	put(t, f.repo, d, raw, "", oci.Any()) // putting it untagged takes no tag away
	wantRef(t, f.repo, "1.0.0", d)
	wantTags(t, f.repo, "1.0.0")
	for range f.repo.Tags(t.Context()) {
		break // must not panic
	}
}

func testManifestMismatch(t *testing.T, f fixture) {
	d, raw := newManifest(t, f.repo)
	wrong := d
	wrong.Digest = otherDigest()
	wantErr(t, f.repo.PutManifest(t.Context(), wrong, raw, "1.0.0", oci.Any()), ocm.ErrDigest)
	wantExists(t, f.repo, wrong, false)
	wrong = d
	wrong.Size++
	wantErr(t, f.repo.PutManifest(t.Context(), wrong, raw, "1.0.0", oci.Any()), ocm.ErrDigest)
	wantExists(t, f.repo, d, false)
	_, err := f.repo.Resolve(t.Context(), "1.0.0")
	wantErr(t, err, ocm.ErrNotFound)
	wantTags(t, f.repo)

	// A tag that exists is not moved by a refused manifest.
	put(t, f.repo, d, raw, "1.0.0", oci.Any())
	other, otherRaw := newManifest(t, f.repo)
	wantErr(t, f.repo.PutManifest(t.Context(), other, otherRaw[1:], "1.0.0", oci.Any()), ocm.ErrDigest)
	wantRef(t, f.repo, "1.0.0", d)
}

func testIndex(t *testing.T, f fixture) {
	a, rawA := newManifest(t, f.repo)
	b, rawB := newManifest(t, f.repo)
	put(t, f.repo, a, rawA, "", oci.Any())
	put(t, f.repo, b, rawB, "", oci.Any())
	d, raw := encode(t, ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ociv1.MediaTypeImageIndex,
		Manifests: []ociv1.Descriptor{a, b},
	})
	put(t, f.repo, d, raw, "1.0.0", oci.Absent())
	wantRef(t, f.repo, "1.0.0", d)
	wantRef(t, f.repo, d.Digest.String(), d)
	wantRef(t, f.repo, a.Digest.String(), a)
	wantExists(t, f.repo, d, true)
	wantExists(t, f.repo, b, true)
	wantBytes(t, f.repo, d, raw)
	wantTags(t, f.repo, "1.0.0")
}

func testRetagAny(t *testing.T, f fixture) {
	a, rawA := newManifest(t, f.repo)
	b, rawB := newManifest(t, f.repo)
	put(t, f.repo, a, rawA, "1.0.0", oci.Any())
	put(t, f.repo, b, rawB, "1.0.0", oci.Any())
	wantRef(t, f.repo, "1.0.0", b)
	put(t, f.repo, b, rawB, "1.0.0", oci.Any())
	wantRef(t, f.repo, "1.0.0", b)
	wantTags(t, f.repo, "1.0.0")
	wantBytes(t, f.repo, a, rawA) // what the tag pointed at before stays
	wantRef(t, f.repo, a.Digest.String(), a)
	put(t, f.repo, a, rawA, "1.0.0", oci.Any()) // and back
	wantRef(t, f.repo, "1.0.0", a)
	wantTags(t, f.repo, "1.0.0")
}

func testRetagAbsent(t *testing.T, f fixture) {
	a, rawA := newManifest(t, f.repo)
	b, rawB := newManifest(t, f.repo)
	put(t, f.repo, a, rawA, "1.0.0", oci.Absent())
	wantErr(t, f.repo.PutManifest(t.Context(), b, rawB, "1.0.0", oci.Absent()), ocm.ErrExists)
	wantRef(t, f.repo, "1.0.0", a)
	wantErr(t, f.repo.PutManifest(t.Context(), a, rawA, "1.0.0", oci.Absent()), ocm.ErrExists)
	wantRef(t, f.repo, "1.0.0", a)
	put(t, f.repo, b, rawB, "1.0.1", oci.Absent()) // another tag is another matter
	wantTags(t, f.repo, "1.0.0", "1.0.1")
}

func testRetagAt(t *testing.T, f fixture) {
	a, rawA := newManifest(t, f.repo)
	b, rawB := newManifest(t, f.repo)
	wantErr(t, f.repo.PutManifest(t.Context(), b, rawB, "1.0.0", oci.At(a.Digest)), ocm.ErrConflict)
	_, err := f.repo.Resolve(t.Context(), "1.0.0")
	wantErr(t, err, ocm.ErrNotFound)

	put(t, f.repo, a, rawA, "1.0.0", oci.Absent())
	wantErr(t, f.repo.PutManifest(t.Context(), b, rawB, "1.0.0", oci.At(b.Digest)), ocm.ErrConflict)
	wantRef(t, f.repo, "1.0.0", a)
	put(t, f.repo, b, rawB, "1.0.0", oci.At(a.Digest))
	wantRef(t, f.repo, "1.0.0", b)
	wantErr(t, f.repo.PutManifest(t.Context(), b, rawB, "1.0.0", oci.At(a.Digest)), ocm.ErrConflict)
	wantRef(t, f.repo, "1.0.0", b)
}

func testTwoTags(t *testing.T, f fixture) {
	a, rawA := newManifest(t, f.repo)
	b, rawB := newManifest(t, f.repo)
	put(t, f.repo, a, rawA, "1.0.0", oci.Any())
	put(t, f.repo, a, rawA, "latest", oci.Any())
	wantTags(t, f.repo, "1.0.0", "latest")
	put(t, f.repo, b, rawB, "latest", oci.Any())
	wantRef(t, f.repo, "1.0.0", a)
	wantRef(t, f.repo, "latest", b)
	put(t, f.repo, b, rawB, "1.0.0", oci.Any())
	wantRef(t, f.repo, "1.0.0", b)
	wantRef(t, f.repo, a.Digest.String(), a)
	wantTags(t, f.repo, "1.0.0", "latest")
	put(t, f.repo, a, rawA, "1.0.0_x.build-7", oci.Any()) // how versions with "+" are mapped
	wantRef(t, f.repo, "1.0.0_x.build-7", a)
}

func testMalformedTags(t *testing.T, f fixture) {
	d, raw := newManifest(t, f.repo)
	for _, tag := range []string{"..", "../x", "a/b", "a b", ".a", "-a", "a\x00b", "a\nb", "1.0.0+x", strings.Repeat("a", 129)} {
		if err := f.repo.PutManifest(t.Context(), d, raw, tag, oci.Any()); err == nil {
			t.Errorf("tag %.20q: expected an error", tag)
		}
	}
	wantTags(t, f.repo)
	put(t, f.repo, d, raw, strings.Repeat("a", 128), oci.Any())
}

func testSeparate(t *testing.T, f fixture) {
	d, raw := newManifest(t, f.repo)
	put(t, f.repo, d, raw, "1.0.0", oci.Absent())
	for _, name := range []string{f.name + "2", f.name + "/below", "storetest"} {
		other := f.store.Repo(name)
		_, err := other.Resolve(t.Context(), "1.0.0")
		wantErr(t, err, ocm.ErrNotFound)
		wantTags(t, other)
	}
	other := f.store.Repo(f.name + "/below")
	d2, raw2 := newManifest(t, other)
	put(t, other, d2, raw2, "1.0.0", oci.Absent())
	wantRef(t, other, "1.0.0", d2)
	wantRef(t, f.repo, "1.0.0", d)
	// A second view of a repository sees the same.
	wantRef(t, f.store.Repo(f.name), "1.0.0", d)
}

func testTagConcurrently(t *testing.T, f fixture) {
	const n = 12
	tags := make([]string, n)
	errs := make(chan error, n)
	var wg sync.WaitGroup
	// All blobs first: there are registries in which a blob is gone for a moment while it is pushed
	// a second time.
	puts := make([]func(), n)
	for i := range n {
		tags[i] = fmt.Sprintf("1.0.%d", i)
		d, raw := newManifest(t, f.repo)
		puts[i] = func() { errs <- f.repo.PutManifest(t.Context(), d, raw, tags[i], oci.Absent()) }
	}
	for _, put := range puts {
		wg.Go(put)
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantTags(t, f.repo, tags...)
}

func testTagRace(t *testing.T, f fixture) {
	const n = 8
	type result struct {
		d   ociv1.Descriptor
		err error
	}
	results := make(chan result, n)
	var wg sync.WaitGroup
	puts := make([]func(), n)
	for i := range n {
		d, raw := newManifest(t, f.repo)
		puts[i] = func() { results <- result{d, f.repo.PutManifest(t.Context(), d, raw, "1.0.0", oci.Absent())} }
	}
	for _, put := range puts {
		wg.Go(put)
	}
	wg.Wait()
	close(results)
	var winners []ociv1.Descriptor
	for r := range results {
		switch {
		case r.err == nil:
			winners = append(winners, r.d)
		case !errors.Is(r.err, ocm.ErrExists):
			t.Errorf("expected %q for those who lose, found %v", ocm.ErrExists, r.err)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("expected exactly one winner, found %d", len(winners))
	}
	wantRef(t, f.repo, "1.0.0", winners[0])
}
