// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ocm"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/descriptor"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/normalise"
)

// What is signed and accepted, as docs/compatibility.md tells it. The rows about canonical bytes are in
// normalise/signing_table_test.go, those about the encodings of signatures in internal/interop.

// Which signature was made by which key, in all archives of both existing tools.
var goldenSignatures = map[string]map[string][]string{
	"golden.example/app": {
		"v1": {"pkcs1", "pss-plain"}, "v1-copied": {"pkcs1", "pss-plain"}, "v1-copied.tar": {"pkcs1", "pss-plain"}, "v1-copied.tgz": {"pkcs1", "pss-plain"},
		"v2": {"gpg", "pkcs1", "pss-pem", "pss-plain"}, "v2n": {"gpg", "pkcs1", "pss-pem", "pss-plain"}, "v2n-copied": {"gpg", "pkcs1", "pss-pem", "pss-plain"},
	},
	"golden.example/lib": {"v1": {"plain"}, "v1-copied": {"plain"}, "v1-copied.tar": {"plain"}, "v1-copied.tgz": {"plain"}, "v2": nil, "v2n": nil, "v2n-copied": nil},
}

// Every golden signature is good with the key that made it, and with no other key, nor with none.
func TestGoldenSignaturesAndTheirKeys(t *testing.T) {
	t.Parallel()
	right := goldenEnv(t)
	_, stranger := testKey()
	otherCA, otherPGP := strangers(t, right.Time())
	plain := ocm.Secret{"publicKeyPEM": string(stranger)}
	wrong, none := *right, *right
	wrong.Credentials = credentials.Static(
		credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1"}, Secret: plain},
		credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1", "signature": "pss-pem"}, Secret: ocm.Secret{"caCertPEM": otherCA}},
		credentials.Entry{Identity: ocm.Identity{"type": "GPG/v1alpha1"}, Secret: ocm.Secret{"publicKeyPGP": otherPGP}},
	)
	none.Credentials = nil
	for component, archives := range goldenSignatures {
		for archive, signatures := range archives {
			r := openGolden(t, right, golden+archive)
			v, err := r.Open(t.Context(), component, "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, s := range v.Descriptor().Signatures {
				found = append(found, s.Name)
			}
			if slices.Sort(found); !slices.Equal(found, signatures) {
				t.Errorf("%s in %s: signatures %v, expected %v", component, archive, found, signatures)
			}
			for _, name := range signatures {
				for who, env := range map[string]*ocm.Env{"right key": right, "wrong key": &wrong, "no key": &none} {
					rep, err := graph.Verify(t.Context(), builtin.Kit(), env, r.Open, v, graph.VerifyOptions{Shallow: true, Signatures: []string{name}})
					if err == nil {
						err = rep.Err()
					}
					if env == right && err != nil || env != right && !errors.Is(err, ocm.ErrSignature) {
						t.Errorf("%s in %s, signature %s, %s: %v", component, archive, name, who, err)
					}
				}
			}
		}
	}
}

// strangers are an authority and an OpenPGP key that have nothing to do with the golden signatures.
func strangers(t *testing.T, now time.Time) (ca, pgp string) {
	t.Helper()
	config := &packet.Config{Time: func() time.Time { return now.AddDate(-1, 0, 0) }}
	entity, err := openpgp.NewEntity("Stranger", "", "stranger@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	var armored strings.Builder
	w, err := armor.Encode(&armored, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(entity.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Stranger"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), armored.String()
}

// What is signed when nobody says otherwise.
func TestSignedByDefault(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.put("new", func(d *ocm.Descriptor) {
		ref := l.reference("leaf")
		ref.Digest = nil
		d.Component.References = []ocm.Reference{ref}
		d.Component.Resources[0].Digest = nil
	})
	l.sign("new", graph.SignOptions{})
	d := l.open("new").Descriptor()
	s := d.Signatures[0]
	for what, c := range map[string]struct{ found, want string }{
		"name":               {s.Name, "default"},
		"normalisation":      {s.Digest.NormalisationAlgorithm, "jsonNormalisation/v3"},
		"hash":               {s.Digest.HashAlgorithm, "SHA-256"},
		"algorithm":          {s.Signature.Algorithm, "RSASSA-PSS"},
		"media type":         {s.Signature.MediaType, "application/vnd.ocm.signature.rsa.pss"},
		"issuer":             {s.Signature.Issuer, ""},
		"digest of a blob":   {d.Component.Resources[0].Digest.NormalisationAlgorithm, "genericBlobDigest/v1"},
		"reference's digest": {d.Component.References[0].Digest.NormalisationAlgorithm, "jsonNormalisation/v3"},
		"reference's hash":   {d.Component.References[0].Digest.HashAlgorithm, "SHA-256"},
	} {
		if c.found != c.want {
			t.Errorf("%s: %q, expected %q", what, c.found, c.want)
		}
	}
	if s.Timestamp != nil {
		t.Errorf("a timestamp that nobody asked for: %+v", s.Timestamp)
	}
	for what, value := range map[string]string{"digest": s.Digest.Value, "signature": s.Signature.Value} {
		if !regexp.MustCompile(`^[0-9a-f]{64,}$`).MatchString(value) {
			t.Errorf("%s is not plain hex in lower case: %s", what, value)
		}
	}
}

// A signature that does not name its algorithm is nobody's to judge, though its media type may tell.
func TestAlgorithmMustBeNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "RSASSA-PSS ", "rsassa-pss", "jsonNormalisation/v3"} {
		l := newLab(t)
		l.tamper("root", func(d *ocm.Descriptor) { d.Signatures[0].Signature.Algorithm = name })
		if _, err := l.verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrSignature) || !errors.Is(err, ocm.ErrUnknownType) {
			t.Errorf("algorithm %q: %v", name, err)
		}
	}
}

// The name of an artifact's digest, by the kind of content: ociArtifactDigest/v1 is written, since
// with that name the older tool recomputes it; the newer one's name for the same value is
// accepted. TestDigestAlgorithms has all combinations, construct.TestDigests what packing writes.
func TestNamesOfArtifactDigests(t *testing.T) {
	t.Parallel()
	img := fixture.Image("layer")
	d, err := graph.NewDigest(t.Context(), img, ocm.SHA256)
	if err != nil || d.NormalisationAlgorithm != "ociArtifactDigest/v1" || d.Value != img.Root.Digest.Encoded() {
		t.Fatalf("written: %s, %v", &d, err)
	}
	for name, kind := range map[string]error{
		"ociArtifactDigest/v1": nil, "ociArtefactDigest/v1": nil, "genericBlobDigest/v1": nil,
		"OCIArtifactDigest/v1": ocm.ErrUnknownType, "ociArtifactDigest": ocm.ErrUnknownType, "": ocm.ErrUnknownType,
	} {
		d.NormalisationAlgorithm = name
		if err := graph.Check(t.Context(), img, d); !errors.Is(err, kind) {
			t.Errorf("%q: expected %v, found %v", name, kind, err)
		}
	}
}

// Signing what another tool built and signed: no digest is rewritten, whatever its name, or the
// signatures that are there would break; and all of them, of three algorithms and two
// normalisations by three signers, are good afterwards, each judged by its own handler.
func TestSigningBesideOtherTools(t *testing.T) {
	for archive, others := range map[string]int{"v1-copied": 2, "v2n-copied": 4} {
		t.Run(archive, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(golden+archive)); err != nil {
				t.Fatal(err)
			}
			private, public := testKey()
			env := goldenEnv(t)
			env.Credentials = credentials.Overlay(credentials.Static(credentials.Entry{
				Identity: ocm.Identity{"type": "RSA/v1alpha1", "signature": "ours"},
				Secret:   ocm.Secret{"privateKeyPEM": string(private), "publicKeyPEM": string(public)},
			}), env.Credentials)
			r := openGolden(t, env, dir)
			component := func() (ocm.Version, []byte) {
				v, err := r.Open(t.Context(), "golden.example/app", "1.0.0")
				if err != nil {
					t.Fatal(err)
				}
				d := v.Descriptor().Clone()
				d.Signatures = nil
				raw, err := descriptor.JSON(d)
				if err != nil {
					t.Fatal(err)
				}
				return v, raw
			}
			_, before := component()
			if _, err := graph.Sign(t.Context(), builtin.Kit(), env, r.Open, r, "golden.example/app", "1.0.0", graph.SignOptions{Name: "ours"}); err != nil {
				t.Fatal(err)
			}
			v, after := component()
			if !bytes.Equal(before, after) {
				t.Errorf("signing changed the component:\n%s\n%s", before, after)
			}
			rep, err := graph.Verify(t.Context(), builtin.Kit(), env, r.Open, v, graph.VerifyOptions{})
			if err != nil || rep.Err() != nil {
				t.Fatal(err, rep.Err())
			}
			algorithms, names := map[string]bool{}, map[string]bool{}
			for _, s := range v.Descriptor().Signatures {
				algorithms[s.Signature.Algorithm+" "+s.Signature.MediaType] = true
				names[s.Digest.NormalisationAlgorithm] = true
			}
			if len(v.Descriptor().Signatures) != others+1 || len(algorithms) != others || !names[normalise.V3] {
				t.Errorf("signatures of %v over %v", slices.Collect(maps.Keys(algorithms)), slices.Collect(maps.Keys(names)))
			}
		})
	}
}
