// SPDX-License-Identifier: Apache-2.0

package timestamp

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // names certificates in ESSCertID, nothing else
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"ocm"
)

// token is a TimeStampToken: a CMS SignedData (RFC 5652) with one signer around a TSTInfo (RFC 3161, 2.4.2).
type token struct {
	info    []byte        // the TSTInfo as it was signed
	digests []crypto.Hash // that the signers are said to use
	certs   []*x509.Certificate
	signerInfo

	hash    crypto.Hash // of the imprint
	imprint []byte
	time    time.Time
	nonce   *big.Int // nil: none
}

// signerInfo is the only signer's part.
type signerInfo struct {
	sid        cryptobyte.String            // the element
	digestHash crypto.Hash                  // of the content
	attributes []byte                       // as they were signed: with the tag of a SET
	attribute  map[string]cryptobyte.String // by type: the only value
	algorithm  asn1.ObjectIdentifier
	parameters cryptobyte.String // the element; empty: none
	signature  []byte
}

const (
	maxAttributes = 32
	maxNonce      = 64 // bytes

	generalizedTimeForm = "20060102150405.999999999Z"
)

var (
	oidSignedData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCert     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA256          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	tag0, tag1         = der.Tag(0).ContextSpecific().Constructed(), der.Tag(1).ContextSpecific().Constructed()
	tag0prim, tag1prim = der.Tag(0).ContextSpecific(), der.Tag(1).ContextSpecific()
	directoryName      = der.Tag(4).ContextSpecific().Constructed()
	tag2               = der.Tag(2).ContextSpecific().Constructed()
)

func malformed(what string) error {
	return fmt.Errorf("%s is not what RFC 3161 says, or not in DER: %w", what, ocm.ErrInvalid)
}

// parse reads a TimeStampResp or a bare token.
func parse(data []byte) (*token, error) {
	data, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	t := &token{}
	signers, err := t.parseSignedData(data)
	if err != nil {
		return nil, err
	}
	if err := t.parseSigner(signers); err != nil {
		return nil, err
	}
	return t, t.parseInfo()
}

// unwrap takes the token out of an answer. The status around it is not signed: it can only spoil a token.
func unwrap(data []byte) ([]byte, error) {
	in := cryptobyte.String(data)
	var outer, status, tok cryptobyte.String
	if !in.ReadASN1(&outer, der.SEQUENCE) || !in.Empty() {
		return nil, malformed("the answer")
	}
	if outer.PeekASN1Tag(der.OBJECT_IDENTIFIER) {
		return data, nil
	}
	if !outer.ReadASN1(&status, der.SEQUENCE) {
		return nil, malformed("the answer")
	}
	if err := granted(status); err != nil {
		return nil, err
	}
	if !outer.ReadASN1Element(&tok, der.SEQUENCE) || !outer.Empty() {
		return nil, malformed("the answer")
	}
	return tok, nil
}

// granted reads a PKIStatusInfo. 0 is granted, 1 is granted with modifications: what was asked for is compared anyway.
func granted(s cryptobyte.String) error {
	var status int
	var texts, text, rest cryptobyte.String
	if !s.ReadASN1Integer(&status) || !s.ReadOptionalASN1(&texts, nil, der.SEQUENCE) ||
		!texts.Empty() && !texts.ReadASN1(&text, der.UTF8String) ||
		!s.ReadOptionalASN1(&rest, nil, der.BIT_STRING) || !s.Empty() {
		return malformed("the status of the answer")
	}
	if status != 0 && status != 1 {
		return fmt.Errorf("the authority did not grant it: status %d, %.200q, failure bits %.16x: %w", status, string(text), []byte(rest), ocm.ErrInvalid)
	}
	return nil
}

// parseSignedData reads ContentInfo and SignedData, and returns the set of signers.
func (t *token) parseSignedData(data []byte) (signers cryptobyte.String, err error) {
	in := cryptobyte.String(data)
	var info, wrapped, sd, algorithms, encap, content, certs cryptobyte.String
	var kind, inner asn1.ObjectIdentifier
	var version int
	if !in.ReadASN1(&info, der.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&kind) ||
		!info.ReadASN1(&wrapped, tag0) || !info.Empty() {
		return nil, malformed("the token")
	}
	if !kind.Equal(oidSignedData) {
		return nil, fmt.Errorf("the token has content type %.100s, expected SignedData: %w", kind, ocm.ErrInvalid)
	}
	if !wrapped.ReadASN1(&sd, der.SEQUENCE) || !wrapped.Empty() || !sd.ReadASN1Integer(&version) ||
		!sd.ReadASN1(&algorithms, der.SET) || !sd.ReadASN1(&encap, der.SEQUENCE) {
		return nil, malformed("the token's SignedData")
	}
	if version < 1 || version > 5 {
		return nil, fmt.Errorf("the token's SignedData has version %d, expected 1 to 5: %w", version, ocm.ErrInvalid)
	}
	if !encap.ReadASN1ObjectIdentifier(&inner) || !encap.ReadASN1(&content, tag0) || !encap.Empty() ||
		!content.ReadASN1Bytes(&t.info, der.OCTET_STRING) || !content.Empty() {
		return nil, malformed("the token's content")
	}
	if !inner.Equal(oidTSTInfo) {
		return nil, fmt.Errorf("the token's content has type %.100s, expected TSTInfo: %w", inner, ocm.ErrInvalid)
	}
	if !sd.ReadOptionalASN1(&certs, nil, tag0) || !sd.SkipOptionalASN1(tag1) || !sd.ReadASN1(&signers, der.SET) || !sd.Empty() {
		return nil, malformed("the token's SignedData")
	}
	for !algorithms.Empty() {
		h, err := readHash(&algorithms, "one of the token's digest algorithms")
		if err != nil {
			return nil, err
		}
		t.digests = append(t.digests, h)
	}
	return signers, t.parseCertificates(certs)
}

func (t *token) parseCertificates(set cryptobyte.String) error {
	for !set.Empty() {
		var raw cryptobyte.String
		if !set.ReadASN1Element(&raw, der.SEQUENCE) {
			return malformed("the token's set of certificates")
		}
		if len(t.certs) == MaxCertificates {
			return fmt.Errorf("the token has more than %d certificates: %w", MaxCertificates, ocm.ErrLimit)
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return fmt.Errorf("certificate %d of the token: %v: %w", len(t.certs)+1, err, ocm.ErrInvalid)
		}
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && (key.N.BitLen() > maxRSABits || key.E > maxRSAExponent) {
			return fmt.Errorf("certificate %d of the token has an RSA key of %d bits with exponent %d, accepted are %d and %d: %w",
				len(t.certs)+1, key.N.BitLen(), key.E, maxRSABits, maxRSAExponent, ocm.ErrLimit)
		}
		t.certs = append(t.certs, c)
	}
	return nil
}

// parseSigner reads the set of signers, which must have one member.
func (t *token) parseSigner(set cryptobyte.String) error {
	var s, attributes cryptobyte.String
	var version int
	if !set.ReadASN1(&s, der.SEQUENCE) {
		return malformed("the token's signer")
	}
	if !set.Empty() {
		return fmt.Errorf("the token has more than one signer, expected one: %w", ocm.ErrInvalid)
	}
	if !s.ReadASN1Integer(&version) || !s.ReadAnyASN1Element(&t.sid, nil) {
		return malformed("the token's signer")
	}
	if version != 1 && version != 3 {
		return fmt.Errorf("the token's signer has version %d, expected 1 or 3: %w", version, ocm.ErrInvalid)
	}
	var err error
	if t.digestHash, err = readHash(&s, "the signer's digest algorithm"); err != nil {
		return err
	}
	if !slices.Contains(t.digests, t.digestHash) {
		return fmt.Errorf("the signer's digest algorithm %s is not among those of the token, %v: %w", t.digestHash, t.digests, ocm.ErrInvalid)
	}
	if !s.ReadASN1Element(&attributes, tag0) || !readAlgorithm(&s, &t.algorithm, &t.parameters) ||
		!s.ReadASN1Bytes(&t.signature, der.OCTET_STRING) || !s.SkipOptionalASN1(tag1) || !s.Empty() {
		return malformed("the token's signer")
	}
	// They are signed under another tag than they are sent with (RFC 5652, 5.4).
	t.attributes = slices.Clone(attributes)
	t.attributes[0] = byte(der.SET)
	attributes.ReadASN1(&attributes, tag0)
	return t.parseAttributes(attributes)
}

// parseAttributes reads the signed attributes: each type once, with one value. Repeated ones would leave it to the
// reader which of them counts.
func (t *token) parseAttributes(set cryptobyte.String) error {
	t.attribute = map[string]cryptobyte.String{}
	for !set.Empty() {
		var attr, values, value cryptobyte.String
		var kind asn1.ObjectIdentifier
		if !set.ReadASN1(&attr, der.SEQUENCE) || !attr.ReadASN1ObjectIdentifier(&kind) ||
			!attr.ReadASN1(&values, der.SET) || !attr.Empty() || !values.ReadAnyASN1Element(&value, nil) {
			return malformed("a signed attribute")
		}
		if _, twice := t.attribute[kind.String()]; twice || !values.Empty() {
			return fmt.Errorf("the signed attribute %.100s has several values, expected one: %w", kind, ocm.ErrInvalid)
		}
		if len(t.attribute) == maxAttributes {
			return fmt.Errorf("the token has more than %d signed attributes: %w", maxAttributes, ocm.ErrLimit)
		}
		t.attribute[kind.String()] = value
	}
	return nil
}

// parseInfo reads the TSTInfo. The name of the authority in it is a hint, and its policy is not judged.
func (t *token) parseInfo() error {
	in := cryptobyte.String(t.info)
	var s, imprint, accuracy, extensions cryptobyte.String
	var policy asn1.ObjectIdentifier
	var version int
	serial := new(big.Int)
	if !in.ReadASN1(&s, der.SEQUENCE) || !in.Empty() || !s.ReadASN1Integer(&version) || !s.ReadASN1ObjectIdentifier(&policy) ||
		!s.ReadASN1(&imprint, der.SEQUENCE) {
		return malformed("TSTInfo")
	}
	if version != 1 {
		return fmt.Errorf("TSTInfo has version %d, expected 1: %w", version, ocm.ErrInvalid)
	}
	var err error
	if t.hash, err = readHash(&imprint, "the imprint's hash algorithm"); err != nil {
		return err
	}
	if !imprint.ReadASN1Bytes(&t.imprint, der.OCTET_STRING) || !imprint.Empty() || len(t.imprint) != t.hash.Size() || !s.ReadASN1Integer(serial) || !readTime(&s, &t.time) {
		return malformed("TSTInfo")
	}
	if t.time.Year() < 1990 {
		return fmt.Errorf("the token is of %s, before there were any: %w", t.time.Format(time.RFC3339), ocm.ErrInvalid)
	}
	if !s.ReadOptionalASN1(&accuracy, nil, der.SEQUENCE) || !s.SkipOptionalASN1(der.BOOLEAN) {
		return malformed("TSTInfo")
	}
	if err := exact(accuracy); err != nil {
		return err
	}
	if s.PeekASN1Tag(der.INTEGER) {
		t.nonce = new(big.Int)
		if !s.ReadASN1Integer(t.nonce) || t.nonce.BitLen() > 8*maxNonce {
			return malformed("TSTInfo's nonce")
		}
	}
	if !s.SkipOptionalASN1(tag0) || !s.ReadOptionalASN1(&extensions, nil, tag1) || !s.Empty() {
		return malformed("TSTInfo")
	}
	return noneCritical(extensions)
}

// exact reads an Accuracy: how far the time may be from the truth.
func exact(s cryptobyte.String) error {
	var seconds, millis, micros int64
	if s.PeekASN1Tag(der.INTEGER) && !s.ReadASN1Integer(&seconds) ||
		s.PeekASN1Tag(tag0prim) && !s.ReadASN1Int64WithTag(&millis, tag0prim) ||
		s.PeekASN1Tag(tag1prim) && !s.ReadASN1Int64WithTag(&micros, tag1prim) ||
		!s.Empty() || seconds < 0 || millis < 0 || millis > 999 || micros < 0 || micros > 999 {
		return malformed("the accuracy of the time")
	}
	if seconds > int64(MaxAccuracy/time.Second) ||
		time.Duration(seconds)*time.Second+time.Duration(millis)*time.Millisecond+time.Duration(micros)*time.Microsecond > MaxAccuracy {
		return fmt.Errorf("the authority's time is exact to %d s only, expected %s or better: %w", seconds, MaxAccuracy, ocm.ErrLimit)
	}
	return nil
}

// noneCritical refuses extensions that must be understood: none is known here.
func noneCritical(extensions cryptobyte.String) error {
	for !extensions.Empty() {
		var ext, value cryptobyte.String
		var kind asn1.ObjectIdentifier
		var critical bool
		if !extensions.ReadASN1(&ext, der.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&kind) ||
			ext.PeekASN1Tag(der.BOOLEAN) && !ext.ReadASN1Boolean(&critical) ||
			!ext.ReadASN1(&value, der.OCTET_STRING) || !ext.Empty() {
			return malformed("an extension of TSTInfo")
		}
		if critical {
			return fmt.Errorf("TSTInfo has the critical extension %.100s, which is not known here: %w", kind, ocm.ErrInvalid)
		}
	}
	return nil
}

// readTime reads a GeneralizedTime with optional fractions of a second, which the library does not know.
func readTime(s *cryptobyte.String, out *time.Time) bool {
	var text cryptobyte.String
	if !s.ReadASN1(&text, der.GeneralizedTime) {
		return false
	}
	t, err := time.Parse("20060102150405Z", string(text))
	*out = t
	return err == nil && t.Format(generalizedTimeForm) == string(text)
}

// readAlgorithm reads an AlgorithmIdentifier.
func readAlgorithm(s *cryptobyte.String, oid *asn1.ObjectIdentifier, parameters *cryptobyte.String) bool {
	var id cryptobyte.String
	if !s.ReadASN1(&id, der.SEQUENCE) || !id.ReadASN1ObjectIdentifier(oid) {
		return false
	}
	*parameters = nil
	return id.Empty() || id.ReadAnyASN1Element(parameters, nil) && id.Empty()
}

// readHash reads the AlgorithmIdentifier of a hash that is good enough for signatures.
func readHash(s *cryptobyte.String, what string) (crypto.Hash, error) {
	var oid asn1.ObjectIdentifier
	var parameters cryptobyte.String
	if !readAlgorithm(s, &oid, &parameters) || !isNull(parameters) {
		return 0, malformed(what)
	}
	switch {
	case oid.Equal(oidSHA256):
		return crypto.SHA256, nil
	case oid.Equal(oidSHA384):
		return crypto.SHA384, nil
	case oid.Equal(oidSHA512):
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("%s is %.100s, expected SHA-256, SHA-384 or SHA-512: %w", what, oid, ocm.ErrInvalid)
}

// isNull reports whether parameters are absent or NULL: both are in use.
func isNull(parameters cryptobyte.String) bool {
	return len(parameters) == 0 || string(parameters) == "\x05\x00"
}
