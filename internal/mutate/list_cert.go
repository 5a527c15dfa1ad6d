// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inCert are the checks of the rooms of plain keys and certificates.
func inCert() []mutation {
	return slices.Concat(inTrust(), inSigningTime(), inValue(), inKey(), inNames(), inForeign(), inFamily(), inEC(), inRSA())
}

// inTrust are the checks of whose signatures are good, and of certificates.
func inTrust() []mutation {
	m, byRSA, byServer := in("sign/cert/trust.go", "sign/cert"), in("sign/cert/trust.go", "sign/rsa"), in("sign/cert/trust.go", "sign/server")
	return []mutation{
		byRSA(`if bare && !equal(t.public, leaf.PublicKey) {`, `if false {`, "TestPEMShapes"),
		m(`return leaf.PublicKey, checkKey(leaf.PublicKey, t.kind, fmt.Sprintf("key of certificate %s", nameOf(leaf)))`, `return leaf.PublicKey, nil`, "TestOtherCurvesAndShortKeys"),
		byRSA(`return t.public, checkKey(t.public, t.kind, "public key")`, `return t.public, nil`, "TestPlainRefused"),
		m(`if j.Key, err = t.keyOf(v, bare); err != nil {`, `if j.Key, err = t.keyOf(v, bare); false {`, "TestNameThatNobodyVouchesFor"),
		m(`if len(t.tsa) == 0 && chained && check != nil {`, `if len(t.tsa) == 0 && check != nil {`, "TestTimestampOfPlainSignature"),
		m(`if len(t.tsa) == 0 && chained && check != nil {`, `if chained && check != nil {`, "TestCVE_2026_54787_time_of_signature_and_validity"),
		m(`	if err != nil {
		return j, err
	}
	if finding`, `	if false {
		return j, err
	}
	if finding`, "TestClockSetBack"),
		m(`return j, failed(ocm.FoundChain, err)`, `_ = built`, "TestCVE_2026_54787_time_of_signature_and_validity"),
		m(`	if chained {
		built`, `	if false {
		built`, "TestCVE_2026_24122_expired_intermediate"),
		m(`	err = t.identity(&j, v, chained)
	return j, err`, `	_ = t.identity
	return j, nil`, "TestNameThatNobodyVouchesFor"),
		m(`case len(t.certs) > 0 && equal(t.certs[0].PublicKey, j.Key):`, `case len(t.certs) > 0:`, "TestNameThatNobodyVouchesFor"),
		byRSA(`if !ok {
			return failed(ocm.FoundIdentity, fmt.Errorf("issuer of the signature is`, `if false && !ok {
			return failed(ocm.FoundIdentity, fmt.Errorf("issuer of the signature is`, "TestIssuer"),
		m(`if len(v.Chain) > 0 && !chained {`, `if false {`, "TestNameThatNobodyVouchesFor"),
		m(`if !ok {
		return failed(ocm.FoundIdentity, fmt.Errorf("signer is`, `if false && !ok {
		return failed(ocm.FoundIdentity, fmt.Errorf("signer is`, "TestNameThatNobodyVouchesFor"),
		m(`if selfSigned(c) {
			return "", fmt.Errorf("the chain`, `if false {
			return "", fmt.Errorf("the chain`, "TestSelfSignedIntermediate"),
		m(`CurrentTime:   at,`, `CurrentTime:   leaf.NotAfter,`, "TestCVE_2026_24122_expired_intermediate"),
		m(`KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}`, `KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}`, "TestKeyUsage"),
		m(`return "", fmt.Errorf("certificate %s does not lead to %s, %s: %w%s", nameOf(leaf), from, judged, err, outOfTime(err, at, clock))`, `return from + judged, nil`, "TestCVE_2026_24122_expired_intermediate"),
		m(`if !isAnchor {`, `if false && !isAnchor {`, "TestSignerIsAnAuthority"),
		m(`if c.IsCA {`, `if false {`, "TestSignerIsAnAuthority"),
		m(`if c.KeyUsage != 0 && c.KeyUsage&`, `if false && c.KeyUsage&`, "TestKeyUsage"),
		byRSA(`if i != len(t.certs)-1 {`, `if i < 0 {`, "TestChainRefused"),
		m(`if t.issuer == "" {
		return nil, "", fmt`, `if false {
		return nil, "", fmt`, "TestSelfSignedIntermediate"),
		m(`return ok && k.Equal(b)`, `return ok && k != nil`, "TestNameThatNobodyVouchesFor"),
		byRSA(`if !equal(key, leaf.PublicKey) {`, `if false {`, "TestSignRefuses"),
		byServer(`if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {`, `if now.After(leaf.NotAfter) {`, "TestAnswersRefused/certificate of the future"),
		byRSA(`if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {`, `if now.Before(leaf.NotBefore) {`, "TestSignRefuses"),
		byRSA(`if len(usages)+len(leaf.UnknownExtKeyUsage) > 0 &&`, `if false &&`, "TestSignRefuses"),
		m(`	return fitToSign(leaf)
`, `	return nil
`, "TestSignerIsAnAuthority"),
		byRSA(`if !selfSigned(c) {
			embed`, `if true {
			embed`, "TestSignAndVerify"),
		m(`if t.public != nil || len(t.certs) > 0 || len(t.anchors) > 0 {`, `if t.public != nil || len(t.certs) > 0 {`, "TestPrivateKeyCountsOnlyAlone"),
		m(`if t.public != nil || len(t.certs) > 0 || len(t.anchors) > 0 {`, `if t.public != nil || len(t.anchors) > 0 {`, "TestPrivateKeyCountsOnlyAlone"),
	}
}

// inSigningTime are the checks of the time at which a signature is judged.
func inSigningTime() []mutation {
	m := in("sign/cert/time.go", "sign/cert")
	return []mutation{
		m(`if at.After(now.Add(MaxClockSkew)) {`, `if false {`, "TestTimestampOfPlainSignature"),
		m(`agrees(ts.Time, at)`, `agrees("", at)`, "TestTimestampThatIsBad"),
		m(`d <= -time.Second || d >= time.Second`, `d >= time.Second`, "TestTimestampThatIsBad"),
		m(`d <= -time.Second || d >= time.Second`, `d <= -time.Second`, "TestTimestampThatIsBad"),
		m(`	if err != nil {
		return now, nil, failed(ocm.FoundTime, fmt.Errorf("timestamp, judged`, `	if false {
		return now, nil, failed(ocm.FoundTime, fmt.Errorf("timestamp, judged`, "TestTimestampOfPlainSignature"),
		m(`return now, nil, failed(ocm.FoundTime, fmt.Errorf("a timestamp cannot be judged here: %w", errors.ErrUnsupported))`, `_ = errors.ErrUnsupported
		return ignored("")`, "TestTimestampThatIsBad"),
		m(`return at, &ocm.Finding`, `return now, &ocm.Finding`, "TestCVE_2026_54787_time_of_signature_and_validity"),
	}
}

// inValue are the checks of the form of a signature, and of which algorithm counts.
func inValue() []mutation {
	m, byRSA, byEC := in("sign/cert/value.go", "sign/cert"), in("sign/cert/value.go", "sign/rsa"), in("sign/cert/value.go", "sign/ec")
	return []mutation{
		m(`if len(sv.Value) > MaxSignatureSize {`, `if false {`, "TestManyCertificatesAndHugePEM"),
		m(`; len(named) == 0 {`, `; false {`, "TestAlgorithmConfusion"),
		m(`!bytes.HasPrefix(bytes.TrimSpace(text), begin) || `, ``, "TestDuplicateSignatureBlocks"),
		m(` || bytes.Count(text, begin) != 1`, ``, "TestDuplicateSignatureBlocks"),
		m(`if len(bytes.TrimSpace(text)) > 0 {`, `if false {`, "TestDuplicateSignatureBlocks"),
		m(`if raw != nil {`, `if false {`, "TestDuplicateSignatureBlocks"),
		m(`if len(chain) == MaxCertificates {`, `if false {`, "TestManyCertificatesAndHugePEM"),
		byRSA(`if len(raw) == 0 {`, `if false {`, "TestPEMShapes"),
		byRSA(`		default:
			return "", nil, nil, fmt`, `		case "?":
			return "", nil, nil, fmt`, "TestPEMShapes"),
		m(`if len(named) > 0 && !slices.Contains(named, name) {`, `if false && !slices.Contains(named, name) {`, "TestAlgorithmConfusion"),
		byEC(`name == "" && len(named) == 1`, `name == "" && len(named) > 0`, "TestValuesRefused"),
	}
}

// inKey are the checks of keys.
func inKey() []mutation {
	m := in("sign/cert/key.go", "sign/cert")
	return []mutation{
		m(`if found != kind {`, `if false {`, "TestAlgorithmConfusion"),
		m(`n < MinRSABits || n > MaxRSABits`, `n > MaxRSABits`, "TestOtherCurvesAndShortKeys"),
		m(`n < MinRSABits || n > MaxRSABits`, `n < MinRSABits`, "TestRSAKeysThatAreTooLong"),
		m(`ok && k.N.BitLen() > MaxRSABits`, `ok && k == nil`, "TestOtherCurvesAndShortKeys"),
		m(`case elliptic.P384():`, `case elliptic.P384(), elliptic.P521():`, "TestOtherCurvesAndShortKeys"),
	}
}

// inNames are the checks of names in certificates.
func inNames() []mutation {
	m, byCert := in("sign/cert/dn.go", "sign/rsa"), in("sign/cert/dn.go", "sign/cert")
	return []mutation{
		m(`err == nil && slices.Equal(want, have)`, `err == nil && len(want) == len(have)`, "TestIssuer"),
		m(`if !slices.Contains(have, a) {`, `if !slices.Contains(have, a) && len(want) == 1 {`, "TestIssuer"),
		byCert(`if len(text) > maxNameSize {`, `if false {`, "TestLimits"),
	}
}

// inForeign are the checks of signatures that somebody else made for us.
func inForeign() []mutation {
	m := in("sign/cert/foreign.go", "sign/server")
	return []mutation{
		m(`if err := checkKey(leaf.PublicKey, v.Algorithm.Kind, "key of certificate "+nameOf(leaf)); err != nil {`, `if err := checkKey(leaf.PublicKey, v.Algorithm.Kind, ""); false {`, "TestAnswersRefused/weak key"),
		m(`if err := maySign(leaf, now); err != nil {`, `if err := maySign(leaf, now); false {`, "TestAnswersRefused/certificate for something else"),
		m(`if !v.Algorithm.Verify(leaf.PublicKey, hash, sum, v.Raw) {`, `if false && !v.Algorithm.Verify(leaf.PublicKey, hash, sum, v.Raw) {`, "TestAnswersRefused/another certificate first"),
		m(`withoutRoots(v.Chain)`, `v.Chain`, "TestSignedByServer"),
	}
}

// inFamily are the checks of what all algorithms with plain keys have in common.
func inFamily() []mutation {
	m, byEC := in("sign/cert/family.go", "sign/rsa"), in("sign/cert/family.go", "sign/ec")
	return []mutation{
		m(`if len(d.Value) != 2*hash.Size() {`, `if false {`, "TestSignRefuses"),
		m(`	default:
		return 0, nil, fmt.Errorf("digest: hash algorithm %q, expected SHA-256, SHA-384 or SHA-512: %w", d.HashAlgorithm, ocm.ErrInvalid)`, `	default:
		hash = crypto.SHA256`, "TestSignRefuses"),
		byEC(`if !v.Algorithm.Verify(j.Key, hash, sum, v.Raw) {`, `if false && !v.Algorithm.Verify(j.Key, hash, sum, v.Raw) {`, "TestWhatIsSigned"),
		m(`	if err != nil {
		return j.Findings, err
	}`, `	if false {
		return j.Findings, err
	}`, "TestCVE_2026_54787_timestamp_does_not_move_the_clock"),
		m(`if _, err := f.parseConfig(s); err != nil {`, `if _, err := f.parseConfig(s); false {`, "TestPlainRefused"),
		byEC(`v, err := f.Decode(sig.Signature)
	if err != nil {`, `v, err := f.Decode(sig.Signature)
	if false {`, "TestValuesRefused"),
		byEC(`c.EncodingPolicy != Plain && c.EncodingPolicy != PEM`, `false`, "TestConfigurationRefused"),
	}
}

// inEC are the checks of signatures on elliptic curves.
func inEC() []mutation {
	m := in("sign/ec/ec.go", "sign/ec")
	return []mutation{
		m(`return ok && ecdsa.VerifyASN1(k, sum, sig)`, `return ok && k != nil`, "TestWhatIsSigned"),
		m(` && ed25519.Verify(k, sum, sig)`, ``, "TestWhatIsSigned"),
	}
}

// inRSA are the checks of RSA signatures.
func inRSA() []mutation {
	m := in("sign/rsa/rsa.go", "sign/rsa")
	return []mutation{
		m(`return ok && stdrsa.VerifyPSS(k, h, sum, sig, &stdrsa.PSSOptions{SaltLength: stdrsa.PSSSaltLengthAuto}) == nil`, `return ok && k != nil`, "TestAlgorithmConfusion"),
		m(`return ok && stdrsa.VerifyPKCS1v15(k, h, sum, sig) == nil`, `return ok && k != nil`, "TestGolden"),
	}
}
