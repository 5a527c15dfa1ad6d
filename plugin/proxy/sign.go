// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ocm"
	"ocm/plugin/wire"
)

// Signer is a signer of a plugin. Its signatures must be of one of the algorithms, those that the plugin has told before it was asked: a
// signature of any other one is refused, because nobody has installed the plugin for that. Whether the signature is good is for the
// verifiers of the algorithm to say, of which built-in ones are never replaced.
func Signer(p Plugin, t ocm.Type, algorithms []string) ocm.Signer {
	return &signer{p, t, algorithms}
}

// maxDeclared bounds what is shown of a plugin's algorithms, in bytes.
const maxDeclared = 500

type signer struct {
	plugin     Plugin
	typ        ocm.Type
	algorithms []string
}

// Sign asks the plugin, once.
func (s *signer) Sign(ctx context.Context, env *ocm.Env, name string, d ocm.Digest, spec ocm.Spec) (ocm.SignatureValue, error) {
	if spec.Type == "" && len(s.typ.Names) > 0 { // the plugin tells its signers apart by the type
		spec = ocm.Spec{Type: s.typ.Names[0]}
	}
	signed, err := ask[wire.Signed](ctx, s.plugin, env, wire.SignPath, wire.Sign{Name: name, Digest: d, Spec: spec, Env: envOf(env)}, false)
	if err == nil {
		err = s.check(signed.Signature)
	}
	if err != nil {
		return ocm.SignatureValue{}, fmt.Errorf("sign as %q: %w", name, err)
	}
	return signed.Signature, nil
}

// check refuses what cannot be a signature of this signer. It goes into descriptors, so nothing in it is repaired.
func (s *signer) check(v ocm.SignatureValue) error {
	if !slices.Contains(s.algorithms, v.Algorithm) {
		return fmt.Errorf("%s: its signature has the algorithm %q, it has declared %s: %w", s.typ.Origin,
			line(v.Algorithm, wire.MaxSignatureName), line(strings.Join(s.algorithms, ", "), maxDeclared), ocm.ErrInvalid)
	}
	if len(v.Unknown) > 0 {
		return fmt.Errorf("%s: its signature has members beside algorithm, mediaType, value and issuer: %w", s.typ.Origin, ocm.ErrInvalid)
	}
	for _, m := range []struct {
		name, text string
		limit      int
		lines      bool
	}{
		{"value", v.Value, wire.MaxSignature, true},
		{"media type", v.MediaType, wire.MaxSignatureName, false},
		{"issuer", v.Issuer, wire.MaxIssuer, false},
	} {
		clean := wire.Text(m.text, wire.MaxSignature)
		switch {
		case m.text == "" && m.name != "issuer":
			return fmt.Errorf("%s: its signature has no %s: %w", s.typ.Origin, m.name, ocm.ErrInvalid)
		case len(m.text) > m.limit:
			return fmt.Errorf("%s: the %s of its signature has %d bytes, accepted are %d: %w", s.typ.Origin, m.name, len(m.text), m.limit, ocm.ErrLimit)
		case clean != m.text || !m.lines && strings.ContainsAny(m.text, "\n\t"):
			return fmt.Errorf("%s: the %s of its signature has control characters: %w", s.typ.Origin, m.name, ocm.ErrInvalid)
		}
	}
	return nil
}

// Verifier is a verifier of a plugin. A signature is good only if the plugin says so in so many words; see [wire.Verdict].
func Verifier(p Plugin, t ocm.Type) ocm.Verifier { return &verifier{p, t} }

type verifier struct {
	plugin Plugin
	typ    ocm.Type
}

// Verify asks the plugin, twice if it dies. Every error wraps [ocm.ErrSignature].
func (v *verifier) Verify(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) ([]ocm.Finding, error) {
	verdict, err := ask[wire.Verdict](ctx, v.plugin, env, wire.VerifyPath, wire.Verify{Signature: sig, Spec: s, Env: envOf(env)}, true)
	var found []ocm.Finding
	if err == nil {
		if found, err = judged(verdict); err != nil {
			err = fmt.Errorf("%s: %w", v.typ.Origin, err)
		}
	}
	if err != nil {
		return found, fmt.Errorf("signature %q: %w: %w", sig.Name, ocm.ErrSignature, err)
	}
	return found, nil
}

// judged reads a verdict. What is not clear in it is a failure.
func judged(v wire.Verdict) ([]ocm.Finding, error) {
	if len(v.Findings) > wire.MaxFindings {
		return nil, fmt.Errorf("it answers with %d findings, accepted are %d: %w", len(v.Findings), wire.MaxFindings, ocm.ErrLimit)
	}
	signers := 0
	found := make([]ocm.Finding, 0, len(v.Findings))
	for _, f := range v.Findings {
		g := ocm.Finding{Check: line(f.Check, wire.MaxCheck), Detail: line(f.Detail, wire.MaxDetail)}
		if g.Check == ocm.FoundTime {
			g.Time = f.Time
		}
		if g.Check == ocm.FoundSigner && g.Detail != "" {
			signers++
		}
		found = append(found, g)
	}
	switch {
	case v.Error != nil: // whatever else it says
		return found, v.Error.Err()
	case !v.Verified:
		return found, fmt.Errorf("it does not say that the signature is good, nor why it is not: %w", ocm.ErrInvalid)
	case signers != 1:
		return found, fmt.Errorf("it names %d signers of a good signature, expected one: %w", signers, ocm.ErrInvalid)
	}
	return found, nil
}

// line is text of a plugin that cannot pass for more than one line.
func line(text string, limit int) string {
	return strings.TrimSpace(strings.NewReplacer("\n", " ", "\t", " ").Replace(wire.Text(text, limit)))
}
