// SPDX-License-Identifier: Apache-2.0

package ec

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/sign/cert"
)

// secrets answers exactly the identities it has.
type secrets map[string]ocm.Secret

func (s secrets) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if v, ok := s[id.String()]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
}

func identity(algorithm string) string {
	return ocm.Identity{"type": "EC/v1alpha1", "algorithm": algorithm, "signature": "s"}.String()
}

// envWith has one secret for the given algorithms, or all.
func envWith(s ocm.Secret, algorithms ...string) *ocm.Env {
	if len(algorithms) == 0 {
		algorithms = Algorithms
	}
	all := secrets{}
	for _, a := range algorithms {
		all[identity(a)] = s
	}
	return &ocm.Env{Credentials: all}
}

func pairOf(t testing.TB, algorithm string) (private, public string) {
	t.Helper()
	a, b, err := GenerateKeyPair(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return string(a), string(b)
}

func digests() []ocm.Digest {
	return []ocm.Digest{
		{HashAlgorithm: "SHA-256", Value: strings.Repeat("0a", 32)},
		{HashAlgorithm: "SHA-384", Value: strings.Repeat("0b", 48)},
		{HashAlgorithm: "SHA-512", Value: strings.Repeat("0c", 64)},
	}
}

func judge(t testing.TB, s ocm.Secret, sig ocm.Signature) error {
	t.Helper()
	found, err := Handler{}.Verify(t.Context(), envWith(s), sig, ocm.Spec{})
	if err == nil && (len(found) < 2 || found[len(found)-1].Check != ocm.FoundSigner || !strings.HasPrefix(found[len(found)-1].Detail, "the key in publicKeyPEM, SHA-256 ")) {
		t.Errorf("found %v", found)
	}
	return err
}

func spec(t testing.TB, raw string) (s ocm.Spec) {
	t.Helper()
	if err := s.UnmarshalJSON([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	return s
}

func Example() {
	private, public, err := GenerateKeyPair(Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	signer := &ocm.Env{Credentials: secrets{identity(Ed25519): {"privateKeyPEM": string(private)}}}
	verifier := &ocm.Env{Credentials: secrets{identity(Ed25519): {"publicKeyPEM": string(public)}}}

	digest := ocm.Digest{HashAlgorithm: ocm.SHA256, Value: strings.Repeat("ab", 32)}
	v, err := Handler{}.Sign(context.Background(), signer, "s", digest, ocm.Spec{})
	fmt.Println(v.Algorithm, v.MediaType, len(v.Value), err)

	sig := ocm.Signature{Name: "s", Digest: digest, Signature: v}
	found, err := Handler{}.Verify(context.Background(), verifier, sig, ocm.Spec{})
	for _, f := range found {
		what, _, _ := strings.Cut(f.Detail, ",") // the fingerprint is another one each time
		fmt.Println(f.Check+":", what)
	}
	fmt.Println(err)
	// Output:
	// Ed25519 application/vnd.ocm.signature.ed25519 128 <nil>
	// signature value: Ed25519
	// signer: the key in publicKeyPEM
	// <nil>
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	media := map[string]string{P256: MediaTypeECDSA, P384: MediaTypeECDSA, Ed25519: MediaTypeEd25519}
	for _, algorithm := range Algorithms {
		private, public := pairOf(t, algorithm)
		_, other := pairOf(t, algorithm)
		for _, d := range digests() {
			for name, s := range map[string]ocm.Spec{
				"algorithm as type": {Type: algorithm},
				"configured":        spec(t, `{"type":"ECSigningConfiguration/v1alpha1","signatureAlgorithm":"`+algorithm+`","signatureEncodingPolicy":"Plain"}`),
				"by the key":        spec(t, `{"type":"ECSigningConfiguration"}`),
				"no configuration":  {},
			} {
				v, err := Handler{}.Sign(t.Context(), envWith(ocm.Secret{"privateKeyPEM": private}), "s", d, s)
				if err != nil {
					t.Fatalf("%s, %s: %v", algorithm, name, err)
				}
				if v.Algorithm != algorithm || v.MediaType != media[algorithm] || v.Issuer != "" {
					t.Errorf("%s, %s: wrote %v", algorithm, name, v)
				}
				sig := ocm.Signature{Name: "s", Digest: d, Signature: v}
				if err := judge(t, ocm.Secret{"publicKeyPEM": public}, sig); err != nil {
					t.Errorf("%s, %s: %v", algorithm, name, err)
				}
				refused(t, ocm.Secret{"publicKeyPEM": other}, sig, "does not fit")
				sig.Digest.Value = "ff" + d.Value[2:]
				refused(t, ocm.Secret{"publicKeyPEM": public}, sig, "does not fit")
			}
		}
	}
}

func refused(t testing.TB, s ocm.Secret, sig ocm.Signature, text string) {
	t.Helper()
	err := judge(t, s, sig)
	var c *ocm.CheckError
	if !errors.Is(err, ocm.ErrSignature) || !errors.As(err, &c) || c.Check != ocm.FoundValue || !strings.Contains(err.Error(), text) {
		t.Errorf("found %v, expected a refusal of the value with %q", err, text)
	}
}

// Without an algorithm in the configuration the key decides; a key under the wrong name is not used.
func TestAlgorithmFollowsFromTheKey(t *testing.T) {
	t.Parallel()
	p256, _ := pairOf(t, P256)
	p384, public := pairOf(t, P384)
	ed, _ := pairOf(t, Ed25519)
	for name, c := range map[string]struct {
		env  *ocm.Env
		want string
		err  error
		text string
	}{
		"only one is configured":    {envWith(ocm.Secret{"privateKeyPEM": p384}, P384), P384, nil, ""},
		"for all":                   {envWith(ocm.Secret{"privateKeyPEM": ed}), Ed25519, nil, ""},
		"several in a file":         {envWith(ocm.Secret{"privateKeyPEM": ed + p384 + p256}), P256, nil, ""},
		"another than it is for":    {envWith(ocm.Secret{"privateKeyPEM": p256}, P384), "", ocm.ErrInvalid, "no ECDSA-P384 private key in it (PEM blocks: PRIVATE KEY of kind ECDSA-P256)"},
		"a public key":              {envWith(ocm.Secret{"privateKeyPEM": public}, P384), "", ocm.ErrInvalid, "no ECDSA-P384 private key"},
		"none":                      {envWith(ocm.Secret{}, P384), "", ocm.ErrNotFound, "private key not found"},
		"nobody":                    {&ocm.Env{}, "", ocm.ErrNotFound, "algorithm=ECDSA-P256"},
		"credentials cannot be had": {&ocm.Env{Credentials: faulty{}}, "", ocm.ErrDenied, "vault"},
	} {
		v, err := Handler{}.Sign(t.Context(), c.env, "s", digests()[0], ocm.Spec{})
		if v.Algorithm != c.want || !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %q, %v", name, v.Algorithm, err)
		}
	}
}

type faulty struct{}

func (faulty) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	return nil, fmt.Errorf("vault is sealed: %w", ocm.ErrDenied)
}

func TestConfigurationRefused(t *testing.T) {
	t.Parallel()
	private, _ := pairOf(t, P256)
	for raw, text := range map[string]string{
		`{"type":"ECSigningConfiguration","signatureAlgorithm":"ECDSA-P521"}`:     `"ECDSA-P521"`,
		`{"type":"ECSigningConfiguration","signatureAlgorithm":"RSASSA-PSS"}`:     `"RSASSA-PSS"`,
		`{"type":"ECSigningConfiguration","signatureEncodingPolicy":"DER"}`:       `"DER"`,
		`{"type":"RSASigningConfiguration/v1alpha1"}`:                             "RSASigningConfiguration",
		`{"type":"ECSigningConfiguration","signatureEncodingPolicy":"PEM"}`:       "needs certificates",
		`{"type":"ECSigningConfiguration","signatureAlgorithm":["ECDSA","P256"]}`: "",
	} {
		if _, err := (Handler{}).Sign(t.Context(), envWith(ocm.Secret{"privateKeyPEM": private}), "s", digests()[0], spec(t, raw)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// Values that other libraries have taken for signatures.
func TestValuesRefused(t *testing.T) {
	t.Parallel()
	type point struct{ R, S *big.Int }
	der := func(r, s *big.Int) string {
		raw, err := asn1.Marshal(point{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(raw)
	}
	for algorithm, curve := range map[string]elliptic.Curve{P256: elliptic.P256(), P384: elliptic.P384()} {
		private, public := pairOf(t, algorithm)
		secret := ocm.Secret{"publicKeyPEM": public}
		v, err := Handler{}.Sign(t.Context(), envWith(ocm.Secret{"privateKeyPEM": private}), "s", digests()[0], ocm.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := hex.DecodeString(v.Value)
		var good point
		if _, err := asn1.Unmarshal(raw, &good); err != nil {
			t.Fatal(err)
		}
		n := curve.Params().N
		zero, one := big.NewInt(0), big.NewInt(1)
		fixed := hex.EncodeToString(append(good.R.FillBytes(make([]byte, (n.BitLen()+7)/8)), good.S.FillBytes(make([]byte, (n.BitLen()+7)/8))...))
		for name, value := range map[string]string{
			"CVE-2022-21449 zero": der(zero, zero), "r zero": der(zero, good.S), "s zero": der(good.R, zero), "one": der(one, one), "order": der(n, n),
			"r beyond the order": der(new(big.Int).Add(good.R, n), good.S), "negative": der(new(big.Int).Neg(good.R), good.S),
			"not DER, but r and s": fixed, "more at the end": v.Value + "00", "cut": v.Value[:len(v.Value)-2], "empty": "", "not hex": "zz",
			"long": strings.Repeat("30", 100_000),
		} {
			sig := ocm.Signature{Name: name, Digest: digests()[0], Signature: v}
			sig.Name, sig.Signature.Value = "s", value
			if err := judge(t, secret, sig); !errors.Is(err, ocm.ErrSignature) {
				t.Errorf("%s, %s: %v", algorithm, name, err)
			}
		}
		// the algorithm of this media type cannot be guessed
		sig := ocm.Signature{Name: "s", Digest: digests()[0], Signature: v}
		sig.Signature.Algorithm = ""
		refused(t, secret, sig, "expected ECDSA-P256 or ECDSA-P384")
	}
	private, public := pairOf(t, Ed25519)
	secret := ocm.Secret{"publicKeyPEM": public}
	v, err := Handler{}.Sign(t.Context(), envWith(ocm.Secret{"privateKeyPEM": private}), "s", digests()[0], ocm.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := hex.DecodeString(v.Value)
	s := new(big.Int).SetBytes(reversed(raw[32:]))
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	more := reversed(s.Add(s, order).FillBytes(make([]byte, 32)))
	for name, value := range map[string][]byte{
		"zero": make([]byte, 64), "s beyond the order": append(slices.Clone(raw[:32]), more...), "more at the end": append(slices.Clone(raw), 0), "cut": raw[:63], "empty": nil,
	} {
		sig := ocm.Signature{Name: "s", Digest: digests()[0], Signature: v}
		sig.Signature.Value = hex.EncodeToString(value)
		refused(t, secret, sig, "does not fit")
		if name == "empty" { // the media type tells this one
			sig.Signature.Value, sig.Signature.Algorithm = v.Value, ""
			if err := judge(t, secret, sig); err != nil {
				t.Error(err)
			}
		}
	}
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// An Ed25519 signature over the hash of the digest is none over the digest, and the other way round for ECDSA.
func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	sum, _ := hex.DecodeString(digests()[0].Value)
	again := sha256.Sum256(sum)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edPEM, err := cert.EncodeKeyPair(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ecPEM, err := cert.EncodeKeyPair(key)
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public, sum, ed25519.Sign(private, sum)) {
		t.Fatal("ed25519")
	}
	for _, c := range []struct {
		message []byte
		ok      bool
	}{{sum, true}, {again[:], false}} {
		raw, err := ecdsa.SignASN1(rand.Reader, key, c.message)
		if err != nil {
			t.Fatal(err)
		}
		for algorithm, value := range map[string][]byte{Ed25519: ed25519.Sign(private, c.message), P256: raw} {
			text, media := string(edPEM), MediaTypeEd25519
			if algorithm == P256 {
				text, media = string(ecPEM), MediaTypeECDSA
			}
			sig := ocm.Signature{Name: "s", Digest: digests()[0], Signature: ocm.SignatureValue{Algorithm: algorithm, MediaType: media, Value: hex.EncodeToString(value)}}
			if err := judge(t, ocm.Secret{"publicKeyPEM": text}, sig); (err == nil) != c.ok {
				t.Errorf("%s, %x: %v", algorithm, c.message[:2], err)
			}
		}
	}
}

func TestGenerateKeyPair(t *testing.T) {
	t.Parallel()
	for _, algorithm := range Algorithms {
		private, public := pairOf(t, algorithm)
		for _, text := range []string{private, public} {
			if kind, err := cert.Kind([]byte(text)); kind != algorithm {
				t.Errorf("%s is %q, %v", algorithm, kind, err)
			}
		}
	}
	if _, _, err := GenerateKeyPair("RSA"); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("RSA: %v", err)
	}
}

// OpenSSL is the second opinion on keys and signatures, in both directions.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	for algorithm, args := range map[string][]string{
		P256:    {"ecparam", "-name", "prime256v1", "-genkey"},
		P384:    {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		Ed25519: {"genpkey", "-algorithm", "ed25519"},
	} {
		dir := t.TempDir()
		path := func(name string) string { return filepath.Join(dir, name) }
		run := func(args ...string) {
			t.Helper()
			if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
				t.Fatalf("openssl %v: %v: %s", args, err, out)
			}
		}
		run(append(args, "-out", path("key"))...)
		run("pkey", "-in", path("key"), "-pubout", "-out", path("pub"))
		sum, _ := hex.DecodeString(digests()[0].Value)
		if err := os.WriteFile(path("digest"), sum, 0o600); err != nil {
			t.Fatal(err)
		}
		raw := []string{}
		if algorithm == Ed25519 {
			raw = []string{"-rawin"}
		}
		env := envWith(ocm.Secret{"privateKeyPEMFile": path("key"), "publicKeyPEMFile": path("pub")})
		run(append([]string{"pkeyutl", "-sign", "-inkey", path("key"), "-in", path("digest"), "-out", path("theirs")}, raw...)...)
		theirs, err := os.ReadFile(path("theirs"))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := Handler{}.Sign(t.Context(), env, "s", digests()[0], ocm.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		sig := ocm.Signature{Name: "s", Digest: digests()[0], Signature: ours}
		sig.Signature.Value = hex.EncodeToString(theirs)
		if _, err := (Handler{}).Verify(t.Context(), env, sig, ocm.Spec{}); err != nil {
			t.Errorf("%s: openssl's signature: %v", algorithm, err)
		}
		value, _ := hex.DecodeString(ours.Value)
		if err := os.WriteFile(path("ours"), value, 0o600); err != nil {
			t.Fatal(err)
		}
		run(append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", path("pub"), "-in", path("digest"), "-sigfile", path("ours")}, raw...)...)
	}
}

// Whatever the value is, it is judged without a crash, and never good for a digest that was not signed.
func FuzzVerify(f *testing.F) {
	keys := map[string]string{}
	d := digests()[0]
	for _, a := range Algorithms {
		private, public := pairOf(f, a)
		keys[a] = public
		v, err := Handler{}.Sign(f.Context(), envWith(ocm.Secret{"privateKeyPEM": private}), "s", d, ocm.Spec{})
		if err != nil {
			f.Fatal(err)
		}
		raw, _ := hex.DecodeString(v.Value)
		f.Add(v.Algorithm, v.MediaType, v.Value)
		f.Add(v.Algorithm, cert.MediaTypePEM, cert.EncodePEM(v.Algorithm, raw, []*x509.Certificate{}).Value)
		f.Add("", cert.MediaTypePEM, string(pem.EncodeToMemory(&pem.Block{Type: "SIGNATURE", Bytes: raw})))
	}
	all := keys[P256] + keys[P384] + keys[Ed25519]
	f.Fuzz(func(t *testing.T, algorithm, mediaType, value string) {
		sig := ocm.Signature{Name: "s", Digest: d, Signature: ocm.SignatureValue{Algorithm: algorithm, MediaType: mediaType, Value: value}}
		_, err := Handler{}.Verify(t.Context(), envWith(ocm.Secret{"publicKeyPEM": all}), sig, ocm.Spec{})
		if err != nil && !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("error %v", err)
		}
		sig.Digest.Value = strings.Repeat("ff", 32)
		if _, err := (Handler{}).Verify(t.Context(), envWith(ocm.Secret{"publicKeyPEM": all}), sig, ocm.Spec{}); err == nil {
			t.Errorf("%q is good for another digest", value)
		}
	})
}
