// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

const name = "acme.org/shape"

// commit writes a version with the given resources into a store.
func commit(t *testing.T, store oci.Store, version string, contents ...ocm.Content) ocm.Version {
	t.Helper()
	r := oci.NewRepository(store, &ocm.Env{})
	draft, err := r.Draft(t.Context(), name, version, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: version, Provider: "acme.org"}}
	for i, c := range contents {
		s, err := draft.Add(t.Context(), c, "")
		if err != nil {
			t.Fatal(err)
		}
		d.Component.Resources = append(d.Component.Resources, ocm.Resource{
			Element: ocm.Element{Name: fmt.Sprint("r", i), Version: version, ExtraIdentity: ocm.Identity{"os": "linux", "architecture": "arm64"}},
			Type:    "blob", Relation: "local", Access: s.Access,
		})
	}
	v, err := draft.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// read fetches a document of the component's repository.
func read(t *testing.T, store oci.Store, d ociv1.Descriptor, into any) {
	t.Helper()
	raw, err := blob.ReadAll(t.Context(), store.Repo(oci.RepoName(name)), d, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func TestWrittenShape(t *testing.T) {
	store := memory.New()
	v := commit(t, store, "1.0.0+b.1", blob.Bytes("text/plain", []byte("hello")))
	var m ociv1.Manifest
	read(t, store, v.Manifest(), &m)
	if m.MediaType != ociv1.MediaTypeImageManifest || m.ArtifactType != "application/vnd.ocm.software.component-descriptor.v2" ||
		m.Config.MediaType != "application/vnd.ocm.software.component.config.v1+json" || m.Subject != nil {
		t.Errorf("manifest: %+v", m)
	}
	if m.Annotations["software.ocm.componentversion"] != name+":1.0.0+b.1" {
		t.Errorf("annotations: %v", m.Annotations)
	}
	var c struct {
		Layer ociv1.Descriptor `json:"componentDescriptorLayer"`
	}
	read(t, store, m.Config, &c)
	if m.Layers[0].MediaType != "application/vnd.ocm.software.component-descriptor.v2+json" || c.Layer.Digest != m.Layers[0].Digest || c.Layer.Size != m.Layers[0].Size {
		t.Errorf("the first layer must be the descriptor that the config names: %+v, %+v", m.Layers[0], c.Layer)
	}
	l := m.Layers[1]
	if l.MediaType != "text/plain" || l.Platform == nil || l.Platform.Architecture != "arm64" || l.Platform.OS != "linux" {
		t.Errorf("layer: %+v", l)
	}
	want := `[{"identity":{"architecture":"arm64","name":"r0","os":"linux","version":"1.0.0+b.1"},"kind":"resource"}]`
	if got := l.Annotations["software.ocm.artifact"]; got != want {
		t.Errorf("expected %s, found %s", want, got)
	}
	if got := v.Descriptor().Component.Resources[0].Access; got.Type != "localBlob/v1" || !bytes.Contains(got.Raw, []byte(`"localReference":"`+l.Digest.String()+`"`)) {
		t.Errorf("access: %s", got.Raw)
	}
	if _, err := store.Repo("component-descriptors/"+name).Resolve(t.Context(), "1.0.0.build-b.1"); err != nil {
		t.Error("tag:", err)
	}
}

func TestIndexOnlyForNestedArtifacts(t *testing.T) {
	store := memory.New()
	img := fixture.Image("x")
	root := img.Root
	v := commit(t, store, "1.0.0", img, blob.Bytes("text/plain", []byte("beside")))
	var idx ociv1.Index
	read(t, store, v.Manifest(), &idx)
	if idx.MediaType != ociv1.MediaTypeImageIndex || len(idx.Manifests) != 2 || idx.Manifests[1].Digest != root.Digest ||
		idx.Manifests[0].ArtifactType != oci.ArtifactTypeDescriptor || idx.Manifests[0].MediaType != ociv1.MediaTypeImageManifest {
		t.Errorf("index: %+v", idx)
	}
	var m ociv1.Manifest
	read(t, store, idx.Manifests[0], &m)
	if len(m.Layers) != 2 || m.Layers[1].MediaType != "text/plain" {
		t.Errorf("layers: %+v", m.Layers)
	}
}

// The same input gives the same bytes.
func TestManifestIsReproducible(t *testing.T) {
	a := commit(t, memory.New(), "1.0.0", blob.Bytes("text/plain", []byte("x")))
	b := commit(t, memory.New(), "1.0.0", blob.Bytes("text/plain", []byte("x")))
	if a.Manifest().Digest != b.Manifest().Digest {
		t.Errorf("%s and %s", a.Manifest().Digest, b.Manifest().Digest)
	}
}

// forge stores a hand-made component version: documents that edit changes before they are stored.
type forgery struct {
	descriptor string
	config     func(layer ociv1.Descriptor) string
	manifest   func(m *ociv1.Manifest)
	index      func(i *ociv1.Index) // nil: no index
}

func forge(t *testing.T, f forgery) *oci.Repository {
	t.Helper()
	store := memory.New()
	repo := store.Repo(oci.RepoName(name))
	push := func(mediaType, s string) ociv1.Descriptor {
		d, err := repo.Push(t.Context(), ociv1.Descriptor{MediaType: mediaType, Size: -1}, strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		d.MediaType = mediaType
		return d
	}
	put := func(mediaType string, doc any, tag string) ociv1.Descriptor {
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		if err := repo.PutManifest(t.Context(), d, raw, tag, oci.Any()); err != nil {
			t.Fatal(err)
		}
		return d
	}
	if f.descriptor == "" {
		f.descriptor = `{"meta":{"schemaVersion":"v2"},"component":{"name":"` + name + `","version":"1.0.0","provider":"p","repositoryContexts":[],"resources":[],"sources":[],"componentReferences":[]}}`
	}
	layer := push("application/vnd.ocm.software.component-descriptor.v2+json", f.descriptor)
	config := `{"componentDescriptorLayer":` + asJSON(layer) + `}`
	if f.config != nil {
		config = f.config(layer)
	}
	m := ociv1.Manifest{MediaType: ociv1.MediaTypeImageManifest, Config: push(oci.MediaTypeConfig, config), Layers: []ociv1.Descriptor{layer}}
	m.SchemaVersion = 2
	if f.manifest != nil {
		f.manifest(&m)
		for _, l := range m.Layers {
			if l.Digest == digest.FromString("other") {
				push(l.MediaType, "other")
			}
		}
	}
	if f.index == nil {
		put(ociv1.MediaTypeImageManifest, m, "1.0.0")
		return oci.NewRepository(store, &ocm.Env{})
	}
	idx := ociv1.Index{MediaType: ociv1.MediaTypeImageIndex, Manifests: []ociv1.Descriptor{put(ociv1.MediaTypeImageManifest, m, "")}}
	idx.SchemaVersion = 2
	f.index(&idx)
	put(ociv1.MediaTypeImageIndex, idx, "1.0.0")
	return oci.NewRepository(store, &ocm.Env{})
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestForgedManifestsAreRefused(t *testing.T) {
	other := ociv1.Descriptor{MediaType: "application/vnd.ocm.software.component-descriptor.v2+json", Digest: digest.FromString("other"), Size: 5}
	for _, c := range []struct {
		name string
		f    forgery
		kind error // nil: accepted
		text string
	}{
		{"as it should be", forgery{}, nil, ""},
		{"as an index", forgery{index: func(*ociv1.Index) {}}, nil, ""},
		{"old config type", forgery{manifest: func(m *ociv1.Manifest) {
			m.Config.MediaType = "application/vnd.gardener.cloud.cnudie.component.config.v1+json"
		}}, nil, ""},
		{"config of something else", forgery{manifest: func(m *ociv1.Manifest) { m.Config.MediaType = ociv1.MediaTypeImageConfig }}, ocm.ErrInvalid, "no component version"},
		{"config names a layer that is not there", forgery{config: func(ociv1.Descriptor) string {
			return `{"componentDescriptorLayer":` + asJSON(other) + `}`
		}}, ocm.ErrInvalid, "does not list"},
		{"config and manifest disagree about the size", forgery{config: func(l ociv1.Descriptor) string {
			l.Size++
			return `{"componentDescriptorLayer":` + asJSON(l) + `}`
		}}, ocm.ErrInvalid, "does not list"},
		{"config says nothing", forgery{config: func(ociv1.Descriptor) string { return `{}` }}, ocm.ErrInvalid, "does not say"},
		{"config with duplicate keys", forgery{config: func(l ociv1.Descriptor) string {
			return `{"componentDescriptorLayer":` + asJSON(l) + `,"componentDescriptorLayer":` + asJSON(other) + `}`
		}}, ocm.ErrInvalid, "does not say"},
		{"descriptor of another component", forgery{descriptor: `{"meta":{"schemaVersion":"v2"},"component":{"name":"evil.example/x","version":"1.0.0","provider":"p","repositoryContexts":[],"resources":[],"sources":[],"componentReferences":[]}}`},
			ocm.ErrInvalid, "evil.example/x"},
		{"descriptor of another version", forgery{descriptor: `{"meta":{"schemaVersion":"v2"},"component":{"name":"` + name + `","version":"6.6.6","provider":"p","repositoryContexts":[],"resources":[],"sources":[],"componentReferences":[]}}`},
			ocm.ErrInvalid, "6.6.6"},
		{"annotation of another version", forgery{manifest: func(m *ociv1.Manifest) {
			m.Annotations = map[string]string{"software.ocm.componentversion": name + ":9.9.9"}
		}}, ocm.ErrInvalid, "9.9.9"},
		{"CVE-2021-41190 manifest and index at once", forgery{manifest: func(m *ociv1.Manifest) { m.MediaType = ociv1.MediaTypeImageIndex }}, ocm.ErrInvalid, "media type"},
		{"index whose first entry is an index", forgery{index: func(i *ociv1.Index) { i.Manifests[0].MediaType = ociv1.MediaTypeImageIndex }}, ocm.ErrInvalid, "first"},
		{"index without entries", forgery{index: func(i *ociv1.Index) { i.Manifests = nil }}, ocm.ErrInvalid, "empty"},
		{"CVE-2024-3727 digest that is none", forgery{manifest: func(m *ociv1.Manifest) {
			l := other
			l.Digest = "sha256:../../../etc/passwd"
			m.Layers = append(m.Layers, l)
		}}, ocm.ErrInvalid, "digest"},
		{"negative size", forgery{manifest: func(m *ociv1.Manifest) { m.Layers[0].Size = -5 }}, ocm.ErrInvalid, "negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := forge(t, c.f).Open(t.Context(), name, "1.0.0")
			if !errors.Is(err, c.kind) || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("expected %v with %q, found %v", c.kind, c.text, err)
			}
		})
	}
}

// Local blobs are looked up among what the manifest lists; whatever else is stored in the same
// repository cannot be reached through a version.
func TestLocalReferences(t *testing.T) {
	store := memory.New()
	v := commit(t, store, "1.0.0", blob.Bytes("text/plain", []byte("one")), blob.Bytes("text/plain", []byte("two")))
	commit(t, store, "2.0.0", blob.Bytes("text/plain", []byte("elsewhere")))
	one, two := digest.FromString("one"), digest.FromString("two")
	for _, c := range []struct {
		spec string
		kind error
		want string
	}{
		{`{"type":"localBlob","localReference":"` + one.String() + `","mediaType":"text/plain"}`, nil, "one"},
		{`{"type":"LocalBlob/v1","localReference":"sha256.` + one.Encoded() + `","mediaType":"text/plain"}`, nil, "one"},
		{`{"type":"localOciBlob","digest":"` + two.String() + `"}`, nil, "two"},
		{`{"type":"localFilesystemBlob","fileName":"sha256.` + two.Encoded() + `","mediaType":"text/plain"}`, nil, "two"},
		{`{"type":"localBlob","localReference":"` + two.String() + `,` + one.String() + `","mediaType":"text/plain"}`, nil, "twoone"},
		{`{"type":"localBlob","localReference":"` + digest.FromString("elsewhere").String() + `","mediaType":"text/plain"}`, ocm.ErrNotFound, ""},
		{`{"type":"localBlob","localReference":"../../etc/passwd","mediaType":"text/plain"}`, ocm.ErrInvalid, ""},
		{`{"type":"localBlob","localReference":"sha256:` + strings.ToUpper(one.Encoded()) + `","mediaType":"text/plain"}`, ocm.ErrInvalid, ""},
		{`{"type":"localBlob","mediaType":"text/plain"}`, ocm.ErrInvalid, ""},
		{`{"type":"localBlob","localReference":"` + strings.Repeat(one.String()+",", 2000) + one.String() + `"}`, ocm.ErrLimit, ""},
		{`{"type":"localBlob","localReference":7}`, ocm.ErrInvalid, ""},
		{`{"type":"wget","url":"https://127.0.0.1"}`, errors.ErrUnsupported, ""},
	} {
		var s ocm.Spec
		if err := s.UnmarshalJSON([]byte(c.spec)); err != nil {
			t.Fatal(err)
		}
		content, err := v.Blob(t.Context(), s)
		if !errors.Is(err, c.kind) {
			t.Errorf("%.100s: expected %v, found %v", c.spec, c.kind, err)
		}
		if c.kind != nil || err != nil {
			continue
		}
		rc, err := content.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(rc); err != nil || b.String() != c.want {
			t.Errorf("%.100s: found %q, %v", c.spec, b.String(), err)
		}
		rc.Close()
	}
}

// Tags that are no versions, such as aliases and those of referrers, are not listed.
func TestListingShowsVersionsOnly(t *testing.T) {
	store := memory.New()
	v := commit(t, store, "v1.2")
	commit(t, store, "1.0.0-rc.1+linux.amd64")
	repo := store.Repo(oci.RepoName(name))
	raw, err := blob.ReadAll(t.Context(), repo, v.Manifest(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"latest", "sha256-" + strings.Repeat("0", 64), "sha256-" + strings.Repeat("0", 64) + ".sig"} {
		if err := repo.PutManifest(t.Context(), v.Manifest(), raw, tag, oci.Any()); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	r := oci.NewRepository(store, &ocm.Env{})
	for v, err := range r.Versions(t.Context(), name) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	slices.Sort(got)
	if want := []string{"1.0.0-rc.1+linux.amd64", "v1.2"}; !slices.Equal(got, want) {
		t.Errorf("expected %q, found %q", want, got)
	}
	if _, err := r.Open(t.Context(), name, "latest"); err != nil {
		t.Error("an alias can be opened by name:", err)
	}
}
