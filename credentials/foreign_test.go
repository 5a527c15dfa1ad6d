// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ocm"
)

// findFunc is a source made of a function.
type findFunc func(ctx context.Context, env *ocm.Env, s ocm.Spec, id ocm.Identity) (ocm.Secret, error)

func (f findFunc) Find(ctx context.Context, env *ocm.Env, s ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
	return f(ctx, env, s, id)
}

// sourcesOf has one source, of the type Mine/v1, as a plugin would bring it: it is there after the first look-up.
func sourcesOf(find findFunc, loaded *atomic.Int32) *ocm.Registry[ocm.CredentialSource] {
	r := ocm.NewRegistry[ocm.CredentialSource]("credential source")
	r.Later(sync.OnceValue(func() error {
		if loaded != nil {
			loaded.Add(1)
		}
		r.Register(find, ocm.Type{Names: []string{"Mine/v1"}, About: "…", Origin: "plugin mine"})
		return nil
	}))
	return r
}

// echoes answers with what it was told.
func echoes(_ context.Context, _ *ocm.Env, s ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
	var v struct {
		Name string `json:"credentialsName"`
	}
	if err := s.Decode(&v); err != nil {
		return nil, err
	}
	if id["hostname"] == "nobody.io" {
		return nil, fmt.Errorf("nothing there: %w", ocm.ErrNotFound)
	}
	return ocm.Secret{"id": id["hostname"], "type": id["type"], "name": v.Name}, nil
}

func storeOf(t testing.TB, o Options, texts ...string) *Store {
	t.Helper()
	var entries []ocm.Spec
	for _, text := range texts {
		entries = append(entries, spec(t, text))
	}
	s, err := New(entries, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const mineForAll = "repositories: [{repository: {type: Mine/v1}}]"

func TestSources(t *testing.T) {
	t.Parallel()
	var loaded atomic.Int32
	s := storeOf(t, Options{Sources: sourcesOf(echoes, &loaded)}, `
consumers:
- identity: {type: OCIRegistry/v1, hostname: known.io}
  credentials: [{type: Credentials/v1, properties: {username: known}}]
- identity: {type: OCIRegistry, hostname: A.io}
  credentials: [{type: Mine/v1, credentialsName: a}, {type: Credentials/v1, properties: {more: 'yes'}}]
- identity: {type: OCIRegistry, hostname: nobody.io}
  credentials: [{type: Mine/v1}]
- identity: {type: OCIRegistry, hostname: new.io}
  credentials: [{type: Other/v1}]
- identity: {type: OCIRegistry, hostname: typed.io}
  credentials: [{type: Other/v1}, {type: OCICredentials/v1, username: typed}]
`, mineForAll)
	if _, err := s.Resolve(t.Context(), identity("OCIRegistry hostname=known.io")); err != nil || loaded.Load() != 0 {
		t.Errorf("nobody needs a source: %v, plugins were loaded %d times", err, loaded.Load())
	}
	for request, want := range map[string]ocm.Secret{
		"OCIRegistry/v1 hostname=A.io": {"id": "a.io", "type": "OCIRegistry", "name": "a", "more": "yes"},
		"Wget hostname=b.io":           {"id": "b.io", "type": "Wget", "name": ""},
		"OCIRegistry hostname=typed.io": {
			"username": "typed",
		},
	} {
		if got, err := s.Resolve(t.Context(), identity(request)); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v %v", request, got, err)
		}
	}
	for request, kind := range map[string]error{
		"Wget hostname=nobody.io":        ocm.ErrNotFound,
		"OCIRegistry hostname=nobody.io": ocm.ErrInvalid, // it was promised
		"OCIRegistry hostname=new.io":    ocm.ErrUnknownType,
	} {
		if got, err := s.Resolve(t.Context(), identity(request)); !errors.Is(err, kind) || kind != ocm.ErrNotFound && errors.Is(err, ocm.ErrNotFound) { //nolint:errorlint // a mark, not an error
			t.Errorf("%s: %v %v", request, got, err)
		}
	}
	if loaded.Load() != 1 {
		t.Errorf("plugins were loaded %d times", loaded.Load())
	}
}

// A repository of a type that nobody knows is passed over, and told.
func TestSourceUnknown(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := Options{Sources: sourcesOf(echoes, nil), Log: slog.New(slog.NewTextHandler(&log, nil))}
	s := storeOf(t, o, "repositories: [{repository: {type: Other/v1}}]")
	if log.Len() > 0 {
		t.Errorf("before anybody needs it: %s", log.String())
	}
	for range 2 {
		if _, err := s.Resolve(t.Context(), identity("Wget hostname=h")); !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), `["Other/v1"] cannot be asked`) {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "cannot be asked"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
	s = storeOf(t, o, "repositories: [{repository: {type: Other/v1}}]", mineForAll, "repositories: [{repository: {type: Mine/v1, propagateConsumerIdentity: false}}]")
	gets(t, s, "Wget hostname=h", "h")
}

// A source says that it does not know the type: that must not look like "no credentials needed".
func TestSourceClaimsUnknownType(t *testing.T) {
	t.Parallel()
	s := storeOf(t, Options{Sources: sourcesOf(func(context.Context, *ocm.Env, ocm.Spec, ocm.Identity) (ocm.Secret, error) {
		return nil, fmt.Errorf("what? %w", ocm.ErrUnknownType)
	}, nil)}, mineForAll)
	if _, err := s.Resolve(t.Context(), identity("Wget hostname=h")); !errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrUnknownType) || errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
}

// Tenants have no plugins.
func TestSourcesConfined(t *testing.T) {
	t.Parallel()
	var loaded atomic.Int32
	s := storeOf(t, Options{Confined: true, Sources: sourcesOf(echoes, &loaded)}, mineForAll, `
consumers: [{identity: {type: Wget, hostname: a}, credentials: [{type: Mine/v1}]}]`)
	if _, err := s.Resolve(t.Context(), identity("Wget hostname=a")); !errors.Is(err, ocm.ErrUnknownType) {
		t.Error(err)
	}
	if _, err := s.Resolve(t.Context(), identity("Wget hostname=b")); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
	if loaded.Load() != 0 {
		t.Error("plugins were loaded")
	}
}

// What a source is opened with it finds in its environment, unless that is in a source.
func TestSourceNeedsCredentials(t *testing.T) {
	t.Parallel()
	ask := func(ctx context.Context, env *ocm.Env, s ocm.Spec, _ ocm.Identity) (ocm.Secret, error) {
		var v struct {
			Host string `json:"host"`
		}
		if err := s.Decode(&v); err != nil {
			return nil, err
		}
		return env.Resolve(ctx, ocm.Identity{"type": "Place/v1", "hostname": v.Host})
	}
	s := storeOf(t, Options{Sources: sourcesOf(ask, nil), Getenv: func(string) string { return "found" }}, `
consumers:
- {identity: {type: Place, hostname: good.io}, credentials: [{type: Credentials/v1, properties: {id: good}}]}
- {identity: {type: Place, hostname: circle.io}, credentials: [{type: Mine/v1, host: circle.io}]}
- {identity: {type: Place, hostname: chain.io}, credentials: [{type: Mine/v1, host: good.io}]}
- {identity: {type: Place, hostname: vault.io}, credentials: [{type: HashiCorpVault, serverURL: 'http://127.0.0.1:1', credentialsName: a}]}
- {identity: {type: HashiCorpVault, hostname: 127.0.0.1, scheme: http, port: 1}, credentials: [{type: Mine/v1, host: vault.io}]}
- {identity: {type: Wget, hostname: good}, credentials: [{type: Mine/v1, host: good.io}]}
- {identity: {type: Wget, hostname: circle}, credentials: [{type: Mine/v1, host: circle.io}]}
- {identity: {type: Wget, hostname: chain}, credentials: [{type: Mine/v1, host: chain.io}]}
- {identity: {type: Wget, hostname: vault}, credentials: [{type: Mine/v1, host: vault.io}]}
- {identity: {type: Wget, hostname: none}, credentials: [{type: Mine/v1, host: repository.io}]}
repositories:
- {repository: {type: Environment, consumers: [{identity: {type: Place, hostname: repository.io}, properties: {id: V}}]}}
- {repository: {type: Mine/v1, host: good.io}, credentials: [{type: Credentials/v1, properties: {id: own}}]}
`)
	gets(t, s, "Wget hostname=good", "good")
	gets(t, s, "Wget hostname=elsewhere", "own")
	gets(t, s, "Place hostname=chain.io", "good")
	for _, host := range []string{"circle", "chain", "vault", "none"} {
		if got, err := s.Resolve(t.Context(), identity("Wget hostname="+host)); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v %v", host, got, err)
		}
	}
	if _, err := s.Resolve(t.Context(), identity("Wget hostname=circle")); !strings.Contains(err.Error(), "a credential source is to be opened with them") {
		t.Error(err)
	}
}

func TestSourceExplained(t *testing.T) {
	t.Parallel()
	s := storeOf(t, Options{Sources: sourcesOf(echoes, nil)}, mineForAll, `
consumers: [{identity: {type: Wget, hostname: a}, credentials: [{type: Mine/v1}]}]`)
	for request, want := range map[string]string{
		"Wget hostname=a":         "credential source Mine/v1 of plugin mine: has id, name, type",
		"Wget hostname=b":         "credential source Mine/v1 of plugin mine: has id, name, type",
		"Wget hostname=nobody.io": "credential source Mine/v1 of plugin mine: has nothing",
	} {
		x, err := s.Explain(t.Context(), identity(request))
		if err != nil || len(x.Asked) != 1 || x.Asked[0] != want {
			t.Errorf("%s: %v %v", request, x, err)
		}
	}
	x, _ := s.Explain(t.Context(), identity("Wget hostname=b"))
	if x.Source != "credential source Mine/v1 of plugin mine" {
		t.Errorf("%v", x)
	}
}

// Answers are kept for a while, also that there is nothing; failures are not.
func TestSourceAnswersAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		s := storeOf(t, Options{Sources: sourcesOf(func(ctx context.Context, env *ocm.Env, s ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
			asked[id["hostname"]]++
			if id["hostname"] == "bad.io" {
				return nil, ocm.ErrDenied
			}
			return echoes(ctx, env, s, id)
		}, nil)}, mineForAll)
		times := func(host string, n int, want int) {
			t.Helper()
			for range n {
				got, _ := s.Resolve(t.Context(), identity("Wget hostname="+host))
				clear(got) // it is ours
			}
			if asked[host] != want {
				t.Errorf("%s: asked %d times, expected %d", host, asked[host], want)
			}
		}
		times("good.io", 3, 1)
		times("nobody.io", 3, 1)
		times("bad.io", 3, 3)
		time.Sleep(helperKept)
		times("good.io", 3, 2)
		for i := range maxAnswers {
			times(fmt.Sprint(i), 1, 1)
		}
		times("good.io", 1, 3)
	})
}

// Who asks at the same time asks once, and one that goes away takes nothing from the others.
func TestSourceAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		answer := make(chan struct{})
		s := storeOf(t, Options{Sources: sourcesOf(func(ctx context.Context, env *ocm.Env, s ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
			asked.Add(1)
			select {
			case <-answer:
				return echoes(ctx, env, s, id)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}, nil)}, mineForAll)
		first, goAway := context.WithCancel(t.Context())
		errs := make(chan error)
		ask := func(ctx context.Context) { _, err := s.Resolve(ctx, identity("Wget hostname=h")); errs <- err }
		go ask(first)
		synctest.Wait()
		for range 8 {
			go ask(t.Context())
		}
		synctest.Wait()
		goAway()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("who went away: %v", err)
		}
		close(answer)
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

// A source that does not answer is given up when nobody waits any more, or after [SourceTimeout]; also one that does not listen.
func TestSourceHangs(t *testing.T) {
	t.Parallel()
	for name, listens := range map[string]bool{"listens": true, "is deaf": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end, ended := make(chan struct{}), make(chan struct{}, 2)
				s := storeOf(t, Options{Sources: sourcesOf(func(ctx context.Context, _ *ocm.Env, _ ocm.Spec, _ ocm.Identity) (ocm.Secret, error) {
					done := ctx.Done()
					if !listens {
						done = nil
					}
					select {
					case <-done:
					case <-end:
					}
					ended <- struct{}{}
					return nil, ctx.Err()
				}, nil)}, mineForAll)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := s.Resolve(ctx, identity("Wget hostname=h")); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if listens {
					<-ended
				}
				begun := time.Now()
				if _, err := s.Resolve(t.Context(), identity("Wget hostname=h")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "plugin mine") {
					t.Error(err)
				}
				if time.Since(begun) != SourceTimeout {
					t.Errorf("given up after %s", time.Since(begun))
				}
				close(end)
			})
		})
	}
}
