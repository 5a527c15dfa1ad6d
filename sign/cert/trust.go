// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ocm"
)

// Trust is what a secret says about whose signatures of one kind of key are good.
type Trust struct {
	kind    string              // of the keys
	public  crypto.PublicKey    // for plain signatures; nil if not configured
	certs   []*x509.Certificate // that came with the public key
	anchors []*x509.Certificate // from caCertPEM
	tsa     []*x509.Certificate // from tsaCertPEM
	issuer  string              // name that the signer's subject must match; may be empty
	from    string              // where the public key is from, for messages
}

// LoadTrust reads the properties of a secret that matter for verifying signatures of a kind of key.
func LoadTrust(s ocm.Secret, kind string) (*Trust, error) {
	t := &Trust{kind: kind, issuer: s["issuer"]}
	text, name, err := publicKeyProperty().read(s)
	if err != nil {
		return nil, err
	}
	t.from = name
	if text != nil {
		if t.public, t.certs, err = parsePublicKey(text, kind); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if t.anchors, err = caCertProperty().certificates(s); err != nil {
		return nil, err
	}
	if t.tsa, err = tsaCertProperty().certificates(s); err != nil {
		return nil, err
	}
	if t.public != nil || len(t.certs) > 0 || len(t.anchors) > 0 {
		return t, nil
	}
	if text, t.from, err = privateKeyProperty().read(s); err != nil || text == nil {
		return t, err
	}
	key, err := PrivateKey(s, kind)
	if err != nil {
		return nil, err
	}
	t.public = key.Public()
	return t, nil
}

// Judged is what a [Trust] says about a signature, but for the signature itself.
type Judged struct {
	Key      crypto.PublicKey // that the signature must have been made with
	Signer   string           // whose key it is
	Findings []ocm.Finding
}

func (j *Judged) add(check, detail string) {
	j.Findings = append(j.Findings, ocm.Finding{Check: check, Detail: detail})
}

// Judge decides which key a signature must have been made with. now is the time by our clock, which a
// timestamp of the signature may overrule. What was established before an error is in the findings; a
// check that failed is an [ocm.CheckError].
func (t *Trust) Judge(v Value, sig ocm.Signature, now time.Time, check TimeCheck) (Judged, error) {
	j := Judged{}
	bare := t.public != nil && len(t.certs) == 0 && len(t.anchors) == 0
	chained := len(v.Chain) > 0 && !bare
	var err error
	if j.Key, err = t.keyOf(v, bare); err != nil {
		return j, failed(ocm.FoundValue, err)
	}
	roots := stampRoots{t.tsa, "tsaCertPEM"}
	if len(t.tsa) == 0 && chained && check != nil {
		roots = stampRoots{t.anchors, "caCertPEM, because tsaCertPEM is not set"}
	}
	j.Signer = fmt.Sprintf("the key in %s, %s", t.from, Fingerprint(j.Key))
	at, finding, err := signingTime(sig, roots, now, check)
	if err != nil {
		return j, err
	}
	if finding != nil {
		j.Findings = append(j.Findings, *finding)
	}
	if chained {
		built, err := t.chain(v.Chain, at, at.Equal(now))
		if err != nil {
			return j, failed(ocm.FoundChain, err)
		}
		j.add(ocm.FoundChain, built)
		j.Signer = nameOf(v.Chain[0])
	}
	err = t.identity(&j, v, chained)
	return j, err
}

// Fingerprint is a public key in few words, for people to compare: the first half of the SHA-256 of its DER form (SubjectPublicKeyInfo), as
// "openssl pkey -pubin -outform DER | sha256sum" begins. Empty if it has no such form.
func Fingerprint(key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return "SHA-256 " + hex.EncodeToString(sum[:len(sum)/2])
}

// keyOf is the key of the signer's certificate, which must be the configured one if that is bare, or without
// certificates the configured one.
func (t *Trust) keyOf(v Value, bare bool) (crypto.PublicKey, error) {
	if len(v.Chain) == 0 {
		return t.plainKey()
	}
	leaf := v.Chain[0]
	if bare && !equal(t.public, leaf.PublicKey) {
		return nil, fmt.Errorf("certificate %s holds another key than the public key that is configured", nameOf(leaf))
	}
	return leaf.PublicKey, checkKey(leaf.PublicKey, t.kind, fmt.Sprintf("key of certificate %s", nameOf(leaf)))
}

// plainKey is the configured key, for signatures without certificates.
func (t *Trust) plainKey() (crypto.PublicKey, error) {
	if t.public == nil && len(t.certs) > 0 {
		return nil, fmt.Errorf("no %s public key in %s: its first certificate is for another algorithm: %w", t.kind, t.from, ocm.ErrInvalid)
	}
	if t.public == nil {
		return nil, fmt.Errorf("the signature has no certificate and no public key is configured: set publicKeyPEM or publicKeyPEMFile: %w", ocm.ErrNotFound)
	}
	return t.public, checkKey(t.public, t.kind, "public key")
}

// identity compares the names that signature and configuration demand with those of the certificate. A name
// counts only if somebody vouches for it: a chain, or the verifier who configured the certificate.
func (t *Trust) identity(j *Judged, v Value, chained bool) error {
	var leaf *x509.Certificate
	switch {
	case len(v.Chain) > 0:
		leaf = v.Chain[0]
	case len(t.certs) > 0 && equal(t.certs[0].PublicKey, j.Key):
		leaf = t.certs[0]
	}
	if v.Issuer != "" && leaf != nil {
		ok, err := isNameOf(v.Issuer, leaf)
		if err != nil {
			return failed(ocm.FoundIdentity, fmt.Errorf("issuer of the signature: %w", err))
		}
		if !ok {
			return failed(ocm.FoundIdentity, fmt.Errorf("issuer of the signature is %q, but its certificate is for %s by %q", v.Issuer, nameOf(leaf), shortened(leaf.Issuer.String())))
		}
	}
	if t.issuer == "" {
		return nil
	}
	if len(v.Chain) == 0 && leaf == nil {
		return failed(ocm.FoundIdentity, fmt.Errorf("issuer %q is required, but a plain signature with a bare public key has no name: %w", t.issuer, ocm.ErrInvalid))
	}
	if len(v.Chain) > 0 && !chained {
		return failed(ocm.FoundIdentity, fmt.Errorf("issuer %q is required, but with a bare public key nobody vouches for the name in the certificate: set caCertPEM to its authority: %w", t.issuer, ocm.ErrInvalid))
	}
	ok, err := subjectHas(leaf, t.issuer)
	if err != nil {
		return failed(ocm.FoundIdentity, fmt.Errorf("issuer in the credentials: %w", err))
	}
	if !ok {
		return failed(ocm.FoundIdentity, fmt.Errorf("signer is %s, but the credentials require %q", nameOf(leaf), t.issuer))
	}
	j.add(ocm.FoundIdentity, fmt.Sprintf("%s has the name %q that is demanded", nameOf(leaf), t.issuer))
	return nil
}

// chain builds a chain from the signer's certificate to a trust anchor and describes it. Every
// certificate of it must be valid at the time, which clock says is that of our clock.
func (t *Trust) chain(given []*x509.Certificate, at time.Time, clock bool) (string, error) {
	intermediates := x509.NewCertPool()
	for _, c := range given[1:] {
		if selfSigned(c) {
			return "", fmt.Errorf("the chain in the signature has the self-signed certificate %s, but trust anchors must come from the verifier: %w", nameOf(c), ocm.ErrInvalid)
		}
		intermediates.AddCert(c)
	}
	roots, from, err := t.roots()
	if err != nil {
		return "", err
	}
	for _, c := range t.certs {
		if !selfSigned(c) {
			intermediates.AddCert(c)
		}
	}
	leaf, judged := given[0], "judged at "+at.UTC().Format(time.RFC3339)
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return "", fmt.Errorf("certificate %s does not lead to %s, %s: %w%s", nameOf(leaf), from, judged, err, outOfTime(err, at, clock))
	}
	isAnchor := slices.ContainsFunc(chains, func(c []*x509.Certificate) bool { return len(c) == 1 })
	if !isAnchor { // an anchor is what the verifier has chosen, whatever it says of itself
		if err := fitToSign(leaf); err != nil {
			return "", err
		}
	}
	names := make([]string, len(chains[0]))
	for i, c := range chains[0] {
		names[i] = nameOf(c)
	}
	return fmt.Sprintf("%s, which is %s, %s", strings.Join(names, " by "), from, judged), nil
}

// outOfTime tells of a certificate that is not valid at a time when it is, and what may be wrong; nothing if that is
// not what the error is about. A clock that is years off makes every certificate look like that.
func outOfTime(err error, at time.Time, clock bool) string {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return ""
	}
	c := invalid.Cert
	text := fmt.Sprintf("; %s is valid from %s to %s", nameOf(c), c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	if clock {
		text += fmt.Sprintf(", and this machine's clock says %s: set the clock if it is wrong; only a timestamp (tsaCertPEM) makes a signature good for longer than its certificate", at.UTC().Format(time.RFC3339))
	}
	return text
}

// roots are the trust anchors; nil stands for those of the operating system. Those alone would
// make anybody's certificate good, so they count only for a name that was configured.
func (t *Trust) roots() (pool *x509.CertPool, from string, err error) {
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
			return nil, "", fmt.Errorf("publicKeyPEM: the self-signed certificate %s must be the only one and the last: %w", nameOf(c), ocm.ErrInvalid)
		}
		pool = x509.NewCertPool()
		pool.AddCert(c)
		return pool, fmt.Sprintf("the configured root %s", nameOf(c)), nil
	}
	if t.issuer == "" {
		return nil, "", fmt.Errorf("no trust anchor is configured: set caCertPEM, or issuer to accept that name from the roots of the operating system: %w", ocm.ErrNotFound)
	}
	return nil, "a root of the operating system", nil
}

// fitToSign refuses certificates that were not given out for signing software: an authority signs
// certificates, and a key that is only to encrypt or to agree on keys signs nothing.
func fitToSign(c *x509.Certificate) error {
	if c.IsCA {
		return fmt.Errorf("certificate %s is that of an authority, which must not sign anything but certificates: %w", nameOf(c), ocm.ErrInvalid)
	}
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return fmt.Errorf("certificate %s is not for signatures by its key usage: %w", nameOf(c), ocm.ErrInvalid)
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// equal compares public keys of any type.
func equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// nameOf is a certificate's subject for messages: quoted, and not endless.
func nameOf(c *x509.Certificate) string { return fmt.Sprintf("%q", shortened(c.Subject.String())) }

func shortened(name string) string {
	const enough = 200
	if len(name) > enough {
		return strings.ToValidUTF8(name[:enough], "") + "…"
	}
	return name
}

// signingCertificates are the certificates to embed: the signer's first, roots left
// out. One that nobody would accept is refused now rather than at the verifier's.
func signingCertificates(s ocm.Secret, key crypto.PublicKey, now time.Time) ([]*x509.Certificate, error) {
	text, name, err := publicKeyProperty().read(s)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, fmt.Errorf("encoding %s needs certificates: set publicKeyPEM or publicKeyPEMFile: %w", PEM, ocm.ErrNotFound)
	}
	kind, err := kindOf(key)
	if err != nil {
		return nil, err
	}
	_, certs, err := parsePublicKey(text, kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: encoding %s needs certificates, but there is only a public key: %w", name, PEM, ocm.ErrInvalid)
	}
	leaf := certs[0]
	if !equal(key, leaf.PublicKey) {
		return nil, fmt.Errorf("%s: the first certificate %s is not for the private key: %w", name, nameOf(leaf), ocm.ErrInvalid)
	}
	if err := maySign(leaf, now); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return withoutRoots(certs), nil
}

// maySign refuses a certificate whose signatures nobody would accept.
func maySign(leaf *x509.Certificate, now time.Time) error {
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("certificate %s is valid from %s to %s only, it is %s: %w", nameOf(leaf), leaf.NotBefore.UTC().Format(time.RFC3339),
			leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), ocm.ErrInvalid)
	}
	usages := leaf.ExtKeyUsage
	if len(usages)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(usages, x509.ExtKeyUsageCodeSigning) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		return fmt.Errorf("certificate %s is not for code signing: %w", nameOf(leaf), ocm.ErrInvalid)
	}
	if selfSigned(leaf) {
		return nil
	}
	return fitToSign(leaf)
}

// withoutRoots leaves out what a verifier must have already; the signer's certificate stays.
func withoutRoots(certs []*x509.Certificate) []*x509.Certificate {
	embed := certs[:1:1]
	for _, c := range certs[1:] {
		if !selfSigned(c) {
			embed = append(embed, c)
		}
	}
	return embed
}
