// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// opens counts how often blobs are opened.
type opens struct {
	files
	count map[digest.Digest]int
}

func (o *opens) open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	o.count[d]++
	return o.files.open(ctx, d)
}

func newStoreOfReferrers(t *testing.T) (*Store, *opens) {
	t.Helper()
	s := openDirectory(t.TempDir())
	t.Cleanup(func() { s.Close() })
	o := &opens{s.files, map[digest.Digest]int{}}
	s.files = o
	return s, o
}

func putDocument(t *testing.T, r oci.Repo, tag, mediaType string, doc any) ociv1.Descriptor {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), d, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

func putManifest(t *testing.T, r oci.Repo, kind string, subject *ociv1.Descriptor, annotations ...string) ociv1.Descriptor {
	t.Helper()
	m := ociv1.Manifest{MediaType: ociv1.MediaTypeImageManifest, ArtifactType: kind, Config: ociv1.DescriptorEmptyJSON, Subject: subject}
	m.SchemaVersion = 2
	for i, a := range annotations {
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations[fmt.Sprint(i)] = a
	}
	return putDocument(t, r, "", m.MediaType, m)
}

func listReferrers(t *testing.T, r oci.Repo, d ociv1.Descriptor) (found []digest.Digest, err error) {
	t.Helper()
	for one, err := range r.(oci.ReferrerLister).Referrers(t.Context(), d, "") {
		if err != nil {
			return found, err
		}
		found = append(found, one.Digest)
	}
	return found, nil
}

// However often it is asked and however the index changes, a manifest is read once.
func TestReferrers_manifestsAreReadOnce(t *testing.T) {
	t.Parallel()
	s, o := newStoreOfReferrers(t)
	r := s.Repo("image")
	root := putManifest(t, r, "image", nil)
	var want []digest.Digest
	for i := range 5 {
		want = append(want, putManifest(t, r, fmt.Sprint(i), &root).Digest)
		for range 2 {
			if found, err := listReferrers(t, s.Repo("image"), root); err != nil || !slices.Equal(found, want) {
				t.Fatalf("expected %v, found %v, %v", want, found, err)
			}
		}
	}
	for d, n := range o.count {
		if n != 1 {
			t.Errorf("%s was opened %d times", d, n)
		}
	}
	if len(o.count) != 6 {
		t.Errorf("expected 6 manifests to be read, found %d", len(o.count))
	}
}

// The existing tools list referrers in an index under a tag, and in the CTF's own index or not.
func TestReferrers_taggedIndex(t *testing.T) {
	t.Parallel()
	s, _ := newStoreOfReferrers(t)
	r := s.Repo("image")
	root := putManifest(t, r, "image", nil)
	listed := putManifest(t, r, "a", &root)
	hidden := putManifest(t, s.Repo("elsewhere"), "b", &root) // the blob is there, in this repository it is not listed
	foreign := putManifest(t, s.Repo("elsewhere"), "c", &listed)
	absent := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("absent"), Size: 6}
	if found, err := listReferrers(t, r, root); err != nil || !slices.Equal(found, []digest.Digest{listed.Digest}) {
		t.Fatalf("expected %s, found %v, %v", listed.Digest, found, err)
	}
	index := ociv1.Index{MediaType: ociv1.MediaTypeImageIndex, Manifests: []ociv1.Descriptor{hidden, foreign, absent, listed}}
	index.SchemaVersion = 2
	putDocument(t, r, oci.ReferrersTag(root.Digest), index.MediaType, index)
	if found, err := listReferrers(t, r, root); err != nil || !slices.Equal(found, []digest.Digest{listed.Digest, hidden.Digest}) {
		t.Errorf("expected %s and %s, found %v, %v", listed.Digest, hidden.Digest, found, err)
	}
	if found, err := listReferrers(t, r, listed); err != nil || len(found) > 0 {
		t.Errorf("expected nothing attached to %s, found %v, %v", listed.Digest, found, err)
	}
}

// What stands under the tag and is no index of referrers is something else.
func TestReferrers_taggedIndexThatIsNone(t *testing.T) {
	t.Parallel()
	s, _ := newStoreOfReferrers(t)
	r := s.Repo("image")
	root := putManifest(t, r, "image", nil)
	putDocument(t, r, oci.ReferrersTag(root.Digest), ociv1.MediaTypeImageManifest, ociv1.Manifest{MediaType: ociv1.MediaTypeImageManifest, Subject: nil})
	if found, err := listReferrers(t, r, root); err != nil || len(found) > 0 {
		t.Errorf("expected nothing, found %v, %v", found, err)
	}
	both := map[string]any{"schemaVersion": 2, "manifests": []ociv1.Descriptor{root}, "config": ociv1.DescriptorEmptyJSON, "layers": []ociv1.Descriptor{}}
	putDocument(t, r, oci.ReferrersTag(root.Digest), ociv1.MediaTypeImageIndex, both)
	_, err := listReferrers(t, r, root)
	wantKind(t, err, ocm.ErrInvalid, root.Digest.String())
}

// Nobody knows what a manifest refers to that is listed and not there, or rotten.
func TestReferrers_damagedManifest(t *testing.T) {
	t.Parallel()
	s, o := newStoreOfReferrers(t)
	r := s.Repo("image")
	root := putManifest(t, r, "image", nil)
	bad := putManifest(t, r, "bad", &root)
	real := o.files
	o.files = without{real, bad.Digest}
	_, err := listReferrers(t, r, root)
	wantKind(t, err, ocm.ErrInvalid, bad.Digest.String())
	o.files = swappedFiles{real, bad.Digest, root.Digest}
	_, err = listReferrers(t, r, root)
	wantKind(t, err, ocm.ErrDigest, bad.Digest.String())
	o.files = real
	if found, err := listReferrers(t, r, root); err != nil || len(found) != 1 {
		t.Errorf("expected one referrer once the damage is gone, found %v, %v", found, err)
	}
}

type without struct {
	files
	digest digest.Digest
}

func (w without) stat(d digest.Digest) (int64, error) {
	if d == w.digest {
		return 0, ocm.ErrNotFound
	}
	return w.files.stat(d)
}

type swappedFiles struct {
	files
	digest, other digest.Digest
}

func (s swappedFiles) open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if d == s.digest {
		d = s.other
	}
	return s.files.open(ctx, d)
}

// Annotations are kept in memory, and so they are bounded.
func TestGHSA_298f_872v_2rcx_AnnotationsWithoutEnd(t *testing.T) {
	t.Parallel()
	s, _ := newStoreOfReferrers(t)
	r := s.Repo("image")
	root := putManifest(t, r, "image", nil)
	for i := range 3 {
		putManifest(t, r, fmt.Sprint(i), &root, strings.Repeat("x", MaxReferrerBytes/2-10_000))
	}
	_, err := listReferrers(t, r, root)
	wantKind(t, err, ocm.ErrLimit)
}

// What Docker's and other media types hold is not looked into, and broken documents refer to nothing.
func TestReferrers_otherDocuments(t *testing.T) {
	t.Parallel()
	s, o := newStoreOfReferrers(t)
	r := s.Repo("image")
	root := putManifest(t, r, "image", nil)
	docker := putDocument(t, r, "", "application/vnd.docker.distribution.manifest.v2+json", map[string]any{"schemaVersion": 2, "subject": root})
	raw := []byte(`{"subject":`)
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), d, raw, "", oci.Any()); err != nil {
		t.Fatal(err)
	}
	putDocument(t, r, "", ociv1.MediaTypeImageManifest, map[string]any{"schemaVersion": 2, "subject": map[string]string{"digest": "sha256:../../x"}})
	if found, err := listReferrers(t, r, root); err != nil || len(found) > 0 || o.count[docker.Digest] > 0 {
		t.Errorf("expected nothing, found %v, %v", found, err)
	}
}

func wantKind(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("expected error %q, found %v", want, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("expected %q in the error, found %v", text, err)
		}
	}
}
