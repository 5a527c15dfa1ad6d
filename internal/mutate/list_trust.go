// SPDX-License-Identifier: Apache-2.0

package main

// inDemands are the checks that what was demanded by flags and configuration is what verifies.
func inDemands() []mutation {
	const trust, keys, print = "cmd/ocm/trust.go", "cmd/ocm/keys.go", "cmd/ocm/verify_print.go"
	m := func(file, find, replace, test string) mutation { return mutation{file, find, replace, "cmd/ocm", test} }
	return []mutation{
		m(trust, `	if !used {
`, `	if false {
`, "TestGivenKeysAreUsed"),
		m(trust, `if owner.signature == sig.Name && sig.Name != "" && !own {`, `if owner.signature == sig.Name && !own && false {`, "TestGivenKeysAreUsed"),
		m(trust, `		if !met {
`, `		if false && !met {
`, "TestGivenNamesAreDemanded"),
		m(trust, `case i.signature == sig.Name && !named:`, `case false:`, "TestGivenNamesAreDemanded"),
		m(trust, `if slices.ContainsFunc(t.issuers, func(i keyFile) bool { return i.signature == signature }) {`, `if false {`, "TestGivenNamesAreDemanded"),
		m(trust, `return v.fits(sig.Signature.Algorithm, spec) }); i >= 0 {`, `return true }); i >= 0 {`, "TestConfiguredVerifiersOfSeveralKinds"),
		m(trust, `if f.Changed && f.Value.String() == "" {`, `if false {`, "TestEmptyDemandsAreRefused"),
		m(keys, `isKeyText(name) || isKeyText(path) && !literal {`, `false && literal {`, "TestKeysStayOutOfMessages"),
		m(print, `; !ofVerifier {`, `; true || !ofVerifier {`, "TestNamesOfSignersAreNotCut"),
	}
}
