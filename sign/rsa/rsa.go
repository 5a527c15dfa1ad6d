// SPDX-License-Identifier: Apache-2.0

// Package rsa signs component versions with RSA keys and judges such signatures.
//
// The digest is taken as the hash that RSASSA-PSS or RSASSA-PKCS1-v1_5
// work on. PSS is written with the longest salt the key has room for and read with
// a salt of any length. Encodings, keys and trust are those of package cert.
package rsa

import (
	"context"
	"crypto"
	"crypto/rand"
	stdrsa "crypto/rsa"
	"fmt"

	"ocm"
	"ocm/sign/cert"
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

// Media types of signatures.
const (
	MediaTypePSS   = "application/vnd.ocm.signature.rsa.pss"
	MediaTypePKCS1 = "application/vnd.ocm.signature.rsa"
	MediaTypePEM   = cert.MediaTypePEM
)

// Encoding policies of [Config].
const (
	Plain = cert.Plain
	PEM   = cert.PEM
)

// Limits of keys, in bits.
const (
	MinKeyBits = cert.MinRSABits
	MaxKeyBits = cert.MaxRSABits
)

// Config is the signer's configuration; the algorithm is PSS if there is none in it.
type Config = cert.Config

// Handler is the [ocm.Signer] and [ocm.Verifier] for RSA. The zero value is ready.
type Handler struct {
	Time cert.TimeCheck // judges timestamps; nil: they cannot be judged
}

var (
	_ ocm.Signer   = Handler{}
	_ ocm.Verifier = Handler{}
)

// Sign signs the digest with the key that is configured for the signature's name. The
// spec is a [Config], or only a type that is the name of an algorithm, or zero.
// [ocm.ErrNotFound] if there is no key, [ocm.ErrInvalid] if it or the digest is unfit.
func (Handler) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	return family().Sign(ctx, env, name, d, s)
}

// Verify judges a signature. Every error wraps [ocm.ErrSignature].
func (h Handler) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) ([]ocm.Finding, error) {
	return family().Verify(ctx, env, sig, s, h.Time)
}

func family() *cert.Family {
	return &cert.Family{
		Name:         "RSA",
		IdentityType: IdentityType,
		ConfigTypes:  ConfigTypes,
		Default:      PSS,
		Algorithms: []cert.Algorithm{
			{Name: PSS, Kind: cert.RSA, MediaType: MediaTypePSS, Options: pssOptions, Verify: verifyPSS},
			{Name: PKCS1v15, Kind: cert.RSA, MediaType: MediaTypePKCS1, Options: func(h crypto.Hash) crypto.SignerOpts { return h }, Verify: verifyPKCS1v15},
		},
	}
}

func pssOptions(h crypto.Hash) crypto.SignerOpts {
	return &stdrsa.PSSOptions{SaltLength: stdrsa.PSSSaltLengthAuto, Hash: h}
}

func verifyPSS(key crypto.PublicKey, h crypto.Hash, sum, sig []byte) bool {
	k, ok := key.(*stdrsa.PublicKey)
	return ok && stdrsa.VerifyPSS(k, h, sum, sig, &stdrsa.PSSOptions{SaltLength: stdrsa.PSSSaltLengthAuto}) == nil
}

func verifyPKCS1v15(key crypto.PublicKey, h crypto.Hash, sum, sig []byte) bool {
	k, ok := key.(*stdrsa.PublicKey)
	return ok && stdrsa.VerifyPKCS1v15(k, h, sum, sig) == nil
}

// GenerateKeyPair makes a key of [MinKeyBits] to [MaxKeyBits] bits, in PEM as PKCS#8
// and PKIX. The caller keeps the private half secret (file mode 0600).
func GenerateKeyPair(bits int) (privatePEM, publicPEM []byte, err error) {
	if bits < MinKeyBits || bits > MaxKeyBits {
		return nil, nil, fmt.Errorf("RSA key of %d bits, accepted are %d to %d: %w", bits, MinKeyBits, MaxKeyBits, ocm.ErrInvalid)
	}
	key, err := stdrsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, nil, err
	}
	return cert.EncodeKeyPair(key)
}
