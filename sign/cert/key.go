// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"ocm"
)

// Kinds of keys. There are no others: a key of another curve is refused.
const (
	RSA     = "RSA"
	P256    = "ECDSA-P256"
	P384    = "ECDSA-P384"
	Ed25519 = "Ed25519"
)

// Limits of keys.
const (
	// MinRSABits is the smallest RSA modulus accepted for signing and verifying.
	MinRSABits = 2048
	// MaxRSABits is the largest one: the time that one verification takes is bounded.
	MaxRSABits = 16384
	// MaxFileSize is the greatest size in bytes of PEM text in a property or its file.
	MaxFileSize = 1 << 20
	// MaxCertificates is the greatest number of certificates in a signature or credential property.
	MaxCertificates = 16
	// maxKeySize bounds the DER form of a key, in bytes: the longest is an RSA private key,
	// which is about five times its modulus.
	maxKeySize = MaxRSABits
)

const certificateBlock = "CERTIFICATE"

// Kind tells the kind of the first key or certificate in a PEM text: [RSA], [P256], [P384] or
// [Ed25519]. Blocks of other types before it, such as curve parameters, are skipped. It does not say
// that the key is fit for use: an RSA key may be too short.
//
// [ocm.ErrInvalid] if there is none, if it is encrypted, cannot be read, or is of another kind.
func Kind(pemText []byte) (string, error) {
	if len(pemText) > MaxFileSize {
		return "", fmt.Errorf("PEM text has %d bytes, at most %d are accepted: %w", len(pemText), MaxFileSize, ocm.ErrLimit)
	}
	seen := blocks{}
	for {
		var b *pem.Block
		if b, pemText = pem.Decode(pemText); b == nil {
			return "", fmt.Errorf("no key and no certificate in it (PEM blocks: %s): %w", seen, ocm.ErrInvalid)
		}
		key, err := blockKey(b)
		if err != nil {
			return "", err
		}
		if key != nil {
			return kindOf(key)
		}
		seen = seen.add(b.Type, nil)
	}
}

// blockKey is the public key of a block, or the public half of a private key; nil if
// the block is neither key nor certificate.
func blockKey(b *pem.Block) (crypto.PublicKey, error) {
	if b.Type == certificateBlock {
		c, err := parseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block %q: %w", b.Type, err)
		}
		return c.PublicKey, nil
	}
	key, err := blockPublic(b)
	if key != nil || err != nil {
		return key, err
	}
	private, err := blockPrivate(b)
	if private == nil || err != nil {
		return nil, err
	}
	return private.Public(), nil
}

// kindOf names the kind of a public key.
func kindOf(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return RSA, nil
	case ed25519.PublicKey:
		return Ed25519, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return P256, nil
		case elliptic.P384():
			return P384, nil
		}
		return "", fmt.Errorf("key on the curve %s, expected P-256 or P-384: %w", k.Curve.Params().Name, ocm.ErrInvalid)
	}
	return "", fmt.Errorf("key of type %T, expected RSA, ECDSA or Ed25519: %w", key, ocm.ErrInvalid)
}

// checkKey demands a key of the kind, and that it is neither weak nor slow.
func checkKey(key crypto.PublicKey, kind, what string) error {
	found, err := kindOf(key)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if found != kind {
		return fmt.Errorf("%s is of kind %s, expected %s: %w", what, found, kind, ocm.ErrInvalid)
	}
	if k, ok := key.(*rsa.PublicKey); ok {
		if n := k.N.BitLen(); n < MinRSABits || n > MaxRSABits {
			return fmt.Errorf("%s has %d bits, accepted are %d to %d: %w", what, n, MinRSABits, MaxRSABits, ocm.ErrInvalid)
		}
	}
	return nil
}

// blockPublic reads a public key; nil if the block is of another type.
func blockPublic(b *pem.Block) (key crypto.PublicKey, err error) {
	switch b.Type {
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(b.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(b.Bytes)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("PEM block %q cannot be read: %v: %w", b.Type, err, ocm.ErrInvalid)
	}
	return key, nil
}

// blockPrivate reads a private key; nil if the block is of another type. Errors name the kind of
// block, never its content.
func blockPrivate(b *pem.Block) (crypto.Signer, error) {
	var parse func(der []byte) (any, error)
	switch b.Type {
	case "RSA PRIVATE KEY":
		parse = func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) }
	case "EC PRIVATE KEY":
		parse = func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) }
	case "PRIVATE KEY":
		parse = x509.ParsePKCS8PrivateKey
	case "ENCRYPTED PRIVATE KEY":
	default:
		return nil, nil
	}
	if parse == nil || b.Headers["DEK-Info"] != "" {
		return nil, fmt.Errorf("the private key is encrypted, which is not supported: decrypt it with openssl pkey: %w", ocm.ErrInvalid)
	}
	if len(b.Bytes) > maxKeySize {
		return nil, fmt.Errorf("PEM block %q has %d bytes: %w", b.Type, len(b.Bytes), ocm.ErrLimit)
	}
	key, err := parse(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("PEM block %q cannot be read as a private key: %w", b.Type, ocm.ErrInvalid)
	}
	signer, ok := key.(crypto.Signer)
	if !ok { // a key for key agreement only
		return nil, fmt.Errorf("PEM block %q is a key that cannot sign: %w", b.Type, ocm.ErrInvalid)
	}
	return signer, nil
}

// parseCertificate reads one certificate, which may be an attacker's: a key so long that it would take
// seconds to work with it is refused.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %v: %w", err, ocm.ErrInvalid)
	}
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > MaxRSABits {
		return nil, fmt.Errorf("its RSA key has %d bits, at most %d are accepted: %w", k.N.BitLen(), MaxRSABits, ocm.ErrLimit)
	}
	return c, nil
}

// blocks lists what was found where something else was looked for.
type blocks []string

func (s blocks) add(typ string, key crypto.PublicKey) blocks {
	const enough = 8
	if len(s) == enough {
		return s
	}
	if len(typ) > 40 {
		typ = typ[:40]
	}
	if kind, err := kindOf(key); err == nil && !strings.Contains(typ, kind) {
		typ += " of kind " + kind
	}
	return append(slices.Clip(s), typ)
}

func (s blocks) String() string {
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}
