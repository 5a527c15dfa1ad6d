// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ocm"
	"ocm/internal/fixture"
	"ocm/session"
)

func TestRead(t *testing.T) {
	t.Parallel()
	from := "Secret team/registry"
	for name, c := range map[string]struct {
		docs []Document
		kind error
		text string
	}{
		"a file":            {[]Document{{from, OCMConfig, []byte(`{"type":"filesystem.config.ocm.software","tempFolder":"/tmp"}`)}}, ocm.ErrInvalid, "tempFolder"},
		"a helper":          {[]Document{{from, DockerConfig, []byte(`{"credsStore":"x"}`)}}, ocm.ErrInvalid, "credsStore"},
		"no JSON":           {[]Document{{from, DockerConfig, []byte(`{"auths":`)}}, ocm.ErrInvalid, from},
		"no configuration":  {[]Document{{from, OCMConfig, []byte("a: [")}}, ocm.ErrInvalid, from},
		"no type":           {[]Document{{from, OCMConfig, []byte("a: b")}}, ocm.ErrInvalid, from},
		"an unknown format": {[]Document{{from, "tls.crt", nil}}, ocm.ErrInvalid, "tls.crt"},
		"too large":         {[]Document{{from, OCMConfig, bytes.Repeat([]byte(" "), MaxDocument+1)}}, ocm.ErrLimit, from},
		"too large, Docker": {[]Document{{from, DockerConfig, bytes.Repeat([]byte(" "), MaxDocument+1)}}, ocm.ErrLimit, from},
		"too many":          {make([]Document, MaxDocuments+1), ocm.ErrLimit, "65"},
	} {
		_, err := Read(c.docs)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	one := Document{from, DockerConfig, []byte(`{"auths":{"h":{"auth":"dTpw"}}}`)}
	two := Document{from, OCMConfig, []byte(`{"type":"transfer.config.ocm.software","recursive":-1,"copyMode":"allResources","uploadType":"ociArtifact"}`)}
	digests := map[string]bool{}
	for _, docs := range [][]Document{nil, {one}, {two}, {one, two}, {two, one}, {one, one}} {
		a, err := Read(docs)
		if err != nil {
			t.Fatal(err)
		}
		b := fixture.Must[*Config](t)(Read(docs))
		if a.Digest() != b.Digest() || digests[a.Digest()] {
			t.Error("equal configurations have equal digests, and no others do")
		}
		digests[a.Digest()] = true
	}
	c := fixture.Must[*Config](t)(Read([]Document{one, two}))
	if recursive, all, as, err := c.Transfer(); !recursive || !all || as != "ociArtifact" || err != nil {
		t.Error(recursive, all, as, err)
	}
	if recursive, all, as, err := (*Config)(nil).Transfer(); recursive || all || as != "localBlob" || err != nil {
		t.Error(recursive, all, as, err)
	}
	if shown := fmt.Sprintf("%v %+v %#v", one, one, one); strings.Contains(shown, "dTpw") {
		t.Error("a document shows what is in it")
	}
}

// FuzzRead: whatever a tenant writes is read, or an error, and names no file.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"type":"generic.config.ocm.software/v1","configurations":[{"type":"credentials.config.ocm.software","consumers":[{"identity":{"type":"RSA"},"credentials":[{"type":"RSACredentials","publicKeyPEMFile":"/x"}]}]}]}`), false)
	f.Add([]byte(`{"auths":{"ghcr.io":{"auth":"dTpw"}},"credHelpers":{"a":"b"}}`), true)
	f.Add([]byte("type: http.config.ocm.software/v1alpha1\ncaFiles: [a]\n"), false)
	f.Add([]byte(`{"type":"credentials.config.ocm.software","repositories":[{"repository":{"type":"HashiCorpVault","serverURL":"https://v"},"credentials":[{"type":"Memory","credentialsName":"x"}]}]}`), false)
	f.Fuzz(func(t *testing.T, data []byte, docker bool) {
		format := OCMConfig
		if docker {
			format = DockerConfig
		}
		c, err := Read([]Document{{"x", format, data}})
		if err != nil {
			return
		}
		if _, err := New(Options{}).session(c); err != nil && !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("what was read cannot be used: %v", err)
		}
		if _, _, _, err := c.Transfer(); err != nil && !errors.Is(err, ocm.ErrInvalid) {
			t.Log(err)
		}
	})
}

// guarded is a registry that only one user may read, and counts who asks.
func guarded(t *testing.T, behind, user, password string, refused *atomic.Int64) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(fixture.Must[*url.URL](t)(url.Parse(behind)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func docker(t *testing.T, server, auth string) *Config {
	t.Helper()
	host := strings.TrimPrefix(server, "http://")
	return fixture.Must[*Config](t)(Read([]Document{{"x", DockerConfig, fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth)}}))
}

// TestTenantsShareNothing: who has no credentials, or others, gets nothing by what somebody else was allowed to read.
func TestTenantsShareNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	var refused atomic.Int64
	at := guarded(t, b.url, "u", "p", &refused)
	spec := specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, at)
	good, again, wrong := Place{spec, docker(t, at, "dTpw")}, Place{spec, docker(t, at, "dTpw")}, Place{spec, docker(t, at, "dTp4")}
	if good.Key() != again.Key() || good.Key() == wrong.Key() || good.Key() == (Place{spec, nil}).Key() {
		t.Error("keys of places tell configurations apart, and only these")
	}
	for range 2 {
		if _, err := b.Version(t.Context(), good, app(by(rsaKey()))); err != nil {
			t.Fatal(err)
		}
		if err := b.Ping(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		for _, p := range []Place{wrong, {spec, nil}} {
			_, err := b.Version(t.Context(), p, app(nil))
			fixture.WantErr(t, err, ocm.ErrDenied)
			fixture.WantErr(t, b.Ping(t.Context(), p), ocm.ErrDenied)
			_, err = b.Select(t.Context(), p, Wish{Component: "acme.org/app", Semver: "*"})
			fixture.WantErr(t, err, ocm.ErrDenied)
		}
	}
	before := refused.Load()
	if _, err := b.Version(t.Context(), again, app(nil)); err != nil {
		t.Fatal(err)
	}
	if refused.Load() != before {
		t.Error("equal configurations share a login")
	}
	if n := len(b.sessions); n != 3 {
		t.Errorf("%d sessions, expected one for each configuration", n)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	r := newResolver(t, Options{})
	for i := range MaxSessions + 10 {
		c := fixture.Must[*Config](t)(Read([]Document{{"x", OCMConfig, fmt.Appendf(nil, `{"type":"t%d"}`, i)}}))
		if _, err := r.session(c); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.sessions) != MaxSessions || r.order.Len() != MaxSessions {
		t.Errorf("%d sessions", len(r.sessions))
	}
}

func TestSessionsAreRenewed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := newResolver(t, Options{Env: &ocm.Env{Now: func() time.Time { return now }}})
	first := fixture.Must[*session.Session](t)(r.session(nil))
	if again := fixture.Must[*session.Session](t)(r.session(&Config{})); again != first {
		t.Error("equal configurations share a session")
	}
	for i := range maxOpened + 1 {
		fixture.Must[ocm.Repository](t)(first.Share(ocm.NewJob(1)).Open(t.Context(), specOf(t, `{"type":"OCIRegistry","baseUrl":"h.example.org","subPath":"p%d"}`, i)))
	}
	second := fixture.Must[*session.Session](t)(r.session(nil))
	now = now.Add(sessionTime + 1)
	if third := fixture.Must[*session.Session](t)(r.session(nil)); second == first || third == second || len(r.sessions) != 1 {
		t.Error("what a session remembers grows without end")
	}
}

func TestGraphIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version("acme.org/app", "1.0.0").commit()
	m := &memory{session: fixture.Must[*session.Session](t)(b.session(nil)), versions: map[string]located{}, bytes: MaxGraph}
	fixture.WantErr(t, m.add(b.repo, v), ocm.ErrLimit)
}

func TestPlacesThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	closed, open := newResolver(t, Options{}), newResolver(t, Options{Archives: folder})
	for name, c := range map[string]struct {
		r    *Resolver
		spec string
		kind error
	}{
		"an archive":              {closed, `{"type":"CommonTransportFormat/v1","filePath":"./x"}`, ocm.ErrInvalid},
		"an older archive":        {closed, `{"type":"ComponentArchive/v1","filePath":"./x"}`, ocm.ErrInvalid},
		"an archive by alias":     {closed, `{"type":"ctf","filePath":"/etc"}`, ocm.ErrInvalid},
		"memory":                  {closed, `{"type":"Memory/v1","name":"x"}`, ocm.ErrInvalid},
		"memory, with archives":   {open, `{"type":"Memory/v1","name":"x"}`, ocm.ErrInvalid},
		"an unknown type":         {closed, `{"type":"Floppy/v1"}`, ocm.ErrInvalid},
		"no type":                 {closed, `{"baseUrl":"x"}`, ocm.ErrInvalid},
		"outside":                 {open, `{"type":"CommonTransportFormat/v1","filePath":"/etc"}`, ocm.ErrInvalid},
		"above":                   {open, `{"type":"CommonTransportFormat/v1","filePath":"../x"}`, ocm.ErrInvalid},
		"the folder itself":       {open, `{"type":"CommonTransportFormat/v1","filePath":"."}`, ocm.ErrInvalid},
		"by a link":               {open, `{"type":"CommonTransportFormat/v1","filePath":"link/passwd"}`, ocm.ErrInvalid},
		"by a link, not there":    {open, `{"type":"CommonTransportFormat/v1","filePath":"link/a/b"}`, ocm.ErrInvalid},
		"a pipe":                  {open, `{"type":"CommonTransportFormat/v1","filePath":"-"}`, ocm.ErrInvalid},
		"no path":                 {open, `{"type":"CommonTransportFormat/v1"}`, ocm.ErrInvalid},
		"the cloud":               {closed, `{"type":"OCIRegistry","baseUrl":"http://169.254.169.254"}`, ocm.ErrDenied},
		"the cloud by its number": {closed, `{"type":"OCIRegistry","baseUrl":"http://2852039166/x"}`, ocm.ErrDenied},
		"a password":              {closed, `{"type":"OCIRegistry","baseUrl":"https://u:secret@ghcr.io"}`, ocm.ErrInvalid},
		"no host":                 {closed, `{"type":"OCIRegistry"}`, ocm.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			var spec ocm.Spec
			_ = spec.UnmarshalJSON([]byte(c.spec))
			err := c.r.Ping(t.Context(), Place{spec, nil})
			if !errors.Is(err, c.kind) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
			if _, err := c.r.Version(t.Context(), Place{spec, nil}, app(nil)); !errors.Is(err, c.kind) {
				t.Errorf("%v", err)
			}
			if _, err := c.r.Copy(t.Context(), Copy{Source: archive(t, "x"), Target: Place{spec, nil}, Question: app(nil)}); err == nil {
				t.Error("a copy was made")
			}
			config, err := Read([]Document{{"x", OCMConfig, []byte(`{"type":"resolvers.config.ocm.software/v1alpha1","resolvers":[{"repository":` + c.spec + `}]}`)}})
			if err == nil {
				_, err = c.r.session(config)
			}
			if err == nil && name != "a password" && name != "no host" {
				t.Error("a resolver may lead there")
			}
		})
	}
	if _, err := os.Stat(filepath.Join(folder, "x")); err == nil {
		t.Error("something was written")
	}
	if err := open.Ping(t.Context(), archive(t, "new")); err != nil {
		t.Errorf("an archive that is not there yet: %v", err)
	}
}

func TestLane(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{"type":"OCIRegistry","baseUrl":"http://Registry:5000/a"}`:   "registry:5000",
		`{"type":"OCIRegistry","baseUrl":"ghcr.io","subPath":"acme"}`: "ghcr.io",
		`{"type":"OCIRegistry","baseUrl":"https://u:p@ghcr.io/acme"}`: "ghcr.io",
		`{"type":"CommonTransportFormat/v1","filePath":"a/../b"}`:     "b",
		`{"type":"Other"}`:                   "Other",
		`{"type":"OCIRegistry","baseUrl":7}`: "OCIRegistry",
	} {
		if got := (Place{Repository: specOf(t, "%s", spec)}).Lane(); got != want {
			t.Errorf("%s: %s, expected %s", spec, got, want)
		}
	}
	a, b := Place{Repository: specOf(t, `{"type":"x","a":1,"b":2}`)}, Place{Repository: specOf(t, `{ "b":2, "a":1, "type":"x" }`)}
	if a.Key() != b.Key() {
		t.Error("equal places have equal keys")
	}
}

func TestSessionsAreConfined(t *testing.T) {
	t.Parallel()
	s, err := newResolver(t, Options{}).session(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Env.Confined {
		t.Error("what tenants write may name files of the process")
	}
}
