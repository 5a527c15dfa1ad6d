// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	stdrsa "crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"ocm"
)

// Foreign takes a PEM value that somebody else made over d for us, a signing server for example, and
// returns it as Sign would have written it, roots left out. Nothing in it is believed: it must have
// one SIGNATURE block, of the algorithm if it names one, and the certificate of a signer who
// may sign now; and the signature must fit that certificate's key and d. Whether the certificate
// is somebody's whom anybody trusts is for those to say who verify.
//
// [ocm.ErrSignature] if the signature does not fit, [ocm.ErrInvalid] or [ocm.ErrLimit] for its form.
func Foreign(algorithm, value string, d ocm.Digest, now time.Time) (ocm.SignatureValue, error) {
	var none ocm.SignatureValue
	hash, sum, err := hashed(d, false)
	if err != nil {
		return none, err
	}
	v, err := decodeValue(ocm.SignatureValue{Algorithm: algorithm, MediaType: MediaTypePEM, Value: value})
	if err != nil {
		return none, err
	}
	if len(v.chain) == 0 {
		return none, fmt.Errorf("PEM value has no certificate of the signer: %w", ocm.ErrInvalid)
	}
	leaf := v.chain[0]
	key, ok := leaf.PublicKey.(*stdrsa.PublicKey)
	if !ok {
		return none, fmt.Errorf("certificate %q has no RSA key: %w", leaf.Subject, ocm.ErrInvalid)
	}
	if err := checkSize(key, fmt.Sprintf("key of certificate %q", leaf.Subject)); err != nil {
		return none, err
	}
	if err := maySign(leaf, now); err != nil {
		return none, err
	}
	if v.algorithm == PSS {
		err = stdrsa.VerifyPSS(key, hash, sum, v.raw, &stdrsa.PSSOptions{SaltLength: stdrsa.PSSSaltLengthAuto})
	} else {
		err = stdrsa.VerifyPKCS1v15(key, hash, sum, v.raw)
	}
	if err != nil {
		return none, fmt.Errorf("the %s signature does not fit %s and the key of certificate %q: %w", v.algorithm, d, leaf.Subject, ocm.ErrSignature)
	}
	embed := v.chain[:1:1]
	for _, c := range v.chain[1:] {
		if !selfSigned(c) {
			embed = append(embed, c)
		}
	}
	return encodePEM(v.algorithm, v.raw, embed), nil
}

// maySign refuses a certificate whose signatures nobody would accept.
func maySign(leaf *x509.Certificate, now time.Time) error {
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("certificate %q is valid from %s to %s only, it is %s: %w", leaf.Subject,
			leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), ocm.ErrInvalid)
	}
	usages := leaf.ExtKeyUsage
	if len(usages)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(usages, x509.ExtKeyUsageCodeSigning) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		return fmt.Errorf("certificate %q is not for code signing: %w", leaf.Subject, ocm.ErrInvalid)
	}
	return nil
}
