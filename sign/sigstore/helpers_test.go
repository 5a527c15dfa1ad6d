// SPDX-License-Identifier: Apache-2.0

package sigstore_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	prototrust "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ocm"
	"ocm/sign/sigstore"
)

// name of the signatures here, and what they are about.
const name = "release"

var digest = ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v3", Value: strings.Repeat("5a", 32)}

func artifactOf(t testing.TB, d ocm.Digest) []byte {
	b, err := hex.DecodeString(d.Value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// secrets are the credentials of signer and verifier; nil: none.
type secrets struct{ signer, verifier ocm.Secret }

func (s secrets) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	found := map[string]ocm.Secret{sigstore.SignerIdentityType: s.signer, sigstore.VerifierIdentityType: s.verifier}[id["type"]]
	if found == nil || id["signature"] != name {
		return nil, ocm.ErrNotFound
	}
	return found, nil
}

// noNetwork is a transport that fails the test.
type noNetwork struct{ t testing.TB }

func (n noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("the network was asked for %s", r.URL)
	return nil, errors.New("no network")
}

func spec(t testing.TB, v any) ocm.Spec {
	t.Helper()
	s, err := ocm.NewSpec(v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trySign(t testing.TB, s secrets, c sigstore.SigningConfig, h sigstore.Handler) (ocm.SignatureValue, error) {
	t.Helper()
	return h.Sign(t.Context(), &ocm.Env{Credentials: s}, name, digest, spec(t, c))
}

func sign(t testing.TB, s secrets, c sigstore.SigningConfig) ocm.SignatureValue {
	t.Helper()
	v, err := trySign(t, s, c, sigstore.Handler{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Algorithm != "Sigstore/v1alpha1" || v.MediaType != "application/vnd.dev.sigstore.bundle.v0.3+json" || v.Issuer != "" {
		t.Errorf("found %s, %s, %q", v.Algorithm, v.MediaType, v.Issuer)
	}
	return v
}

func signatureOf(v ocm.SignatureValue) ocm.Signature {
	return ocm.Signature{Name: name, Digest: digest, Signature: v}
}

func verify(t testing.TB, s secrets, v ocm.SignatureValue, c sigstore.VerificationConfig) ([]ocm.Finding, error) {
	t.Helper()
	return judge(t, s, signatureOf(v), c)
}

func judge(t testing.TB, s secrets, sig ocm.Signature, c sigstore.VerificationConfig) ([]ocm.Finding, error) {
	t.Helper()
	found, err := sigstore.Handler{}.Verify(t.Context(), &ocm.Env{Credentials: s, HTTP: noNetwork{t}}, sig, spec(t, c))
	if err != nil && !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("not an ErrSignature: %v", err)
	}
	if good := slices.ContainsFunc(found, func(f ocm.Finding) bool { return f.Check == ocm.FoundSigner }); good != (err == nil) {
		t.Errorf("findings %v, error %v", found, err)
	}
	return found, err
}

// wantCheck demands the failure of a named check, with words about it.
func wantCheck(t testing.TB, err error, check, text string) {
	t.Helper()
	failed := (*ocm.CheckError)(nil)
	if !errors.As(err, &failed) || failed.Check != check || !strings.Contains(err.Error(), text) {
		t.Errorf("expected the check %q to fail with %q, found %v", check, text, err)
	}
}

func wantFindings(t testing.TB, found []ocm.Finding, checks ...string) {
	t.Helper()
	var names []string
	for _, f := range found {
		if names = append(names, f.Check); f.Detail == "" {
			t.Errorf("%s says nothing", f.Check)
		}
	}
	if !slices.Equal(slices.Compact(names), checks) {
		t.Errorf("expected %q, found %v", checks, found)
	}
}

func noToken(t testing.TB, err error, token string) {
	t.Helper()
	for _, part := range append(strings.Split(token, "."), token) {
		if err != nil && strings.Contains(err.Error(), part) {
			t.Errorf("the token stands in the error: %v", err)
			return
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func certificates(t testing.TB, text string) (out []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// rootParts is what a trusted root knows: chains from the leaf to the root, and logs.
type rootParts struct {
	cas, tsas     [][]*x509.Certificate
	logs, ctLogs  []logPart
	caEnd, tsaEnd time.Time // zero: no end
}

type logPart struct {
	url string
	key crypto.PublicKey
	id  []byte
	end time.Time
}

func trustedRoot(t testing.TB, p rootParts) string {
	t.Helper()
	r := &prototrust.TrustedRoot{MediaType: root.TrustedRootMediaType01}
	for _, c := range p.cas {
		r.CertificateAuthorities = append(r.CertificateAuthorities, authority("https://fulcio.lab", c, p.caEnd))
	}
	for i, c := range p.tsas {
		r.TimestampAuthorities = append(r.TimestampAuthorities, authority(fmt.Sprintf("https://tsa%d.lab", i), c, p.tsaEnd))
	}
	r.Tlogs, r.Ctlogs = logs(t, p.logs), logs(t, p.ctLogs)
	raw, err := protojson.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func span(end time.Time) *protocommon.TimeRange {
	r := &protocommon.TimeRange{Start: timestamppb.New(time.Now().Add(-100 * time.Hour))}
	if !end.IsZero() {
		r.End = timestamppb.New(end)
	}
	return r
}

func authority(uri string, chain []*x509.Certificate, end time.Time) *prototrust.CertificateAuthority {
	a := &prototrust.CertificateAuthority{Uri: uri, CertChain: &protocommon.X509CertificateChain{}, ValidFor: span(end)}
	for _, c := range chain {
		a.CertChain.Certificates = append(a.CertChain.Certificates, &protocommon.X509Certificate{RawBytes: c.Raw})
	}
	return a
}

func logs(t testing.TB, parts []logPart) (out []*prototrust.TransparencyLogInstance) {
	for _, l := range parts {
		der, err := x509.MarshalPKIXPublicKey(l.key)
		if err != nil {
			t.Fatal(err)
		}
		details := protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
		if _, ok := l.key.(ed25519.PublicKey); ok {
			details = protocommon.PublicKeyDetails_PKIX_ED25519
		}
		out = append(out, &prototrust.TransparencyLogInstance{BaseUrl: l.url, HashAlgorithm: protocommon.HashAlgorithm_SHA2_256, LogId: &protocommon.LogId{KeyId: l.id},
			PublicKey: &protocommon.PublicKey{RawBytes: der, KeyDetails: details, ValidFor: span(l.end)}})
	}
	return out
}

// checkpointID is the id that a log of tiles has by its name and key.
func checkpointID(t testing.TB, origin string, key crypto.PublicKey) []byte {
	t.Helper()
	_, id, err := note.KeyHash(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// lab is a Sigstore installation in memory, every part of which can be told to lie.
type lab struct {
	*ca.VirtualSigstore                     // its log
	chain               []*x509.Certificate // of the certificate authority
	key                 *ecdsa.PrivateKey   // of chain[0]
	tsa                 []*x509.Certificate
	tsaKey              *ecdsa.PrivateKey // of tsa[0]
}

// The signer that everybody expects.
const (
	alice         = "alice@example.com"
	trustedIssuer = "https://issuer.lab"
)

func newLab(t testing.TB) *lab {
	t.Helper()
	v, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{VirtualSigstore: v}
	l.chain, l.key = newAuthority(t, time.Now().Add(2*time.Hour))
	l.tsa, l.tsaKey = newTSA(t)
	return l
}

// newAuthority makes an intermediate that ends then, under a root that does not.
func newAuthority(t testing.TB, end time.Time) ([]*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	top, topKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	c := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "intermediate"}, NotBefore: time.Now().Add(-4 * time.Hour), NotAfter: end,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true, IsCA: true}, top, &key.PublicKey, topKey)
	return []*x509.Certificate{c, top}, key
}

func newTSA(t testing.TB) ([]*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	top, topKey, err1 := ca.GenerateRootCa()
	middle, middleKey, err2 := ca.GenerateTSAIntermediate(top, topKey)
	key := newKey(t)
	leaf, err3 := ca.GenerateTSALeafCert(time.Now().Add(-time.Minute), key, middle, middleKey)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{leaf, middle, top}, key
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t testing.TB, c, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	if c.SerialNumber == nil {
		c.SerialNumber = big.NewInt(time.Now().UnixNano())
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// log is the lab's log as a trusted root knows it.
func (l *lab) log(t testing.TB) logPart {
	for id, log := range l.RekorLogs() {
		raw, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		return logPart{url: log.BaseURL, key: log.PublicKey, id: raw}
	}
	t.Fatal("no log")
	return logPart{}
}

func (l *lab) parts(t testing.TB) rootParts {
	return rootParts{cas: [][]*x509.Certificate{l.chain}, tsas: [][]*x509.Certificate{l.tsa}, logs: []logPart{l.log(t)}}
}

func (l *lab) root(t testing.TB) string { return trustedRoot(t, l.parts(t)) }

func (l *lab) trust(t testing.TB) secrets {
	return secrets{verifier: ocm.Secret{"trustedRootJSON": l.root(t)}}
}

// leaf certifies alice for ten minutes; change may have it otherwise.
func (l *lab) leaf(t testing.TB, key crypto.PublicKey, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{EmailAddresses: []string{alice}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(9 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(trustedIssuer)}}}
	c.SerialNumber, c.PublicKey = big.NewInt(time.Now().UnixNano()), key
	if change != nil {
		change(c)
	}
	return issue(t, c, l.chain[0], key, l.key)
}

// entry publishes a signature in the lab's log.
func (l *lab) entry(t testing.TB, signer *pem.Block, hash, signature []byte, at time.Time) *protorekor.TransparencyLogEntry {
	t.Helper()
	body, err := json.Marshal(map[string]any{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
		"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(hash)}},
		"signature": map[string]any{"content": signature, "publicKey": map[string]any{"content": pem.EncodeToMemory(signer)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	log := l.log(t)
	promise, err := l.RekorSignPayload(tlog.RekorPayload{Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: at.Unix(), LogIndex: 1000, LogID: hex.EncodeToString(log.id)})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := l.GetInclusionProof(body)
	if err != nil {
		t.Fatal(err)
	}
	top, err := hex.DecodeString(*proof.RootHash)
	if err != nil {
		t.Fatal(err)
	}
	return &protorekor.TransparencyLogEntry{LogIndex: 1000, LogId: &protocommon.LogId{KeyId: log.id}, IntegratedTime: at.Unix(), CanonicalizedBody: body,
		KindVersion:      &protorekor.KindVersion{Kind: "hashedrekord", Version: "0.0.1"},
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: promise},
		InclusionProof:   &protorekor.InclusionProof{LogIndex: *proof.LogIndex, TreeSize: *proof.TreeSize, RootHash: top, Checkpoint: &protorekor.Checkpoint{Envelope: *proof.Checkpoint}}}
}

func (l *lab) stamp(t testing.TB, signature []byte) *protocommon.RFC3161SignedTimestamp {
	t.Helper()
	h := sha256.Sum256(signature)
	return &protocommon.RFC3161SignedTimestamp{SignedTimestamp: l.date(t, h[:], nil, time.Now())}
}

// date is the answer of the lab's timestamp authority.
func (l *lab) date(t testing.TB, hash []byte, nonce *big.Int, at time.Time) []byte {
	t.Helper()
	s := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: hash, Nonce: nonce, Time: at, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}}
	raw, err := s.CreateResponseWithOpts(l.tsa[0], l.tsaKey, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// made is a bundle and what it was made of.
type made struct {
	*protobundle.Bundle
	key  *ecdsa.PrivateKey
	leaf *x509.Certificate
}

// make signs content as alice: certified, published and dated.
func (l *lab) make(t testing.TB, content []byte, change func(*x509.Certificate)) made {
	t.Helper()
	m := made{key: newKey(t)}
	m.leaf = l.leaf(t, &m.key.PublicKey, change)
	hash := sha256.Sum256(content)
	sig, err := ecdsa.SignASN1(rand.Reader, m.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	m.Bundle = &protobundle.Bundle{MediaType: sigstore.MediaType,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: hash[:]}, Signature: sig}},
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content:                   &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: m.leaf.Raw}},
			TlogEntries:               []*protorekor.TransparencyLogEntry{l.entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: m.leaf.Raw}, hash[:], sig, time.Now())},
			TimestampVerificationData: &protobundle.TimestampVerificationData{Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{l.stamp(t, sig)}},
		}}
	return m
}

// value is the bundle as the value of a signature.
func (m made) value(t testing.TB) ocm.SignatureValue {
	t.Helper()
	raw, err := protojson.Marshal(m.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	return ocm.SignatureValue{Algorithm: sigstore.Algorithm, MediaType: sigstore.MediaType, Value: base64.StdEncoding.EncodeToString(raw)}
}

func expectAlice() sigstore.VerificationConfig {
	return sigstore.VerificationConfig{Type: "SigstoreVerificationConfiguration/v1alpha1", Issuer: trustedIssuer, Identity: alice}
}

// pair is a key pair in PEM form.
type pair struct{ private, public string }

func pairOf(t testing.TB, key crypto.Signer) pair {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))}
}

func keyPairs(t testing.TB) map[string]pair {
	t.Helper()
	p384, err1 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, err2 := ed25519.GenerateKey(rand.Reader)
	long, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return map[string]pair{"P-256": pairOf(t, newKey(t)), "P-384": pairOf(t, p384), "Ed25519": pairOf(t, ed), "RSA": pairOf(t, long)}
}

// issuer is an OIDC issuer whose users are always logged in.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey
	// What the last login asked for.
	asked url.Values
	// change may spoil what the token endpoint answers.
	change func(map[string]any)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{key: newKey(t)}
	mux := http.NewServeMux()
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	answer := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		point, err := i.key.PublicKey.Bytes()
		if err != nil {
			t.Error(err)
		}
		answer(w, map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": b64(point[1:33]), "y": b64(point[33:])}}})
	})
	mux.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
		i.asked = r.URL.Query()
		http.Redirect(w, r, i.asked.Get("redirect_uri")+"?"+url.Values{"code": {"the code"}, "state": {i.asked.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if r.PostFormValue("code") != "the code" || b64(challenge[:]) != i.asked.Get("code_challenge") || r.PostFormValue("redirect_uri") != i.asked.Get("redirect_uri") {
			http.Error(w, "this is not who asked", http.StatusForbidden)
			return
		}
		v := map[string]any{"id_token": i.token(alice, time.Now().Add(time.Minute), i.asked.Get("nonce"))}
		if i.change != nil {
			i.change(v)
		}
		answer(w, v)
	})
	return i
}

// token makes an identity token.
func (i *issuer) token(email string, expires time.Time, nonce string) string {
	c, err := json.Marshal(map[string]any{"iss": i.URL, "aud": "sigstore", "sub": email, "email": email, "email_verified": true, "iat": time.Now().Unix(), "exp": expires.Unix(), "nonce": nonce})
	if err != nil {
		panic(err)
	}
	text := b64([]byte(`{"alg":"ES256","kid":"1","typ":"JWT"}`)) + "." + b64(c)
	h := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, h[:])
	if err != nil {
		panic(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + b64(sig)
}
