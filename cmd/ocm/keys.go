// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"ocm"
	"ocm/credentials"
	"ocm/sign/cert"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
	"ocm/sign/sigstore"
)

// Types of the consumers that keys are for.
const (
	sigstoreSigner   = sigstore.SignerIdentityType
	sigstoreVerifier = sigstore.VerifierIdentityType
)

// keyWatch remembers whether a key, or a trusted root, was asked for and not found, for the hint.
type keyWatch struct {
	ocm.Credentials
	missing, noRoot atomic.Bool
}

func (k *keyWatch) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	secret, err := k.Credentials.Resolve(ctx, id)
	if errors.Is(err, ocm.ErrNotFound) && slices.Contains([]string{rsa.IdentityType, pgp.IdentityType, ec.IdentityType}, id["type"]) {
		k.missing.Store(true)
	}
	if errors.Is(err, ocm.ErrNotFound) && id["type"] == sigstoreVerifier {
		k.noRoot.Store(true)
	}
	return secret, err
}

// noKey is an error of sign and verify where no key was configured.
type noKey struct{ error }

func (e noKey) Unwrap() error { return e.error }

// noRoot is an error of verify where no trusted root was configured.
type noRoot struct{ error }

func (e noRoot) Unwrap() error { return e.error }

func isNoRoot(err error) bool {
	var n noRoot
	return errors.As(err, &n)
}

func isNoKey(err error) bool {
	var n noKey
	return errors.As(err, &n)
}

func (s *session) keyError(err error) error {
	switch {
	case err == nil:
	case s.keys.missing.Load():
		return noKey{err}
	case s.keys.noRoot.Load():
		return noRoot{err}
	}
	return err
}

// keyFile is a key that was given by a flag as [NAME=]FILE, [NAME=]!BASE64 or [NAME=]=TEXT: NAME
// restricts it to the signature of that name.
type keyFile struct{ signature, path string }

func parseKeyFile(s string) (keyFile, error) {
	name, path, named := strings.Cut(s, "=")
	if !named || name == "" || strings.ContainsAny(name, "/\\.!\n") {
		name, path = "", s
	}
	if literal := strings.HasPrefix(path, "=") || strings.HasPrefix(path, "!"); isKeyText(name) || isKeyText(path) && !literal {
		return keyFile{}, usagef("a key in the command line: expected = before its text, or ! before its base64 (and NAME= before that, where NAME has none of / \\ . and !)")
	}
	if path == "" || path == "=" || path == "!" {
		return keyFile{}, usagef("key %q: expected FILE or NAME=FILE, with !BASE64 or =TEXT in place of the file", s)
	}
	return keyFile{name, path}, nil
}

// isKeyText finds a key that stands where its file is expected: it may be private, and must not get into messages.
func isKeyText(s string) bool {
	return strings.Contains(s, "-----BEGIN ") || strings.Contains(s, "LS0tLS1CRUdJTi") // the same in base64
}

func parseKeyFiles(list []string) ([]keyFile, error) {
	keys := make([]keyFile, 0, len(list))
	for _, s := range list {
		k, err := parseKeyFile(s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// maxKeyFile bounds key files, in bytes.
const maxKeyFile = 1 << 20

// readKey reads a key: a file, !BASE64, or =TEXT. where is its name for messages, never the key itself.
func readKey(path string) (text, where string, err error) {
	if literal, ok := strings.CutPrefix(path, "="); ok {
		return literal, "the key in the command line", nil
	}
	if encoded, ok := strings.CutPrefix(path, "!"); ok {
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return "", "", usagef("the key in the command line that begins with ! is not base64 (a file of that name is ./!…)")
		}
		return string(raw), "the key in the command line", nil
	}
	raw, err := readFile(path, maxKeyFile)
	if err != nil {
		return "", "", fmt.Errorf("key file %s: %w", path, err)
	}
	return string(raw), "key file " + path, nil
}

// pgpMark is in the text of OpenPGP keys.
const pgpMark = "-----BEGIN PGP"

// algorithmOf is the algorithm that a key signs with where nothing else is said.
func algorithmOf(text string) (string, error) {
	if strings.Contains(text, pgpMark) {
		return pgp.Algorithm, nil
	}
	kind, err := cert.Kind([]byte(text))
	if kind == cert.RSA {
		kind = rsa.PSS
	}
	return kind, err
}

// identityOf is the consumer that a key is for, and the ending of its properties' names.
func identityOf(algorithm string) (identity, form string) {
	switch algorithm {
	case pgp.Algorithm:
		return pgp.IdentityType, "PGP"
	case cert.P256, cert.P384, cert.Ed25519:
		return ec.IdentityType, "PEM"
	}
	return rsa.IdentityType, "PEM"
}

// keyOwner is who a key is for; an empty signature means all.
type keyOwner struct{ identity, signature string }

type keySet map[keyOwner]ocm.Secret

// add reads a key and returns its text, and the algorithm that it is for; what is in it tells. consumer,
// if not empty, is who gets it instead of the one that is usual for such a key.
func (k keySet) add(signature, property, path, consumer string) (text, algorithm string, err error) {
	text, where, err := readKey(path)
	if err != nil {
		return "", "", err
	}
	if strings.TrimSpace(text) == "" {
		return "", "", fmt.Errorf("%s: it is empty: %w", where, ocm.ErrInvalid)
	}
	if err := checkKey(where, property, text); err != nil {
		return "", "", err
	}
	if algorithm, err = algorithmOf(text); err != nil {
		return "", "", fmt.Errorf("%s: %w", where, err)
	}
	identity, form := identityOf(algorithm)
	if consumer != "" {
		identity = consumer
	}
	owner, name := keyOwner{identity, signature}, property+form
	if k[owner] == nil {
		k[owner] = ocm.Secret{}
	}
	if k[owner][name] != "" {
		return "", "", usagef("%s: there is another key for the same signature; say which is for which by NAME=FILE", where)
	}
	k[owner][name], k[owner][name+"File"] = text, path // the file is for messages: it may be a pipe
	if where != "key file "+path {
		k[owner][name+"File"] = where
	}
	return text, algorithm, nil
}

// checkKey finds a key early that cannot be what it was given for. An OpenPGP key that is
// private has the public one in it.
func checkKey(where, property, text string) error {
	private := strings.Contains(text, "PRIVATE KEY")
	public := strings.Contains(text, "PUBLIC KEY") || strings.Contains(text, "CERTIFICATE")
	switch {
	case property == "privateKey" && private, property == "publicKey" && (public || strings.Contains(text, pgpMark)):
		return nil
	case property == "privateKey" && public:
		return withHint(fmt.Errorf("%s: expected a private key, found a public one: %w", where, ocm.ErrInvalid), "give the private key that belongs to it")
	case property == "privateKey":
		return withHint(fmt.Errorf("%s: no private key in it: %w", where, ocm.ErrInvalid), "\"ocm create rsakeypair\" makes a pair of keys")
	case private:
		return withHint(fmt.Errorf("%s: expected a public key, found a private one: %w", where, ocm.ErrInvalid), "give the public key, which \"ocm create rsakeypair\" wrote beside it")
	}
	return withHint(fmt.Errorf("%s: no public key in it: %w", where, ocm.ErrInvalid), "give the public key of the signer")
}

func (k keySet) credentials() ocm.Credentials {
	var entries []credentials.Entry
	for owner, secret := range k {
		id := ocm.Identity{"type": owner.identity}
		if owner.signature != "" {
			id["signature"] = owner.signature
		}
		entries = append(entries, credentials.Entry{Identity: id, Secret: secret})
	}
	return credentials.Static(entries...)
}

// demand adds properties to all keys that may come with certificates, of a signature or, without a name, of all.
func demand(c ocm.Credentials, signature string, properties ocm.Secret) ocm.Credentials {
	if len(properties) == 0 {
		return c
	}
	for _, typ := range [...]string{rsa.IdentityType, ec.IdentityType, pgp.IdentityType} {
		id := ocm.Identity{"type": typ}
		if signature != "" {
			id["signature"] = signature
		}
		c = credentials.Amend(c, credentials.Entry{Identity: id, Secret: properties})
	}
	return c
}
