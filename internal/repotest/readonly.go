// SPDX-License-Identifier: Apache-2.0

package repotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
)

// ReadOnly runs the part of the contract that is about reading. make returns a repository that holds d and
// nothing else, with the texts as content of its resources, in their order; it sets their accesses.
func ReadOnly(t *testing.T, make func(t *testing.T, d *ocm.Descriptor, texts []string) ocm.Repository) {
	texts := []string{"hello", "", "not empty"}
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "1.0.0+build.7", Provider: "acme.org",
		Unknown: ocm.RawJSON(`{"future":{"a":[1]}}`)}}
	for i, text := range texts {
		d.Component.Resources = append(d.Component.Resources, ocm.Resource{
			Element: ocm.Element{Name: fmt.Sprintf("res%d", i), Version: "1.0.0"}, Type: "blob", Relation: "local",
			Digest: &ocm.Digest{HashAlgorithm: "SHA-256", NormalisationAlgorithm: ocm.GenericBlobDigest, Value: digest.FromString(text).Encoded()},
		})
	}
	r := make(t, d, texts)
	t.Cleanup(func() { r.Close() })
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0+build.7"))
	t.Run("VersionIsReadBack", func(t *testing.T) { readBack(t, r, v, texts) })
	t.Run("OpenByDigest", func(t *testing.T) {
		again := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, v.Manifest().Digest.String()))
		if again.Manifest().Digest != v.Manifest().Digest {
			t.Errorf("found %s", again.Manifest().Digest)
		}
	})
	t.Run("WhatIsNotThereIsNotFound", func(t *testing.T) { notThere(t, r, v) })
	t.Run("EndedContextStopsEverything", func(t *testing.T) { endedReading(t, r, v) })
	t.Run("ManyReadersAtOnce", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i, text := range texts {
					if got := readAny(t, v, i); got != text {
						t.Errorf("expected %q, found %q", text, got)
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("WritingIsRefused", func(t *testing.T) {
		for _, base := range []ocm.Version{nil, v} {
			if _, err := r.Draft(t.Context(), name, "1.0.0+build.7", base); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("expected ErrUnsupported, found %v", err)
			}
		}
	})
}

// readAny reads content whose digest may not be known.
func readAny(t *testing.T, v ocm.Version, i int) string {
	t.Helper()
	c, err := v.Blob(t.Context(), v.Descriptor().Component.Resources[i].Access)
	if err != nil {
		t.Error(err)
		return ""
	}
	rc, err := blob.OpenContent(t.Context(), c)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer rc.Close()
	raw, err := io.ReadAll(rc)
	if err != nil {
		t.Error(err)
	}
	if c.Root.Size >= 0 && c.Root.Size != int64(len(raw)) {
		t.Errorf("expected %d bytes, found %d", c.Root.Size, len(raw))
	}
	return string(raw)
}

func readBack(t *testing.T, r ocm.Repository, v ocm.Version, texts []string) {
	for i, text := range texts {
		if got := readAny(t, v, i); got != text {
			t.Errorf("expected %q, found %q", text, got)
		}
	}
	if got := versions(t, r); !slices.Equal(got, []string{"1.0.0+build.7"}) {
		t.Errorf("versions: %q", got)
	}
	if got := string(v.Descriptor().Component.Unknown); got != `{"future":{"a":[1]}}` {
		t.Errorf("unknown members: %q", got)
	}
	if err := blob.CheckDigest(v.Manifest().Digest); err != nil || v.Manifest().Size < 1 || v.Manifest().MediaType == "" {
		t.Errorf("manifest %+v: %v", v.Manifest(), err)
	}
	l, ok := r.(ocm.Lister)
	if !ok {
		return
	}
	for c, err := range l.Components(t.Context()) {
		if err != nil || c != name {
			t.Errorf("components: %q, %v", c, err)
		}
	}
}

func notThere(t *testing.T, r ocm.Repository, v ocm.Version) {
	for _, at := range [][2]string{{name, "1.0.0"}, {"acme.org/other", "1.0.0+build.7"}, {name, digest.FromString("other").String()}} {
		if _, err := r.Open(t.Context(), at[0], at[1]); !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%v: expected ErrNotFound, found %v", at, err)
		}
	}
	if _, err := r.Open(t.Context(), "no component", "1.0.0"); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("Open with a bad name: expected ErrInvalid, found %v", err)
	}
	for v, err := range r.Versions(t.Context(), "acme.org/other") {
		t.Errorf("expected no versions, found %s, %v", v, err)
	}
	if _, err := v.Blob(t.Context(), ocm.Spec{Type: "wget"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Blob of a foreign access: expected ErrUnsupported, found %v", err)
	}
	gone := ocm.Spec{Type: "localBlob", Raw: ocm.RawJSON(`{"type":"localBlob","mediaType":"text/plain","localReference":"` + digest.FromString("nowhere").String() + `"}`)}
	if _, err := v.Blob(t.Context(), gone); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("Blob that is missing: expected ErrNotFound, found %v", err)
	}
}

func endedReading(t *testing.T, r ocm.Repository, v ocm.Version) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Open(ctx, name, "1.0.0+build.7"); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: expected Canceled, found %v", err)
	}
	c, err := v.Blob(ctx, v.Descriptor().Component.Resources[0].Access)
	if err == nil {
		var rc io.ReadCloser
		if rc, err = blob.OpenContent(ctx, c); err == nil {
			_, err = io.ReadAll(rc)
			rc.Close()
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("reading: expected Canceled, found %v", err)
	}
	for _, err := range r.Versions(ctx, name) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Versions: expected Canceled, found %v", err)
		}
	}
}
