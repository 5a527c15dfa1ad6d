// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/graph"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/memory"
)

// bench is a component version in memory, and a folder to exchange files with other tools in.
type bench struct {
	t    *testing.T
	dir  string
	env  *ocm.Env
	repo ocm.Repository
}

const benchName, benchVersion = "acme.org/signed", "1.0.0"

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), env: &ocm.Env{Job: ocm.NewJob(2)}}
	b.repo = oci.NewRepository(memory.New(), b.env)
	draft, err := b.repo.Draft(t.Context(), benchName, benchVersion, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := draft.Add(t.Context(), blob.Bytes("text/plain", []byte("content")), "")
	if err != nil {
		t.Fatal(err)
	}
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: benchName, Version: benchVersion, Provider: "acme.org"}}
	d.Component.Resources = []ocm.Resource{{Element: ocm.Element{Name: "text", Version: "1"}, Type: "plainText", Relation: "local", Access: s.Access}}
	if _, err := draft.Commit(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	b.sign("first", graph.SignOptions{}, "RSA/v1alpha1", ocm.Secret{"privateKeyPEM": newParty().pkcs1()}) // fills in the digests
	return b
}

// know makes a secret that of all signatures of one kind.
func (b *bench) know(identity string, secret ocm.Secret) {
	b.env.Credentials = credentials.Static(credentials.Entry{Identity: ocm.Identity{"type": identity}, Secret: secret})
}

func (b *bench) sign(name string, o graph.SignOptions, identity string, secret ocm.Secret) ocm.Signature {
	b.t.Helper()
	o.Name = name
	b.know(identity, secret)
	s, err := b.trySign(o)
	if err != nil {
		b.t.Fatal(err)
	}
	return *s
}

func (b *bench) trySign(o graph.SignOptions) (*ocm.Signature, error) {
	return graph.Sign(b.t.Context(), builtin.Kit(), b.env, b.repo.Open, b.repo, benchName, benchVersion, o)
}

func (b *bench) open() ocm.Version {
	b.t.Helper()
	v, err := b.repo.Open(b.t.Context(), benchName, benchVersion)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// attach adds a signature that another tool made.
func (b *bench) attach(s ocm.Signature) {
	b.t.Helper()
	v := b.open()
	draft, err := b.repo.Draft(b.t.Context(), benchName, benchVersion, v)
	if err != nil {
		b.t.Fatal(err)
	}
	d := v.Descriptor().Clone()
	d.Signatures = append(d.Signatures, s)
	if _, err := draft.Commit(b.t.Context(), d); err != nil {
		b.t.Fatal(err)
	}
}

// verify verifies the version in full, by one signature.
func (b *bench) verify(name, identity string, secret ocm.Secret) error {
	b.t.Helper()
	b.know(identity, secret)
	rep, err := graph.Verify(b.t.Context(), builtin.Kit(), b.env, b.repo.Open, b.open(), graph.VerifyOptions{Signatures: []string{name}})
	if err != nil {
		b.t.Fatal(err)
	}
	return rep.Err()
}

// digest is what is to be signed, and its bytes in a file.
func (b *bench) digest() (ocm.Digest, string) {
	b.t.Helper()
	d, err := normalise.Digest(b.open().Descriptor(), ocm.SHA256, normalise.V3)
	if err != nil {
		b.t.Fatal(err)
	}
	sum, err := hex.DecodeString(d.Value)
	if err != nil {
		b.t.Fatal(err)
	}
	return d, b.write("digest", string(sum))
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(name, content string) string {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.path(name)
}

func (b *bench) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// peerKey is an algorithm, as OpenSSL calls what it needs.
type peerKey struct {
	algorithm, mediaType, identity string
	generate, use                  []string
}

func peerKeys() []peerKey {
	rsa := []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}
	return []peerKey{
		{"RSASSA-PSS", "application/vnd.ocm.signature.rsa.pss", "RSA/v1alpha1", rsa, []string{"-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:max"}},
		{"RSASSA-PKCS1-V1_5", "application/vnd.ocm.signature.rsa", "RSA/v1alpha1", rsa, []string{"-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pkcs1"}},
		{"ECDSA-P256", "application/vnd.ocm.signature.ecdsa", "EC/v1alpha1", []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, []string{"-pkeyopt", "digest:sha256"}},
		{"ECDSA-P384", "application/vnd.ocm.signature.ecdsa", "EC/v1alpha1", []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}, nil},
		{"Ed25519", "application/vnd.ocm.signature.ed25519", "EC/v1alpha1", []string{"-algorithm", "ed25519"}, []string{"-rawin"}},
	}
}

// OpenSSL, with keys that it made: it verifies what is signed here, over bytes that it hashed itself, and
// what it signs verifies here.
func TestOpenSSLSignsAndVerifies(t *testing.T) {
	openssl := tool(t, "openssl")
	for _, k := range peerKeys() {
		t.Run(k.algorithm, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			run(t, openssl, append([]string{"genpkey", "-out", b.path("key")}, k.generate...)...)
			run(t, openssl, "pkey", "-in", b.path("key"), "-pubout", "-out", b.path("pub"))
			secret := ocm.Secret{"privateKeyPEM": b.read("key"), "publicKeyPEM": b.read("pub")}

			ours := b.sign("ours", graph.SignOptions{Algorithm: k.algorithm}, k.identity, secret)
			if ours.Signature.Algorithm != k.algorithm || ours.Signature.MediaType != k.mediaType {
				t.Errorf("signed: %+v", ours.Signature)
			}
			raw, err := hex.DecodeString(ours.Signature.Value)
			if err != nil {
				t.Fatal(err)
			}
			normal, err := normalise.Normalise(b.open().Descriptor(), ours.Digest.NormalisationAlgorithm)
			if err != nil {
				t.Fatal(err)
			}
			run(t, openssl, "dgst", "-sha256", "-binary", "-out", b.path("hashed"), b.write("normal", string(normal)))
			run(t, openssl, append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", b.path("pub"), "-in", b.path("hashed"), "-sigfile", b.write("ours.sig", string(raw))}, k.use...)...)

			d, file := b.digest()
			run(t, openssl, append([]string{"pkeyutl", "-sign", "-inkey", b.path("key"), "-in", file, "-out", b.path("theirs.sig")}, k.use...)...)
			b.attach(ocm.Signature{Name: "theirs", Digest: d, Signature: ocm.SignatureValue{Algorithm: k.algorithm, MediaType: k.mediaType, Value: hex.EncodeToString([]byte(b.read("theirs.sig")))}})
			public := ocm.Secret{"publicKeyPEM": b.read("pub")}
			for _, name := range []string{"ours", "theirs"} {
				if err := b.verify(name, k.identity, public); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			run(t, openssl, append([]string{"genpkey", "-out", b.path("other")}, k.generate...)...)
			run(t, openssl, "pkey", "-in", b.path("other"), "-pubout", "-out", b.path("otherpub"))
			if err := b.verify("theirs", k.identity, ocm.Secret{"publicKeyPEM": b.read("otherpub")}); !errors.Is(err, ocm.ErrSignature) {
				t.Errorf("with another key: %v", err)
			}
		})
	}
}

// Certificates that OpenSSL gave out go into a PEM value, where OpenSSL finds a good chain again; and a
// PEM value that is put together of OpenSSL's parts verifies here.
func TestOpenSSLCertificates(t *testing.T) {
	t.Parallel()
	openssl := tool(t, "openssl")
	b := newBench(t)
	extensions := b.write("extensions", "[inter]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n[leaf]\nbasicConstraints=CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n")
	run(t, openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", b.path("root.key"), "-out", b.path("root"), "-days", "2", "-subj", "/O=Acme/CN=Root", "-addext", "keyUsage=critical,keyCertSign")
	for _, step := range [][2]string{{"inter", "root"}, {"leaf", "inter"}} {
		name, by := step[0], step[1]
		run(t, openssl, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", b.path(name+".key"), "-out", b.path(name+".csr"), "-subj", "/O=Acme/CN="+name)
		run(t, openssl, "x509", "-req", "-in", b.path(name+".csr"), "-CA", b.path(by), "-CAkey", b.path(by+".key"), "-CAcreateserial", "-days", "2", "-extfile", extensions, "-extensions", name, "-out", b.path(name))
	}
	spec, err := ocm.NewSpec(map[string]string{"type": "RSASigningConfiguration/v1alpha1", "signatureEncodingPolicy": "PEM"})
	if err != nil {
		t.Fatal(err)
	}
	full := ocm.Secret{"privateKeyPEM": b.read("leaf.key"), "publicKeyPEM": b.read("leaf") + b.read("inter") + b.read("root")}
	ours := b.sign("ours", graph.SignOptions{Spec: spec}, "RSA/v1alpha1", full)
	block, chain := pem.Decode([]byte(ours.Signature.Value))
	_, rest := pem.Decode(chain)
	run(t, openssl, "verify", "-CAfile", b.path("root"), "-untrusted", b.write("untrusted", string(rest)), b.write("ours.pem", string(chain)))
	b.write("pub", run(t, openssl, "x509", "-in", b.path("ours.pem"), "-pubkey", "-noout"))
	pss := []string{"-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pss"}
	d, file := b.digest()
	run(t, openssl, append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", b.path("pub"), "-in", file, "-sigfile", b.write("ours.sig", string(block.Bytes))}, pss...)...)

	run(t, openssl, append([]string{"pkeyutl", "-sign", "-inkey", b.path("leaf.key"), "-in", file, "-out", b.path("raw")}, pss...)...)
	value := "-----BEGIN SIGNATURE-----\nSignature Algorithm: RSASSA-PSS\n\n" + run(t, openssl, "base64", "-in", b.path("raw")) + "-----END SIGNATURE-----\n" + b.read("leaf") + b.read("inter")
	b.attach(ocm.Signature{Name: "theirs", Digest: d, Signature: ocm.SignatureValue{Algorithm: "RSASSA-PSS", MediaType: "application/x-pem-file", Value: value}})
	for _, name := range []string{"ours", "theirs"} {
		if err := b.verify(name, "RSA/v1alpha1", ocm.Secret{"caCertPEM": b.read("root")}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := b.verify(name, "RSA/v1alpha1", ocm.Secret{"caCertPEM": certs(newParty().root)}); !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%s by another authority: %v", name, err)
		}
	}
}

// GnuPG, with a key that it made.
func TestGnuPGSignsAndVerifies(t *testing.T) {
	t.Parallel()
	gpg := tool(t, "gpg")
	b := newBench(t)
	home, err := os.MkdirTemp("", "gpg") // short: sockets live in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() })
	ask := func(args ...string) {
		t.Helper()
		run(t, gpg, append([]string{"--homedir", home, "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "secret words"}, args...)...)
	}
	ask("--quick-generate-key", "Test <test@example.com>", "ed25519", "sign", "1d")
	ask("--armor", "--output", b.path("private"), "--export-secret-keys")
	ask("--armor", "--output", b.path("public"), "--export")
	d, file := b.digest()
	ours := b.sign("ours", graph.SignOptions{Algorithm: "GPG"}, "GPG/v1alpha1", ocm.Secret{"privateKeyPGP": b.read("private"), "passphrase": "secret words"})
	ask("--verify", b.write("ours.asc", ours.Signature.Value), file)
	ask("--armor", "--output", b.path("theirs.asc"), "--detach-sign", file)
	b.attach(ocm.Signature{Name: "theirs", Digest: d, Signature: ocm.SignatureValue{Algorithm: "GPG", MediaType: "application/vnd.ocm.signature.gpg", Value: b.read("theirs.asc")}})
	for _, name := range []string{"ours", "theirs"} {
		if err := b.verify(name, "GPG/v1alpha1", ocm.Secret{"publicKeyPGP": b.read("public")}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.write("digest", strings.Repeat("x", 32))
	if err := exec.Command(gpg, "--homedir", home, "--batch", "--verify", b.path("ours.asc"), file).Run(); err == nil {
		t.Error("GnuPG finds our signature good over another digest")
	}
}
