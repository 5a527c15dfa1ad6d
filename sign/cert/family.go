// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ocm"
)

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
	SignatureAlgorithm string `json:"signatureAlgorithm,omitempty" about:"name of the algorithm; default: that of the family, or what fits the key"`
	EncodingPolicy     string `json:"signatureEncodingPolicy,omitempty" about:"Plain (default), or PEM: with the certificates of the signer"`
}

// Algorithm is one signature algorithm.
type Algorithm struct {
	Name      string // in signatures
	Kind      string // of its keys, one of the constants of this package
	MediaType string // of plain signatures; several algorithms may share one
	// Options are those of [crypto.Signer] for a digest that was made with the hash.
	Options func(crypto.Hash) crypto.SignerOpts
	// Verify reports whether the signature is one of the digest by the key, which is of the Kind.
	Verify func(key crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool
}

// Family is a group of algorithms with one configuration type and one type of consumer identity. It
// is a value that its package makes once; methods do not change it.
type Family struct {
	Name         string   // for messages
	IdentityType string   // type of the consumer identity that keys are asked for with
	ConfigTypes  []string // the first one is the current name
	Algorithms   []Algorithm
	Default      string // algorithm of signatures if the configuration has none; empty: it follows from the key
}

// Names are the names of the algorithms.
func (f *Family) Names() []string {
	names := make([]string, len(f.Algorithms))
	for i := range f.Algorithms {
		names[i] = f.Algorithms[i].Name
	}
	return names
}

func (f *Family) algorithm(name string) (Algorithm, bool) {
	i := slices.IndexFunc(f.Algorithms, func(a Algorithm) bool { return a.Name == name })
	if i < 0 {
		return Algorithm{}, false
	}
	return f.Algorithms[i], true
}

// namesOf are the algorithms of a media type.
func (f *Family) namesOf(mediaType string) (names []string) {
	for _, a := range f.Algorithms {
		if a.MediaType == mediaType {
			names = append(names, a.Name)
		}
	}
	return names
}

func (f *Family) mediaTypes() []string {
	all := []string{MediaTypePEM}
	for _, a := range f.Algorithms {
		all = append(all, a.MediaType)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (f *Family) identity(algorithm, signature string) ocm.Identity {
	return ocm.Identity{"type": f.IdentityType, "algorithm": algorithm, "signature": signature}
}

// Sign signs the digest with the key that is configured for the signature's name. The
// spec is a [Config], or only a type that is the name of an algorithm, or zero.
// [ocm.ErrNotFound] if there is no key, [ocm.ErrInvalid] if it or the digest is unfit.
func (f *Family) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	v, err := f.sign(ctx, env, name, d, s)
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q with %s: %w", name, f.Name, err)
	}
	return v, nil
}

func (f *Family) sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	var none ocm.SignatureValue
	cfg, err := f.parseConfig(s)
	if err != nil {
		return none, err
	}
	hash, sum, err := hashed(d, false)
	if err != nil {
		return none, err
	}
	k, err := f.signingKey(ctx, env, name, cfg.SignatureAlgorithm)
	if err != nil {
		return none, err
	}
	raw, err := k.key.Sign(rand.Reader, sum, k.algorithm.Options(hash))
	if err != nil {
		return none, err
	}
	if cfg.EncodingPolicy == Plain {
		return EncodePlain(k.algorithm, raw), nil
	}
	certs, err := signingCertificates(k.secret, k.key.Public(), env.Time())
	if err != nil {
		return none, fmt.Errorf("credentials for %s: %w", f.identity(k.algorithm.Name, name), err)
	}
	return EncodePEM(k.algorithm.Name, raw, certs), nil
}

type signingKey struct {
	algorithm Algorithm
	secret    ocm.Secret
	key       crypto.Signer
}

// signingKey finds the key for an algorithm, or for any of the family if none is named. Of several
// errors the first one counts, and one about a key that is there more than that another is not.
func (f *Family) signingKey(ctx context.Context, env *ocm.Env, signature, algorithm string) (signingKey, error) {
	var missing, unfit error
	for _, a := range f.Algorithms {
		if algorithm != "" && a.Name != algorithm {
			continue
		}
		id := f.identity(a.Name, signature)
		secret, err := env.Resolve(ctx, id)
		if err != nil {
			err = fmt.Errorf("no private key, configure one for the consumer %s: %w", id, err)
			if !errors.Is(err, ocm.ErrNotFound) {
				return signingKey{}, err
			}
			missing = cmp.Or(missing, err)
			continue
		}
		key, err := PrivateKey(secret, a.Kind)
		if err == nil {
			err = pair(secret, key.Public(), a.Kind)
		}
		if err == nil {
			return signingKey{a, secret, key}, nil
		}
		unfit = cmp.Or(unfit, fmt.Errorf("credentials for %s: %w", id, err))
	}
	return signingKey{}, cmp.Or(unfit, missing)
}

// pair refuses a private key beside the public key of another one: whoever verifies would use that.
func pair(s ocm.Secret, key crypto.PublicKey, kind string) error {
	text, name, err := publicKeyProperty().read(s)
	if err != nil || text == nil {
		return err
	}
	public, certs, err := parsePublicKey(text, kind)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(certs) == 0 && !equal(public, key) {
		return fmt.Errorf("%s: it does not belong to the private key: %w", name, ocm.ErrInvalid)
	}
	return nil // certificates are judged where they are used
}

// Verify judges a signature. Every error wraps [ocm.ErrSignature]. The check is for timestamps; nil
// if they cannot be judged.
func (f *Family) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec, check TimeCheck) ([]ocm.Finding, error) {
	found, err := f.verify(ctx, env, sig, s, check)
	if err != nil {
		return found, fmt.Errorf("signature %q: %w: %w", sig.Name, ocm.ErrSignature, err)
	}
	return found, nil
}

func (f *Family) verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec, check TimeCheck) ([]ocm.Finding, error) {
	if _, err := f.parseConfig(s); err != nil {
		return nil, err
	}
	hash, sum, err := hashed(sig.Digest, true)
	if err != nil {
		return nil, failed(ocm.FoundValue, err)
	}
	v, err := f.Decode(sig.Signature)
	if err != nil {
		return nil, failed(ocm.FoundValue, err)
	}
	id := f.identity(v.Algorithm.Name, sig.Name)
	secret, err := env.Resolve(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("no public key, configure one for the consumer %s: %w", id, err)
	}
	trust, err := LoadTrust(secret, v.Algorithm.Kind)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	}
	j, err := trust.Judge(v, sig, env.Time(), check)
	if err != nil {
		return j.Findings, err
	}
	if !v.Algorithm.Verify(j.Key, hash, sum, v.Raw) {
		place := "the key of its certificate"
		if len(v.Chain) == 0 {
			place = "the key in " + trust.from
		}
		return j.Findings, failed(ocm.FoundValue, fmt.Errorf("the %s signature does not fit %s: it was made with another key, or the version was changed", v.Algorithm.Name, place))
	}
	return append(j.Findings, ocm.Finding{Check: ocm.FoundValue, Detail: v.Algorithm.Name}, ocm.Finding{Check: ocm.FoundSigner, Detail: j.Signer}), nil
}

// failed is the failure of a named check.
func failed(check string, err error) error { return &ocm.CheckError{Check: check, Err: err} }

// parseConfig reads the configuration and fills in the defaults.
func (f *Family) parseConfig(s ocm.Spec) (Config, error) {
	var c Config
	names := f.Names()
	switch {
	case s.Type == "":
	case slices.Contains(names, s.Type):
		c.SignatureAlgorithm = s.Type
	case slices.Contains(f.ConfigTypes, s.Type):
		if err := s.Decode(&c); err != nil {
			return c, err
		}
	default:
		return c, fmt.Errorf("configuration type %q is not one for %s, expected %s: %w", s.Type, f.Name, f.ConfigTypes[0], ocm.ErrUnknownType)
	}
	if c.SignatureAlgorithm == "" {
		c.SignatureAlgorithm = f.Default
	}
	if c.EncodingPolicy == "" {
		c.EncodingPolicy = Plain
	}
	if c.SignatureAlgorithm != f.Default && !slices.Contains(names, c.SignatureAlgorithm) {
		return c, fmt.Errorf("signatureAlgorithm %q, expected %s: %w", c.SignatureAlgorithm, strings.Join(names, " or "), ocm.ErrInvalid)
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
