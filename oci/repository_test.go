// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"ocm"
	"ocm/blob"
	"ocm/ctf"
	"ocm/internal/repotest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

// The mapping keeps its contract above every kind of store.
func TestContract(t *testing.T) {
	env := func() *ocm.Env { return &ocm.Env{Job: ocm.NewJob(4)} }
	t.Run("Memory", func(t *testing.T) {
		repotest.Run(t, func(*testing.T) ocm.Repository { return oci.NewRepository(memory.New(), env()) })
	})
	t.Run("CTF", func(t *testing.T) {
		repotest.Run(t, func(t *testing.T) ocm.Repository {
			store, err := ctf.Open(filepath.Join(t.TempDir(), "ctf"))
			if err != nil {
				t.Fatal(err)
			}
			return oci.NewRepository(store, env())
		})
	})
	for name, handler := range map[string]func() http.Handler{
		"Olareg": func() http.Handler {
			return olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
		},
		"GoContainerRegistry": func() http.Handler { return registry.New(registry.WithReferrersSupport(true)) },
	} {
		t.Run(name, func(t *testing.T) {
			repotest.Run(t, func(t *testing.T) ocm.Repository {
				s := httptest.NewServer(handler())
				t.Cleanup(s.Close)
				store, err := remote.Open(env(), s.URL, "some/path", remote.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return oci.NewRepository(store, env())
			})
		})
	}
}

// Two stores that are called the same share a job, but nothing else: what was copied into the one is
// not in the other.
func TestJobKnowsRepositoriesApart(t *testing.T) {
	env := &ocm.Env{Job: ocm.NewJob(4)}
	for range 2 {
		r := oci.NewRepository(memory.New(), env)
		draft, err := r.Draft(t.Context(), name, "1.0.0", nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := draft.Add(t.Context(), blob.Bytes("text/plain", []byte("shared")), "")
		if err != nil {
			t.Fatal(err)
		}
		d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "1.0.0", Provider: "p",
			Resources: []ocm.Resource{{Element: ocm.Element{Name: "text", Version: "1.0.0"}, Type: "blob", Relation: "local", Access: s.Access}}}}
		v, err := draft.Commit(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Blob(t.Context(), s.Access)
		if err != nil {
			t.Fatal(err)
		}
		if err := blob.Check(t.Context(), c); err != nil {
			t.Errorf("the version is visible, its content is not there: %v", err)
		}
	}
}
