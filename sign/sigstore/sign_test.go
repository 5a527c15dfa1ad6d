// SPDX-License-Identifier: Apache-2.0

package sigstore_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"ocm"
	"ocm/sign/sigstore"
)

// services are the lab's services on loopback: certificate authority, log of the first generation, timestamp server.
type services struct {
	*lab
	*httptest.Server
	mu    sync.Mutex
	asked []string
	// spoil may answer instead of a service; it says whether it did.
	spoil func(w http.ResponseWriter, r *http.Request) bool
	// conflict has the log say that it has the entry already.
	conflict bool
	last     []byte // what the log answered last
}

func newServices(t testing.TB) *services {
	t.Helper()
	s := &services{lab: newLab(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", func(w http.ResponseWriter, r *http.Request) { s.certify(t, w, r) })
	mux.HandleFunc("POST /api/v1/log/entries", func(w http.ResponseWriter, r *http.Request) { s.publish(t, w, r) })
	mux.HandleFunc("GET /api/v1/log/entries/{uuid}", func(w http.ResponseWriter, _ *http.Request) { w.Write(s.last) })
	mux.HandleFunc("POST /api/v1/timestamp", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		q, err := timestamp.ParseRequest(body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		w.Write(s.date(t, q.HashedMessage, q.Nonce, time.Now()))
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.URL.Path)
		s.mu.Unlock()
		if s.spoil == nil || !s.spoil(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *services) certify(t testing.TB, w http.ResponseWriter, r *http.Request) {
	var q struct {
		CSR []byte `json:"certificateSigningRequest"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		t.Error(err)
	}
	block, _ := pem.Decode(q.CSR)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		t.Error(err, r.Header)
	}
	leaf := s.leaf(t, csr.PublicKey, nil)
	text := []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.chain[0].Raw}))}
	json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": text}}})
}

func (s *services) publish(t testing.TB, w http.ResponseWriter, r *http.Request) {
	var q struct {
		Spec struct {
			Data struct {
				Hash struct{ Value string }
			}
			Signature struct {
				Content   []byte
				PublicKey struct{ Content []byte }
			}
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		t.Error(err)
	}
	hash, err := hex.DecodeString(q.Spec.Data.Hash.Value)
	if err != nil {
		t.Error(err)
	}
	signer, _ := pem.Decode(q.Spec.Signature.PublicKey.Content)
	s.last = entryJSON(t, s.entry(t, signer, hash, q.Spec.Signature.Content, time.Now()))
	if s.conflict {
		w.Header().Set("Location", "http://elsewhere.example/api/v1/log/entries/24296fb24b8ad77a")
		w.WriteHeader(http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusCreated)
	w.Write(s.last)
}

// entryJSON is an entry as the older log answers.
func entryJSON(t testing.TB, e *protorekor.TransparencyLogEntry) []byte {
	raw, err := json.Marshal(map[string]any{"24296fb24b8ad77a": map[string]any{
		"body": e.CanonicalizedBody, "integratedTime": e.IntegratedTime, "logID": hex.EncodeToString(e.LogId.KeyId), "logIndex": e.LogIndex,
		"verification": map[string]any{"signedEntryTimestamp": e.InclusionPromise.SignedEntryTimestamp, "inclusionProof": map[string]any{
			"checkpoint": e.InclusionProof.Checkpoint.Envelope, "hashes": []string{}, "logIndex": e.InclusionProof.LogIndex, "rootHash": hex.EncodeToString(e.InclusionProof.RootHash), "treeSize": e.InclusionProof.TreeSize}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (s *services) config() sigstore.SigningConfig {
	return sigstore.SigningConfig{Type: "SigstoreSigningConfiguration/v1alpha1", FulcioURL: s.URL, RekorURL: s.URL + "/", RekorVersion: 1, TSAURL: s.URL + "/api/v1/timestamp"}
}

func newToken(t testing.TB) string { return newIssuer(t).token(alice, time.Now().Add(time.Minute), "") }

func TestSignWithFirstGenerationLog(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	all := secrets{signer: ocm.Secret{"token": newToken(t)}, verifier: s.trust(t).verifier}
	v := sign(t, all, s.config())
	if want := []string{"/api/v2/signingCert", "/api/v1/timestamp", "/api/v1/log/entries"}; !slices.Equal(s.asked, want) {
		t.Errorf("expected %q, found %q", want, s.asked)
	}
	found, err := verify(t, all, v, expectAlice())
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, found, ocm.FoundLog, ocm.FoundTime, ocm.FoundChain, ocm.FoundIdentity, ocm.FoundValue, ocm.FoundSigner)

	// The log's own time is enough; a token from a file is as good; a trusted root is not needed to sign.
	c := s.config()
	c.TSAURL = ""
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, newToken(t)+"\n")
	v = sign(t, secrets{signer: ocm.Secret{"tokenFile": path}}, c)
	if _, err := verify(t, all, v, expectAlice()); err != nil {
		t.Error(err)
	}
}

// A key whose signatures are always the same finds its entry in the log already. Where the log says it is on another
// host, our log is asked all the same.
func TestSignTwice(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	s.conflict = true
	c := s.config()
	c.FulcioURL = ""
	p := pairOf(t, newKey(t))
	all := secrets{signer: ocm.Secret{"privateKeyPEM": p.private}, verifier: ocm.Secret{"trustedRootJSON": s.root(t), "publicKeyPEM": p.public}}
	if _, err := verify(t, all, sign(t, all, c), sigstore.VerificationConfig{}); err != nil {
		t.Error(err)
	}
	if last := s.asked[len(s.asked)-1]; last != "/api/v1/log/entries/24296fb24b8ad77a" {
		t.Errorf("found %s", last)
	}
}

// Keys of every kind sign without any service.
func TestSignWithKeyOnly(t *testing.T) {
	t.Parallel()
	for kind, p := range keyPairs(t) {
		path := filepath.Join(t.TempDir(), "key.pem")
		write(t, path, p.private)
		env := &ocm.Env{Credentials: secrets{signer: ocm.Secret{"privateKeyPEMFile": path}, verifier: ocm.Secret{"publicKeyPEM": p.public}}, HTTP: noNetwork{t}}
		v, err := sigstore.Handler{}.Sign(t.Context(), env, name, digest, ocm.Spec{})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if _, err := (sigstore.Handler{}).Verify(t.Context(), env, signatureOf(v), spec(t, sigstore.VerificationConfig{PrivateInfrastructure: true})); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		other := secrets{verifier: ocm.Secret{"publicKeyPEM": pairOf(t, newKey(t)).public}}
		_, err = verify(t, other, v, sigstore.VerificationConfig{PrivateInfrastructure: true})
		wantCheck(t, err, ocm.FoundValue, "another key")
	}
}

// What cannot lead to a signature is refused before anybody is asked.
func TestSignRefusesEarly(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	token, key := ocm.Secret{"token": newToken(t)}, ocm.Secret{"privateKeyPEM": pairOf(t, newKey(t)).private}
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "")
	ended := filepath.Join(t.TempDir(), "ended.json")
	write(t, ended, `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{"selector":"ANY"},
		"rekorTlogUrls":[{"url":"https://log.example","majorApiVersion":2,"validFor":{"start":"2010-01-01T00:00:00Z","end":"2011-01-01T00:00:00Z"},"operator":"lab"}]}`)
	for what, c := range map[string]struct {
		secrets secrets
		change  func(*sigstore.SigningConfig)
		want    error
		text    string
	}{
		"no token":             {secrets{}, nil, ocm.ErrNotFound, "SIGSTORE_ID_TOKEN"},
		"no authority":         {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.FulcioURL = "" }, ocm.ErrNotFound, "fulcioURL"},
		"nobody says when":     {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.TSAURL, c.RekorURL = "", "" }, ocm.ErrInvalid, "tsaURL"},
		"new log says no time": {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.TSAURL, c.RekorVersion = "", 0 }, ocm.ErrInvalid, "tsaURL"},
		"key and token":        {secrets{signer: ocm.Secret{"token": "x", "privateKeyPEMFile": "y"}}, nil, ocm.ErrInvalid, "both"},
		"key and authority":    {secrets{signer: key}, nil, ocm.ErrInvalid, "fulcioURL"},
		"no key":               {secrets{signer: ocm.Secret{"privateKeyPEM": "secret"}}, func(c *sigstore.SigningConfig) { c.FulcioURL = "" }, ocm.ErrInvalid, "PEM"},
		"encrypted key":        {secrets{signer: ocm.Secret{"privateKeyPEM": "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"}}, func(c *sigstore.SigningConfig) { c.FulcioURL = "" }, ocm.ErrInvalid, "encrypted"},
		"empty token file":     {secrets{signer: ocm.Secret{"tokenFile": empty}}, nil, ocm.ErrInvalid, "empty"},
		"no JSON web token":    {secrets{signer: ocm.Secret{"token": "geheim"}}, nil, ocm.ErrInvalid, "three parts"},
		"header in a token":    {secrets{signer: ocm.Secret{"token": "e30.e30\r\nX: y.e30"}}, nil, ocm.ErrInvalid, "three parts"},
		"expired token":        {secrets{signer: ocm.Secret{"token": newIssuer(t).token(alice, time.Now().Add(-time.Minute), "")}}, nil, ocm.ErrDenied, "this machine's clock says"},
		"broken root":          {secrets{signer: token, verifier: ocm.Secret{"trustedRootJSON": "{}"}}, nil, ocm.ErrInvalid, "trustedRootJSON"},
		"plain http":           {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.FulcioURL = "http://fulcio.example" }, ocm.ErrInvalid, "unprotected"},
		"password in address":  {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.RekorURL = "https://a:geheim@rekor.example" }, ocm.ErrInvalid, "without user"},
		"query in issuer":      {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.Issuer = "https://issuer.example?x" }, ocm.ErrInvalid, "query"},
		"relative address":     {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.TSAURL = "/tsa" }, ocm.ErrInvalid, "tsaURL"},
		"version":              {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.RekorVersion = 3 }, ocm.ErrInvalid, "rekorVersion"},
		"algorithm":            {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.SignatureAlgorithm = "RSASSA-PSS" }, ocm.ErrInvalid, "RSASSA-PSS"},
		"type":                 {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.Type = "RSASigningConfiguration" }, ocm.ErrUnknownType, "RSASigning"},
		"services have ended":  {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.SigningConfig = ended }, ocm.ErrInvalid, "this machine's clock says"},
		"no signing config":    {secrets{signer: token}, func(c *sigstore.SigningConfig) { c.SigningConfig = empty }, ocm.ErrInvalid, "signingConfig"},
	} {
		config := s.config()
		if c.change != nil {
			c.change(&config)
		}
		_, err := sigstore.Handler{}.Sign(t.Context(), &ocm.Env{Credentials: c.secrets, HTTP: noNetwork{t}}, name, digest, spec(t, config))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: expected %v with %q, found %v", what, c.want, c.text, err)
		}
		if err != nil && (strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: a secret stands in %v", what, err)
		}
	}
}

// Answers of services that lie, fail, or send us elsewhere.
func TestServicesThatLie(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("redirect was followed to %s", r.URL) }))
	t.Cleanup(elsewhere.Close)
	token := newToken(t)
	for what, c := range map[string]struct {
		path   string
		answer func(s *services, w http.ResponseWriter, r *http.Request)
		text   string
	}{
		"authority redirects": {"/api/v2/signingCert", func(_ *services, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "307"},
		"authority refuses, quoting the token": {"/api/v2/signingCert", func(_ *services, w http.ResponseWriter, r *http.Request) {
			http.Error(w, "bad token "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}, "***"},
		"authority certifies another key": {"/api/v2/signingCert", func(s *services, w http.ResponseWriter, _ *http.Request) {
			text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.leaf(t, &newKey(t).PublicKey, nil).Raw}))
			json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": []string{text}}}})
		}, "our key"},
		"authority says nothing": {"/api/v2/signingCert", func(_ *services, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) }, "without a certificate"},
		"authority says no JSON": {"/api/v2/signingCert", func(_ *services, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }, "answer"},
		"authority never ends":   {"/api/v2/signingCert", func(_ *services, w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2<<20)) }, "more than"},
		"timestamp of another": {"/api/v1/timestamp", func(s *services, w http.ResponseWriter, r *http.Request) {
			w.Write(s.date(t, make([]byte, 32), nil, time.Now()))
		}, "another question"},
		"timestamp replayed": {"/api/v1/timestamp", replayed(t), "another question"},
		"timestamp server says no": {"/api/v1/timestamp", func(_ *services, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "503"},
		"timestamp is none":     {"/api/v1/timestamp", func(_ *services, w http.ResponseWriter, _ *http.Request) { w.Write([]byte("now")) }, "answer"},
		"log has another entry": {"/api/v1/log/entries", foreignEntry(t), "about other content"},
		"log says nothing": {"/api/v1/log/entries", func(_ *services, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.Write([]byte("{}"))
		}, "0 entries"},
		"log has two": {"/api/v1/log/entries", func(_ *services, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.Write([]byte(`{"a":{},"b":{}}`))
		}, "2 entries"},
		"log does not speak hex": {"/api/v1/log/entries", func(_ *services, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.Write([]byte(`{"a":{"logID":"?"}}`))
		}, "hex"},
		"log has it, but not where": {"/api/v1/log/entries", func(_ *services, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }, "where"},
		"log hangs up in the middle": {"/api/v1/log/entries", func(_ *services, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.Write([]byte("x"))
		}, "log"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newServices(t)
			s.spoil = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != c.path {
					return false
				}
				c.answer(s, w, r)
				return true
			}
			_, err := trySign(t, secrets{signer: ocm.Secret{"token": token}}, s.config(), sigstore.Handler{})
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("expected %q, found %v", c.text, err)
			}
			noToken(t, err, token)
		})
	}
}

// A signer who knows a trusted root gets no signature that this root would not bear out.
func TestNewSignatureIsJudgedByTheRoot(t *testing.T) {
	t.Parallel()
	s, other := newServices(t), newLab(t)
	token := newToken(t)
	for what, c := range map[string]struct {
		change func(p *rootParts)
		check  string
	}{
		"the same":          {func(*rootParts) {}, ""},
		"another authority": {func(p *rootParts) { p.cas = other.parts(t).cas }, ocm.FoundChain},
		"another log":       {func(p *rootParts) { p.logs = other.parts(t).logs }, ocm.FoundLog},
	} {
		p := s.parts(t)
		c.change(&p)
		v, err := trySign(t, secrets{signer: ocm.Secret{"token": token}, verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}, s.config(), sigstore.Handler{})
		failed := (*ocm.CheckError)(nil)
		if errors.As(err, &failed) != (c.check != "") || failed != nil && failed.Check != c.check || (v.Value == "") != (c.check != "") {
			t.Errorf("%s: expected a failure of %q, found %v", what, c.check, err)
		}
	}
}

// replayed dates the right signature, but does not answer this question.
func replayed(t testing.TB) func(*services, http.ResponseWriter, *http.Request) {
	return func(s *services, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		q, err := timestamp.ParseRequest(body)
		if err != nil {
			t.Error(err)
		}
		w.Write(s.date(t, q.HashedMessage, nil, time.Now()))
	}
}

// foreignEntry is a true entry of the log, about something else.
func foreignEntry(t testing.TB) func(*services, http.ResponseWriter, *http.Request) {
	return func(s *services, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		w.Write(entryJSON(t, s.make(t, []byte("other"), nil).VerificationMaterial.TlogEntries[0]))
	}
}

// The places of a token, in the order in which they are asked.
func TestPlacesOfTheToken(t *testing.T) {
	t.Parallel()
	s, i := newServices(t), newIssuer(t)
	audience := make(chan string, 10)
	github := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer runner" || r.URL.Query().Get("api") != "1" {
			t.Errorf("found %s, %v", r.URL, r.Header)
		}
		audience <- r.URL.Query().Get("audience")
		fmt.Fprintf(w, `{"value":%q}`, newToken(t))
	}))
	t.Cleanup(github.Close)
	vars := map[string]string{}
	h := sigstore.Handler{Getenv: func(n string) string { return vars[n] }, Interactive: true}
	c := s.config()
	shown := make(chan string, 10)
	h.Show = func(text string) {
		shown <- text
		go visit(t, text)
	}
	c.Issuer = i.URL

	if _, err := trySign(t, secrets{}, c, h); err != nil || len(shown) != 1 {
		t.Errorf("browser: %v", err)
	}
	if i.asked.Get("client_id") != "sigstore" || i.asked.Get("code_challenge_method") != "S256" || !strings.HasPrefix(i.asked.Get("redirect_uri"), "http://localhost:") {
		t.Errorf("found %v", i.asked)
	}
	vars["ACTIONS_ID_TOKEN_REQUEST_URL"], vars["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = github.URL+"/?api=1", "runner"
	c.ClientID = "mine"
	if _, err := trySign(t, secrets{}, c, h); err != nil || len(shown) != 1 {
		t.Errorf("GitHub: %v", err)
	}
	if a := <-audience; a != "mine" {
		t.Errorf("found audience %q", a)
	}
	vars["SIGSTORE_ID_TOKEN"] = newToken(t)
	if _, err := trySign(t, secrets{}, c, h); err != nil || len(audience) != 0 {
		t.Errorf("environment: %v", err)
	}
	vars["SIGSTORE_ID_TOKEN"] = "bad"
	if _, err := trySign(t, secrets{signer: ocm.Secret{"token": newToken(t)}}, c, h); err != nil {
		t.Errorf("credentials: %v", err)
	}
	if _, err := trySign(t, secrets{}, c, h); err == nil {
		t.Error("a bad token in the environment was passed over")
	}
	vars["SIGSTORE_ID_TOKEN"], vars["ACTIONS_ID_TOKEN_REQUEST_URL"] = "", "http://github.example/?api=1"
	if _, err := trySign(t, secrets{}, c, h); !errors.Is(err, ocm.ErrInvalid) || strings.Contains(err.Error(), "runner") {
		t.Errorf("found %v", err)
	}
	vars = nil
	h.Interactive = false
	if _, err := trySign(t, secrets{}, c, h); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("found %v", err)
	}
}

// visit is the user's browser.
func visit(t testing.TB, text string) {
	address := text[strings.Index(text, "http"):]
	r, err := http.Get(strings.TrimSpace(address))
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Body.Close()
	if page, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(page), "close this window") {
		t.Errorf("the user sees %q, %v", page, err)
	}
}

// Logins that go wrong.
func TestLogin(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(answer map[string]any, i *issuer)
		visit  func(t *testing.T, text string)
		text   string
	}{
		"token of another login": {func(a map[string]any, i *issuer) {
			a["id_token"] = i.token(alice, time.Now().Add(time.Minute), "other")
		}, nil, "another login"},
		"no token": {func(a map[string]any, _ *issuer) { delete(a, "id_token") }, nil, "no identity token"},
		"the user refuses": {nil, func(t *testing.T, text string) {
			back, state := redirectOf(t, text)
			if r, err := http.Get(back + "?error=access_denied&state=" + state); err != nil {
				t.Error(err)
			} else {
				r.Body.Close()
			}
		}, "access_denied"},
		"a stranger first": {nil, func(t *testing.T, text string) {
			back, _ := redirectOf(t, text)
			for _, address := range []string{back + "?code=evil", back + "?code=evil&state=guessed", strings.TrimSuffix(back, "/auth/callback") + "/"} {
				r, err := http.Get(address)
				if err != nil {
					t.Error(err)
					return
				}
				r.Body.Close()
				if r.StatusCode != http.StatusNotFound {
					t.Errorf("%s: %s", address, r.Status)
				}
			}
			visit(t, text)
		}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, i := newServices(t), newIssuer(t)
			if c.change != nil {
				i.change = func(a map[string]any) { c.change(a, i) }
			}
			if c.visit == nil {
				c.visit = func(t *testing.T, text string) { visit(t, text) }
			}
			var visited sync.WaitGroup
			config := s.config()
			config.Issuer = i.URL
			_, err := trySign(t, secrets{}, config, sigstore.Handler{Interactive: true, Show: func(text string) { visited.Go(func() { c.visit(t, text) }) }})
			visited.Wait()
			if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("expected %q, found %v", c.text, err)
			}
		})
	}
}

// redirectOf reads an address that was shown.
func redirectOf(t testing.TB, text string) (back, state string) {
	u, err := http.NewRequest(http.MethodGet, strings.TrimSpace(text[strings.Index(text, "http"):]), nil)
	if err != nil {
		t.Fatal(err)
	}
	q := u.URL.Query()
	return q.Get("redirect_uri"), q.Get("state")
}

// An issuer whose discovery document is of somebody else, or leads through plain http.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := newServices(t)
	for _, doc := range []string{
		`{"issuer":"https://other.example","authorization_endpoint":"https://a.example","token_endpoint":"https://a.example"}`,
		`{"issuer":"ISSUER","authorization_endpoint":"https://a.example","token_endpoint":"http://a.example"}`,
		`{"issuer":"ISSUER","authorization_endpoint":"javascript:alert(1)","token_endpoint":"https://a.example"}`,
		`{"issuer":"ISSUER"}`, `[]`, ``,
	} {
		var srv *httptest.Server
		srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, strings.ReplaceAll(doc, "ISSUER", srv.URL))
		}))
		t.Cleanup(srv.Close)
		c := s.config()
		c.Issuer = srv.URL
		ctx, stop := context.WithCancel(t.Context())
		h := sigstore.Handler{Interactive: true, Show: func(text string) {
			t.Errorf("shown: %s", text)
			stop()
		}}
		_, err := h.Sign(ctx, &ocm.Env{}, name, digest, spec(t, c))
		stop()
		if !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// Nothing that is logged on the way has a token or key in it.
func TestNoSecretsInTheLog(t *testing.T) {
	t.Parallel()
	s, i := newServices(t), newIssuer(t)
	var out bytes.Buffer
	env := &ocm.Env{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	c := s.config()
	c.Issuer = i.URL
	var visited sync.WaitGroup
	h := sigstore.Handler{Interactive: true, Open: func(address string) error {
		visited.Go(func() { visit(t, address) })
		return errors.New("no browser here")
	}}
	var token string
	i.change = func(a map[string]any) { token = a["id_token"].(string) }
	_, err := h.Sign(t.Context(), env, name, digest, spec(t, c))
	visited.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "log in with a browser") || !strings.Contains(out.String(), "no browser here") {
		t.Errorf("logged: %s", out.String())
	}
	noToken(t, errors.New(out.String()), token)
}

// FuzzVerify spoils bundles: none makes a panic, and none that is accepted has another signature or signer.
func FuzzVerify(f *testing.F) {
	l := newLab(f)
	m := l.make(f, artifactOf(f, digest), nil)
	good, err := base64.StdEncoding.DecodeString(m.value(f).Value)
	if err != nil {
		f.Fatal(err)
	}
	trust := l.trust(f)
	f.Add(good)
	for _, seed := range []string{"{}", `{"mediaType":"` + sigstore.MediaType + `"}`, strings.Replace(string(good), "hashedrekord", "dsse", 1)} {
		f.Add([]byte(seed))
	}
	want := m.GetMessageSignature().Signature
	f.Fuzz(func(t *testing.T, raw []byte) {
		v := ocm.SignatureValue{Algorithm: sigstore.Algorithm, MediaType: sigstore.MediaType, Value: base64.StdEncoding.EncodeToString(raw)}
		_, err := verify(t, trust, v, expectAlice())
		if err != nil {
			if strings.Contains(err.Error(), "panic") {
				t.Fatal(err)
			}
			return
		}
		var b struct {
			MessageSignature     struct{ Signature []byte }
			VerificationMaterial struct{ Certificate struct{ RawBytes []byte } }
		}
		if err := json.Unmarshal(raw, &b); err != nil || !bytes.Equal(b.MessageSignature.Signature, want) || !bytes.Equal(b.VerificationMaterial.Certificate.RawBytes, m.leaf.Raw) {
			t.Fatalf("accepted: %v, %s", err, raw)
		}
	})
}
