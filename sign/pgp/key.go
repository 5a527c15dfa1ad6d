// SPDX-License-Identifier: Apache-2.0

package pgp

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"ocm"
)

const (
	// MaxSignatureSize is the greatest length of a signature value in bytes.
	MaxSignatureSize = 64 << 10
	// MaxKeyRingSize is the greatest size in bytes of a key property or its file.
	MaxKeyRingSize = 1 << 20
)

const (
	begin = "-----BEGIN PGP "
	end   = "-----END PGP "
)

// decodeSignature takes the one signature out of its armour and returns it with the id
// of the key that is said to have made it.
func decodeSignature(text string) (raw []byte, issuer uint64, err error) {
	if len(text) > MaxSignatureSize {
		return nil, 0, fmt.Errorf("value has %d bytes, at most %d are accepted: %w", len(text), MaxSignatureSize, ocm.ErrLimit)
	}
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, begin) || strings.Count(text, begin) != 1 || !strings.HasSuffix(text, end+"SIGNATURE-----") {
		return nil, 0, fmt.Errorf("value is not one armoured OpenPGP signature: %w", ocm.ErrInvalid)
	}
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil || block.Type != openpgp.SignatureType {
		return nil, 0, fmt.Errorf("value is not one armoured OpenPGP signature: %w", ocm.ErrInvalid)
	}
	if raw, err = io.ReadAll(block.Body); err != nil {
		return nil, 0, fmt.Errorf("armour of the OpenPGP signature: %v: %w", err, ocm.ErrInvalid)
	}
	packets := packet.NewReader(strings.NewReader(string(raw)))
	p, err := packets.Next()
	if err != nil {
		return nil, 0, fmt.Errorf("OpenPGP signature: %v: %w", err, ocm.ErrInvalid)
	}
	sig, ok := p.(*packet.Signature)
	if !ok || sig.IssuerKeyId == nil {
		return nil, 0, fmt.Errorf("OpenPGP data is no signature that names its key: %w", ocm.ErrInvalid)
	}
	// Text signatures cover several documents: line ends count as equal.
	if sig.SigType != packet.SigTypeBinary {
		return nil, 0, fmt.Errorf("OpenPGP signature is of type %#x, expected one of a binary document: %w", sig.SigType, ocm.ErrInvalid)
	}
	if _, err := packets.Next(); err != io.EOF {
		return nil, 0, fmt.Errorf("OpenPGP signature is followed by more data: %w", ocm.ErrInvalid)
	}
	return raw, *sig.IssuerKeyId, nil
}

// source says in messages where the text of a property is from. A file that is named beside
// inline text is where that text is from.
func source(s ocm.Secret, property string) string {
	switch path := s[property+"File"]; {
	case path == "":
		return property
	case s[property] == "":
		return property + "File " + path
	default:
		return path
	}
}

// readKeys reads all armoured blocks of a property.
func readKeys(s ocm.Secret, property string) (openpgp.EntityList, error) {
	text, where := s[property], source(s, property)
	if path := s[property+"File"]; text == "" && path != "" {
		raw, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("%sFile: %w", property, err)
		}
		text = string(raw)
	} else if text == "" {
		return nil, nil
	}
	if len(text) > MaxKeyRingSize {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", where, MaxKeyRingSize, ocm.ErrLimit)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return keys, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxKeyRingSize+1))
}

// parseKeys reads every armoured block: exported keys are often put one after the other.
func parseKeys(text string) (keys openpgp.EntityList, err error) {
	for {
		_, after, ok := strings.Cut(text, begin)
		if !ok {
			break
		}
		body, rest, ok := strings.Cut(after, end)
		if !ok {
			return nil, fmt.Errorf("armoured key block has no end: %w", ocm.ErrInvalid)
		}
		// The library's message may quote what it read, so it is not passed on.
		more, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + body + end + "-----\n"))
		if err != nil {
			return nil, fmt.Errorf("armoured block %d cannot be read as OpenPGP keys: %w", len(keys)+1, ocm.ErrInvalid)
		}
		keys, text = append(keys, more...), rest
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no armoured OpenPGP key in it: %w", ocm.ErrInvalid)
	}
	return keys, nil
}

// choose keeps the entities that the fingerprint names by primary key or subkey.
func choose(keys openpgp.EntityList, fingerprint string) (openpgp.EntityList, error) {
	if fingerprint == "" {
		return keys, nil
	}
	var chosen openpgp.EntityList
	for _, e := range keys {
		named := matches(e.PrimaryKey, fingerprint)
		for _, sub := range e.Subkeys {
			named = named || matches(sub.PublicKey, fingerprint)
		}
		if named {
			chosen = append(chosen, e)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no key with fingerprint %s: %w", fingerprint, ocm.ErrNotFound)
	}
	return chosen, nil
}

// verifyingKeys are the public keys of a secret, or else its private ones.
func verifyingKeys(s ocm.Secret, fingerprint string) (openpgp.EntityList, error) {
	for _, property := range []string{"publicKeyPGP", "privateKeyPGP"} {
		keys, err := readKeys(s, property)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 {
			return choose(keys, fingerprint)
		}
	}
	return nil, fmt.Errorf("public key not found: set publicKeyPGP or publicKeyPGPFile: %w", ocm.ErrNotFound)
}

// signingEntity is the chosen private key, unlocked.
func signingEntity(s ocm.Secret, fingerprint string) (*openpgp.Entity, error) {
	keys, err := readKeys(s, "privateKeyPGP")
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("private key not found: set privateKeyPGP or privateKeyPGPFile: %w", ocm.ErrNotFound)
	}
	if keys, err = choose(keys, fingerprint); err != nil {
		return nil, err
	}
	for _, e := range keys {
		if e.PrivateKey != nil {
			return e, unlock(e, s["passphrase"])
		}
	}
	return nil, fmt.Errorf("there are only public keys in %s: %w", source(s, "privateKeyPGP"), ocm.ErrInvalid)
}

func unlock(e *openpgp.Entity, passphrase string) error {
	private := []*packet.PrivateKey{e.PrivateKey}
	for _, sub := range e.Subkeys {
		private = append(private, sub.PrivateKey)
	}
	locked := false
	for _, p := range private {
		locked = locked || p != nil && p.Encrypted && !p.Dummy()
	}
	if !locked {
		return nil
	}
	if passphrase == "" {
		return fmt.Errorf("key %X needs a passphrase: set the property passphrase: %w", e.PrimaryKey.Fingerprint, ocm.ErrInvalid)
	}
	if err := e.DecryptPrivateKeys([]byte(passphrase)); err != nil {
		return fmt.Errorf("the passphrase does not open key %X: %w", e.PrimaryKey.Fingerprint, ocm.ErrInvalid)
	}
	return nil
}
