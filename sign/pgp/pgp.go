// SPDX-License-Identifier: Apache-2.0

// Package pgp signs component versions with OpenPGP keys and judges such signatures.
//
// What is signed is the hash value of the normalised descriptor, hex decoded, as a
// binary document. The signature is detached and armoured; OpenPGP hashes the
// document once more, with a hash of its own.
//
// Keys are asked for with the consumer identity {type: GPG/v1alpha1, signature}.
// Properties of the secret:
//
//   - privateKeyPGP, passphrase: the signer's key, armoured, and what opens it.
//   - publicKeyPGP: keys whose signatures are good. Without it, the private key counts.
//
// Both keys have a ...File variant that names a file (relative to the current
// directory); inline text wins. A file may hold several armoured blocks.
//
// Keys are judged at the time of [ocm.Env.Time], and also at the time at which the
// signature says it was made: a key that is expired or revoked today makes no
// signature good, because nobody can tell whether an old date is true. Exactly one
// signature per value is accepted, so there is no doubt which one counted.
package pgp

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"ocm"
	"ocm/sign/cert"
)

const (
	// Algorithm is the name under which [Handler] is registered as verifier and signer.
	Algorithm = "GPG"
	// MediaType of the signatures.
	MediaType = "application/vnd.ocm.signature.gpg"
	// IdentityType is the type of the consumer identity that keys are asked for with.
	IdentityType = "GPG/v1alpha1"
)

// ConfigTypes are the configuration types under which [Handler] is registered as signer.
var ConfigTypes = []string{"GPGSigningConfiguration/v1alpha1", "GPGSigningConfiguration"}

// Config is the configuration of signer and verifier.
type Config struct {
	Type string `json:"type"`
	// HashAlgorithm is the hash inside the OpenPGP signature: SHA-256 (default),
	// SHA-384 or SHA-512. Preferences of the key may overrule it. Not for verifiers.
	HashAlgorithm string `json:"hashAlgorithm,omitempty" about:"hash inside the signature: SHA-256 (default), SHA-384 or SHA-512; for signers"`
	// KeyFingerprint chooses among the configured keys: 40 hex digits (64 for version 6
	// keys), or a key id of 16. Empty: sign with the first key, verify with any.
	KeyFingerprint string `json:"keyFingerprint,omitempty" about:"which of the configured keys: 40 or 64 hex digits, or a key id of 16; default: sign with the first, verify with any"`
}

// Handler is the [ocm.Signer] and [ocm.Verifier] for OpenPGP. The zero value is ready, but cannot judge
// timestamps. Keys are judged now, whatever a timestamp says: it tells when, no more.
type Handler struct {
	Time cert.TimeCheck
}

var (
	_ ocm.Signer   = Handler{}
	_ ocm.Verifier = Handler{}
)

// Sign signs the digest with the key that is configured for the signature's name. The
// spec is a [Config] or zero. [ocm.ErrNotFound] if there is no key, [ocm.ErrInvalid] if
// it, its passphrase or the digest is unfit.
func (Handler) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	text, err := sign(ctx, env, name, d, s)
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q with OpenPGP: %w", name, err)
	}
	return ocm.SignatureValue{Algorithm: Algorithm, MediaType: MediaType, Value: text}, nil
}

func sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (text string, err error) {
	defer noPanic(&err)
	cfg, hash, err := parseConfig(s)
	if err != nil {
		return "", err
	}
	sum, err := hashed(d)
	if err != nil {
		return "", err
	}
	id := identity(name)
	secret, err := env.Resolve(ctx, id)
	if err != nil {
		return "", fmt.Errorf("no private key, configure one for the consumer %s: %w", id, err)
	}
	signer, err := signingEntity(secret, cfg.KeyFingerprint)
	if err != nil {
		return "", fmt.Errorf("credentials for %s: %w", id, err)
	}
	params := &openpgp.SignParams{Config: &packet.Config{DefaultHash: hash, Time: env.Time}}
	for _, sub := range signer.Subkeys {
		if matches(sub.PublicKey, cfg.KeyFingerprint) {
			params.Config.SigningKeyId = sub.PublicKey.KeyId
		}
	}
	var out bytes.Buffer
	// With the checksum, which the library would leave out: GnuPG wants it.
	w, err := armor.Encode(&out, openpgp.SignatureType, nil)
	if err != nil {
		return "", err
	}
	if err := openpgp.DetachSignWithParams(w, []*openpgp.Entity{signer}, bytes.NewReader(sum), params); err != nil {
		return "", fmt.Errorf("key %X cannot sign: %v: %w", signer.PrimaryKey.Fingerprint, err, ocm.ErrInvalid)
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return out.String(), nil
}

// Verify judges a signature. Every error wraps [ocm.ErrSignature].
func (h Handler) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) ([]ocm.Finding, error) {
	found, err := verify(ctx, env, sig, s, h.Time)
	if err != nil {
		return found, fmt.Errorf("signature %q: %w: %w", sig.Name, ocm.ErrSignature, err)
	}
	return found, nil
}

func verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec, check cert.TimeCheck) (found []ocm.Finding, err error) {
	defer noPanic(&err)
	cfg, _, err := parseConfig(s)
	if err != nil {
		return nil, err
	}
	if sig.Signature.MediaType != MediaType || sig.Signature.Algorithm != Algorithm {
		return nil, fmt.Errorf("algorithm %q with media type %q, expected %s with %s: %w",
			sig.Signature.Algorithm, sig.Signature.MediaType, Algorithm, MediaType, ocm.ErrInvalid)
	}
	sum, err := hashed(sig.Digest)
	if err != nil {
		return nil, err
	}
	raw, issuer, err := decodeSignature(sig.Signature.Value)
	if err != nil {
		return nil, err
	}
	id := identity(sig.Name)
	secret, err := env.Resolve(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("no public key, configure one for the consumer %s: %w", id, err)
	}
	keys, err := verifyingKeys(secret, cfg.KeyFingerprint)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	}
	config := &packet.Config{Time: env.Time}
	made, by, err := openpgp.VerifyDetachedSignature(keys, bytes.NewReader(sum), bytes.NewReader(raw), config)
	if err != nil {
		why := "does not fit the keys in " + source(secret, "publicKeyPGP") + ": it was made with another key, or the version was changed"
		if isOutOfTime(err) {
			why = "was judged at " + byClock(config)
		}
		err = fmt.Errorf("the signature by key %016X over the digest %s %s: %w", issuer, &sig.Digest, why, err)
		return nil, &ocm.CheckError{Check: ocm.FoundValue, Err: err}
	}
	found = []ocm.Finding{{Check: ocm.FoundValue, Detail: Algorithm + ", by its own word of " + made.CreationTime.UTC().Format(time.RFC3339)}}
	if err := stillGood(keys, issuer, cfg.KeyFingerprint, config); err != nil {
		return found, &ocm.CheckError{Check: ocm.FoundIdentity, Err: err}
	}
	if name := secret["issuer"]; name != "" {
		err := fmt.Errorf("issuer %q is required, but an OpenPGP key has no such name (require its keyFingerprint instead): %w", name, ocm.ErrInvalid)
		return found, &ocm.CheckError{Check: ocm.FoundIdentity, Err: err}
	}
	switch at, err := cert.Stamped(sig, secret, env.Time(), check); {
	case err != nil:
		return found, err
	case at != nil:
		found = append(found, *at)
	}
	return append(found, ocm.Finding{Check: ocm.FoundSigner, Detail: fmt.Sprintf("key %X", by.PrimaryKey.Fingerprint)}), nil
}

// isOutOfTime reports whether a key or a signature is not valid yet or no longer: to the library, both have expired.
func isOutOfTime(err error) bool {
	return errors.Is(err, pgperrors.ErrKeyExpired) || errors.Is(err, pgperrors.ErrSignatureExpired)
}

// byClock is the time at which is judged. A clock that is years off makes every key and signature look out of time.
func byClock(config *packet.Config) string {
	return config.Now().UTC().Format(time.RFC3339) + ", as this machine's clock says (set the clock if it is wrong)"
}

// stillGood judges the signing key as of now; the library judged it as of the date in
// the signature. If a key stands in the ring more than once, each of them must be good:
// one may lack the revocation.
func stillGood(keys openpgp.EntityList, issuer uint64, fingerprint string, config *packet.Config) error {
	found := false
	for _, e := range keys.EntitiesById(issuer) {
		if _, err := e.VerifyPrimaryKey(config.Now(), config); err != nil {
			return fmt.Errorf("key %X, judged at %s: %w", e.PrimaryKey.Fingerprint, byClock(config), err)
		}
		named := fingerprint == "" || matches(e.PrimaryKey, fingerprint)
		found = found || e.PrimaryKey.KeyId == issuer && named
		for _, sub := range e.Subkeys {
			if sub.PublicKey.KeyId != issuer {
				continue
			}
			if _, err := sub.Verify(config.Now(), config); err != nil {
				return fmt.Errorf("subkey %X, judged at %s: %w", sub.PublicKey.Fingerprint, byClock(config), err)
			}
			found = found || named || matches(sub.PublicKey, fingerprint)
		}
	}
	if !found {
		return fmt.Errorf("the signature is by key %016X, but the verifier requires %s", issuer, fingerprint)
	}
	return nil
}

func identity(signature string) ocm.Identity {
	return ocm.Identity{"type": IdentityType, "signature": signature}
}

// noPanic turns a panic into an error: the OpenPGP parser is large, foreign, and reads
// what an attacker wrote.
func noPanic(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("OpenPGP data makes the parser panic: %v: %w", r, ocm.ErrInvalid)
	}
}

// parseConfig reads and checks the configuration.
func parseConfig(s ocm.Spec) (c Config, hash crypto.Hash, err error) {
	if s.Type != "" && s.Type != Algorithm {
		if !slices.Contains(ConfigTypes, s.Type) {
			return c, 0, fmt.Errorf("configuration type %q is not one for OpenPGP, expected %s: %w", s.Type, ConfigTypes[0], ocm.ErrUnknownType)
		}
		if err := s.Decode(&c); err != nil {
			return c, 0, err
		}
	}
	if c.HashAlgorithm == "" {
		c.HashAlgorithm = ocm.SHA256
	}
	if hash, err = hashFor(c.HashAlgorithm); err != nil {
		return c, 0, fmt.Errorf("hashAlgorithm: %w", err)
	}
	if f := c.KeyFingerprint; f != "" {
		raw, err := hex.DecodeString(f)
		if n := len(raw); err != nil || n != 8 && n != 20 && n != 32 {
			return c, 0, fmt.Errorf("keyFingerprint %q, expected 40 hex digits, or 16 for a key id: %w", f, ocm.ErrInvalid)
		}
	}
	return c, hash, nil
}

func hashFor(name string) (crypto.Hash, error) {
	switch name {
	case ocm.SHA256:
		return crypto.SHA256, nil
	case "SHA-384":
		return crypto.SHA384, nil
	case ocm.SHA512:
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("hash algorithm %q, expected SHA-256, SHA-384 or SHA-512: %w", name, ocm.ErrInvalid)
}

// hashed decodes the digest that is signed.
func hashed(d ocm.Digest) ([]byte, error) {
	hash, err := hashFor(d.HashAlgorithm)
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	sum, err := hex.DecodeString(d.Value)
	if err != nil || len(sum) != hash.Size() {
		return nil, fmt.Errorf("digest: value has %d characters, expected %d hex digits for %s: %w", len(d.Value), 2*hash.Size(), d.HashAlgorithm, ocm.ErrInvalid)
	}
	return sum, nil
}

// matches reports whether the key has the fingerprint or key id; without one, it does not.
func matches(k *packet.PublicKey, fingerprint string) bool {
	if fingerprint == "" {
		return false
	}
	return strings.EqualFold(fingerprint, hex.EncodeToString(k.Fingerprint)) || strings.EqualFold(fingerprint, fmt.Sprintf("%016x", k.KeyId))
}
