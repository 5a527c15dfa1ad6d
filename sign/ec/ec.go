// SPDX-License-Identifier: Apache-2.0

// Package ec signs component versions with keys on elliptic curves, ECDSA on P-256 and P-384 and
// Ed25519, and judges such signatures.
//
// ECDSA takes the digest as the hash it works on, of any of the accepted lengths: what is longer than the
// curve's order is cut, as the standard says, and what is shorter is no weaker than the hash itself, which was
// chosen by whoever signed. Its signature is in DER. A signature can be turned into another one that is good, too,
// which harms nobody: nothing is known by the bytes of its signature. Ed25519 takes the digest as its message.
//
// Encodings, keys and trust are those of package cert. These algorithms are this project's own: existing
// tools do not know them, and say so.
package ec

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"ocm"
	"ocm/sign/cert"
)

// Signature algorithms.
const (
	P256    = "ECDSA-P256"
	P384    = "ECDSA-P384"
	Ed25519 = "Ed25519"
)

// Algorithms are the names under which [Handler] is registered as verifier and signer.
var Algorithms = []string{P256, P384, Ed25519}

// ConfigTypes are the configuration types under which [Handler] is registered as signer.
var ConfigTypes = []string{"ECSigningConfiguration/v1alpha1", "ECSigningConfiguration"}

// IdentityType is the type of the consumer identity that keys are asked for with.
const IdentityType = "EC/v1alpha1"

// Media types of plain signatures; those with certificates have [cert.MediaTypePEM].
const (
	MediaTypeECDSA   = "application/vnd.ocm.signature.ecdsa"
	MediaTypeEd25519 = "application/vnd.ocm.signature.ed25519"
)

// Config is the signer's configuration; without an algorithm in it, the first key that is
// configured for one decides, in the order of [Algorithms].
type Config = cert.Config

// Handler is the [ocm.Signer] and [ocm.Verifier] for elliptic curves. The zero value is ready.
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
	prehashed := func(h crypto.Hash) crypto.SignerOpts { return h }
	message := func(crypto.Hash) crypto.SignerOpts { return crypto.Hash(0) }
	return &cert.Family{
		Name:         "an elliptic curve",
		IdentityType: IdentityType,
		ConfigTypes:  ConfigTypes,
		Algorithms: []cert.Algorithm{
			{Name: P256, Kind: cert.P256, MediaType: MediaTypeECDSA, Options: prehashed, Verify: verifyECDSA},
			{Name: P384, Kind: cert.P384, MediaType: MediaTypeECDSA, Options: prehashed, Verify: verifyECDSA},
			{Name: Ed25519, Kind: cert.Ed25519, MediaType: MediaTypeEd25519, Options: message, Verify: verifyEd25519},
		},
	}
}

func verifyECDSA(key crypto.PublicKey, _ crypto.Hash, sum, sig []byte) bool {
	k, ok := key.(*ecdsa.PublicKey)
	return ok && ecdsa.VerifyASN1(k, sum, sig)
}

func verifyEd25519(key crypto.PublicKey, _ crypto.Hash, sum, sig []byte) bool {
	k, ok := key.(ed25519.PublicKey)
	return ok && len(k) == ed25519.PublicKeySize && ed25519.Verify(k, sum, sig)
}

// GenerateKeyPair makes a key for one of [Algorithms], in PEM as PKCS#8 and PKIX. The caller keeps
// the private half secret (file mode 0600).
func GenerateKeyPair(algorithm string) (privatePEM, publicPEM []byte, err error) {
	var key crypto.Signer
	switch algorithm {
	case P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, nil, fmt.Errorf("key for the algorithm %q, expected %s, %s or %s: %w", algorithm, P256, P384, Ed25519, ocm.ErrInvalid)
	}
	if err != nil {
		return nil, nil, err
	}
	return cert.EncodeKeyPair(key)
}
