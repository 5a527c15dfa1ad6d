// SPDX-License-Identifier: Apache-2.0

package worktest

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// Liars is a kit that has what [AddLiars] adds.
func Liars() *ocm.Kit {
	kit := ocm.NewKit()
	AddLiars(kit)
	return kit
}

// AddLiars adds an uploader and a transformer that break the contract, each in the way that the specification's member how says,
// and what [Add] adds.
func AddLiars(kit *ocm.Kit) {
	Add(kit)
	about := ocm.Type{Names: []string{"liar"}, About: "It lies.", Fields: ocm.FieldsOf(how{})}
	kit.Uploaders.Register(liar{}, about)
	kit.Transformers.Register(liar{}, about)
}

type how struct {
	How  string `json:"how" need:"yes" about:"in which way"`
	Path string `json:"path" about:"folder to store in"`
}

type liar struct{}

// Upload says that something was stored that was not.
func (liar) Upload(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec, hint string) (ocm.Stored, error) {
	var h how
	if err := s.Members(&h); err != nil {
		return ocm.Stored{}, err
	}
	other := blob.Bytes(c.Root.MediaType, []byte("something else"))
	access, err := ocm.NewSpec(file{"folder/v1", h.Path, c.Root.MediaType, c.Root.Digest, c.Root.Size})
	if err != nil {
		return ocm.Stored{}, err
	}
	says := ocm.Stored{Root: c.Root, Access: access}
	switch h.How {
	case "reads nothing": // and the access leads nowhere
		return says, nil
	case "stores something else": // under the right name
		if err := os.WriteFile(place{h.Path}.name(c.Root.Digest), []byte("something else"), 0o600); err != nil {
			return says, err
		}
		return says, nil
	case "leads to something else":
		says, err = folder{}.Upload(ctx, env, other, s, hint)
		says.Root = c.Root
		return says, err
	case "says another digest":
		return folder{}.Upload(ctx, env, other, s, hint)
	case "reads half":
		rc, err := c.Open(ctx)
		if err != nil {
			return says, err
		}
		defer rc.Close()
		_, err = io.CopyN(io.Discard, rc, 1000)
		says.Root.Digest, says.Root.Size = digest.FromString("guessed"), 1000
		return says, err
	case "leads to nothing at all":
		says.Access = ocm.Spec{Type: "none"}
	case "leads into the repository":
		says.Access, err = ocm.NewSpec(map[string]string{"type": "localBlob/v1", "localReference": c.Root.Digest.String(), "mediaType": c.Root.MediaType})
		return says, err
	case "has no access":
		says.Access = ocm.Spec{}
	case "has an access of an unknown type":
		says.Access = ocm.Spec{Type: "carrierPigeon/v7"}
	case "has no digest":
		says.Root.Digest = ""
	case "dies":
		rc, err := c.Open(ctx)
		if err != nil {
			return says, err
		}
		_, _ = io.CopyN(io.Discard, rc, 1000)
		rc.Close()
		die()
	}
	return says, nil
}

// Transform says that something is made that is not.
func (liar) Transform(_ context.Context, _ *ocm.Env, c ocm.Content, s ocm.Spec) (ocm.Content, error) {
	var h how
	if err := s.Members(&h); err != nil {
		return ocm.Content{}, err
	}
	made := blob.Bytes("text/plain", []byte("made"))
	switch h.How {
	case "says another digest":
		made.Root.Digest = digest.FromString("something else")
	case "says another size":
		made.Root.Size = 3
	case "makes a manifest without digest":
		made.Root = ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Size: -1}
	case "makes garbage of a manifest":
		made = blob.Bytes(ociv1.MediaTypeImageManifest, []byte("garbage"))
	case "makes a manifest that is an index, too":
		made = blob.Bytes(ociv1.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"`+digest.FromString("x").String()+`","size":1},"layers":[],"manifests":[]}`))
	case "has no media type":
		made.Root.MediaType = ""
	case "has no end":
		made = ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: -1}, From: endless{}}
	case "has no end, and a digest":
		made.From = endless{}
	case "dies":
		made = ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: -1}, From: dying{}}
	case "reads nothing":
	default:
		return made, fmt.Errorf("how %q is not known: %w", h.How, ocm.ErrInvalid)
	}
	return made, nil
}

type endless struct{}

// Fetch implements [ocm.Fetcher].
func (endless) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(zeros{}), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type dying struct{}

// Fetch implements [ocm.Fetcher].
func (dying) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, 1<<20), death{})), nil
}

type death struct{}

func (death) Read([]byte) (int, error) {
	os.Exit(7)
	return 0, nil
}

// die ends the plugin as a crash does.
func die() { os.Exit(7) }
