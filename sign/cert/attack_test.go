// SPDX-License-Identifier: Apache-2.0

package cert_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/sign/cert"
	"ocm/sign/ec"
	ocmrsa "ocm/sign/rsa"
)

const (
	soon    = 30 * time.Minute
	expired = "expired"
)

func TestChainOfSeveralKinds(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	accepted(t, a.anchored(), a.signed(t))
	accepted(t, ocm.Secret{"publicKeyPEM": certPEM(a.root)}, a.signed(t)) // the root's key is of another kind
	accepted(t, ocm.Secret{"publicKeyPEM": certPEM(a.inter, a.root)}, signed(t, ec.P256, a.leaf))
	r := issue(t, "RSA", rsaKey(), &a.inter, codeSigning)
	accepted(t, a.anchored(), signed(t, ocmrsa.PSS, r, a.inter))
	e := issue(t, "Ed", edKey(t), &a.inter, codeSigning)
	accepted(t, a.anchored(), signed(t, ec.Ed25519, e, a.inter))
}

func TestCVE_2026_24122_expired_intermediate(t *testing.T) {
	t.Parallel()
	for name, validity := range map[string]edit{"expired": valid(-time.Hour, -soon), "not yet valid": valid(soon, time.Hour)} {
		a := newAuthority(t, []edit{validity}, nil)
		refused(t, a.anchored(), a.signed(t), ocm.FoundChain, name)
	}
	root := issue(t, "Old root", edKey(t), nil, isCA, valid(-time.Hour, -soon))
	leaf := issue(t, "Leaf", edKey(t), &root, codeSigning)
	refused(t, ocm.Secret{"caCertPEM": certPEM(root)}, signed(t, ec.Ed25519, leaf), ocm.FoundChain, expired)
}

func TestExpiredAndNotYetValidSigner(t *testing.T) {
	t.Parallel()
	for name, validity := range map[string]edit{"expired": valid(-time.Hour, -soon), "not yet valid": valid(soon, time.Hour)} {
		a := newAuthority(t, nil, []edit{validity})
		refused(t, a.anchored(), a.signed(t), ocm.FoundChain, name)
	}
}

func TestSelfSignedIntermediate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	refused(t, a.anchored(), signed(t, ec.P256, a.leaf, a.inter, a.root), ocm.FoundChain, "trust anchors must come from the verifier")
	own := issue(t, "Own", edKey(t), nil, isCA)
	leaf := issue(t, "Leaf", edKey(t), &own, codeSigning)
	refused(t, a.anchored(), signed(t, ec.Ed25519, leaf, own), ocm.FoundChain, "self-signed")
	refused(t, a.anchored(), signed(t, ec.Ed25519, leaf), ocm.FoundChain, "does not lead to")
	alone := issue(t, "Alone", edKey(t), nil, codeSigning)
	refused(t, a.anchored(), signed(t, ec.Ed25519, alone), ocm.FoundChain, "does not lead to")
	refused(t, ocm.Secret{}, signed(t, ec.Ed25519, alone), ocm.FoundChain, "no trust anchor")
}

// An authority must not sign software; an anchor is what the verifier has chosen to be one.
func TestSignerIsAnAuthority(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	refused(t, a.anchored(), signed(t, ec.Ed25519, a.inter), ocm.FoundChain, "authority")
	alone := issue(t, "Alone", edKey(t), nil, isCA)
	accepted(t, ocm.Secret{"caCertPEM": certPEM(alone)}, signed(t, ec.Ed25519, alone))
	accepted(t, ocm.Secret{"publicKeyPEM": certPEM(alone)}, signed(t, ec.Ed25519, alone))
	secret := ocm.Secret{"privateKeyPEM": privatePEM(t, a.inter.key), "publicKeyPEM": certPEM(a.inter)}
	config := ocm.Spec{}
	if err := config.UnmarshalJSON([]byte(`{"type":"ECSigningConfiguration/v1alpha1","signatureEncodingPolicy":"PEM"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := (ec.Handler{}).Sign(t.Context(), envAt(secret, now), "s", digest(), config); err == nil || !strings.Contains(err.Error(), "authority") {
		t.Errorf("an authority's key signs: %v", err)
	}
}

func TestKeyUsage(t *testing.T) {
	t.Parallel()
	extended := func(u ...x509.ExtKeyUsage) []edit {
		return []edit{func(c *x509.Certificate) { c.ExtKeyUsage = u }}
	}
	usage := func(u x509.KeyUsage) []edit { return []edit{func(c *x509.Certificate) { c.KeyUsage = u }} }
	for name, c := range map[string]struct {
		inter, leaf []edit
		text        string
	}{
		"server":              {nil, extended(x509.ExtKeyUsageServerAuth), "usage"},
		"timestamping":        {nil, extended(x509.ExtKeyUsageTimeStamping), "usage"},
		"intermediate server": {extended(x509.ExtKeyUsageServerAuth), nil, "usage"},
		"encryption":          {nil, usage(x509.KeyUsageKeyEncipherment), "not for signatures"},
		"certificates":        {nil, usage(x509.KeyUsageCertSign), "not for signatures"},
		"no authority":        {[]edit{func(c *x509.Certificate) { c.IsCA = false }}, nil, "does not lead to"},
		"no certificates":     {usage(x509.KeyUsageDigitalSignature), nil, "does not lead to"},
		"commitment":          {nil, usage(x509.KeyUsageContentCommitment), ""},
		"any usage":           {nil, usage(0), ""},
		"any extended usage":  {nil, extended(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, c.inter, c.leaf)
			if c.text == "" {
				accepted(t, a.anchored(), a.signed(t))
			} else {
				refused(t, a.anchored(), a.signed(t), ocm.FoundChain, c.text)
			}
		})
	}
}

// An intermediate that demands an explicit policy, and a certificate without one: the check of policies
// must not go away with that of the usage.
func TestCVE_2025_22874_policies_with_key_usage(t *testing.T) {
	t.Parallel()
	demand := func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}}}
	}
	policy, err := x509.OIDFromInts([]uint64{1, 3, 6, 1, 4, 1, 99999, 1})
	if err != nil {
		t.Fatal(err)
	}
	with := func(c *x509.Certificate) { c.Policies = []x509.OID{policy} }
	good := newAuthority(t, []edit{demand, with}, []edit{with})
	accepted(t, good.anchored(), good.signed(t))
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageAny} {
		bad := newAuthority(t, []edit{demand, with}, []edit{func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{usage} }})
		refused(t, bad.anchored(), bad.signed(t), ocm.FoundChain, "does not lead to")
	}
}

// Constraints on names are the standard library's work: these show that it is asked.
func TestNameConstraints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		constraint edit
		leaf       edit
		ok         bool
	}{
		{"permitted", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"acme.org"} }, func(c *x509.Certificate) { c.DNSNames = []string{"build.acme.org"} }, true},
		{"not permitted", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"acme.org"} }, func(c *x509.Certificate) { c.DNSNames = []string{"acme.org.evil"} }, false},
		{"excluded", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"acme.org"} }, func(c *x509.Certificate) { c.DNSNames = []string{"build.acme.org"} }, false},
		{"CVE-2025-61727 wildcard", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"build.acme.org"} }, func(c *x509.Certificate) { c.DNSNames = []string{"*.acme.org"} }, false},
		{"CVE-2026-33810 wildcard in another case", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"build.acme.org"} }, func(c *x509.Certificate) { c.DNSNames = []string{"*.ACME.org"} }, false},
		{"CVE-2026-27137 several addresses", func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"root@acme.org", "root@other.org"} }, func(c *x509.Certificate) { c.EmailAddresses = []string{"root@acme.org"} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			constrain := func(cert *x509.Certificate) { cert.PermittedDNSDomainsCritical = true; c.constraint(cert) }
			a := newAuthority(t, []edit{constrain}, []edit{c.leaf})
			if c.ok {
				accepted(t, a.anchored(), a.signed(t))
			} else {
				refused(t, a.anchored(), a.signed(t), ocm.FoundChain, "does not lead to")
			}
		})
	}
}

// The key must be of the algorithm's kind, with its curve, whoever says so.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	root := issue(t, "Root", edKey(t), nil, isCA)
	keys := map[string]crypto.Signer{
		ec.P256: ecKey(t, elliptic.P256()), ec.P384: ecKey(t, elliptic.P384()), ec.Ed25519: edKey(t), ocmrsa.PSS: rsaKey(),
	}
	media := map[string]string{ec.P256: ec.MediaTypeECDSA, ec.P384: ec.MediaTypeECDSA, ec.Ed25519: ec.MediaTypeEd25519, ocmrsa.PSS: ocmrsa.MediaTypePSS}
	for right, key := range keys {
		leaf := issue(t, "Leaf", key, &root, codeSigning)
		anchored := ocm.Secret{"caCertPEM": certPEM(root)}
		plain := ocm.Secret{"publicKeyPEM": publicPEM(t, key)}
		raw := hex.EncodeToString(rawSignature(t, key))
		for claimed := range keys {
			withCert := signed(t, claimed, leaf)
			bare := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{Algorithm: claimed, MediaType: media[claimed], Value: raw}}
			if claimed == right {
				accepted(t, anchored, withCert)
				accepted(t, plain, bare)
				accepted(t, plain, withCert)
				continue
			}
			refused(t, anchored, withCert, ocm.FoundValue, "expected ")
			for _, sig := range []ocm.Signature{withCert, bare} {
				if _, err := verify(plain, sig, nil); err == nil || !strings.Contains(err.Error(), "public key in it") {
					t.Errorf("a %s key for %s: %v", right, claimed, err)
				}
			}
			// the places that name an algorithm contradict each other
			mixed := signed(t, right, leaf)
			mixed.Signature.Algorithm = claimed
			refused(t, anchored, mixed, ocm.FoundValue, "PEM header Signature Algorithm means "+right)
			if media[claimed] != media[right] {
				bare.Signature.Algorithm, bare.Signature.MediaType = right, media[claimed]
				refused(t, plain, bare, ocm.FoundValue, "media type")
			}
		}
	}
}

// The curve counts, not only that it is one, and of a certificate too.
func TestOtherCurvesAndShortKeys(t *testing.T) {
	t.Parallel()
	root := issue(t, "Root", edKey(t), nil, isCA)
	anchored := ocm.Secret{"caCertPEM": certPEM(root)}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P521()} {
		key := ecKey(t, curve)
		for _, algorithm := range []string{ec.P256, ec.P384} {
			refused(t, anchored, signed(t, algorithm, issue(t, "Leaf", key, &root, codeSigning)), ocm.FoundValue, "expected P-256 or P-384")
			bare := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{Algorithm: algorithm, MediaType: ec.MediaTypeECDSA, Value: hex.EncodeToString(rawSignature(t, key))}}
			if _, err := verify(ocm.Secret{"publicKeyPEM": publicPEM(t, key)}, bare, nil); err == nil {
				t.Errorf("a key on %s is taken for %s", curve.Params().Name, algorithm)
			}
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, anchored, signed(t, ocmrsa.PKCS1v15, issue(t, "Leaf", small, &root, codeSigning)), ocm.FoundValue, "1024 bits")
	n := new(big.Int).Lsh(big.NewInt(1), 20000)
	huge := &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
	leaf := issueFor(t, "Leaf", small, huge, &root, codeSigning)
	refused(t, anchored, signed(t, ocmrsa.PKCS1v15, leaf), ocm.FoundValue, "20001 bits")
	good := issue(t, "Leaf", edKey(t), &root, codeSigning)
	refused(t, anchored, signed(t, ec.Ed25519, good, leaf), ocm.FoundValue, "20001 bits") // also where it is of no use
}

func TestDuplicateSignatureBlocks(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	sig := a.signed(t)
	block, certs, _ := strings.Cut(sig.Signature.Value, "-----BEGIN CERTIFICATE-----")
	certs = "-----BEGIN CERTIFICATE-----" + certs
	evil, _, _ := strings.Cut(signed(t, ec.P256, pair{a.leaf.cert, ecKey(t, elliptic.P256())}).Signature.Value, "-----BEGIN CERTIFICATE-----")
	damaged := strings.Replace(evil, "-----END", "----END", 1) // this decoder skips it, another may not
	for name, c := range map[string]struct{ value, text string }{
		"again":                  {block + block + certs, "more than one"},
		"another first":          {evil + block + certs, "more than one"},
		"another last":           {block + certs + evil, "more than one"},
		"damaged one first":      {damaged + block + certs, "no block"},
		"damaged one last":       {block + certs + damaged, "no block"},
		"text before":            {"Signature: " + block + certs, "no block"},
		"text between":           {block + "x\n" + certs, "no block"},
		"text after":             {block + certs + "x", "no block"},
		"empty one":              {"-----BEGIN SIGNATURE-----\n-----END SIGNATURE-----\n" + certs, ""},
		"empty one and one more": {"-----BEGIN SIGNATURE-----\n-----END SIGNATURE-----\n" + block + certs, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bad := sig
			bad.Signature.Value = c.value
			refused(t, a.anchored(), bad, ocm.FoundValue, c.text)
		})
	}
	sig.Signature.Value = "\r\n" + certs + "\n\n" + block + " \n"
	accepted(t, a.anchored(), sig)
}

func TestManyCertificatesAndHugePEM(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	many := make([]pair, cert.MaxCertificates)
	for i := range many {
		many[i] = a.inter
	}
	refused(t, a.anchored(), signed(t, ec.P256, a.leaf, many...), ocm.FoundValue, "more than 16 certificates")
	accepted(t, a.anchored(), signed(t, ec.P256, a.leaf, many[1:]...))
	sig := a.signed(t)
	sig.Signature.Value += strings.Repeat("\n", cert.MaxSignatureSize)
	refused(t, a.anchored(), sig, ocm.FoundValue, "at most 262144 are accepted")
	for property, text := range map[string]string{
		"caCertPEM": strings.Repeat("x", cert.MaxFileSize+1), "tsaCertPEM": strings.Repeat(certPEM(a.root), cert.MaxCertificates+1),
		"publicKeyPEM": strings.Repeat(certPEM(a.root), cert.MaxCertificates+1),
	} {
		secret := a.anchored()
		secret[property] = text
		if _, err := verify(secret, a.signed(t), nil); err == nil || !strings.Contains(err.Error(), ocm.ErrLimit.Error()) {
			t.Errorf("%s: %v", property, err)
		}
	}
}

// Anybody can make a certificate for a public key: with a bare key its name counts for nothing.
func TestNameThatNobodyVouchesFor(t *testing.T) {
	t.Parallel()
	key := edKey(t)
	own := issue(t, "Director", key, nil, codeSigning)
	bare := ocm.Secret{"publicKeyPEM": publicPEM(t, key)}
	found, err := verify(bare, signed(t, ec.Ed25519, own), nil)
	if err != nil || found[len(found)-1].Detail != "the key in publicKeyPEM, "+cert.Fingerprint(key.Public()) {
		t.Errorf("found %v, %v", found, err)
	}
	bare["issuer"] = "CN=Director"
	refused(t, bare, signed(t, ec.Ed25519, own), ocm.FoundIdentity, "nobody vouches")
	plain := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{Algorithm: ec.Ed25519, MediaType: ec.MediaTypeEd25519, Value: hex.EncodeToString(rawSignature(t, key))}}
	refused(t, bare, plain, ocm.FoundIdentity, "has no name")
	// a key first, then a certificate for another: the name is not that of the key
	other := issue(t, "Director", edKey(t), nil, codeSigning)
	refused(t, ocm.Secret{"publicKeyPEM": publicPEM(t, key) + certPEM(other), "issuer": "CN=Director"}, plain, ocm.FoundIdentity, "has no name")
	accepted(t, ocm.Secret{"publicKeyPEM": certPEM(own), "issuer": "CN=Director"}, plain)
	refused(t, ocm.Secret{"publicKeyPEM": certPEM(own), "issuer": "CN=Else"}, plain, ocm.FoundIdentity, "credentials require")
	// the key of an authority that only completes the chain is not the signer's
	chained := ocm.Secret{"publicKeyPEM": certPEM(issue(t, "Leaf", ecKey(t, elliptic.P256()), &own, codeSigning), own)}
	if _, err := verify(chained, plain, nil); err == nil || !strings.Contains(err.Error(), "its first certificate is for another algorithm") {
		t.Errorf("the second certificate's key counts: %v", err)
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, nil)
	secret := a.anchored()
	secret["issuer"] = "CN=Leaf"
	found, err := verify(secret, a.signed(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []ocm.Finding{
		{Check: ocm.FoundChain, Detail: `"CN=Leaf" by "CN=Inter" by "CN=Root", which is a certificate of caCertPEM, judged at 2026-11-22T12:00:00Z`},
		{Check: ocm.FoundIdentity, Detail: `"CN=Leaf" has the name "CN=Leaf" that is demanded`},
		{Check: ocm.FoundValue, Detail: "ECDSA-P256"},
		{Check: ocm.FoundSigner, Detail: `"CN=Leaf"`},
	}
	if len(found) != len(want) {
		t.Fatalf("found %v", found)
	}
	for i := range want {
		if found[i] != want[i] {
			t.Errorf("found %v, expected %v", found[i], want[i])
		}
	}
	// what was established before a failure is told, too
	sig := a.signed(t)
	sig.Digest.Value = strings.Repeat("cd", 32)
	found, err = verify(secret, sig, nil)
	failed(t, err, ocm.FoundValue, "does not fit the key of its certificate")
	if len(found) != 2 {
		t.Errorf("found %v", found)
	}
	// names are hostile text
	evil := newAuthority(t, nil, []edit{func(c *x509.Certificate) {
		c.Subject.CommonName = "\x1b[2J" + strings.Repeat("ä", 5000)
	}})
	found, err = verify(evil.anchored(), evil.signed(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if strings.ContainsRune(f.Detail, 0x1b) || len(f.Detail) > 500 {
			t.Errorf("%s: %d bytes: %q", f.Check, len(f.Detail), f.Detail[:100])
		}
	}
}
