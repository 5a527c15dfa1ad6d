// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inSigning are the checks of signing a graph.
func inSigning() []mutation {
	return slices.Concat(inSign(), inComplete(), inAttach(), inStore())
}

// inSign are the checks of the signatures that are there when a version is signed.
func inSign() []mutation {
	m := in("graph/sign.go", "graph")
	return []mutation{
		m(`case named && root:`, `case named && root && false:`, "TestAttach"),
		m(`if t.state, err = s.judgeOld(ctx, t.desc, *old); err != nil {`, `if t.state, err = s.judgeOld(ctx, t.desc, *old); false {`, "TestSignRecursivelyJudgesWhatIsThere"),
		m(`			if err := normalise.Matches(t.desc, old.Digest); err != nil {
				return fmt.Errorf("the digests`, `			if err := normalise.Matches(t.desc, old.Digest); false {
				return fmt.Errorf("the digests`, "TestSignRecursivelyBreaksNothing"),
		m(`	if err := normalise.Matches(desc, old.Digest); err != nil {`, `	if err := normalise.Matches(desc, old.Digest); false {`, "TestSignRecursivelyJudgesWhatIsThere"),
		m(`	case err != nil:
		return "", err
	}
	return StateKept`, `	case false:
		return "", err
	}
	return StateKept`, "TestSignRecursivelyJudgesWhatIsThere"),
		m(`case errors.Is(err, ocm.ErrNotFound):
		return StateUnjudged`, `case errors.Is(err, ocm.ErrSignature):
		return StateUnjudged`, "TestSignRecursivelyJudgesWhatIsThere"),
		m(`	if s.o.Check {`, `	if false {`, "TestSignChecksItself"),
		m(`	_, err = v.Verify(ctx, s.env, sig, spec)
	return err`, `	_, _ = v.Verify(ctx, s.env, sig, spec)
	return nil`, "TestAttach"),
		m(`		return fmt.Errorf("timestamp: %w", err)`, `		_ = fmt.Errorf`, "TestSignRecursivelyTellsHowFarItCame"),
	}
}

// inComplete are the checks of digests that are signed.
func inComplete() []mutation {
	m := in("graph/complete.go", "graph")
	return []mutation{
		m(`; r.Digest.Empty() && HasContent(r.Access.Type) {`, `; false && r.Digest.Empty() {`, "TestSignDemandsTheDigestsBelow"),
		m(`; r.Digest.Empty() {
			return lacks("reference"`, `; false {
			return lacks("reference"`, "TestSignDemandsTheDigestsBelow"),
		m(`		if err := c.demand(child); err != nil {
			return err`, `		if err := c.demand(child); false {
			return err`, "TestSignDemandsTheDigestsBelow"),
		m(`			if err := c.demand(child); err != nil {
				return fmt`, `			if err := c.demand(child); false {
				return fmt`, "TestSignRecursively"),
		m(`		return Check(ctx, c, *res.Digest)`, `		_ = Check(ctx, c, *res.Digest)
		return nil`, "TestSignRefusesWrongDigests"),
		m(`err == nil && found != res.Digest.Value`, `false`, "TestSignComparesArtifactsElsewhere"),
		m(`shallow && !res.Digest.Empty()`, `!res.Digest.Empty()`, "TestSignRefusesWrongDigests"),
		m(`case !ref.Digest.Empty() && !c.changed[child]:`, `case !ref.Digest.Empty():`, "TestSignRecursivelyRenewsReferences"),
	}
}

// inAttach are the checks of signatures that are made elsewhere.
func inAttach() []mutation {
	m := in("graph/attach.go", "graph")
	return []mutation{
		m(`if want.HashAlgorithm != given.HashAlgorithm || want.NormalisationAlgorithm != given.NormalisationAlgorithm || want.Value != given.Value {`, `if false {`, "TestAttach"),
		m(`(s.o.Check || !errors.Is(err, ocm.ErrNotFound))`, `!errors.Is(err, ocm.ErrNotFound)`, "TestAttach"),
		m(`if sig.Name == "" || sig.Signature.Value == "" || sig.Digest.Empty() {`, `if sig.Signature.Value == "" || sig.Digest.Empty() {`, "TestAttach"),
		m(`if sig.Name == "" || sig.Signature.Value == "" || sig.Digest.Empty() {`, `if sig.Name == "" || sig.Digest.Empty() {`, "TestAttach"),
		m(`; found != r.Digest.Value {`, `; found == "" {`, "TestRequestOfOnePiece"),
		m(`if r.Type != RequestType {`, `if false {`, "TestRequestOfOnePiece"),
		m(`if r.Component == "" || r.Version == "" || r.Signature == "" {`, `if false {`, "TestRequestOfOnePiece"),
		m(`	return r.checkName()`, `	return nil`, "TestRequestOfOnePiece"),
		m(`c.Name != r.Component || c.Version != r.Version`, `c.Name != r.Component`, "TestRequestOfOnePiece"),
		m(`c.Name != r.Component || c.Version != r.Version`, `c.Version != r.Version`, "TestRequestOfOnePiece"),
		m(`!strings.HasPrefix(r.Digest.NormalisationAlgorithm, "jsonNormalisation/v")`, `strings.HasPrefix(r.Digest.NormalisationAlgorithm, "?")`, "TestRequestOfOnePiece"),
		m(`(s.o.Check || !errors.Is(err, ocm.ErrNotFound))`, `(s.o.Check || errors.Is(nil, ocm.ErrNotFound))`, "TestAttach"),
	}
}

// inStore are the checks of several people who sign at once.
func inStore() []mutation {
	m := in("graph/store.go", "graph")
	return []mutation{
		m(`!there && (before < 0 || !sameSignature(other, t.desc.Signatures[before]))`, `!there && before > 1<<30`, "TestGHSA_wfqx_gjrf_g28r_VersionChangesWhileItIsSigned"),
		m(`if err == nil && !there {`, `if err == nil && there && false {`, "TestSignatureThatIsOverwrittenComesBack"),
		m(`	if !same {
		return false, fmt`, `	if false {
		return false, fmt`, "TestGHSA_wfqx_gjrf_g28r_VersionChangesWhileItIsSigned"),
		m(`there = sameSignature(other, t.sig)`, `there = true`, "TestGHSA_wfqx_gjrf_g28r_VersionChangesWhileItIsSigned"),
		m(`a.Name == b.Name && a.Digest.Value == b.Digest.Value && a.Signature.Value == b.Signature.Value`, `a.Name == b.Name`, "TestGHSA_wfqx_gjrf_g28r_VersionChangesWhileItIsSigned"),
		m(`t.desc.Signatures = now, found.Clone().Signatures`, `t.desc.Signatures = now, t.desc.Signatures`, "TestSignatureThatIsOverwrittenComesBack"),
		m(`return bytes.Equal(raw[0], raw[1]), nil`, `return bytes.Equal(raw[0], raw[0]), nil`, "TestGHSA_wfqx_gjrf_g28r_VersionChangesWhileItIsSigned"),
	}
}
