// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto"
	"crypto/rand"
	stdrsa "crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ocm"
	"ocm/sign/rsa"
)

// protocolServer is a signing server written from the description in the package comment, for the
// want of the real one here. It insists on everything that a client has to send.
type protocolServer struct {
	*httptest.Server
	key  *stdrsa.PrivateKey
	cert []*x509.Certificate // the signer's, intermediate, root

	mu    sync.Mutex
	spoil func(w http.ResponseWriter, r *http.Request, sum []byte) bool // answers in place of the server; may be nil
	asked int
}

func (s *protocolServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	algorithm := strings.TrimPrefix(r.URL.Path, "/base/sign/")
	body, err := io.ReadAll(io.LimitReader(r.Body, 2049))
	switch {
	case err != nil || len(body) > 2048 || r.ContentLength != int64(len(body)):
		http.Error(w, "body", http.StatusRequestEntityTooLarge)
		return
	case r.Method != http.MethodPost || algorithm != "rsassa-pkcs1-v1_5" && algorithm != "rsassa-pss":
		http.NotFound(w, r)
		return
	case r.Header.Get("Content-Encoding") != "hex" || r.Header.Get("Accept") != "application/x-pem-file" || r.Header.Get("Content-Type") != "text/plain":
		http.Error(w, "headers: "+fmt.Sprint(r.Header), http.StatusBadRequest)
		return
	}
	sum, err := hex.DecodeString(string(body))
	hash := map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}[r.URL.Query().Get("hashAlgorithm")]
	if err != nil || hash == 0 || len(sum) != hash.Size() {
		http.Error(w, "hash", http.StatusBadRequest)
		return
	}
	if s.spoil != nil && s.spoil(w, r, sum) {
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	fmt.Fprint(w, answer(s.key, hash, algorithm, sum, s.cert...))
}

func (s *protocolServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// answer is the PEM text for a digest; the algorithm is spelled as in the path.
func answer(key *stdrsa.PrivateKey, hash crypto.Hash, algorithm string, sum []byte, certs ...*x509.Certificate) string {
	raw, err := stdrsa.SignPKCS1v15(rand.Reader, key, hash, sum)
	name := rsa.PKCS1v15
	if algorithm == "rsassa-pss" {
		name = rsa.PSS
		raw, err = stdrsa.SignPSS(rand.Reader, key, hash, sum, &stdrsa.PSSOptions{SaltLength: stdrsa.PSSSaltLengthEqualsHash})
	}
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "SIGNATURE", Headers: map[string]string{"Signature Algorithm": name}, Bytes: raw})
	return string(text) + certPEM(certs...)
}

func certPEM(certs ...*x509.Certificate) (text string) {
	for _, c := range certs {
		text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return text
}

// world is everything that does not change between tests: keys are slow to make.
type world struct {
	now                               time.Time
	rootKey, signerKey, otherKey      *stdrsa.PrivateKey
	root, intermediate, signer        *x509.Certificate
	clientPEM, clientKeyPEM, tlsCAPEM string
	tlsPair                           tls.Certificate
	clientCAs                         *x509.CertPool
}

var newWorld = sync.OnceValue(func() *world {
	w := &world{now: time.Now()}
	keys := [3]*stdrsa.PrivateKey{}
	for i := range keys {
		var err error
		if keys[i], err = stdrsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	w.rootKey, w.signerKey, w.otherKey = keys[0], keys[1], keys[2]
	w.root = w.certificate("Root", w.rootKey, nil, w.rootKey, authority)
	w.intermediate = w.certificate("Intermediate", w.otherKey, w.root, w.rootKey, authority)
	w.signer = w.certificate("Signer", w.signerKey, w.intermediate, w.otherKey, usage(x509.ExtKeyUsageCodeSigning))
	tlsCA := w.certificate("TLS authority", w.rootKey, nil, w.rootKey, authority)
	server := w.certificate("server", w.signerKey, tlsCA, w.rootKey, usage(x509.ExtKeyUsageServerAuth), func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	client := w.certificate("client", w.otherKey, tlsCA, w.rootKey, usage(x509.ExtKeyUsageClientAuth))
	w.tlsPair = tls.Certificate{Certificate: [][]byte{server.Raw}, PrivateKey: w.signerKey}
	w.clientCAs = x509.NewCertPool()
	w.clientCAs.AddCert(tlsCA)
	w.tlsCAPEM, w.clientPEM, w.clientKeyPEM = certPEM(tlsCA), certPEM(client), keyPEM(w.otherKey)
	return w
})

func keyPEM(k *stdrsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
}

type edit func(c *x509.Certificate)

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func usage(u x509.ExtKeyUsage) edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{u} }
}

func (w *world) certificate(name string, key *stdrsa.PrivateKey, parent *x509.Certificate, parentKey *stdrsa.PrivateKey, edits ...edit) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.Add(time.Hour), BasicConstraintsValid: true,
	}
	for _, e := range edits {
		e(c)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return parsed
}

// start runs a server that wants client certificates. Its certificates for TLS and for signing are
// of different authorities.
func start(t *testing.T, w *world) *protocolServer {
	t.Helper()
	s := &protocolServer{key: w.signerKey, cert: []*x509.Certificate{w.signer, w.intermediate, w.root}}
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.tlsPair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: w.clientCAs, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// secrets answers exactly the identities it has.
type secrets map[string]ocm.Secret

func (s secrets) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if v, ok := s[id.String()]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
}

// client is the secret of a client whom the server knows.
func (w *world) client() ocm.Secret {
	return ocm.Secret{"clientCert": w.clientPEM, "privateKey": w.clientKeyPEM, "caCerts": w.tlsCAPEM}
}

// env has the secret for the server below /base.
func (s *protocolServer) env(secret ocm.Secret) *ocm.Env {
	host, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	id := ocm.Identity{"type": "Signingserver.gardener.cloud", "scheme": "https", "hostname": host, "port": port, "path": "base"}
	return &ocm.Env{Credentials: secrets{id.String(): secret}}
}

func (s *protocolServer) spec(t *testing.T, typ string) ocm.Spec {
	t.Helper()
	return spec(t, typ, s.URL+"/base/")
}

func spec(t *testing.T, typ, url string) ocm.Spec {
	t.Helper()
	s, err := ocm.NewSpec(Config{Type: typ, URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
