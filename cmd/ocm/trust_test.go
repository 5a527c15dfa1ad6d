// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/builtin"
	"ocm/config"
	"ocm/internal/fixture"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
	"ocm/sign/sigstore"
)

// signedAs are signatures, each written "name algorithm".
func signedAs(texts ...string) (all []ocm.Signature) {
	for _, text := range texts {
		name, algorithm, _ := strings.Cut(text, " ")
		all = append(all, ocm.Signature{Name: name, Signature: ocm.SignatureValue{Algorithm: algorithm}})
	}
	return all
}

// A key that was given is what verifies. That a configured key of somebody else fits is not enough, whatever kind of
// signature an attacker has chosen.
func TestGivenKeysAreUsed(t *testing.T) {
	t.Parallel()
	rsaKey, named := keyOwner{rsa.IdentityType, ""}, keyOwner{rsa.IdentityType, "release"}
	for i, c := range []struct {
		keys       []keyOwner
		signatures []ocm.Signature
		want       string // "": good
	}{
		{nil, signedAs("dev " + ec.Ed25519), ""},
		{[]keyOwner{rsaKey}, signedAs("dev " + rsa.PSS), ""},
		{[]keyOwner{rsaKey}, signedAs("dev "+ec.Ed25519, "release "+rsa.PKCS1v15), ""},
		{[]keyOwner{rsaKey}, signedAs("dev " + ec.Ed25519), "for the public key that was given"},
		{[]keyOwner{rsaKey}, signedAs("dev " + sigstore.Algorithm), "for the public key that was given"},
		{[]keyOwner{rsaKey}, signedAs("dev " + pgp.Algorithm), "for the public key that was given"},
		{[]keyOwner{rsaKey}, signedAs("dev OF-A-PLUGIN"), "for the public key that was given"},
		{[]keyOwner{named}, signedAs("release OF-A-PLUGIN"), "is not for its algorithm"},
		{[]keyOwner{named}, signedAs("release " + rsa.PSS), ""},
		{[]keyOwner{named}, signedAs("release "+rsa.PSS, "dev "+pgp.Algorithm), ""},
		{[]keyOwner{named}, signedAs("dev " + rsa.PSS), "for the public key that was given"},
		{[]keyOwner{named}, signedAs("release " + ec.P256), `given for signature "release" is not for its algorithm`},
		{[]keyOwner{named, {ec.IdentityType, ""}}, signedAs("release " + ec.P256), "is not for its algorithm"},
		{[]keyOwner{named, {ec.IdentityType, "release"}}, signedAs("release " + ec.P256), ""},
	} {
		v := &verifiers{keys: keySet{}}
		for _, owner := range c.keys {
			v.keys[owner] = ocm.Secret{}
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			if err := v.demand(c.signatures, nil); c.want != "" {
				fixture.WantErr(t, err, ocm.ErrSignature, c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A distinguished name that is demanded is a demand also if no signature has one.
func TestGivenNamesAreDemanded(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		signature  string // that the name is for
		signatures []ocm.Signature
		names      []string
		good       bool
	}{
		{"", signedAs("a " + rsa.PSS), nil, true},
		{"", signedAs("a " + ec.P384), nil, true},
		{"", signedAs("a "+pgp.Algorithm, "b "+rsa.PSS), nil, true},
		{"", signedAs("a "+pgp.Algorithm, "b "+rsa.PSS), []string{"a"}, false},
		{"", signedAs("a " + pgp.Algorithm), nil, false},
		{"", signedAs("a " + sigstore.Algorithm), nil, false},
		{"", signedAs("a OF-A-PLUGIN"), nil, false},
		{"a", signedAs("a " + rsa.PSS), nil, true},
		{"a", signedAs("b " + pgp.Algorithm), nil, true},
		{"a", signedAs("a "+pgp.Algorithm, "b "+rsa.PSS), nil, false},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			v := &verifiers{issuers: []keyFile{{c.signature, "CN=alice"}}}
			if err := v.demand(c.signatures, c.names); !c.good {
				fixture.WantErr(t, err, ocm.ErrSignature, `--issuer "CN=alice"`)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	for _, twice := range [][]string{{"CN=alice", "O=acme"}, {"x:=CN=alice", "CN=bob", "x:=O=acme"}} {
		if _, err := (&trustOptions{issuers: twice}).request(); !isUsage(err) {
			t.Errorf("%q: %v, expected that it is refused: only one would count", twice, err)
		}
	}
}

// What is configured for one kind of signatures does not take away what is demanded of another kind.
func TestConfiguredVerifiersOfSeveralKinds(t *testing.T) {
	t.Parallel()
	c, err := config.Parse([]byte(`
type: generic.config.ocm.software/v1
configurations:
- {type: signing.config.ocm.software, verifier: {type: GPGSigningConfiguration, keyFingerprint: base}}
- {type: signing.config.ocm.software, verifier: {type: SigstoreVerificationConfiguration, certificateIdentity: later}}
- {type: signing.config.ocm.software, signature: release, verifier: {type: RSASigningConfiguration}}
- {type: signing.config.ocm.software, signature: own, verifier: {type: GPGSigningConfiguration, keyFingerprint: own}}
`))
	if err != nil {
		t.Fatal(err)
	}
	v := &verifiers{s: &session{kit: builtin.Kit(), config: c}}
	for text, want := range map[string]string{
		"x GPG": "base", "release GPG": "base", "own GPG": "own", "release sigstore": "later", "x Sigstore/v1alpha1": "later",
		"release RSASSA-PSS": "RSASigningConfiguration", "x RSASSA-PSS": "", "x unknown": "",
	} {
		if spec := v.specOf(signedAs(text)[0]); !strings.Contains(string(spec.Raw), want) || want == "" && spec.Type != "" {
			t.Errorf("%s: got %s %s, expected that of %q", text, spec.Type, spec.Raw, want)
		}
	}
}

// The configuration of a plugin's verifier counts as that of a built-in one, though the plugin is asked for its types only then.
func TestVerifierSpecOfPlugin(t *testing.T) {
	t.Parallel()
	v, asked := withPlugin(nil)
	for _, typ := range []string{"GPGSigningConfiguration", "SigstoreSigningConfiguration"} {
		if err := v.add("flag", ocm.Spec{Type: typ}); err != nil || *asked != 0 {
			t.Errorf("%s: %v, asked plugins %d times", typ, err, *asked)
		}
	}
	if err := v.add("flag", ocm.Spec{Type: "MineConfiguration/v1"}); err != nil {
		t.Fatal(err)
	}
	if spec := v.specOf(signedAs("a MINE")[0]); spec.Type != "MineConfiguration/v1" {
		t.Errorf("judged with %q", spec.Type)
	}
	fixture.WantErr(t, v.add("flag", ocm.Spec{Type: "Others/v1"}), ocm.ErrUnknownType, "no verifier")
	// A configuration is found for the first signature, too, before anybody has asked a plugin for anything.
	c, err := config.Parse([]byte("type: generic.config.ocm.software/v1\nconfigurations: [{type: signing.config.ocm.software, verifier: {type: MineConfiguration/v1}}]"))
	if err != nil {
		t.Fatal(err)
	}
	v, asked = withPlugin(c)
	if spec := v.specOf(signedAs("a " + rsa.PSS)[0]); spec.Type != "" || *asked != 0 {
		t.Errorf("judged with %q, asked plugins %d times", spec.Type, *asked)
	}
	if spec := v.specOf(signedAs("a MINE")[0]); spec.Type != "MineConfiguration/v1" {
		t.Errorf("judged with %q", spec.Type)
	}
}

// withPlugin chooses for a kit that gets more types as soon as one is asked for that it does not know.
func withPlugin(c *config.Config) (v *verifiers, asked *int) {
	kit, asked := builtin.Kit(), new(int)
	load := func() error {
		if *asked++; *asked == 1 {
			kit.Signers.Register(rsa.Handler{}, ocm.Type{Names: []string{"MineConfiguration/v1", "MINE"}})
			kit.Verifiers.Register(rsa.Handler{}, ocm.Type{Names: []string{"MINE"}})
		}
		return nil
	}
	kit.Signers.Later(load)
	kit.Verifiers.Later(load)
	return &verifiers{s: &session{kit: kit, config: c}}, asked
}

// A demand that is made with a variable that is not set must not become none.
func TestEmptyDemandsAreRefused(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"ca-cert", "tsa-cert", "trusted-root", "certificate-identity", "certificate-identity-regexp", "certificate-oidc-issuer", "certificate-oidc-issuer-regexp"} {
		var o trustOptions
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		o.AddFlags(fs)
		if err := fs.Parse([]string{"--" + flag, "", "--public-key", "x.pub"}); err != nil {
			t.Fatal(err)
		}
		if _, err := o.request(); !isUsage(err) || !strings.Contains(err.Error(), flag) {
			t.Errorf("--%s: %v", flag, err)
		}
	}
	var o trustOptions
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs)
	if err := fs.Parse([]string{"--ca-cert", "x", "-k", "x.pub"}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.request(); err != nil {
		t.Error(err)
	}
}

// A key that stands where its file is expected is not repeated.
func TestKeysStayOutOfMessages(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----", "acme.org/x==-----BEGIN PRIVATE KEY-----\nSECRET", "x=-----BEGIN PRIVATE KEY-----\nSECRET",
		"LS0tLS1CRUdJTiSECRET", "x=LS0tLS1CRUdJTiSECRET", "LS0tLS1CRUdJTiSECRET=", "LS0tLS1CRUdJTiSECRET==",
	} {
		if _, err := parseKeyFile(key); !isUsage(err) || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%.40q: %v", key, err)
		}
	}
	for _, key := range []string{"=-----BEGIN PUBLIC KEY-----\n", "x==-----BEGIN PUBLIC KEY-----\n", "!LS0tLS1CRUdJTi", "x=!LS0tLS1CRUdJTi", "x=file.pub", "./a=b.pub"} {
		if _, err := parseKeyFile(key); err != nil {
			t.Error(err)
		}
	}
}
