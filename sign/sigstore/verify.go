// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/proto"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"

	"ocm"
)

func verifySignature(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) (found []ocm.Finding, err error) {
	defer noPanic(&err)
	cfg, err := parseVerification(s)
	if err != nil {
		return nil, err
	}
	artifact, err := hashed(sig.Digest)
	if err != nil {
		return nil, err
	}
	b, err := decodeSignature(sig.Signature)
	if err != nil {
		return nil, err
	}
	t, err := loadTrust(ctx, env, sig.Name, &cfg)
	if err != nil {
		return nil, err
	}
	policy, err := cfg.policy(t, b)
	if err != nil {
		return nil, &ocm.CheckError{Check: ocm.FoundIdentity, Err: err}
	}
	return judge(b, t, &cfg, artifact, policy)
}

// policy says who must have signed: an identity, or the key. That somebody has signed is never enough.
func (c *VerificationConfig) policy(t *trust, b *signed) (verify.PolicyOption, error) {
	switch {
	case t.key != nil && c.identities():
		return nil, fmt.Errorf("both a public key and the identity of a certificate are demanded, but a signature has only one of them: %w", ocm.ErrInvalid)
	case t.key != nil && b.certificate != nil:
		return nil, fmt.Errorf("a signature by the configured key is demanded, found one by a certificate: %w", ocm.ErrInvalid)
	case t.key != nil:
		return verify.WithKey(), nil
	case b.certificate == nil:
		return nil, fmt.Errorf("the signature was made with key %.100q; set publicKeyPEM or publicKeyPEMFile to the key that you trust: %w", b.GetVerificationMaterial().GetPublicKey().GetHint(), ocm.ErrNotFound)
	case (c.Issuer == "") == (c.IssuerRegexp == ""):
		return nil, fmt.Errorf("exactly one of certificateOIDCIssuer and certificateOIDCIssuerRegexp must say by whose word signers are known: %w", ocm.ErrInvalid)
	case (c.Identity == "") == (c.IdentityRegexp == ""):
		return nil, fmt.Errorf("exactly one of certificateIdentity and certificateIdentityRegexp must say who may have signed: %w", ocm.ErrInvalid)
	}
	if err := oneName(b); err != nil {
		return nil, err
	}
	issuer, err := anchored("certificateOIDCIssuerRegexp", c.IssuerRegexp)
	if err != nil {
		return nil, err
	}
	identity, err := anchored("certificateIdentityRegexp", c.IdentityRegexp)
	if err != nil {
		return nil, err
	}
	id, err := verify.NewShortCertificateIdentity(c.Issuer, issuer, c.Identity, identity)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	return verify.WithCertificateIdentity(id), nil
}

// oneName refuses certificates for several names, where the one that is compared might not be the one that is meant.
func oneName(b *signed) error {
	c := b.certificate
	if n := len(c.URIs) + len(c.EmailAddresses) + len(c.DNSNames) + len(c.IPAddresses); n > 1 {
		return fmt.Errorf("the certificate is for %d names, expected one: %w", n, ocm.ErrInvalid)
	}
	return nil
}

// judge decides about a bundle. The library's Verify is what decides; the rest is shape, and words.
func judge(b *signed, t *trust, c *VerificationConfig, artifact []byte, policy verify.PolicyOption) ([]ocm.Finding, error) {
	if err := b.checkEntries(t.key); err != nil {
		return nil, &ocm.CheckError{Check: ocm.FoundLog, Err: err}
	}
	v, err := verify.NewVerifier(t, c.demands(t, b)...)
	if err != nil {
		return nil, err
	}
	result, err := v.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(artifact)), policy))
	if err != nil {
		return nil, &ocm.CheckError{Check: checkOf(err), Err: explain(err, t, b)}
	}
	return findings(b, t, c, result), nil
}

// demands says what must be proven beside the signature itself.
func (c *VerificationConfig) demands(t *trust, b *signed) (options []verify.VerifierOption) {
	if !c.PrivateInfrastructure {
		options = append(options, verify.WithTransparencyLog(max(1, c.LogThreshold)))
	}
	if b.certificate != nil && len(t.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	switch {
	case c.TimestampThreshold > 0:
		return append(options, verify.WithSignedTimestamps(c.TimestampThreshold))
	case b.certificate != nil || t.limited: // what is good only for a time must be dated: by an authority or a log that is asked for
		return append(options, verify.WithObserverTimestamps(1))
	}
	return append(options, verify.WithNoObserverTimestamps())
}

// checkOf names the check that failed. The library tells them apart by text only.
func checkOf(err error) string {
	for prefix, check := range map[string]string{
		"failed to verify log inclusion":                ocm.FoundLog,
		"failed to verify timestamps":                   ocm.FoundTime,
		"signature time outside of public key validity": ocm.FoundTime,
		"failed to verify leaf certificate":             ocm.FoundChain,
		"failed to verify signed certificate timestamp": ocm.FoundChain,
		"failed to verify certificate identity":         ocm.FoundIdentity,
	} {
		if strings.HasPrefix(err.Error(), prefix) {
			return check
		}
	}
	return ocm.FoundValue
}

// explain adds to the library's error what the reader needs to know to go on.
func explain(err error, t *trust, b *signed) error {
	switch checkOf(err) {
	case ocm.FoundLog:
		return fmt.Errorf("%w (the trusted root knows %d logs, the bundle has %d entries; privateInfrastructure does without logs)", err, len(t.RekorLogs()), len(b.GetVerificationMaterial().GetTlogEntries()))
	case ocm.FoundTime:
		return fmt.Errorf("%w (the trusted root knows %d timestamp authorities, the bundle has %d timestamps)", err, len(t.TimestampingAuthorities()), len(b.timestamps()))
	case ocm.FoundChain:
		return fmt.Errorf("certificate of %s, issued by %q, valid from %s to %s: %w (the trusted root knows %d certificate authorities)", b.who(), b.certificate.Issuer,
			b.certificate.NotBefore.UTC().Format(time.RFC3339), b.certificate.NotAfter.UTC().Format(time.RFC3339), err, len(t.FulcioCertificateAuthorities()))
	case ocm.FoundValue:
		return fmt.Errorf("%w: it was made over something else, or with another key, or the version was changed", err)
	}
	return err
}

func findings(b *signed, t *trust, c *VerificationConfig, r *verify.VerificationResult) (found []ocm.Finding) {
	add := func(check, format string, args ...any) {
		found = append(found, ocm.Finding{Check: check, Detail: fmt.Sprintf(format, args...)})
	}
	if !c.PrivateInfrastructure {
		for _, e := range b.GetVerificationMaterial().GetTlogEntries() {
			if log, ok := t.RekorLogs()[hex.EncodeToString(e.GetLogId().GetKeyId())]; ok && b.isIn(e, t) {
				add(ocm.FoundLog, "entry %d of %s", e.GetLogIndex(), log.BaseURL)
			}
		}
	}
	for _, when := range r.VerifiedTimestamps {
		source := "timestamp authority"
		if when.Type == "Tlog" {
			source = "transparency log"
		}
		add(ocm.FoundTime, "%s by the %s %s", when.Timestamp.UTC().Format(time.RFC3339), source, when.URI)
	}
	signer := "key " + keyHint(t.key)
	if r.Signature != nil && r.Signature.Certificate != nil {
		listed := ""
		if len(t.CTLogs()) > 0 {
			listed = ", listed in a certificate log"
		}
		add(ocm.FoundChain, "issued by %s%s", r.Signature.Certificate.CertificateIssuer, listed)
		signer = printable(r.Signature.Certificate.SubjectAlternativeName) + ", known to " + printable(r.Signature.Certificate.Issuer)
		if r.VerifiedIdentity != nil {
			add(ocm.FoundIdentity, "%s", signer)
		}
	}
	add(ocm.FoundValue, "%s", Algorithm)
	add(ocm.FoundSigner, "%s", signer)
	return found
}

// isIn reports whether one entry by itself satisfies: of several entries, some may be of logs that the root does not know.
func (s *signed) isIn(e *protorekor.TransparencyLogEntry, t *trust) bool {
	alone := proto.Clone(s.Bundle.Bundle).(*protobundle.Bundle)
	alone.VerificationMaterial.TlogEntries = []*protorekor.TransparencyLogEntry{e}
	b, err := bundle.NewBundle(alone)
	if err != nil {
		return false
	}
	_, err = verify.VerifyTlogEntry(b, t, 1, false)
	return err == nil
}

func (s *signed) timestamps() [][]byte {
	all, err := s.Timestamps()
	if err != nil {
		return nil
	}
	return all
}

// printable quotes a name that could do something to a terminal.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// who is the name in the certificate, unverified, for messages.
func (s *signed) who() string {
	switch c := s.certificate; {
	case len(c.URIs) > 0:
		return fmt.Sprintf("%.200q", c.URIs[0].String())
	case len(c.EmailAddresses) > 0:
		return fmt.Sprintf("%.200q", c.EmailAddresses[0])
	}
	return "an unknown signer"
}
