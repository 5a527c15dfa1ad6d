// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"maps"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/oci"
)

// Artifact types of the tests.
const (
	typeA = "application/vnd.example.a"
	typeB = "application/vnd.example.b"
)

func testReferrers(t *testing.T, f fixture) {
	if _, ok := f.repo.(oci.ReferrerLister); !ok {
		t.Skip("the store does not list referrers")
	}
	wantReferrers(t, f.repo, otherDigest(), "") // there is no repository
	subject, raw := newManifest(t, f.repo)
	early, earlyRaw := newReferrer(t, f.repo, subject, typeA, map[string]string{"org.example.k": "v"})
	put(t, f.repo, early, earlyRaw, "", oci.Any()) // a referrer may come before its subject
	put(t, f.repo, subject, raw, "1.0.0", oci.Any())
	wantReferrers(t, f.repo, subject.Digest, "", early)

	// The media type of the config stands in for an artifact type.
	plain, plainRaw := newReferrer(t, f.repo, subject, "", nil)
	put(t, f.repo, plain, plainRaw, "", oci.Any())
	plain.ArtifactType = typeB
	// A referrer of a referrer is none of the subject.
	above, aboveRaw := newReferrer(t, f.repo, early, typeA, nil)
	put(t, f.repo, above, aboveRaw, "", oci.Any())

	wantReferrers(t, f.repo, subject.Digest, "", early, plain)
	wantReferrers(t, f.repo, subject.Digest, typeA, early)
	wantReferrers(t, f.repo, subject.Digest, typeB, plain)
	wantReferrers(t, f.repo, subject.Digest, "application/vnd.example.none")
	wantReferrers(t, f.repo, early.Digest, "", above)
	wantReferrers(t, f.repo, above.Digest, "")
	put(t, f.repo, plain, plainRaw, "", oci.Any()) // once more changes nothing
	wantReferrers(t, f.repo, subject.Digest, "", early, plain)

	wantReferrers(t, f.store.Repo(f.name+"/below"), subject.Digest, "")
	for range f.repo.(oci.ReferrerLister).Referrers(t.Context(), subject, "") {
		break // must not panic
	}
	for _, bad := range malformed() {
		for d, err := range f.repo.(oci.ReferrerLister).Referrers(t.Context(), ociv1.Descriptor{Digest: bad, Size: 1}, "") {
			if err == nil {
				t.Errorf("referrers of %q: expected an error, found %s", bad, d.Digest)
			}
		}
	}
}

// An index may have a subject, too; its type is its artifact type and nothing else.
func testIndexReferrer(t *testing.T, f fixture) {
	if _, ok := f.repo.(oci.ReferrerLister); !ok {
		t.Skip("the store does not list referrers")
	}
	subject, raw := newManifest(t, f.repo)
	put(t, f.repo, subject, raw, "1.0.0", oci.Any())
	child, childRaw := newManifest(t, f.repo)
	put(t, f.repo, child, childRaw, "", oci.Any())
	d, raw := encode(t, ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex,
		ArtifactType: typeA, Manifests: []ociv1.Descriptor{child}, Subject: &subject,
	})
	put(t, f.repo, d, raw, "", oci.Any())
	d.ArtifactType = typeA
	wantReferrers(t, f.repo, subject.Digest, "", d)
}

// newReferrer makes a manifest that refers to subject.
func newReferrer(t *testing.T, r oci.Repo, subject ociv1.Descriptor, artifactType string, annotations map[string]string) (ociv1.Descriptor, []byte) {
	t.Helper()
	config := ociv1.Descriptor{MediaType: typeB, Digest: ociv1.DescriptorEmptyJSON.Digest, Size: 2}
	push(t, r, config, []byte("{}"))
	layer, b := newBlob(0)
	push(t, r, layer, b)
	subject = ociv1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
	d, raw := encode(t, ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest,
		ArtifactType: artifactType, Config: config, Layers: []ociv1.Descriptor{layer}, Subject: &subject, Annotations: annotations,
	})
	d.ArtifactType, d.Annotations = artifactType, annotations
	return d, raw
}

func wantReferrers(t *testing.T, r oci.Repo, subject digest.Digest, artifactType string, want ...ociv1.Descriptor) {
	t.Helper()
	found := map[digest.Digest]ociv1.Descriptor{}
	for d, err := range r.(oci.ReferrerLister).Referrers(t.Context(), ociv1.Descriptor{Digest: subject, Size: -1}, artifactType) {
		if err != nil {
			t.Fatalf("referrers of %s: %v", subject, err)
		}
		if _, twice := found[d.Digest]; twice {
			t.Fatalf("referrers of %s: %s is listed twice", subject, d.Digest)
		}
		found[d.Digest] = d
	}
	if len(found) != len(want) {
		t.Fatalf("referrers of %s of type %q: expected %d, found %v", subject, artifactType, len(want), found)
	}
	for _, w := range want {
		d := found[w.Digest]
		if d.MediaType != w.MediaType || d.Size != w.Size || d.ArtifactType != w.ArtifactType || !maps.Equal(d.Annotations, w.Annotations) {
			t.Fatalf("referrers of %s: expected %+v, found %+v", subject, w, d)
		}
	}
}
