// SPDX-License-Identifier: Apache-2.0

// Package rsa signs component versions with RSA keys and judges such signatures.
//
// What is signed is the hash value of the normalised descriptor: the hex text in
// the digest is decoded and taken as the hash that RSASSA-PSS or RSASSA-PKCS1-v1_5
// work on. PSS is written with the longest salt the key has room for and read with
// a salt of any length.
//
// # Encodings
//
// A plain signature is hex text; its media type names the algorithm once more, and
// a signature whose two names differ is refused. A PEM signature is a SIGNATURE
// block followed by the signer's certificate and the intermediates that lead to a
// trust anchor; the anchor itself is not embedded. The SIGNATURE block may stand
// anywhere, but only once, and its "Signature Algorithm" header, if present, must
// name the algorithm too.
//
// # Keys
//
// Keys are asked for with the consumer identity {type: RSA/v1alpha1, algorithm,
// signature}. Properties of the secret, each with a ...File variant that names a
// file (relative to the current directory), where inline text wins:
//
//   - privateKeyPEM: PKCS#1 or PKCS#8. Without a public key, it is derived from here.
//   - publicKeyPEM: PKCS#1, PKIX or certificates, the signer's first.
//   - caCertPEM: certificates that PEM signatures must lead to.
//   - issuer (no file): distinguished name, each attribute of which the signer's
//     certificate must have in its subject.
//
// The snake case names of older configurations (private_key_pem_file and so on)
// are understood. PEM files may hold several blocks, the first usable one counts.
//
// # Trust in PEM signatures
//
// A chain is judged at the time of [ocm.Env.Time], also if the signature carries
// a timestamp: timestamps are not evaluated. It must be valid for code signing and
// end, in this order of preference, in one of the caCertPEM certificates, in the
// one self-signed certificate at the end of publicKeyPEM, or in a root of the
// operating system. The last is only as good as all of these roots together, so it
// counts only where issuer names whose certificate is meant.
//
// If what is configured is a bare public key, there is nothing to judge a chain
// against: the signer's certificate must then hold exactly that key, and nothing
// else of the chain is looked at. Likewise, a certificate in publicKeyPEM is for
// plain signatures just a container of a key.
package rsa

import (
	"context"
	"crypto"
	"crypto/rand"
	stdrsa "crypto/rsa"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"ocm"
)

// Signature algorithms.
const (
	PSS      = "RSASSA-PSS"
	PKCS1v15 = "RSASSA-PKCS1-V1_5"
)

// Algorithms are the names under which [Handler] is registered as verifier and signer.
var Algorithms = []string{PSS, PKCS1v15}

// ConfigTypes are the configuration types under which [Handler] is registered as signer.
var ConfigTypes = []string{"RSASigningConfiguration/v1alpha1", "RSASigningConfiguration"}

// IdentityType is the type of the consumer identity that keys are asked for with.
const IdentityType = "RSA/v1alpha1"

// Encoding policies of [Config].
const (
	Plain = "Plain"
	PEM   = "PEM"
)

// Config is the signer's configuration. A verifier accepts it for symmetry and
// takes nothing from it: what is judged is said by the signature, and which key may
// sign with which algorithm is said by the consumer identity of the key.
type Config struct {
	Type               string `json:"type"`
	SignatureAlgorithm string `json:"signatureAlgorithm,omitempty"`      // PSS (default) or PKCS1v15
	EncodingPolicy     string `json:"signatureEncodingPolicy,omitempty"` // Plain (default) or PEM
}

// Handler is the [ocm.Signer] and [ocm.Verifier] for RSA. The zero value is ready.
type Handler struct{}

var (
	_ ocm.Signer   = Handler{}
	_ ocm.Verifier = Handler{}
)

// Sign signs the digest with the key that is configured for the signature's name. The
// spec is a [Config], or only a type that is the name of an algorithm, or zero.
// [ocm.ErrNotFound] if there is no key, [ocm.ErrInvalid] if it or the digest is unfit.
func (Handler) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	v, err := sign(ctx, env, name, d, s)
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q with RSA: %w", name, err)
	}
	return v, nil
}

func sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	var none ocm.SignatureValue
	cfg, err := parseConfig(s)
	if err != nil {
		return none, err
	}
	hash, sum, err := hashed(d, false)
	if err != nil {
		return none, err
	}
	id := identity(cfg.SignatureAlgorithm, name)
	secret, err := env.Resolve(ctx, id)
	if err != nil {
		return none, fmt.Errorf("no private key, configure one for the consumer %s: %w", id, err)
	}
	key, err := privateKey(secret)
	if err != nil {
		return none, fmt.Errorf("credentials for %s: %w", id, err)
	}
	var raw []byte
	if cfg.SignatureAlgorithm == PSS {
		raw, err = stdrsa.SignPSS(rand.Reader, key, hash, sum, &stdrsa.PSSOptions{SaltLength: stdrsa.PSSSaltLengthAuto})
	} else {
		raw, err = stdrsa.SignPKCS1v15(rand.Reader, key, hash, sum)
	}
	if err != nil {
		return none, err
	}
	if cfg.EncodingPolicy == Plain {
		return encodePlain(cfg.SignatureAlgorithm, raw), nil
	}
	certs, err := signingCertificates(secret, key, env.Time())
	if err != nil {
		return none, fmt.Errorf("credentials for %s: %w", id, err)
	}
	return encodePEM(cfg.SignatureAlgorithm, raw, certs), nil
}

// Verify judges a signature. Every error wraps [ocm.ErrSignature].
func (Handler) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) ([]ocm.Finding, error) {
	found, err := verify(ctx, env, sig, s)
	if err != nil {
		return found, fmt.Errorf("signature %q: %w: %w", sig.Name, ocm.ErrSignature, err)
	}
	return found, nil
}

func verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) ([]ocm.Finding, error) {
	if _, err := parseConfig(s); err != nil {
		return nil, err
	}
	hash, sum, err := hashed(sig.Digest, true)
	if err != nil {
		return nil, err
	}
	v, err := decodeValue(sig.Signature)
	if err != nil {
		return nil, err
	}
	id := identity(v.algorithm, sig.Name)
	secret, err := env.Resolve(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("no public key, configure one for the consumer %s: %w", id, err)
	}
	trust, err := loadTrust(secret)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	}
	key, err := trust.keyFor(v, env.Time())
	if err != nil {
		return nil, &ocm.CheckError{Check: ocm.FoundChain, Err: err}
	}
	if v.algorithm == PSS {
		err = stdrsa.VerifyPSS(key, hash, sum, v.raw, &stdrsa.PSSOptions{SaltLength: stdrsa.PSSSaltLengthAuto})
	} else {
		err = stdrsa.VerifyPKCS1v15(key, hash, sum, v.raw)
	}
	place := "the key in " + trust.from
	if len(v.chain) > 0 {
		place = "the key of its certificate"
	}
	if err != nil {
		return nil, &ocm.CheckError{Check: ocm.FoundValue, Err: fmt.Errorf("the %s signature does not fit %s: it was made with another key, or the version was changed", v.algorithm, place)}
	}
	return []ocm.Finding{{Check: ocm.FoundValue, Detail: v.algorithm}, {Check: ocm.FoundSigner, Detail: place}}, nil
}

func identity(algorithm, signature string) ocm.Identity {
	return ocm.Identity{"type": IdentityType, "algorithm": algorithm, "signature": signature}
}

// parseConfig reads the configuration and fills in the defaults.
func parseConfig(s ocm.Spec) (Config, error) {
	var c Config
	switch {
	case s.Type == "":
	case slices.Contains(Algorithms, s.Type):
		c.SignatureAlgorithm = s.Type
	case slices.Contains(ConfigTypes, s.Type):
		if err := s.Decode(&c); err != nil {
			return c, err
		}
	default:
		return c, fmt.Errorf("configuration type %q is not one for RSA, expected %s: %w", s.Type, ConfigTypes[0], ocm.ErrUnknownType)
	}
	if c.SignatureAlgorithm == "" {
		c.SignatureAlgorithm = PSS
	}
	if c.EncodingPolicy == "" {
		c.EncodingPolicy = Plain
	}
	if !slices.Contains(Algorithms, c.SignatureAlgorithm) {
		return c, fmt.Errorf("signatureAlgorithm %q, expected %s: %w", c.SignatureAlgorithm, strings.Join(Algorithms, " or "), ocm.ErrInvalid)
	}
	if c.EncodingPolicy != Plain && c.EncodingPolicy != PEM {
		return c, fmt.Errorf("signatureEncodingPolicy %q, expected %s or %s: %w", c.EncodingPolicy, Plain, PEM, ocm.ErrInvalid)
	}
	return c, nil
}

// hashed decodes the digest. Older writers spelled hash names differently, which
// is accepted for signatures that exist already.
func hashed(d ocm.Digest, legacy bool) (crypto.Hash, []byte, error) {
	var hash crypto.Hash
	switch {
	case d.HashAlgorithm == ocm.SHA256, legacy && d.HashAlgorithm == "sha256":
		hash = crypto.SHA256
	case d.HashAlgorithm == "SHA-384":
		hash = crypto.SHA384
	case d.HashAlgorithm == ocm.SHA512, legacy && d.HashAlgorithm == "sha512":
		hash = crypto.SHA512
	default:
		return 0, nil, fmt.Errorf("digest: hash algorithm %q, expected SHA-256, SHA-384 or SHA-512: %w", d.HashAlgorithm, ocm.ErrInvalid)
	}
	if len(d.Value) != 2*hash.Size() {
		return 0, nil, fmt.Errorf("digest: value has %d characters, expected %d hex digits for %s: %w", len(d.Value), 2*hash.Size(), d.HashAlgorithm, ocm.ErrInvalid)
	}
	sum, err := hex.DecodeString(d.Value)
	if err != nil {
		return 0, nil, fmt.Errorf("digest: value is not hex: %w", ocm.ErrInvalid)
	}
	return hash, sum, nil
}
