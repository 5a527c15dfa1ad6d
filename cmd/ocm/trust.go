// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/credentials"
)

// trustOptions say which signatures count, and whose.
type trustOptions struct {
	signatures []string
	publicKeys []string
	caCert     string
	tsaCert    string
	issuers    []string
	specs      []string
	sigstore   sigstoreTrust
}

func (o *trustOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&o.signatures, "signature", "s", nil, "verify the signature of this `name`; may be repeated (default: all)")
	fs.StringArrayVarP(&o.publicKeys, "public-key", "k", nil, "`[NAME=]file` with the public key, for signature NAME only or, without a name, for any; also !BASE64 or =TEXT; may be repeated")
	fs.StringVar(&o.caCert, "ca-cert", "", "`file` with the authorities that certificates in signatures must lead to")
	fs.StringVar(&o.tsaCert, "tsa-cert", "", "`file` with the time stamping authorities whose word counts for when it was signed; signatures with a timestamp and certificates need it")
	fs.StringArrayVarP(&o.issuers, "issuer", "I", nil, "distinguished `name` that the certificate must have, such as CN=release,O=acme; NAME:= before it is for signature NAME only; may be repeated")
	fs.StringArrayVar(&o.specs, "verifier-spec", nil, "`file` with the configuration of a verifier, for signatures of its kind; may be repeated")
	o.sigstore.AddFlags(fs)
}

// trust is what was checked of trustOptions.
type trust struct {
	signatures []string // empty: all there are, at least one
	publicKeys []keyFile
	caCert     string // files; empty: from the configuration
	tsaCert    string
	issuers    []keyFile // names, not files
	specs      []string
	sigstore   sigstoreTrust
}

func (o *trustOptions) request() (verifyRequest, error) {
	t := trust{signatures: o.signatures, caCert: o.caCert, tsaCert: o.tsaCert, specs: o.specs, sigstore: o.sigstore}
	var err error
	if t.publicKeys, err = parseKeyFiles(o.publicKeys); err != nil {
		return verifyRequest{}, err
	}
	for _, s := range o.issuers {
		signature, name, scoped := strings.Cut(s, ":=")
		if !scoped {
			signature, name = "", s
		}
		if name == "" || scoped && signature == "" {
			return verifyRequest{}, usagef("--issuer %q: expected a distinguished name, or SIGNATURE:=NAME", s)
		}
		t.issuers = append(t.issuers, keyFile{signature, name})
	}
	return verifyRequest{trust: t}, o.sigstore.check()
}

// keysOfVerify lays the public keys of flags above the configured ones; authorities and names
// count for both.
func (s *session) keysOfVerify(t trust) error {
	k := keySet{}
	for _, f := range t.publicKeys {
		if _, _, err := k.add(f.signature, "publicKey", f.path, ""); err != nil {
			return err
		}
	}
	s.keys.Credentials = k.chosen(s.keys.Credentials)
	if err := s.authorities(t.caCert, t.tsaCert); err != nil {
		return err
	}
	for _, name := range [...]bool{false, true} { // what is said for one signature comes last, and counts
		for _, i := range t.issuers {
			if (i.signature != "") == name {
				s.keys.Credentials = demand(s.keys.Credentials, i.signature, ocm.Secret{"issuer": i.path})
			}
		}
	}
	if t.sigstore.root == "" {
		return nil
	}
	root, err := readFile(t.sigstore.root, maxKeyFile)
	if err != nil {
		return fmt.Errorf("--trusted-root %s: %w", t.sigstore.root, err)
	}
	s.keys.Credentials = credentials.Overlay(credentials.Static(credentials.Entry{
		Identity: ocm.Identity{"type": sigstoreVerifier}, Secret: ocm.Secret{"trustedRootJSON": string(root)}}), s.keys.Credentials)
	return nil
}

// verifiers choose the configuration that a signature is judged with: one of its own kind, given by flags, else
// configured for its name. Others never reach it.
type verifiers struct {
	s     *session
	given []givenSpec
}

// givenSpec is a configuration that was given by flags.
type givenSpec struct {
	from string
	spec ocm.Spec
}

// verifiers reads the configurations. What is wrong with any of them is an error, also with one that no
// signature needs.
func (s *session) verifiers(t trust) (*verifiers, error) {
	v := &verifiers{s: s}
	if _, _, err := s.config.Signing(""); err != nil {
		return v, err
	}
	for _, file := range t.specs {
		spec, err := readSpec(file)
		if err == nil {
			err = v.add("--verifier-spec "+file, spec)
		}
		if err != nil {
			return v, err
		}
	}
	spec, err := t.sigstore.spec()
	if err == nil && spec.Type != "" {
		err = v.add("--certificate-identity", spec)
	}
	return v, err
}

func (v *verifiers) add(from string, spec ocm.Spec) error {
	known := false
	for _, algorithm := range v.s.kit.Verifiers.Names() {
		known = known || v.fits(algorithm, spec)
	}
	if !known {
		return fmt.Errorf("%s: there is no verifier with a configuration of type %q: %w", from, spec.Type, ocm.ErrUnknownType)
	}
	for _, g := range v.given {
		if v.s.sameFamily(g.spec.Type, spec.Type) {
			return usagef("%s and %s are for the same kind of signatures: give one of them", g.from, from)
		}
	}
	v.given = append(v.given, givenSpec{from, spec})
	return nil
}

// fits reports whether a configuration is for signatures of an algorithm.
func (v *verifiers) fits(algorithm string, spec ocm.Spec) bool {
	return spec.Type != "" && v.s.sameFamily(algorithm, spec.Type)
}

// sameFamily reports whether two names, of algorithms or of types of configurations, belong to the same implementation.
func (s *session) sameFamily(a, b string) bool {
	return s.kit.Signers.Same(a, b) || s.kit.Verifiers.Same(a, b) || isSigstore(a) && isSigstore(b)
}

// specOf is the configuration for a signature, the zero Spec if there is none of its kind.
func (v *verifiers) specOf(sig ocm.Signature) ocm.Spec {
	for _, g := range v.given {
		if v.fits(sig.Signature.Algorithm, g.spec) {
			return g.spec
		}
	}
	_, configured, err := v.s.config.Signing(sig.Name)
	if err != nil || !v.fits(sig.Signature.Algorithm, configured) { // errors were told by verifiers
		return ocm.Spec{}
	}
	return configured
}

// demand fails if something was demanded by flags that none of the signatures of a version would have to meet. Signatures that are
// missing are told by who verifies.
func (v *verifiers) demand(all []ocm.Signature, names []string) error {
	judged := slices.DeleteFunc(slices.Clone(all), func(sig ocm.Signature) bool { return len(names) > 0 && !slices.Contains(names, sig.Name) })
	for _, g := range v.given {
		if len(judged) > 0 && !slices.ContainsFunc(judged, func(sig ocm.Signature) bool { return v.fits(sig.Signature.Algorithm, g.spec) }) {
			return withHint(fmt.Errorf("%s is for signatures of another kind, none that is verified would have to meet it: %w", g.from, ocm.ErrSignature),
				"leave it out, or name the signature that it is for by --signature")
		}
	}
	return nil
}
