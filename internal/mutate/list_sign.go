// SPDX-License-Identifier: Apache-2.0

package main

// inRSA are the checks of RSA signatures and of certificates.
func inRSA() []mutation {
	const value, trust, key, rsa = "sign/rsa/value.go", "sign/rsa/trust.go", "sign/rsa/key.go", "sign/rsa/rsa.go"
	m := func(file, find, replace, test string) mutation {
		return mutation{file, find, replace, "sign/rsa", test}
	}
	return []mutation{
		m(rsa, `	if err != nil {
		return nil, &ocm.CheckError{Check: ocm.FoundValue`, `	if false {
		return nil, &ocm.CheckError{Check: ocm.FoundValue`, "TestPlainRefused/another key"),
		m(rsa, `	if err != nil {
		return nil, &ocm.CheckError{Check: ocm.FoundChain`, `	if false {
		return nil, &ocm.CheckError{Check: ocm.FoundChain`, "TestChainRefused/expired signer"),
		m(rsa, `	if len(d.Value) != 2*hash.Size() {`, `	if false {`, "TestPlainRefused/other hash"),
		m(value, `	if named != "" && named != v.algorithm {`, `	if false {`, "TestAlgorithmConfusion"),
		m(value, `	if !slices.Contains(Algorithms, v.algorithm) {`, `	if false && !slices.Contains(Algorithms, "") {`, "TestAlgorithmConfusion"),
		m(value, `	if len(sv.Value) > MaxSignatureSize {`, `	if false {`, "TestPEMShapes"),
		m(value, `			if v.raw != nil {`, `			if false {`, "TestPEMShapes"),
		m(value, `			if len(v.chain) == MaxCertificates {`, `			if false {`, "TestPEMShapes"),
		m(value, `	if len(v.raw) == 0 {`, `	if false {`, "TestPEMShapes"),
		m(trust, `			return nil, fmt.Errorf("certificate %q holds another key`, `			return key, nil
		}
		if false {
			return nil, fmt.Errorf("certificate %q holds another key`, "TestPEMShapes"),
		m(trust, `	return key, t.judge(v.chain, now)`, `	_ = t.judge
	return key, nil`, "TestChainRefused/expired signer"),
		m(trust, `		CurrentTime:   now,`, `		CurrentTime:   chain[0].NotAfter,`, "TestCVE_2026_54787_timestamp_does_not_move_the_clock"),
		m(trust, `KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},`, `KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},`, "TestChainRefused/not for code signing"),
		m(trust, `		if selfSigned(c) {
			return fmt.Errorf("the chain in`, `		if false {
			return fmt.Errorf("the chain in`, "TestChainRefused"),
		m(trust, `	if t.issuer == "" {
		return nil, "", fmt`, `	if false {
		return nil, "", fmt`, "TestSystemRootsCountOnlyForAName"),
		m(trust, `		if i != len(t.certs)-1 {`, `		if i < 0 {`, "TestChainRefused"),
		m(trust, `	if err := checkNames(leaf, v.issuer, t.issuer); err != nil {`, `	if err := checkNames(leaf, v.issuer, t.issuer); false && err != nil {`, "TestIssuer"),
		m(trust, `	} else if t.issuer != "" {`, `	} else if false {`, "TestPlainRefused/name required"),
		m(key, `; n < MinKeyBits || n > MaxKeyBits {
		return fmt.Errorf("%s has`, `; n < 8 || n > MaxKeyBits {
		return fmt.Errorf("%s has`, "TestPlainRefused/small key"),
	}
}

// inPGP are the checks of OpenPGP signatures.
func inPGP() []mutation {
	const pgp, key = "sign/pgp/pgp.go", "sign/pgp/key.go"
	m := func(file, find, replace, test string) mutation {
		return mutation{file, find, replace, "sign/pgp", test}
	}
	return []mutation{
		m(pgp, `	if sig.Signature.MediaType != MediaType || sig.Signature.Algorithm != Algorithm {`, `	if false {`, "TestVerifyRefuses"),
		m(pgp, `	if err := stillGood(keys, issuer, cfg.KeyFingerprint, config); err != nil {`, `	if err := stillGood(keys, issuer, cfg.KeyFingerprint, config); false && err != nil {`, "TestCVE_2026_54787_key_no_longer_valid"),
		m(pgp, `if _, err := sub.Verify(config.Now(), config); err != nil {`, `if _, err := sub.Verify(config.Now(), config); false && err != nil {`, "TestCVE_2026_54787_key_no_longer_valid"),
		m(pgp, `if _, err := e.VerifyPrimaryKey(config.Now(), config); err != nil {`, `if _, err := e.VerifyPrimaryKey(config.Now(), config); false && err != nil {`, "TestCVE_2026_54787_key_no_longer_valid"),
		m(pgp, `	if !found {
		return fmt`, `	if false {
		return fmt`, "TestFingerprintOfSubkey"),
		m(key, `	if len(text) > MaxSignatureSize {`, `	if false {`, "TestVerifyRefuses"),
		m(key, `	if sig.SigType != packet.SigTypeBinary {`, `	if false {`, "TestVerifyRefuses"),
		m(key, `	if _, err := packets.Next(); err != io.EOF {`, `	if _, err := packets.Next(); false && err != io.EOF {`, "TestVerifyRefuses"),
		m(key, `strings.Count(text, begin) != 1 || `, ``, "TestVerifyRefuses"),
	}
}
