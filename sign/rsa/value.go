// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"

	"ocm"
)

// Media types of signatures.
const (
	MediaTypePSS   = "application/vnd.ocm.signature.rsa.pss"
	MediaTypePKCS1 = "application/vnd.ocm.signature.rsa"
	MediaTypePEM   = "application/x-pem-file"
)

// Limits of what is accepted in a signature.
const (
	// MaxSignatureSize is the greatest length of a signature value in bytes, with certificates.
	MaxSignatureSize = 256 << 10
	// MaxCertificates is the greatest number of certificates in a signature or credential property.
	MaxCertificates = 16
)

const (
	signatureBlock   = "SIGNATURE"
	certificateBlock = "CERTIFICATE"
	algorithmHeader  = "Signature Algorithm"
)

// value is a decoded signature value.
type value struct {
	algorithm string
	raw       []byte
	chain     []*x509.Certificate // signer first; empty in plain signatures
	issuer    string
}

func encodePlain(algorithm string, raw []byte) ocm.SignatureValue {
	mediaType := MediaTypePKCS1
	if algorithm == PSS {
		mediaType = MediaTypePSS
	}
	return ocm.SignatureValue{Algorithm: algorithm, MediaType: mediaType, Value: hex.EncodeToString(raw)}
}

// encodePEM leaves the issuer empty: the existing readers compare it with different
// names of the certificate, so that only an empty one passes all of them.
func encodePEM(algorithm string, raw []byte, certs []*x509.Certificate) ocm.SignatureValue {
	text := pem.EncodeToMemory(&pem.Block{
		Type:    signatureBlock,
		Headers: map[string]string{algorithmHeader: algorithm},
		Bytes:   raw,
	})
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})...)
	}
	return ocm.SignatureValue{Algorithm: algorithm, MediaType: MediaTypePEM, Value: string(text)}
}

// decodeValue reads a signature value. All places that name an algorithm must agree,
// or an attacker could choose which one counts.
func decodeValue(sv ocm.SignatureValue) (value, error) {
	v := value{algorithm: sv.Algorithm, issuer: sv.Issuer}
	if len(sv.Value) > MaxSignatureSize {
		return v, fmt.Errorf("value has %d bytes, at most %d are accepted: %w", len(sv.Value), MaxSignatureSize, ocm.ErrLimit)
	}
	var named, where string // the algorithm as the encoding names it
	var err error
	switch sv.MediaType {
	case MediaTypePSS, MediaTypePKCS1:
		named, where = PKCS1v15, "media type "+sv.MediaType
		if sv.MediaType == MediaTypePSS {
			named = PSS
		}
		if v.raw, err = hex.DecodeString(sv.Value); err != nil {
			return v, fmt.Errorf("value of media type %s is not hex: %w", sv.MediaType, ocm.ErrInvalid)
		}
	case MediaTypePEM:
		where = "PEM header " + algorithmHeader
		if named, err = v.decodePEM([]byte(sv.Value)); err != nil {
			return v, err
		}
	default:
		return v, fmt.Errorf("media type %q, expected %s, %s or %s: %w", sv.MediaType, MediaTypePSS, MediaTypePKCS1, MediaTypePEM, ocm.ErrInvalid)
	}
	if v.algorithm == "" {
		v.algorithm = named
	}
	if !slices.Contains(Algorithms, v.algorithm) {
		return v, fmt.Errorf("algorithm %q, expected %s or %s: %w", v.algorithm, PSS, PKCS1v15, ocm.ErrInvalid)
	}
	if named != "" && named != v.algorithm {
		return v, fmt.Errorf("algorithm is %s, but %s means %s: %w", v.algorithm, where, named, ocm.ErrInvalid)
	}
	return v, nil
}

// decodePEM reads signature and chain, and returns the algorithm of the header.
func (v *value) decodePEM(text []byte) (string, error) {
	var named string
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		switch b.Type {
		case signatureBlock:
			if v.raw != nil {
				return "", fmt.Errorf("PEM value has more than one %s block: %w", signatureBlock, ocm.ErrInvalid)
			}
			v.raw, named = b.Bytes, b.Headers[algorithmHeader]
		case certificateBlock:
			if len(v.chain) == MaxCertificates {
				return "", fmt.Errorf("PEM value has more than %d certificates: %w", MaxCertificates, ocm.ErrLimit)
			}
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return "", fmt.Errorf("certificate %d in PEM value: %v: %w", len(v.chain)+1, err, ocm.ErrInvalid)
			}
			v.chain = append(v.chain, c)
		default:
			return "", fmt.Errorf("PEM value has a block %q, expected %s and %s only: %w", b.Type, signatureBlock, certificateBlock, ocm.ErrInvalid)
		}
	}
	if len(v.raw) == 0 {
		return "", fmt.Errorf("PEM value has no %s block: %w", signatureBlock, ocm.ErrInvalid)
	}
	return named, nil
}
