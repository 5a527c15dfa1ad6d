// SPDX-License-Identifier: Apache-2.0

package rsa

import (
	"context"
	"crypto/rand"
	stdrsa "crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/sign/cert"
)

func Example() {
	private, public, err := GenerateKeyPair(2048)
	if err != nil {
		fmt.Println(err)
		return
	}
	id := ocm.Identity{"type": IdentityType, "algorithm": PSS, "signature": "release"}
	signer := &ocm.Env{Credentials: secrets{id.String(): {"privateKeyPEM": string(private)}}}
	verifier := &ocm.Env{Credentials: secrets{id.String(): {"publicKeyPEM": string(public)}}}

	digest := ocm.Digest{HashAlgorithm: ocm.SHA256, Value: strings.Repeat("ab", 32)}
	v, err := Handler{}.Sign(context.Background(), signer, "release", digest, ocm.Spec{})
	fmt.Println(v.Algorithm, v.MediaType, err)

	sig := ocm.Signature{Name: "release", Digest: digest, Signature: v}
	fmt.Println(judge(context.Background(), verifier, sig, ocm.Spec{}))
	sig.Digest.Value = strings.Repeat("cd", 32)
	fmt.Println(errors.Is(judge(context.Background(), verifier, sig, ocm.Spec{}), ocm.ErrSignature))
	// Output:
	// RSASSA-PSS application/vnd.ocm.signature.rsa.pss <nil>
	// <nil>
	// true
}

// Signatures that other implementations wrote.
func TestGolden(t *testing.T) {
	t.Parallel()
	plain := ocm.Secret{"publicKeyPEMFile": "testdata/plain.pub"}
	chain := ocm.Secret{"caCertPEMFile": "testdata/root.pem"}
	count := 0
	for where, sigs := range golden(t) {
		for _, sig := range sigs {
			secret := plain
			if sig.Name == "pss-pem" {
				secret = chain
			}
			env := envWith(sig.Name, secret, goldenTime)
			if err := judge(t.Context(), env, sig, ocm.Spec{}); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			digit := map[bool]string{true: "1", false: "0"}[sig.Digest.Value[0] == '0']
			sig.Digest.Value = digit + sig.Digest.Value[1:]
			if err := judge(t.Context(), env, sig, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) {
				t.Errorf("%s: %s with a changed digest: %v", where, sig.Name, err)
			}
			count++
		}
	}
	if count != 8 {
		t.Errorf("%d golden signatures, expected 8", count)
	}
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	k := testKeys()
	a := newAuthority(t, nil, nil)
	chain := certPEM(a.leaf, a.inter, a.root)
	dir := t.TempDir()
	file := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, []byte(chain+privatePEM(k[2])), 0o600); err != nil {
		t.Fatal(err)
	}
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(k[2])
	pkcs8PEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	pkix, _ := x509.MarshalPKIXPublicKey(&k[2].PublicKey)
	pkixPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}))
	tests := []struct {
		name         string
		config       string
		sign, verify ocm.Secret
	}{
		{"defaults", ``, ocm.Secret{"privateKeyPEM": privatePEM(k[2])}, ocm.Secret{"publicKeyPEM": publicPEM(k[2])}},
		{"type is the algorithm", `{"type":"RSASSA-PKCS1-V1_5"}`, ocm.Secret{"privateKeyPEM": pkcs8PEM}, ocm.Secret{"publicKeyPEM": pkixPEM}},
		{"legacy names", `{"type":"RSASigningConfiguration","signatureAlgorithm":"RSASSA-PKCS1-V1_5"}`,
			ocm.Secret{"private_key_pem_file": file}, ocm.Secret{"public_key_pem": pkixPEM}},
		{"inline wins over file", ``, ocm.Secret{"private_key_pem": pkcs8PEM, "privateKeyPEMFile": "/nowhere"}, ocm.Secret{"publicKeyPEM": pkixPEM, "publicKeyPEMFile": "/nowhere"}},
		{"public key derived", ``, ocm.Secret{"privateKeyPEM": pkcs8PEM}, ocm.Secret{"privateKeyPEM": pkcs8PEM}},
		{"certificate as public key", ``, ocm.Secret{"privateKeyPEM": pkcs8PEM}, ocm.Secret{"publicKeyPEM": chain}},
		{"certificate as public key, name required", ``, ocm.Secret{"privateKeyPEM": pkcs8PEM}, ocm.Secret{"publicKeyPEM": chain, "issuer": "CN=Leaf"}},
		{"PEM, anchors", pemConfig, ocm.Secret{"privateKeyPEMFile": file, "publicKeyPEMFile": file}, ocm.Secret{"caCertPEM": certPEM(a.root)}},
		{"PEM, anchors beside a bare key", pemConfig, ocm.Secret{"privateKeyPEMFile": file, "publicKeyPEMFile": file}, ocm.Secret{"caCertPEM": certPEM(a.root), "publicKeyPEM": publicPEM(k[0])}},
		{"PEM, root at the end of the public key", pemConfig, ocm.Secret{"privateKeyPEMFile": file, "publicKeyPEM": chain}, ocm.Secret{"publicKeyPEM": chain}},
		{"PEM, only the root as public key", pemConfig, ocm.Secret{"privateKeyPEMFile": file, "publicKeyPEM": chain}, ocm.Secret{"publicKeyPEM": certPEM(a.root)}},
		{"PEM, verifier brings the intermediate", pemConfig, ocm.Secret{"privateKeyPEMFile": file, "publicKeyPEM": certPEM(a.leaf)}, ocm.Secret{"publicKeyPEM": certPEM(a.inter, a.root)}},
		{"PEM, bare key", pemConfig, ocm.Secret{"privateKeyPEMFile": file, "publicKeyPEM": chain}, ocm.Secret{"publicKeyPEM": publicPEM(k[2])}},
		{"PEM, name required", pemConfig, ocm.Secret{"privateKeyPEMFile": file, "publicKeyPEM": chain}, ocm.Secret{"caCertPEM": certPEM(a.root), "issuer": `O=Test\, Inc.`}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, d := range digests() {
				v, err := Handler{}.Sign(t.Context(), envWith("s", tc.sign, goldenTime), "s", d, spec(t, tc.config))
				if err != nil {
					t.Fatal(err)
				}
				sig := ocm.Signature{Name: "s", Digest: d, Signature: v}
				if err := judge(t.Context(), envWith("s", tc.verify, goldenTime), sig, ocm.Spec{}); err != nil {
					t.Fatalf("%s: %v", d.HashAlgorithm, err)
				}
				if strings.Count(v.Value, "BEGIN CERT") > 2 || v.Issuer != "" {
					t.Errorf("the root is embedded, or the issuer set: %q", v)
				}
			}
		})
	}
}

const pemConfig = `{"type":"RSASigningConfiguration/v1alpha1","signatureEncodingPolicy":"PEM"}`

func digests() []ocm.Digest {
	return []ocm.Digest{
		{HashAlgorithm: "SHA-256", Value: strings.Repeat("0a", 32)},
		{HashAlgorithm: "SHA-384", Value: strings.Repeat("0b", 48)},
		{HashAlgorithm: "SHA-512", Value: strings.Repeat("0c", 64)},
	}
}

func spec(t *testing.T, raw string) (s ocm.Spec) {
	t.Helper()
	if raw != "" {
		if err := s.UnmarshalJSON([]byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	k := testKeys()
	a := newAuthority(t, nil, nil)
	key := privatePEM(k[2])
	small, err := stdrsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	expired := newAuthority(t, nil, []edit{func(c *x509.Certificate) { c.NotAfter = goldenTime.Add(-time30) }})
	server := newAuthority(t, nil, []edit{func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }})
	good := digestOf("x")
	tests := []struct {
		name, config string
		digest       ocm.Digest
		secret       ocm.Secret
		want         error
		text         string
	}{
		{"no key", ``, good, ocm.Secret{"publicKeyPEM": publicPEM(k[2])}, ocm.ErrNotFound, "private key not found"},
		{"no file", ``, good, ocm.Secret{"privateKeyPEMFile": "/nowhere/key.pem"}, os.ErrNotExist, "/nowhere/key.pem"},
		{"public key only", ``, good, ocm.Secret{"privateKeyPEM": publicPEM(k[2])}, ocm.ErrInvalid, "PEM blocks: RSA PUBLIC KEY"},
		{"encrypted", ``, good, ocm.Secret{"privateKeyPEM": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"}, ocm.ErrInvalid, "encrypted"},
		{"small key", ``, good, ocm.Secret{"privateKeyPEM": privatePEM(small)}, ocm.ErrInvalid, "1024 bits, accepted are 2048"},
		{"no PEM", ``, good, ocm.Secret{"privateKeyPEM": "hunter2"}, ocm.ErrInvalid, "none"},
		{"algorithm", `{"type":"RSASigningConfiguration","signatureAlgorithm":"RSA"}`, good, ocm.Secret{"privateKeyPEM": key}, ocm.ErrInvalid, `"RSA"`},
		{"encoding", `{"type":"RSASigningConfiguration","signatureEncodingPolicy":"DER"}`, good, ocm.Secret{"privateKeyPEM": key}, ocm.ErrInvalid, `"DER"`},
		{"other configuration", `{"type":"GPGSigningConfiguration"}`, good, ocm.Secret{"privateKeyPEM": key}, ocm.ErrUnknownType, "GPG"},
		{"legacy hash name", ``, ocm.Digest{HashAlgorithm: "sha256", Value: good.Value}, ocm.Secret{"privateKeyPEM": key}, ocm.ErrInvalid, `"sha256"`},
		{"no digest", ``, ocm.Digest{}, ocm.Secret{"privateKeyPEM": key}, ocm.ErrInvalid, "hash algorithm"},
		{"digest of another hash", ``, ocm.Digest{HashAlgorithm: "SHA-512", Value: good.Value}, ocm.Secret{"privateKeyPEM": key}, ocm.ErrInvalid, "64 characters"},
		{"PEM without certificate", pemConfig, good, ocm.Secret{"privateKeyPEM": key, "publicKeyPEM": publicPEM(k[2])}, ocm.ErrInvalid, "needs certificates"},
		{"PEM without public key", pemConfig, good, ocm.Secret{"privateKeyPEM": key}, ocm.ErrNotFound, "needs certificates"},
		{"PEM with a foreign certificate", pemConfig, good, ocm.Secret{"privateKeyPEM": key, "publicKeyPEM": certPEM(a.inter)}, ocm.ErrInvalid, "not for the private key"},
		{"PEM with an expired certificate", pemConfig, good, ocm.Secret{"privateKeyPEM": key, "publicKeyPEM": certPEM(expired.leaf)}, ocm.ErrInvalid, "valid from"},
		{"PEM with a server's certificate", pemConfig, good, ocm.Secret{"privateKeyPEM": key, "publicKeyPEM": certPEM(server.leaf)}, ocm.ErrInvalid, "not for code signing"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v, err := Handler{}.Sign(t.Context(), envWith("s", tc.secret, goldenTime), "s", tc.digest, spec(t, tc.config))
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, expected %v with %q", err, tc.want, tc.text)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
			if v.Value != "" {
				t.Errorf("a value came with the error: %v", v)
			}
		})
	}
}

// A key for one signature is not used for another.
func TestIdentityIsAsked(t *testing.T) {
	t.Parallel()
	env := envWith("default", ocm.Secret{"privateKeyPEM": privatePEM(testKeys()[0])}, goldenTime)
	_, err := Handler{}.Sign(t.Context(), env, "release", digestOf("x"), ocm.Spec{})
	if !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), "algorithm=RSASSA-PSS,signature=release,type=RSA/v1alpha1") {
		t.Errorf("error %v", err)
	}
	if _, err := (Handler{}).Sign(t.Context(), nil, "release", digestOf("x"), ocm.Spec{}); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("without environment: %v", err)
	}
}

func TestGenerateKeyPair(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{0, 1024, 2047, MaxKeyBits + 1} {
		if _, _, err := GenerateKeyPair(bits); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

// OpenSSL is the second opinion on what is written and read.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, content []byte) {
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := testKeys()[1]
	write("key.pem", []byte(privatePEM(key)))
	d := digestOf("x")
	sum, _ := hex.DecodeString(d.Value)
	write("digest", sum)
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), openssl, append([]string{"pkeyutl", "-inkey", path("key.pem"), "-in", path("digest"), "-pkeyopt", "digest:sha256"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("openssl %v: %v: %s", args, err, out)
		}
	}
	env := envWith("s", ocm.Secret{"privateKeyPEMFile": path("key.pem")}, goldenTime)
	for _, salt := range []string{"", "max", "digest", "0"} {
		alg, args := PKCS1v15, []string{"-pkeyopt", "rsa_padding_mode:pkcs1"}
		if salt != "" {
			alg, args = PSS, []string{"-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:" + salt}
		}
		run(append(args, "-sign", "-out", path("theirs"))...)
		theirs := ocm.Signature{Name: "s", Digest: d, Signature: plain(t, alg, testFile(t, path("theirs")))}
		if err := judge(t.Context(), env, theirs, ocm.Spec{}); err != nil {
			t.Errorf("openssl's signature, salt %q: %v", salt, err)
		}
		if salt != "" && salt != "max" {
			continue
		}
		ours, err := Handler{}.Sign(t.Context(), env, "s", d, ocm.Spec{Type: alg})
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := hex.DecodeString(ours.Value)
		write("ours", raw)
		run(append(args, "-verify", "-sigfile", path("ours"))...)
	}
}

func plain(t *testing.T, algorithm string, raw []byte) ocm.SignatureValue {
	t.Helper()
	for _, a := range family().Algorithms {
		if a.Name == algorithm {
			return cert.EncodePlain(a, raw)
		}
	}
	t.Fatalf("no algorithm %s", algorithm)
	return ocm.SignatureValue{}
}

// judge is for tests that only want to know whether a signature is good.
func judge(ctx context.Context, env *ocm.Env, sig ocm.Signature, s ocm.Spec) error {
	found, err := Handler{}.Verify(ctx, env, sig, s)
	if signed := len(found) > 0 && found[len(found)-1].Check == ocm.FoundSigner; signed != (err == nil) {
		return fmt.Errorf("findings %v with error %w", found, err)
	}
	return err
}
