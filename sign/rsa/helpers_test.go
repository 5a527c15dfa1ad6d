// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	"context"
	"crypto/rand"
	stdrsa "crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"sync"
	"testing"
	"time"

	"ocm"
	"ocm/sign/cert"
)

// The golden certificates are valid from 2026-11-21 18:13:27 UTC on.
var goldenTime = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// secrets answers exactly the identities it has.
type secrets map[string]ocm.Secret

func (s secrets) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if v, ok := s[id.String()]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
}

// envWith has one secret for one signature and both algorithms.
func envWith(signature string, s ocm.Secret, now time.Time) *ocm.Env {
	all := secrets{}
	for _, a := range Algorithms {
		all[ocm.Identity{"type": "RSA/v1alpha1", "algorithm": a, "signature": signature}.String()] = s
	}
	return &ocm.Env{Credentials: all, Now: func() time.Time { return now }}
}

func golden(t testing.TB) map[string][]ocm.Signature {
	t.Helper()
	var all map[string][]ocm.Signature
	if err := json.Unmarshal(testFile(t, "testdata/signatures.json"), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func testFile(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func digestOf(content string) ocm.Digest {
	sum := sha256.Sum256([]byte(content))
	return ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: hex.EncodeToString(sum[:])}
}

// Key generation is slow, so tests share three keys.
var testKeys = sync.OnceValue(func() (keys [3]*stdrsa.PrivateKey) {
	for i := range keys {
		var err error
		if keys[i], err = stdrsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return keys
})

func privatePEM(k *stdrsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
}

func publicPEM(k *stdrsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&k.PublicKey)}))
}

func certPEM(certs ...*x509.Certificate) (text string) {
	for _, c := range certs {
		text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return text
}

// authority is a root, an intermediate and a signer, valid around goldenTime.
type authority struct{ root, inter, leaf *x509.Certificate }

type edit func(c *x509.Certificate)

func certificate(t testing.TB, name string, key *stdrsa.PrivateKey, parent *x509.Certificate, parentKey *stdrsa.PrivateKey, edits ...edit) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Test, Inc."}},
		NotBefore:             goldenTime.Add(-time.Hour),
		NotAfter:              goldenTime.Add(time.Hour),
		BasicConstraintsValid: true,
	}
	for _, e := range edits {
		e(c)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func ca(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func codeSigning(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
}

func newAuthority(t testing.TB, inter, leaf []edit) authority {
	t.Helper()
	k := testKeys()
	var a authority
	a.root = certificate(t, "Root", k[0], nil, k[0], ca)
	a.inter = certificate(t, "Inter", k[1], a.root, k[0], append([]edit{ca}, inter...)...)
	a.leaf = certificate(t, "Leaf", k[2], a.inter, k[1], append([]edit{codeSigning}, leaf...)...)
	return a
}

// signPEM signs with the third key and embeds the certificates without any check.
func signPEM(t testing.TB, d ocm.Digest, certs ...*x509.Certificate) ocm.Signature {
	t.Helper()
	env := envWith("s", ocm.Secret{"privateKeyPEM": privatePEM(testKeys()[2])}, goldenTime)
	v, err := Handler{}.Sign(t.Context(), env, "s", d, ocm.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(v.Value)
	if err != nil {
		t.Fatal(err)
	}
	return ocm.Signature{Name: "s", Digest: d, Signature: cert.EncodePEM(PSS, raw, certs)}
}
