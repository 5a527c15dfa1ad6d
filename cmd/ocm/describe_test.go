// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// pinned is a version that is nothing but its descriptor.
type pinned struct{ d *ocm.Descriptor }

func (p pinned) Manifest() ociv1.Descriptor {
	return ociv1.Descriptor{Digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
}
func (p pinned) Descriptor() *ocm.Descriptor { return p.d }
func (p pinned) Blob(_ context.Context, access ocm.Spec) (ocm.Content, error) {
	if access.Type != "localBlob" {
		return ocm.Content{}, errors.ErrUnsupported
	}
	if len(access.Raw) == 0 {
		return ocm.Content{}, ocm.ErrNotFound
	}
	return blob.Bytes("text/plain", access.Raw), nil
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	d := descriptor("acme.org/app", "1.0.0", "acme.org/lib:1.0.0")
	c := &d.Component
	c.CreationTime = "2026-01-02T03:04:05Z"
	c.Labels = []ocm.Label{{Name: "team", Value: ocm.RawJSON(`"blue"`), Signing: true}}
	c.Resources = []ocm.Resource{
		{Element: ocm.Element{Name: "image", Version: "1"}, Type: "ociImage", Relation: "external",
			Access: ocm.Spec{Type: "ociArtifact", Raw: ocm.RawJSON(`{"type":"ociArtifact","imageReference":"ghcr.io/x:1"}`)},
			Digest: &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: "abc"}},
		{Element: ocm.Element{Name: "none", ExtraIdentity: ocm.Identity{"os": "linux"}}, Access: ocm.Spec{Type: "none"},
			Digest: &ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}},
	}
	for name, raw := range map[string]string{"here": strings.Repeat("x", 1536), "lost": ""} {
		c.Resources = append(c.Resources, ocm.Resource{Element: ocm.Element{Name: name, ExtraIdentity: ocm.Identity{"arch": name}},
			Access: ocm.Spec{Type: "localBlob", Raw: ocm.RawJSON(raw)},
			Digest: &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: strings.Repeat("abcd", 16)}})
	}
	d.Signatures = []ocm.Signature{{Name: "release", Signature: ocm.SignatureValue{Algorithm: "RSASSA-PSS", Issuer: "CN=acme"}}}
	got := printed(t, func(b *bytes.Buffer) error { return describe(t.Context(), b, nil, "ctf::x", pinned{d}) })
	for _, want := range []string{
		"Component:  acme.org/app\n", "Created:    2026-01-02T03:04:05Z\n", "Manifest:   sha256:e3b0", " team │ \"blue\" │ yes\n",
		"\nResources elsewhere\n", " image │ 1       │ ociImage │ SHA-256:abc\n   ociArtifact ghcr.io/x:1\n", "   os=linux\n", "excluded from signature",
		"\nResources in this repository (2, 1.5 KiB)\n", " here │ 1.5 KiB   │ SHA-256:abcdabcdabcd\n   arch=here\n", " lost │ not found │",
		"\nReferences\n", " acme.org/lib ", " release ", "   issuer CN=acme\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "Sources") {
		t.Errorf("an empty part is shown:\n%s", got)
	}
}

func TestCheckFound(t *testing.T) {
	t.Parallel()
	v := pinned{descriptor("acme.org/app", "1.0.0")}
	at := ocm.Coordinates{Component: "acme.org/app", Digest: v.Manifest().Digest}
	if err := checkFound(at, v); err != nil {
		t.Error(err)
	}
	for _, other := range []ocm.Coordinates{
		{Component: "acme.org/app", Digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"},
		{Component: "acme.org/app", Digest: at.Digest, Version: "1.0.1"},
		{Component: "acme.org/other", Digest: at.Digest},
	} {
		if err := checkFound(other, v); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%+v: got %v", other, err)
		}
	}
}
