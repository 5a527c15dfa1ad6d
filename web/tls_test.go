// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocm"
	"ocm/config"
	"ocm/web"
)

// authority signs certificates for servers and clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newKey(t)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pemText("CERTIFICATE", raw)}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemText(kind string, raw []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
}

// pair is a certificate for servers on 127.0.0.1 and localhost, and for clients.
func (a *authority) pair(t testing.TB, name string) (cert, key string) {
	t.Helper()
	k := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		DNSNames: []string{"localhost", "files.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pemText("CERTIFICATE", raw), pemText("PRIVATE KEY", der)
}

// server speaks TLS and asks for a client certificate, which it names in its answers: "-" for none. It answers
// what begins with /to/ by a redirect to the rest, with https.
type server struct {
	*httptest.Server
	demand bool // no answer without a certificate
	mu     sync.Mutex
	names  []string
}

func (a *authority) serve(t testing.TB, demand bool) *server {
	t.Helper()
	s := &server{demand: demand}
	cert, key := a.pair(t, "server")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	name := "-"
	if certs := r.TLS.PeerCertificates; len(certs) > 0 {
		name = certs[0].Subject.CommonName
	}
	s.mu.Lock()
	s.names = append(s.names, name)
	s.mu.Unlock()
	if at, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
		http.Redirect(w, r, "https://"+at, http.StatusFound)
		return
	}
	if s.demand && name == "-" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	io.WriteString(w, name)
}

func (s *server) host() string { return s.Listener.Addr().String() }

func (s *server) presented() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names
}

// trusting is an environment whose transport has settings for all hosts and for some.
func trusting(t testing.TB, all config.HTTPOptions, hosts map[string]config.HTTPOptions) *ocm.Env {
	t.Helper()
	all.MaxRetries = -1
	for h, o := range hosts {
		o.MaxRetries = -1
		hosts[h] = o
	}
	tr := web.NewTransport(config.HTTP{Default: all, Hosts: hosts})
	t.Cleanup(tr.CloseIdleConnections)
	return &ocm.Env{HTTP: tr}
}

func roots(a *authority) *config.Trust { return &config.Trust{Roots: []config.Key{{Text: a.PEM}}} }

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Authorities count for the hosts that they are configured for, in files and as text.
func TestAuthorities(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	srv := a.serve(t, false)
	at := "https://" + srv.host()
	asFile := &config.Trust{Roots: []config.Key{{Path: file(t, "a comment\n"+a.PEM)}}}
	for name, tt := range map[string]struct {
		env  *ocm.Env
		kind error
		word string
	}{
		"nobody":       {trusting(t, config.HTTPOptions{}, nil), nil, "the certificate is not trusted"},
		"text":         {trusting(t, config.HTTPOptions{Trust: roots(a)}, nil), nil, ""},
		"file":         {trusting(t, config.HTTPOptions{Trust: asFile}, nil), nil, ""},
		"this host":    {trusting(t, config.HTTPOptions{}, map[string]config.HTTPOptions{srv.host(): {Trust: asFile}}), nil, ""},
		"other host":   {trusting(t, config.HTTPOptions{}, map[string]config.HTTPOptions{"127.0.0.1:1": {Trust: asFile}}), nil, "the certificate is not trusted"},
		"missing file": {trusting(t, config.HTTPOptions{Trust: &config.Trust{Roots: []config.Key{{Path: "/no/such.pem"}}}}, nil), os.ErrNotExist, "/no/such.pem"},
		"no PEM":       {trusting(t, config.HTTPOptions{Trust: &config.Trust{Roots: []config.Key{{Path: file(t, "nothing")}}}}, nil), ocm.ErrInvalid, "no certificate in it"},
		"too large":    {trusting(t, config.HTTPOptions{Trust: &config.Trust{Roots: []config.Key{{Path: file(t, strings.Repeat("x", 2<<20))}}}}, nil), ocm.ErrLimit, "file.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := get(t, tt.env, at)
			switch {
			case tt.word == "" && err != nil:
				t.Error(err)
			case tt.word != "" && (err == nil || !strings.Contains(err.Error(), tt.word)):
				t.Errorf("expected an error with %q, found %v", tt.word, err)
			case tt.kind != nil:
				wantErr(t, err, tt.kind)
			}
		})
	}
	t.Run("of a secret", func(t *testing.T) {
		t.Parallel()
		for name, secret := range map[string]anybody{"text": {"certificateAuthority": a.PEM}, "file": {"caFile": file(t, a.PEM)}} {
			env := trusting(t, config.HTTPOptions{}, nil)
			env.Credentials = secret
			if _, err := get(t, env, at); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			other := newAuthority(t).serve(t, false)
			if _, err := get(t, env, "https://"+other.host()); err == nil {
				t.Errorf("%s: another authority is trusted too", name)
			}
		}
	})
}

// A client certificate is shown to the servers that it is configured for.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	srv, other := a.serve(t, true), a.serve(t, false)
	cert, key := a.pair(t, "alice")
	certFile, keyFile := file(t, cert), file(t, key)
	settings := config.HTTPOptions{Trust: roots(a), CertificateFile: certFile, KeyFile: keyFile}
	env := trusting(t, config.HTTPOptions{Trust: roots(a)}, map[string]config.HTTPOptions{srv.host(): settings})
	if got, err := get(t, env, srv.URL); got != "alice" || err != nil {
		t.Errorf("found %q, %v", got, err)
	}
	if got, err := get(t, env, other.URL); got != "-" || err != nil {
		t.Errorf("found %q, %v", got, err)
	}
	for name, o := range map[string]config.HTTPOptions{
		"missing": {CertificateFile: certFile, KeyFile: "/no/such.key"}, "no key": {CertificateFile: certFile, KeyFile: certFile},
	} {
		_, err := get(t, trusting(t, o, nil), srv.URL)
		if err == nil || !strings.Contains(err.Error(), config.HTTPType) {
			t.Errorf("%s: expected an error that names the configuration, found %v", name, err)
		}
	}
	for name, secret := range map[string]anybody{
		"texts": {"certificate": cert, "privateKey": key, "certificateAuthority": a.PEM}, "files": {"certFile": certFile, "keyFile": keyFile, "certificateAuthority": a.PEM},
	} {
		env := trusting(t, config.HTTPOptions{}, nil)
		env.Credentials = secret
		if got, err := get(t, env, srv.URL); got != "alice" || err != nil {
			t.Errorf("%s: found %q, %v", name, got, err)
		}
	}
	for name, secret := range map[string]anybody{
		"no key": {"certificate": cert}, "no certificate": {"keyFile": keyFile}, "swapped": {"certificate": key, "privateKey": cert}, "no authority": {"certificateAuthority": "x"},
	} {
		_, err := web.For(t.Context(), &ocm.Env{Credentials: secret}, address(t, srv.URL), "Wget")
		wantErr(t, err, ocm.ErrInvalid)
		if err != nil && strings.Contains(err.Error(), "PRIVATE KEY") {
			t.Errorf("%s: a key is in %v", name, err)
		}
	}
}

// The client certificate of a server is shown to nobody else: not behind a redirect, also not when it comes back, and not to a
// proxy.
func TestGHSA_h3wm_jjqf_8jm2_ClientCertificateElsewhere(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	srv, other := a.serve(t, false), a.serve(t, false)
	cert, key := a.pair(t, "alice")
	secret := anybody{"certificate": cert, "privateKey": key, "certificateAuthority": a.PEM}
	settings := config.HTTPOptions{Trust: roots(a), CertificateFile: file(t, cert), KeyFile: file(t, key)}
	fromSecret := trusting(t, config.HTTPOptions{Trust: roots(a)}, nil)
	fromSecret.Credentials = secret
	fromSettings := trusting(t, config.HTTPOptions{Trust: roots(a)}, map[string]config.HTTPOptions{srv.host(): settings})
	for name, env := range map[string]*ocm.Env{"secret": fromSecret, "settings": fromSettings} {
		if got, err := get(t, env, srv.URL+"/to/"+other.host()+"/x"); got != "-" || err != nil {
			t.Errorf("%s: found %q, %v", name, got, err)
		}
	}
	if got, err := get(t, fromSecret, srv.URL+"/to/"+other.host()+"/to/"+srv.host()+"/x"); got != "-" || err != nil {
		t.Errorf("there and back: found %q, %v", got, err)
	}
	if got, err := get(t, fromSecret, srv.URL+"/to/"+srv.host()+"/x"); got != "alice" || err != nil {
		t.Errorf("at the origin: found %q, %v", got, err)
	}
	for _, name := range other.presented() {
		if name != "-" {
			t.Errorf("the other server has seen the certificate of %s", name)
		}
	}
	proxy := a.serve(t, false)
	settings.Proxy = proxy.URL
	for name, env := range map[string]*ocm.Env{
		"secret":   {HTTP: trusting(t, config.HTTPOptions{Trust: roots(a), Proxy: proxy.URL}, nil).HTTP, Credentials: secret},
		"settings": trusting(t, settings, nil),
	} {
		if _, err := get(t, env, srv.URL); err == nil || !strings.Contains(err.Error(), "would be shown the client certificate") {
			t.Errorf("%s: found %v", name, err)
		}
	}
	if got := proxy.presented(); len(got) > 0 {
		t.Errorf("the proxy was contacted: %v", got)
	}
}

// tunnel is a proxy that connects to where it is asked to, and to hosts of the domain example.org at an address.
type tunnel struct {
	*httptest.Server
	used  atomic.Int64
	login atomic.Value
}

func newTunnel(t testing.TB, example string) *tunnel {
	t.Helper()
	p := &tunnel{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.used.Add(1)
		p.login.Store(r.Header.Get("Proxy-Authorization"))
		to := r.Host
		if strings.Contains(to, ".example.org") {
			to = example
		}
		if r.Method != http.MethodConnect {
			io.WriteString(w, "plain "+r.URL.String())
			return
		}
		there, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(there, here)
			there.Close()
		}()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

// A proxy is used for the hosts that it is configured for, with TLS through it, and its password goes to it alone.
func TestProxy(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	srv := a.serve(t, true)
	proxy := newTunnel(t, srv.host())
	cert, key := a.pair(t, "alice")
	o := config.HTTPOptions{Trust: roots(a), CertificateFile: file(t, cert), KeyFile: file(t, key), Proxy: strings.Replace(proxy.URL, "//", "//bob:s3cr3t@", 1)}
	direct := o
	direct.Proxy = config.NoProxy
	env := trusting(t, o, map[string]config.HTTPOptions{srv.host(): direct})
	if got, err := get(t, env, "https://files.example.org/"); got != "alice" || err != nil || proxy.used.Load() != 1 {
		t.Errorf("found %q, %v, %d uses of the proxy", got, err, proxy.used.Load())
	}
	if proxy.login.Load() != "Basic Ym9iOnMzY3IzdA==" {
		t.Errorf("found %v", proxy.login.Load())
	}
	if got, err := get(t, env, "http://plain.example.org/x"); got != "plain http://plain.example.org/x" || err != nil || proxy.used.Load() != 2 {
		t.Errorf("found %q, %v, %d uses of the proxy", got, err, proxy.used.Load())
	}
	if got, err := get(t, env, srv.URL); got != "alice" || err != nil || proxy.used.Load() != 2 {
		t.Errorf("found %q, %v, %d uses of the proxy", got, err, proxy.used.Load())
	}
	proxy.Close()
	env = trusting(t, o, nil)
	if _, err := get(t, env, "https://files.example.org/"); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("found %v", err)
	}
}
