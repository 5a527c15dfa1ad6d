// SPDX-License-Identifier: Apache-2.0

package main

// inGraph are the checks of the states of a verification.
func inGraph() []mutation {
	const verify, steps, judge, report, nested, walk, content = "graph/verify.go", "graph/verify_steps.go", "graph/judge.go",
		"graph/report.go", "graph/nested.go", "graph/walk.go", "graph/content.go"
	m := func(file, find, replace, test string) mutation { return mutation{file, find, replace, "graph", test} }
	return []mutation{
		// pin
		m(verify, `err := blob.CheckDigest(n.Manifest().Digest); err != nil`, `err := blob.CheckDigest(n.Manifest().Digest); false && err != nil`, "TestOnlyWhatWasReadIsVerified"),
		m(verify, `err == nil && !bytes.Equal(doc.Bytes, d.Origin().Bytes)`, `false && !bytes.Equal(doc.Bytes, d.Origin().Bytes)`, "TestOnlyWhatWasReadIsVerified"),
		m(verify, `err := received(n)`, `err := error(nil)`, "TestOnlyWhatWasReadIsVerified"),
		// choose
		m(judge, `if len(all) == 0 {`, `if false {`, "TestAttacksOnASignedVersion/no signature at all"),
		m(judge, `if len(all) > maxSignatures {`, `if false {`, "TestAttacksOnASignedVersion/CVE-2023-33957 CVE-2023-46737 CVE-2024-29902 endless signatures"),
		m(judge, `; twice {`, `; false && twice {`, "TestAttacksOnASignedVersion/two signatures of one name"),
		m(judge, `		if !ok {
			return nil, fmt.Errorf("no signature`, `		if !ok {
			continue
		}
		if false {
			return nil, fmt.Errorf("no signature`, "TestCVE_2026_23992_GHSA_pmwq_pjrm_6p5r_NamesOfSignatures"),
		m(judge, `if !slices.Contains(names[:i], name) {`, `if i >= 0 {`, "TestCVE_2026_23992_GHSA_pmwq_pjrm_6p5r_NamesOfSignatures"),
		m(verify, `err == nil && v.o.Demand != nil {`, `false && v.o.Demand != nil {`, "TestSignaturesAreThoseThatAreWanted"),
		// match
		m(verify, `err := v.root.matches(sig.Digest)`, `err := error(nil)`, "TestAttacksOnASignedVersion/resource added"),
		m(verify, `		out.all = false
`, ``, "TestNothingIsReadUnlessAllSignaturesAreGood/digest of another"),
		// judge
		m(judge, `found, err = verifier.Verify(ctx, v.env, sig, spec)`, `found, _ = verifier.Verify(ctx, v.env, sig, spec)
	found = append(found, ocm.Finding{Check: ocm.FoundSigner, Detail: "x"})`, "TestAttacksOnASignedVersion/CVE-2026-22703 signature whose digest was replaced by the right one"),
		m(judge, `if err == nil && result.Signer == "" {`, `if false {`, "TestVerifiersThatFail/CVE-2026-39395 nothing found, no error"),
		m(judge, `if r := recover(); r != nil {`, `if r := error(nil); r != nil {`, "TestVerifiersThatFail/CVE-2026-44310 panic"),
		m(judge, `result.Verdict, result.Signer = Failed, ""`, `result.Verdict = Failed`, "TestVerifiersThatFail/a signer, and an error of another kind"),
		m(judge, `return nil, "", fmt.Errorf("%w: %w", err, ocm.ErrSignature)`, `return []ocm.Finding{{Check: ocm.FoundSigner, Detail: "x"}}, "", nil`, "TestAttacksOnASignedVersion/unknown signature algorithm"),
		m(verify, `good = v.judgeOne(ctx, 10*(i+1), sig) && good`, `good = v.judgeOne(ctx, 10*(i+1), sig)`, "TestNothingIsReadUnlessAllSignaturesAreGood/bad one first"),
		// what rests on it
		m(verify, `	if !ok {
		return "a signature is not good"
	}
`, `	_ = ok
`, "TestNothingIsReadWithoutAGoodSignature"),
		m(verify, `	if !ok {
		return "a reference is not good"
	}
`, `	if !ok && w.verification == nil {
		return "a reference is not good"
	}
`, "TestUncoveredReferencesStopTheRest"),
		m(verify, `		s.covered(v.root)
`, ``, "TestShallowDemandsDigests"),
		m(verify, `			s.covered(n)
`, `			_ = n
`, "TestNoContent"),
		// references
		m(verify, `return ref.Digest.Empty() }})`, `return false }})`, "TestUncoveredReferencesAreNotFollowed"),
		m(steps, `	if !ref.Digest.Empty() {
		return nil
	}`, `	if true {
		return nil
	}`, "TestShallowDemandsDigests"),
		m(walk, `	if err := child.matches(*ref.Digest); err != nil {`, `	if err := child.matches(*ref.Digest); false && err != nil {`, "TestWalkComparesReferenceDigests"),
		m(walk, `if c.Name != ref.ComponentName || c.Version != ref.Version {`, `if false {`, "TestWalkRefusesAnotherVersionThanTheOneAskedFor"),
		m(walk, `		case 1:
			return`, `		case 3:
			return`, "TestWalkRefusesCycles"),
		m(walk, `		if depth > MaxDepth {`, `		if false {`, "TestWalkBoundsDepthBeforeItLoads"),
		// nested digests
		m(nested, `	if again := normalise.Matches(c.full, d); again != nil {`, `	if false {
		again := error(nil)
		_ = again`, "TestNestedDigestsThatProveNothing/resource digest exchanged"),
		m(nested, `ref.Digest.Empty() && e != nil`, `e != nil`, "TestNestedDigestsReplaceNothing"),
		m(nested, `res.Digest.Empty() && d != nil`, `d != nil`, "TestNestedDigestsReplaceNothing"),
		m(nested, `	if n == nil {
		return fmt`, `	if n == nil {
		return nil
	}
	if false {
		return fmt`, "TestNestedDigestsThatProveNothing/version that is not referenced"),
		m(nested, `if err := normalise.Matches(n.Descriptor(), *e.digest); err != nil {`, `if err := normalise.Matches(n.Descriptor(), *e.digest); false && err != nil {`, "TestNestedDigestsThatProveNothing/digest of a version exchanged"),
		m(nested, `|| d.Value != res.Digest.Value) {`, `) {`, "TestNestedDigestsThatProveNothing/resource digest for a resource that has one"),
		m(nested, `	for id := range left {
		return`, `	for id := range left {
		_ = id
		break
	}
	for id := range map[string]bool{} {
		return`, "TestNestedDigestsThatProveNothing/resource digest for none"),
		m(nested, `		if all[key] != nil {`, `		if false {`, "TestNestedDigestsThatProveNothing/version twice"),
		m(nested, `			if e.resources[id] != nil {`, `			if false {`, "TestNestedDigestsThatProveNothing/resource twice"),
		// coverage
		m(verify, `v.exclude(n, ofCoverage+i, "descriptor", stepCoverage, what)`, `_, _ = i, what`, "TestRelabelledNormalisation"),
		m(verify, `return times < len(n.matched)`, `return false`, "TestRelabelledNormalisation"),
		m(verify, `			v.coverage(n)
`, ``, "TestCoverageOfReferencedVersions"),
		m(steps, `	if v.o.AllCovered {`, `	if false {`, "TestAllCovered"),
		// contents
		m(steps, `	case res.Digest.Empty():
		v.add(`, `	case res.Digest.Empty():
		_ = fmt.Errorf
		v.exclude(n, ofResources+i, object, stepContent, "no digest")
	case false:
		v.add(`, "TestSignedVersionsThatAreNotCovered/resource without digest"),
		m(steps, `return ExplainMissing(ctx, c, res.Labels, Check(ctx, c, *res.Digest))`, `_ = Check(ctx, c, *res.Digest)
		return nil`, "TestAttacksOnASignedVersion/access swapped while the digest is kept"),
		m(steps, `return ExplainMissing(ctx, c, s.Labels, blob.Check(ctx, c))`, `_ = blob.Check
		return nil`, "TestGoldenEveryBlobFlipped"),
		m(steps, `!HasContent(res.Access.Type) && res.Digest.Empty():`, `!HasContent(res.Access.Type):`, "TestSignedVersionsThatAreNotCovered/resource of none in a spelling that keeps the digest"),
		m(content, `func unsignedAccess(accessType string) bool { return accessType == "none" || accessType == "None" }`,
			`func unsignedAccess(accessType string) bool { return !HasContent(accessType) }`, "TestAttacksOnASignedVersion/access swapped for none in a spelling that keeps the digest"),
		m(content, `	if found != want.Value {`, `	if false {`, "TestDigestAlgorithms"),
		m(content, `return c.Root, blob.Check(ctx, c)`, `return c.Root, nil`, "TestCheckReadsBelowTheManifest"),
		m(content, `	if root.Digest.Algorithm() != algorithm {`, `	if false {`, "TestDigestAlgorithms/image by a hash that it is not known by"),
		m(content, `	return nil, "", fmt.Errorf("hash algorithm`, `	if name != "" {
		return sha256.New(), digest.SHA256, nil
	}
	return nil, "", fmt.Errorf("hash algorithm`, "TestSignedVersionsThatAreNotCovered/resource with a weak hash"),
		m(content, `	default:
		return "", fmt.Errorf("digest algorithm %q cannot`, `	case "":
		return "", fmt.Errorf("digest algorithm %q cannot`, "TestDigestAlgorithms/unknown algorithm"),
		// report
		m(report, `	case !signed:`, `	case false:`, "TestReportsFailClosed"),
		m(report, `	case !r.ended:`, `	case false:`, "TestReportsFailClosed"),
		m(report, `func (u unverified) Is(target error) bool { return target == ocm.ErrSignature }`, `func (u unverified) Is(target error) bool { return false }`, "TestSignedVersionsThatAreNotCovered/resource without digest"),
		m(verify, `	if why := v.run(ctx); why != "" {`, `	if why := v.run(ctx); false {
		_ = why`, "TestWhatWasNotReachedIsSkipped"),
	}
}
