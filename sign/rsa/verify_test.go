// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdrsa "crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/sign/cert"
)

const time30 = 30 * time.Minute

// refused fails the test unless the signature is refused with the text.
func refused(t *testing.T, secret ocm.Secret, sig ocm.Signature, text string) {
	t.Helper()
	err := judge(t.Context(), envWith(sig.Name, secret, goldenTime), sig, ocm.Spec{})
	if !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, expected a refusal with %q", err, text)
	}
}

func accepted(t *testing.T, secret ocm.Secret, sig ocm.Signature) {
	t.Helper()
	if err := judge(t.Context(), envWith(sig.Name, secret, goldenTime), sig, ocm.Spec{}); err != nil {
		t.Error(err)
	}
}

// The names of the algorithm may not contradict each other.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	key := testKeys()[2]
	secret := ocm.Secret{"privateKeyPEM": privatePEM(key)}
	d := digestOf("x")
	for _, alg := range Algorithms {
		v, err := Handler{}.Sign(t.Context(), envWith("s", secret, goldenTime), "s", d, ocm.Spec{Type: alg})
		if err != nil {
			t.Fatal(err)
		}
		sig := ocm.Signature{Name: "s", Digest: d, Signature: v}
		other := map[string]string{PSS: PKCS1v15, PKCS1v15: PSS}[alg]
		sig.Signature.Algorithm = other
		refused(t, secret, sig, "algorithm is "+other+", but media type "+v.MediaType+" means "+alg)
		sig.Signature.Algorithm, sig.Signature.MediaType = alg, map[string]string{PSS: MediaTypePKCS1, PKCS1v15: MediaTypePSS}[alg]
		refused(t, secret, sig, "means "+other)
		sig.Signature.Algorithm = other
		refused(t, secret, sig, "does not fit")
		sig.Signature = v
		sig.Signature.Algorithm = "" // then the media type decides
		accepted(t, secret, sig)
		sig.Signature.Algorithm = "GPG"
		refused(t, secret, sig, `"GPG"`)
	}
	sig := signPEM(t, d, newAuthority(t, nil, nil).leaf)
	sig.Signature.Algorithm = PKCS1v15
	refused(t, secret, sig, "PEM header Signature Algorithm means RSASSA-PSS")
}

func TestPEMShapes(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	trusting := ocm.Secret{"caCertPEM": certPEM(a.root)}
	pinned := ocm.Secret{"publicKeyPEM": publicPEM(testKeys()[2])}
	sig := signPEM(t, digestOf("x"), a.leaf, a.inter)
	block, certs, _ := strings.Cut(sig.Signature.Value, "-----BEGIN CERTIFICATE-----")
	certs = "-----BEGIN CERTIFICATE-----" + certs
	with := func(value string) ocm.Signature {
		s := sig
		s.Signature.Value = value
		return s
	}
	bare := strings.Replace(block, "Signature Algorithm: RSASSA-PSS\n\n", "", 1)

	accepted(t, trusting, with(block+certs))
	accepted(t, trusting, with(certs+block))
	accepted(t, trusting, with(bare+certs))
	accepted(t, pinned, with(block))
	accepted(t, pinned, with(block+certs))
	refused(t, trusting, with(block), "no public key is configured")
	refused(t, trusting, with(certs), "no SIGNATURE block")
	refused(t, trusting, with(""), "no SIGNATURE block")
	refused(t, trusting, with(block+block+certs), "more than one SIGNATURE")
	refused(t, trusting, with(block+certs+publicPEM(testKeys()[2])), "RSA PUBLIC KEY")
	refused(t, trusting, with(block+strings.Repeat(certs, cert.MaxCertificates)), "more than 16 certificates")
	refused(t, trusting, with(strings.Repeat("x", cert.MaxSignatureSize+1)), "limit exceeded")
	refused(t, trusting, with(block+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "certificate 1")
	refused(t, ocm.Secret{"publicKeyPEM": publicPEM(testKeys()[0])}, with(block+certs), "another key")
	refused(t, ocm.Secret{"username": "u"}, with(block), "no public key is configured")
}

func TestPlainRefused(t *testing.T) {
	t.Parallel()
	k := testKeys()
	secret := ocm.Secret{"publicKeyPEM": publicPEM(k[2])}
	d := digestOf("x")
	v, err := Handler{}.Sign(t.Context(), envWith("s", ocm.Secret{"privateKeyPEM": privatePEM(k[2])}, goldenTime), "s", d, ocm.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	good := ocm.Signature{Name: "s", Digest: d, Signature: v}
	accepted(t, secret, good)

	legacy := good
	legacy.Digest.HashAlgorithm = "sha256"
	accepted(t, secret, legacy)

	small, err := stdrsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecDER, _ := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	ecPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: ecDER}))
	accepted(t, ocm.Secret{"publicKeyPEM": ecPEM + publicPEM(k[2])}, good) // the first usable block counts

	change := func(edit func(*ocm.Signature)) ocm.Signature {
		s := good
		edit(&s)
		return s
	}
	tests := []struct {
		name   string
		secret ocm.Secret
		sig    ocm.Signature
		text   string
	}{
		{"another key", ocm.Secret{"publicKeyPEM": publicPEM(k[0])}, good, "does not fit"},
		{"another key first", ocm.Secret{"publicKeyPEM": publicPEM(k[0]) + publicPEM(k[2])}, good, "does not fit"},
		{"small key", ocm.Secret{"publicKeyPEM": publicPEM(small)}, good, "1024 bits"},
		{"elliptic key", ocm.Secret{"publicKeyPEM": ecPEM}, good, "no RSA public key"},
		{"only anchors", ocm.Secret{"caCertPEMFile": "testdata/root.pem"}, good, "no public key is configured"},
		{"anchors that are none", ocm.Secret{"caCertPEM": publicPEM(k[0])}, good, "expected CERTIFICATE"},
		{"name required", ocm.Secret{"publicKeyPEM": publicPEM(k[2]), "issuer": "CN=Leaf"}, good, "has no name"},
		{"hash name", secret, change(func(s *ocm.Signature) { s.Digest.HashAlgorithm = "SHA256" }), `"SHA256"`},
		{"other hash", secret, change(func(s *ocm.Signature) { s.Digest.HashAlgorithm = "SHA-512" }), "64 characters"},
		{"excluded", secret, change(func(s *ocm.Signature) {
			s.Digest = ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}
		}), "NO-DIGEST"},
		{"digest not hex", secret, change(func(s *ocm.Signature) { s.Digest.Value = strings.Repeat("g", 64) }), "not hex"},
		{"value not hex", secret, change(func(s *ocm.Signature) { s.Signature.Value = "zz" }), "not hex"},
		{"value empty", secret, change(func(s *ocm.Signature) { s.Signature.Value = "" }), "does not fit"},
		{"value cut", secret, change(func(s *ocm.Signature) { s.Signature.Value = s.Signature.Value[2:] }), "does not fit"},
		{"media type", secret, change(func(s *ocm.Signature) { s.Signature.MediaType = "application/vnd.ocm.signature.gpg" }), "media type"},
		{"no media type", secret, change(func(s *ocm.Signature) { s.Signature.MediaType = "" }), "media type"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { refused(t, tc.secret, tc.sig, tc.text) })
	}
	if err := judge(t.Context(), nil, good, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) || !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("without credentials: %v", err)
	}
	if err := judge(t.Context(), envWith("s", secret, goldenTime), good, ocm.Spec{Type: "GPGSigningConfiguration"}); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("with the configuration of another handler: %v", err)
	}
}

func TestChainRefused(t *testing.T) {
	t.Parallel()
	k := testKeys()
	d := digestOf("x")
	a := newAuthority(t, nil, nil)
	anchored := func(a authority) ocm.Secret { return ocm.Secret{"caCertPEM": certPEM(a.root)} }
	expire := []edit{func(c *x509.Certificate) { c.NotAfter = goldenTime.Add(-time30) }}
	future := []edit{func(c *x509.Certificate) { c.NotBefore = goldenTime.Add(time30) }}
	server := []edit{func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }}
	noCA := []edit{func(c *x509.Certificate) { c.IsCA = false }}
	noUsage := newAuthority(t, nil, []edit{func(c *x509.Certificate) { c.ExtKeyUsage = nil }})
	accepted(t, anchored(noUsage), signPEM(t, d, noUsage.leaf, noUsage.inter))

	alone := certificate(t, "Alone", k[2], nil, k[2], codeSigning)
	accepted(t, ocm.Secret{"publicKeyPEM": certPEM(alone)}, signPEM(t, d, alone))
	refused(t, anchored(a), signPEM(t, d, alone), "does not lead to")

	tests := []struct {
		name        string
		inter, leaf []edit
		text        string
	}{
		{"expired signer", nil, expire, "expired"},
		{"signer of the future", nil, future, "not yet valid"},
		{"not for code signing", nil, server, "usage"},
		{"intermediate not for code signing", server, nil, "usage"},
		{"intermediate is no authority", noCA, nil, "does not lead to"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newAuthority(t, tc.inter, tc.leaf)
			refused(t, anchored(b), signPEM(t, d, b.leaf, b.inter), tc.text)
		})
	}
	other := newAuthority(t, nil, nil)
	foreign := certificate(t, "Root 2", k[0], nil, k[0], ca)
	small, err := stdrsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, ocm.Secret{"caCertPEM": certPEM(foreign)}, signPEM(t, d, a.leaf, a.inter), "does not lead to a certificate of caCertPEM")
	refused(t, anchored(a), signPEM(t, d, a.leaf), "does not lead to")
	refused(t, anchored(a), signPEM(t, d, a.inter, a.leaf), "authority") // the first one is the signer's
	refused(t, anchored(a), signPEM(t, d, certificate(t, "Other", k[1], a.root, k[0], codeSigning), a.leaf), "does not fit")
	refused(t, anchored(a), signPEM(t, d, a.leaf, a.inter, a.root), "self-signed certificate")
	refused(t, ocm.Secret{"publicKeyPEM": certPEM(a.root, a.inter)}, signPEM(t, d, a.leaf), "only one and the last")
	refused(t, ocm.Secret{"publicKeyPEM": certPEM(a.root, other.root)}, signPEM(t, d, a.leaf, a.inter), "only one and the last")
	refused(t, ocm.Secret{"publicKeyPEM": certPEM(a.leaf)}, signPEM(t, d, a.leaf, a.inter), "no trust anchor is configured")
	refused(t, nil, signPEM(t, d, a.leaf, a.inter), "no trust anchor is configured")
	refused(t, anchored(a), signPEM(t, d, certificate(t, "Small", small, a.root, k[0], codeSigning)), "1024 bits")
	// With anchors set, the self-signed certificate beside the public key is none.
	refused(t, ocm.Secret{"publicKeyPEM": certPEM(a.root), "caCertPEM": certPEM(foreign)}, signPEM(t, d, a.leaf, a.inter), "does not lead to")
}

// A fault of the credentials is not taken for "nothing is configured".
func TestCredentialsFail(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	sig := signPEM(t, digestOf("x"), a.leaf, a.inter)
	err := judge(t.Context(), &ocm.Env{Credentials: faulty{}}, sig, ocm.Spec{})
	if !errors.Is(err, ocm.ErrSignature) || !errors.Is(err, ocm.ErrDenied) {
		t.Errorf("error %v", err)
	}
}

type faulty struct{}

func (faulty) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	return nil, fmt.Errorf("vault is sealed: %w", ocm.ErrDenied)
}

// The roots of the operating system count if nothing else is configured but a name. This must be
// the first use of them in the process: they are read once.
func TestSystemRootsCountOnlyForAName(t *testing.T) {
	sig := golden(t)["v2n"][1]
	t.Setenv("SSL_CERT_FILE", "testdata/root.pem")
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	verify := func(secret ocm.Secret, now time.Time) error {
		return judge(t.Context(), envWith(sig.Name, secret, now), sig, ocm.Spec{})
	}
	if err := verify(ocm.Secret{"issuer": "CN=Golden Signer"}, goldenTime); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"no name":            verify(ocm.Secret{}, goldenTime),
		"another name":       verify(ocm.Secret{"issuer": "CN=Somebody"}, goldenTime),
		"thirty years later": verify(ocm.Secret{"issuer": "CN=Golden Signer"}, goldenTime.AddDate(30, 0, 0)),
	} {
		if !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCVE_2026_24122_expired_intermediate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, []edit{func(c *x509.Certificate) { c.NotAfter = goldenTime.Add(-time30) }}, nil)
	refused(t, ocm.Secret{"caCertPEM": certPEM(a.root)}, signPEM(t, digestOf("x"), a.leaf, a.inter), "expired")
}

// A parse error must never count as success.
func TestCVE_2026_39395_parse_error_is_no_success(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	secret := ocm.Secret{"caCertPEM": certPEM(a.root)}
	sig := signPEM(t, digestOf("x"), a.leaf, a.inter)
	whole := sig.Signature.Value
	for cut := 0; cut < len(whole)-1; cut += 61 {
		sig.Signature.Value = whole[:cut]
		refused(t, secret, sig, "")
	}
}

// The time stamp in a signature is text of the signer's: it must not make an expired
// certificate good.
func TestCVE_2026_54787_timestamp_does_not_move_the_clock(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, []edit{func(c *x509.Certificate) { c.NotAfter = goldenTime.Add(-time30) }})
	sig := signPEM(t, digestOf("x"), a.leaf, a.inter)
	sig.Timestamp = &ocm.Timestamp{Time: goldenTime.Add(-time30 - time.Minute).Format(time.RFC3339)}
	refused(t, ocm.Secret{"caCertPEM": certPEM(a.root)}, sig, "expired")
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	secret := ocm.Secret{"caCertPEM": certPEM(a.root)}
	sig := signPEM(t, digestOf("x"), a.leaf, a.inter)
	for issuer, ok := range map[string]bool{
		a.leaf.Subject.String():          true,
		a.leaf.Issuer.String():           true,
		`CN=Leaf,O=Test\, Inc.`:          true,
		`O="Test, Inc.", cn = Leaf `:     true,
		`2.5.4.3=Leaf;O=Test\2c Inc.`:    true,
		`CN=#0c044c656166+O=Test\, Inc.`: true,
		`CN=Leaf`:                        false,
		`Leaf`:                           false,
		a.root.Subject.String():          false,
		`CN=Leaf,O=Test\, Inc.,C=DE`:     false,
		`CN=Leaf,XX=y`:                   false,
		`CN=Leaf,O="Test`:                false,
		`CN=Leaf,O=Test\`:                false,
		`CN=Leaf,`:                       false,
		strings.Repeat("x", 5000):        false,
		" ":                              false,
	} {
		sig.Signature.Issuer = issuer
		if ok {
			accepted(t, secret, sig)
		} else {
			refused(t, secret, sig, "issuer")
		}
	}
	simple := certificate(t, "Simple", testKeys()[2], a.root, testKeys()[0], codeSigning, func(c *x509.Certificate) { c.Subject.Organization = nil })
	sig = signPEM(t, digestOf("x"), simple)
	sig.Signature.Issuer = "Simple" // plain text is a common name
	accepted(t, secret, sig)
	for pattern, ok := range map[string]bool{"CN=Simple": true, "Simple": true, "CN=Other": false, "CN=Simple,O=Test": false, "=": false} {
		s := ocm.Secret{"caCertPEM": certPEM(a.root), "issuer": pattern}
		if ok {
			accepted(t, s, sig)
		} else {
			refused(t, s, sig, "credentials")
		}
	}
}

func FuzzDecodeValue(f *testing.F) {
	for _, sigs := range golden(f) {
		for _, s := range sigs {
			f.Add(s.Signature.Algorithm, s.Signature.MediaType, s.Signature.Value)
		}
	}
	f.Fuzz(func(t *testing.T, algorithm, mediaType, text string) {
		v, err := family().Decode(ocm.SignatureValue{Algorithm: algorithm, MediaType: mediaType, Value: text})
		if err != nil {
			return
		}
		if v.Algorithm.Name != PSS && v.Algorithm.Name != PKCS1v15 {
			t.Errorf("algorithm %q passed", v.Algorithm.Name)
		}
		if len(v.Chain) == 0 && mediaType != MediaTypePEM && !strings.EqualFold(hex.EncodeToString(v.Raw), text) {
			t.Errorf("plain value %q became %x", text, v.Raw)
		}
	})
}
