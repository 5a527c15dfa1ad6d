// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"ocm"
	"ocm/internal/peer"
	"ocm/internal/storetest"
	"ocm/oci"
	"ocm/web"
)

// fast keeps tests short without changing what happens.
var fast = pace{
	Pace: web.Pace{
		Answer: 30 * time.Second, Commit: 30 * time.Second, Stall: 30 * time.Second,
		Wait: time.Millisecond, MaxWait: time.Second, MaxAfter: time.Second, Retries: 3,
	},
	whole: wholeTime,
}

// olaregHandler is a registry with everything of distribution 1.1, in memory.
func olaregHandler(t *testing.T, change ...func(*config.Config)) http.Handler {
	c := config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}}
	for _, fn := range change {
		fn(&c)
	}
	s := olareg.New(c)
	t.Cleanup(func() { s.Close() })
	return s
}

// ggcrHandler is a registry that does the least. It locks everything while it reads a body,
// so it gets bodies that are there already.
func ggcrHandler(opts ...ggcr.Option) http.Handler {
	h := ggcr.New(append(opts, ggcr.Logger(log.New(io.Discard, "", 0)))...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	})
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// quiet is a server that does not log the handshakes that tests make fail.
func quiet(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	return srv
}

// serveTLS also returns an environment that trusts the server.
func serveTLS(t *testing.T, h http.Handler) (*httptest.Server, *ocm.Env) {
	srv := quiet(h)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, &ocm.Env{HTTP: srv.Client().Transport}
}

func open(t *testing.T, env *ocm.Env, url string, change ...func(*Options)) *Store {
	t.Helper()
	p := fast
	o := Options{pace: &p}
	for _, fn := range change {
		fn(&o)
	}
	s, err := Open(env, url, "", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// secrets are credentials for everybody who asks; they remember what was asked.
type secrets struct {
	secret ocm.Secret
	mu     sync.Mutex
	asked  []ocm.Identity
}

func (s *secrets) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, id)
	if s.secret == nil {
		return nil, ocm.ErrNotFound
	}
	return s.secret, nil
}

var alice = ocm.Secret{"username": "alice", "password": "wonderland"}

// journal writes down "METHOD path" of every request.
type journal struct {
	http.Handler
	mu    sync.Mutex
	lines []string
	seen  []*http.Request
}

func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	j.lines = append(j.lines, r.Method+" "+r.URL.Path)
	j.seen = append(j.seen, r.Clone(context.Background()))
	j.mu.Unlock()
	j.Handler.ServeHTTP(w, r)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// authorizations lists the Authorization headers that arrived.
func (j *journal) authorizations() (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.seen {
		if h := r.Header.Get("Authorization"); h != "" {
			found = append(found, h)
		}
	}
	return found
}

// basicAuth lets alice in.
func basicAuth(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != alice["username"] || p != alice["password"] {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}`, http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// tokenService is a registry's door and its token service in one.
type tokenService struct {
	realm  func() string // address of the service
	mu     sync.Mutex
	issued map[string]string // token → scopes
	forms  []string
}

// guard demands a token whose scopes cover the request.
func (s *tokenService) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		action := "pull"
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			action = "push"
		}
		s.mu.Lock()
		scopes, ok := s.issued[token]
		s.mu.Unlock()
		name := repositoryOf(r.URL.Path)
		if !ok || !strings.Contains(scopes, "repository:"+name+":") || !strings.Contains(scopes, action) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s",service="test",scope="repository:%s:%s"`, s.realm(), name, action))
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"token please"}]}`, http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// ServeHTTP issues tokens to alice, by password or by refresh token.
func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	scopes := strings.Join(r.Form["scope"], " ")
	user, password, _ := r.BasicAuth()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forms = append(s.forms, r.Form.Encode())
	switch {
	case r.Method == http.MethodPost && r.PostForm.Get("refresh_token") == "alice-refresh":
	case r.Method == http.MethodGet && user == alice["username"] && password == alice["password"]:
	default:
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}`, http.StatusUnauthorized)
		return
	}
	token := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "token %d", len(s.issued)))
	s.issued[token] = scopes
	fmt.Fprintf(w, `{"token":%q}`, token)
}

func newTokenService(t *testing.T) *tokenService {
	s := &tokenService{issued: map[string]string{}}
	srv := serve(t, s)
	s.realm = func() string { return srv.URL + "/token" }
	return s
}

func TestStoreContract(t *testing.T) {
	t.Parallel()
	t.Run("olareg", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, olaregHandler(t))
		storetest.Run(t, func(t *testing.T) oci.Store { return open(t, nil, srv.URL) }, storetest.SkipTagRace)
	})
	t.Run("go-containerregistry", func(t *testing.T) {
		t.Parallel()
		srv := serve(t, ggcrHandler())
		storetest.Run(t, func(t *testing.T) oci.Store { return open(t, nil, srv.URL) }, storetest.SkipTagRace, storetest.SkipSHA512)
	})
	t.Run("docker-registry", func(t *testing.T) {
		t.Parallel()
		addr := peer.DockerRegistry(t, "")
		storetest.Run(t, func(t *testing.T) oci.Store { return open(t, nil, addr+"/below/a") }, storetest.SkipTagRace)
	})
	t.Run("TLS and basic", func(t *testing.T) {
		t.Parallel()
		srv, env := serveTLS(t, basicAuth(olaregHandler(t)))
		env.Credentials = &secrets{secret: alice}
		storetest.Run(t, func(t *testing.T) oci.Store { return open(t, env, srv.URL) }, storetest.SkipTagRace)
	})
	for name, secret := range map[string]ocm.Secret{
		"bearer by password":      alice,
		"bearer by refresh token": {"refreshToken": "alice-refresh"},
		"tokens win":              {"identityToken": "alice-refresh", "username": "alice", "password": "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, newTokenService(t).guard(olaregHandler(t)))
			env := &ocm.Env{Credentials: &secrets{secret: secret}}
			storetest.Run(t, func(t *testing.T) oci.Store { return open(t, env, srv.URL) }, storetest.SkipTagRace)
		})
	}
}
