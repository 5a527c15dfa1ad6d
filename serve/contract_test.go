// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net/http/httptest"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/ctf"
	"ocm/internal/repotest"
	"ocm/internal/storetest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

// folder is an empty archive in a folder.
func folder(t testing.TB) *ctf.Store {
	t.Helper()
	s, err := ctf.Open(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.Standing()
}

// start is a server of a store.
func start(t testing.TB, store oci.Store, o Options) (*httptest.Server, *Registry) {
	t.Helper()
	g := Handler(store, o)
	srv := httptest.NewServer(g)
	t.Cleanup(func() {
		srv.Close()
		g.Close()
		if n := len(g.uploads.slots); n != 0 {
			t.Errorf("%d uploads are left", n)
		}
	})
	return srv, g
}

func client(t testing.TB, url string) oci.Store {
	t.Helper()
	s, err := remote.Open(&ocm.Env{Job: ocm.NewJob(4)}, url, "", remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Whatever our own client promises about a registry it keeps with ours.
func TestStoreContract(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*testing.T) oci.Store{
		"folder": func(t *testing.T) oci.Store { return folder(t) },
		"memory": func(*testing.T) oci.Store { return memory.New() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, _ := start(t, store(t), Options{Writable: true})
			storetest.Run(t, func(t *testing.T) oci.Store { return client(t, srv.URL) }, storetest.SkipTagRace)
		})
	}
}

func TestRepositoryContract(t *testing.T) {
	t.Parallel()
	repotest.Run(t, func(t *testing.T) ocm.Repository {
		srv, _ := start(t, folder(t), Options{Writable: true})
		return oci.NewRepository(client(t, srv.URL), &ocm.Env{Job: ocm.NewJob(4)})
	})
}
