// SPDX-License-Identifier: Apache-2.0

// Package timestamp asks time stamping authorities for RFC 3161 timestamps, and judges them.
//
// A timestamp says that a digest existed at a time. It lets a verifier judge the certificates of a
// signature at the time of signing, instead of today. [Request] gets one for the digest that is signed,
// [Check] judges one that stands in a descriptor.
//
// # What a timestamp proves
//
// The imprint covers the digest, not the signature: the authority's word is that this content existed at
// that time at the latest. Who signed it, and when, it does not know. So a timestamp does not save a
// signature whose key was stolen: the thief can sign what was stamped before.
//
// # Form
//
// The value is one PEM block that holds the authority's whole answer (TimeStampResp) in DER; the time is
// written beside it for people, and must agree. What is in there does not belong to the signed part of
// a descriptor: whoever can write the descriptor can replace it, and that is why nothing of it counts
// unless a trusted authority signed it.
//
// A digest as imprint can be understood in two ways: as the hash value that the authority certifies, or as
// a document that is hashed once more. This package asks for the first: a digest is what RFC 3161 calls
// hashedMessage, the document behind it is the normalised descriptor, and any tool can compare the
// imprint with what is in the signature (openssl ts -verify -digest). It accepts both, with the hash
// algorithm of the digest: nobody can confuse them without breaking the hash.
//
// # Why the parser is its own
//
// Messages are read by a strict DER reader that does not recurse. The usual library turns BER into DER with a
// recursive function that counts its depth in a global variable, skips errors, accepts content without
// signed attributes, and looks the signer up by issuer and serial number, which anybody can repeat in
// another certificate.
package timestamp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"ocm"
	"ocm/sign/cert"
)

const (
	// MaxResponse is the greatest size in bytes of an authority's answer. Usual ones have 1 to 8 KiB.
	MaxResponse = 64 << 10
	// MaxCertificates is the greatest number of certificates in a token. Usual are 1 to 4.
	MaxCertificates = 8
	// MaxAccuracy is how inexact an authority may say that its time is.
	MaxAccuracy = time.Minute
	// MaxSkew is how much the clocks of an authority and of this computer may differ.
	MaxSkew = cert.MaxClockSkew

	maxText   = 2 * MaxResponse // the same in PEM
	blockType = "TIMESTAMP"     // what is written; when reading, any type is accepted
)

// Result is what a good timestamp says.
type Result struct {
	Time   time.Time         // when the digest existed, in UTC
	Signer *x509.Certificate // of the authority; nobody else's
}

// Check judges a timestamp over a digest. It is good only if all of this is so:
//
//   - It is one well-formed answer or token of RFC 3161 within the limits of this package.
//   - Its imprint is the digest, with the same hash algorithm (see the package's comment).
//   - It has one signer, whose certificate is in the token and is named by the attributes ESSCertID or
//     ESSCertIDv2 and by the signer's identifier. All further checks are about that certificate.
//   - The signature fits that certificate; SHA-1 and short keys do not count.
//   - The certificate is for time stamping and nothing else, and says so in a critical extension.
//   - At the time of the token, it leads to one of the roots. Each of them is trusted by itself, so it may also be an
//     intermediate certificate or the signer's. Without roots nothing is good; the roots of the operating system
//     never count. Revocation lists and the authority's policy are not looked at.
//   - The time that is written beside the token, if any, is that of the token.
//
// Check has no clock: that the time is not of the future is for the caller to say, as ocm/sign/cert does. Every error is an [ocm.CheckError] of [ocm.FoundTime], and wraps
// [ocm.ErrSignature] together with [ocm.ErrInvalid], [ocm.ErrLimit] or [ocm.ErrDigest] where that is the reason.
func Check(ts *ocm.Timestamp, d ocm.Digest, roots []*x509.Certificate) (Result, error) {
	r, err := check(ts, d, roots)
	if err != nil {
		return Result{}, &ocm.CheckError{Check: ocm.FoundTime, Err: fmt.Errorf("timestamp: %w: %w", ocm.ErrSignature, err)}
	}
	return r, nil
}

func check(ts *ocm.Timestamp, d ocm.Digest, roots []*x509.Certificate) (r Result, err error) {
	defer noPanic(&err)
	if ts == nil {
		return Result{}, fmt.Errorf("there is none: %w", ocm.ErrNotFound)
	}
	der, err := decode(ts.Value)
	if err != nil {
		return Result{}, err
	}
	tok, signer, err := open(der, d)
	if err != nil {
		return Result{}, err
	}
	if err := leads(signer, tok.certs, roots, tok.time); err != nil {
		return Result{}, err
	}
	if err := sameTime(ts.Time, tok.time); err != nil {
		return Result{}, err
	}
	return Result{Time: tok.time, Signer: signer}, nil
}

// open reads an answer or token and checks everything that needs no trust.
func open(der []byte, d ocm.Digest) (*token, *x509.Certificate, error) {
	tok, err := parse(der)
	if err != nil {
		return nil, nil, err
	}
	if err := tok.stamps(d); err != nil {
		return nil, nil, err
	}
	signer, err := tok.signedBy()
	return tok, signer, err
}

// stamps compares the imprint with the digest.
func (t *token) stamps(d ocm.Digest) error {
	hash, sum, err := hashed(d)
	if err != nil {
		return err
	}
	if t.hash == hash && (bytes.Equal(t.imprint, sum) || bytes.Equal(t.imprint, digest(hash, sum))) {
		return nil
	}
	return fmt.Errorf("it is for %s %x, expected %s %s: it belongs to something else: %w", t.hash, t.imprint, d.HashAlgorithm, d.Value, ocm.ErrDigest)
}

// hashed decodes the digest that is stamped.
func hashed(d ocm.Digest) (crypto.Hash, []byte, error) {
	var hash crypto.Hash
	switch d.HashAlgorithm {
	case ocm.SHA256:
		hash = crypto.SHA256
	case "SHA-384":
		hash = crypto.SHA384
	case ocm.SHA512:
		hash = crypto.SHA512
	default:
		return 0, nil, fmt.Errorf("digest: hash algorithm %.40q, expected SHA-256, SHA-384 or SHA-512: %w", d.HashAlgorithm, ocm.ErrInvalid)
	}
	sum, err := hex.DecodeString(d.Value)
	if err != nil || len(sum) != hash.Size() {
		return 0, nil, fmt.Errorf("digest: value has %d characters, expected %d hex digits for %s: %w", len(d.Value), 2*hash.Size(), d.HashAlgorithm, ocm.ErrInvalid)
	}
	return hash, sum, nil
}

func digest(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// decode takes the one PEM block out of a value. Two of them, or text around, would leave it to
// the reader which one counts.
func decode(value string) ([]byte, error) {
	if len(value) > maxText {
		return nil, fmt.Errorf("value has %d bytes, at most %d are accepted: %w", len(value), maxText, ocm.ErrLimit)
	}
	text := strings.TrimSpace(value)
	if !strings.HasPrefix(text, "-----BEGIN ") || strings.Count(text, "-----BEGIN ") != 1 {
		return nil, fmt.Errorf("value is not one PEM block, which is expected to hold the answer of a time stamping authority: %w", ocm.ErrInvalid)
	}
	b, rest := pem.Decode([]byte(text))
	if b == nil || len(rest) > 0 {
		return nil, fmt.Errorf("value is not one well-formed PEM block: %w", ocm.ErrInvalid)
	}
	if len(b.Bytes) > MaxResponse {
		return nil, fmt.Errorf("value has %d bytes in PEM, at most %d are accepted: %w", len(b.Bytes), MaxResponse, ocm.ErrLimit)
	}
	return b.Bytes, nil
}

// sameTime compares the text that people read with what the authority signed.
func sameTime(text string, signed time.Time) error {
	if text == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("time %.60q, expected a time such as 2006-01-02T15:04:05Z (RFC 3339): %w", text, ocm.ErrInvalid)
	}
	if t.Sub(signed).Abs() > time.Second {
		return fmt.Errorf("time says %s, but the authority signed %s: %w", text, signed.Format(time.RFC3339Nano), ocm.ErrInvalid)
	}
	return nil
}

// noPanic turns a panic into an error: X.509 is a large format, and its parser reads what an attacker wrote.
func noPanic(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("it makes the parser panic: %v: %w", r, ocm.ErrInvalid)
	}
}
