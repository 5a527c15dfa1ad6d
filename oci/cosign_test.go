// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

// signatures is a manifest as cosign writes it: each layer is a signature, which stands in an
// annotation; a text "payload=signature" makes one.
func signatures(t testing.TB, r oci.Repo, tag string, texts ...string) ociv1.Descriptor {
	t.Helper()
	var m ociv1.Manifest
	for _, text := range texts {
		payload, signature, _ := strings.Cut(text, "=")
		l := fixture.Must[ociv1.Descriptor](t)(r.Push(t.Context(), ociv1.Descriptor{MediaType: "application/vnd.dev.cosign.simplesigning.v1+json"}, strings.NewReader(payload)))
		l.Annotations = map[string]string{"dev.cosignproject.cosign/signature": signature}
		m.Layers = append(m.Layers, l)
	}
	return put(t, r, tag, m)
}

// The target may have signatures of its own under the same tag: none of them is lost.
func TestCosignTagOfTheTarget(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		source, target []string
		moves, warns   bool
	}{
		"none yet":                        {source: []string{"a=1"}, moves: true},
		"the same":                        {source: []string{"a=1"}, target: []string{"a=1"}},
		"the source has more":             {source: []string{"a=1", "b=2"}, target: []string{"a=1"}, moves: true},
		"the source has more, in front":   {source: []string{"b=2", "a=1"}, target: []string{"a=1"}, moves: true},
		"the target has more":             {source: []string{"a=1"}, target: []string{"a=1", "b=2"}},
		"each has its own":                {source: []string{"a=1"}, target: []string{"b=2"}, warns: true},
		"the same payload, another key":   {source: []string{"a=1"}, target: []string{"a=2"}, warns: true},
		"the same payload and one more":   {source: []string{"a=1", "a=2"}, target: []string{"a=2"}, moves: true},
		"nothing in place of a signature": {source: []string{}, target: []string{"a=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := memory.New().Repo("image"), memory.New().Repo("image")
			root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
			tag := cosignTag(root, ".sig")
			source := signatures(t, from, tag, tt.source...)
			want := source
			if tt.target != nil {
				if target := signatures(t, to, tag, tt.target...); !tt.moves {
					want = target
				}
			}
			env, log := loggingEnv()
			if err := oci.CopyAttached(t.Context(), env, from, to, root); err != nil {
				t.Fatal(err)
			}
			found, err := to.Resolve(t.Context(), tag)
			if err != nil || found.Digest != want.Digest {
				t.Errorf("expected the tag at %s, found %s, %v", want.Digest, found.Digest, err)
			}
			if warned := strings.Contains(log.String(), tag); warned != tt.warns {
				t.Errorf("expected a warning: %v, found %q", tt.warns, log.String())
			}
		})
	}
}

// What is an index at the target is not what cosign wrote, and is left alone.
func TestCosignTagOfTheTargetIsAnIndex(t *testing.T) {
	t.Parallel()
	from, to := memory.New().Repo("image"), memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	signatures(t, from, cosignTag(root, ".sig"), "a=1")
	index := putIndex(t, to, cosignTag(root, ".sig"))
	env, log := loggingEnv()
	if err := oci.CopyAttached(t.Context(), env, from, to, root); err != nil {
		t.Fatal(err)
	}
	if found, err := to.Resolve(t.Context(), cosignTag(root, ".sig")); err != nil || found.Digest != index.Digest || log.Len() == 0 {
		t.Errorf("expected the tag at %s and a warning, found %s, %v, %q", index.Digest, found.Digest, err, log.String())
	}
}

// A run that was killed between a signature and what is attached to it is finished by the next one.
func TestAttachedToWhatIsThere(t *testing.T) {
	t.Parallel()
	from, to := memory.New().Repo("image"), memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	sig := signatures(t, from, cosignTag(root, ".sig"), "a=1")
	signatures(t, to, cosignTag(root, ".sig"), "a=1")
	referrer := put(t, from, "", ociv1.Manifest{ArtifactType: "x", Subject: &sig}, "attached to the signature")
	if err := oci.CopyAttached(t.Context(), newEnv(), from, to, root); err != nil {
		t.Fatal(err)
	}
	if there, err := to.Exists(t.Context(), referrer); !there || err != nil {
		t.Errorf("%s is missing: %v", referrer.Digest, err)
	}
}

// moving is a repository whose tag somebody else moves between a look and a write.
type moving struct {
	oci.Repo
	before func() // each write of a tag
}

func (m moving) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	if tag != "" {
		m.before()
	}
	return m.Repo.PutManifest(ctx, d, raw, tag, was)
}

func TestCosignTagThatMoves(t *testing.T) {
	t.Parallel()
	from, to := memory.New().Repo("image"), memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	tag := cosignTag(root, ".sig")
	source := signatures(t, from, tag, "a=1", "b=2")
	moved := 0
	err := oci.CopyAttached(t.Context(), newEnv(), from, moving{to, func() {
		if moved++; moved == 1 {
			signatures(t, to, tag, "a=1") // the other one was faster
		}
	}}, root)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := to.Resolve(t.Context(), tag); err != nil || found.Digest != source.Digest {
		t.Errorf("expected %s, found %s, %v", source.Digest, found.Digest, err)
	}
	n := 0
	signatures(t, from, tag, "a=1", "b=2", "c=3", "0=0", "1=1", "2=2", "3=3", "4=4", "5=5", "6=6", "7=7", "8=8", "9=9")
	err = oci.CopyAttached(t.Context(), newEnv(), from, moving{to, func() {
		signatures(t, to, tag, "a=1", fmt.Sprintf("%d=%d", n, n))
		n++
	}}, root)
	fixture.WantErr(t, err, ocm.ErrConflict, tag)
}

// manyTags is a repository with tags that never end.
type manyTags struct {
	oci.Repo
	origin string
	listed *int
	asked  *[]string
}

func (m manyTags) Origin() string { return m.origin }

func (m manyTags) Tags(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for yield(fmt.Sprintf("1.0.%d", *m.listed), nil) {
			*m.listed++
		}
	}
}

func (m manyTags) Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	*m.asked = append(*m.asked, ref)
	return m.Repo.Resolve(ctx, ref)
}

// A list of tags that does not end is not read to its end, and nothing is missed.
func TestGHSA_298f_872v_2rcx_EndlessTags(t *testing.T) {
	t.Parallel()
	store := memory.New()
	inner := store.Repo("image")
	root := put(t, inner, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	want := signatures(t, inner, cosignTag(root, ".sig"), "a=1")
	var listed int
	var asked []string
	from := manyTags{inner, "registry.example.org/image", &listed, &asked}
	to := memory.New().Repo("image")
	if err := oci.CopyAttached(t.Context(), newEnv(), from, to, root); err != nil {
		t.Fatal(err)
	}
	if found, err := to.Resolve(t.Context(), cosignTag(root, ".sig")); err != nil || found.Digest != want.Digest {
		t.Errorf("expected %s, found %s, %v", want.Digest, found.Digest, err)
	}
	if listed > oci.MaxListedTags {
		t.Errorf("expected at most %d tags to be listed, found %d", oci.MaxListedTags, listed)
	}
	if !slices.Contains(asked, cosignTag(root, ".att")) || len(asked) > 7 { // three of the image, three of the signature, one to read
		t.Errorf("expected each tag to be asked for once, found %v", asked)
	}
}

// A failure names the attachment, and no version becomes visible.
func TestAttachedFails(t *testing.T) {
	t.Parallel()
	from := memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	absent := ociv1.Descriptor{MediaType: "text/plain", Digest: digest.FromString("absent"), Size: 6}
	bad := put(t, from, "", ociv1.Manifest{ArtifactType: "application/vnd.example.sbom", Subject: &root, Layers: []ociv1.Descriptor{absent}})
	to := oci.NewRepository(memory.New(), newEnv())
	_, err := add(t.Context(), to, "1.0.0", ocm.Content{Root: root, From: from})
	fixture.WantErr(t, err, ocm.ErrNotFound, bad.Digest.String(), "application/vnd.example.sbom", absent.Digest.String(), root.Digest.String(), "--no-referrers")
	_, err = to.Open(t.Context(), name, "1.0.0")
	fixture.WantErr(t, err, ocm.ErrNotFound)
}
