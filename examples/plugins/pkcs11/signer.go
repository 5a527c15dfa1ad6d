// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	stdrsa "crypto/rsa"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/sign/cert"
	"ocm/sign/ec"
	"ocm/sign/rsa"
)

// identityType is the type of the consumer that the PIN is asked for.
const identityType = "PKCS11/v1alpha1"

var configTypes = []string{"PKCS11SigningConfiguration/v1alpha1", "PKCS11SigningConfiguration"}

// config is the signer's configuration.
type config struct {
	Type      string `json:"type"`
	Token     string `json:"token" need:"yes" about:"label of the token"`
	Key       string `json:"key,omitempty" about:"label of the key; default: the name of the signature"`
	Algorithm string `json:"signatureAlgorithm,omitempty" about:"what the key must be for; default: what it is for"`
}

// token signs with keys that it keeps.
type token interface {
	// sign signs the hash value sum with the key of a label, and returns the public key that the token has under it besides. An RSA signature
	// is one of PSS, one on a curve is r and s of equal length. [ocm.ErrNotFound] if there is no such token or key, [ocm.ErrDenied] for a PIN
	// that is wrong.
	sign(ctx context.Context, token, pin, key string, hash crypto.Hash, sum []byte) (raw []byte, public crypto.PublicKey, err error)
}

// signer is the [ocm.Signer] of a token.
type signer struct{ token token }

// Sign signs with the key that the configuration names.
func (s *signer) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, spec ocm.Spec) (ocm.SignatureValue, error) {
	v, err := s.sign(ctx, env, name, d, spec)
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q with a token: %w", name, err)
	}
	return v, nil
}

func (s *signer) sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, spec ocm.Spec) (ocm.SignatureValue, error) {
	var none ocm.SignatureValue
	c, err := parse(spec, name)
	if err != nil {
		return none, err
	}
	hash, sum, err := digest(d)
	if err != nil {
		return none, err
	}
	id := ocm.Identity{"type": identityType, "token": c.Token}
	secret, err := env.Resolve(ctx, id)
	if err != nil {
		return none, fmt.Errorf("no PIN, configure one for the consumer %s: %w", id, err)
	}
	if secret["pin"] == "" {
		return none, fmt.Errorf("credentials for %s: pin is missing: %w", id, ocm.ErrInvalid)
	}
	raw, public, err := s.token.sign(ctx, c.Token, secret["pin"], c.Key, hash, sum)
	if err != nil {
		return none, fmt.Errorf("token %q, key %q: %w", c.Token, c.Key, err)
	}
	v, err := encode(public, hash, sum, raw)
	if err == nil && c.Algorithm != "" && c.Algorithm != v.Algorithm {
		err = fmt.Errorf("it is for %s, expected one for %s: %w", v.Algorithm, c.Algorithm, ocm.ErrInvalid)
	}
	if err != nil {
		return none, fmt.Errorf("token %q, key %q: %w", c.Token, c.Key, err)
	}
	return v, nil
}

// parse reads the configuration. A member that is not known is refused: it may be meant to choose what is not chosen there.
func parse(spec ocm.Spec, name string) (config, error) {
	var c config
	if len(spec.Raw) > 0 {
		if err := json.Unmarshal(spec.Raw, &c, json.RejectUnknownMembers(true)); err != nil {
			return c, fmt.Errorf("type %s: %w: %w", spec.Type, err, ocm.ErrInvalid)
		}
	}
	if c.Token == "" {
		return c, fmt.Errorf("type %s: token is missing: %w", spec.Type, ocm.ErrInvalid)
	}
	if c.Key == "" {
		c.Key = name
	}
	return c, nil
}

func digest(d ocm.Digest) (crypto.Hash, []byte, error) {
	hash, ok := map[string]crypto.Hash{ocm.SHA256: crypto.SHA256, "SHA-384": crypto.SHA384, ocm.SHA512: crypto.SHA512}[d.HashAlgorithm]
	if !ok {
		return 0, nil, fmt.Errorf("hash algorithm %.100q, expected SHA-256, SHA-384 or SHA-512: %w", d.HashAlgorithm, ocm.ErrInvalid)
	}
	sum, err := hex.DecodeString(d.Value)
	if err != nil || len(sum) != hash.Size() {
		return 0, nil, fmt.Errorf("the digest is not the hex text of %d bytes: %w", hash.Size(), ocm.ErrInvalid)
	}
	return hash, sum, nil
}

// encode writes a signature as the built-in verifiers read it, after it was found good: a token that signs with another key than the one
// that it shows, or something else than it was given, is told now and not when everybody has the component.
func encode(public crypto.PublicKey, hash crypto.Hash, sum, raw []byte) (ocm.SignatureValue, error) {
	var a cert.Algorithm
	good := false
	switch k := public.(type) {
	case *stdrsa.PublicKey:
		if n := k.N.BitLen(); n < cert.MinRSABits || n > cert.MaxRSABits {
			return ocm.SignatureValue{}, fmt.Errorf("an RSA key of %d bits, accepted are %d to %d: %w", n, cert.MinRSABits, cert.MaxRSABits, ocm.ErrInvalid)
		}
		a = cert.Algorithm{Name: rsa.PSS, MediaType: rsa.MediaTypePSS}
		good = stdrsa.VerifyPSS(k, hash, sum, raw, nil) == nil
	case *ecdsa.PublicKey:
		a = cert.Algorithm{Name: ec.P256, MediaType: ec.MediaTypeECDSA}
		if k.Curve == elliptic.P384() {
			a.Name = ec.P384
		}
		raw = der(raw)
		good = ecdsa.VerifyASN1(k, sum, raw)
	default:
		return ocm.SignatureValue{}, fmt.Errorf("a key of type %T, expected RSA or ECDSA: %w", public, ocm.ErrInvalid)
	}
	if !good {
		return ocm.SignatureValue{}, fmt.Errorf("the token made a signature that does not fit its public key of the same label: %w", ocm.ErrSignature)
	}
	return cert.EncodePlain(a, raw), nil
}

// der writes r and s as X9.62 does; nil if they are none.
func der(raw []byte) []byte {
	half := len(raw) / 2
	out, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
	if err != nil {
		return nil
	}
	return out
}
