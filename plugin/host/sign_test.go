// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/credentials"
	"ocm/internal/plugintest"
	"ocm/internal/signtest"
	"ocm/plugin/host"
	"ocm/plugin/wire"
	"ocm/sign/rsa"
)

// rsaKit is the built-in signer.
func rsaKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Signers.Register(rsa.Handler{}, ocm.Type{Names: append([]string{rsa.ConfigTypes[0]}, rsa.Algorithms...), About: "RSA."})
	kit.Verifiers.Register(rsa.Handler{}, ocm.Type{Names: rsa.Algorithms, About: "RSA."})
	return kit
}

// keys are one for each of two signatures.
func keys(t *testing.T) *ocm.Env {
	t.Helper()
	var all []credentials.Entry
	for _, name := range []string{"one", "other"} {
		private, public, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, credentials.Entry{Identity: ocm.Identity{"type": rsa.IdentityType, "signature": name},
			Secret: ocm.Secret{"privateKeyPEM": string(private), "publicKeyPEM": string(public)}})
	}
	return &ocm.Env{Credentials: credentials.Static(all...)}
}

// The same signer keeps its contract in the process and in a plugin; and one judges what the other has made.
func TestSigner(t *testing.T) {
	t.Parallel()
	env, kit := keys(t), plugintest.Kit(t, "rsa")
	signer, err := kit.Signers.For(rsa.ConfigTypes[0])
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := kit.Verifiers.For(rsa.PSS)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		sign ocm.Signer
		ask  ocm.Verifier
	}{
		{"in the process", rsa.Handler{}, rsa.Handler{}}, {"in a plugin", signer, verifier},
		{"made in a plugin", signer, rsa.Handler{}}, {"judged in a plugin", rsa.Handler{}, verifier},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			signtest.Run(t, signtest.Case{Signer: c.sign, Verifier: c.ask, Env: env, Name: "one", Other: "other", Unknown: "none",
				Algorithm: rsa.PSS, Remote: c.name == "in a plugin"})
		})
	}
}

// fragile dies once while it signs: the file that the specification names tells that it has.
type fragile struct{}

func (fragile) Sign(_ context.Context, _ *ocm.Env, _ string, d ocm.Digest, s ocm.Spec) (ocm.SignatureValue, error) {
	var spec struct {
		File string `json:"file"`
	}
	if err := s.Decode(&spec); err != nil {
		return ocm.SignatureValue{}, err
	}
	if f, err := os.OpenFile(spec.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
		_ = f.Close()
		os.Exit(1)
	}
	return ocm.SignatureValue{Algorithm: "FRAGILE", MediaType: "text/plain", Value: d.Value}, nil
}

func fragileKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Signers.Register(fragile{}, ocm.Type{Names: []string{"FragileSigningConfiguration/v1", "FRAGILE"}, About: "It dies."})
	return kit
}

// A plugin that dies while it signs is not asked again: the first answer is that the connection broke, and only who asks again has a signature.
func TestSignerDies(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "fragile")
	signer, err := kit.Signers.For("FragileSigningConfiguration/v1")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ocm.NewSpec(map[string]string{"type": "FragileSigningConfiguration/v1", "file": filepath.Join(t.TempDir(), "died")})
	if err != nil {
		t.Fatal(err)
	}
	d := signtest.Digest(ocm.SHA256, "something")
	if sig, err := signer.Sign(t.Context(), nil, "one", d, spec); !errors.Is(err, wire.ErrBroken) || !strings.Contains(err.Error(), "plugin fragile") {
		t.Errorf("dying: %+v %v", sig, err)
	}
	value, err := signer.Sign(t.Context(), nil, "one", d, spec)
	for begun := time.Now(); errors.Is(err, wire.ErrBroken) && time.Since(begun) < 10*time.Second; { // until its end is known
		value, err = signer.Sign(t.Context(), nil, "one", d, spec)
	}
	if err != nil || value.Value != d.Value {
		t.Fatalf("the next time: %+v %v", value, err)
	}
}

// forger signs in the name of an algorithm that it has not declared, and finds every signature good.
type forger struct{}

func (forger) Sign(context.Context, *ocm.Env, string, ocm.Digest, ocm.Spec) (ocm.SignatureValue, error) {
	return ocm.SignatureValue{Algorithm: rsa.PSS, MediaType: rsa.MediaTypePSS, Value: "00"}, nil
}

func (forger) Verify(context.Context, *ocm.Env, ocm.Signature, ocm.Spec) ([]ocm.Finding, error) {
	return []ocm.Finding{{Check: ocm.FoundSigner, Detail: "the boss"}}, nil
}

func forgerKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Signers.Register(forger{}, ocm.Type{Names: []string{"ForgerSigningConfiguration/v1"}, About: "It forges."})
	kit.Verifiers.Register(forger{}, ocm.Type{Names: []string{rsa.PSS}, About: "It believes."})
	return kit
}

// What is compiled in judges its algorithms, whatever plugins say that they can; and a signer makes what it has declared.
func TestForger(t *testing.T) {
	t.Parallel()
	kit := rsaKit()
	h := host.New(host.Options{Dirs: []string{plugintest.Dir(t, "forger", "boaster")}})
	t.Cleanup(func() { _ = h.Close() })
	h.Attach(kit)
	d := signtest.Digest(ocm.SHA256, "something")
	// The one claims the algorithm as a verifier, and may therefore name it; the other one may not.
	forged := ocm.Signature{Name: "one", Digest: d}
	signer, err := kit.Signers.For("ForgerSigningConfiguration/v1")
	if err == nil {
		forged.Signature, err = signer.Sign(t.Context(), nil, "one", d, ocm.Spec{})
	}
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := kit.Verifiers.For(rsa.PSS)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := verifier.Verify(t.Context(), keys(t), forged, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("forged: %+v %v", found, err)
	}
	if signer, err = kit.Signers.For("BoasterSigningConfiguration/v1"); err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign(t.Context(), nil, "one", d, ocm.Spec{})
	if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "plugin boaster") {
		t.Errorf("not declared: %+v %v", sig, err)
	}
}

func boasterKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Signers.Register(forger{}, ocm.Type{Names: []string{"BoasterSigningConfiguration/v1"}, About: "It forges."})
	return kit
}

type panics struct{}

func (panics) Verify(context.Context, *ocm.Env, ocm.Signature, ocm.Spec) ([]ocm.Finding, error) {
	panic("at the disco")
}

func panicsKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Verifiers.Register(panics{}, ocm.Type{Names: []string{"PANICS"}, About: "It panics."})
	return kit
}

// As in CVE-2026-44310 (gitsign), where a verifier that panicked had verified.
func TestCVE_2026_44310_PanicOfPluginVerifiesNothing(t *testing.T) {
	t.Parallel()
	verifier, err := plugintest.Kit(t, "panics").Verifiers.For("PANICS")
	if err != nil {
		t.Fatal(err)
	}
	sig := ocm.Signature{Name: "one", Digest: signtest.Digest(ocm.SHA256, "x"), Signature: ocm.SignatureValue{Algorithm: "PANICS", MediaType: "x", Value: "00"}}
	if found, err := verifier.Verify(t.Context(), nil, sig, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), "plugin panics") {
		t.Errorf("%+v %v", found, err)
	}
}
