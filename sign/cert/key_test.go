// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"ocm"
)

func block(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func pkixPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PUBLIC KEY", der)
}

func newEC(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKind(t *testing.T) {
	t.Parallel()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	p256, p384 := newEC(t, elliptic.P256()), newEC(t, elliptic.P384())
	sec1, _ := x509.MarshalECPrivateKey(p384)
	agree, _ := ecdh.X25519().GenerateKey(rand.Reader)
	for _, c := range []struct{ name, text, want string }{
		{"RSA PKCS#1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), RSA},
		{"RSA PKCS#8", pkcs8(t, r), RSA},
		{"RSA public PKCS#1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&r.PublicKey)), RSA},
		{"RSA public", pkixPEM(t, &r.PublicKey), RSA},
		{"P-256", pkcs8(t, p256), P256},
		{"P-256 public", pkixPEM(t, &p256.PublicKey), P256},
		{"P-384 SEC 1, after its parameters", block("EC PARAMETERS", []byte{5, 0}) + block("EC PRIVATE KEY", sec1), P384},
		{"Ed25519", pkcs8(t, private), Ed25519},
		{"Ed25519 public", pkixPEM(t, public), Ed25519},
		{"the first counts", "text\n" + pkixPEM(t, public) + pkixPEM(t, &p256.PublicKey), Ed25519},
		{"P-224", pkcs8(t, newEC(t, elliptic.P224())), ""},
		{"P-521", pkixPEM(t, &newEC(t, elliptic.P521()).PublicKey), ""},
		{"key agreement", pkcs8(t, agree), ""},
		{"key agreement, public", pkixPEM(t, agree.PublicKey()), ""},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte("x")), ""},
		{"encrypted, older", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n", ""},
		{"damaged", block("PUBLIC KEY", []byte("x")), ""},
		{"damaged certificate", block("CERTIFICATE", []byte("x")), ""},
		{"none", "hunter2", ""},
		{"empty", "", ""},
	} {
		kind, err := Kind([]byte(c.text))
		if kind != c.want || (c.want == "") != errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %q, %v", c.name, kind, err)
		}
		if strings.HasPrefix(c.name, "encrypted") && !strings.Contains(err.Error(), "decrypt it with openssl pkey") {
			t.Errorf("%s: no next step: %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the text: %v", err)
		}
	}
	if _, err := Kind(make([]byte, MaxFileSize+1)); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("a file that is too long: %v", err)
	}
}

// A text of many beginnings and no end must not take long: CVE-2025-61723.
func TestCVE_2025_61723_huge_PEM(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"-----BEGIN X-----\n", "-----BEGIN X-----\n-----END Y-----\n", "-----BEGIN PUBLIC KEY-----\na:b\n"} {
		start := time.Now()
		if _, err := Kind([]byte(strings.Repeat(line, MaxFileSize/len(line)))); err == nil {
			t.Errorf("%q: no error", line)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%q takes %v", line, d)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	if _, err := Kind([]byte(block("PRIVATE KEY", make([]byte, maxKeySize+1)))); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("a key that is too long: %v", err)
	}
	if _, err := parseName(strings.Repeat("x", maxNameSize)); err != nil {
		t.Errorf("a long name: %v", err)
	}
	if _, err := parseName(strings.Repeat("x", maxNameSize+1)); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("a name that is too long: %v", err)
	}
}

// A public key may be so long that one verification takes minutes, whoever configured it.
func TestRSAKeysThatAreTooLong(t *testing.T) {
	t.Parallel()
	for bits, good := range map[uint]bool{MinRSABits - 1: false, MinRSABits: true, MaxRSABits: true, MaxRSABits + 1: false} {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		key := &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
		if err := checkKey(key, RSA, "key"); (err == nil) != good || err != nil && !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%d bits, expected good: %v, found %v", bits, good, err)
		}
	}
}

// What people compare is what openssl says: openssl pkey -pubin -outform DER | sha256sum
func TestFingerprint(t *testing.T) {
	t.Parallel()
	text := "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEACxaZpIiYQ0xYF96Ee9nLH4utr/DBIBPVmFKr7dBodyk=\n-----END PUBLIC KEY-----\n"
	trust, err := LoadTrust(ocm.Secret{"publicKeyPEM": text}, Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if got := Fingerprint(trust.public); got != "SHA-256 e2c8693849cb4c0a023f8fd056c9685a" {
		t.Error(got)
	}
	if got := Fingerprint("no key"); got != "" {
		t.Error(got)
	}
}
