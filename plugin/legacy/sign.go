// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"context"
	"fmt"
	"strings"

	"ocm"
	"ocm/plugin/wire"
)

// Limits of an answered signature, in bytes.
const (
	maxSignature = 1 << 20
	maxLabel     = 1000 // algorithm, media type, issuer
)

// signing is a type of signing configurations.
type signing struct {
	plugin *Plugin
	typ    specType
}

// digestBody is a digest as such plugins know it.
type digestBody struct {
	HashAlgorithm          string `json:"hashAlgorithm"`
	NormalisationAlgorithm string `json:"normalisationAlgorithm"`
	Value                  string `json:"value"`
}

// valueBody is a signature without its name and its digest.
type valueBody struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
	MediaType string `json:"mediaType"`
	Issuer    string `json:"issuer,omitempty"`
}

func bodyOf(d ocm.Digest) digestBody {
	return digestBody{d.HashAlgorithm, d.NormalisationAlgorithm, d.Value}
}

// config is what a plugin is given as configuration: it needs at least a type.
func (s signing) config(spec ocm.Spec) ocm.Spec {
	if spec.Type == "" || len(spec.Raw) == 0 {
		return ocm.Spec{Type: s.typ.Type}
	}
	return spec
}

// Sign implements [ocm.Signer]. It is never asked twice.
func (s signing) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, spec ocm.Spec) (v ocm.SignatureValue, err error) {
	spec = s.config(spec)
	i, err := s.plugin.prepared(ctx, s.typ, spec)
	if err != nil {
		return v, err
	}
	auth, err := i.authorizer(env, "/sign/identity", map[string]any{"digest": bodyOf(d), "config": spec, "name": name})(ctx)
	if err != nil {
		return v, err
	}
	var answer struct {
		Signature *valueBody `json:"signature"`
	}
	if err := i.ask(ctx, question{path: "/sign", body: map[string]any{"digest": bodyOf(d), "config": spec}, auth: auth}, &answer); err != nil {
		return v, err
	}
	if err := answer.Signature.check(); err != nil {
		return v, s.plugin.named(fmt.Errorf("/sign: its answer: %w: %w", err, ocm.ErrInvalid))
	}
	a := answer.Signature
	return ocm.SignatureValue{Algorithm: a.Algorithm, MediaType: a.MediaType, Value: a.Value, Issuer: a.Issuer}, nil
}

// check holds an answer to what may stand in a descriptor.
func (v *valueBody) check() error {
	switch {
	case v == nil:
		return fmt.Errorf("no signature")
	case v.Algorithm == "" || v.Value == "":
		return fmt.Errorf("a signature without algorithm or value")
	case len(v.Value) > maxSignature:
		return fmt.Errorf("a signature of %d bytes, accepted are %d", len(v.Value), maxSignature)
	}
	for _, text := range []string{v.Algorithm, v.MediaType, v.Issuer} {
		if text != wire.Text(text, maxLabel) || strings.ContainsAny(text, "\n\t") {
			return fmt.Errorf("%q is no name", shown(text))
		}
	}
	return nil
}

// Verify implements [ocm.Verifier]. Such a plugin says that a signature is good, and nothing else: who has signed is whoever it
// trusts, by what its configuration and its credentials say.
func (s signing) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, spec ocm.Spec) ([]ocm.Finding, error) {
	spec = s.config(spec)
	i, err := s.plugin.prepared(ctx, s.typ, spec)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"config": spec, "signature": map[string]any{
		"name": sig.Name, "digest": bodyOf(sig.Digest),
		"signature": valueBody{sig.Signature.Algorithm, sig.Signature.Value, sig.Signature.MediaType, sig.Signature.Issuer},
	}}
	auth, err := i.authorizer(env, "/verify/identity", body)(ctx)
	if err != nil {
		return nil, err
	}
	var answer map[string]ocm.RawJSON
	if err := i.ask(ctx, question{path: "/verify", body: body, auth: auth, again: true}, &answer); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &ocm.CheckError{Check: ocm.FoundValue, Err: fmt.Errorf("%v: %w", err, ocm.ErrSignature)} //nolint:errorlint // whatever it was, it is no good signature
	}
	if answer == nil {
		return nil, s.plugin.named(fmt.Errorf("/verify: its answer is no object: %w", ocm.ErrSignature))
	}
	return []ocm.Finding{
		{Check: ocm.FoundValue, Detail: "accepted by the plugin " + s.plugin.name},
		{Check: ocm.FoundSigner, Detail: "somebody whom the plugin " + s.plugin.name + " trusts"},
	}, nil
}
