// SPDX-License-Identifier: Apache-2.0

package normalise

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"

	"ocm"
)

// Digest computes the digest of d. Hash algorithms are [ocm.SHA256] and [ocm.SHA512];
// any other is [ocm.ErrUnknownType]. Other errors are those of [Normalise].
func Digest(d *ocm.Descriptor, hashAlgorithm, algorithm string) (ocm.Digest, error) {
	if hashAlgorithm != ocm.SHA256 && hashAlgorithm != ocm.SHA512 {
		return ocm.Digest{}, unknownHash(hashAlgorithm)
	}
	raw, err := Normalise(d, algorithm)
	if err != nil {
		return ocm.Digest{}, err
	}
	value := hex.EncodeToString(sum(hashAlgorithm, raw))
	return ocm.Digest{HashAlgorithm: hashAlgorithm, NormalisationAlgorithm: algorithm, Value: value}, nil
}

// Matches returns nil if d has the digest, in one of the forms of [Candidates].
// Otherwise the error wraps [ocm.ErrDigest] and says what was expected and found.
// The legacy hash names sha256 and sha512 are accepted, others are
// [ocm.ErrUnknownType]: a digest that cannot be computed never matches.
func Matches(d *ocm.Descriptor, want ocm.Digest) error {
	name := fmt.Sprintf("component descriptor %s:%s", d.Component.Name, d.Component.Version)
	hash, value, err := expected(want)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	forms, err := Candidates(d, want.NormalisationAlgorithm)
	if err != nil {
		return err
	}
	for _, raw := range forms {
		if bytes.Equal(sum(hash, raw), value) {
			return nil
		}
	}
	return fmt.Errorf("%s, %s with %s: expected %s, found %x%s: %w", name,
		want.NormalisationAlgorithm, hash, want.Value, sum(hash, forms[0]), hint(d, hash, want, value), ocm.ErrDigest)
}

// expected reads a digest: the hash by its name of today, and the bytes.
func expected(d ocm.Digest) (hash string, value []byte, err error) {
	switch hash = d.HashAlgorithm; hash {
	case ocm.SHA256, ocm.SHA512:
	case "sha256":
		hash = ocm.SHA256
	case "sha512":
		hash = ocm.SHA512
	default:
		return "", nil, unknownHash(hash)
	}
	if value, err = hex.DecodeString(d.Value); err != nil {
		return "", nil, fmt.Errorf("the expected digest %.140q is not hexadecimal: %w", d.Value, ocm.ErrDigest)
	}
	return hash, value, nil
}

// hint recognises the one near miss that deserves an explanation: a digest named V3
// that leaves out what V3 covers.
func hint(d *ocm.Descriptor, hash string, want ocm.Digest, value []byte) string {
	if want.NormalisationAlgorithm != V3 {
		return ""
	}
	raw, err := canonical(d, v4)
	if err != nil || !bytes.Equal(sum(hash, raw), value) {
		return ""
	}
	return " (the expected one is that of " + V4 + ", which does not cover versions and null members of labels: " +
		"they may have been added after signing)"
}

func sum(hash string, raw []byte) []byte {
	if hash == ocm.SHA512 {
		s := sha512.Sum512(raw)
		return s[:]
	}
	s := sha256.Sum256(raw)
	return s[:]
}

func unknownHash(name string) error {
	return fmt.Errorf("hash algorithm %.40q: expected %s or %s: %w", name, ocm.SHA256, ocm.SHA512, ocm.ErrUnknownType)
}
