// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

// heap delivers whatever was put into it.
type heap map[digest.Digest][]byte

func (h heap) put(mediaType string, v any) ociv1.Descriptor {
	raw, ok := v.([]byte)
	if !ok {
		raw, _ = json.Marshal(v)
	}
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	h[d.Digest] = raw
	return d
}

func (h heap) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	raw, ok := h[d.Digest]
	if !ok {
		return nil, fmt.Errorf("%s: %w", d.Digest, ocm.ErrNotFound)
	}
	return blob.Bytes(d.MediaType, raw).Open(ctx)
}

// An artifact may name a manifest as somebody's layer, too: two things to store. Whoever takes one
// for the other makes a version visible whose content is not there.
func TestHiddenChildren_ManifestThatIsAlsoALayer(t *testing.T) {
	h := heap{}
	config := h.put("application/vnd.oci.image.config.v1+json", []byte("{}"))
	hidden := h.put(ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, Config: config,
		Layers: []ociv1.Descriptor{h.put("text/plain", []byte("this must arrive"))},
	})
	asLayer := hidden
	asLayer.MediaType = "application/octet-stream"
	index := h.put(ociv1.MediaTypeImageIndex, ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ociv1.Descriptor{hidden}})

	env := &ocm.Env{Job: ocm.NewJob(2)}
	repo := oci.NewRepository(memory.New(), env)
	draft, err := repo.Draft(t.Context(), "acme.org/app", "1.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org"}}
	for i, root := range []ociv1.Descriptor{asLayer, index} {
		s, err := draft.Add(t.Context(), ocm.Content{Root: root, From: h}, "")
		if err != nil {
			t.Fatal(err)
		}
		d.Component.Resources = append(d.Component.Resources, ocm.Resource{
			Element: ocm.Element{Name: fmt.Sprintf("r%d", i), Version: "1.0.0"}, Type: "ociImage", Relation: "local", Access: s.Access,
		})
	}
	v, err := draft.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Component.Resources {
		c, err := v.Blob(t.Context(), d.Component.Resources[i].Access)
		if err == nil {
			err = blob.Check(t.Context(), c)
		}
		if err != nil {
			t.Errorf("a version is visible without its content: resource %d: %v", i, err)
		}
	}
}

// The tag of 2.0.0+a.build-b reads back as no version. It is compared with the descriptor all the same: who can
// move tags must not get an old version taken for it.
func TestCVE_2022_29173_TagThatReadsBackAsNoVersion(t *testing.T) {
	store := memory.New()
	repo := oci.NewRepository(store, &ocm.Env{})
	put := func(version string) ocm.Version {
		draft, err := repo.Draft(t.Context(), "acme.org/app", version, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: "acme.org/app", Version: version, Provider: "acme.org"}}
		v, err := draft.Commit(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const version = "2.0.0+a.build-b"
	old := put("1.0.0")
	put(version)
	if _, err := repo.Open(t.Context(), "acme.org/app", version); err != nil {
		t.Fatal(err)
	}
	at := store.Repo(oci.RepoName("acme.org/app"))
	raw, err := blob.ReadAll(t.Context(), at, old.Manifest(), blob.MaxManifest)
	if err == nil {
		err = at.PutManifest(t.Context(), old.Manifest(), raw, oci.Tag(version), oci.Any())
	}
	if err != nil {
		t.Fatal(err)
	}
	if v, err := repo.Open(t.Context(), "acme.org/app", version); err == nil {
		t.Errorf("asked for %s, got %s", version, v.Descriptor().Component.Version)
	}
}

// A version whose tag is there and whose content is not is damaged, and not absent: those who look for a version
// in several places must not go on to the next one, and those who write must not take the place for free.
func TestDamagedVersionIsNotAbsent(t *testing.T) {
	store := memory.New()
	repo := oci.NewRepository(store, &ocm.Env{})
	at := store.Repo(oci.RepoName("acme.org/app"))
	missing := ociv1.Descriptor{MediaType: oci.MediaTypeConfig, Digest: digest.FromString("missing"), Size: 7}
	raw, err := json.Marshal(ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, Config: missing, Layers: []ociv1.Descriptor{missing}})
	if err != nil {
		t.Fatal(err)
	}
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := at.PutManifest(t.Context(), d, raw, "1.0.0", oci.Absent()); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Open(t.Context(), "acme.org/app", "1.0.0"); errors.Is(err, ocm.ErrNotFound) || !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("got %v, want %v", err, ocm.ErrInvalid)
	}
}

// A manifest that names one blob with two sizes cannot be whole: who believes the other one does not
// get it. Such a manifest is not taken over, whichever of the sizes is the true one.
func TestAdoptRefusesTwoSizes(t *testing.T) {
	for kind, open := range fixture.Places() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			other := ociv1.Descriptor{MediaType: "text/plain", Digest: digest.FromString("other"), Size: 5}
			r := forge(t, forgery{
				descriptor: `{"meta":{"schemaVersion":"v2"},"component":{"name":"` + name + `","version":"1.0.0","provider":"p","repositoryContexts":[],"sources":[],"componentReferences":[],
					"resources":[{"name":"r","version":"1.0.0","type":"blob","relation":"local","access":{"type":"localBlob/v1","mediaType":"text/plain","localReference":"` + other.Digest.String() + `"}}]}}`,
				manifest: func(m *ociv1.Manifest) {
					wrong := other
					wrong.Size = 1005
					m.Layers = append(m.Layers, other, wrong)
				},
			})
			v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
			target := oci.NewRepository(open(t), &ocm.Env{Job: ocm.NewJob(2)})
			d := fixture.Must[ocm.Draft](t)(target.Draft(t.Context(), name, "1.0.0", nil))
			// As a transfer does: first the content, then the manifest.
			fixture.Must[ocm.Stored](t)(d.Add(t.Context(), fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access)), ""))
			if _, err := d.(ocm.Adopter).Adopt(t.Context(), v, false); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("expected %v, found %v", ocm.ErrInvalid, err)
			}
			if _, err := target.Open(t.Context(), name, "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("the version is visible: %v", err)
			}
		})
	}
}

// The same for the entries of an index: an image that comes along with a version.
func TestCopyRefusesAnIndexWithTwoSizes(t *testing.T) {
	h := heap{}
	image := h.put(ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, Config: h.put("application/vnd.oci.image.config.v1+json", []byte("{}")),
	})
	wrong := image
	wrong.Size++
	index := h.put(ociv1.MediaTypeImageIndex, ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ociv1.Descriptor{image, wrong}})
	target := oci.NewRepository(memory.New(), &ocm.Env{Job: ocm.NewJob(1)})
	d := fixture.Must[ocm.Draft](t)(target.Draft(t.Context(), name, "1.0.0", nil))
	_, err := d.Add(t.Context(), ocm.Content{Root: index, From: h}, "")
	fixture.WantErr(t, err, ocm.ErrInvalid, image.Digest.String())
}
