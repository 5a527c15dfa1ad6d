// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"ocm"
	"ocm/builtin"
	"ocm/credentials"
)

// The tables of docs/compatibility.md about the encodings of signatures: a row of a table is a row of a test. Rows
// that need one of the other tools to be seen are marked by what makes them true.

// party is a signer with a chain of certificates, made at the time of the tests.
type party struct {
	key, stranger     *rsa.PrivateKey
	root, inter, leaf *x509.Certificate
	alone             *x509.Certificate // self-signed, for the key of leaf
	rootKey, interKey *rsa.PrivateKey
	now               time.Time
}

var newParty = sync.OnceValue(func() *party {
	p := &party{now: time.Now()}
	for _, k := range []**rsa.PrivateKey{&p.key, &p.stranger, &p.rootKey, &p.interKey} {
		var err error
		if *k, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	p.root = p.certificate("Root", p.rootKey, nil, p.rootKey, authority)
	p.inter = p.certificate("Intermediate", p.interKey, p.root, p.rootKey, authority)
	p.leaf = p.certificate("Signer", p.key, p.inter, p.interKey, codeSigning)
	p.alone = p.certificate("Alone", p.key, nil, p.key, codeSigning)
	return p
})

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func codeSigning(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
}

func (p *party) certificate(name string, key *rsa.PrivateKey, parent *x509.Certificate, parentKey *rsa.PrivateKey, edits ...func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Acme"}},
		NotBefore: p.now.Add(-time.Hour), NotAfter: p.now.Add(time.Hour), BasicConstraintsValid: true,
	}
	for _, edit := range edits {
		edit(c)
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

func block(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

func certs(list ...*x509.Certificate) (text string) {
	for _, c := range list {
		text += block("CERTIFICATE", c.Raw)
	}
	return text
}

func (p *party) pkcs1() string { return block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(p.key)) }

// digestOf is a signature's digest; the hash is SHA-256 unless it is named otherwise.
func digestOf(hash string) (ocm.Digest, crypto.Hash, []byte) {
	short, middle, long := sha256.Sum256([]byte("x")), sha512.Sum384([]byte("x")), sha512.Sum512([]byte("x"))
	h, sum := crypto.SHA256, short[:]
	switch {
	case strings.HasSuffix(hash, "384"):
		h, sum = crypto.SHA384, middle[:]
	case strings.HasSuffix(hash, "512"):
		h, sum = crypto.SHA512, long[:]
	}
	return ocm.Digest{HashAlgorithm: hash, NormalisationAlgorithm: "jsonNormalisation/v3", Value: hex.EncodeToString(sum)}, h, sum
}

// raw makes a signature by means of nobody's code but Go's.
func (p *party) raw(algorithm, hash string, salt int) []byte {
	_, h, sum := digestOf(hash)
	b, err := rsa.SignPKCS1v15(rand.Reader, p.key, h, sum)
	if algorithm == "RSASSA-PSS" {
		b, err = rsa.SignPSS(rand.Reader, p.key, h, sum, &rsa.PSSOptions{SaltLength: salt})
	}
	if err != nil {
		panic(err)
	}
	return b
}

func (p *party) plain(algorithm, mediaType string) ocm.SignatureValue {
	return ocm.SignatureValue{Algorithm: algorithm, MediaType: mediaType, Value: hex.EncodeToString(p.raw(algorithm, "SHA-256", rsa.PSSSaltLengthAuto))}
}

// signatureBlock is the SIGNATURE block of a PEM value, whose header may name an algorithm.
func (p *party) signatureBlock(header string) string {
	b := &pem.Block{Type: "SIGNATURE", Bytes: p.raw("RSASSA-PSS", "SHA-256", rsa.PSSSaltLengthAuto)}
	if header != "" {
		b.Headers = map[string]string{"Signature Algorithm": header}
	}
	return string(pem.EncodeToMemory(b))
}

// pemOver is a SIGNATURE block over a SHA-256 digest in hex.
func (p *party) pemOver(value string) string {
	sum, err := hex.DecodeString(value)
	if err != nil {
		panic(err)
	}
	raw, err := rsa.SignPSS(rand.Reader, p.key, crypto.SHA256, sum, nil)
	if err != nil {
		panic(err)
	}
	return block("SIGNATURE", raw)
}

// verify judges a value by the verifier of its algorithm, as graph.Verify finds it.
func (p *party) verify(t *testing.T, d ocm.Digest, v ocm.SignatureValue, secret ocm.Secret) error {
	t.Helper()
	algorithm := v.Algorithm
	if algorithm == "" {
		algorithm = "RSASSA-PSS"
	}
	verifier, err := builtin.Kit().Verifiers.For(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	_, err = verifier.Verify(t.Context(), p.env(secret), ocm.Signature{Name: "s", Digest: d, Signature: v}, ocm.Spec{})
	if err != nil && !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("not an ErrSignature: %v", err)
	}
	return err
}

func (p *party) env(secret ocm.Secret) *ocm.Env {
	return &ocm.Env{Now: func() time.Time { return p.now }, Credentials: credentials.Static(
		credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1"}, Secret: secret},
		credentials.Entry{Identity: ocm.Identity{"type": "GPG/v1alpha1"}, Secret: secret},
	)}
}

func (p *party) sign(t *testing.T, config, hash string, secret ocm.Secret) (ocm.SignatureValue, error) {
	t.Helper()
	var spec ocm.Spec
	if err := spec.UnmarshalJSON([]byte(config)); err != nil {
		t.Fatal(err)
	}
	signer, err := builtin.Kit().Signers.For(spec.Type)
	if err != nil {
		t.Fatal(err)
	}
	d, _, _ := digestOf(hash)
	return signer.Sign(t.Context(), p.env(secret), "s", d, spec)
}

// Which media type goes with which algorithm; the two may not contradict each other, since one
// of the existing tools goes by the media type, and the other by the algorithm.
func TestTableOfFormats(t *testing.T) {
	t.Parallel()
	p := newParty()
	key := ocm.Secret{"privateKeyPEM": p.pkcs1()}
	full := ocm.Secret{"privateKeyPEM": p.pkcs1(), "publicKeyPEM": certs(p.leaf, p.inter, p.root)}
	for _, row := range []struct {
		name, config, algorithm, mediaType string
		secret                             ocm.Secret
	}{
		{"by default", `{"type":"RSASigningConfiguration/v1alpha1"}`, "RSASSA-PSS", "application/vnd.ocm.signature.rsa.pss", key},
		{"PSS", `{"type":"RSASSA-PSS"}`, "RSASSA-PSS", "application/vnd.ocm.signature.rsa.pss", key},
		{"PKCS1", `{"type":"RSASSA-PKCS1-V1_5"}`, "RSASSA-PKCS1-V1_5", "application/vnd.ocm.signature.rsa", key},
		{"PSS in PEM", `{"type":"RSASigningConfiguration","signatureEncodingPolicy":"PEM"}`, "RSASSA-PSS", "application/x-pem-file", full},
		{"PKCS1 in PEM", `{"type":"RSASigningConfiguration","signatureAlgorithm":"RSASSA-PKCS1-V1_5","signatureEncodingPolicy":"PEM"}`, "RSASSA-PKCS1-V1_5", "application/x-pem-file", full},
	} {
		v, err := p.sign(t, row.config, "SHA-256", row.secret)
		if err != nil || v.Algorithm != row.algorithm || v.MediaType != row.mediaType || v.Issuer != "" {
			t.Errorf("%s, written: %s %s %q, %v", row.name, v.Algorithm, v.MediaType, v.Issuer, err)
		}
		if strings.HasPrefix(row.mediaType, "application/vnd") && v.Value != strings.ToLower(v.Value) {
			t.Errorf("%s: not in lower case: %s", row.name, v.Value)
		}
		d, _, _ := digestOf("SHA-256")
		if err := p.verify(t, d, v, row.secret); err != nil {
			t.Errorf("%s, read: %v", row.name, err)
		}
	}
	d, _, _ := digestOf("SHA-256")
	for _, row := range []struct {
		name string
		v    ocm.SignatureValue
		good bool
	}{
		{"PSS with its media type", p.plain("RSASSA-PSS", "application/vnd.ocm.signature.rsa.pss"), true},
		{"PKCS1 with its media type", p.plain("RSASSA-PKCS1-V1_5", "application/vnd.ocm.signature.rsa"), true},
		{"PSS with the media type of PKCS1, as the specification's examples have it", p.plain("RSASSA-PSS", "application/vnd.ocm.signature.rsa"), false},
		{"PKCS1 with the media type of PSS", p.plain("RSASSA-PKCS1-V1_5", "application/vnd.ocm.signature.rsa.pss"), false},
		{"no media type", p.plain("RSASSA-PSS", ""), false},
		{"media type of Sigstore", p.plain("RSASSA-PSS", "application/vnd.dev.sigstore.bundle.v0.3+json"), false},
	} {
		if err := p.verify(t, d, row.v, key); (err == nil) != row.good {
			t.Errorf("%s: expected good: %v, found %v", row.name, row.good, err)
		}
	}
}

// What is signed is the digest itself, by whatever hash of the three; a salt may have any length.
func TestTableOfRSA(t *testing.T) {
	t.Parallel()
	p := newParty()
	key := ocm.Secret{"privateKeyPEM": p.pkcs1()}
	for hash, row := range map[string]struct{ written, read bool }{
		"SHA-256": {true, true}, "SHA-384": {true, true}, "SHA-512": {true, true},
		"sha256": {false, true}, "sha512": {false, true}, // of older releases
		"SHA256": {}, "sha-256": {}, "SHA-1": {}, "": {},
	} {
		if _, err := p.sign(t, `{"type":"RSASSA-PSS"}`, hash, key); (err == nil) != row.written {
			t.Errorf("hash %q: expected written: %v, found %v", hash, row.written, err)
		}
		for algorithm, mediaType := range map[string]string{"RSASSA-PSS": "application/vnd.ocm.signature.rsa.pss", "RSASSA-PKCS1-V1_5": "application/vnd.ocm.signature.rsa"} {
			d, _, _ := digestOf(hash)
			v := ocm.SignatureValue{Algorithm: algorithm, MediaType: mediaType, Value: hex.EncodeToString(p.raw(algorithm, hash, rsa.PSSSaltLengthEqualsHash))}
			if err := p.verify(t, d, v, key); (err == nil) != row.read {
				t.Errorf("%s, hash %q: expected read: %v, found %v", algorithm, hash, row.read, err)
			}
		}
	}
	d, h, sum := digestOf("SHA-256")
	longest := p.key.Size() - h.Size() - 2
	for name, salt := range map[string]int{"none": 0, "short": 7, "as long as the hash": h.Size(), "longest": longest} {
		b := p.withoutSalt(sum)
		if salt > 0 {
			var err error
			if b, err = rsa.SignPSS(rand.Reader, p.key, h, sum, &rsa.PSSOptions{SaltLength: salt}); err != nil {
				t.Fatal(name, err)
			}
		}
		for _, text := range []string{hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b))} {
			if err := p.verify(t, d, ocm.SignatureValue{Algorithm: "RSASSA-PSS", MediaType: "application/vnd.ocm.signature.rsa.pss", Value: text}, key); err != nil {
				t.Errorf("salt %s: %v", name, err)
			}
		}
	}
	v, err := p.sign(t, `{"type":"RSASSA-PSS"}`, "SHA-256", key)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := hex.DecodeString(v.Value)
	if err := rsa.VerifyPSS(&p.key.PublicKey, h, sum, b, &rsa.PSSOptions{SaltLength: longest}); err != nil {
		t.Errorf("the salt that is written is not the longest, as both tools write it: %v", err)
	}
}

// withoutSalt is RSASSA-PSS of a SHA-256 digest with a salt of no length (RFC 8017, 9.1.1), which Go
// reads but does not write. The key has 2048 bits.
func (p *party) withoutSalt(sum []byte) []byte {
	seed := sha256.Sum256(append(make([]byte, 8), sum...))
	db := make([]byte, 256-32-1)
	db[len(db)-1] = 1
	for i := 0; i < len(db); i += 32 {
		mask := sha256.Sum256(append(append([]byte{}, seed[:]...), 0, 0, 0, byte(i/32)))
		for j := i; j < min(i+32, len(db)); j++ {
			db[j] ^= mask[j-i]
		}
	}
	db[0] &= 0x7f
	m := new(big.Int).SetBytes(append(append(db, seed[:]...), 0xbc))
	return m.Exp(m, p.key.D, p.key.N).FillBytes(make([]byte, 256))
}

// Which keys are understood: of those that are there the first usable block counts.
func TestTableOfKeys(t *testing.T) {
	t.Parallel()
	p := newParty()
	pkcs8, err1 := x509.MarshalPKCS8PrivateKey(p.key)
	pkix, err2 := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	otherPKIX, err3 := x509.MarshalPKIXPublicKey(&p.stranger.PublicKey)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	private8, public1 := block("PRIVATE KEY", pkcs8), block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&p.key.PublicKey))
	public, other := block("PUBLIC KEY", pkix), block("PUBLIC KEY", otherPKIX)
	for name, text := range map[string]string{"PKCS#1": p.pkcs1(), "PKCS#8": private8, "after something else": certs(p.leaf) + private8} {
		for _, property := range []string{"privateKeyPEM", "private_key_pem"} {
			if _, err := p.sign(t, `{"type":"RSASSA-PSS"}`, "SHA-256", ocm.Secret{property: text}); err != nil {
				t.Errorf("private key, %s as %s: %v", name, property, err)
			}
		}
	}
	d, _, _ := digestOf("SHA-256")
	v := p.plain("RSASSA-PSS", "application/vnd.ocm.signature.rsa.pss")
	for _, row := range []struct {
		name   string
		secret ocm.Secret
		good   bool
	}{
		{"PKCS#1", ocm.Secret{"publicKeyPEM": public1}, true},
		{"PKIX", ocm.Secret{"publicKeyPEM": public}, true},
		{"certificate", ocm.Secret{"publicKeyPEM": certs(p.leaf)}, true},
		{"chain, the signer's first", ocm.Secret{"publicKeyPEM": certs(p.leaf, p.inter, p.root)}, true},
		{"chain, the signer's last", ocm.Secret{"publicKeyPEM": certs(p.root, p.inter, p.leaf)}, false},
		{"older name", ocm.Secret{"public_key_pem": public}, true},
		{"derived from the private key", ocm.Secret{"privateKeyPEM": private8}, true},
		{"the public key wins over the private one", ocm.Secret{"publicKeyPEM": other, "privateKeyPEM": private8}, false},
		{"first of two", ocm.Secret{"publicKeyPEM": public + other}, true},
		{"second of two", ocm.Secret{"publicKeyPEM": other + public}, false},
		{"none", ocm.Secret{}, false},
	} {
		if err := p.verify(t, d, v, row.secret); (err == nil) != row.good {
			t.Errorf("public key, %s: expected good: %v, found %v", row.name, row.good, err)
		}
	}
}

// The PEM value. What is written is what both tools read: SIGNATURE first with its algorithm, then
// the signer's certificate, intermediates, no root, and no issuer, which the older tool would
// compare with the subject and the newer one with the issuer.
func TestTableOfPEMValues(t *testing.T) {
	t.Parallel()
	p := newParty()
	full := ocm.Secret{"privateKeyPEM": p.pkcs1(), "publicKeyPEM": certs(p.leaf, p.inter, p.root)}
	v, err := p.sign(t, `{"type":"RSASigningConfiguration","signatureEncodingPolicy":"PEM"}`, "SHA-256", full)
	if err != nil {
		t.Fatal(err)
	}
	first, rest := pem.Decode([]byte(v.Value))
	if first.Type != "SIGNATURE" || first.Headers["Signature Algorithm"] != "RSASSA-PSS" || string(rest) != certs(p.leaf, p.inter) || v.Issuer != "" {
		t.Errorf("written: %+v", v)
	}
	anchor, bare := ocm.Secret{"caCertPEM": certs(p.root)}, ocm.Secret{"publicKeyPEM": block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&p.key.PublicKey))}
	sig, chain := p.signatureBlock("RSASSA-PSS"), certs(p.leaf, p.inter)
	for _, row := range []struct {
		name, value string
		secret      ocm.Secret
		good        bool
	}{
		{"SIGNATURE first", sig + chain, anchor, true},
		{"SIGNATURE last, as the older tool accepts", chain + sig, anchor, true},
		{"SIGNATURE between", certs(p.leaf) + sig + certs(p.inter), anchor, true},
		{"two SIGNATURE blocks", sig + sig + chain, anchor, false},
		{"no SIGNATURE block", chain, anchor, false},
		{"no certificate, public key configured, as the older tool accepts", sig, bare, true},
		{"no certificate, only an authority configured", sig, anchor, false},
		{"certificate, public key configured", sig + chain, bare, true},
		{"no algorithm in the header, as the older tool accepts", p.signatureBlock("") + chain, anchor, true},
		{"another algorithm in the header", p.signatureBlock("RSASSA-PKCS1-V1_5") + chain, anchor, false},
		{"root embedded, as the older tool accepts", sig + certs(p.leaf, p.inter, p.root), anchor, false},
		{"self-signed certificate alone, which is the authority", sig + certs(p.alone), ocm.Secret{"caCertPEM": certs(p.alone)}, true},
		{"self-signed certificate alone, another authority", sig + certs(p.alone), anchor, false},
		{"intermediate missing", sig + certs(p.leaf), anchor, false},
		{"intermediate configured", sig + certs(p.leaf), ocm.Secret{"publicKeyPEM": certs(p.leaf, p.inter, p.root)}, true},
		{"authority is the self-signed one at the end of the public key", sig + chain, ocm.Secret{"publicKeyPEM": certs(p.root)}, true},
		{"authority in the middle of the public key", sig + chain, ocm.Secret{"publicKeyPEM": certs(p.root, p.inter)}, false},
		{"nothing configured, not even a name: the roots of the system do not count", sig + chain, ocm.Secret{}, false},
		{"something else in it", sig + chain + p.pkcs1(), anchor, false},
	} {
		d, _, _ := digestOf("SHA-256")
		for _, algorithm := range []string{"RSASSA-PSS", ""} {
			value := ocm.SignatureValue{Algorithm: algorithm, MediaType: "application/x-pem-file", Value: row.value}
			if algorithm == "" && !strings.Contains(row.value, "Signature Algorithm") {
				continue // then nothing says which it is
			}
			good := row.good
			if algorithm == "" && strings.Contains(row.name, "another algorithm") {
				good = false
			}
			if err := p.verify(t, d, value, row.secret); (err == nil) != good {
				t.Errorf("%s (algorithm %q): expected good: %v, found %v", row.name, algorithm, good, err)
			}
		}
	}
}

// Certificates: when, for what and for whom.
func TestTableOfCertificates(t *testing.T) {
	t.Parallel()
	p := newParty()
	anchor := ocm.Secret{"caCertPEM": certs(p.root)}
	signer := func(edits ...func(*x509.Certificate)) *x509.Certificate {
		return p.certificate("Signer", p.key, p.inter, p.interKey, edits...)
	}
	expired := func(c *x509.Certificate) { c.NotAfter = p.now.Add(-time.Minute) }
	future := func(c *x509.Certificate) { c.NotBefore = p.now.Add(time.Minute) }
	web := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	for _, row := range []struct {
		name   string
		leaf   *x509.Certificate
		issuer string
		good   bool
	}{
		{"valid now", p.leaf, "", true},
		{"expired: the older tool takes the time of the certificate itself", signer(codeSigning, expired), "", false},
		{"not valid yet", signer(codeSigning, future), "", false},
		{"for code signing", signer(codeSigning), "", true},
		{"for no use in particular", signer(), "", true},
		{"for something else", signer(web), "", false},
		{"issuer is the subject, as the older tool writes", p.leaf, "CN=Signer,O=Acme", true},
		{"issuer is the issuer, as the newer tool demands", p.leaf, "CN=Intermediate,O=Acme", true},
		{"issuer in another order and spelling", p.leaf, "O = Acme, cn=Signer", true},
		{"issuer is the root", p.leaf, "CN=Root,O=Acme", false},
		{"issuer is a part of the subject", p.leaf, "CN=Signer", false},
		{"issuer is text, which is the whole name", signer(func(c *x509.Certificate) { c.Subject.Organization = nil }), "Signer", true},
		{"issuer is text, which is a part of the name", p.leaf, "Signer", false},
	} {
		d, _, _ := digestOf("SHA-256")
		v := ocm.SignatureValue{Algorithm: "RSASSA-PSS", MediaType: "application/x-pem-file", Value: p.signatureBlock("RSASSA-PSS") + certs(row.leaf, p.inter), Issuer: row.issuer}
		if err := p.verify(t, d, v, anchor); (err == nil) != row.good {
			t.Errorf("%s: expected good: %v, found %v", row.name, row.good, err)
		}
	}
}

// The names under which keys and signers are configured.
func TestTableOfConfigurationNames(t *testing.T) {
	t.Parallel()
	kit := builtin.Kit()
	for _, names := range [][]string{
		{"RSASigningConfiguration/v1alpha1", "RSASigningConfiguration", "RSASSA-PSS", "RSASSA-PKCS1-V1_5"},
		{"GPGSigningConfiguration/v1alpha1", "GPGSigningConfiguration", "GPG"},
		{"rsa-signingservice", "rsapss-signingservice"},
	} {
		for _, name := range names {
			if _, err := kit.Signers.For(name); err != nil || !kit.Signers.Same(name, names[0]) {
				t.Errorf("signer %s: %v", name, err)
			}
		}
	}
	for configured, found := range map[string]bool{"RSA": true, "RSA/v1": true, "RSA/v1alpha1": true, "rsa": false, "RSA/v2": false} {
		all := credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": configured, "algorithm": "RSASSA-PSS", "signature": "s"}, Secret: ocm.Secret{"k": "v"}})
		_, err := all.Resolve(t.Context(), ocm.Identity{"type": "RSA/v1alpha1", "algorithm": "RSASSA-PSS", "signature": "s"})
		if (err == nil) != found {
			t.Errorf("keys for %s: %v", configured, err)
		}
	}
}
