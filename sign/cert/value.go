// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"ocm"
)

// MediaTypePEM is the media type of signatures that bring their certificates.
const MediaTypePEM = "application/x-pem-file"

// MaxSignatureSize is the greatest length of a signature value in bytes, with certificates.
const MaxSignatureSize = 256 << 10

const (
	signatureBlock  = "SIGNATURE"
	algorithmHeader = "Signature Algorithm"
)

// Value is a decoded signature value.
type Value struct {
	Algorithm Algorithm
	Raw       []byte
	Chain     []*x509.Certificate // signer first; empty in plain signatures
	Issuer    string              // as the signature claims; may be empty
}

// EncodePlain writes a signature as hex text.
func EncodePlain(a Algorithm, raw []byte) ocm.SignatureValue {
	return ocm.SignatureValue{Algorithm: a.Name, MediaType: a.MediaType, Value: hex.EncodeToString(raw)}
}

// EncodePEM writes a signature with certificates, the signer's first. It leaves the issuer empty: the
// existing readers compare it with different names of the certificate, so that only an empty one passes all
// of them.
func EncodePEM(algorithm string, raw []byte, certs []*x509.Certificate) ocm.SignatureValue {
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

// Decode reads a signature value. All places that name an algorithm must agree, or an attacker could
// choose which one counts. An algorithm that is missing follows from the encoding if that names one.
// [ocm.ErrInvalid] and [ocm.ErrLimit].
func (f *Family) Decode(sv ocm.SignatureValue) (Value, error) {
	v := Value{Issuer: sv.Issuer}
	if len(sv.Value) > MaxSignatureSize {
		return v, fmt.Errorf("value has %d bytes, at most %d are accepted: %w", len(sv.Value), MaxSignatureSize, ocm.ErrLimit)
	}
	var named []string // algorithms that the encoding may mean; none: it does not say
	var where string
	var err error
	if sv.MediaType == MediaTypePEM {
		where = "PEM header " + algorithmHeader
		var header string
		if header, v.Raw, v.Chain, err = DecodePEM(sv.Value); err != nil {
			return v, err
		}
		if header != "" {
			named = []string{header}
		}
	} else {
		where = "media type " + sv.MediaType
		if named = f.namesOf(sv.MediaType); len(named) == 0 {
			return v, fmt.Errorf("media type %q, expected %s: %w", sv.MediaType, strings.Join(f.mediaTypes(), " or "), ocm.ErrInvalid)
		}
		if v.Raw, err = hex.DecodeString(sv.Value); err != nil {
			return v, fmt.Errorf("value of media type %s is not hex: %w", sv.MediaType, ocm.ErrInvalid)
		}
	}
	name := sv.Algorithm
	if name == "" && len(named) == 1 {
		name = named[0]
	}
	var ok bool
	if v.Algorithm, ok = f.algorithm(name); !ok {
		return v, fmt.Errorf("algorithm %q, expected %s: %w", name, strings.Join(f.Names(), " or "), ocm.ErrInvalid)
	}
	if len(named) > 0 && !slices.Contains(named, name) {
		return v, fmt.Errorf("algorithm is %s, but %s means %s: %w", name, where, strings.Join(named, " or "), ocm.ErrInvalid)
	}
	return v, nil
}

// DecodePEM reads signature and chain, and the algorithm that the header names, which may be
// empty. Only what [EncodePEM] writes is accepted, in any order: other readers must not see another
// signature in the same text. [ocm.ErrInvalid] and [ocm.ErrLimit].
func DecodePEM(value string) (algorithm string, raw []byte, chain []*x509.Certificate, err error) {
	text := []byte(value)
	for {
		b, rest := pem.Decode(text)
		if b == nil {
			break
		}
		if err := onlyBlock(text[:len(text)-len(rest)]); err != nil {
			return "", nil, nil, err
		}
		text = rest
		switch b.Type {
		case signatureBlock:
			if raw != nil {
				return "", nil, nil, fmt.Errorf("PEM value has more than one %s block: %w", signatureBlock, ocm.ErrInvalid)
			}
			raw, algorithm = b.Bytes, b.Headers[algorithmHeader]
		case certificateBlock:
			if len(chain) == MaxCertificates {
				return "", nil, nil, fmt.Errorf("PEM value has more than %d certificates: %w", MaxCertificates, ocm.ErrLimit)
			}
			c, err := parseCertificate(b.Bytes)
			if err != nil {
				return "", nil, nil, fmt.Errorf("certificate %d in PEM value: %w", len(chain)+1, err)
			}
			chain = append(chain, c)
		default:
			return "", nil, nil, fmt.Errorf("PEM value has a block %q, expected %s and %s only: %w", b.Type, signatureBlock, certificateBlock, ocm.ErrInvalid)
		}
	}
	if len(bytes.TrimSpace(text)) > 0 {
		return "", nil, nil, fmt.Errorf("PEM value ends in text that is no block: %w", ocm.ErrInvalid)
	}
	if len(raw) == 0 {
		return "", nil, nil, fmt.Errorf("PEM value has no %s block: %w", signatureBlock, ocm.ErrInvalid)
	}
	return algorithm, raw, chain, nil
}

// onlyBlock refuses what the decoder has skipped before a block: another one might read it.
func onlyBlock(text []byte) error {
	begin := []byte("-----BEGIN ")
	if !bytes.HasPrefix(bytes.TrimSpace(text), begin) || bytes.Count(text, begin) != 1 {
		return fmt.Errorf("PEM value has text that is no block: %w", ocm.ErrInvalid)
	}
	return nil
}
