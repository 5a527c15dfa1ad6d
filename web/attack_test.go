// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"ocm"
	"ocm/blob"
	"ocm/internal/fault"
	"ocm/web"
)

// anybody is a secret for every consumer.
type anybody ocm.Secret

func (a anybody) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	return ocm.Secret(a), nil
}

var alice = anybody{"username": "alice", "password": "s3cr3t"}

// journal remembers the requests that reach a server.
type journal struct {
	http.Handler
	mu   sync.Mutex
	seen []*http.Request
}

func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	j.seen = append(j.seen, r.Clone(context.Background()))
	j.mu.Unlock()
	j.Handler.ServeHTTP(w, r)
}

func (j *journal) requests() []*http.Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seen
}

func answer(text string) *journal {
	return &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}
}

func to(address string) *journal {
	return &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", address)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})}
}

func address(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func client(t testing.TB, env *ocm.Env, at string) *web.Client {
	t.Helper()
	c, err := web.For(t.Context(), env, address(t, at), "Wget")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t testing.TB, env *ocm.Env, at string) (string, error) {
	t.Helper()
	raw, err := client(t, env, at).Read(t.Context(), web.Request{URL: address(t, at)}, 1<<20)
	return string(raw), err
}

func wantErr(t testing.TB, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("expected %q, found %v", want, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("expected %q in the error, found %v", w, err)
		}
	}
}

func wantClean(t testing.TB, j *journal) {
	t.Helper()
	for _, r := range j.requests() {
		for name := range r.Header {
			switch name {
			case "Accept", "Accept-Encoding", "User-Agent", "Range", "If-Range":
			default:
				t.Errorf("%s was sent to %s", name, r.URL.Host)
			}
		}
	}
}

// Content comes from object storage: redirects are followed, credentials and everything like them stay. Also where
// the chain leads back to where it began (Go's CVE-2024-45336), to a subdomain (CVE-2023-45289), to
// another port, and for headers of proxies (CVE-2025-4673).
func TestGHSA_vh4v_2xq2_g5cg_RedirectWithoutCredentials(t *testing.T) {
	t.Parallel()
	const origin = "https://files.example.org"
	for name, elsewhere := range map[string]string{
		"other host": "https://storage.test", "other port": "https://files.example.org:8443", "subdomain": "https://cdn.files.example.org", "parent": "https://example.org",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storage, back, other := answer("content"), answer("content"), &journal{}
			other.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/back" {
					http.Redirect(w, r, origin+"/public", http.StatusFound)
					return
				}
				storage.ServeHTTP(w, r)
			})
			first := &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/public":
					back.ServeHTTP(w, r)
				case "/same":
					http.Redirect(w, r, "/a", http.StatusFound)
				default:
					http.Redirect(w, r, elsewhere+r.URL.Path+"?signature=x", http.StatusFound)
				}
			})}
			env := &ocm.Env{HTTP: fault.Hosts{"files.example.org": first, address(t, elsewhere).Host: other}, Credentials: alice}
			c := client(t, env, origin)
			header := http.Header{"X-Api-Key": {"s3cr3t"}, "Proxy-Authorization": {"s3cr3t"}, "Www-Authenticate": {"s3cr3t"}, "Cookie": {"s3cr3t"}, "Accept": {"*/*"}}
			for _, path := range []string{"/same", "/back"} {
				raw, err := c.Read(t.Context(), web.Request{URL: address(t, origin+path), Header: header}, 100)
				if err != nil || string(raw) != "content" {
					t.Errorf("%s: found %q, %v", path, raw, err)
				}
			}
			if got := first.requests(); len(got) != 4 || got[0].Header.Get("Authorization") == "" || got[1].Header.Get("Authorization") == "" || got[1].Header.Get("X-Api-Key") == "" {
				t.Errorf("expected credentials at the origin")
			}
			for _, r := range first.requests() {
				if r.Header.Get("Referer") != "" {
					t.Error("the address before was told") // it may be a signed one
				}
			}
			wantClean(t, storage)
			wantClean(t, back)
		})
	}
}

// Headers of somebody's own making stay at the origin, also with requests whose address was given to the client by a
// document of the server, as an index of charts does (Helm's CVE-2021-32690).
func TestGHSA_whvf_jp7m_59f3_HeadersAndAddressesElsewhere(t *testing.T) {
	t.Parallel()
	other := answer("chart")
	env := &ocm.Env{HTTP: fault.Hosts{"charts.example.org": to("https://evil.test/x"), "evil.test": other}, Credentials: alice}
	c := client(t, env, "https://charts.example.org")
	for _, at := range []string{"https://evil.test/chart.tgz", "http://evil.test/chart.tgz"} {
		if _, err := c.Read(t.Context(), web.Request{URL: address(t, at)}, 100); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Read(t.Context(), web.Request{URL: address(t, "https://charts.example.org/"), Header: http.Header{"X-Auth": {"s3cr3t"}}}, 100); err != nil {
		t.Fatal(err)
	}
	c.Sign = func(r *http.Request) error {
		r.Header.Set("X-Amz-Security-Token", "s3cr3t")
		return nil
	}
	if _, err := c.Read(t.Context(), web.Request{URL: address(t, "https://charts.example.org/")}, 100); err != nil {
		t.Fatal(err)
	}
	if len(other.requests()) != 4 {
		t.Errorf("expected 4 requests, found %d", len(other.requests()))
	}
	wantClean(t, other)
}

func TestGHSA_vh4v_2xq2_g5cg_RedirectRefused(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"http://files.example.org/x", "http://evil.test/x", "https://169.254.169.254/latest/meta-data", "http://169.254.169.254/x", "https://[fe80::1]/x", "https://[::ffff:169.254.169.254]/x",
		"https://[fd00:ec2::254]/x", "https://metadata.google.internal/x", "https://METADATA.google.internal./x",
		"https://localhost/x", "https://LOCALHOST./x", "https://a.localhost/x", "https://127.0.0.1/x", "https://127.1/x", "https://0x7f.1/x", "https://2130706433/x", "https://[::1]/x", "https://[::ffff:127.0.0.1]/x",
		"https://0.0.0.0/x", "https://u:s3cr3t@evil.test/x", "ftp://evil.test/x", "file:///etc/passwd",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			evil := answer("x")
			env := &ocm.Env{HTTP: fault.Hosts{"evil.test": evil, address(t, at).Host: evil, "files.example.org": to(at)}, Credentials: alice}
			if u := address(t, at); u.Host == "files.example.org" {
				env.HTTP = fault.Hosts{"files.example.org": &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Scheme == "http" {
						evil.ServeHTTP(w, r)
						return
					}
					http.Redirect(w, r, at, http.StatusTemporaryRedirect)
				})}}
			}
			_, err := get(t, env, "https://files.example.org/a")
			wantErr(t, err, ocm.ErrDenied)
			if len(evil.requests()) > 0 {
				t.Error("the address was contacted")
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("a secret is in %v", err)
			}
		})
	}
	t.Run("writes and bodies", func(t *testing.T) {
		t.Parallel()
		evil := answer("x")
		c := client(t, &ocm.Env{HTTP: fault.Hosts{"files.example.org": to("https://evil.test/x"), "evil.test": evil}}, "https://files.example.org")
		for _, r := range []web.Request{{Method: "POST"}, {Method: "PUT"}, {Method: "DELETE"}, {Method: "GET", Body: []byte("s3cr3t")}, {NoRedirect: true}} {
			r.URL = address(t, "https://files.example.org/")
			_, err := c.Do(t.Context(), r)
			wantErr(t, err, ocm.ErrDenied, "evil.test")
		}
		if len(evil.requests()) > 0 {
			t.Error("it was followed")
		}
	})
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		loop := &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		})}
		_, err := get(t, &ocm.Env{HTTP: fault.Hosts{"files.example.org": loop}}, "https://files.example.org/")
		wantErr(t, err, ocm.ErrLimit)
		if n := len(loop.requests()); n != web.MaxRedirects+1 {
			t.Errorf("expected %d requests, found %d", web.MaxRedirects+1, n)
		}
	})
	t.Run("asks for credentials", func(t *testing.T) {
		t.Parallel()
		evil := &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="give"`)
			w.WriteHeader(http.StatusUnauthorized)
		})}
		_, err := get(t, &ocm.Env{HTTP: fault.Hosts{"files.example.org": to("https://evil.test/x"), "evil.test": evil}, Credentials: alice}, "https://files.example.org/")
		wantErr(t, err, ocm.ErrDenied, "redirected to evil.test", "credentials are never sent there")
		wantClean(t, evil)
	})
}

// Addresses in descriptors: no metadata services, no user names, nothing but http and https.
func TestAddressesOfDescriptors(t *testing.T) {
	t.Parallel()
	for at, kind := range map[string]error{
		"http://169.254.169.254/latest": ocm.ErrDenied, "http://[fe80::1%25eth0]/": ocm.ErrDenied, "http://0/": ocm.ErrDenied, "http://100.100.100.200/": ocm.ErrDenied,
		"https://u:s3cr3t@files.example.org": ocm.ErrInvalid, "ftp://files.example.org": ocm.ErrInvalid, "https://:443/": ocm.ErrInvalid, "https:opaque?s3cr3t": ocm.ErrInvalid, "/path": ocm.ErrInvalid,
	} {
		_, err := web.For(t.Context(), nil, address(t, at))
		wantErr(t, err, kind)
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("a secret is in %v", err)
		}
	}
	for _, at := range []string{"http://localhost:8080/x", "http://127.0.0.1", "https://10.0.0.1/x", "https://registry", "https://a.b1/x", "https://[fd00::1]/"} {
		if _, err := web.For(t.Context(), nil, address(t, at)); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// schemed is a secret for one scheme, or for both.
type schemed struct{ scheme string }

func (s schemed) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if s.scheme != "" && id["scheme"] != s.scheme {
		return nil, ocm.ErrNotFound
	}
	return ocm.Secret{"token": "s3cr3t"}, nil
}

func TestDescriptorCannotDowngradeToPlainHTTP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		scheme, at string
		kind       error
		sent       bool
	}{
		{"", "http://files.example.org/a", ocm.ErrDenied, false},
		{"https", "http://files.example.org/a", nil, false},
		{"http", "http://files.example.org/a", nil, true},
		{"", "https://files.example.org/a", nil, true},
		{"", "http://localhost/a", nil, true},
	} {
		srv := answer("x")
		env := &ocm.Env{HTTP: fault.Hosts{"files.example.org": srv, "localhost": srv}, Credentials: schemed{tt.scheme}}
		c, err := web.For(t.Context(), env, address(t, tt.at), "Wget")
		if !errors.Is(err, tt.kind) {
			t.Errorf("%+v: found %v", tt, err)
		}
		if err != nil {
			continue
		}
		if _, err := c.Read(t.Context(), web.Request{URL: address(t, tt.at)}, 10); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		if sent := srv.requests()[0].Header.Get("Authorization") == "Bearer s3cr3t"; sent != tt.sent {
			t.Errorf("%+v: sent %v", tt, sent)
		}
	}
}

// Neither errors nor log records hold a secret or the query of an address, even if servers repeat what they were sent; as
// happened to Flux (CVE-2024-31216), zot (CVE-2025-48374), grype (CVE-2025-65965) and syft (CVE-2023-24827).
func TestGHSA_5jhf_2qmf_m8c5_SecretsInMessages(t *testing.T) {
	t.Parallel()
	echo := func(code int) *journal {
		return &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			fmt.Fprintf(w, "you sent %v %v", r.Header, r.URL)
		})}
	}
	for name, srv := range map[string]*journal{
		"denied": echo(401), "forbidden": echo(403), "gone": echo(404), "busy": echo(503), "broken": echo(500),
		"signed": to("https://storage.test/x?signature=s3cr3t"), "signed nowhere": to("https://nowhere.test/x?signature=s3cr3t"),
		"bad location": to("https://storage.test:port/x?signature=s3cr3t"), "refused": to("http://storage.test/x?signature=s3cr3t"),
		"cut": {Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })},
	} {
		for kind, secret := range map[string]anybody{"password": alice, "token": {"token": "s3cr3t"}, "identity token": {"identityToken": "s3cr3t"}} {
			t.Run(name+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var logged bytes.Buffer
					env := &ocm.Env{
						HTTP: fault.Hosts{"files.example.org": srv, "storage.test": echo(403)}, Credentials: secret,
						Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
					}
					c := client(t, env, "https://files.example.org/a?token=s3cr3t")
					_, err := blob.OpenContent(t.Context(), c.Content(web.Request{URL: address(t, "https://files.example.org/a?token=s3cr3t")}, root()))
					if err == nil {
						t.Fatal("expected an error")
					}
					for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), logged.String()} {
						if strings.Contains(text, "s3cr3t") || strings.Contains(text, "czNjcjN0") || strings.Contains(text, "YWxpY2U6czNjcjN0") {
							t.Errorf("a secret is in %q", text)
						}
					}
				})
			})
		}
	}
}
