// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ocm"
)

// judgeOne asks the verifier of a signature. What the verifier has found are steps of their own.
func (v matched) judgeOne(ctx context.Context, order int, sig ocm.Signature) bool {
	object, result := "signature "+sig.Name, v.result(sig.Name)
	found, by, err := v.ask(ctx, sig)
	result.Verifier = by
	for _, f := range found {
		switch f.Check {
		case ocm.FoundSigner:
			result.Signer = f.Detail
			continue
		case ocm.FoundTime:
			result.Time = f.Time
		}
		v.add(v.root, order, object, f.Check, f.Detail, nil)
	}
	if err == nil && result.Signer == "" {
		err = fmt.Errorf("the verifier of %s does not say who signed: %w", sig.Signature.Algorithm, ocm.ErrSignature)
	}
	if err == nil {
		result.Verdict = OK
		detail := sig.Signature.Algorithm + " by " + result.Signer
		if by != "" {
			detail += ", by the word of " + by
		}
		v.add(v.root, order, object, stepSignature, detail, nil)
		return true
	}
	check := stepSignature
	if failed := (*ocm.CheckError)(nil); errors.As(err, &failed) {
		check = failed.Check
	}
	result.Verdict, result.Signer = Failed, "" // nobody's word, unless all is good
	v.add(v.root, order, object, check, "", err)
	if check != stepSignature {
		v.append(v.root, order, Step{Object: object, Check: stepSignature, Verdict: Skipped, Detail: "a check of it failed"})
	}
	return false
}

// ask never panics, whatever the verifier makes of what an attacker wrote. by is the plugin that the verifier is in, if any.
func (v matched) ask(ctx context.Context, sig ocm.Signature) (found []ocm.Finding, by string, err error) {
	defer func() {
		if r := recover(); r != nil {
			found, err = nil, fmt.Errorf("the verifier of %s has failed: %v: %w", sig.Signature.Algorithm, r, ocm.ErrSignature)
		}
	}()
	var spec ocm.Spec
	if v.o.Spec != nil {
		spec = v.o.Spec(sig)
	}
	verifier, name, err := verifierOf(v.kit, sig, spec)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", err, ocm.ErrSignature)
	}
	for _, t := range v.kit.Verifiers.Types() {
		if slices.Contains(t.Names, name) {
			by = t.Origin
		}
	}
	found, err = verifier.Verify(ctx, v.env, sig, spec)
	return found, by, err
}

// verifierOf finds who judges a signature: by its algorithm; or, if nobody knows that, by the type of the configuration that was chosen for it,
// because plugins of the older protocol do not say which algorithms they know. name is the one by which it is registered.
func verifierOf(kit *ocm.Kit, sig ocm.Signature, spec ocm.Spec) (verifier ocm.Verifier, name string, err error) {
	name = sig.Signature.Algorithm
	verifier, err = kit.Verifiers.For(name)
	if err != nil && kit.Verifiers.Has(spec.Type) {
		name = spec.Type
		verifier, err = kit.Verifiers.For(name)
	}
	return verifier, name, err
}

// result is the report's entry of a signature whose name is there once.
func (v *verification) result(name string) *SignatureResult {
	i := slices.IndexFunc(v.rep.Signatures, func(s SignatureResult) bool { return s.Name == name })
	return &v.rep.Signatures[i]
}

// maxSignatures bounds what one descriptor makes us compute.
const maxSignatures = 100

// selectSignatures picks signatures by name. Two signatures of one name are refused: which
// of them is meant cannot be known. A name that is given twice counts once.
func selectSignatures(all []ocm.Signature, names []string) ([]ocm.Signature, error) {
	if len(all) == 0 {
		return nil, fmt.Errorf("the version has no signatures (sign it, or verify where it was signed): %w", ocm.ErrSignature)
	}
	if len(all) > maxSignatures {
		return nil, fmt.Errorf("%d signatures, accepted are %d: %w", len(all), maxSignatures, ocm.ErrLimit)
	}
	byName := map[string]ocm.Signature{}
	known := make([]string, len(all))
	for i, s := range all {
		if _, twice := byName[s.Name]; twice {
			return nil, fmt.Errorf("two signatures are named %q: %w", s.Name, ocm.ErrSignature)
		}
		byName[s.Name], known[i] = s, s.Name
	}
	if len(names) == 0 {
		return all, nil
	}
	var out []ocm.Signature
	for i, name := range names {
		s, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("no signature is named %q, there are %q: %w", name, known, ocm.ErrSignature)
		}
		if !slices.Contains(names[:i], name) {
			out = append(out, s)
		}
	}
	return out, nil
}
