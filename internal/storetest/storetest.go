// SPDX-License-Identifier: Apache-2.0

// Package storetest is the contract of [oci.Store] as code. Every implementation runs
// [Run] in its own tests: what the interface's comments promise is checked there, and what
// is not checked there nobody may rely on. Stores that cannot be written run [RunReadOnly].
//
// The suite asks for nothing that a registry could not give: children are pushed before
// their parents, manifests are OCI manifests, and every test works in repositories with
// random names, so that the store may hold other things already.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/oci"
)

// Option leaves out a part of the contract that a store cannot keep for reasons outside of it.
type Option int

const (
	// SkipSHA512 is for registries that know sha256 digests only.
	SkipSHA512 Option = iota + 1
	// SkipTagRace is for registries that cannot move a tag conditionally in one step.
	SkipTagRace
	// SkipDelete is for stores that implement [oci.Deleter] and cannot do it in this form.
	SkipDelete
)

// fixture is what each test gets: a store, and a repository in it that does not exist yet.
type fixture struct {
	store oci.Store
	name  string
	repo  oci.Repo
}

// Run checks the store that open returns against the contract. open is called once per
// subtest, and may return the same store each time; it registers its own clean-up. The
// subtests do not run in parallel with each other.
func Run(t *testing.T, open func(t *testing.T) oci.Store, opts ...Option) {
	t.Helper()
	tests := []struct {
		name string
		fn   func(*testing.T, fixture)
		skip Option
	}{
		{"store", testStore, 0},
		{"push known digest", testPushKnown, 0},
		{"push unknown digest", testPushUnknown, 0},
		{"push wrong digest", testPushWrongDigest, 0},
		{"push wrong size", testPushWrongSize, 0},
		{"push from a failing reader", testPushFailingReader, 0},
		{"push is not visible half way", testPushHalfWay, 0},
		{"push twice", testPushTwice, 0},
		{"push empty", testPushEmpty, 0},
		{"push sha512", testPushSHA512, SkipSHA512},
		{"push concurrently", testPushConcurrently, 0},
		{"absent", testAbsent, 0},
		{"malformed digests", testMalformedDigests, 0},
		{"manifest untagged", testManifestUntagged, 0},
		{"manifest tagged", testManifestTagged, 0},
		{"manifest that does not match", testManifestMismatch, 0},
		{"index", testIndex, 0},
		{"retag any", testRetagAny, 0},
		{"retag absent", testRetagAbsent, 0},
		{"retag at", testRetagAt, 0},
		{"two tags", testTwoTags, 0},
		{"malformed tags", testMalformedTags, 0},
		{"repositories are separate", testSeparate, 0},
		{"repositories are listed", testRepos, 0},
		{"referrers", testReferrers, 0},
		{"index as referrer", testIndexReferrer, 0},
		{"untag", testUntag, SkipDelete},
		{"delete a manifest", testDeleteManifest, SkipDelete},
		{"delete a manifest of an index", testDeleteNested, SkipDelete},
		{"delete in one of two repositories", testDeleteShared, SkipDelete},
		{"delete a referrer", testDeleteReferrer, SkipDelete},
		{"delete an index of referrers", testDeleteFallback, SkipDelete},
		{"delete a blob", testDeleteBlob, SkipDelete},
		{"delete what is not there", testDeleteAbsent, SkipDelete},
		{"delete concurrently", testDeleteConcurrently, SkipDelete},
		{"tag concurrently", testTagConcurrently, 0},
		{"tag race", testTagRace, SkipTagRace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skip != 0 && slices.Contains(opts, tt.skip) {
				t.Skip("this store cannot")
			}
			tt.fn(t, newFixture(open(t)))
		})
	}
}

func newFixture(s oci.Store) fixture {
	name := "storetest/" + unique()
	return fixture{store: s, name: name, repo: s.Repo(name)}
}

// unique is text that no other test, and no earlier run, has used.
func unique() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// newBlob is content that nobody has stored yet, somewhat longer than n bytes.
func newBlob(n int) (ociv1.Descriptor, []byte) {
	b := append([]byte("blob "+unique()+" "), bytes.Repeat([]byte("0123456789abcdef"), n/16)...)
	return ociv1.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(b), Size: int64(len(b))}, b
}

func push(t *testing.T, r oci.Repo, d ociv1.Descriptor, b []byte) {
	t.Helper()
	got, err := r.Push(t.Context(), d, bytes.NewReader(b))
	if err != nil {
		t.Fatalf("push %s: %v", d.Digest, err)
	}
	if got.Digest != d.Digest || got.Size != d.Size || got.MediaType != d.MediaType {
		t.Fatalf("push: expected descriptor %+v, found %+v", d, got)
	}
}

// newManifest stores a new layer and the empty config, and returns a manifest over them.
func newManifest(t *testing.T, r oci.Repo) (ociv1.Descriptor, []byte) {
	t.Helper()
	config := ociv1.Descriptor{MediaType: ociv1.MediaTypeEmptyJSON, Digest: ociv1.DescriptorEmptyJSON.Digest, Size: 2}
	push(t, r, config, []byte("{}"))
	layer, b := newBlob(0)
	push(t, r, layer, b)
	return encode(t, ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ociv1.MediaTypeImageManifest,
		ArtifactType: "application/vnd.example.storetest",
		Config:       config,
		Layers:       []ociv1.Descriptor{layer},
	})
}

func encode(t *testing.T, mediaType string, doc any) (ociv1.Descriptor, []byte) {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw
}

func put(t *testing.T, r oci.Repo, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) {
	t.Helper()
	if err := r.PutManifest(t.Context(), d, raw, tag, was); err != nil {
		t.Fatalf("put manifest %s as %q: %v", d.Digest, tag, err)
	}
}

func wantExists(t *testing.T, r oci.Repo, d ociv1.Descriptor, want bool) {
	t.Helper()
	got, err := r.Exists(t.Context(), d)
	if err != nil || got != want {
		t.Fatalf("exists %s (%d bytes): expected %v, found %v, %v", d.Digest, d.Size, want, got, err)
	}
}

func wantBytes(t *testing.T, r oci.Repo, d ociv1.Descriptor, want []byte) {
	t.Helper()
	rc, err := r.Fetch(t.Context(), d)
	if err != nil {
		t.Fatalf("fetch %s: %v", d.Digest, err)
	}
	got, err := io.ReadAll(rc)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("fetch %s: expected %d bytes, found %d other ones, %v", d.Digest, len(want), len(got), err)
	}
	if err := rc.Close(); err != nil {
		t.Fatalf("close %s: %v", d.Digest, err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("expected error %q, found %v", want, err)
	}
}

func wantRef(t *testing.T, r oci.Repo, ref string, want ociv1.Descriptor) {
	t.Helper()
	got, err := r.Resolve(t.Context(), ref)
	if err != nil || got.Digest != want.Digest || got.Size != want.Size || got.MediaType != want.MediaType {
		t.Fatalf("resolve %q: expected %+v, found %+v, %v", ref, want, got, err)
	}
}

func wantTags(t *testing.T, r oci.Repo, want ...string) {
	t.Helper()
	got := []string{}
	for tag, err := range r.Tags(t.Context()) {
		if err != nil {
			t.Fatalf("tags: %v", err)
		}
		got = append(got, tag)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("tags: expected %v, found %v", want, got)
	}
}

func testStore(t *testing.T, f fixture) {
	if f.store.String() == "" {
		t.Error("String must say where the store is")
	}
	if strings.Contains(f.repo.Origin(), " ") {
		t.Errorf("Origin: expected registry/repository or nothing, found %q", f.repo.Origin())
	}
	wantTags(t, f.repo)
}

func testRepos(t *testing.T, f fixture) {
	lister, ok := f.store.(oci.RepoLister)
	if !ok {
		t.Skip("the store does not list repositories")
	}
	names := []string{f.name + "/a", f.name + "/b"}
	for _, name := range names {
		r := f.store.Repo(name)
		d, raw := newManifest(t, r)
		put(t, r, d, raw, "1.0.0", oci.Absent())
		put(t, r, d, raw, "1.0.1", oci.Absent())
	}
	found := map[string]int{}
	for name, err := range lister.Repos(t.Context()) {
		if errors.Is(err, errors.ErrUnsupported) && len(found) == 0 {
			t.Skip("the store does not list repositories after all:", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		found[name]++
	}
	for _, name := range names {
		if found[name] != 1 {
			t.Errorf("repository %s: expected once, found %d times", name, found[name])
		}
	}
	for range lister.Repos(t.Context()) {
		break // must not panic
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range lister.Repos(ctx) {
		if err != nil {
			return
		}
	}
}
