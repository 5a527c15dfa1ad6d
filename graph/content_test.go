// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

func TestDigestAlgorithms(t *testing.T) {
	archive, err := os.ReadFile(golden + "v1-copied/blobs/sha256.24b451d49caf77513d2954baeeaa071cc95d0ed6c6b85b8a00672a28f87b2917")
	if err != nil {
		t.Fatal(err)
	}
	artifactSet := blob.Bytes("application/vnd.oci.image.manifest.v1+tar+gzip", archive)
	const inSet = "f4b6f4c380084846a3f7f68803a8f6b276c56cde3fafbea750903f8a962fac5e"
	img := fixture.Image("layer")
	docker := fixture.DockerImage("layer")
	text := blob.Bytes("text/plain", []byte("text"))
	sum512 := sha512.Sum512([]byte("text"))
	unhashed := ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: -1}, From: text.From}

	for _, c := range []struct {
		name                 string
		content              ocm.Content
		hash, normal, value  string
		kind                 error
		newNormal, newDigest string
	}{
		{"bytes", text, "SHA-256", ocm.GenericBlobDigest, text.Root.Digest.Encoded(), nil, ocm.GenericBlobDigest, text.Root.Digest.Encoded()},
		{"bytes, old spelling of the hash", text, "sha256", ocm.GenericBlobDigest, text.Root.Digest.Encoded(), nil, "", ""},
		{"bytes, SHA-512", text, "SHA-512", ocm.GenericBlobDigest, hex.EncodeToString(sum512[:]), nil, "", ""},
		{"bytes that were not hashed yet", unhashed, "SHA-256", ocm.GenericBlobDigest, text.Root.Digest.Encoded(), nil, ocm.GenericBlobDigest, text.Root.Digest.Encoded()},
		{"bytes as artifact", text, "SHA-256", ocm.OCIArtifactDigest, text.Root.Digest.Encoded(), ocm.ErrDigest, "", ""},
		{"image", img, "SHA-256", ocm.OCIArtifactDigest, img.Root.Digest.Encoded(), nil, ocm.OCIArtifactDigest, img.Root.Digest.Encoded()},
		{"image, old spelling", img, "SHA-256", "ociArtefactDigest/v1", img.Root.Digest.Encoded(), nil, "", ""},
		{"image, as one existing tool names it", img, "SHA-256", ocm.GenericBlobDigest, img.Root.Digest.Encoded(), nil, "", ""},
		{"image by a hash that it is not known by", img, "SHA-512", ocm.OCIArtifactDigest, img.Root.Digest.Encoded(), ocm.ErrDigest, "", ""},
		{"Docker image", docker, "SHA-256", ocm.OCIArtifactDigest, docker.Root.Digest.Encoded(), nil, ocm.OCIArtifactDigest, docker.Root.Digest.Encoded()},
		{"artifact set", artifactSet, "SHA-256", ocm.OCIArtifactDigest, inSet, nil, ocm.OCIArtifactDigest, inSet},
		{"artifact set, bytes of the archive", artifactSet, "SHA-256", ocm.GenericBlobDigest, artifactSet.Root.Digest.Encoded(), nil, "", ""},
		{"another value", text, "SHA-256", ocm.GenericBlobDigest, strings.Repeat("0", 64), ocm.ErrDigest, "", ""},
		{"upper case value", text, "SHA-256", ocm.GenericBlobDigest, strings.ToUpper(text.Root.Digest.Encoded()), ocm.ErrDigest, "", ""},
		{"unknown hash", text, "MD5", ocm.GenericBlobDigest, "00", ocm.ErrUnknownType, "", ""},
		{"unknown algorithm", text, "SHA-256", "rot13/v1", "00", ocm.ErrUnknownType, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := ocm.Digest{HashAlgorithm: c.hash, NormalisationAlgorithm: c.normal, Value: c.value}
			if err := graph.Check(t.Context(), c.content, d); !errors.Is(err, c.kind) {
				t.Errorf("expected %v, found %v", c.kind, err)
			}
			if c.newNormal == "" {
				return
			}
			got, err := graph.NewDigest(t.Context(), c.content, ocm.SHA256)
			if err != nil || got.NormalisationAlgorithm != c.newNormal || got.Value != c.newDigest {
				t.Errorf("new digest: %s, %v", &got, err)
			}
		})
	}
}

// The digest of a manifest is worth nothing if what is below it is not read.
func TestCheckReadsBelowTheManifest(t *testing.T) {
	for broken := range fixture.Image("layer").From.(fixture.Heap) {
		c := fixture.Image("layer")
		if broken == c.Root.Digest {
			continue
		}
		m := c.From.(fixture.Heap)
		d := ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: c.Root.Digest.Encoded()}
		m[broken] = bytes.Repeat([]byte("x"), len(m[broken]))
		if err := graph.Check(t.Context(), c, d); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("changed %s: %v", broken, err)
		}
		delete(m, broken)
		if err := graph.Check(t.Context(), c, d); !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("removed %s: %v", broken, err)
		}
	}
}

// What a descriptor says is relative to no folder of whoever reads it.
func TestAccessesSeeNoLocalPlace(t *testing.T) {
	t.Parallel()
	kit, env := builtin.Kit(), &ocm.Env{Dir: t.TempDir()}
	asked := false
	kit.Access.Add(ocm.OpenerFunc(func(_ context.Context, env *ocm.Env, _ ocm.Spec) (ocm.Content, error) {
		if asked = true; env.Dir != "" {
			t.Errorf("an access method sees the folder %s", env.Dir)
		}
		return ocm.Content{}, nil
	}), "curious")
	if _, err := graph.Content(t.Context(), kit, env, nowhere{}, ocm.Spec{Type: "curious"}); err != nil || !asked || env.Dir == "" {
		t.Errorf("asked %v, %v, folder %q", asked, err, env.Dir)
	}
}

// nowhere is a version without content.
type nowhere struct{ ocm.Version }

func (nowhere) Blob(context.Context, ocm.Spec) (ocm.Content, error) {
	return ocm.Content{}, errors.ErrUnsupported
}

// Content whose digest is not known before it is read may have one of another hash in the descriptor.
func TestResourceContentByAnyHash(t *testing.T) {
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	draft := fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
	var parts []string
	for _, text := range []string{"one", "two"} {
		s := fixture.Must[ocm.Stored](t)(draft.Add(t.Context(), blob.Bytes("text/plain", []byte(text)), ""))
		parts = append(parts, s.Root.Digest.String())
	}
	access := fixture.Must[ocm.Spec](t)(ocm.NewSpec(oci.LocalBlob{Type: oci.LocalBlobType, LocalReference: strings.Join(parts, ","), MediaType: "text/plain"}))
	sum := sha512.Sum512([]byte("onetwo"))
	v := fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "text", Version: "1.0.0"}, Type: "blob", Relation: ocm.RelationLocal, Access: access,
			Digest: &ocm.Digest{HashAlgorithm: ocm.SHA512, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: hex.EncodeToString(sum[:])}}}}}))
	r := v.Descriptor().Component.Resources[0]
	if _, err := graph.ResourceContent(t.Context(), &ocm.Kit{}, &ocm.Env{}, v, &r); err != nil {
		t.Error(err)
	}
	r.Digest.Value = strings.Repeat("0", 128)
	_, err := graph.ResourceContent(t.Context(), &ocm.Kit{}, &ocm.Env{}, v, &r)
	fixture.WantErr(t, err, ocm.ErrDigest)
}

// changing is a source that delivers something else after so many times.
type changing struct{ left int }

func (c *changing) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	if c.left--; c.left < 0 {
		return io.NopCloser(strings.NewReader("evil")), nil
	}
	return io.NopCloser(strings.NewReader("good")), nil
}

// Content that was compared before it is read once more must not be other content then.
func TestResourceContentThatChangesAfterItWasCompared(t *testing.T) {
	sum := sha512.Sum512([]byte("good"))
	r := &ocm.Resource{Access: fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]string{"type": "changing"})),
		Digest: &ocm.Digest{HashAlgorithm: ocm.SHA512, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: hex.EncodeToString(sum[:])}}
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	draft := fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
	v := fixture.Must[ocm.Version](t)(draft.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org"}}))
	for good := range 5 {
		kit := &ocm.Kit{Access: ocm.NewRegistry[ocm.Opener]("access type")}
		kit.Access.Add(ocm.OpenerFunc(func(context.Context, *ocm.Env, ocm.Spec) (ocm.Content, error) {
			return ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: -1}, From: &changing{good}}, nil
		}), "changing")
		c, err := graph.ResourceContent(t.Context(), kit, &ocm.Env{}, v, r)
		if err != nil {
			fixture.WantErr(t, err, ocm.ErrDigest)
			continue
		}
		rc := fixture.Must[io.ReadCloser](t)(blob.OpenContent(t.Context(), c))
		if raw, err := io.ReadAll(rc); err == nil && string(raw) != "good" {
			t.Errorf("after %d times: found %q", good, raw)
		}
		rc.Close()
	}
}
