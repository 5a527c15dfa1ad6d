// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/credentials"
	"ocm/graph"
	"ocm/sign/ec"
	"ocm/sign/rsa"
	"ocm/sign/timestamp"
)

// signerOptions say who signs, and how: what "sign cv" and "sign hash" have in common.
type signerOptions struct {
	signature  string
	algorithm  string
	privateKey string
	publicKey  string
	caCert     string
	tsaCert    string
	spec       string
	tsa        bool
	tsaURL     string
	keyless    bool
	sigstore   sigstoreSigning
	explicit   bool // --algorithm was given
}

func (o *signerOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&o.signature, "signature", "s", "default", "`name` of the signature")
	fs.StringVarP(&o.algorithm, "algorithm", "S", rsa.PSS,
		"signature `algorithm`: RSASSA-PSS, RSASSA-PKCS1-V1_5, ECDSA-P256, ECDSA-P384, Ed25519 or GPG; if not given, the one that the private key is for")
	fs.StringVarP(&o.privateKey, "private-key", "K", "", "`file` with the private key; also !BASE64 or =TEXT, and NAME= before each")
	fs.StringVarP(&o.publicKey, "public-key", "k", "", "`file` with the public key; certificates in it go into the signature, the signer's first, which must be that of the private key")
	fs.StringVar(&o.caCert, "ca-cert", "", "`file` with authorities; a signature whose certificates lead to none of them is refused")
	fs.StringVar(&o.tsaCert, "tsa-cert", "", "`file` with the time stamping authorities that --ca-cert goes by")
	fs.StringVar(&o.spec, "signer-spec", "", "`file` with the configuration of the signer, in place of that in signing.config.ocm.software")
	fs.StringVar(&o.tsaURL, "tsa-url", "", "`URL` of a time stamping authority (RFC 3161) that confirms when it was signed")
	fs.BoolVar(&o.tsa, "tsa", false, "same as --tsa-url, which must be there: no authority is asked that nobody has named")
	o.sigstore.AddFlags(fs, &o.keyless)
}

// check finds contradictions before anything is read.
func (o *signerOptions) check(changed func(flag string) bool) error {
	o.explicit = changed("algorithm")
	if o.tsa && o.tsaURL == "" {
		return usagef("--tsa: there is no default authority; name one by --tsa-url URL")
	}
	if o.signature == "" {
		return usagef("--signature: the name is empty")
	}
	ways := map[string]bool{"--algorithm": o.explicit, "--signer-spec": o.spec != "", "--keyless": o.keyless}
	for a, given := range ways {
		for b, also := range ways {
			if given && also && a < b {
				return usagef("%s and %s both say how to sign: leave out one of them", a, b)
			}
		}
	}
	if o.keyless && o.privateKey != "" {
		return usagef("--keyless signs without a key: leave out --private-key")
	}
	if flag := o.sigstore.given(); flag != "" && !o.keyless {
		return usagef("%s is for --keyless, which is missing", flag)
	}
	return nil
}

// signer makes the options of signing: keys of flags are laid above configured ones. How to sign is said by
// --signer-spec, --keyless or --algorithm, else by the configuration, else by the key.
func (s *session) signer(o signerOptions) (graph.SignOptions, error) {
	g := graph.SignOptions{Name: o.signature, Algorithm: o.algorithm}
	var err error
	switch {
	case o.spec != "":
		g.Spec, err = s.signerSpec(o.spec)
	case o.keyless:
		g.Spec, err = o.sigstore.spec(o.tsaURL)
	case !o.explicit:
		g.Spec, _, err = s.config.Signing(o.signature)
	}
	if err == nil && o.keyless {
		err = s.keysOfKeyless(o)
	}
	if err == nil {
		err = s.keysOfSign(o, &g)
	}
	if err != nil {
		return g, err
	}
	if o.tsaURL != "" && !isSigstore(g.Spec.Type) {
		g.Timestamp = s.timestamp(o.tsaURL)
	}
	judges, err := s.verifiers(trust{})
	g.Verifier = judges.specOf
	return g, err
}

// signerSpec reads the configuration of a signer, which must be of a type that there is.
func (s *session) signerSpec(file string) (ocm.Spec, error) {
	spec, err := readSpec(file)
	if err != nil {
		return spec, fmt.Errorf("--signer-spec %w", err)
	}
	if _, err := s.kit.Signers.For(spec.Type); err != nil {
		return spec, fmt.Errorf("--signer-spec %s: %w", file, err)
	}
	return spec, nil
}

// keysOfSign lays the keys of flags above the configured ones, and decides what the keys decide:
// the algorithm, and that certificates become part of the signature.
func (s *session) keysOfSign(o signerOptions, g *graph.SignOptions) error {
	k := keySet{}
	var private, public, algorithm string
	consumer := ""
	if isSigstore(g.Spec.Type) || o.explicit && isSigstore(o.algorithm) {
		consumer = sigstoreSigner
	}
	if o.privateKey != "" {
		key, err := keyForSignature(o.privateKey, o.signature)
		if err != nil {
			return err
		}
		if private, algorithm, err = k.add(o.signature, "privateKey", key.path, consumer); err != nil {
			return err
		}
	}
	if o.publicKey != "" {
		key, err := keyForSignature(o.publicKey, o.signature)
		if err != nil {
			return err
		}
		if public, _, err = k.add(o.signature, "publicKey", key.path, consumer); err != nil {
			return err
		}
	}
	s.keys.Credentials = credentials.Overlay(k.credentials(), s.keys.Credentials)
	if err := s.authorities(o.caCert, o.tsaCert); err != nil {
		return err
	}
	g.Check = o.caCert != ""
	if private == "" || consumer != "" {
		return nil
	}
	return s.followKey(o, g, algorithm, public)
}

// followKey lets the private key of a flag say how to sign, as far as nothing else does.
func (s *session) followKey(o signerOptions, g *graph.SignOptions, algorithm, public string) (err error) {
	said := g.Spec.Type
	if said == "" {
		said = g.Algorithm
	}
	fits := s.kit.Signers.Same(said, algorithm)
	var unknown error
	if o.explicit && !fits {
		_, unknown = s.kit.Signers.For(said)
	}
	switch {
	case fits:
	case unknown != nil:
		err = usagef("--algorithm: %w", unknown)
	case o.explicit || o.spec != "":
		err = usagef("the private key is for %s, it cannot sign with %s", algorithm, said)
		return withHint(err, "leave out what says how to sign: the key decides")
	default: // a configuration is for other keys
		g.Spec, g.Algorithm = ocm.Spec{}, algorithm
	}
	if !o.explicit && g.Spec.Type == "" && algorithm != rsa.PSS {
		g.Algorithm = algorithm
	}
	if g.Spec.Type == "" && strings.Contains(public, "-----BEGIN CERTIFICATE-----") {
		typ := rsa.ConfigTypes[0]
		if identity, _ := identityOf(algorithm); identity == ec.IdentityType {
			typ = ec.ConfigTypes[0]
		}
		g.Spec, err = ocm.NewSpec(rsa.Config{Type: typ, SignatureAlgorithm: g.Algorithm, EncodingPolicy: rsa.PEM})
	}
	return err
}

// keyForSignature reads a key flag of sign, which signs with one name only.
func keyForSignature(flag, signature string) (keyFile, error) {
	key, err := parseKeyFile(flag)
	if err == nil && key.signature != "" && key.signature != signature {
		err = usagef("the key is for the signature %q, --signature is %q", key.signature, signature)
	}
	return key, err
}

// authorities adds trust anchors, of signers and of time stamps, to all keys that may come with certificates.
func (s *session) authorities(caCert, tsaCert string) error {
	for property, file := range map[string]string{"caCertPEM": caCert, "tsaCertPEM": tsaCert} {
		if file == "" {
			continue
		}
		text, _, err := readKey(file)
		if err != nil {
			return err
		}
		s.keys.Credentials = demand(s.keys.Credentials, "", ocm.Secret{property: text})
	}
	return nil
}

func signHint(err error, o signerOptions) string {
	switch {
	case err != nil && strings.Contains(err.Error(), "tsaCertPEM is not set"):
		return "give the root of the time stamping authority with --tsa-cert, as when verifying"
	case anyOf(ocm.ErrExists)(err):
		return "--force replaces the signature; --signature gives the new one another name"
	case o.keyless && o.sigstore.token == "" && anyOf(ocm.ErrNotFound)(err):
		return "give the token by --identity-token or in SIGSTORE_ID_TOKEN; with --oidc-issuer, on a terminal, a browser asks who you are"
	case o.privateKey == "" && !o.keyless && isNoKey(err):
		return "give the key with --private-key (\"ocm create rsakeypair\" makes one), or configure it for signature " + o.signature
	}
	return ""
}

// timestamp asks an authority when a digest was signed.
func (s *session) timestamp(url string) func(context.Context, ocm.Digest) (*ocm.Timestamp, error) {
	return func(ctx context.Context, d ocm.Digest) (*ocm.Timestamp, error) {
		return timestamp.Request(ctx, s.env, url, d)
	}
}
