// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/normalise"
)

// RequestType is the type of a [Request].
const RequestType = "signingrequest.ocm.software/v1alpha1"

// Request asks somebody who has the key, on another machine, to sign a component version. It carries
// all that is signed, so that it can be judged there: Digest is the hash of Normalised.
type Request struct {
	Type       string     `json:"type"` // RequestType
	Component  string     `json:"component"`
	Version    string     `json:"version"`
	Signature  string     `json:"signature"` // name of the signature
	Algorithm  string     `json:"algorithm"` // of the signature, a proposal
	Digest     ocm.Digest `json:"digest"`
	Normalised string     `json:"normalised"` // the canonical bytes of the descriptor
}

// NewRequest does everything for a signature but to sign: digests are completed and compared, as by
// [SignVersion], whose errors it has. Nothing is stored; what is completed is completed again by [Attach].
func NewRequest(ctx context.Context, kit *ocm.Kit, env *ocm.Env, locate Locate, repo ocm.Repository, v ocm.Version, o SignOptions) (*Request, error) {
	o.Recursive = false
	o.defaults()
	s := &signing{kit: kit, env: env, o: o}
	if err := s.plan(ctx, locate, repo, v); err != nil {
		return nil, err
	}
	t := s.tasks[0]
	text, err := normalise.Normalise(t.desc, o.Normalisation)
	if err != nil {
		return nil, err
	}
	c := &t.desc.Component
	return &Request{Type: RequestType, Component: c.Name, Version: c.Version, Signature: o.Name, Algorithm: o.Algorithm,
		Digest: t.sig.Digest, Normalised: string(text)}, nil
}

// Check makes sure that a request is of one piece: its digest is that of its canonical bytes, and those are
// of the component version that it names. [ocm.ErrDigest], [ocm.ErrInvalid] or [ocm.ErrUnknownType].
func (r *Request) Check() error {
	if r.Type != RequestType {
		return fmt.Errorf("signing request of type %q, expected %s: %w", r.Type, RequestType, ocm.ErrInvalid)
	}
	if r.Component == "" || r.Version == "" || r.Signature == "" {
		return fmt.Errorf("signing request without component, version or name of the signature: %w", ocm.ErrInvalid)
	}
	var sum []byte
	switch r.Digest.HashAlgorithm {
	case ocm.SHA256:
		h := sha256.Sum256([]byte(r.Normalised))
		sum = h[:]
	case ocm.SHA512:
		h := sha512.Sum512([]byte(r.Normalised))
		sum = h[:]
	default:
		return fmt.Errorf("signing request: hash algorithm %q, expected %s or %s: %w", r.Digest.HashAlgorithm, ocm.SHA256, ocm.SHA512, ocm.ErrUnknownType)
	}
	if found := hex.EncodeToString(sum); found != r.Digest.Value {
		return fmt.Errorf("signing request: its canonical bytes have the digest %s, but it asks to sign %s: %w", found, r.Digest.Value, ocm.ErrDigest)
	}
	return r.checkName()
}

// checkName compares the names in the canonical bytes with those of the request.
func (r *Request) checkName() error {
	if !strings.HasPrefix(r.Digest.NormalisationAlgorithm, "jsonNormalisation/v") {
		return fmt.Errorf("signing request: normalisation %q: %w", r.Digest.NormalisationAlgorithm, ocm.ErrUnknownType)
	}
	var doc struct {
		Component struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"component"`
	}
	if err := jsonv2.Unmarshal([]byte(r.Normalised), &doc); err != nil {
		return fmt.Errorf("signing request: its canonical bytes are no JSON: %w", ocm.ErrInvalid)
	}
	if c := doc.Component; c.Name != r.Component || c.Version != r.Version {
		return fmt.Errorf("signing request: it names %s:%s, but its canonical bytes are of %s:%s: %w", r.Component, r.Version, c.Name, c.Version, ocm.ErrInvalid)
	}
	return nil
}

// Attach stores a signature that was made elsewhere, for a request of [NewRequest] or for the bare digest,
// just as [SignVersion] stores its own. The digest is computed again by the algorithms that the signature
// names, and must be the very same: [ocm.ErrDigest]. If a key to judge it with is known, the signature must be
// good: [ocm.ErrSignature]; if none is known, judged is false.
//
// o.Timestamp is asked if the signature has no timestamp. o.Name, Algorithm, Hash, Normalisation and Spec
// are taken from the signature.
func Attach(ctx context.Context, kit *ocm.Kit, env *ocm.Env, locate Locate, repo ocm.Repository, v ocm.Version,
	sig ocm.Signature, o SignOptions) (stored Signed, judged bool, err error) {
	if sig.Name == "" || sig.Signature.Value == "" || sig.Digest.Empty() {
		return Signed{}, false, fmt.Errorf("signature without name, digest or value: %w", ocm.ErrInvalid)
	}
	o.Recursive = false
	o.Name, o.Algorithm, o.Spec = sig.Name, sig.Signature.Algorithm, ocm.Spec{}
	o.Hash, o.Normalisation = sig.Digest.HashAlgorithm, sig.Digest.NormalisationAlgorithm
	o.defaults()
	s := &signing{kit: kit, env: env, o: o, given: &sig}
	if err := s.plan(ctx, locate, repo, v); err != nil {
		return Signed{}, false, err
	}
	list, err := s.run(ctx)
	if err != nil {
		return Signed{}, false, err
	}
	return list[0], s.judged, nil
}

// take judges a signature that was made elsewhere.
func (s *signing) take(ctx context.Context, t *task) error {
	want, given := t.sig.Digest, s.given.Digest
	if want.HashAlgorithm != given.HashAlgorithm || want.NormalisationAlgorithm != given.NormalisationAlgorithm || want.Value != given.Value {
		return fmt.Errorf("it does not fit this version: it is over %s, the version has %s: %w", &given, &want, ocm.ErrDigest)
	}
	t.sig = *s.given
	if err := s.stamp(ctx, &t.sig); err != nil {
		return err
	}
	err := s.judge(ctx, t.sig)
	if s.judged = err == nil; !s.judged && (s.o.Check || !errors.Is(err, ocm.ErrNotFound)) {
		return err
	}
	return nil
}
