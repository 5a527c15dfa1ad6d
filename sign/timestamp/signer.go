// SPDX-License-Identifier: Apache-2.0

package timestamp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"ocm"
)

// Keys of certificates in a token. Package x509 tries up to 100 signatures to find a chain, and an attacker can write
// certificates that need them all: with these bounds that takes less than a second, without them minutes.
const (
	minRSABits     = 2048 // of the signer
	maxRSABits     = 8192
	maxRSAExponent = 1<<16 + 1
)

var (
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPSS         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidEd25519     = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// signedBy checks the signature over the token, and that it was made with a certificate for time stamping. It
// returns that certificate: the same one in every check, however many others are in the token.
func (t *token) signedBy() (*x509.Certificate, error) {
	var kind asn1.ObjectIdentifier
	var sum []byte
	v := t.attribute[oidContentType.String()]
	if !v.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidTSTInfo) {
		return nil, fmt.Errorf("the signed attribute for the content type does not say TSTInfo: %w", ocm.ErrInvalid)
	}
	v = t.attribute[oidMessageDigest.String()]
	if !v.ReadASN1Bytes(&sum, der.OCTET_STRING) || !bytes.Equal(sum, digest(t.digestHash, t.info)) {
		return nil, fmt.Errorf("the content of the token does not have the digest that is signed: %w", ocm.ErrDigest)
	}
	signer, err := t.named()
	if err != nil {
		return nil, err
	}
	if err := t.identifies(signer); err != nil {
		return nil, err
	}
	alg, err := t.signatureAlgorithm(signer)
	if err != nil {
		return nil, err
	}
	if err := signer.CheckSignature(alg, t.attributes, t.signature); err != nil {
		return nil, fmt.Errorf("the signature of the token does not fit certificate %.200q: %w", signer.Subject, err)
	}
	return signer, onlyStamps(signer)
}

// named finds the certificate that the signed attributes name by its hash. Where both attributes are present, both must.
func (t *token) named() (*x509.Certificate, error) {
	v1, old := t.attribute[oidSigningCert.String()]
	v2, present := t.attribute[oidSigningCertV2.String()]
	if !old && !present {
		return nil, fmt.Errorf("the token does not say whose certificate signed it (ESSCertID): %w", ocm.ErrInvalid)
	}
	for _, c := range t.certs {
		ok, err := true, error(nil)
		if old {
			ok, err = isNamed(c, v1, false)
		}
		if present && ok && err == nil {
			ok, err = isNamed(c, v2, true)
		}
		if ok || err != nil {
			return c, err
		}
	}
	return nil, fmt.Errorf("the certificate of the signer is not among the %d in the token: %w", len(t.certs), ocm.ErrInvalid)
}

// isNamed reports whether the first entry of a SigningCertificate or SigningCertificateV2 (RFC 5035) is for the
// certificate. Further entries are about the chain, which the roots decide here.
func isNamed(c *x509.Certificate, attr cryptobyte.String, v2 bool) (bool, error) {
	const what = "the attribute that names the signer's certificate"
	var sc, ids, id, issuerSerial cryptobyte.String
	var sum []byte
	hash := crypto.SHA1 // of ESSCertID; ESSCertIDv2 says which
	if !attr.ReadASN1(&sc, der.SEQUENCE) || !sc.ReadASN1(&ids, der.SEQUENCE) || !ids.ReadASN1(&id, der.SEQUENCE) ||
		!sc.SkipOptionalASN1(der.SEQUENCE) || !sc.Empty() { // policies
		return false, malformed(what)
	}
	for !ids.Empty() {
		if !ids.SkipASN1(der.SEQUENCE) {
			return false, malformed(what)
		}
	}
	if v2 {
		hash = crypto.SHA256
		if id.PeekASN1Tag(der.SEQUENCE) {
			var err error
			if hash, err = readHash(&id, what); err != nil {
				return false, err
			}
		}
	}
	if !id.ReadASN1Bytes(&sum, der.OCTET_STRING) || !id.ReadOptionalASN1(&issuerSerial, nil, der.SEQUENCE) || !id.Empty() {
		return false, malformed(what)
	}
	if !bytes.Equal(sum, digest(hash, c.Raw)) {
		return false, nil
	}
	if issuerSerial.Empty() {
		return true, nil
	}
	var names, name cryptobyte.String
	if !issuerSerial.ReadASN1(&names, der.SEQUENCE) || !names.ReadASN1(&name, directoryName) || !names.Empty() {
		return false, malformed(what)
	}
	return isFrom(c, name, issuerSerial), nil
}

// isFrom reports whether the certificate has the issuer and then the serial number.
func isFrom(c *x509.Certificate, issuer, serial cryptobyte.String) bool {
	n := new(big.Int)
	return bytes.Equal(issuer, c.RawIssuer) && serial.ReadASN1Integer(n) && serial.Empty() && n.Cmp(c.SerialNumber) == 0
}

// identifies compares the signer's identifier with the certificate.
func (t *token) identifies(c *x509.Certificate) error {
	sid := t.sid
	var key, ias, issuer cryptobyte.String
	if sid.PeekASN1Tag(tag0prim) {
		if sid.ReadASN1(&key, tag0prim) && len(key) > 0 && bytes.Equal(key, c.SubjectKeyId) {
			return nil
		}
	} else if sid.ReadASN1(&ias, der.SEQUENCE) && ias.ReadASN1Element(&issuer, der.SEQUENCE) && isFrom(c, issuer, ias) {
		return nil
	}
	return fmt.Errorf("the signer's identifier is not that of certificate %.200q, which the token names as the signer's: %w", c.Subject, ocm.ErrInvalid)
}

// signatureAlgorithm finds what the signature must be, by the certificate's key and what the token says. The hash
// of the signature is the hash of the content (RFC 5754), except for Ed25519, which has its own.
func (t *token) signatureAlgorithm(c *x509.Certificate) (x509.SignatureAlgorithm, error) {
	known := map[crypto.Hash]struct {
		rsa, pss, ecdsa x509.SignatureAlgorithm
		rsaID, ecdsaID  asn1.ObjectIdentifier
	}{
		crypto.SHA256: {x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		crypto.SHA384: {x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}},
		crypto.SHA512: {x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}},
	}[t.digestHash]
	plain := isNull(t.parameters)
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSABits {
			return 0, fmt.Errorf("certificate %.200q has an RSA key of %d bits, accepted are %d to %d: %w", c.Subject, n, minRSABits, maxRSABits, ocm.ErrInvalid)
		}
		if plain && (t.algorithm.Equal(oidRSA) || t.algorithm.Equal(known.rsaID)) {
			return known.rsa, nil
		}
		if t.algorithm.Equal(oidPSS) && isPSS(t.parameters, t.digestHash) {
			return known.pss, nil
		}
	case *ecdsa.PublicKey:
		if plain && t.algorithm.Equal(known.ecdsaID) && key.Curve != elliptic.P224() {
			return known.ecdsa, nil
		}
	case ed25519.PublicKey:
		if plain && t.algorithm.Equal(oidEd25519) {
			return x509.PureEd25519, nil
		}
	}
	return 0, fmt.Errorf("the token is signed with algorithm %.100s over %s, which is not accepted for the %s key of certificate %.200q: %w",
		t.algorithm, t.digestHash, c.PublicKeyAlgorithm, c.Subject, ocm.ErrInvalid)
}

// isPSS reads RSASSA-PSS-params (RFC 4055): one hash everywhere, and a salt of its length.
func isPSS(s cryptobyte.String, hash crypto.Hash) bool {
	var p, h, mgf, salt cryptobyte.String
	var mgfID asn1.ObjectIdentifier
	var mgfHash cryptobyte.String
	var n int
	if !s.ReadASN1(&p, der.SEQUENCE) || !s.Empty() || !p.ReadASN1(&h, tag0) || !p.ReadASN1(&mgf, tag1) || !p.ReadASN1(&salt, tag2) || !p.Empty() {
		return false
	}
	outer, err := readHash(&h, "PSS")
	if err != nil || !readAlgorithm(&mgf, &mgfID, &mgfHash) || !mgfID.Equal(oidMGF1) || !mgf.Empty() {
		return false
	}
	inner, err := readHash(&mgfHash, "PSS")
	return err == nil && outer == hash && inner == hash && h.Empty() && mgfHash.Empty() && salt.ReadASN1Integer(&n) && salt.Empty() && n == hash.Size()
}

// onlyStamps checks that a certificate is for time stamping and nothing else (RFC 3161, 2.3): a key that signs
// code or issues certificates must not be able to tell the time too.
func onlyStamps(c *x509.Certificate) error {
	critical := false
	for _, e := range c.Extensions {
		critical = critical || e.Id.Equal(oidExtKeyUsage) && e.Critical
	}
	if !critical || len(c.ExtKeyUsage) != 1 || len(c.UnknownExtKeyUsage) > 0 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping {
		return fmt.Errorf("certificate %.200q is not for time stamping only, as a critical extension of it should say: %w", c.Subject, ocm.ErrInvalid)
	}
	if c.IsCA || c.KeyUsage&^(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0 {
		return fmt.Errorf("certificate %.200q may do more than sign, which is not for a time stamping authority: %w", c.Subject, ocm.ErrInvalid)
	}
	return nil
}

// leads builds a chain from the signer to a root. Every certificate of it must be valid at the token's time. The
// other certificates of the token may help on the way, but none of them is trusted.
func leads(signer *x509.Certificate, others, roots []*x509.Certificate, at time.Time) error {
	pool, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		if c == nil {
			return fmt.Errorf("one of the roots for time stamping authorities is nil: %w", ocm.ErrInvalid)
		}
		pool.AddCert(c)
	}
	if len(roots) == 0 { // a nil pool would stand for the roots of the operating system
		return fmt.Errorf("no root certificate for time stamping authorities is configured: %w", ocm.ErrNotFound)
	}
	for _, c := range others {
		intermediates.AddCert(c)
	}
	_, err := signer.Verify(x509.VerifyOptions{
		Roots:         pool,
		Intermediates: intermediates,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return fmt.Errorf("certificate %.200q does not lead to a root for time stamping authorities, judged at %s: %w", signer.Subject, at.Format(time.RFC3339), err)
	}
	return nil
}
