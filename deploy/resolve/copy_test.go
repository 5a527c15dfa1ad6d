// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/internal/fixture"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	folder := t.TempDir()
	b.Resolver = newResolver(t, Options{Archives: folder})
	var events atomic.Int64
	for name, target := range map[string]Place{
		"registry": {specOf(t, `{"type":"OCIRegistry","baseUrl":%q,"subPath":"copies"}`, fixture.Registry(t)), nil},
		"docker":   {specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, fixture.DockerRegistry(t)), nil},
		"folder":   archive(t, "copy"),
		"archive":  archive(t, "copy.tgz"),
	} {
		t.Run(name, func(t *testing.T) {
			c := Copy{Source: b.place(), Question: app(by(rsaKey())), Target: target, Recursive: true, Report: func(ocm.Event) { events.Add(1) }}
			first, err := b.Copy(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if first.Version != "1.0.0" || first.Versions != 2 || first.Moved == 0 || first.Digest.Value == "" {
				t.Errorf("%+v", first)
			}
			again, err := b.Copy(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if again.Moved != 0 || again.Digest.Value != first.Digest.Value {
				t.Errorf("it was moved again: %+v", again)
			}
			q := app(by(rsaKey()))
			q.Content, q.Digest = true, &first.Digest
			if _, err := b.Version(t.Context(), target, q); err != nil {
				t.Errorf("the copy: %v", err)
			}
		})
	}
	if events.Load() == 0 {
		t.Error("nobody was told")
	}
}

func TestCopyOfWhatIsNotSigned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	target := Place{specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, fixture.Registry(t)), nil}
	_, err := b.Copy(t.Context(), Copy{Source: b.place(), Question: app(by(otherRSA())), Target: target, Recursive: true})
	fixture.WantErr(t, err, ocm.ErrSignature, "source")
	_, err = b.Version(t.Context(), target, app(nil))
	fixture.WantErr(t, err, ocm.ErrNotFound)
}

func TestCopyKeys(t *testing.T) {
	t.Parallel()
	p := Place{Repository: specOf(t, `{"type":"x"}`)}
	keys := map[string]bool{}
	for _, c := range []Copy{
		{Source: p, Target: p}, {Source: p, Target: p, Recursive: true}, {Source: p, Target: p, CopyResources: true}, {Source: p, Target: p, UploadAs: "x"}, {Source: p, Target: p, Tenant: "x"},
		{Source: p, Target: Place{Repository: specOf(t, `{"type":"y"}`)}}, {Source: p, Target: p, Question: app(nil)}, {Source: p, Target: p, Question: app(by(rsaKey()))},
		{Source: p, Target: p, Question: Question{Component: "acme.org/app", Version: "1.0.0", Digest: &ocm.Digest{Value: strings.Repeat("0", 64)}}},
	} {
		keys[c.Key()] = true
		if c.Report = func(ocm.Event) {}; !keys[c.Key()] {
			t.Error("who listens makes no difference")
		}
	}
	if len(keys) != 9 {
		t.Errorf("%d keys of 9 copies", len(keys))
	}
}

// Tenants do not continue each other's uploads, and what only reads remembers none.
func TestCachesOfTenants(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := newResolver(t, Options{Env: &ocm.Env{Cache: folder}})
	s, err := r.session(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Env.Cache != "" {
		t.Errorf("a session that is shared has the cache %s", s.Env.Cache)
	}
	for tenant, want := range map[string]string{"a": filepath.Join(folder, "tenants", "a"), "b": filepath.Join(folder, "tenants", "b"), "": "", "..": "", ".": "", "a/b": "", "../a": "", "/a": ""} {
		if got := r.cacheOf(tenant); got != want {
			t.Errorf("%q: expected %q, found %q", tenant, want, got)
		}
	}
}

func TestCopiesUseTheCacheOfTheirTenant(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	kit, folder := *builtin.Kit(), t.TempDir()
	types := kit.Repositories.Types()
	open, err := kit.Repositories.For(ocm.OCIRepositoryType)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	kit.Repositories = ocm.NewRegistry[ocm.RepositoryOpener]("repository")
	for _, typ := range types {
		kit.Repositories.Register(func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
			mu.Lock()
			defer mu.Unlock()
			seen[env.Cache]++
			return open(ctx, env, s)
		}, typ)
	}
	r := newResolver(t, Options{Kit: &kit, Env: &ocm.Env{Cache: folder}})
	for _, tenant := range []string{"a", "b"} {
		target := Place{specOf(t, `{"type":"OCIRegistry","baseUrl":%q,"subPath":%q}`, fixture.Registry(t), tenant), nil}
		if _, err := r.Copy(t.Context(), Copy{Source: b.place(), Question: app(nil), Target: target, Tenant: tenant}); err != nil {
			t.Fatal(err)
		}
	}
	if seen[""] == 0 || seen[filepath.Join(folder, "tenants", "a")] != 1 || seen[filepath.Join(folder, "tenants", "b")] != 1 || len(seen) != 3 {
		t.Errorf("opened with %v", seen)
	}
}
