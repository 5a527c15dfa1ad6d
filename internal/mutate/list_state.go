// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inVerification are the checks of verifying a graph, beside those of inGraph.
func inVerification() []mutation {
	return slices.Concat(inStates(), inSteps(), inNested(), inJudge(), inReport())
}

// inStates are the checks of the way from one state of a verification to the next.
func inStates() []mutation {
	m := in("graph/verify.go", "graph")
	return []mutation{
		m(`	if ctx.Err() != nil {
		return nil`, `	if false {
		return nil`, "TestVerifyEndsWithItsContext"),
		m(`v.rep.Verified = v.rep.Err() == nil`, `v.rep.Verified = v.rep.Err() == nil || true`, "TestVerifiersThatFail"),
		m(`		v.coverage(v.root)
`, ``, "TestRelabelledNormalisation"),
		m(`good = v.references(n) && good`, `good = v.references(n)`, "TestUncoveredReferencesStopTheRest"),
		m(`		v.nested, err = nestedOf(d)`, `		v.nested, _ = nestedOf(d)`, "TestNestedDigestsThatProveNothing"),
		m(`		good = good && err == nil
	}
	return walked`, `		_ = err
	}
	return walked`, "TestUncoveredReferencesStopTheRest"),
		m(`		v.unwalkable(err)
		return walked{}, false`, `		v.unwalkable(err)
		return walked(v), true`, "TestWhatWasNotReachedIsSkipped"),
		m(`			good = good && err == nil
`, ``, "TestUncoveredReferencesStopTheRest"),
		m(`			err := received(n)
			v.add(n, 0`, `			err := error(nil)
			v.add(n, 0`, "TestOnlyWhatWasReadIsVerified"),
		m(`		d = c.Version.Descriptor()
`, `		_ = c
`, "TestNestedDigestsAreProven"),
		m(`		v.add(v.root, 1, "signatures", stepSignature, "", err)
		return chosen{}, false`, `		return chosen{v.verification, list}, true`, "TestNothingIsReadWithoutAGoodSignature"),
	}
}

// inSteps are the checks of single steps.
func inSteps() []mutation {
	m := in("graph/verify_steps.go", "graph")
	return []mutation{
		m(`	if errors.Is(err, errors.ErrUnsupported) {`, `	if errors.Is(err, errors.ErrUnsupported) || err != nil {`, "TestGoldenEveryBlobFlipped"),
		m(`good = good && err == nil`, `_ = good`, "TestUncoveredReferencesStopTheRest"),
		m(`			_, err = hashBytes(ctx, c, sha256.New(), digest.SHA256)
			return err`, `			_, _ = hashBytes(ctx, c, sha256.New(), digest.SHA256)
			return nil`, "TestSourceInPartsIsRead"),
		m(`case unsignedAccess(res.Access.Type), `, `case unsignedAccess(res.Access.Type) || res.Access.Type == "localBlob", `, "TestGoldenEveryBlobFlipped"),
		m(`		s.Verdict, s.Detail = Failed, err.Error()`, `		s.Detail = err.Error()`, "TestGHSA_3633_5h82_39pq_CopiedSignature"),
	}
}

// inNested are the checks of digests that are kept in the root.
func inNested() []mutation {
	m := in("graph/nested.go", "graph")
	return []mutation{
		m(`d.HashAlgorithm != res.Digest.HashAlgorithm || `, ``, "TestNestedDigestsThatProveNothing"),
		m(`d.NormalisationAlgorithm != res.Digest.NormalisationAlgorithm || `, ``, "TestNestedDigestsThatProveNothing"),
		m(`	c.proven = true
`, ``, "TestNestedDigestsAreProven"),
		m(`	if c.proven {`, `	if true {`, "TestNestedDigestForAReferenceOfTheRoot"),
	}
}

// inJudge are the checks of judging a signature.
func inJudge() []mutation {
	m := in("graph/judge.go", "graph")
	return []mutation{
		m(`	return false
}

// ask never`, `	return true
}

// ask never`, "TestNothingIsReadWithoutAGoodSignature"),
	}
}

// inReport are the checks of the verdict.
func inReport() []mutation {
	m := in("graph/report.go", "graph")
	return []mutation{
		m(`if s.Verdict == Failed {`, `if false {`, "TestGHSA_3633_5h82_39pq_CopiedSignature"),
		m(`s.Check == stepSignature && s.Verdict == OK`, `s.Check == stepSignature`, "TestReportsFailClosed"),
		m(`s.Check == stepSignature && s.Verdict == OK`, `s.Verdict == OK`, "TestReportsFailClosed"),
	}
}
