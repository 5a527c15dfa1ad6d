// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"fmt"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

// A writer who dies before the index under the fallback tag is written, and one who writes an index that
// he read before somebody else wrote his, leave referrers out of it: a registry has no lock. What is there
// and not listed is put back by whoever copies it again.
func TestLostUpdateOfTheFallbackTag(t *testing.T) {
	t.Parallel()
	at := fixture.DockerRegistry(t)
	open := func() oci.Repo { // as another process would
		return fixture.Must[*remote.Store](t)(remote.Open(newEnv(), at, "", remote.Options{})).Repo("image")
	}
	var root ociv1.Descriptor
	source := func(who string) oci.Repo {
		from := memory.New().Repo("image")
		root = put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
		for i := range 3 {
			put(t, from, "", ociv1.Manifest{ArtifactType: "sig", Subject: &root}, fmt.Sprint(who, i))
		}
		return from
	}
	alice, bob := source("alice"), source("bob")
	copyFrom := func(from oci.Repo) {
		t.Helper()
		if err := oci.CopyAttached(t.Context(), newEnv(), from, open(), root); err != nil {
			t.Fatal(err)
		}
	}
	want := func(n int) {
		t.Helper()
		found := 0
		for _, err := range open().(oci.ReferrerLister).Referrers(t.Context(), root, "") {
			if err != nil {
				t.Fatal(err)
			}
			found++
		}
		if found != n {
			t.Errorf("expected %d referrers, found %d", n, found)
		}
	}
	tag := oci.ReferrersTag(root.Digest)
	copyFrom(bob)
	want(3)
	index := fixture.Must[ociv1.Descriptor](t)(open().Resolve(t.Context(), tag))
	raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), open(), index, blob.MaxManifest))
	copyFrom(alice)
	want(6)
	if err := open().PutManifest(t.Context(), index, raw, tag, oci.Any()); err != nil { // Bob is late
		t.Fatal(err)
	}
	want(3)
	copyFrom(alice)
	want(6)
	empty := ociv1.Index{MediaType: ociv1.MediaTypeImageIndex}
	empty.SchemaVersion = 2
	putRaw(t, open(), tag, ociv1.MediaTypeImageIndex, empty)
	want(0)
	copyFrom(bob)
	want(3)
}
