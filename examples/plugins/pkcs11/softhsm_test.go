// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"ocm"
	"ocm/builtin"
	"ocm/construct"
	"ocm/credentials"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/internal/signtest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/plugin/host"
	"ocm/sign/ec"
	"ocm/sign/rsa"
)

// hsm is a software token with keys, which are made in it.
type hsm struct {
	module *module
	path   string // of the module
	copy   string // of the token's files
	public map[string]crypto.PublicKey
}

const (
	label = "ocm test"
	pin   = "271828"
)

// newHSM makes the token, in a folder of its own. A process can have one at a time.
func newHSM(t *testing.T) *hsm {
	t.Helper()
	if _, err := exec.LookPath("softhsm2-util"); err != nil { // of the Debian package softhsm2
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	h := &hsm{copy: filepath.Join(dir, "copy"), public: map[string]crypto.PublicKey{}}
	t.Setenv("SOFTHSM2_CONF", configure(t, dir)) // the module in this process reads it
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "314159", "--pin", pin).CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
	for _, path := range modules {
		if _, err := os.Stat(path); err == nil {
			h.path = path
			break
		}
	}
	m := newModule(h.path).(*module)
	t.Cleanup(func() {
		if m.p != nil {
			_ = m.p.Finalize()
			m.p.Destroy()
		}
	})
	h.module = m
	if err := h.makeKeys(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(h.copy, os.DirFS(filepath.Join(dir, "tokens"))); err != nil {
		t.Fatal(err)
	}
	return h
}

// configure makes a folder the place of SoftHSM's tokens.
func configure(t *testing.T, dir string) (conf string) {
	t.Helper()
	tokens := filepath.Join(dir, "tokens")
	if err := os.MkdirAll(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	conf = filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf
}

var modules = []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"}

func TestMain(m *testing.M) {
	plugintest.Main(m, map[string]func() *ocm.Kit{"pkcs11": func() *ocm.Kit { return kit(newModule(os.Getenv("PKCS11_MODULE"))) }})
}

func TestSoftHSM(t *testing.T) {
	h := newHSM(t)
	t.Run("contract", h.contract)
	t.Run("refused", h.refused)
	t.Run("component", h.component)
}

// makeKeys makes keys that the token never shows.
func (h *hsm) makeKeys() error {
	m := h.module
	if err := m.load(); err != nil {
		return err
	}
	slot, err := m.slot(label)
	if err != nil {
		return err
	}
	handle, err := m.p.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	s := session{m.p, handle}
	defer func() { _ = s.p.CloseSession(s.h) }()
	if err := s.login(pin); err != nil {
		return err
	}
	defer func() { _ = s.p.Logout(s.h) }()
	for name, kind := range map[string]string{
		"rsa": "RSA", "rsa other": "RSA", "small": "small", "p256": "1.2.840.10045.3.1.7", "p256 other": "1.2.840.10045.3.1.7",
		"p384": "1.3.132.0.34", "p384 other": "1.3.132.0.34", "p521": "1.3.132.0.35", "twice": "RSA",
	} {
		if err := s.makeKey(name, kind); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.public[name], err = s.public(name); err != nil && name != "p521" {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return s.makeKey("twice", "RSA")
}

var curves = map[string]asn1.ObjectIdentifier{"1.2.840.10045.3.1.7": {1, 2, 840, 10045, 3, 1, 7}, "1.3.132.0.34": {1, 3, 132, 0, 34}, "1.3.132.0.35": {1, 3, 132, 0, 35}}

func (s session) makeKey(name, kind string) error {
	public := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, name), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true)}
	private := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, name), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
	}
	mechanism := uint(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	switch kind {
	case "RSA":
		public = append(public, pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 2048), pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
	case "small":
		public = append(public, pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 1024), pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
	default:
		params, err := asn1.Marshal(curves[kind])
		if err != nil {
			return err
		}
		mechanism = pkcs11.CKM_EC_KEY_PAIR_GEN
		public = append(public, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, params))
	}
	_, _, err := s.p.GenerateKeyPair(s.h, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, public, private)
	return err
}

func (h *hsm) pem(t *testing.T, key string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(h.public[key])
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// env has the PIN, and the public keys for the built-in verifiers of signatures that are called like the keys.
func (h *hsm) env(t *testing.T) *ocm.Env {
	t.Helper()
	all := []credentials.Entry{{Identity: ocm.Identity{"type": identityType, "token": label}, Secret: ocm.Secret{"pin": pin}}}
	for name, consumer := range map[string]string{
		"rsa": rsa.IdentityType, "rsa other": rsa.IdentityType, "p256": ec.IdentityType, "p256 other": ec.IdentityType, "p384": ec.IdentityType, "p384 other": ec.IdentityType,
	} {
		all = append(all, credentials.Entry{Identity: ocm.Identity{"type": consumer, "signature": name}, Secret: ocm.Secret{"publicKeyPEM": h.pem(t, name)}})
	}
	return &ocm.Env{Credentials: credentials.Static(all...)}
}

// folder has the plugin as an administrator installs it, who says in its environment where the module is.
func (h *hsm) folder(t *testing.T) string {
	t.Helper()
	own, dir := t.TempDir(), t.TempDir() // two processes that use the same files of SoftHSM disturb each other
	if err := os.CopyFS(filepath.Join(own, "tokens"), os.DirFS(h.copy)); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nPKCS11_MODULE='%s' SOFTHSM2_CONF='%s' exec '%s' \"$@\"\n", h.path, configure(t, own), filepath.Join(plugintest.Dir(t, "pkcs11"), "pkcs11"))
	if err := fixture.Program(filepath.Join(dir, "pkcs11"), []byte(script)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (h *hsm) attach(t *testing.T, kit *ocm.Kit) {
	t.Helper()
	plugins := host.New(host.Options{Dirs: []string{h.folder(t)}})
	t.Cleanup(func() { _ = plugins.Close() })
	plugins.Attach(kit)
}

func spec(t *testing.T, members map[string]string) ocm.Spec {
	t.Helper()
	all := map[string]string{"type": configTypes[0], "token": label}
	for name, value := range members {
		if all[name] = value; value == "" {
			delete(all, name)
		}
	}
	s, err := ocm.NewSpec(all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a token signs, asked in the process and in a plugin, the built-in verifiers find good.
func (h *hsm) contract(t *testing.T) {
	t.Parallel()
	remote := ocm.NewKit()
	h.attach(t, remote)
	for where, k := range map[string]*ocm.Kit{"in the process": kit(h.module), "in a plugin": remote} {
		signer, err := k.Signers.For(configTypes[0])
		if err != nil {
			t.Fatal(err)
		}
		for key, c := range map[string]struct {
			algorithm string
			verifier  ocm.Verifier
		}{"rsa": {rsa.PSS, rsa.Handler{}}, "p256": {ec.P256, ec.Handler{}}, "p384": {ec.P384, ec.Handler{}}} {
			t.Run(where+" "+key, func(t *testing.T) {
				t.Parallel()
				signtest.Run(t, signtest.Case{Signer: signer, Verifier: c.verifier, Spec: spec(t, nil), Env: h.env(t),
					Name: key, Other: key + " other", Unknown: "none", Algorithm: c.algorithm})
			})
		}
	}
}

// What the token does not do is told as what it is; the PIN stands nowhere.
func (h *hsm) refused(t *testing.T) {
	t.Parallel()
	s, good := &signer{h.module}, h.env(t)
	d := signtest.Digest(ocm.SHA256, "something")
	pinned := func(properties ocm.Secret) *ocm.Env {
		return &ocm.Env{Credentials: credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": identityType}, Secret: properties})}
	}
	for name, c := range map[string]struct {
		spec ocm.Spec
		env  *ocm.Env
		want error
	}{
		"no token":          {spec(t, map[string]string{"token": ""}), good, ocm.ErrInvalid},
		"another token":     {spec(t, map[string]string{"token": "other", "key": "rsa"}), pinned(ocm.Secret{"pin": pin}), ocm.ErrNotFound},
		"a module":          {spec(t, map[string]string{"key": "rsa", "module": "/tmp/evil.so"}), good, ocm.ErrInvalid},
		"another key":       {spec(t, map[string]string{"key": "none"}), good, ocm.ErrNotFound},
		"two keys":          {spec(t, map[string]string{"key": "twice"}), good, ocm.ErrInvalid},
		"a small key":       {spec(t, map[string]string{"key": "small"}), good, ocm.ErrInvalid},
		"another curve":     {spec(t, map[string]string{"key": "p521"}), good, ocm.ErrInvalid},
		"another algorithm": {spec(t, map[string]string{"key": "p256", "signatureAlgorithm": rsa.PSS}), good, ocm.ErrInvalid},
		"no credentials":    {spec(t, map[string]string{"key": "rsa"}), &ocm.Env{}, ocm.ErrNotFound},
		"no PIN":            {spec(t, map[string]string{"key": "rsa"}), pinned(ocm.Secret{"PIN": pin}), ocm.ErrInvalid},
		"a wrong PIN":       {spec(t, map[string]string{"key": "rsa"}), pinned(ocm.Secret{"pin": "161803"}), ocm.ErrDenied},
	} {
		v, err := s.Sign(t.Context(), c.env, "one", d, c.spec)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %+v %v", name, v, err)
			continue
		}
		if strings.Contains(err.Error(), pin) || strings.Contains(err.Error(), "161803") {
			t.Errorf("%s: the PIN is in %q", name, err)
		}
	}
	// Who came before does not log in who comes next.
	if v, err := s.Sign(t.Context(), good, "rsa", d, spec(t, nil)); err != nil {
		t.Errorf("%+v %v", v, err)
	}
	if v, err := s.Sign(t.Context(), pinned(ocm.Secret{"pin": "161803"}), "rsa", d, spec(t, nil)); !errors.Is(err, ocm.ErrDenied) {
		t.Errorf("%+v %v", v, err)
	}
}

// A component and what it references are signed by the token, and verified by somebody who has the public key and no plugin.
func (h *hsm) component(t *testing.T) {
	t.Parallel()
	kit, env := builtin.Kit(), h.env(t)
	h.attach(t, kit)
	env.Job = ocm.NewJob(4)
	repo := oci.NewRepository(memory.New(), env)
	t.Cleanup(func() { _ = repo.Close() })
	file, err := construct.Parse([]byte(`
components:
- {name: acme.org/shop, version: 1.0.0, provider: acme.org, componentReferences: [{name: api, componentName: acme.org/api, version: 2.0.0}]}
- {name: acme.org/api, version: 2.0.0, provider: acme.org, resources: [{name: text, type: plainText, input: {type: utf8, text: hello}}]}
`), nil, "")
	if err == nil {
		_, err = construct.Run(t.Context(), kit, env, repo, file, construct.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	root, err := repo.Open(t.Context(), "acme.org/shop", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	locate := func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		v, err := repo.Open(ctx, name, version)
		return repo, v, err
	}
	o := graph.SignOptions{Name: "p384", Recursive: true, Check: true, Spec: spec(t, nil)}
	list, err := graph.SignVersion(t.Context(), kit, env, locate, repo, root, o)
	if err != nil || len(list) != 2 || list[1].Signature.Signature.Algorithm != ec.P384 {
		t.Fatalf("%+v %v", list, err)
	}
	for _, name := range []string{"acme.org/shop:1.0.0", "acme.org/api:2.0.0"} {
		component, version, _ := strings.Cut(name, ":")
		v, err := repo.Open(t.Context(), component, version)
		if err != nil {
			t.Fatal(err)
		}
		report, err := graph.Verify(t.Context(), builtin.Kit(), env, repo.Open, v, graph.VerifyOptions{Signatures: []string{"p384"}})
		if err != nil || report.Err() != nil {
			t.Errorf("%s: %v %v", name, err, report.Err())
		}
	}
}
