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
