// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/descriptor"
	"ocm/oci"
)

// putVersion stores a component version with one resource, as older tools did: the manifest need not list what the access leads to.
func putVersion(t *testing.T, s *ctf.Store, access string) (doc ociv1.Descriptor) {
	t.Helper()
	r := s.Repo(oci.RepoName("acme.org/app"))
	doc = pushText(t, r, fmt.Sprintf(`{"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/app","version":"1.0.0","provider":"acme.org",`+
		`"repositoryContexts":[],"sources":[],"componentReferences":[],"resources":[{"name":"one","version":"1.0.0","type":"blob","relation":"local","access":%s}]}}`, access))
	doc.MediaType = descriptor.MediaTypeJSON
	config := pushText(t, r, fmt.Sprintf(`{"componentDescriptorLayer":{"mediaType":%q,"digest":%q,"size":%d}}`, doc.MediaType, doc.Digest, doc.Size))
	raw := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ociv1.MediaTypeImageManifest, oci.MediaTypeConfig, config.Digest, config.Size, doc.MediaType, doc.Digest, doc.Size)
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), d, []byte(raw), "1.0.0", oci.Any()); err != nil {
		t.Fatal(err)
	}
	if _, err := oci.NewRepository(s, &ocm.Env{}).Open(t.Context(), "acme.org/app", "1.0.0"); err != nil {
		t.Fatal("the version is not as it should be:", err)
	}
	return doc
}

// What nothing but a component descriptor leads to stays: an artifact without a tag that is pinned by its digest, and a blob.
func TestClean_mentioned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	other := s.Repo("img")
	layer := pushText(t, other, "layer")
	image := putOver(t, other, "", layer)
	blob := pushText(t, other, "blob")
	strayLayer := pushText(t, other, "stray")
	stray := putOver(t, other, "", strayLayer)
	putVersion(t, s, fmt.Sprintf(`{"type":"relativeOciReference/v1","reference":"img@%s","x":"sha256.%s"}`, image.Digest, blob.Digest.Encoded()))
	age(t, dir)
	wantCleaned(t, dir, ctf.CleanOptions{Untagged: true}, stray, strayLayer)
	for _, d := range []ociv1.Descriptor{image, layer, blob} {
		if there, err := other.Exists(t.Context(), d); err != nil || !there {
			t.Errorf("%s is gone: %v", d.Digest, err)
		}
	}
}

// Nobody knows what a component version needs whose descriptor cannot be read.
func TestClean_unreadableDescriptor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	stray := pushText(t, s.Repo("r"), "stray")
	doc := putVersion(t, s, `{"type":"none"}`)
	age(t, dir)
	if err := os.Remove(blobFile(dir, doc.Digest)); err != nil {
		t.Fatal(err)
	}
	_, err := clean(t, dir, ctf.CleanOptions{})
	wantErr(t, err, ocm.ErrInvalid, doc.Digest.String(), filepath.Base(dir), "nothing was taken out")
	if _, err := os.Stat(blobFile(dir, stray.Digest)); err != nil {
		t.Error(err)
	}
}
