// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/ctf"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

func TestAdoptKeepsTheManifest(t *testing.T) {
	for kind, open := range fixture.Places() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			src := commit(t, memory.New(), "1.0.0", fixture.Index("nested"), blob.Bytes("text/plain", []byte("beside")))
			target := oci.NewRepository(open(t), &ocm.Env{Job: ocm.NewJob(4)})
			adopt := func() (ocm.Version, error) {
				d := fixture.Must[ocm.Draft](t)(target.Draft(t.Context(), name, "1.0.0", nil))
				return d.(ocm.Adopter).Adopt(t.Context(), src, false)
			}
			fixture.Must[ocm.Version](t)(adopt())
			v := fixture.Must[ocm.Version](t)(target.Open(t.Context(), name, "1.0.0"))
			if v.Manifest().Digest != src.Manifest().Digest {
				t.Errorf("expected manifest %s, found %s", src.Manifest().Digest, v.Manifest().Digest)
			}
			for _, r := range v.Descriptor().Component.Resources {
				if err := blob.Check(t.Context(), fixture.Must[ocm.Content](t)(v.Blob(t.Context(), r.Access))); err != nil {
					t.Error(err)
				}
			}
			if _, err := adopt(); !errors.Is(err, ocm.ErrExists) {
				t.Errorf("a second time: expected ErrExists, found %v", err)
			}
		})
	}
}

// What the descriptor does not speak of must not come along with a manifest.
func TestAdoptRefusesStowaways(t *testing.T) {
	r := forge(t, forgery{manifest: func(m *ociv1.Manifest) {
		m.Layers = append(m.Layers, fixture.Heap{}.Put("text/plain", []byte("other")))
	}})
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	target := oci.NewRepository(memory.New(), &ocm.Env{})
	d := fixture.Must[ocm.Draft](t)(target.Draft(t.Context(), name, "1.0.0", nil))
	if _, err := d.(ocm.Adopter).Adopt(t.Context(), v, false); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("expected ErrUnsupported, found %v", err)
	}
}

// fetchCounter counts what is fetched.
type fetchCounter struct {
	ocm.Fetcher
	n *atomic.Int64
}

func (c fetchCounter) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	c.n.Add(1)
	return c.Fetcher.Fetch(ctx, d)
}

func TestBlobThatManyComponentsShareComesOnce(t *testing.T) {
	for kind, open := range fixture.Places() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			env := &ocm.Env{Job: ocm.NewJob(8)}
			r := oci.NewRepository(open(t), env)
			c := blob.Bytes("text/plain", []byte("shared by all"))
			var n atomic.Int64
			c.From = fetchCounter{c.From, &n}
			var g errgroup.Group
			for i := range 20 {
				g.Go(func() error {
					d, err := r.Draft(t.Context(), fmt.Sprintf("acme.org/c%d", i), "1.0.0", nil)
					if err != nil {
						return err
					}
					_, err = d.Add(t.Context(), c, "")
					return err
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			// In memory, repositories share nothing, so each gets its own copy.
			if n.Load() != 1 && kind != "memory" {
				t.Errorf("expected one look at the source, found %d", n.Load())
			}
			if s := env.Job.Counters(); kind != "memory" && (s.Blobs.Load() != 1 || s.Found.Load()+s.Mounted.Load() != 19) {
				t.Errorf("moved %d, found %d, mounted %d", s.Blobs.Load(), s.Found.Load(), s.Mounted.Load())
			}
		})
	}
}

// costly is a store whose requests are counted, and which finds and reads in one.
type costly struct {
	oci.Store
	requests *atomic.Int64
}

type costlyRepo struct {
	oci.Repo
	requests *atomic.Int64
}

func (s costly) Repo(name string) oci.Repo { return costlyRepo{s.Store.Repo(name), s.requests} }

func (r costlyRepo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	r.requests.Add(1)
	return r.Repo.Fetch(ctx, d)
}

func (r costlyRepo) ReadManifest(ctx context.Context, ref string) (ociv1.Descriptor, []byte, error) {
	r.requests.Add(1)
	d, err := r.Resolve(ctx, ref)
	if err != nil {
		return d, nil, err
	}
	raw, err := blob.ReadAll(ctx, r.Repo, d, blob.MaxManifest)
	return d, raw, err
}

func TestOpeningCostsOneRequest(t *testing.T) {
	for what, contents := range map[string][]ocm.Content{
		"manifest": {blob.Bytes("text/plain", []byte("x"))},
		"index":    {fixture.Image("layer"), blob.Bytes("text/plain", []byte("x"))},
	} {
		store := memory.New()
		want := commit(t, store, "1.0.0", contents...)
		var n atomic.Int64
		r := oci.NewRepository(costly{store, &n}, &ocm.Env{})
		v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
		if n.Load() != 1 || v.Manifest().Digest != want.Manifest().Digest || len(v.Descriptor().Component.Resources) != len(contents) {
			t.Errorf("%s: %d requests, found %v", what, n.Load(), v.Manifest())
		}
	}
}

// A copy of a document beside its digest counts only if it has that digest.
func TestWrongEmbeddedDocumentIsNotUsed(t *testing.T) {
	other := `{"meta":{"schemaVersion":"v2"},"component":{"name":"` + name + `","version":"6.6.6","provider":"p","repositoryContexts":[],"resources":[],"sources":[],"componentReferences":[]}}`
	r := forge(t, forgery{manifest: func(m *ociv1.Manifest) { m.Layers[0].Data = []byte(other) }})
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	var n atomic.Int64
	store := memory.New()
	d := fixture.Must[ocm.Draft](t)(oci.NewRepository(store, &ocm.Env{}).Draft(t.Context(), name, "1.0.0", nil))
	fixture.Must[ocm.Version](t)(d.(ocm.Adopter).Adopt(t.Context(), v, false))
	v = fixture.Must[ocm.Version](t)(oci.NewRepository(costly{store, &n}, &ocm.Env{}).Open(t.Context(), name, "1.0.0"))
	if got := v.Descriptor().Component.Version; got != "1.0.0" {
		t.Errorf("found version %s", got)
	}
}

// A version that an archive has whole is not read again from the registry that it came from.
func TestVersionIsReadBesideTheTarget(t *testing.T) {
	store, dir := memory.New(), t.TempDir()
	want := commit(t, store, "1.0.0", fixture.Image("layer"), blob.Bytes("text/plain", []byte("x")))
	near := oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)), &ocm.Env{})
	var n atomic.Int64
	open := func() ocm.Version {
		r := oci.NewRepository(costly{store, &n}, &ocm.Env{})
		r.Beside(near)
		n.Store(0)
		return fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	}
	if v := open(); n.Load() != 1 || v.Manifest().Digest != want.Manifest().Digest {
		t.Errorf("the target has nothing yet: %d requests, found %v", n.Load(), v.Manifest())
	}
	d := fixture.Must[ocm.Draft](t)(near.Draft(t.Context(), name, "1.0.0", nil))
	fixture.Must[ocm.Version](t)(d.(ocm.Adopter).Adopt(t.Context(), want, false))
	if v := open(); n.Load() != 0 || v.Manifest().Digest != want.Manifest().Digest {
		t.Errorf("the target has it: %d requests, found %v", n.Load(), v.Manifest())
	}
	layer := filepath.Join(dir, "blobs", strings.Replace(digest.FromString("x").String(), ":", ".", 1))
	if err := os.Truncate(layer, 0); err != nil {
		t.Fatal(err)
	}
	if open(); n.Load() != 1 {
		t.Errorf("the target's is not whole: %d requests", n.Load())
	}
	if err := os.Remove(layer); err != nil {
		t.Fatal(err)
	}
	commit(t, store, "2.0.0", blob.Bytes("text/plain", []byte("y")))
	if open(); n.Load() != 1 {
		t.Errorf("the target's lacks a blob: %d requests", n.Load())
	}
}
