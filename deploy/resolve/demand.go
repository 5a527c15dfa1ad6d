// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"ocm"
	"ocm/credentials"
	"ocm/graph"
	"ocm/sign/cert"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
	"ocm/sign/sigstore"
)

const (
	// MaxDemands bounds the signatures that are demanded of one version.
	MaxDemands = 100
	// MaxKey bounds each key, certificate or trusted root, in bytes.
	MaxKey = 1 << 20
)

// Demand is a signature that must be there and good.
type Demand struct {
	Signature   string
	Key         []byte // PEM or armored OpenPGP; empty with Sigstore
	CA, TSA     []byte // PEM
	Issuer      string
	Fingerprint string
	Sigstore    *Sigstore
}

// Sigstore says who must have signed; see [ocm/sign/sigstore].
type Sigstore struct {
	TrustedRoot                                    []byte
	Identity, IdentityRegexp, Issuer, IssuerRegexp string
	PrivateInfrastructure                          bool
}

// trust are demands that were understood. It is the credentials for verifying: keys that a configuration has are not asked, or whoever
// has one of those could sign in place of who was named.
type trust struct {
	demands map[string]demanded // by signature
	names   []string
	keys    ocm.Credentials
	others  ocm.Credentials // for everything else, such as registries
}

// demanded is what a signature must be.
type demanded struct {
	consumers []string // whose key it is judged by
	spec      ocm.Spec // of the verifier
}

// trustOf reads demands. [ocm.ErrInvalid] says which of them cannot be met by any signature.
func trustOf(demands []Demand, others ocm.Credentials) (*trust, error) {
	if len(demands) > MaxDemands {
		return nil, fmt.Errorf("verify: %d entries, accepted are %d: %w", len(demands), MaxDemands, ocm.ErrLimit)
	}
	t := &trust{demands: map[string]demanded{}, others: others}
	var entries []credentials.Entry
	for i, d := range demands {
		if _, twice := t.demands[d.Signature]; twice || d.Signature == "" {
			return nil, fmt.Errorf("spec.verify[%d]: signature %q: expected each name once: %w", i, d.Signature, ocm.ErrInvalid)
		}
		what, secret, err := d.read()
		if err != nil {
			return nil, fmt.Errorf("spec.verify[%d]: signature %q: %w", i, d.Signature, err)
		}
		for _, consumer := range what.consumers {
			entries = append(entries, credentials.Entry{Identity: ocm.Identity{"type": consumer, "signature": d.Signature}, Secret: secret})
		}
		t.demands[d.Signature] = what
		t.names = append(t.names, d.Signature)
	}
	t.keys = credentials.Static(entries...)
	return t, nil
}

// Check says which demand no signature can meet, such as one with a key that cannot be read: [ocm.ErrInvalid] or [ocm.ErrLimit] with
// its field, spec.verify[i].
func (*Resolver) Check(demands []Demand) error {
	_, err := trustOf(demands, nil)
	return err
}

// read makes a secret of a demand, for those consumers only that its key is for.
func (d Demand) read() (what demanded, secret ocm.Secret, err error) {
	for _, text := range [...][]byte{d.Key, d.CA, d.TSA} {
		if len(text) > MaxKey {
			return what, nil, fmt.Errorf("a key of %d bytes, accepted are %d: %w", len(text), MaxKey, ocm.ErrLimit)
		}
	}
	if bytes.Contains(d.Key, []byte("PRIVATE KEY")) {
		return what, nil, fmt.Errorf("the key is a private one, expected the public one that belongs to it: %w", ocm.ErrInvalid)
	}
	key := string(bytes.TrimSpace(d.Key))
	secret = ocm.Secret{}
	switch {
	case d.Sigstore != nil:
		return d.readSigstore(key)
	case key == "" && len(bytes.TrimSpace(d.CA)) == 0:
		return what, nil, fmt.Errorf("expected a key, an authority or a Sigstore identity: without one anybody could have signed: %w", ocm.ErrInvalid)
	case key == "":
		what.consumers = []string{rsa.IdentityType, ec.IdentityType}
	case bytes.HasPrefix([]byte(key), []byte("-----BEGIN PGP")):
		return d.readPGP(key)
	default:
		kind, err := cert.Kind([]byte(key))
		if err != nil {
			return what, nil, fmt.Errorf("key: %w", err)
		}
		what.consumers = []string{ec.IdentityType}
		if kind == cert.RSA {
			what.consumers = []string{rsa.IdentityType}
		}
		secret["publicKeyPEM"] = key
	}
	if d.Fingerprint != "" {
		return what, nil, fmt.Errorf("a fingerprint is for OpenPGP keys: %w", ocm.ErrInvalid)
	}
	for name, value := range map[string]string{"caCertPEM": string(d.CA), "tsaCertPEM": string(d.TSA), "issuer": d.Issuer} {
		if value != "" {
			secret[name] = value
		}
	}
	return what, secret, nil
}

func (d Demand) readPGP(key string) (what demanded, secret ocm.Secret, err error) {
	what.consumers = []string{pgp.IdentityType}
	if len(d.CA) > 0 || d.Issuer != "" {
		return what, nil, fmt.Errorf("an OpenPGP key has no certificate, demand its fingerprint: %w", ocm.ErrInvalid)
	}
	if d.Fingerprint != "" {
		what.spec, err = ocm.NewSpec(map[string]string{"type": "GPGSigningConfiguration/v1alpha1", "keyFingerprint": d.Fingerprint})
	}
	secret = ocm.Secret{"publicKeyPGP": key}
	if len(d.TSA) > 0 {
		secret["tsaCertPEM"] = string(d.TSA)
	}
	return what, secret, err
}

func (d Demand) readSigstore(key string) (what demanded, secret ocm.Secret, err error) {
	s := d.Sigstore
	what.consumers = []string{sigstore.VerifierIdentityType}
	switch who := s.Identity+s.IdentityRegexp != ""; {
	case len(d.CA)+len(d.TSA)+len(d.Fingerprint)+len(d.Issuer) > 0:
		return what, nil, fmt.Errorf("authorities of Sigstore signatures are in the trusted root: leave out ca, tsa, issuer and fingerprint: %w", ocm.ErrInvalid)
	case len(s.TrustedRoot) > MaxKey:
		return what, nil, fmt.Errorf("trusted root of %d bytes, accepted are %d: %w", len(s.TrustedRoot), MaxKey, ocm.ErrLimit)
	case len(s.TrustedRoot) == 0:
		return what, nil, fmt.Errorf("sigstore: the trusted root is missing, none is downloaded: %w", ocm.ErrInvalid)
	case who != (s.Issuer+s.IssuerRegexp != ""):
		return what, nil, fmt.Errorf("sigstore: who has signed is an identity and the service that knows it: give both: %w", ocm.ErrInvalid)
	case !who && key == "":
		return what, nil, fmt.Errorf("sigstore: expected an identity with its issuer, or a key: without one anybody could have signed: %w", ocm.ErrInvalid)
	}
	what.spec, err = ocm.NewSpec(sigstore.VerificationConfig{Type: "SigstoreVerificationConfiguration/v1alpha1", Issuer: s.Issuer, IssuerRegexp: s.IssuerRegexp,
		Identity: s.Identity, IdentityRegexp: s.IdentityRegexp, PrivateInfrastructure: s.PrivateInfrastructure, PublicKeyPEM: key})
	return what, ocm.Secret{"trustedRootJSON": string(s.TrustedRoot)}, err
}

// Resolve implements [ocm.Credentials].
func (t *trust) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	switch id["type"] {
	case rsa.IdentityType, ec.IdentityType, pgp.IdentityType, sigstore.VerifierIdentityType:
		return t.keys.Resolve(ctx, id)
	}
	if t.others == nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
	}
	return t.others.Resolve(ctx, id)
}

// String hides what is inside.
func (t *trust) String() string { return "what is demanded of signatures" }

// GoString hides what is inside.
func (t *trust) GoString() string { return t.String() }

// options are those of a verification: of the signatures that are demanded, each by the key that it was demanded with.
func (t *trust) options(content bool) graph.VerifyOptions {
	return graph.VerifyOptions{Signatures: t.names, NoContent: !content,
		Spec:   func(sig ocm.Signature) ocm.Spec { return t.demands[sig.Name].spec },
		Demand: t.demand}
}

// demand refuses signatures of another kind than the key that is demanded.
func (t *trust) demand(selected []ocm.Signature) error {
	for _, sig := range selected {
		if consumer := consumerOf(sig.Signature.Algorithm); !slices.Contains(t.demands[sig.Name].consumers, consumer) {
			return fmt.Errorf("signature %q is of algorithm %.80q, for which the key that is demanded is not: %w", sig.Name, sig.Signature.Algorithm, ocm.ErrSignature)
		}
	}
	return nil
}

// consumerOf is the consumer whose key judges signatures of an algorithm; empty if that is not known.
func consumerOf(algorithm string) string {
	for consumer, algorithms := range map[string][]string{rsa.IdentityType: rsa.Algorithms, ec.IdentityType: ec.Algorithms,
		pgp.IdentityType: {pgp.Algorithm}, sigstore.VerifierIdentityType: sigstore.VerifierNames} {
		if slices.Contains(algorithms, algorithm) {
			return consumer
		}
	}
	return ""
}
