// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/credentials"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
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
	empty      func() string // a flag that was given without a value; nil: none was
}

func (o *trustOptions) AddFlags(fs *pflag.FlagSet) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.addFlags(own)
	fs.AddFlagSet(own)
	o.empty = func() (name string) {
		own.VisitAll(func(f *pflag.Flag) {
			if f.Changed && f.Value.String() == "" {
				name = f.Name
			}
		})
		return name
	}
}

func (o *trustOptions) addFlags(fs *pflag.FlagSet) {
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
	if o.empty != nil {
		if name := o.empty(); name != "" { // of a variable that is not set: nothing would be demanded
			return verifyRequest{}, usagef("--%s: it is empty", name)
		}
	}
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
		if slices.ContainsFunc(t.issuers, func(i keyFile) bool { return i.signature == signature }) {
			return verifyRequest{}, usagef("--issuer %q: there is another one for the same signatures, and only one would count; write all attributes into one name, as in CN=release,O=acme", s)
		}
		t.issuers = append(t.issuers, keyFile{signature, name})
	}
	return verifyRequest{trust: t}, o.sigstore.check()
}

// keysOfVerify lays the public keys of flags above the configured ones; authorities and names
// count for both.
func (v *verifiers) keysOfVerify(t trust) error {
	s, k := v.s, keySet{}
	v.keys, v.issuers, v.caCert, v.root = k, t.issuers, t.caCert, t.sigstore.root
	for _, f := range t.publicKeys {
		if _, _, err := k.add(f.signature, "publicKey", f.path, ""); err != nil {
			return err
		}
	}
	s.keys.Credentials = credentials.Overlay(k.credentials(), s.keys.Credentials)
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
	s       *session
	given   []givenSpec
	keys    keySet    // given by flags
	issuers []keyFile // names, given by flags

	caCert, root string // files with authorities, given by flags
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
		if err != nil {
			return v, fmt.Errorf("--verifier-spec %w", err)
		}
		if err := v.add("--verifier-spec "+file, spec); err != nil {
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
	known := func() bool {
		return slices.ContainsFunc(v.s.kit.Verifiers.Names(), func(algorithm string) bool { return v.fits(algorithm, spec) })
	}
	if !known() {
		_, _ = v.s.kit.Signers.For(spec.Type) // asks plugins; whether there is a signer is not the question
	}
	if !known() {
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

// fits reports whether a configuration is for signatures of an algorithm. One whose type is that of a verifier itself, as with plugins of the
// older protocol, is for all algorithms that nobody else knows.
func (v *verifiers) fits(algorithm string, spec ocm.Spec) bool {
	verifiers := v.s.kit.Verifiers
	return spec.Type != "" && (v.s.sameFamily(algorithm, spec.Type) || verifiers.Has(spec.Type) && !verifiers.Has(algorithm) && !isSigstore(algorithm))
}

// sameFamily reports whether two names, of algorithms or of types of configurations, belong to the same implementation.
func (s *session) sameFamily(a, b string) bool {
	return s.kit.Signers.Same(a, b) || s.kit.Verifiers.Same(a, b) || isSigstore(a) && isSigstore(b)
}

// specOf is the configuration for a signature, the zero Spec if there is none of its kind.
func (v *verifiers) specOf(sig ocm.Signature) ocm.Spec {
	// Plugins are asked for their types first, if nobody else knows the algorithm: what is demanded of their signatures must not be overlooked.
	_, _ = v.s.kit.Verifiers.For(sig.Signature.Algorithm)
	for _, g := range v.given {
		if v.fits(sig.Signature.Algorithm, g.spec) {
			return g.spec
		}
	}
	configured, err := v.s.config.Verifiers(sig.Name)
	if err != nil { // told by verifiers
		return ocm.Spec{}
	}
	// What is configured for signatures of another kind replaces nothing that is demanded of this one.
	if i := slices.IndexFunc(configured, func(spec ocm.Spec) bool { return v.fits(sig.Signature.Algorithm, spec) }); i >= 0 {
		return configured[i]
	}
	return ocm.Spec{}
}

// demand fails if something was demanded by flags that none of the signatures of a version would have to meet. Signatures that are
// missing are told by who verifies.
func (v *verifiers) demand(all []ocm.Signature, names []string) error {
	judged := slices.DeleteFunc(slices.Clone(all), func(sig ocm.Signature) bool { return len(names) > 0 && !slices.Contains(names, sig.Name) })
	if len(judged) == 0 {
		return nil
	}
	for _, g := range v.given {
		if !slices.ContainsFunc(judged, func(sig ocm.Signature) bool { return v.fits(sig.Signature.Algorithm, g.spec) }) {
			return withHint(fmt.Errorf("%s is for signatures of another kind, none that is verified would have to meet it: %w", g.from, ocm.ErrSignature),
				"leave it out, or name the signature that it is for by --signature")
		}
	}
	if err := v.demandKeys(judged); err != nil {
		return err
	}
	if err := v.demandAuthorities(judged); err != nil {
		return err
	}
	return v.demandNames(judged)
}

// demandAuthorities fails if authorities were given, and no signature that is verified is of a kind that has to lead to them: whoever writes
// the signature chooses its algorithm, and could choose one that a plugin judges in its own way.
func (v *verifiers) demandAuthorities(judged []ocm.Signature) error {
	for _, a := range []struct {
		flag, file string
		leads      func(algorithm string) bool
	}{{"--ca-cert", v.caCert, hasName}, {"--trusted-root", v.root, isSigstore}} {
		if a.file != "" && !slices.ContainsFunc(judged, func(sig ocm.Signature) bool { return a.leads(sig.Signature.Algorithm) }) {
			return withHint(fmt.Errorf("%s %s: signatures of another kind do not lead to authorities, none that is verified would have to: %w", a.flag, a.file, ocm.ErrSignature),
				"leave it out, or name the signature that it is for by --signature")
		}
	}
	return nil
}

// demandKeys fails if keys were given, and what is verified would be judged by configured ones only: whoever has one of
// those could sign in place of who was named. A key for one signature is the only one for it, of whatever kind.
func (v *verifiers) demandKeys(judged []ocm.Signature) error {
	used := len(v.keys) == 0
	for _, sig := range judged {
		consumer := consumerOf(sig.Signature.Algorithm)
		_, own := v.keys[keyOwner{consumer, sig.Name}]
		_, common := v.keys[keyOwner{consumer, ""}]
		used = used || own || common
		for owner := range v.keys {
			if owner.signature == sig.Name && sig.Name != "" && !own {
				return fmt.Errorf("the public key that was given for signature %q is not for its algorithm %s: %w", sig.Name, sig.Signature.Algorithm, ocm.ErrSignature)
			}
		}
	}
	if !used {
		return withHint(fmt.Errorf("none of the signatures that are verified is for the public key that was given: %w", ocm.ErrSignature),
			"leave out --public-key to verify with configured keys only")
	}
	return nil
}

// demandNames fails if a distinguished name was demanded of signatures that have no certificate of the kind that has one.
func (v *verifiers) demandNames(judged []ocm.Signature) error {
	for _, i := range v.issuers {
		met := i.signature != "" // nothing is demanded of those that are not there
		for _, sig := range judged {
			switch named := hasName(sig.Signature.Algorithm); {
			case i.signature == "" && named:
				met = true
			case i.signature == sig.Name && !named:
				met = false
			}
		}
		if !met {
			return withHint(fmt.Errorf("--issuer %q: signatures of another kind have no such name, none that is verified would have to meet it: %w", i.path, ocm.ErrSignature),
				"leave it out; the signer of a keyless signature is demanded by --certificate-identity, that of an OpenPGP signature by --public-key")
		}
	}
	return nil
}

// consumerOf is the consumer whose key judges signatures of an algorithm; empty for algorithms of plugins, whose keys no flag gives.
func consumerOf(algorithm string) string {
	if isSigstore(algorithm) {
		return sigstoreVerifier
	}
	if !slices.Contains(slices.Concat(rsa.Algorithms, ec.Algorithms, []string{pgp.Algorithm}), algorithm) {
		return ""
	}
	identity, _ := identityOf(algorithm)
	return identity
}

// hasName reports whether signatures of an algorithm may come with a certificate that has a distinguished name.
func hasName(algorithm string) bool {
	consumer := consumerOf(algorithm)
	return consumer == rsa.IdentityType || consumer == ec.IdentityType
}
