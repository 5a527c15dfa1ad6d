// SPDX-License-Identifier: Apache-2.0

package cert_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"ocm"
	"ocm/sign/cert"
	"ocm/sign/ec"
	ocmrsa "ocm/sign/rsa"
)

// now is the time by our clock in all tests; certificates are valid an hour before and after it.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// secrets has the same secret for everybody.
type secrets ocm.Secret

func (s secrets) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	return ocm.Secret(s), nil
}

func envAt(s ocm.Secret, at time.Time) *ocm.Env {
	return &ocm.Env{Credentials: secrets(s), Now: func() time.Time { return at }}
}

// pair is a certificate and its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

type edit func(c *x509.Certificate)

func isCA(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func codeSigning(c *x509.Certificate) {
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
}

func valid(from, to time.Duration) edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(from), now.Add(to) }
}

// issue makes a certificate; without parent it is self-signed.
func issue(t testing.TB, name string, key crypto.Signer, parent *pair, edits ...edit) pair {
	t.Helper()
	return issueFor(t, name, key, key.Public(), parent, edits...)
}

func issueFor(t testing.TB, name string, key crypto.Signer, public crypto.PublicKey, parent *pair, edits ...edit) pair {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(time.Hour),
		BasicConstraintsValid: true,
	}
	for _, e := range edits {
		e(c)
	}
	by := &pair{c, key}
	if parent != nil {
		by = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, public, by.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pair{parsed, key}
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t testing.TB) crypto.Signer {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rsaKey is shared: it takes long to make one.
var rsaKey = sync.OnceValue(func() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// authority is a root of another kind of key than its intermediate and signer.
type authority struct{ root, inter, leaf pair }

func newAuthority(t testing.TB, inter, leaf []edit) authority {
	t.Helper()
	var a authority
	a.root = issue(t, "Root", ecKey(t, elliptic.P384()), nil, isCA)
	a.inter = issue(t, "Inter", edKey(t), &a.root, append([]edit{isCA}, inter...)...)
	a.leaf = issue(t, "Leaf", ecKey(t, elliptic.P256()), &a.inter, append([]edit{codeSigning}, leaf...)...)
	return a
}

func (a authority) anchored() ocm.Secret { return ocm.Secret{"caCertPEM": certPEM(a.root)} }

func certPEM(pairs ...pair) (text string) {
	for _, p := range pairs {
		text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}))
	}
	return text
}

func privatePEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	text, _, err := cert.EncodeKeyPair(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func publicPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	_, text, err := cert.EncodeKeyPair(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func digest() ocm.Digest {
	return ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v3", Value: strings.Repeat("ab", 32)}
}

// rawSignature signs the digest with any key, also with those that we refuse.
func rawSignature(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	sum, err := hex.DecodeString(digest().Value)
	if err != nil {
		t.Fatal(err)
	}
	opts := crypto.SignerOpts(crypto.SHA256)
	switch key.(type) {
	case ed25519.PrivateKey:
		opts = crypto.Hash(0)
	case *rsa.PrivateKey:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}
	}
	raw, err := key.Sign(rand.Reader, sum, opts)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// signed is a signature with certificates, made without any check.
func signed(t testing.TB, algorithm string, leaf pair, more ...pair) ocm.Signature {
	t.Helper()
	chain := []*x509.Certificate{leaf.cert}
	for _, p := range more {
		chain = append(chain, p.cert)
	}
	return ocm.Signature{Name: "s", Digest: digest(), Signature: cert.EncodePEM(algorithm, rawSignature(t, leaf.key), chain)}
}

func (a authority) signed(t testing.TB) ocm.Signature { return signed(t, ec.P256, a.leaf, a.inter) }

// verify judges by the clock now.
func verify(secret ocm.Secret, sig ocm.Signature, check cert.TimeCheck) ([]ocm.Finding, error) {
	return verifyAt(secret, sig, now, check)
}

func verifyAt(secret ocm.Secret, sig ocm.Signature, at time.Time, check cert.TimeCheck) ([]ocm.Finding, error) {
	var v ocm.Verifier = ec.Handler{Time: check}
	if strings.HasPrefix(sig.Signature.Algorithm, "RSA") {
		v = ocmrsa.Handler{Time: check}
	}
	found, err := v.Verify(context.Background(), envAt(secret, at), sig, ocm.Spec{})
	if signed := len(found) > 0 && found[len(found)-1].Check == ocm.FoundSigner; signed != (err == nil) {
		return found, fmt.Errorf("findings %v with error %v", found, err)
	}
	return found, err
}

func accepted(t *testing.T, secret ocm.Secret, sig ocm.Signature) {
	t.Helper()
	if _, err := verify(secret, sig, nil); err != nil {
		t.Error(err)
	}
}

// refused demands that the check fails, with the text.
func refused(t *testing.T, secret ocm.Secret, sig ocm.Signature, check, text string) {
	t.Helper()
	_, err := verify(secret, sig, nil)
	failed(t, err, check, text)
}

func failed(t *testing.T, err error, check, text string) {
	t.Helper()
	var c *ocm.CheckError
	if !errors.Is(err, ocm.ErrSignature) || !errors.As(err, &c) || c.Check != check || !strings.Contains(err.Error(), text) {
		t.Errorf("found %v\nexpected a failure of %q with %q", err, check, text)
	}
}
