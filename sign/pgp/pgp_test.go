// SPDX-License-Identifier: Apache-2.0

package pgp

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"ocm"
)

// The golden key was made on 2026-11-21.
var goldenTime = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

type secrets map[string]ocm.Secret

func (s secrets) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if v, ok := s[id.String()]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
}

func envWith(s ocm.Secret, now time.Time) *ocm.Env {
	return &ocm.Env{
		Credentials: secrets{"signature=s,type=GPG/v1alpha1": s, "signature=gpg,type=GPG/v1alpha1": s},
		Now:         func() time.Time { return now },
	}
}

func at(t time.Time) *packet.Config {
	return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return t }}
}

func newKey(t testing.TB, edit ...func(*packet.Config)) *openpgp.Entity {
	t.Helper()
	c := at(goldenTime.Add(-time.Hour))
	for _, e := range edit {
		e(c)
	}
	e, err := openpgp.NewEntity("Test", "", "test@example.com", c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func private(t testing.TB, e *openpgp.Entity) string {
	return armored(t, openpgp.PrivateKeyType, func(w *bytes.Buffer) error { return e.SerializePrivateWithoutSigning(w, nil) })
}

func public(t testing.TB, e *openpgp.Entity) string {
	return armored(t, openpgp.PublicKeyType, func(w *bytes.Buffer) error { return e.Serialize(w) })
}

func armored(t testing.TB, typ string, write func(w *bytes.Buffer) error) string {
	t.Helper()
	var raw, text bytes.Buffer
	if err := write(&raw); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&text, typ, nil)
	if err == nil {
		_, err = w.Write(raw.Bytes())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return text.String() + "\n"
}

func digest() ocm.Digest {
	return ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: strings.Repeat("0d0a", 16)}
}

func mustSign(t *testing.T, s ocm.Secret, spec ocm.Spec) ocm.Signature {
	t.Helper()
	v, err := Handler{}.Sign(t.Context(), envWith(s, goldenTime), "s", digest(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return ocm.Signature{Name: "s", Digest: digest(), Signature: v}
}

func refused(t *testing.T, s ocm.Secret, sig ocm.Signature, text string) {
	t.Helper()
	err := judge(t.Context(), envWith(s, goldenTime), sig, ocm.Spec{})
	if !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, expected a refusal with %q", err, text)
	}
}

func Example() {
	key, err := openpgp.NewEntity("Signer", "", "signer@example.com", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var armoured bytes.Buffer
	w, _ := armor.Encode(&armoured, openpgp.PrivateKeyType, nil)
	_ = key.SerializePrivate(w, nil)
	_ = w.Close()

	id := ocm.Identity{"type": IdentityType, "signature": "release"}
	env := &ocm.Env{Credentials: secrets{id.String(): {"privateKeyPGP": armoured.String()}}}
	digest := ocm.Digest{HashAlgorithm: ocm.SHA256, Value: strings.Repeat("ab", 32)}
	v, err := Handler{}.Sign(context.Background(), env, "release", digest, ocm.Spec{})
	fmt.Println(v.Algorithm, v.MediaType, err)
	fmt.Println(judge(context.Background(), env, ocm.Signature{Name: "release", Digest: digest, Signature: v}, ocm.Spec{}))
	// Output:
	// GPG application/vnd.ocm.signature.gpg <nil>
	// <nil>
}

// Signatures that another implementation wrote.
func TestGolden(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string][]ocm.Signature
	if err := json.Unmarshal(raw, &all); err != nil || len(all) != 2 {
		t.Fatal(len(all), err)
	}
	secret := ocm.Secret{"publicKeyPGPFile": "testdata/gpg.pub.asc"}
	for where, sigs := range all {
		for _, sig := range sigs {
			for _, spec := range []ocm.Spec{{}, config(t, "7c2447bc55ed0422ff213566ae2467c8253cba3c", ""), config(t, "AE2467C8253CBA3C", "")} {
				if err := judge(t.Context(), envWith(secret, goldenTime), sig, spec); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
			err := judge(t.Context(), envWith(secret, goldenTime), sig, config(t, strings.Repeat("0", 40), ""))
			if !errors.Is(err, ocm.ErrSignature) {
				t.Errorf("%s: another fingerprint: %v", where, err)
			}
			sig.Digest.Value = strings.Repeat("0", 64)
			refused(t, secret, sig, "over the digest SHA-256:0000")
		}
	}
}

func config(t *testing.T, fingerprint, hash string) ocm.Spec {
	t.Helper()
	s, err := ocm.NewSpec(Config{Type: ConfigTypes[0], KeyFingerprint: fingerprint, HashAlgorithm: hash})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	first, second := newKey(t), newKey(t)
	locked := newKey(t)
	if err := locked.EncryptPrivateKeys([]byte("hunter2"), nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ring.asc")
	if err := os.WriteFile(file, []byte(public(t, first)+public(t, second)), 0o600); err != nil {
		t.Fatal(err)
	}
	both := private(t, first) + private(t, second)
	of := func(e *openpgp.Entity) string { return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) }
	tests := []struct {
		name         string
		spec         ocm.Spec
		sign, verify ocm.Secret
		by           *openpgp.Entity
	}{
		{"defaults", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, first)}, ocm.Secret{"publicKeyPGP": public(t, first)}, first},
		{"algorithm as type", ocm.Spec{Type: Algorithm}, ocm.Secret{"privateKeyPGP": private(t, first)}, ocm.Secret{"publicKeyPGPFile": file}, first},
		{"inline wins", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, first), "privateKeyPGPFile": "/nowhere"}, ocm.Secret{"publicKeyPGPFile": file}, first},
		{"public key derived", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, first)}, ocm.Secret{"privateKeyPGP": private(t, first)}, first},
		{"first of two", ocm.Spec{}, ocm.Secret{"privateKeyPGP": both}, ocm.Secret{"publicKeyPGPFile": file}, first},
		{"second of two", config(t, of(second), "SHA-512"), ocm.Secret{"privateKeyPGP": both}, ocm.Secret{"publicKeyPGPFile": file}, second},
		{"by key id", config(t, fmt.Sprintf("%016x", second.PrimaryKey.KeyId), "SHA-384"), ocm.Secret{"privateKeyPGP": both}, ocm.Secret{"publicKeyPGPFile": file}, second},
		{"passphrase", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, locked), "passphrase": "hunter2"}, ocm.Secret{"publicKeyPGP": public(t, locked)}, locked},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sig := mustSign(t, tc.sign, tc.spec)
			if err := judge(t.Context(), envWith(tc.verify, goldenTime), sig, ocm.Spec{}); err != nil {
				t.Fatal(err)
			}
			_, issuer, err := decodeSignature(sig.Signature.Value)
			if err != nil || issuer != tc.by.PrimaryKey.KeyId {
				t.Errorf("signed by %X, expected %X (%v)", issuer, tc.by.PrimaryKey.KeyId, err)
			}
			err = judge(t.Context(), envWith(tc.verify, goldenTime), sig, config(t, strings.Repeat("0", 16), ""))
			if !errors.Is(err, ocm.ErrSignature) {
				t.Errorf("another fingerprint is required: %v", err)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	key, locked := newKey(t), newKey(t)
	if err := locked.EncryptPrivateKeys([]byte("hunter2"), nil); err != nil {
		t.Fatal(err)
	}
	old := newKey(t, func(c *packet.Config) { c.KeyLifetimeSecs = 60 })
	good := ocm.Secret{"privateKeyPGP": private(t, key)}
	tests := []struct {
		name   string
		spec   ocm.Spec
		secret ocm.Secret
		digest ocm.Digest
		want   error
	}{
		{"no key", ocm.Spec{}, ocm.Secret{"publicKeyPGP": public(t, key)}, digest(), ocm.ErrNotFound},
		{"public key", ocm.Spec{}, ocm.Secret{"privateKeyPGP": public(t, key)}, digest(), ocm.ErrInvalid},
		{"no file", ocm.Spec{}, ocm.Secret{"privateKeyPGPFile": "/nowhere"}, digest(), os.ErrNotExist},
		{"garbage", ocm.Spec{}, ocm.Secret{"privateKeyPGP": "hunter2"}, digest(), ocm.ErrInvalid},
		{"no end", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, key)[:200]}, digest(), ocm.ErrInvalid},
		{"too large", ocm.Spec{}, ocm.Secret{"privateKeyPGP": strings.Repeat(" ", MaxKeyRingSize+1)}, digest(), ocm.ErrLimit},
		{"no passphrase", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, locked)}, digest(), ocm.ErrInvalid},
		{"wrong passphrase", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, locked), "passphrase": "hunter3"}, digest(), ocm.ErrInvalid},
		{"expired", ocm.Spec{}, ocm.Secret{"privateKeyPGP": private(t, old)}, digest(), ocm.ErrInvalid},
		{"fingerprint", config(t, strings.Repeat("a", 40), ""), good, digest(), ocm.ErrNotFound},
		{"no fingerprint", config(t, "abc", ""), good, digest(), ocm.ErrInvalid},
		{"hash", config(t, "", "SHA-1"), good, digest(), ocm.ErrInvalid},
		{"other configuration", ocm.Spec{Type: "RSASigningConfiguration"}, good, digest(), ocm.ErrUnknownType},
		{"digest", ocm.Spec{}, good, ocm.Digest{HashAlgorithm: ocm.SHA512, Value: digest().Value}, ocm.ErrInvalid},
		{"legacy hash", ocm.Spec{}, good, ocm.Digest{HashAlgorithm: "sha256", Value: digest().Value}, ocm.ErrInvalid},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v, err := Handler{}.Sign(t.Context(), envWith(tc.secret, goldenTime), "s", tc.digest, tc.spec)
			if !errors.Is(err, tc.want) || v.Value != "" {
				t.Errorf("error %v, expected %v", err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "xV")) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
	_, err := Handler{}.Sign(t.Context(), envWith(good, goldenTime), "other", digest(), ocm.Spec{})
	if !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), "signature=other,type=GPG/v1alpha1") {
		t.Errorf("key of another signature: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	ring := ocm.Secret{"publicKeyPGP": public(t, key) + public(t, other)}
	sig := mustSign(t, ocm.Secret{"privateKeyPGP": private(t, key)}, ocm.Spec{})
	second := mustSign(t, ocm.Secret{"privateKeyPGP": private(t, other)}, ocm.Spec{})
	if err := judge(t.Context(), envWith(ring, goldenTime), sig, ocm.Spec{}); err != nil {
		t.Fatal(err)
	}
	change := func(edit func(s *ocm.Signature)) ocm.Signature {
		s := sig
		edit(&s)
		return s
	}
	value := func(v string) ocm.Signature { return change(func(s *ocm.Signature) { s.Signature.Value = v }) }
	two := armored(t, openpgp.SignatureType, func(w *bytes.Buffer) error {
		for _, s := range []ocm.Signature{sig, second} {
			raw, _, err := decodeSignature(s.Signature.Value)
			if err != nil {
				return err
			}
			w.Write(raw)
		}
		return nil
	})
	text := sign2(t, key, &openpgp.SignParams{TextSig: true, Config: at(goldenTime)})
	short := sign2(t, key, &openpgp.SignParams{Config: &packet.Config{SigLifetimeSecs: 1, Time: func() time.Time { return goldenTime.Add(-time.Minute) }}})
	future := sign2(t, key, &openpgp.SignParams{Config: at(goldenTime.Add(time.Hour))})
	before := newKey(t, func(c *packet.Config) { c.Time = func() time.Time { return goldenTime.Add(time.Hour) } })

	refused(t, ocm.Secret{"publicKeyPGP": public(t, other)}, sig, "")
	refused(t, ocm.Secret{"publicKeyPGP": public(t, before)}, sig, "")
	refused(t, ocm.Secret{"username": "u"}, sig, "public key not found")
	refused(t, ring, value(""), "not one armoured")
	refused(t, ring, value("hunter2"), "not one armoured")
	refused(t, ring, value(strings.Repeat("x", MaxSignatureSize+1)), "limit exceeded")
	refused(t, ring, value(sig.Signature.Value+"\n"+second.Signature.Value), "not one armoured")
	refused(t, ring, value("hello\n"+sig.Signature.Value), "not one armoured")
	refused(t, ring, value(sig.Signature.Value+"\nhello"), "not one armoured")
	refused(t, ring, value(strings.Replace(sig.Signature.Value, "SIGNATURE", "MESSAGE", 1)), "not one armoured")
	refused(t, ring, value(two), "followed by more data")
	refused(t, ring, value(text), "binary document")
	refused(t, ring, value(short), "expired")
	refused(t, ring, value(future), "expired")
	refused(t, ring, value(public(t, key)), "not one armoured")
	refused(t, ring, value(strings.Replace(public(t, key), "PUBLIC KEY BLOCK", "SIGNATURE", 2)), "no signature")
	refused(t, ring, change(func(s *ocm.Signature) { s.Signature.MediaType = "application/vnd.ocm.signature.rsa" }), "expected GPG with")
	refused(t, ring, change(func(s *ocm.Signature) { s.Signature.Algorithm = "RSASSA-PSS" }), "expected GPG with")
	refused(t, ring, change(func(s *ocm.Signature) { s.Digest.HashAlgorithm = "NO-DIGEST" }), "NO-DIGEST")
	refused(t, ring, change(func(s *ocm.Signature) { s.Digest.Value = strings.Repeat("0a0a", 16) }), "over the digest")
	if err := judge(t.Context(), nil, sig, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("without credentials: %v", err)
	}
	if err := judge(t.Context(), envWith(ring, goldenTime), sig, ocm.Spec{Type: "RSASigningConfiguration"}); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("with the configuration of another handler: %v", err)
	}
}

// sign2 signs with parameters that the handler would not use.
func sign2(t *testing.T, e *openpgp.Entity, p *openpgp.SignParams) string {
	t.Helper()
	var out bytes.Buffer
	sum, _ := hex.DecodeString(digest().Value)
	if err := openpgp.ArmoredDetachSign(&out, []*openpgp.Entity{e}, bytes.NewReader(sum), p); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A clock that is ten years off is named as what may be wrong: of signatures and keys that end, ahead, of all, behind.
func TestClockYearsOff(t *testing.T) {
	t.Parallel()
	lasting, ending := newKey(t), newKey(t, func(c *packet.Config) { c.KeyLifetimeSecs = 366 * 24 * 3600 })
	for what, c := range map[string]struct {
		key   *openpgp.Entity
		years int
		good  bool
	}{
		"behind":                {lasting, -10, false},
		"behind, a key ends":    {ending, -10, false},
		"ahead":                 {lasting, 10, true},
		"ahead, the key's ends": {ending, 10, false},
	} {
		sig := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{
			Algorithm: Algorithm, MediaType: MediaType, Value: sign2(t, c.key, &openpgp.SignParams{Config: at(goldenTime)}),
		}}
		now := goldenTime.AddDate(c.years, 0, 0)
		err := judge(t.Context(), envWith(ocm.Secret{"publicKeyPGP": public(t, c.key)}, now), sig, ocm.Spec{})
		if (err == nil) != c.good {
			t.Errorf("%s: %v", what, err)
		}
		want := "judged at " + now.UTC().Format(time.RFC3339) + ", as this machine's clock says (set the clock if it is wrong)"
		if err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "was changed")) {
			t.Errorf("%s: expected %q, found %v", what, want, err)
		}
	}
}

// A signature that was made, or says that it was made, while the key was good does not
// count once the key is not: the date is the signer's own claim.
func TestCVE_2026_54787_key_no_longer_valid(t *testing.T) {
	t.Parallel()
	expired := newKey(t, func(c *packet.Config) { c.KeyLifetimeSecs = 1800 })
	subkey := newKey(t)
	if err := subkey.AddSigningSubkey(func() *packet.Config { c := at(goldenTime.Add(-time.Hour)); c.KeyLifetimeSecs = 1800; return c }()); err != nil {
		t.Fatal(err)
	}
	made := at(goldenTime.Add(-50 * time.Minute))
	for name, key := range map[string]*openpgp.Entity{"key": expired, "subkey": subkey} {
		sig := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{
			Algorithm: Algorithm, MediaType: MediaType, Value: sign2(t, key, &openpgp.SignParams{Config: made}),
		}}
		secret := ocm.Secret{"publicKeyPGP": public(t, key)}
		if err := judge(t.Context(), envWith(secret, goldenTime.Add(-40*time.Minute)), sig, ocm.Spec{}); err != nil {
			t.Errorf("%s: while it was good: %v", name, err)
		}
		refused(t, secret, sig, "expired")
	}

	revoked := newKey(t)
	sig := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{
		Algorithm: Algorithm, MediaType: MediaType, Value: sign2(t, revoked, &openpgp.SignParams{Config: made}),
	}}
	before := public(t, revoked)
	if err := revoked.Revoke(packet.KeySuperseded, "", at(goldenTime.Add(-30*time.Minute))); err != nil {
		t.Fatal(err)
	}
	refused(t, ocm.Secret{"publicKeyPGP": public(t, revoked)}, sig, "revoked")
	refused(t, ocm.Secret{"publicKeyPGP": before + public(t, revoked)}, sig, "revoked")
}

// A subkey that is named by its fingerprint must be the one that signed.
func TestFingerprintOfSubkey(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for range 2 {
		if err := key.AddSigningSubkey(at(goldenTime.Add(-time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	secret := ocm.Secret{"privateKeyPGP": private(t, key)}
	subs := key.Subkeys[len(key.Subkeys)-2:]
	for i, sub := range subs {
		mine, other := config(t, hex.EncodeToString(sub.PublicKey.Fingerprint), ""), config(t, hex.EncodeToString(subs[1-i].PublicKey.Fingerprint), "")
		sig := mustSign(t, secret, mine)
		if err := judge(t.Context(), envWith(secret, goldenTime), sig, mine); err != nil {
			t.Error(err)
		}
		if err := judge(t.Context(), envWith(secret, goldenTime), sig, other); !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("by another subkey: %v", err)
		}
	}
}

// GnuPG is the second opinion on what is written and read.
func TestGnuPG(t *testing.T) {
	t.Parallel()
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Skip("no gpg here")
	}
	home, err := os.MkdirTemp("", "gpg") // short: sockets live in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() })
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), gpg, append([]string{"--homedir", home, "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "secret words"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v: %s", args, err, &stderr)
		}
		return string(out)
	}
	run("", "--quick-generate-key", "Test <test@example.com>", "rsa3072", "sign", "1d")
	secret := ocm.Secret{"privateKeyPGP": run("", "--armor", "--export-secret-keys"), "passphrase": "secret words"}
	sum, _ := hex.DecodeString(digest().Value)
	theirs := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{
		Algorithm: Algorithm, MediaType: MediaType, Value: run(string(sum), "--armor", "--detach-sign"),
	}}
	now := time.Now()
	if err := judge(t.Context(), envWith(ocm.Secret{"publicKeyPGP": run("", "--armor", "--export")}, now), theirs, ocm.Spec{}); err != nil {
		t.Errorf("gpg's signature: %v", err)
	}
	v, err := Handler{}.Sign(t.Context(), envWith(secret, now), "s", digest(), ocm.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "ours.asc")
	if err := os.WriteFile(file, []byte(v.Value), 0o600); err != nil {
		t.Fatal(err)
	}
	run(string(sum), "--verify", file, "-")
}

func FuzzVerify(f *testing.F) {
	key := newKey(f)
	env := envWith(ocm.Secret{"publicKeyPGP": public(f, key)}, goldenTime)
	raw, err := os.ReadFile("testdata/signatures.json")
	if err != nil {
		f.Fatal(err)
	}
	var all map[string][]ocm.Signature
	if err := json.Unmarshal(raw, &all); err != nil {
		f.Fatal(err)
	}
	for _, sigs := range all {
		f.Add(sigs[0].Signature.Value)
	}
	f.Add(public(f, key))
	f.Fuzz(func(t *testing.T, text string) {
		sig := ocm.Signature{Name: "s", Digest: digest(), Signature: ocm.SignatureValue{Algorithm: Algorithm, MediaType: MediaType, Value: text}}
		err := judge(context.Background(), env, sig, ocm.Spec{})
		if !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("a signature by nobody is good: %v", err)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add(public(f, newKey(f)))
	f.Add(private(f, newKey(f)))
	f.Fuzz(func(t *testing.T, text string) {
		var err error
		func() {
			defer noPanic(&err)
			keys, parseErr := parseKeys(text)
			if parseErr == nil && len(keys) == 0 {
				t.Error("no key and no error")
			}
		}()
	})
}

// judge is for tests that only want to know whether a signature is good.
func judge(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) error {
	found, err := Handler{}.Verify(ctx, env, sig, s)
	if signed := len(found) > 0 && found[len(found)-1].Check == ocm.FoundSigner; signed != (err == nil) {
		return fmt.Errorf("findings %v with error %w", found, err)
	}
	return err
}

// A timestamp is judged if there are roots for it, and a distinguished name that is demanded cannot be shown.
func TestTimestampAndIssuer(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	sig := mustSign(t, ocm.Secret{"privateKeyPGP": private(t, key)}, ocm.Spec{})
	sig.Timestamp = &ocm.Timestamp{Value: "a token"}
	root, err := os.ReadFile("../timestamp/testdata/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	stamped, bad := goldenTime.Add(-time.Minute), errors.New("a bad token")
	for name, tt := range map[string]struct {
		secret ocm.Secret
		err    error // of judging the timestamp
		check  string
		time   time.Time
	}{
		"good":              {secret: ocm.Secret{"tsaCertPEM": string(root)}, time: stamped},
		"bad":               {secret: ocm.Secret{"tsaCertPEM": string(root)}, err: bad, check: ocm.FoundTime},
		"without roots":     {err: bad},
		"name that is none": {secret: ocm.Secret{"issuer": "CN=release"}, check: ocm.FoundIdentity},
	} {
		t.Run(name, func(t *testing.T) {
			secret := ocm.Secret{"publicKeyPGP": public(t, key)}
			maps.Copy(secret, tt.secret)
			h := Handler{Time: func(*ocm.Timestamp, ocm.Digest, []*x509.Certificate) (time.Time, string, error) {
				return stamped, "TSA", tt.err
			}}
			found, err := h.Verify(t.Context(), envWith(secret, goldenTime), sig, ocm.Spec{})
			var failed *ocm.CheckError
			if tt.check != "" && (!errors.As(err, &failed) || failed.Check != tt.check || !errors.Is(err, ocm.ErrSignature)) || tt.check == "" && err != nil {
				t.Fatalf("expected the check %q to fail, found %v", tt.check, err)
			}
			told := false
			for _, f := range found {
				if f.Check == ocm.FoundTime {
					told = true
					if !f.Time.Equal(tt.time) {
						t.Errorf("expected the time %s, found %s", tt.time, f.Time)
					}
				}
			}
			if tt.check == "" && !told {
				t.Errorf("nothing is said of the timestamp: %v", found)
			}
		})
	}
}
