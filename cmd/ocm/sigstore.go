// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/credentials"
)

// sigstoreSigning says which servers make a signature without a key.
type sigstoreSigning struct {
	fulcioURL     string
	rekorURL      string
	rekorVersion  int
	signingConfig string
	oidcIssuer    string
	oidcClient    string
	token         string
}

func (o *sigstoreSigning) AddFlags(fs *pflag.FlagSet, keyless *bool) {
	fs.BoolVar(keyless, "keyless", false, "sign with an identity (Sigstore) in place of a key; the token is from --identity-token, $SIGSTORE_ID_TOKEN, the CI system or a browser")
	fs.StringVar(&o.fulcioURL, "fulcio-url", "", "`URL` of the authority that turns an identity into a certificate")
	fs.StringVar(&o.rekorURL, "rekor-url", "", "`URL` of the transparency log")
	fs.IntVar(&o.rekorVersion, "rekor-version", 0, "`number` of the log's protocol: 1 or 2; 0: the newest")
	fs.StringVar(&o.signingConfig, "signing-config", "", "`file` that names all servers of a Sigstore installation, in place of their URLs")
	fs.StringVar(&o.oidcIssuer, "oidc-issuer", "", "`URL` of the service that knows the identity, for the browser")
	fs.StringVar(&o.oidcClient, "oidc-client-id", "", "`name` under which that service knows this program")
	fs.StringVar(&o.token, "identity-token", "", "`file` with the token of the identity")
}

// given is a flag that was given, if any.
func (o *sigstoreSigning) given() string {
	for flag, value := range map[string]string{"--fulcio-url": o.fulcioURL, "--rekor-url": o.rekorURL, "--signing-config": o.signingConfig,
		"--oidc-issuer": o.oidcIssuer, "--oidc-client-id": o.oidcClient, "--identity-token": o.token} {
		if value != "" {
			return flag
		}
	}
	if o.rekorVersion != 0 {
		return "--rekor-version"
	}
	return ""
}

// spec is the configuration of the signer.
func (o *sigstoreSigning) spec(tsaURL string) (ocm.Spec, error) {
	if o.signingConfig == "" && o.fulcioURL == "" {
		return ocm.Spec{}, usagef("--keyless: --fulcio-url or --signing-config must say who certifies the identity; there is no default")
	}
	return ocm.NewSpec(struct {
		Type          string `json:"type"`
		SigningConfig string `json:"signingConfig,omitempty"`
		Issuer        string `json:"issuer,omitempty"`
		ClientID      string `json:"clientID,omitempty"`
		FulcioURL     string `json:"fulcioURL,omitempty"`
		RekorURL      string `json:"rekorURL,omitempty"`
		RekorVersion  int    `json:"rekorVersion,omitzero"`
		TSAURL        string `json:"tsaURL,omitempty"`
	}{"SigstoreSigningConfiguration/v1alpha1", o.signingConfig, o.oidcIssuer, o.oidcClient, o.fulcioURL, o.rekorURL, o.rekorVersion, tsaURL})
}

// keysOfKeyless lays the token of the flag above what is configured.
func (s *session) keysOfKeyless(o signerOptions) error {
	if o.sigstore.token == "" {
		return nil
	}
	token, err := readFile(o.sigstore.token, maxKeyFile)
	if err != nil {
		return fmt.Errorf("--identity-token %s: %w", o.sigstore.token, err)
	}
	s.keys.Credentials = credentials.Overlay(credentials.Static(credentials.Entry{
		Identity: ocm.Identity{"type": sigstoreSigner, "signature": o.signature},
		Secret:   ocm.Secret{"token": strings.TrimSpace(string(token))},
	}), s.keys.Credentials)
	return nil
}

// isSigstore reports whether an algorithm, or the type of a configuration, is one of Sigstore.
func isSigstore(typ string) bool {
	base, _, _ := strings.Cut(typ, "/")
	switch base {
	case "Sigstore", "sigstore", "SigstoreSigningConfiguration", "SigstoreVerificationConfiguration":
		return true
	}
	return false
}

// sigstoreTrust says whose keyless signatures are good.
type sigstoreTrust struct {
	root           string
	identity       string
	identityRegexp string
	issuer         string
	issuerRegexp   string
	private        bool
}

func (o *sigstoreTrust) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.root, "trusted-root", "", "`file` with the authorities and logs (trusted_root.json) that keyless signatures must lead to")
	fs.StringVar(&o.identity, "certificate-identity", "", "`identity` of who must have signed keyless: a mail address, or the URL of a workflow")
	fs.StringVar(&o.identityRegexp, "certificate-identity-regexp", "", "regular `expression` that the whole identity must match")
	fs.StringVar(&o.issuer, "certificate-oidc-issuer", "", "`URL` of the service that must have known the identity")
	fs.StringVar(&o.issuerRegexp, "certificate-oidc-issuer-regexp", "", "regular `expression` that the whole URL of that service must match")
	fs.BoolVar(&o.private, "private-infrastructure", false, "demand no public log of keyless signatures, but a timestamp")
}

// check finds contradictions before anything is read. An identity is nothing without the service that knows it.
func (o *sigstoreTrust) check() error {
	switch {
	case o.identity != "" && o.identityRegexp != "":
		return usagef("--certificate-identity and --certificate-identity-regexp: give one of them")
	case o.issuer != "" && o.issuerRegexp != "":
		return usagef("--certificate-oidc-issuer and --certificate-oidc-issuer-regexp: give one of them")
	case (o.identity+o.identityRegexp == "") != (o.issuer+o.issuerRegexp == ""):
		return usagef("who has signed is an identity and the service that knows it: give --certificate-identity and --certificate-oidc-issuer, or the regular expressions")
	case o.private && o.identity+o.identityRegexp == "":
		return usagef("--private-infrastructure is for --certificate-identity, which is missing")
	}
	return nil
}

// spec is the configuration of the verifier; the zero Spec if nothing was given.
func (o *sigstoreTrust) spec() (ocm.Spec, error) {
	if cmp.Or(o.identity, o.identityRegexp) == "" {
		return ocm.Spec{}, nil
	}
	return ocm.NewSpec(struct {
		Type           string `json:"type"`
		Issuer         string `json:"certificateOIDCIssuer,omitempty"`
		IssuerRegexp   string `json:"certificateOIDCIssuerRegexp,omitempty"`
		Identity       string `json:"certificateIdentity,omitempty"`
		IdentityRegexp string `json:"certificateIdentityRegexp,omitempty"`
		Private        bool   `json:"privateInfrastructure,omitzero"`
	}{"SigstoreVerificationConfiguration/v1alpha1", o.issuer, o.issuerRegexp, o.identity, o.identityRegexp, o.private})
}
