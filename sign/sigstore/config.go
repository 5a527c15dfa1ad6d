// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"

	"ocm"
)

// maxPattern is the greatest length of a regular expression in bytes. Matching is linear in the text, but the
// program that an expression becomes is not linear in its length.
const maxPattern = 1024

// SigningConfig is the signer's configuration, type SigstoreSigningConfiguration/v1alpha1. Addresses given here
// win over those of the file SigningConfig. None has a default.
type SigningConfig struct {
	Type               string `json:"type"`
	SignatureAlgorithm string `json:"signatureAlgorithm,omitempty" about:"Sigstore/v1alpha1"`
	SigningConfig      string `json:"signingConfig,omitempty" about:"path of a Sigstore signing_config.json; what is given here wins over it"`
	Issuer             string `json:"issuer,omitempty" about:"OIDC issuer that the browser flow logs in to"`
	ClientID           string `json:"clientID,omitempty" about:"OAuth client, and audience of the token; default: sigstore"`
	FulcioURL          string `json:"fulcioURL,omitempty" about:"address of the certificate authority"`
	RekorURL           string `json:"rekorURL,omitempty" about:"address of the transparency log"`
	RekorVersion       int    `json:"rekorVersion,omitempty" about:"version of the log's interface: 1 or 2 (default)"`
	TSAURL             string `json:"tsaURL,omitempty" about:"address of the timestamp server, with its path"`
}

// VerificationConfig is the verifier's configuration, type SigstoreVerificationConfiguration/v1alpha1: who must
// have signed. A keyless signature needs one of the issuer fields and one of the identity fields; a signature with
// a key needs none of them, but the key, here or in the secret.
//
// Regular expressions are Go's (RE2), must match the whole text, and are at most 1024 bytes long.
type VerificationConfig struct {
	Type           string `json:"type"`
	Issuer         string `json:"certificateOIDCIssuer,omitempty" about:"who must have identified the signer"`
	IssuerRegexp   string `json:"certificateOIDCIssuerRegexp,omitempty" about:"the same as regular expression of the whole text"`
	Identity       string `json:"certificateIdentity,omitempty" about:"who must have signed"`
	IdentityRegexp string `json:"certificateIdentityRegexp,omitempty" about:"the same as regular expression of the whole text"`
	// PrivateInfrastructure does without a transparency log. A keyless signature must then have a time by a
	// timestamp authority of the root.
	PrivateInfrastructure bool   `json:"privateInfrastructure,omitempty" about:"do without a transparency log; a keyless signature then needs a timestamp"`
	PublicKeyPEM          string `json:"publicKeyPEM,omitempty" about:"key of a signature without certificate"`
	PublicKeyPEMFile      string `json:"publicKeyPEMFile,omitempty" about:"file that holds it"`
	// LogThreshold is how many different logs must have the signature; 0 is 1.
	LogThreshold int `json:"transparencyLogThreshold,omitempty" about:"how many different logs must have the signature; default 1"`
	// TimestampThreshold is how many different authorities must have dated the signature; 0: one, or a log.
	TimestampThreshold int `json:"timestampThreshold,omitempty" about:"how many different authorities must have dated the signature; default: one, or a log"`
}

func parseSigning(s ocm.Spec) (c SigningConfig, err error) {
	if s.Type != "" && !slices.Contains(SignerNames, s.Type) {
		return c, fmt.Errorf("configuration type %q is not one for Sigstore, expected SigstoreSigningConfiguration/v1alpha1: %w", s.Type, ocm.ErrUnknownType)
	}
	if err := s.Decode(&c); err != nil {
		return c, err
	}
	if a := c.SignatureAlgorithm; a != "" && a != Algorithm && a != LegacyAlgorithm {
		return c, fmt.Errorf("signatureAlgorithm %q, expected %s: %w", a, Algorithm, ocm.ErrInvalid)
	}
	if c.RekorVersion == 0 {
		c.RekorVersion = 2
	}
	if c.RekorVersion != 1 && c.RekorVersion != 2 {
		return c, fmt.Errorf("rekorVersion %d, expected 1 or 2: %w", c.RekorVersion, ocm.ErrInvalid)
	}
	for _, u := range []struct {
		field, url string
		secret     bool
	}{{"issuer", c.Issuer, true}, {"fulcioURL", c.FulcioURL, true}, {"rekorURL", c.RekorURL, false}, {"tsaURL", c.TSAURL, false}} {
		if u.url == "" {
			continue
		}
		if err := checkURL(u.url, u.secret); err != nil {
			return c, fmt.Errorf("%s: %w", u.field, err)
		}
	}
	return c, nil
}

// checkURL demands an absolute URL without query and fragment; a secret travels by https only, except to this machine.
func checkURL(text string, secret bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%q, expected https://…: %w", text, ocm.ErrInvalid)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return fmt.Errorf("%q, expected an address without user, query and fragment: %w", u.Redacted(), ocm.ErrInvalid)
	}
	if secret && !protected(u) {
		return fmt.Errorf("%q, expected https: an identity token must not travel unprotected: %w", text, ocm.ErrInvalid)
	}
	return nil
}

// protected reports whether what is sent there cannot be read on the way.
func protected(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

func parseVerification(s ocm.Spec) (c VerificationConfig, err error) {
	known := append([]string{"", "SigstoreVerificationConfiguration/v1alpha1", "SigstoreVerificationConfiguration"}, VerifierNames...)
	if !slices.Contains(known, s.Type) {
		return c, fmt.Errorf("configuration type %q is not one for verifying with Sigstore, expected SigstoreVerificationConfiguration/v1alpha1: %w", s.Type, ocm.ErrUnknownType)
	}
	if err := s.Decode(&c); err != nil {
		return c, err
	}
	if c.LogThreshold < 0 || c.TimestampThreshold < 0 || c.LogThreshold > MaxEntries || c.TimestampThreshold > MaxEntries {
		return c, fmt.Errorf("transparencyLogThreshold %d, timestampThreshold %d, expected 0 to %d: %w", c.LogThreshold, c.TimestampThreshold, MaxEntries, ocm.ErrInvalid)
	}
	if c.PrivateInfrastructure && c.LogThreshold > 0 {
		return c, fmt.Errorf("privateInfrastructure does without logs, transparencyLogThreshold demands them: %w", ocm.ErrInvalid)
	}
	return c, nil
}

// identities reports whether the configuration says who must have signed.
func (c *VerificationConfig) identities() bool {
	return c.Issuer != "" || c.IssuerRegexp != "" || c.Identity != "" || c.IdentityRegexp != ""
}

// anchored makes a regular expression that matches whole texts only.
func anchored(field, pattern string) (string, error) {
	if pattern == "" {
		return "", nil
	}
	if len(pattern) > maxPattern {
		return "", fmt.Errorf("%s has %d bytes, at most %d are accepted: %w", field, len(pattern), maxPattern, ocm.ErrLimit)
	}
	// By itself first: "a)|(b" is no expression, but would become one in parentheses, and match any text that ends in b.
	if _, err := regexp.Compile(pattern); err != nil {
		return "", fmt.Errorf("%s %q: %v: %w", field, pattern, err, ocm.ErrInvalid)
	}
	whole := `\A(?:` + pattern + `)\z`
	r, err := regexp.Compile(whole)
	if err != nil {
		return "", fmt.Errorf("%s %q: %v: %w", field, pattern, err, ocm.ErrInvalid)
	}
	if r.MatchString("") { // .* and its like: written by somebody who wanted the question to go away
		return "", fmt.Errorf("%s %q matches anything: say what must be matched: %w", field, pattern, ocm.ErrInvalid)
	}
	return whole, nil
}
