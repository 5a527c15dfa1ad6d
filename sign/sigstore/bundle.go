// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"ocm"
)

const (
	// MaxBundleSize is the greatest size of a bundle's JSON in bytes.
	MaxBundleSize = 1 << 20
	// MaxEntries is how many log entries, and how many timestamps, a bundle may have. Each costs signature
	// checks, and there are not that many logs.
	MaxEntries = 16
)

// signed is a bundle whose shape is right. Nothing is said about whether it is true.
type signed struct {
	*bundle.Bundle
	certificate *x509.Certificate // nil: signed with a key
}

// Version hides the bundle's version from the library: for the versions it knows, it would also try hashes that do
// not belong to the key, and say so on standard error.
func (signed) Version() (string, error) { return "", nil }

// encodeValue writes a bundle as the value of a signature.
func encodeValue(pb *protobundle.Bundle) (string, error) {
	raw, err := protojson.Marshal(pb)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// decodeSignature reads the bundle out of a signature, of which algorithm and media type must be right.
func decodeSignature(v ocm.SignatureValue) (*signed, error) {
	if v.MediaType == oldMediaType || v.Algorithm == "sigstore-v2" {
		return nil, fmt.Errorf("algorithm %q with media type %q is the Sigstore signature of an older tool: it holds an entry of a log, but neither proof nor time, "+
			"and cannot be judged offline; sign again with the algorithm %s: %w", v.Algorithm, v.MediaType, Algorithm, ocm.ErrInvalid)
	}
	if v.MediaType != MediaType || v.Algorithm != Algorithm && v.Algorithm != LegacyAlgorithm {
		return nil, fmt.Errorf("algorithm %q with media type %q, expected %s with %s: %w", v.Algorithm, v.MediaType, Algorithm, MediaType, ocm.ErrInvalid)
	}
	return decodeValue(v.Value)
}

// decodeValue parses a bundle and checks its shape, all of which the signer could have got wrong on purpose.
func decodeValue(text string) (*signed, error) {
	if limit := base64.StdEncoding.EncodedLen(MaxBundleSize); len(text) > limit {
		return nil, fmt.Errorf("value has %d characters, at most %d are accepted: %w", len(text), limit, ocm.ErrLimit)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("value is not base64: %v: %w", err, ocm.ErrInvalid)
	}
	pb := &protobundle.Bundle{}
	if err := protojson.Unmarshal(raw, pb); err != nil {
		return nil, fmt.Errorf("value is no Sigstore bundle: %v: %w", err, ocm.ErrInvalid)
	}
	if err := checkShape(pb); err != nil {
		return nil, err
	}
	b, err := bundle.NewBundle(pb)
	if err != nil {
		return nil, fmt.Errorf("Sigstore bundle: %v: %w", err, ocm.ErrInvalid)
	}
	s := &signed{Bundle: b}
	if c := pb.GetVerificationMaterial().GetCertificate(); c != nil {
		if s.certificate, err = x509.ParseCertificate(c.GetRawBytes()); err != nil {
			return nil, fmt.Errorf("certificate in the bundle: %v: %w", err, ocm.ErrInvalid)
		}
	}
	return s, nil
}

// checkShape accepts what is written today: version 0.3 and one plain signature. That there is a
// signature, and a certificate or the hint of a key, is for the library to say.
func checkShape(pb *protobundle.Bundle) error {
	if t := pb.GetMediaType(); t != MediaType && t != "application/vnd.dev.sigstore.bundle+json;version=0.3" {
		return fmt.Errorf("bundle has the media type %q, expected %s: %w", t, MediaType, ocm.ErrInvalid)
	}
	if pb.GetDsseEnvelope() != nil {
		return fmt.Errorf("bundle holds an attestation (DSSE), expected a plain signature: an attestation says something about an artifact, but not that somebody signed it: %w", ocm.ErrInvalid)
	}
	material := pb.GetVerificationMaterial()
	times := material.GetTimestampVerificationData().GetRfc3161Timestamps()
	if n := max(len(material.GetTlogEntries()), len(times)); n > MaxEntries {
		return fmt.Errorf("bundle has %d log entries and %d timestamps, at most %d of each are accepted: %w", len(material.GetTlogEntries()), len(times), MaxEntries, ocm.ErrLimit)
	}
	for i, e := range material.GetTlogEntries() {
		if e.GetInclusionProof() == nil {
			return fmt.Errorf("log entry %d has no inclusion proof, which bundles of version 0.3 must have: %w", i, ocm.ErrInvalid)
		}
	}
	for i, t := range times {
		if len(t.GetSignedTimestamp()) == 0 {
			return fmt.Errorf("timestamp %d is empty: %w", i, ocm.ErrInvalid)
		}
	}
	return nil
}

// checkEntries demands that each log entry is about this very signature, by this certificate or key, of these bytes,
// also if it is of a log that nobody here knows: an entry about something else has no business in the bundle.
func (s *signed) checkEntries(key crypto.PublicKey) error {
	entries, err := s.TlogEntries()
	if err != nil {
		return fmt.Errorf("log entries: %v: %w", err, ocm.ErrInvalid)
	}
	m := s.GetMessageSignature()
	for _, e := range entries {
		if err := tlog.ValidateEntry(e); err != nil {
			return fmt.Errorf("log entry %d: %v: %w", e.LogIndex(), err, ocm.ErrInvalid)
		}
		digest, _, ok := e.GetHashedRekordDigest()
		if !ok || !bytes.Equal(digest, m.GetMessageDigest().GetDigest()) {
			return fmt.Errorf("log entry %d is about other content than this signature: %w", e.LogIndex(), ocm.ErrInvalid)
		}
		if !bytes.Equal(e.Signature(), m.GetSignature()) {
			return fmt.Errorf("log entry %d is about another signature: %w", e.LogIndex(), ocm.ErrInvalid)
		}
		if !s.madeWith(e.PublicKey(), key) {
			return fmt.Errorf("log entry %d is about a signature by another key or certificate: %w", e.LogIndex(), ocm.ErrInvalid)
		}
	}
	return nil
}

// madeWith compares what a log entry names with the bundle's certificate or, if it has none, with the key.
func (s *signed) madeWith(named any, key crypto.PublicKey) bool {
	if s.certificate != nil {
		c, ok := named.(*x509.Certificate)
		return ok && c.Equal(s.certificate)
	}
	k, ok := named.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(key)
}
