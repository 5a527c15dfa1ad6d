// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto"
	"crypto/rand"
	stdrsa "crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/config"
	"ocm/credentials"
	"ocm/sign/rsa"
	"ocm/web"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func digestOf(content string) ocm.Digest {
	sum := sha256.Sum256([]byte(content))
	return ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v3", Value: hex.EncodeToString(sum[:])}
}

// What the server signs is an ordinary RSA signature for everybody who trusts its authority.
func TestSignedByServer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w)
	long := sha512.Sum512([]byte("app"))
	digests := []ocm.Digest{digestOf("app"), {HashAlgorithm: ocm.SHA512, Value: hex.EncodeToString(long[:])}}
	for typ, algorithm := range map[string]string{"rsa-signingservice": "RSASSA-PKCS1-V1_5", "rsapss-signingservice": "RSASSA-PSS"} {
		for _, d := range digests {
			v, err := Handler{}.Sign(t.Context(), s.env(w.client()), "release", d, s.spec(t, typ))
			if err != nil {
				t.Fatal(err)
			}
			if v.Algorithm != algorithm || v.MediaType != "application/x-pem-file" || v.Issuer != "" {
				t.Errorf("%s: %+v", typ, v)
			}
			if n := strings.Count(v.Value, "BEGIN CERTIFICATE"); n != 2 || !strings.HasPrefix(v.Value, "-----BEGIN SIGNATURE-----\nSignature Algorithm: "+algorithm+"\n\n") {
				t.Errorf("%s: expected the signature and, without the root, two certificates: %s", typ, v.Value)
			}
			trusting := ocm.Secret{"caCertPEM": certPEM(w.root)}
			id := ocm.Identity{"type": rsa.IdentityType, "algorithm": algorithm, "signature": "release"}
			found, err := rsa.Handler{}.Verify(t.Context(), &ocm.Env{Credentials: secrets{id.String(): trusting}}, ocm.Signature{Name: "release", Digest: d, Signature: v}, ocm.Spec{})
			if err != nil || found[len(found)-1].Check != ocm.FoundSigner {
				t.Errorf("%s %s: %v %v", typ, d.HashAlgorithm, found, err)
			}
		}
	}
}

func TestCertificatesFromFiles(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w)
	dir := t.TempDir()
	secret := ocm.Secret{}
	for name, text := range w.client() {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		secret[name+"File"] = path
	}
	for _, transport := range []http.RoundTripper{nil, http.DefaultTransport, web.NewTransport(config.HTTP{})} {
		env := s.env(secret)
		env.HTTP = transport
		if _, err := (Handler{}).Sign(t.Context(), env, "s", digestOf("x"), s.spec(t, PSS)); err != nil {
			t.Errorf("%T: %v", transport, err)
		}
	}
	env := s.env(secret)
	env.HTTP = roundTrip(func(*http.Request) (*http.Response, error) { panic("asked") })
	if _, err := (Handler{}).Sign(t.Context(), env, "s", digestOf("x"), s.spec(t, PSS)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a transport that takes no certificates: %v", err)
	}
}

// Consumers as a configuration of the older tool names them; the secret of any other is not used.
func TestConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	const known, host = "Signingserver.gardener.cloud", "127.0.0.1"
	for _, row := range []struct {
		consumer ocm.Identity
		good     bool
	}{
		{ocm.Identity{"type": known, "hostname": host, "port": port}, true},
		{ocm.Identity{"type": known, "hostname": host, "port": port, "scheme": "https", "pathprefix": "base"}, true},
		{ocm.Identity{"type": known, "hostname": host, "port": port, "path": "base"}, true},
		{ocm.Identity{"type": known + "/v1", "hostname": host, "port": port}, true},
		{ocm.Identity{"type": known, "hostname": host, "port": port, "scheme": "http"}, false},
		{ocm.Identity{"type": known, "hostname": host, "port": port, "pathprefix": "other"}, false},
		{ocm.Identity{"type": known, "hostname": host}, false},
		{ocm.Identity{"type": known, "hostname": "127.0.0.2", "port": port}, false},
		{ocm.Identity{"type": "OCIRegistry", "hostname": host, "port": port}, false},
	} {
		entry, err := ocm.NewSpec(map[string]any{"type": "credentials.config.ocm.software", "consumers": []any{map[string]any{
			"identity": row.consumer, "credentials": []any{map[string]any{"type": "Credentials/v1", "properties": w.client()}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := credentials.New([]ocm.Spec{entry}, credentials.Options{})
		if err != nil {
			t.Fatal(err)
		}
		env := &ocm.Env{Credentials: secrets}
		if _, err := (Handler{}).Sign(t.Context(), env, "s", digestOf("x"), s.spec(t, PSS)); (err == nil) != row.good {
			t.Errorf("%v: expected good: %v, found %v", row.consumer, row.good, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// On this computer a server may do without TLS and without clients that it knows.
func TestPlainOnThisComputer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := &protocolServer{key: w.signerKey, cert: []*x509.Certificate{w.signer}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	if _, err := (Handler{}).Sign(t.Context(), nil, "s", digestOf("x"), s.spec(t, PKCS1v15)); err != nil {
		t.Error(err)
	}
}

func TestConfigurationRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ typ, url, text string }{
		{"rsa-signingservice", "", "set url"},
		{"rsa-signingservice", "http://signing.example.com", "expected https"},
		{"rsa-signingservice", "http://127.0.0.1.example.com", "expected https"},
		{"rsa-signingservice", "ftp://127.0.0.1/", "expected https://host"},
		{"rsa-signingservice", "signing.example.com", "expected https://host"},
		{"rsa-signingservice", "https:///base", "expected https://host"},
		{"rsa-signingservice", "https://user:hunter2@signing.example.com", "has a user"},
		{"rsa-signingservice", "https://user:hunter2@%zz", "malformed"},
		{"rsa-signingservice", "https://signing.example.com?hashAlgorithm=", "query"},
		{"rsa-signingservice", "https://signing.example.com?", "query"},
		{"rsa-signingservice", "https://signing.example.com#x", "fragment"},
		{"RSASigningConfiguration", "https://signing.example.com", "not one for a signing server"},
	} {
		env := &ocm.Env{HTTP: roundTrip(func(*http.Request) (*http.Response, error) { panic("asked") })}
		_, err := Handler{}.Sign(t.Context(), env, "s", digestOf("x"), spec(t, tc.typ, tc.url))
		if err == nil || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: expected %q, found %v", tc.url, tc.text, err)
		}
	}
}

// Nothing but a hash is sent: a server would sign anything of a right name.
func TestDigestRefused(t *testing.T) {
	t.Parallel()
	good := digestOf("x").Value
	env := &ocm.Env{HTTP: roundTrip(func(*http.Request) (*http.Response, error) { panic("asked") })}
	for _, d := range []ocm.Digest{
		{}, {HashAlgorithm: "MD5", Value: good[:32]}, {HashAlgorithm: "sha256", Value: good}, {HashAlgorithm: ocm.NoDigest, Value: ocm.NoDigest},
		{HashAlgorithm: ocm.SHA256, Value: good[:62]}, {HashAlgorithm: ocm.SHA512, Value: good}, {HashAlgorithm: ocm.SHA256, Value: strings.Repeat("g", 64)},
	} {
		if _, err := (Handler{}).Sign(t.Context(), env, "s", d, spec(t, PSS, "https://127.0.0.1")); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// What an answer may do wrong; each of these must end in an error, and of the right kind.
func TestAnswersRefused(t *testing.T) {
	t.Parallel()
	w := newWorld()
	d := digestOf("x")
	sum, _ := hex.DecodeString(d.Value)
	otherSum := sha256.Sum256([]byte("another"))
	pss := func(certs ...*x509.Certificate) string {
		return answer(w.signerKey, crypto.SHA256, "rsassa-pss", sum, certs...)
	}
	good := pss(w.signer, w.intermediate)
	block, _, _ := strings.Cut(good, "-----BEGIN CERTIFICATE-----")
	expired := w.certificate("Signer", w.signerKey, w.intermediate, w.otherKey, func(c *x509.Certificate) { c.NotAfter = w.now.Add(-time.Minute) })
	future := w.certificate("Signer", w.signerKey, w.intermediate, w.otherKey, func(c *x509.Certificate) { c.NotBefore = w.now.Add(30 * time.Minute) })
	web := w.certificate("Signer", w.signerKey, w.intermediate, w.otherKey, usage(x509.ExtKeyUsageServerAuth))
	other := w.certificate("Signer", w.otherKey, w.intermediate, w.otherKey, usage(x509.ExtKeyUsageCodeSigning))
	weakKey, err := stdrsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := w.certificate("Signer", weakKey, w.intermediate, w.otherKey, usage(x509.ExtKeyUsageCodeSigning))
	for _, tc := range []struct {
		name, answer, text string
		kind               error
	}{
		{"wrong algorithm", answer(w.signerKey, crypto.SHA256, "rsassa-pkcs1-v1_5", sum, w.signer), "RSASSA-PKCS1-V1_5", ocm.ErrInvalid},
		{"wrong algorithm without its name", strings.Replace(answer(w.signerKey, crypto.SHA256, "rsassa-pkcs1-v1_5", sum, w.signer), "Signature Algorithm: RSASSA-PKCS1-V1_5\n\n", "", 1), "does not fit", ocm.ErrSignature},
		{"wrong name of the algorithm", strings.Replace(good, "RSASSA-PSS", "RSASSA-PKCS1-V1_5", 1), "PEM header", ocm.ErrInvalid},
		{"signature over another digest", answer(w.signerKey, crypto.SHA256, "rsassa-pss", otherSum[:], w.signer), "does not fit", ocm.ErrSignature},
		{"signature of another key", answer(w.otherKey, crypto.SHA256, "rsassa-pss", sum, w.signer), "does not fit", ocm.ErrSignature},
		{"another certificate first", pss(other, w.signer), "does not fit", ocm.ErrSignature},
		{"no certificate", block, "no certificate of the signer", ocm.ErrInvalid},
		{"no signature", certPEM(w.signer), "no SIGNATURE block", ocm.ErrInvalid},
		{"two signatures", block + good, "more than one SIGNATURE", ocm.ErrInvalid},
		{"a private key beside", good + keyPEM(w.otherKey), "RSA PRIVATE KEY", ocm.ErrInvalid},
		{"too many certificates", block + strings.Repeat(certPEM(w.signer), 17), "certificates", ocm.ErrLimit},
		{"certificate cut", good[:len(good)-200], "no block", ocm.ErrInvalid},
		{"text before", "hello\n" + good, "no block", ocm.ErrInvalid},
		{"expired certificate", pss(expired, w.intermediate), "valid from", ocm.ErrInvalid},
		{"certificate of the future", pss(future, w.intermediate), "valid from", ocm.ErrInvalid},
		{"certificate for something else", pss(web, w.intermediate), "not for code signing", ocm.ErrInvalid},
		{"weak key", answer(weakKey, crypto.SHA256, "rsassa-pss", sum, weak), "1024 bits", ocm.ErrInvalid},
		{"nothing", "", "no SIGNATURE block", ocm.ErrInvalid},
		{"text", "OK", "PEM value", ocm.ErrInvalid},
		{"huge", good + strings.Repeat("\n", MaxAnswerSize), "more than 262144 bytes", ocm.ErrLimit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, w)
			s.spoil = func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool {
				rw.Header().Set("Content-Type", "application/x-pem-file")
				fmt.Fprint(rw, tc.answer)
				return true
			}
			v, err := Handler{}.Sign(t.Context(), s.env(w.client()), "s", d, s.spec(t, PSS))
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), s.URL) || v.Value != "" {
				t.Errorf("expected %q and %v with the server's name, found %v", tc.text, tc.kind, err)
			}
		})
	}
}

func TestResponsesRefused(t *testing.T) {
	t.Parallel()
	w := newWorld()
	send := func(status int, contentType, body string) func(http.ResponseWriter, *http.Request, []byte) bool {
		return func(rw http.ResponseWriter, _ *http.Request, _ []byte) bool {
			rw.Header().Set("Content-Type", contentType)
			rw.WriteHeader(status)
			fmt.Fprint(rw, body)
			return true
		}
	}
	sum, _ := hex.DecodeString(digestOf("x").Value)
	good := answer(w.signerKey, crypto.SHA256, "rsassa-pss", sum, w.signer)
	endless := func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
		for r.Context().Err() == nil {
			if _, err := rw.Write(make([]byte, 64<<10)); err != nil {
				break
			}
		}
		return true
	}
	for _, tc := range []struct {
		name  string
		spoil func(http.ResponseWriter, *http.Request, []byte) bool
		text  string
		kind  error
	}{
		{"a web page", send(200, "text/html; charset=utf-8", "<html>"+good), `content type "text/html`, ocm.ErrInvalid},
		{"JSON", send(200, "application/json", good), "content type", ocm.ErrInvalid},
		{"content type malformed", send(200, "application/x-pem-file; =", good), "content type", ocm.ErrInvalid},
		{"created", send(201, "application/x-pem-file", good), "status 201, expected 200", ocm.ErrInvalid},
		{"an error with its reason", send(500, "text/plain", "the key \x1b[31m is asleep"+strings.Repeat("z", 500)), `the key \x1b[31m is asleep`, ocm.ErrInvalid},
		{"forbidden", send(403, "text/plain", "who?"), "the client certificate for the consumer", ocm.ErrDenied},
		{"unauthorized", send(401, "text/plain", ""), "status 401", ocm.ErrDenied},
		{"endless", endless, "more than 262144 bytes", ocm.ErrLimit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, w)
			s.spoil = tc.spoil
			_, err := Handler{}.Sign(t.Context(), s.env(w.client()), "s", digestOf("x"), s.spec(t, PSS))
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || len(err.Error()) > 900 {
				t.Errorf("expected %q and %v, found %v", tc.text, tc.kind, err)
			}
		})
	}
	for _, called := range []string{"application/x-pem-file", "application/x-pem-file; charset=us-ascii", "text/plain; charset=utf-8"} {
		s := start(t, w)
		s.spoil = send(200, called, good)
		if _, err := (Handler{}).Sign(t.Context(), s.env(w.client()), "s", digestOf("x"), s.spec(t, PSS)); err != nil {
			t.Errorf("content type %q: %v", called, err)
		}
	}
}

// A redirect leads nowhere, not even on the same host: digest and certificate are for this server.
func TestGHSA_vh4v_2xq2_g5cg_redirect(t *testing.T) {
	t.Parallel()
	w := newWorld()
	other := start(t, w)
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := start(t, w)
		s.spoil = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			http.Redirect(rw, r, other.URL+r.URL.RequestURI(), status)
			return true
		}
		_, err := Handler{}.Sign(t.Context(), s.env(w.client()), "s", digestOf("x"), s.spec(t, PSS))
		if err == nil || !strings.Contains(err.Error(), "redirect") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := other.count(); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

// A proxy that is reached by TLS asks for a client certificate too: it must not get that of the server.
func TestGHSA_h3wm_jjqf_8jm2_client_certificate_for_a_proxy(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s, proxy := start(t, w), start(t, w)
	env := s.env(w.client())
	env.HTTP = &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }}
	_, err := Handler{}.Sign(t.Context(), env, "s", digestOf("x"), s.spec(t, PSS))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "proxy") {
		t.Error(err)
	}
	if s.count()+proxy.count() != 0 {
		t.Error("somebody was asked")
	}
}

// Client and server each insist on knowing the other.
func TestWhoIsWho(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w)
	stranger := w.certificate("client", w.otherKey, nil, w.otherKey, usage(x509.ExtKeyUsageClientAuth))
	for _, tc := range []struct {
		name   string
		secret ocm.Secret
		text   string
		kind   error
	}{
		{"no client certificate", ocm.Secret{"caCerts": w.tlsCAPEM}, "no client certificate is configured", ocm.ErrDenied},
		{"a stranger's certificate", ocm.Secret{"caCerts": w.tlsCAPEM, "clientCert": certPEM(stranger), "privateKey": w.clientKeyPEM}, "tls", nil},
		{"another authority", ocm.Secret{"caCerts": certPEM(w.root), "clientCert": w.clientPEM, "privateKey": w.clientKeyPEM}, "certificate", nil},
		{"authorities of the system", ocm.Secret{"clientCert": w.clientPEM, "privateKey": w.clientKeyPEM}, "configured by caCerts for the consumer", nil},
		{"key without certificate", ocm.Secret{"privateKey": w.clientKeyPEM}, "belong together", ocm.ErrInvalid},
		{"certificate without key", ocm.Secret{"clientCert": w.clientPEM}, "belong together", ocm.ErrInvalid},
		{"another key", ocm.Secret{"clientCert": w.clientPEM, "privateKey": keyPEM(w.signerKey)}, "clientCert and privateKey", ocm.ErrInvalid},
		{"roots that are none", ocm.Secret{"caCerts": "x"}, "caCerts: no certificate", ocm.ErrInvalid},
		{"no file", ocm.Secret{"caCertsFile": filepath.Join(t.TempDir(), "none")}, "caCertsFile", os.ErrNotExist},
		{"too long", ocm.Secret{"caCerts": strings.Repeat("x", MaxPEMSize+1)}, "caCerts has more than", ocm.ErrLimit},
	} {
		_, err := Handler{}.Sign(t.Context(), s.env(tc.secret), "s", digestOf("x"), s.spec(t, PSS))
		if err == nil || !strings.Contains(err.Error(), tc.text) || tc.kind != nil && !errors.Is(err, tc.kind) || strings.Contains(err.Error(), w.clientKeyPEM[50:90]) {
			t.Errorf("%s: expected %q and %v, found %v", tc.name, tc.text, tc.kind, err)
		}
	}
	if n := s.count(); n != 0 {
		t.Errorf("the server let %d through", n)
	}
	sealed := fmt.Errorf("vault is sealed: %w", ocm.ErrDenied)
	if _, err := (Handler{}).Sign(t.Context(), &ocm.Env{Credentials: faulty{sealed}}, "s", digestOf("x"), s.spec(t, PSS)); !errors.Is(err, sealed) {
		t.Errorf("a fault of the credentials is taken for none: %v", err)
	}
}

type faulty struct{ err error }

func (f faulty) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) { return nil, f.err }

// A server that is silent, or that stops in the middle of its answer, holds nobody up.
func TestSilence(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for name, begin := range map[string]string{"at once": "", "in the middle": "-----BEGIN SIGNATURE-----\n"} {
		s := start(t, w)
		s.spoil = func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			if begin != "" {
				fmt.Fprint(rw, begin)
				_ = http.NewResponseController(rw).Flush()
			}
			<-r.Context().Done()
			return true
		}
		env := s.env(w.client())
		env.Timeout = 300 * time.Millisecond
		_, err := Handler{}.Sign(t.Context(), env, "s", digestOf("x"), s.spec(t, PSS))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no whole answer in 300ms") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzAnswer: what passes is a signature over the digest, and is what a verifier accepts.
func FuzzAnswer(f *testing.F) {
	w := newWorld()
	d := digestOf("x")
	sum, _ := hex.DecodeString(d.Value)
	f.Add(200, "application/x-pem-file", []byte(answer(w.signerKey, crypto.SHA256, "rsassa-pss", sum, w.signer, w.intermediate, w.root)))
	f.Add(200, "text/plain", []byte(answer(w.signerKey, crypto.SHA256, "rsassa-pkcs1-v1_5", sum, w.signer)))
	f.Add(200, "", []byte(certPEM(w.signer)))
	f.Add(403, "text/html", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		if checkAnswer(status, contentType, body) != nil {
			return
		}
		for _, algorithm := range rsa.Algorithms {
			v, err := rsa.Foreign(algorithm, string(body), d, w.now)
			if err != nil {
				continue
			}
			b, _ := pem.Decode([]byte(v.Value))
			if b == nil || b.Type != "SIGNATURE" || v.Algorithm != algorithm || status != 200 {
				t.Fatalf("%+v", v)
			}
			again, err := rsa.Foreign(algorithm, v.Value, d, w.now)
			if err != nil || again.Value != v.Value || again.Algorithm != v.Algorithm {
				t.Errorf("read again: %v, %+v", err, again)
			}
		}
	})
}
