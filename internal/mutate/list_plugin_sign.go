// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inPluginSigning are the checks of what plugins say of signatures, and those of the plugins that sign.
func inPluginSigning() []mutation {
	return slices.Concat(inSignProxy(), inCommandSigner(), inTokenSigner())
}

// inSignProxy are the checks of answers.
func inSignProxy() []mutation {
	m := in("plugin/proxy/sign.go", "plugin/proxy")
	const clear = "TestCVE_2026_39395_VerdictOfPluginIsClear"
	return []mutation{
		m(`wire.Sign{Name: name, Digest: d, Spec: spec, Env: envOf(env)}, false)`, `wire.Sign{Name: name, Digest: d, Spec: spec, Env: envOf(env)}, true)`, "TestSignIsNotRepeated"),
		m(`!slices.Contains(s.algorithms, v.Algorithm)`, `false && !slices.Contains(s.algorithms, v.Algorithm)`, "TestSignatureOfPlugin"),
		m(`if len(v.Unknown) > 0 {`, `if false {`, "TestSignatureOfPlugin"),
		m(`case m.text == "" && m.name != "issuer":`, `case false:`, "TestSignatureOfPlugin"),
		m(`case len(m.text) > m.limit:`, `case false:`, "TestSignatureOfPlugin"),
		m(`clean != m.text || `, `clean == "" || `, "TestSignatureOfPlugin"),
		m(` || !m.lines && strings.ContainsAny(m.text, "\n\t")`, ``, "TestSignatureOfPlugin"),
		m(`ocm.ErrSignature, err)`, `ocm.ErrInvalid, err)`, clear),
		m(`if len(v.Findings) > wire.MaxFindings {`, `if false {`, clear),
		m(`case v.Error != nil: //`, `case v.Error != nil && !v.Verified: //`, clear),
		m(`case v.Error != nil: //`, `case v.Error != nil && v.Error.Message != "": //`, "TestErrorWithoutMessage"),
		m(`case !v.Verified:`, `case false:`, clear),
		m(`case signers != 1:`, `case signers < 1:`, clear),
		m(`case signers != 1:`, `case signers > 1:`, clear),
		m(` && g.Detail != ""`, ``, clear),
		m(`if g.Check == ocm.FoundTime {`, `if true {`, "TestFindingsOfPlugin"),
		m(`strings.NewReplacer("\n", " ", "\t", " ")`, `strings.NewReplacer()`, "TestFindingsOfPlugin"),
	}
}

// inCommandSigner are the checks of what a command is told.
func inCommandSigner() []mutation {
	const dir = "examples/plugins/commandsigner"
	c, s := in(dir+"/config.go", dir), in(dir+"/sign.go", dir)
	return []mutation{
		c(`if info.Mode().Perm()&0o022 != 0 {`, `if info.Mode().Perm()&0o002 != 0 {`, "TestBadConfigurations"),
		c(`if info.Mode().Perm()&0o022 != 0 {`, `if info.Mode().Perm()&0o020 != 0 {`, "TestBadConfigurations"),
		c(`, json.RejectUnknownMembers(true)`, ``, "TestBadConfigurations"),
		c(` || !filepath.IsAbs(command[0])`, ``, "TestBadConfigurations"),
		c(`if len(raw) > maxConfig {`, `if false {`, "TestBadConfigurations"),
		s(`	if !ok {
		return nil, fmt.Errorf("no key`, `	if !ok && false {
		return nil, fmt.Errorf("no key`, "TestContract"),
		s(`if err := onlyType(spec); err != nil {`, `if err := onlyType(spec); false {`, "TestNothingFromOutsideIsRun"),
		s(`err == nil && len(raw) == 0`, `false`, "TestNothingFromOutsideIsRun"),
		s(`if sig.Signature.Algorithm != v.c.Algorithm {`, `if false {`, "TestContract"),
		s(`case out.more:`, `case false:`, "TestBadCommands/floods"),
		s(`	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s"`, `	case false:
		return nil, fmt.Errorf("%s: %w: %s"`, "TestContract"),
	}
}

// inTokenSigner are the checks of what a token signs.
func inTokenSigner() []mutation {
	const dir = "examples/plugins/pkcs11"
	s, m := in(dir+"/signer.go", dir), in(dir+"/module.go", dir)
	return []mutation{
		s(`	if !good {`, `	if !good && false {`, "TestBrokenToken"),
		m(`if !filepath.IsAbs(m.path) {`, `if m.path == filepath.Dir("/") {`, "TestModuleIsNamed"),
	}
}
