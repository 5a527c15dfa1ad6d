// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"ocm"
)

var errNoRoot = errors.New("no trusted root")

// maxFile is the greatest size in bytes of a trusted root, key, token or configuration.
const maxFile = 1 << 20

// trust is what a verifier believes. It is the library's root.TrustedMaterial.
type trust struct {
	root.TrustedMaterial
	key     crypto.PublicKey // nil: keyless signatures only
	limited bool             // the key counts only for a time
	checker root.TimeConstrainedVerifier
}

// PublicKeyVerifier is the one key that was configured. The bundle's hint is not asked: anybody can write it.
func (t *trust) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) {
	if t.checker == nil {
		return nil, errors.New("no public key is configured")
	}
	return t.checker, nil
}

func verifierIdentity(name string) ocm.Identity {
	return ocm.Identity{"type": VerifierIdentityType, "signature": name}
}

// loadTrust reads the trusted root and the key for a signature.
func loadTrust(ctx context.Context, env *ocm.Env, name string, c *VerificationConfig) (*trust, error) {
	id := verifierIdentity(name)
	secret, err := env.Resolve(ctx, id)
	if err != nil && !errors.Is(err, ocm.ErrNotFound) {
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	}
	t := &trust{TrustedMaterial: &root.BaseTrustedMaterial{}}
	keys := ocm.Secret{"publicKeyPEM": c.PublicKeyPEM, "publicKeyPEMFile": c.PublicKeyPEMFile}
	if !has(keys, "publicKeyPEM") {
		keys = secret
	}
	if err := t.useKey(keys); err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	}
	text, err := property(secret, "trustedRootJSON")
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	}
	if text == "" && t.key != nil && c.PrivateInfrastructure && !t.limited {
		return t, nil // nothing is asked that a root could answer
	}
	if text == "" {
		return t, fmt.Errorf("%w: nothing is downloaded here, so get the trusted_root.json of the Sigstore installation that signed "+
			"(of the public one: the file of this name in its TUF repository) and set trustedRootJSONFile for the consumer %s: %w", errNoRoot, id, ocm.ErrNotFound)
	}
	return t, t.useRoot(text)
}

func (t *trust) useRoot(text string) error {
	r, err := root.NewTrustedRootFromJSON([]byte(text))
	if err != nil {
		return fmt.Errorf("trustedRootJSON: %v: %w", err, ocm.ErrInvalid)
	}
	t.TrustedMaterial = r
	return nil
}

// useKey takes the public key of a secret, if there is one.
func (t *trust) useKey(s ocm.Secret) error {
	text, err := property(s, "publicKeyPEM")
	if err != nil || text == "" {
		return err
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return fmt.Errorf("publicKeyPEM is not one PEM block PUBLIC KEY: %w", ocm.ErrInvalid)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return fmt.Errorf("publicKeyPEM holds more than one block: %w", ocm.ErrInvalid)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("publicKeyPEM: %v: %w", err, ocm.ErrInvalid)
	}
	from, err := timeProperty(s, "publicKeyNotBefore")
	if err != nil {
		return err
	}
	until, err := timeProperty(s, "publicKeyNotAfter")
	if err != nil {
		return err
	}
	return t.setKey(key, from, until)
}

// setKey trusts a key between two times, either of which may be zero.
func (t *trust) setKey(key crypto.PublicKey, from, until time.Time) error {
	// As it is in logs: Ed25519 keys sign a hash.
	v, err := signature.LoadDefaultVerifier(key, options.WithED25519ph())
	if err != nil {
		return fmt.Errorf("public key: %v: %w", err, ocm.ErrInvalid)
	}
	t.key, t.limited = key, !from.IsZero() || !until.IsZero()
	t.checker = root.NewExpiringKey(v, from, until)
	return nil
}

func timeProperty(s ocm.Secret, name string) (time.Time, error) {
	if s[name] == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s[name])
	if err != nil || t.IsZero() {
		return t, fmt.Errorf("%s %q, expected RFC 3339 as in 2026-01-31T00:00:00Z: %w", name, s[name], ocm.ErrInvalid)
	}
	return t, nil
}

// keyHint is how a key is named in bundles: the SHA-256 of its PKIX form.
func keyHint(key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "?"
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// property is a property of a secret or what the file says that the property with File names; "" if there is neither.
func property(s ocm.Secret, name string) (string, error) {
	text := s[name]
	if path := s[name+"File"]; text == "" && path != "" {
		raw, err := readFile(path)
		if err != nil {
			return "", fmt.Errorf("%sFile: %w", name, err)
		}
		if text = string(raw); text == "" {
			return "", fmt.Errorf("%sFile: %s is empty: %w", name, path, ocm.ErrInvalid)
		}
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("%s has more than %d bytes: %w", name, maxFile, ocm.ErrLimit)
	}
	return text, nil
}

// has reports whether a secret names a property, inline or as a file.
func has(s ocm.Secret, name string) bool { return s[name] != "" || s[name+"File"] != "" }

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}
