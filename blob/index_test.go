// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// platformImage is an image with a configuration of its own.
func platformImage(m *image, os, arch, variant string) ociv1.Descriptor {
	man := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest}
	man.Config = m.add(ociv1.MediaTypeImageConfig, fmt.Appendf(nil, `{"os":%q,"architecture":%q,"variant":%q,"rootfs":{"type":"layers","diff_ids":[]}}`, os, arch, variant))
	man.Layers = []ociv1.Descriptor{m.add(ociv1.MediaTypeImageLayer, []byte("layer for "+arch))}
	d := m.addJSON(man.MediaType, man)
	d.Platform = &ociv1.Platform{OS: os, Architecture: arch, Variant: variant}
	return d
}

func TestIndexOf(t *testing.T) {
	t.Parallel()
	m := &image{}
	amd, arm := platformImage(m, "linux", "amd64", ""), platformImage(m, "linux", "arm64", "v8")
	of := func(ds ...ociv1.Descriptor) []ocm.Content {
		var out []ocm.Content
		for _, d := range ds {
			one := &image{blobs: map[digest.Digest][]byte{}}
			must(t, Walk(t.Context(), m, d, func(d ociv1.Descriptor, _ []byte) error {
				one.blobs[d.Digest] = m.blobs[d.Digest] // each in a place of its own
				return nil
			}))
			d.Platform = nil
			out = append(out, ocm.Content{Root: d, From: one})
		}
		return out
	}
	c, err := IndexOf(t.Context(), of(amd, arm))
	must(t, err)
	must(t, Check(t.Context(), c))
	const want = "sha256:b12c0e57d8fbc31532265b64e4103dac5f03cf4b7104b1f725bee0e8a867f379"
	if c.Root.MediaType != ociv1.MediaTypeImageIndex || c.Root.Digest.String() != want {
		t.Errorf("expected %s, found %+v", want, c.Root)
	}
	raw, err := ReadAll(t.Context(), c.From, c.Root, MaxManifest)
	must(t, err)
	var index ociv1.Index
	must(t, json.Unmarshal(raw, &index))
	if len(index.Manifests) != 2 || index.Manifests[1].Platform.Architecture != "arm64" || index.Manifests[1].Platform.Variant != "v8" || index.Manifests[0].Digest != amd.Digest {
		t.Errorf("found %s", raw)
	}
	_, err = c.From.Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1})
	wantError(t, err, ocm.ErrNotFound)
	_, err = IndexOf(t.Context(), of(amd, platformImage(m, "linux", "x86_64", "")))
	wantError(t, err, ocm.ErrInvalid, "image 2", "linux/amd64") // another name for the same
	_, err = IndexOf(t.Context(), of(amd, arm, arm))
	wantError(t, err, ocm.ErrInvalid, "image 3", "linux/arm64")
	_, err = IndexOf(t.Context(), of(m.index(amd)))
	wantError(t, err, ocm.ErrInvalid, "one image")
	_, err = IndexOf(t.Context(), of(platformImage(m, "", "amd64", "")))
	wantError(t, err, ocm.ErrInvalid, "os and architecture")
}

func TestNarrow(t *testing.T) {
	t.Parallel()
	m := &image{}
	amd, arm, win := platformImage(m, "linux", "amd64", ""), platformImage(m, "linux", "arm64", ""), platformImage(m, "windows", "amd64", "")
	inner := m.index(arm, win)
	inner.Annotations = map[string]string{"kept": "yes"}
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ociv1.MediaTypeImageIndex, "manifests": []any{amd, inner}, "annotations": map[string]string{"a": "b"}, "other": []int{1},
	})
	must(t, err)
	root := m.add(ociv1.MediaTypeImageIndex, raw)
	whole := m.content()
	linux := func(p Platform) bool { return p.OS == "linux" }
	c, err := Narrow(t.Context(), whole, linux)
	must(t, err)
	must(t, Check(t.Context(), c))
	const want = "sha256:b38cc740f9320aec8f4248d728c1f2b8955e0010b18ea2a222368415577c8dbc"
	if c.Root.Digest.String() != want || c.Root.MediaType != root.MediaType || c.Root.Digest == root.Digest {
		t.Errorf("expected %s, found %+v", want, c.Root)
	}
	var found []digest.Digest
	must(t, Walk(t.Context(), c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		found = append(found, d.Digest)
		return nil
	}))
	for d, there := range map[digest.Digest]bool{amd.Digest: true, arm.Digest: true, win.Digest: false, inner.Digest: false, root.Digest: false} {
		if slices.Contains(found, d) != there {
			t.Errorf("%s: expected %v", d, there)
		}
	}
	raw, err = ReadAll(t.Context(), c.From, c.Root, MaxManifest)
	must(t, err)
	var doc struct {
		Annotations map[string]string
		Other       []int
		Manifests   []ociv1.Descriptor
	}
	must(t, json.Unmarshal(raw, &doc))
	if doc.Annotations["a"] != "b" || len(doc.Other) != 1 || doc.Manifests[1].Annotations["kept"] != "yes" {
		t.Errorf("found %s", raw)
	}
	for name, c := range map[string]ocm.Content{"all belong to it": whole, "no index": {Root: amd, From: m}} {
		same, err := Narrow(t.Context(), c, func(Platform) bool { return true })
		if err != nil || same.Root.Digest != c.Root.Digest {
			t.Errorf("%s: %+v, %v", name, same.Root, err)
		}
	}
	_, err = Narrow(t.Context(), whole, func(Platform) bool { return false })
	wantError(t, err, ocm.ErrInvalid, "linux/amd64", "windows/amd64")
}

// FuzzNarrow: whatever an index says, nothing panics; what comes out is whole where the original is, and nothing of
// the other platform is in it.
func FuzzNarrow(f *testing.F) {
	m := &image{}
	amd, arm := platformImage(m, "linux", "amd64", ""), platformImage(m, "linux", "arm64", "")
	inner := m.index(arm)
	for _, entries := range [][]any{{amd, arm}, {amd, inner}, {inner, inner, amd}} {
		raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ociv1.MediaTypeImageIndex, "manifests": entries})
		must(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		one := &image{blobs: maps.Clone(m.blobs)}
		root := one.add(ociv1.MediaTypeImageIndex, raw)
		whole := ocm.Content{Root: root, From: one}
		c, err := Narrow(t.Context(), whole, func(p Platform) bool { return p.Architecture == "amd64" })
		if err != nil {
			return
		}
		if a, b := Check(t.Context(), whole), Check(t.Context(), c); a == nil && b != nil {
			t.Errorf("%s: %v", raw, b)
		}
		if s, err := SelectPlatforms(t.Context(), c.From, c.Root, func(p Platform) bool { return p.Architecture == "amd64" }); err != nil || len(s.Left) > 0 {
			t.Errorf("%s: left %v, %v", raw, s.Left, err)
		}
	})
}
