// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/config"
	"ocm/oci"
	"ocm/web"
)

// network gives test servers names: requests to https://name and http://name reach the handler.
// Names that are not in it do not exist.
type network map[string]*journal

func (n network) env(t *testing.T, creds ocm.Credentials) *ocm.Env {
	plain, secure := map[string]string{}, map[string]string{}
	for name, h := range n {
		a, b := quiet(h), quiet(h)
		a.Start()
		b.StartTLS()
		t.Cleanup(a.Close)
		t.Cleanup(b.Close)
		if strings.Contains(name, ":") {
			secure[name] = b.Listener.Addr().String() // a port of its own, with https
			continue
		}
		plain[name+":80"], secure[name+":443"] = a.Listener.Addr().String(), b.Listener.Addr().String()
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := plain[addr] + secure[addr]
		if to == "" {
			return nil, fmt.Errorf("no such host: %s", addr)
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	tr := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &ocm.Env{HTTP: tr, Credentials: creds}
}

func answer(fn http.HandlerFunc) *journal { return &journal{Handler: fn} }

func wantErr(t *testing.T, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("expected an error of kind %q, found: %v", want, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("expected %q in the error, found: %v", w, err)
		}
	}
}

func wantUntouched(t *testing.T, j *journal) {
	t.Helper()
	if lines := j.take(); len(lines) > 0 {
		t.Errorf("expected no request to the other host, found %v", lines)
	}
}

func demand(realm string) *journal {
	return answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer good" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="s"`, realm))
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// A registry, or somebody in between, names a token service of his own; as with distribution's CVE-2026-33540.
func TestCVE_2026_48978_BearerRealmHijack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		registry, realm string
		allow           []string
		sent            bool
	}{
		{"https://registry.example.org", "https://registry.example.org/token", nil, true},
		{"https://registry.example.org", "https://auth.example.org/token", nil, true},
		{"https://registry.example.org", "https://example.org/token", nil, true},
		{"https://example.org", "https://auth.example.org/token", nil, true},
		{"https://docker.io", "https://auth.docker.io/token", nil, true},
		{"http://registry.example.org", "http://registry.example.org/token", nil, true},
		{"https://registry.example.org", "https://evil.test/token", []string{"evil.test"}, true},

		{"https://registry.example.org", "https://evil.test/token", nil, false},
		{"https://registry.example.org", "https://registry.example.org.evil.test/token", nil, false},
		{"https://registry.example.org", "https://evilexample.org/token", nil, false},
		{"https://registry.example.org", "http://registry.example.org/token", nil, false},
		{"https://registry.example.org", "http://evil.test/token", []string{"evil.test"}, false},
		{"http://registry.example.org", "http://auth.example.org/token", nil, false},
		{"https://shop.co.uk", "https://evil.co.uk/token", nil, false},
		{"https://acme.azurecr.io", "https://evil.azurecr.io/token", nil, false},
		{"https://registry", "https://evil/token", nil, false},
		{"https://mine.us-east-1.elb.amazonaws.com", "https://evil.us-east-1.elb.amazonaws.com/token", nil, false},
		{"https://mine.westeurope.cloudapp.azure.com", "https://evil.westeurope.cloudapp.azure.com/token", nil, false},
		{"https://registry.example.org", "https://ａuth.example.org/token", nil, false},
		{"https://registry.example.org", "https://127.0.0.1/token", nil, false},
		{"https://registry.example.org", "https://localhost/token", nil, false},
		{"https://registry.example.org", "http://169.254.169.254/token", nil, false},
		{"https://registry.example.org", "https://user:x@registry.example.org/token", nil, false},
		{"https://registry.example.org", "file:///etc/passwd", nil, false},
		{"https://registry.example.org", "", nil, false},
	} {
		t.Run(tt.registry+" "+tt.realm, func(t *testing.T) {
			t.Parallel()
			service := answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"token":"good"}`) })
			door := demand(tt.realm)
			both := answer(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					service.ServeHTTP(w, r)
				} else {
					door.ServeHTTP(w, r)
				}
			})
			n := network{}
			for _, name := range []string{
				"example.org", "auth.example.org", "evil.test", "registry.example.org.evil.test", "evilexample.org", "evil.co.uk", "evil.azurecr.io",
				"evil", "mine.us-east-1.elb.amazonaws.com", "evil.us-east-1.elb.amazonaws.com", "mine.westeurope.cloudapp.azure.com", "evil.westeurope.cloudapp.azure.com", "auth.docker.io", "registry-1.docker.io", "registry.example.org", "shop.co.uk", "acme.azurecr.io", "registry", "127.0.0.1", "localhost", "169.254.169.254",
			} {
				n[name] = both
			}
			s := open(t, n.env(t, &secrets{secret: alice}), tt.registry, func(o *Options) { o.TokenHosts = tt.allow })
			_, err := s.Repo("a").Resolve(t.Context(), "1")
			if tt.sent {
				wantErr(t, err, ocm.ErrNotFound)
				if got := service.authorizations(); len(got) != 1 || !strings.HasPrefix(got[0], "Basic ") {
					t.Errorf("expected the password at the token service once, found %v", got)
				}
				return
			}
			if err == nil || errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("expected a refusal, found %v", err)
			}
			wantUntouched(t, service)
		})
	}
}

// Without credentials a token service elsewhere is harmless, and asked.
func TestAnonymousTokenElsewhere(t *testing.T) {
	t.Parallel()
	service := answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"access_token":"good"}`) })
	n := network{"registry.example.org": demand("https://auth.test/token"), "auth.test": service}
	_, err := open(t, n.env(t, nil), "https://registry.example.org").Repo("a").Resolve(t.Context(), "1")
	wantErr(t, err, ocm.ErrNotFound)
	if got := service.authorizations(); len(got) > 0 {
		t.Errorf("expected no credentials, found %v", got)
	}
}

// A redirect of the token request must not carry the password or the refresh token away.
func TestTokenRequestIsNotRedirected(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]ocm.Secret{"password": alice, "refresh token": {"refreshToken": "alice-refresh"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evil := answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"token":"good"}`) })
			door := demand("https://registry.example.org/token")
			registry := answer(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					http.Redirect(w, r, "https://evil.test/", http.StatusTemporaryRedirect)
					return
				}
				door.ServeHTTP(w, r)
			})
			n := network{"registry.example.org": registry, "evil.test": evil}
			open(t, n.env(t, &secrets{secret: secret}), "https://registry.example.org").Repo("a").Resolve(t.Context(), "1")
			for _, r := range evil.seen {
				if r.Header.Get("Authorization") != "" || r.Method == http.MethodPost {
					t.Errorf("a secret was sent to the other host: %s %v", r.Method, r.Header)
				}
			}
		})
	}
}

// The registry sends the upload, with its content and the token, to another place.
func TestCVE_2026_50151_UploadLocation(t *testing.T) {
	t.Parallel()
	content := []byte("content")
	known := ociv1.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
	for _, to := range []string{
		"https://evil.test/upload", "//evil.test/upload", "http://registry.example.org/upload", "https://registry.example.org:8443/upload",
		"https://registry.example.org@evil.test/upload", "https://user:pw@registry.example.org/upload", "",
	} {
		for name, d := range map[string]ociv1.Descriptor{"known": known, "unknown": {Size: -1}} {
			for _, after := range []string{http.MethodPost, http.MethodPatch} {
				t.Run(name+" "+after+" "+to, func(t *testing.T) {
					t.Parallel()
					evil := answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
					registry := answer(func(w http.ResponseWriter, r *http.Request) {
						io.Copy(io.Discard, r.Body)
						at := "/v2/a/blobs/uploads/1"
						if r.Method == after {
							at = to
						}
						w.Header().Set("Location", at)
						w.WriteHeader(map[string]int{http.MethodPut: http.StatusCreated}[r.Method] | map[bool]int{true: http.StatusAccepted}[r.Method != http.MethodPut])
					})
					n := network{"registry.example.org": registry, "registry.example.org:8443": evil, "evil.test": evil}
					_, err := open(t, n.env(t, &secrets{secret: alice}), "https://registry.example.org").Repo("a").Push(t.Context(), d, bytes.NewReader(content))
					if name == "known" && after == http.MethodPatch {
						if err != nil {
							t.Fatalf("no PATCH is sent, so expected success, found %v", err)
						}
						return
					}
					if err == nil {
						t.Error("expected a refusal, found success")
					}
					wantUntouched(t, evil)
					for _, r := range registry.seen {
						if r.TLS == nil {
							t.Error("the registry was contacted without TLS")
						}
					}
				})
			}
		}
	}
}

// Blobs come from object storage: redirects are followed, the credentials stay.
func TestGHSA_vh4v_2xq2_g5cg_RedirectWithoutCredentials(t *testing.T) {
	t.Parallel()
	content := []byte("content")
	d := ociv1.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
	storage := answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			http.Redirect(w, r, "https://registry.example.org/public", http.StatusTemporaryRedirect)
			return
		}
		w.Write(content)
	})
	back := answer(func(w http.ResponseWriter, r *http.Request) { w.Write(content) })
	for _, to := range []string{"https://storage.test/direct", "https://storage.test/back", "https://registry.example.org:8443/direct", "https://registry.example.org:8443/back"} {
		registry := answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/public" {
				back.ServeHTTP(w, r)
				return
			}
			basicAuth(http.RedirectHandler(to+"?signature=x", http.StatusTemporaryRedirect)).ServeHTTP(w, r)
		})
		n := network{"registry.example.org": registry, "storage.test": storage, "registry.example.org:8443": storage}
		r := open(t, n.env(t, &secrets{secret: alice}), "https://registry.example.org").Repo("a")
		if got, err := blob.ReadAll(t.Context(), r, d, 100); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("expected the content from the storage, found %q, %v", got, err)
		}
		if len(registry.authorizations()) == 0 {
			t.Error("expected credentials at the registry")
		}
	}
	if got := append(storage.authorizations(), back.authorizations()...); len(got) > 0 {
		t.Errorf("expected no credentials behind the redirect, found %v", got)
	}
	for _, r := range append(storage.seen, back.seen...) {
		if r.Header.Get("Referer") != "" {
			t.Errorf("expected no Referer, found %q", r.Header.Get("Referer"))
		}
	}
}

// What a registry is told beside its blobs' names stays with it: a redirect carries nothing but harmless headers.
func TestGHSA_whvf_jp7m_59f3_HeadersElsewhere(t *testing.T) {
	t.Parallel()
	storage := answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })
	n := network{"registry.example.org": {Handler: http.RedirectHandler("https://storage.test/x", http.StatusTemporaryRedirect)}, "storage.test": storage}
	s := open(t, n.env(t, &secrets{secret: alice}), "https://registry.example.org").session
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://registry.example.org/v2/a/blobs/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Secret", "s3cr3t")
	req.Header.Set("Cookie", "s3cr3t")
	resp, err := s.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(storage.seen) != 1 || storage.seen[0].Header.Get("X-Secret") != "" || storage.seen[0].Header.Get("Cookie") != "" {
		t.Errorf("expected one request without the headers, found %d", len(storage.seen))
	}
}

// The client certificate for a registry is not shown to the storage that it redirects to.
func TestGHSA_h3wm_jjqf_8jm2_ClientCertificateElsewhere(t *testing.T) {
	t.Parallel()
	var toStorage, toRegistry atomic.Bool
	storage := quiet(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		toStorage.Store(len(r.TLS.PeerCertificates) > 0)
		io.WriteString(w, "x")
	}))
	registry := quiet(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		toRegistry.Store(len(r.TLS.PeerCertificates) > 0)
		http.Redirect(w, r, storage.URL+"/x", http.StatusTemporaryRedirect)
	}))
	for _, srv := range []*httptest.Server{storage, registry} {
		srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		srv.StartTLS()
		t.Cleanup(srv.Close)
	}
	cert, key := selfSigned(t)
	with := config.HTTPOptions{InsecureSkipVerify: true, CertificateFile: cert, KeyFile: key}
	tr := web.NewTransport(config.HTTP{Default: config.HTTPOptions{InsecureSkipVerify: true}, Hosts: map[string]config.HTTPOptions{registry.Listener.Addr().String(): with}})
	t.Cleanup(tr.CloseIdleConnections)
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1}
	if _, err := blob.ReadAll(t.Context(), open(t, &ocm.Env{HTTP: tr}, registry.URL).Repo("a"), d, 1); err != nil {
		t.Fatal(err)
	}
	if !toRegistry.Load() || toStorage.Load() {
		t.Errorf("shown to the registry: %v, to the storage: %v", toRegistry.Load(), toStorage.Load())
	}
}

// selfSigned are the files of a certificate that nobody signed.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: raw}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestGHSA_vh4v_2xq2_g5cg_RedirectRefused(t *testing.T) {
	t.Parallel()
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1}
	for _, to := range []string{
		"http://registry.example.org/x", "http://evil.test/x", "http://169.254.169.254/latest/meta-data", "https://169.254.169.254/x",
		"https://localhost/x", "https://127.0.0.1/x", "https://[fe80::1]/x", "https://0.0.0.0/x", "https://u:p@evil.test/x", "ftp://evil.test/x",
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			evil := answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })
			registry := answer(func(w http.ResponseWriter, r *http.Request) {
				if r.TLS == nil {
					evil.ServeHTTP(w, r)
					return
				}
				http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			})
			n := network{"registry.example.org": registry, "evil.test": evil, "169.254.169.254": evil, "localhost": evil, "127.0.0.1": evil, "0.0.0.0": evil}
			_, err := open(t, n.env(t, nil), "https://registry.example.org").Repo("a").Fetch(t.Context(), d)
			if err == nil {
				t.Error("expected a refusal, found success")
			}
			wantUntouched(t, evil)
		})
	}
	t.Run("asks for credentials behind a redirect", func(t *testing.T) {
		t.Parallel()
		evil := answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="give"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		n := network{"registry.example.org": {Handler: http.RedirectHandler("https://evil.test/x", http.StatusTemporaryRedirect)}, "evil.test": evil}
		creds := &secrets{secret: alice}
		_, err := open(t, n.env(t, creds), "https://registry.example.org").Repo("a").Fetch(t.Context(), d)
		wantErr(t, err, ocm.ErrDenied, "evil.test")
		if len(evil.authorizations()) > 0 || len(creds.asked) > 0 {
			t.Errorf("expected that nobody asks for the secret, found %v, %v", evil.authorizations(), creds.asked)
		}
	})
	t.Run("writes", func(t *testing.T) {
		t.Parallel()
		evil := answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })
		n := network{"registry.example.org": {Handler: http.RedirectHandler("https://evil.test/x", http.StatusTemporaryRedirect)}, "evil.test": evil}
		r := open(t, n.env(t, nil), "https://registry.example.org").Repo("a")
		_, err := r.Push(t.Context(), ociv1.Descriptor{Size: -1}, strings.NewReader("x"))
		wantErr(t, err, ocm.ErrDenied)
		raw := []byte("{}")
		m := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: 2}
		wantErr(t, r.PutManifest(t.Context(), m, raw, "1", oci.Any()), ocm.ErrDenied)
		wantUntouched(t, evil)
	})
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		loop := answer(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusTemporaryRedirect)
		})
		_, err := open(t, network{"registry.example.org": loop}.env(t, nil), "https://registry.example.org").Repo("a").Fetch(t.Context(), d)
		wantErr(t, err, ocm.ErrLimit)
		if got := len(loop.take()); got != web.MaxRedirects+1 {
			t.Errorf("expected %d requests, found %d", web.MaxRedirects+1, got)
		}
	})
}

// The next page of a list is somewhere else.
func TestGHSA_h7vf_4x9w_h99v_LinkElsewhere(t *testing.T) {
	t.Parallel()
	for _, link := range []string{"<https://evil.test/v2/a/tags/list>; rel=next", "<//evil.test/>; rel=next", "<http://registry.example.org/x>; rel=next"} {
		evil := answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"tags":["stolen"]}`) })
		registry := answer(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil {
				evil.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Link", link)
			w.Header().Set("Content-Type", ociv1.MediaTypeImageIndex)
			io.WriteString(w, `{"tags":["1"],"manifests":[]}`)
		})
		r := open(t, network{"registry.example.org": registry, "evil.test": evil}.env(t, &secrets{secret: alice}), "https://registry.example.org").Repo("a")
		if _, err := tags(t.Context(), r); err == nil {
			t.Errorf("%s: expected an error", link)
		}
		if _, err := referrers(t.Context(), r, ociv1.Descriptor{Digest: digest.FromString("x")}, ""); err == nil {
			t.Errorf("%s: expected an error", link)
		}
		wantUntouched(t, evil)
	}
	// Whatever oras-go makes of a link: the session goes nowhere else.
	s := open(t, &ocm.Env{HTTP: http.NewFileTransport(http.Dir("."))}, "https://registry.example.org").session
	req, _ := http.NewRequest(http.MethodGet, "https://evil.test/v2/a/tags/list", nil)
	_, err := s.Do(req)
	wantErr(t, err, ocm.ErrDenied, "evil.test")
}

func tags(ctx context.Context, r oci.Repo) (found []string, err error) {
	for tag, err := range r.Tags(ctx) {
		if err != nil {
			return found, err
		}
		found = append(found, tag)
	}
	return found, nil
}

func referrers(ctx context.Context, r oci.Repo, d ociv1.Descriptor, artifactType string) (found []ociv1.Descriptor, err error) {
	for one, err := range r.(oci.ReferrerLister).Referrers(ctx, d, artifactType) {
		if err != nil {
			return found, err
		}
		found = append(found, one)
	}
	return found, nil
}

// Lists that never end.
func TestGHSA_298f_872v_2rcx_EndlessPages(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		page func(n int) string // the page's tags
		want error
		most int
	}{
		"the same page again": {func(int) string { return `"1"` }, ocm.ErrInvalid, 4},
		"empty pages":         {func(int) string { return `` }, ocm.ErrInvalid, 4},
		"ever new tags":       {func(n int) string { return fmt.Sprintf(`"t%d"`, n) }, ocm.ErrLimit, MaxPages},
		"too many tags": {func(n int) string {
			list := make([]string, 10_000)
			for i := range list {
				list[i] = fmt.Sprintf(`"t%d-%d"`, n, i)
			}
			return strings.Join(list, ",")
		}, ocm.ErrLimit, MaxTags/10_000 + 1},
		"an endless page": {func(int) string { return strings.Repeat(`"aaaaaaaaaaaaaaaa",`, MaxPageBytes/16) }, ocm.ErrInvalid, 1},
		"no tags":         {func(int) string { return `"../../etc"` }, ocm.ErrInvalid, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n++
				w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n))
				fmt.Fprintf(w, `{"tags":[%s]}`, tt.page(n))
			}))
			_, err := tags(t.Context(), open(t, nil, srv.URL).Repo("a"))
			wantErr(t, err, tt.want)
			if n > tt.most {
				t.Errorf("expected at most %d requests, found %d", tt.most, n)
			}
		})
	}
}

func TestGHSA_298f_872v_2rcx_EndlessReferrers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		digest func(n int) string
		want   error
	}{
		"the same again": {func(int) string { return digest.FromString("x").String() }, ocm.ErrInvalid},
		"ever new":       {func(n int) string { return digest.FromString(fmt.Sprint(n)).String() }, ocm.ErrLimit},
		"no digest":      {func(int) string { return "sha256:../../x" }, ocm.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n++
				w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n))
				w.Header().Set("Content-Type", ociv1.MediaTypeImageIndex)
				fmt.Fprintf(w, `{"manifests":[{"mediaType":%q,"digest":%q,"size":1}]}`, ociv1.MediaTypeImageManifest, tt.digest(n))
			}))
			_, err := referrers(t.Context(), open(t, nil, srv.URL).Repo("a"), ociv1.Descriptor{Digest: digest.FromString("subject")}, "")
			wantErr(t, err, tt.want)
		})
	}
}

// A registry that ignores the digest it was asked for.
func TestGHSA_qv35_3gw6_8q4j_PinnedDigestIgnored(t *testing.T) {
	t.Parallel()
	other := []byte(`{"schemaVersion":2}`)
	want := digest.FromString("what was asked for")
	for name, header := range map[string]string{"honest": digest.FromBytes(other).String(), "lying": want.String(), "silent": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", ociv1.MediaTypeImageManifest)
				if header != "" {
					w.Header().Set("Docker-Content-Digest", header)
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(other)))
				if r.Method != http.MethodHead {
					w.Write(other)
				}
			}))
			c, err := OpenArtifact(t.Context(), nil, srv.URL+"/a:1@"+want.String())
			if err == nil {
				_, err = blob.ReadAll(t.Context(), c.From, c.Root, blob.MaxManifest)
			}
			wantErr(t, err, ocm.ErrDigest)
			_, err = blob.ReadAll(t.Context(), open(t, nil, srv.URL).Repo("a"), ociv1.Descriptor{Digest: want, Size: int64(len(other))}, 100)
			wantErr(t, err, ocm.ErrDigest)
		})
	}
}

// Digests that are paths must not get into addresses, whoever they come from.
func TestCVE_2024_3727_DigestTraversal(t *testing.T) {
	t.Parallel()
	j := answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", "sha256:../../x")
		w.Header().Set("Content-Type", ociv1.MediaTypeImageManifest)
		w.Header().Set("Content-Length", "2")
		if r.Method == http.MethodGet {
			io.WriteString(w, "{}")
		}
	})
	srv := serve(t, j)
	r := open(t, nil, srv.URL).Repo("a")
	for _, bad := range []string{"sha256:../../x", "../x", "1/../../x", "sha256:" + strings.Repeat("A", 64), "md5:" + strings.Repeat("a", 32), ""} {
		d := ociv1.Descriptor{Digest: digest.Digest(bad), Size: 1}
		_, err := r.Fetch(t.Context(), d)
		wantErr(t, err, ocm.ErrInvalid)
		_, err = r.Exists(t.Context(), d)
		wantErr(t, err, ocm.ErrInvalid)
		_, err = r.Resolve(t.Context(), bad)
		wantErr(t, err, ocm.ErrInvalid)
		_, _, err = r.(*repo).mount(t.Context(), d, "b")
		wantErr(t, err, ocm.ErrInvalid)
		_, err = referrers(t.Context(), r, d, "")
		wantErr(t, err, ocm.ErrInvalid)
	}
	for _, bad := range []string{"../a", "A", "a//b", "a/../b", "a?x", "", "a/", strings.Repeat("a", MaxRepository+1)} {
		if _, err := open(t, nil, srv.URL).Repo(bad).Resolve(t.Context(), "1"); !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("repository %q: expected it to be refused, found %v", bad, err)
		}
	}
	wantUntouched(t, j)
	if d, err := r.Resolve(t.Context(), "1"); err == nil {
		t.Errorf("expected the registry's bad digest to be refused, found %v", d.Digest)
	}
}

// URLs in descriptors of foreign layers are not followed, neither for the layer nor for the image that has it.
func TestCVE_2020_15157_ForeignLayer(t *testing.T) {
	t.Parallel()
	evil := answer(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })
	n := network{"registry.example.org": {Handler: ggcrHandler()}, "evil.test": evil}
	d := ociv1.Descriptor{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: digest.FromString("x"), Size: 1, URLs: []string{"https://evil.test/x"}}
	env := n.env(t, &secrets{secret: alice})
	r := open(t, env, "https://registry.example.org").Repo("a")
	_, err := r.Fetch(t.Context(), d)
	wantErr(t, err, ocm.ErrNotFound)
	image, err := r.Push(t.Context(), ociv1.Descriptor{MediaType: ociv1.MediaTypeImageConfig, Size: -1}, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	image.MediaType = ociv1.MediaTypeImageConfig
	raw, err := json.Marshal(ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, Config: image, Layers: []ociv1.Descriptor{d}})
	if err != nil {
		t.Fatal(err)
	}
	m := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), m, raw, "1", oci.Any()); err != nil {
		t.Fatal(err)
	}
	c, err := OpenArtifact(t.Context(), env, "https://registry.example.org/a:1")
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, blob.Check(t.Context(), c), ocm.ErrNotFound)
	wantUntouched(t, evil)
}

// Neither errors nor log records hold a secret, even if servers repeat what they were sent.
func TestGHSA_5jhf_2qmf_m8c5_SecretsInMessages(t *testing.T) {
	t.Parallel()
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1}
	echo := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			w.WriteHeader(code)
			fmt.Fprintf(w, "you sent %v %v", r.Header, r.Form)
		}
	}
	for name, h := range map[string]http.Handler{
		"forbidden":      basicAuthThen(echo(403)),
		"busy":           basicAuthThen(echo(503)),
		"signed storage": http.RedirectHandler("https://storage.test/x?signature=s3cr3t", http.StatusTemporaryRedirect),
		"signed nowhere": http.RedirectHandler("https://nowhere.test/x?signature=s3cr3t", http.StatusTemporaryRedirect),
		"token service": answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				echo(400)(w, r)
				return
			}
			demand("https://registry.example.org/token").ServeHTTP(w, r)
		}),
	} {
		for kind, secret := range map[string]ocm.Secret{
			"password": {"username": "alice", "password": "s3cr3t"}, "refresh": {"username": "alice", "password": "x", "refreshToken": "s3cr3t"}, "access": {"username": "u", "accessToken": "s3cr3t"},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				var logged bytes.Buffer
				n := network{"registry.example.org": {Handler: h}, "storage.test": {Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", "500")
				})}}
				env := n.env(t, &secrets{secret: secret})
				env.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
				_, err := open(t, env, "https://registry.example.org").Repo("a").Fetch(t.Context(), d)
				if err == nil {
					t.Fatal("expected an error")
				}
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), logged.String()} {
					if strings.Contains(text, "s3cr3t") || strings.Contains(text, "YWxpY2U6czNjcjN0") {
						t.Errorf("a secret is in %q", text)
					}
				}
			})
		}
	}
	for _, bad := range []string{"https://alice:s3cr3t@host/x", "alice:s3cr3t@host/x", "https://host/x?token=s3cr3t", "oci://alice:s3cr3t@host"} {
		_, err := Open(nil, bad, "", Options{})
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("Open: expected an error without the secret, found %v", err)
		}
	}
	for _, bad := range []string{"https://alice:s3cr3t@host/x", "alice:s3cr3t@host/x:1"} {
		_, err := ParseReference(bad)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("ParseReference: expected an error without the secret, found %v", err)
		}
	}
}

// basicAuthThen accepts every credential.
func basicAuthThen(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}
