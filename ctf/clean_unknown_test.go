// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"fmt"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/oci"
)

// pushAs stores a document, and describes it by another media type than its own.
func pushAs(t *testing.T, r oci.Repo, mediaType, text string) ociv1.Descriptor {
	t.Helper()
	d := pushText(t, r, text)
	d.MediaType = mediaType
	return d
}

// What an index has of a kind that nobody knows may need something, too: artifact manifests of an early draft, docker's first schema,
// entries without media type, and what is nested in these.
func TestClean_unknownEntries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	r := s.Repo("r")
	a, b, c, d := pushText(t, r, "a"), pushText(t, r, "b"), pushText(t, r, "c"), pushText(t, r, "d")
	artifact := pushAs(t, r, "application/vnd.oci.artifact.manifest.v1+json", fmt.Sprintf(`{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{"digest":%q}]}`, a.Digest))
	first := pushAs(t, r, "application/vnd.docker.distribution.manifest.v1+prettyjws", fmt.Sprintf(` {"schemaVersion":1,"fsLayers":[{"blobSum":%q}]}`, b.Digest))
	untyped := pushAs(t, r, "", fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"x/y","digest":%q,"size":1},"layers":[]}`, c.Digest))
	inner := pushAs(t, r, "application/vnd.example.set+json", fmt.Sprintf(`{"all":[%q]}`, d.Digest))
	nested := pushAs(t, r, "application/vnd.example.set+json", fmt.Sprintf(`{"all":[%q]}`, inner.Digest))
	putOver(t, r, "index", artifact, first, untyped, nested)
	stray := pushText(t, r, "stray")
	age(t, dir)
	wantCleaned(t, dir, ctf.CleanOptions{Untagged: true}, stray)
}

// An access may say of a layer that it is a manifest.
func TestClean_manifestByAccess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	r := s.Repo("r")
	layer := pushText(t, r, "layer")
	image := pushText(t, r, fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"x/y","digest":%q,"size":%d},"layers":[]}`, layer.Digest, layer.Size))
	putVersion(t, s, fmt.Sprintf(`{"type":"localBlob","mediaType":%q,"localReference":"sha256_%s"}`, ociv1.MediaTypeImageManifest, image.Digest.Encoded()))
	config := pushText(t, r, "config")
	signature := putReferrer(t, r, image, config)
	age(t, dir)
	wantCleaned(t, dir, ctf.CleanOptions{Untagged: true})
	for _, one := range []ociv1.Descriptor{layer, image, signature, config} {
		if there, err := r.Exists(t.Context(), one); err != nil || !there {
			t.Error(one.Digest, err)
		}
	}
	if _, err := oci.NewRepository(s, &ocm.Env{}).Open(t.Context(), "acme.org/app", "1.0.0"); err != nil {
		t.Error(err)
	}
}
