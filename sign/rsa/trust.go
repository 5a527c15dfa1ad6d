// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	"bytes"
	stdrsa "crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"ocm"
)

// trust is what a secret says about whose signatures are good.
type trust struct {
	public  *stdrsa.PublicKey   // for plain signatures; nil if not configured
	certs   []*x509.Certificate // that came with the public key
	anchors []*x509.Certificate // from caCertPEM
	issuer  string              // name that the signer's subject must match; may be empty
	from    string              // where the public key is from, for messages
}

// loadTrust reads the properties of a secret that matter for verifying.
func loadTrust(s ocm.Secret) (*trust, error) {
	t := &trust{issuer: s["issuer"]}
	text, name, err := publicKeyProperty().read(s)
	if err != nil {
		return nil, err
	}
	t.from = name
	if text != nil {
		if t.public, t.certs, err = parsePublicKey(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if text, name, err = caCertProperty().read(s); err != nil {
		return nil, err
	}
	if text != nil {
		if t.anchors, err = parseCertificates(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if t.public != nil || t.anchors != nil {
		return t, nil
	}
	if text, t.from, err = privateKeyProperty().read(s); err != nil {
		return nil, err
	}
	if text != nil {
		key, err := privateKey(s)
		if err != nil {
			return nil, err
		}
		t.public = &key.PublicKey
	}
	return t, nil
}

// parseCertificates reads trust anchors; other PEM blocks beside them are an error,
// because something else was probably meant.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != certificateBlock {
			return nil, fmt.Errorf("PEM block %q, expected %s: %w", b.Type, certificateBlock, ocm.ErrInvalid)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %v: %w", len(certs)+1, err, ocm.ErrInvalid)
		}
		if certs = append(certs, c); len(certs) > MaxCertificates {
			return nil, fmt.Errorf("more than %d certificates: %w", MaxCertificates, ocm.ErrLimit)
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("no certificate in it: %w", ocm.ErrInvalid)
	}
	return certs, nil
}

// keyFor decides which key the signature must have been made with.
func (t *trust) keyFor(v value, now time.Time) (*stdrsa.PublicKey, error) {
	if len(v.chain) == 0 {
		return t.pinned(v)
	}
	leaf := v.chain[0]
	key, ok := leaf.PublicKey.(*stdrsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("certificate %q has no RSA key: %w", leaf.Subject, ocm.ErrInvalid)
	}
	if err := checkSize(key, fmt.Sprintf("key of certificate %q", leaf.Subject)); err != nil {
		return nil, err
	}
	if err := checkNames(leaf, v.issuer, t.issuer); err != nil {
		return nil, err
	}
	if t.public != nil && len(t.certs) == 0 && len(t.anchors) == 0 {
		if !t.public.Equal(key) {
			return nil, fmt.Errorf("certificate %q holds another key than the public key that is configured", leaf.Subject)
		}
		return key, nil
	}
	return key, t.judge(v.chain, now)
}

// pinned is the configured key, for signatures without certificates.
func (t *trust) pinned(v value) (*stdrsa.PublicKey, error) {
	if t.public == nil {
		return nil, fmt.Errorf("the signature has no certificate and no public key is configured: set publicKeyPEM or publicKeyPEMFile: %w", ocm.ErrNotFound)
	}
	if len(t.certs) > 0 {
		if err := checkNames(t.certs[0], v.issuer, t.issuer); err != nil {
			return nil, err
		}
	} else if t.issuer != "" {
		return nil, fmt.Errorf("issuer %q is required, but a plain signature with a bare public key has no name: %w", t.issuer, ocm.ErrInvalid)
	}
	return t.public, checkSize(t.public, "public key")
}

// checkNames compares the names that signature and configuration demand.
func checkNames(leaf *x509.Certificate, claimed, required string) error {
	if claimed != "" {
		ok, err := isNameOf(claimed, leaf)
		if err != nil {
			return fmt.Errorf("issuer of the signature: %w", err)
		}
		if !ok {
			return fmt.Errorf("issuer of the signature is %q, but its certificate is for %q by %q", claimed, leaf.Subject, leaf.Issuer)
		}
	}
	if required != "" {
		ok, err := subjectHas(leaf, required)
		if err != nil {
			return fmt.Errorf("issuer in the credentials: %w", err)
		}
		if !ok {
			return fmt.Errorf("signer is %q, but the credentials require %q", leaf.Subject, required)
		}
	}
	return nil
}

// judge builds a chain from the signer's certificate to a trust anchor. Every certificate
// of it must be valid now.
func (t *trust) judge(chain []*x509.Certificate, now time.Time) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		if selfSigned(c) {
			return fmt.Errorf("the chain in the signature has the self-signed certificate %q, but trust anchors must come from the verifier: %w", c.Subject, ocm.ErrInvalid)
		}
		intermediates.AddCert(c)
	}
	roots, from, err := t.roots()
	if err != nil {
		return err
	}
	for _, c := range t.certs {
		if !selfSigned(c) {
			intermediates.AddCert(c)
		}
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return fmt.Errorf("certificate %q does not lead to %s, judged at %s: %w", chain[0].Subject, from, now.UTC().Format(time.RFC3339), err)
	}
	return nil
}

// roots are the trust anchors; nil stands for those of the operating system. Those alone would
// make anybody's certificate good, so they count only for a name that was configured.
func (t *trust) roots() (pool *x509.CertPool, from string, err error) {
	if len(t.anchors) > 0 {
		pool = x509.NewCertPool()
		for _, c := range t.anchors {
			pool.AddCert(c)
		}
		return pool, "a certificate of caCertPEM", nil
	}
	for i, c := range t.certs {
		if !selfSigned(c) {
			continue
		}
		if i != len(t.certs)-1 {
			return nil, "", fmt.Errorf("publicKeyPEM: the self-signed certificate %q must be the only one and the last: %w", c.Subject, ocm.ErrInvalid)
		}
		pool = x509.NewCertPool()
		pool.AddCert(c)
		return pool, fmt.Sprintf("the configured root %q", c.Subject), nil
	}
	if t.issuer == "" {
		return nil, "", fmt.Errorf("no trust anchor is configured: set caCertPEM, or issuer to accept that name from the roots of the operating system: %w", ocm.ErrNotFound)
	}
	return nil, "a root of the operating system", nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// signingCertificates are the certificates to embed: the signer's first, roots left
// out. One that nobody would accept is refused now rather than at the verifier's.
func signingCertificates(s ocm.Secret, key *stdrsa.PrivateKey, now time.Time) ([]*x509.Certificate, error) {
	text, name, err := publicKeyProperty().read(s)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, fmt.Errorf("encoding %s needs certificates: set publicKeyPEM or publicKeyPEMFile: %w", PEM, ocm.ErrNotFound)
	}
	_, certs, err := parsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: encoding %s needs certificates, but there is only a public key: %w", name, PEM, ocm.ErrInvalid)
	}
	leaf := certs[0]
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%s: the first certificate %q is not for the private key: %w", name, leaf.Subject, ocm.ErrInvalid)
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return nil, fmt.Errorf("%s: certificate %q is valid from %s to %s only: %w", name, leaf.Subject,
			leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), ocm.ErrInvalid)
	}
	usages := leaf.ExtKeyUsage
	if len(usages)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(usages, x509.ExtKeyUsageCodeSigning) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		return nil, fmt.Errorf("%s: certificate %q is not for code signing: %w", name, leaf.Subject, ocm.ErrInvalid)
	}
	embed := certs[:1:1]
	for _, c := range certs[1:] {
		if !selfSigned(c) {
			embed = append(embed, c)
		}
	}
	return embed, nil
}
