// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inOpenPGP are the checks of OpenPGP.
func inOpenPGP() []mutation {
	return slices.Concat(inPGP(), inPGPForm(), inPGPKeys())
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

// inPGPForm are the checks of the form of OpenPGP signatures.
func inPGPForm() []mutation {
	m := in("sign/pgp/key.go", "sign/pgp")
	return []mutation{
		m(` || block.Type != openpgp.SignatureType`, ``, "TestVerifyRefuses"),
		m(`!strings.HasPrefix(text, begin) || `, ``, "TestVerifyRefuses"),
		m(` || !strings.HasSuffix(text, end+"SIGNATURE-----")`, ``, "TestVerifyRefuses"),
	}
}

// inPGPKeys are the checks of what an OpenPGP signature is of, and by whom.
func inPGPKeys() []mutation {
	m := in("sign/pgp/pgp.go", "sign/pgp")
	return []mutation{
		m(`return nil, &ocm.CheckError{Check: ocm.FoundValue, Err: err}`, `return []ocm.Finding{{Check: ocm.FoundSigner, Detail: "x"}}, nil`, "TestGolden"),
		m(`err != nil || len(sum) != hash.Size()`, `err != nil || hash == 0`, "TestSignRefuses"),
		m(`return 0, fmt.Errorf("hash algorithm %q, expected SHA-256, SHA-384 or SHA-512: %w", name, ocm.ErrInvalid)`, `return crypto.SHA256, nil`, "TestVerifyRefuses"),
		m(`	cfg, _, err := parseConfig(s)
	if err != nil {
		return nil, err`, `	cfg, _, err := parseConfig(s)
	if false {
		return nil, err`, "TestVerifyRefuses"),
		m(`found = found || named || matches(sub.PublicKey, fingerprint)`, `found = true`, "TestFingerprintOfSubkey"),
	}
}
