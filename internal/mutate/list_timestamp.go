// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inTimestamps are the checks of timestamps.
func inTimestamps() []mutation {
	return slices.Concat(inTimestamp(), inToken(), inStamper(), inRequest())
}

// inTimestamp are the checks of what a timestamp is of, and who vouches for it.
func inTimestamp() []mutation {
	m := in("sign/timestamp/timestamp.go", "sign/timestamp")
	return []mutation{
		m(`if err := leads(signer, tok.certs, roots, tok.time); err != nil {`, `if err := leads(signer, tok.certs, roots, tok.time); false {`, "TestCVE_2026_54787_TimeOutsideTheCertificates"),
		m(`if err := sameTime(ts.Time, tok.time); err != nil {`, `if err := sameTime(ts.Time, tok.time); false {`, "TestTimeBesideTheToken"),
		m(`if err := tok.stamps(d); err != nil {`, `if err := tok.stamps(d); false {`, "TestCheckDigest"),
		m(`if len(value) > maxText {`, `if false {`, "TestLimits"),
		m(`!strings.HasPrefix(text, "-----BEGIN ") || `, ``, "TestMalformedValues/text before"),
		m(` || strings.Count(text, "-----BEGIN ") != 1`, ``, "TestMalformedValues/a broken block before"),
		m(`b == nil || len(rest) > 0`, `b == nil || len(rest) < 0`, "TestMalformedValues/text after"),
		m(`t.Sub(signed).Abs() > time.Second`, `signed.Sub(t) > time.Second`, "TestTimeBesideTheToken"),
		m(`t.Sub(signed).Abs() > time.Second`, `t.Sub(signed) > time.Second`, "TestTimeBesideTheToken"),
		m(`err != nil || len(sum) != hash.Size()`, `err != nil`, "TestCheckDigest"),
	}
}

// inToken are the checks of the form of a token.
func inToken() []mutation {
	m := in("sign/timestamp/token.go", "sign/timestamp")
	return []mutation{
		m(`if err := granted(status); err != nil {`, `if err := granted(status); false {`, "TestReasonOfARejection"),
		m(`if status != 0 && status != 1 {`, `if status > 1<<30 {`, "TestReasonOfARejection"),
		m(`if !kind.Equal(oidSignedData) {`, `if false {`, "TestVersionsOfTheEnvelope"),
		m(`if !inner.Equal(oidTSTInfo) {`, `if false {`, "TestMessagesAreShort"),
		m(`!encap.ReadASN1(&content, tag0) || !encap.Empty()`, `!encap.ReadASN1(&content, tag0)`, "TestElementsTooMany"),
		m(`!sd.ReadASN1(&signers, der.SET) || !sd.Empty()`, `!sd.ReadASN1(&signers, der.SET)`, "TestElementsTooMany"),
		m(`if len(t.certs) == MaxCertificates {`, `if false {`, "TestLimits"),
		m(`key.N.BitLen() > maxRSABits || `, ``, "TestLimits"),
		m(` || key.E > maxRSAExponent`, ``, "TestLimits"),
		m(`if !set.Empty() {`, `if false {`, "TestTheSignersCertificateIsNamed"),
		m(`if !slices.Contains(t.digests, t.digestHash) {`, `if false && !slices.Contains(t.digests, t.digestHash) {`, "TestVersionsOfTheEnvelope"),
		m(`twice || !values.Empty()`, `twice`, "TestMessagesAreShort"),
		m(`twice || !values.Empty()`, `twice && false || !values.Empty()`, "TestTheSignersCertificateIsNamed"),
		m(`if len(t.attribute) == maxAttributes {`, `if false {`, "TestLimits"),
		m(`!in.ReadASN1(&s, der.SEQUENCE) || !in.Empty()`, `!in.ReadASN1(&s, der.SEQUENCE)`, "TestContentOfTheToken"),
		m(`	if version != 1 {`, `	if false {`, "TestContentOfTheToken"),
		m(` || len(t.imprint) != t.hash.Size()`, ``, "TestTokenForSomethingElse"),
		m(`if t.time.Year() < 1990 {`, `if false {`, "TestCVE_2026_54787_TimeOutsideTheCertificates"),
		m(`if err := exact(accuracy); err != nil {`, `if err := exact(accuracy); false {`, "TestContentOfTheToken"),
		m(`!s.ReadOptionalASN1(&extensions, nil, tag1) || !s.Empty()`, `!s.ReadOptionalASN1(&extensions, nil, tag1)`, "TestContentOfTheToken"),
		m(`return noneCritical(extensions)`, `return nil`, "TestContentOfTheToken"),
		m(`seconds < 0 || `, ``, "TestContentOfTheToken"),
		m(`seconds > int64(MaxAccuracy/time.Second) ||`, ``, "TestContentOfTheToken"),
		m(`if critical {`, `if false {`, "TestContentOfTheToken"),
		m(` && t.Format(generalizedTimeForm) == string(text)`, ` && len(text) > 0`, "TestContentOfTheToken"),
		m(` || !isNull(parameters)`, ``, "TestTokenForSomethingElse"),
		m(`	return 0, fmt.Errorf("%s is %.100s, expected SHA-256, SHA-384 or SHA-512: %w", what, oid, ocm.ErrInvalid)`, `	return crypto.SHA1, nil`, "TestVersionsOfTheEnvelope"),
	}
}

// inStamper are the checks of who has signed a token.
func inStamper() []mutation {
	m := in("sign/timestamp/signer.go", "sign/timestamp")
	return []mutation{
		m(` || !kind.Equal(oidTSTInfo)`, ``, "TestSignatureCoversTheToken"),
		m(` || !bytes.Equal(sum, digest(t.digestHash, t.info))`, ``, "TestSignatureCoversTheToken"),
		m(`if err := t.identifies(signer); err != nil {`, `if err := t.identifies(signer); false {`, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`signer.CheckSignature(alg, t.attributes, t.signature); err != nil`, `signer.CheckSignature(alg, t.attributes, t.signature); false`, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`return signer, onlyStamps(signer)`, `return signer, nil`, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`if !old && !present {`, `if false {`, "TestTheSignersCertificateIsNamed"),
		m(`		if old {`, `		if old && !present {`, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`if present && ok && err == nil {`, `if present && !old {`, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`if !bytes.Equal(sum, digest(hash, c.Raw)) {`, `if hash == 99 {`, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`return isFrom(c, name, issuerSerial), nil`, `return true, nil`, "TestTheSignersCertificateIsNamed"),
		m(`bytes.Equal(issuer, c.RawIssuer) && `, ``, "TestTheSignersCertificateIsNamed"),
		m(` && n.Cmp(c.SerialNumber) == 0`, ``, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`len(key) > 0 && `, ``, "TestTheSignersCertificateIsNamed"),
		m(` && bytes.Equal(key, c.SubjectKeyId)`, ``, "TestTheSignersCertificateIsNamed"),
		m(`n < minRSABits {`, `n < 99 {`, "TestSignatureCoversTheToken"),
		m(` && isPSS(t.parameters, t.digestHash)`, ``, "TestRSAAlgorithms/defaults, which are SHA-1"),
		m(`plain && t.algorithm.Equal(known.ecdsaID) && `, `plain && `, "TestMessagesAreShort"),
		m(` && key.Curve != elliptic.P224()`, ` && key.Curve != elliptic.P521()`, "TestSignatureCoversTheToken"),
		m(`plain && t.algorithm.Equal(oidEd25519)`, `plain`, "TestCheckAcceptsEveryAlgorithm"),
		m(`outer == hash && `, `outer != 99 && `, "TestRSAAlgorithms/other hash"),
		m(`inner == hash && `, `inner != 99 && `, "TestRSAAlgorithms/other mask hash"),
		m(` && n == hash.Size()`, ``, "TestRSAAlgorithms"),
		m(`!critical || `, ``, "TestOnlyATimeStampingCertificateTellsTheTime"),
		m(`len(c.ExtKeyUsage) != 1 || `, `len(c.ExtKeyUsage) < 1 || `, "TestOnlyATimeStampingCertificateTellsTheTime"),
		m(`len(c.UnknownExtKeyUsage) > 0 || `, ``, "TestOnlyATimeStampingCertificateTellsTheTime"),
		m(` || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping`, ``, "TestCVE_2026_39984_CertificateBesideTheSigners"),
		m(`c.IsCA || `, ``, "TestOnlyATimeStampingCertificateTellsTheTime"),
		m(`c.IsCA || c.KeyUsage&^(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0`, `c.IsCA`, "TestOnlyATimeStampingCertificateTellsTheTime"),
		m(`if len(roots) == 0 {`, `if len(roots) == 0 {
		pool = nil
	}
	if false {`, "TestSelfMadeAuthority"),
		m(`		CurrentTime:   at,
`, ``, "TestCVE_2026_24122_ExpiredIntermediate"),
		m(`KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}`, `KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}`, "TestIntermediateThatMayNotStamp"),
	}
}

// inRequest are the checks of an authority's answer.
func inRequest() []mutation {
	m := in("sign/timestamp/request.go", "sign/timestamp")
	return []mutation{
		m(` || !isLoopback(u.Hostname())`, ``, "TestRequestAddress"),
		m(`if !bytes.Equal(tok.imprint, sum) {`, `if false {`, "TestRequestAnswers"),
		m(`tok.nonce == nil || tok.nonce.Cmp(nonce) != 0`, `tok.nonce == nil`, "TestRequestAnswers"),
		m(`diff.Abs() > MaxSkew`, `diff > MaxSkew`, "TestRequestAnswers"),
		m(`diff.Abs() > MaxSkew`, `-diff > MaxSkew`, "TestRequestWithAClockThatIsWrong"),
		m(`		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
`, ``, "TestRequestHTTP"),
		m(`if len(body) > MaxResponse {`, `if false {`, "TestRequestEndlessAnswer"),
		m(` || kind != replyType`, ` || kind == ""`, "TestRequestHTTP"),
	}
}
