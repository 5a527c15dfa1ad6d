// SPDX-License-Identifier: Apache-2.0

// Package sigstore signs component versions with Sigstore, keyless or with a key, and judges such signatures
// offline.
//
// What is signed is the hash value of the normalised descriptor, hex decoded. Sigstore takes these bytes as a
// file and hashes them once more. The value of the signature is a Sigstore bundle of version 0.3, its JSON in
// base64; older bundle versions, certificate chains inside a bundle and attestations (DSSE) are refused, since
// nobody writes them under this name and each is one more way to be wrong.
//
// # Verifying
//
// No socket is opened: what is trusted is in a trusted root file. It is asked for with the consumer identity
// {type: SigstoreVerifier/v1alpha1, signature}. Properties of the secret, each of the first two with a ...File
// variant that names a file (relative to the current directory), where inline text wins:
//
//   - trustedRootJSON: Sigstore's trusted_root.json: certificate authorities, logs, timestamp authorities.
//   - publicKeyPEM: the key that must have signed, PKIX; for signatures that are not keyless.
//   - publicKeyNotBefore, publicKeyNotAfter (no file): RFC 3339 times between which the key counts.
//
// Who may have signed is said by [VerificationConfig]; there is no rule that means "anybody".
//
// A keyless signature is good if all of this holds: a log that the root knows has this very signature, by this
// certificate, of these bytes; a log or timestamp authority that the root knows says when; at that time the
// certificate led to an authority of the root; a certificate log has it, if the root names such logs; the
// certificate's issuer and identity are the expected ones; the signature fits. The local clock plays no part.
//
// A signature with a key is good if the key fits, a log has it, and, if the key's time is limited, a time by
// somebody's word lies in that time.
//
// # Signing
//
// Where the certificate authority, the log and the timestamp server are is said by [SigningConfig]; nothing else
// is contacted, and redirects are not followed. Secrets are asked for with the consumer identity
// {type: SigstoreSigner/v1alpha1, signature, issuer, clientID}, the last two only if they are configured:
//
//   - token, tokenFile: an OIDC identity token for a keyless signature. See [Handler] for other places.
//   - privateKeyPEM, privateKeyPEMFile: a key, PKCS#8, PKCS#1 or SEC 1. Then there is no token.
//
// The new signature is judged before it is handed out: in any case whether the log answered with an entry for
// it, and if a trusted root is configured by that.
package sigstore

import (
	"context"
	"crypto"
	"encoding/hex"
	"fmt"

	"ocm"
)

const (
	// Algorithm is the name that is written, and under which [Handler] is registered as verifier and signer.
	Algorithm = "Sigstore/v1alpha1"
	// LegacyAlgorithm is read as the same if the media type is [MediaType].
	LegacyAlgorithm = "sigstore"
	// MediaType of the signatures.
	MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// SignerIdentityType is the type of the consumer identity that a signer's token or key is asked for with.
	SignerIdentityType = "SigstoreSigner/v1alpha1"
	// VerifierIdentityType is the type of the consumer identity that trusted roots and keys are asked for with.
	VerifierIdentityType = "SigstoreVerifier/v1alpha1"
)

// oldMediaType is written by the older tool, with the algorithms "sigstore" and "sigstore-v2".
const oldMediaType = "application/vnd.ocm.signature.sigstore"

// SignerNames and VerifierNames are the names under which [Handler] is registered.
var (
	SignerNames   = []string{Algorithm, LegacyAlgorithm, "SigstoreSigningConfiguration/v1alpha1", "SigstoreSigningConfiguration"}
	VerifierNames = []string{Algorithm, LegacyAlgorithm, "sigstore-v2"} // the last is refused with an explanation
)

// Handler is the [ocm.Signer] and [ocm.Verifier] for Sigstore. The zero value is ready.
//
// A keyless signer needs an identity token. It is taken from the first of these places that has one: the
// credentials; the environment variable SIGSTORE_ID_TOKEN; GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL and
// _TOKEN); the browser.
type Handler struct {
	Getenv      func(name string) string // nil: the environment is not looked at
	Interactive bool                     // ask the user to log in with a browser
	Open        func(url string) error   // opens a browser; nil: the address is only shown
	Show        func(text string)        // shows the address to the user; nil: it goes to the log
}

var (
	_ ocm.Signer   = Handler{}
	_ ocm.Verifier = Handler{}
)

// Sign signs the digest for the signature's name. The spec is a [SigningConfig]. [ocm.ErrNotFound] if there is
// neither token nor key, [ocm.ErrInvalid] if the configuration or the digest is unfit, [ocm.ErrDenied] if a
// service refuses the token.
func (h Handler) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	text, err := h.sign(ctx, env, name, d, s)
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q with Sigstore: %w", name, err)
	}
	return ocm.SignatureValue{Algorithm: Algorithm, MediaType: MediaType, Value: text}, nil
}

// Verify judges a signature without any network. The spec is a [VerificationConfig]. Every error wraps
// [ocm.ErrSignature].
func (Handler) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) ([]ocm.Finding, error) {
	found, err := verifySignature(ctx, env, sig, s)
	if err != nil {
		return found, fmt.Errorf("signature %q: %w: %w", sig.Name, ocm.ErrSignature, err)
	}
	return found, nil
}

// hashed decodes the digest whose bytes are what Sigstore signs.
func hashed(d ocm.Digest) ([]byte, error) {
	hashes := map[string]crypto.Hash{ocm.SHA256: crypto.SHA256, "SHA-384": crypto.SHA384, ocm.SHA512: crypto.SHA512}
	hash, ok := hashes[d.HashAlgorithm]
	if !ok {
		return nil, fmt.Errorf("digest: hash algorithm %q, expected SHA-256, SHA-384 or SHA-512: %w", d.HashAlgorithm, ocm.ErrInvalid)
	}
	sum, err := hex.DecodeString(d.Value)
	if err != nil || len(sum) != hash.Size() {
		return nil, fmt.Errorf("digest: value has %d characters, expected %d hex digits for %s: %w", len(d.Value), 2*hash.Size(), d.HashAlgorithm, ocm.ErrInvalid)
	}
	return sum, nil
}

// noPanic turns a panic into an error: the parsers of bundles, log entries and timestamps are large, foreign,
// and read what an attacker wrote.
func noPanic(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("what was read makes its parser panic: %v: %w", r, ocm.ErrInvalid)
	}
}
