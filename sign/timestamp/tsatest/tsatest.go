// SPDX-License-Identifier: Apache-2.0

// Package tsatest is a time stamping authority for tests: a server that answers RFC 3161 queries, with a root and an
// intermediate certificate of its own, and with a clock that tests can set. It shares no code with what judges its
// tokens, and it can be told to lie.
//
//	a := tsatest.New(t)
//	ts, err := timestamp.Request(ctx, env, a.URL, digest)
//	_, err = timestamp.Check(ts, digest, a.Roots())
package tsatest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ocm"
)

// Authority is one authority. Set its fields before the first request.
type Authority struct {
	URL    string           // of the server, on 127.0.0.1
	Now    func() time.Time // its clock; nil: time.Now
	Change func(*Token)     // changes each token before it is signed; nil: nothing

	Root, Intermediate, Signer Pair
}

// Pair is a certificate with its key.
type Pair struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// New starts an authority. Its certificates are good for a year before and after now.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{}
	a.Root = Issue(t, Pair{}, CA("Test TSA root"))
	a.Intermediate = Issue(t, a.Root, CA("Test TSA intermediate"))
	a.Signer = Issue(t, a.Intermediate, Stamper("Test TSA"))
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.URL = s.URL
	return a
}

// Roots are what a verifier trusts.
func (a *Authority) Roots() []*x509.Certificate { return []*x509.Certificate{a.Root.Cert} }

// Token is what the authority says about a digest, not signed yet.
func (a *Authority) Token(hash crypto.Hash, imprint []byte) *Token {
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	return &Token{
		Hash: hash, Imprint: imprint, Time: now().Truncate(time.Second), SignHash: crypto.SHA256,
		Cert: a.Signer.Cert, Key: a.Signer.Key, Certs: []*x509.Certificate{a.Signer.Cert, a.Intermediate.Cert},
	}
}

// Stamp makes a timestamp over a digest without the server.
func (a *Authority) Stamp(d ocm.Digest) *ocm.Timestamp {
	hash := map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}[d.HashAlgorithm]
	k := a.Token(hash, must(hex.DecodeString(d.Value)))
	if a.Change != nil {
		a.Change(k)
	}
	return &ocm.Timestamp{Value: PEM(k.Answer()), Time: k.Time.UTC().Format(time.RFC3339)}
}

// PEM is the form in which an answer stands in a descriptor.
func PEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "TIMESTAMP", Bytes: der}))
}

// query is a TimeStampReq.
type query struct {
	Version int
	Imprint struct {
		Hash pkix.AlgorithmIdentifier
		Sum  []byte
	}
	Policy  asn1.ObjectIdentifier `asn1:"optional"`
	Nonce   *big.Int              `asn1:"optional"`
	CertReq bool                  `asn1:"optional"`
}

// ServeHTTP answers a query.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	var q query
	if err == nil {
		_, err = asn1.Unmarshal(body, &q)
	}
	hash := map[string]crypto.Hash{"2.16.840.1.101.3.4.2.1": crypto.SHA256, "2.16.840.1.101.3.4.2.2": crypto.SHA384, "2.16.840.1.101.3.4.2.3": crypto.SHA512}[q.Imprint.Hash.Algorithm.String()]
	if err != nil || q.Version != 1 || hash == 0 || len(q.Imprint.Sum) != hash.Size() || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, fmt.Sprint("not a query: ", err), http.StatusBadRequest)
		return
	}
	k := a.Token(hash, q.Imprint.Sum)
	k.Nonce = q.Nonce
	if !q.CertReq {
		k.Certs = nil
	}
	if a.Change != nil {
		a.Change(k)
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(k.Answer())
}

// CA is the template of a certificate authority.
func CA(name string) *x509.Certificate {
	c := template(name)
	c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
	return c
}

// Stamper is the template of an authority's certificate.
func Stamper(name string) *x509.Certificate {
	c := template(name)
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtraExtensions = []pkix.Extension{Usage(true, 8)}
	return c
}

// Usage is the extension for extended key usages under 1.3.6.1.5.5.7.3: 8 is time stamping, 3 is code signing.
func Usage(critical bool, purposes ...int) pkix.Extension {
	var ids [][]byte
	for _, p := range purposes {
		ids = append(ids, OID(1, 3, 6, 1, 5, 5, 7, 3, p))
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: Seq(ids...)}
}

func template(name string) *x509.Certificate {
	const year = 365 * 24 * time.Hour
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))),
		NotBefore: time.Now().Add(-year), NotAfter: time.Now().Add(year), BasicConstraintsValid: true,
	}
}

// Issue makes a certificate with a new P-256 key; without a parent, it is self-signed.
func Issue(t testing.TB, parent Pair, c *x509.Certificate) Pair {
	t.Helper()
	return IssueFor(t, parent, c, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
}

// IssueFor makes a certificate for a key; without a parent, it is self-signed.
func IssueFor(t testing.TB, parent Pair, c *x509.Certificate, key crypto.Signer) Pair {
	t.Helper()
	if parent.Cert == nil {
		parent = Pair{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.Cert, key.Public(), parent.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{cert, key}
}
