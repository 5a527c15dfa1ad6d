// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inSigstoreRoom are the checks of Sigstore.
func inSigstoreRoom() []mutation {
	return slices.Concat(inBundle(), inSigstore(), inTrustedRoot(), inSigstoreConfig(), inSigstoreDigest(), inSigstoreSign())
}

// inBundle are the checks of the form of a bundle, and that all of it is about one signature.
func inBundle() []mutation {
	m := in("sign/sigstore/bundle.go", "sign/sigstore")
	return []mutation{
		m(`v.MediaType != MediaType || v.Algorithm != Algorithm && v.Algorithm != LegacyAlgorithm`, `v.MediaType != MediaType`, "TestMediaTypes"),
		m(`v.MediaType != MediaType || v.Algorithm != Algorithm && v.Algorithm != LegacyAlgorithm`, `v.Algorithm != Algorithm && v.Algorithm != LegacyAlgorithm`, "TestMediaTypes"),
		m(`; len(text) > limit {`, `; limit < 0 {`, "TestCVE_2026_39395"),
		m(`if err := checkShape(pb); err != nil {`, `if err := checkShape(pb); false {`, "TestCVE_2022_35929"),
		m(`; t != MediaType && t != "application/vnd.dev.sigstore.bundle+json;version=0.3" {`, `; t == "" {`, "TestMediaTypes"),
		m(`if pb.GetDsseEnvelope() != nil {`, `if false {`, "TestCVE_2022_35929"),
		m(`; n > MaxEntries {`, `; n < 0 {`, "TestCVE_2024_45395"),
		m(`if !bytes.Equal(e.Signature(), m.GetSignature()) {`, `if false {`, "TestCVE_2026_22703"),
		m(`if !s.madeWith(e.PublicKey(), key) {`, `if false {`, "TestCVE_2026_22703"),
		m(`return ok && c.Equal(s.certificate)`, `return ok && c != nil`, "TestCVE_2026_22703"),
		m(`return ok && k.Equal(key)`, `return ok && k != nil`, "TestKeySwapped"),
		m(`func (signed) Version() (string, error) { return "", nil }`, `func (s signed) Version() (string, error) { return s.Bundle.Version() }`, "TestHashThatDoesNotBelongToTheKey"),
		m(`if len(t.GetSignedTimestamp()) == 0 {`, `if t == nil {`, "TestMediaTypes"),
		m(`!ok || !bytes.Equal(digest, m.GetMessageDigest().GetDigest())`, `!ok || digest == nil`, "TestCVE_2026_22703"),
	}
}

// inSigstore are the checks of what must be proven, and who must have signed.
func inSigstore() []mutation {
	m := in("sign/sigstore/verify.go", "sign/sigstore")
	return []mutation{
		m(`case t.key != nil && c.identities():`, `case false:`, "TestKeySwapped"),
		m(`case t.key != nil && b.certificate != nil:`, `case false:`, "TestKeySwapped"),
		m(`case (c.Issuer == "") == (c.IssuerRegexp == ""):`, `case false:`, "TestIdentity"),
		m(`case (c.Identity == "") == (c.IdentityRegexp == ""):`, `case false:`, "TestIdentity"),
		m(`return verify.WithCertificateIdentity(id), nil`, `_ = id
	return verify.WithoutIdentitiesUnsafe(), nil`, "TestExpressionMatchesTheWhole"),
		m(`if err := oneName(b); err != nil {`, `if err := oneName(b); false {`, "TestCertificateForTwoNames"),
		m(`if err := b.checkEntries(t.key); err != nil {`, `if err := b.checkEntries(t.key); false {`, "TestCVE_2026_22703"),
		m(`	if !c.PrivateInfrastructure {
		options`, `	if false {
		options`, "TestCVE_2022_23649"),
		m(`max(1, c.LogThreshold)`, `1`, "TestCVE_2026_49834"),
		m(`if b.certificate != nil && len(t.CTLogs()) > 0 {`, `if false {`, "TestCertificateLog"),
		m(`verify.WithSignedCertificateTimestamps(1)`, `verify.WithSignedCertificateTimestamps(0)`, "TestCertificateLog"),
		m(`case c.TimestampThreshold > 0:`, `case false:`, "TestCVE_2026_39395"),
		m(`case b.certificate != nil || t.limited:`, `case t.limited:`, "TestCVE_2026_39984"),
		m(`case b.certificate != nil || t.limited:`, `case b.certificate != nil:`, "TestCVE_2026_54787"),
		m(`ok && b.isIn(e, t)`, `ok`, "TestCVE_2022_36056_second_log_with_a_forged_promise"),
		m(`verify.NewPolicy(verify.WithArtifact(bytes.NewReader(artifact)), policy)`, `func() verify.PolicyBuilder {
		_ = bytes.NewReader(artifact)
		return verify.NewPolicy(verify.WithoutArtifactUnsafe(), policy)
	}()`, "TestCVE_2026_24122"),
	}
}

// inTrustedRoot are the checks of keys and roots that are configured.
func inTrustedRoot() []mutation {
	m := in("sign/sigstore/trust.go", "sign/sigstore")
	return []mutation{
		m(`root.NewExpiringKey(v, from, until)`, `root.NewExpiringKey(v, time.Time{}, until)`, "TestCVE_2026_54787"),
		m(`root.NewExpiringKey(v, from, until)`, `root.NewExpiringKey(v, from, time.Time{})`, "TestCVE_2026_54787"),
		m(`t.key, t.limited = key, !from.IsZero() || !until.IsZero()`, `t.key, t.limited = key, !from.IsZero()`, "TestCVE_2026_54787"),
		m(`t.key, t.limited = key, !from.IsZero() || !until.IsZero()`, `t.key, t.limited = key, !until.IsZero()`, "TestCVE_2026_54787"),
		m(`; next != nil {`, `; next != nil && false {`, "TestKeySwapped"),
		m(`err != nil || t.IsZero()`, `err != nil && t.IsZero() && false`, "TestCVE_2026_54787"),
	}
}

// inSigstoreConfig are the checks of what may be demanded.
func inSigstoreConfig() []mutation {
	m := in("sign/sigstore/config.go", "sign/sigstore")
	return []mutation{
		m(`c.LogThreshold < 0 || c.TimestampThreshold < 0 || `, ``, "TestVerificationConfig"),
		m(`if c.PrivateInfrastructure && c.LogThreshold > 0 {`, `if false {`, "TestVerificationConfig"),
		m(`if _, err := regexp.Compile(pattern); err != nil {`, `if false {
		err := error(nil)`, "TestIdentity"),
		m(`if r.MatchString("") {`, `if false && r.MatchString("") {`, "TestIdentity"),
		m(`return whole, nil`, `return pattern, nil`, "TestExpressionMatchesTheWhole"),
		m(`if len(pattern) > maxPattern {`, `if false {`, "TestIdentity"),
		m(`if !slices.Contains(known, s.Type) {`, `if false && !slices.Contains(known, s.Type) {`, "TestVerificationConfig"),
	}
}

// inSigstoreDigest are the checks of the digest that is signed.
func inSigstoreDigest() []mutation {
	m := in("sign/sigstore/sigstore.go", "sign/sigstore")
	return []mutation{
		m(`err != nil || len(sum) != hash.Size()`, `err != nil || hash == 0`, "TestOtherDigest"),
	}
}

// inSigstoreSign are the checks of a new signature.
func inSigstoreSign() []mutation {
	m := in("sign/sigstore/sign.go", "sign/sigstore")
	return []mutation{
		m(`if err := judge(value, artifact, m.key.Public()); err != nil {`, `if err := judge(value, artifact, m.key.Public()); false {`, "TestServicesThatLie"),
		m(`return b.checkEntries(key)`, `return nil`, "TestServicesThatLie"),
		m(`	if !dated {`, `	if false {`, "TestSignRefusesEarly"),
		m(`		_, err = judge(b, own, c, artifact, policy)
		return err`, `		_, _ = judge(b, own, c, artifact, policy)
		return nil`, "TestNewSignatureIsJudgedByTheRoot"),
	}
}
