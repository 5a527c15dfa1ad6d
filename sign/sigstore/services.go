// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/digitorus/timestamp"
	jsonv2 "github.com/go-json-experiment/json"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"ocm"
)

// certify asks Fulcio (API v2) for a certificate of the key. The request is signed by the key itself.
func (m *maker) certify(ctx context.Context, token string) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, m.key)
	if err != nil {
		return nil, err
	}
	body, err := jsonv2.Marshal(map[string][]byte{"certificateSigningRequest": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})})
	if err != nil {
		return nil, err
	}
	a, err := m.do(ctx, request{what: "certificate authority", method: http.MethodPost, url: join(m.at.fulcio, "/api/v2/signingCert"),
		contentType: "application/json", body: body, token: token}, http.StatusOK, http.StatusCreated)
	if err != nil {
		return nil, err
	}
	type chain struct {
		Chain struct {
			Certificates []string `json:"certificates"`
		} `json:"chain"`
	}
	var r struct {
		Embedded chain `json:"signedCertificateEmbeddedSct"`
		Detached chain `json:"signedCertificateDetachedSct"`
	}
	if err := jsonv2.Unmarshal(a.body, &r); err != nil {
		return nil, fmt.Errorf("certificate authority %s: answer: %v: %w", m.at.fulcio, err, ocm.ErrInvalid)
	}
	// The signer's stands first.
	if all := slices.Concat(r.Embedded.Chain.Certificates, r.Detached.Chain.Certificates); len(all) > 0 {
		if block, _ := pem.Decode([]byte(all[0])); block != nil {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil && m.ours(c) {
				return c.Raw, nil
			}
		}
	}
	return nil, fmt.Errorf("certificate authority %s answers without a certificate of our key: %w", m.at.fulcio, ocm.ErrInvalid)
}

func (m *maker) ours(c *x509.Certificate) bool {
	k, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(m.key.Public())
}

// stamp asks a timestamp server (RFC 3161) to date a signature. The answer is for this question, whether it is to be
// trusted is judged later.
func (m *maker) stamp(ctx context.Context, url string, signature []byte) ([]byte, error) {
	sum := sha256.Sum256(signature)
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	q := timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Certificates: true, Nonce: nonce}
	body, err := q.Marshal()
	if err != nil {
		return nil, err
	}
	a, err := m.do(ctx, request{what: "timestamp server", method: http.MethodPost, url: url, contentType: "application/timestamp-query", body: body}, http.StatusOK, http.StatusCreated)
	if err != nil {
		return nil, err
	}
	t, err := timestamp.ParseResponse(a.body)
	if err != nil {
		return nil, fmt.Errorf("timestamp server %s: answer: %v: %w", url, err, ocm.ErrInvalid)
	}
	if !bytes.Equal(t.HashedMessage, sum[:]) || t.Nonce == nil || t.Nonce.Cmp(nonce) != 0 {
		return nil, fmt.Errorf("timestamp server %s answers another question: %w", url, ocm.ErrInvalid)
	}
	return a.body, nil
}

// publish puts the signature into a log.
func (m *maker) publish(ctx context.Context, l log) (*protorekor.TransparencyLogEntry, error) {
	var e *protorekor.TransparencyLogEntry
	var err error
	if l.version == 1 {
		e, err = m.publishV1(ctx, l.url)
	} else {
		e, err = m.publishV2(ctx, l.url)
	}
	if err != nil {
		return nil, fmt.Errorf("transparency log %s (API version %d): %w", l.url, l.version, err)
	}
	return e, nil
}

// publishV2 speaks to logs of tiles. A second entry for a signature that is there already is refused by them; that
// happens only with keys whose signatures are always the same.
func (m *maker) publishV2(ctx context.Context, base string) (*protorekor.TransparencyLogEntry, error) {
	verifier := map[string]any{"keyDetails": m.details.GetSignatureAlgorithm().String()}
	if c := m.bundle.VerificationMaterial.GetCertificate(); c != nil {
		verifier["x509Certificate"] = map[string]any{"rawBytes": c.GetRawBytes()}
	} else {
		der, err := x509.MarshalPKIXPublicKey(m.key.Public())
		if err != nil {
			return nil, err
		}
		verifier["publicKey"] = map[string]any{"rawBytes": der}
	}
	sig := m.bundle.GetMessageSignature()
	body, err := jsonv2.Marshal(map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest":    sig.GetMessageDigest().GetDigest(),
		"signature": map[string]any{"content": sig.GetSignature(), "verifier": verifier},
	}})
	if err != nil {
		return nil, err
	}
	a, err := m.do(ctx, request{what: "log", method: http.MethodPost, url: join(base, "/api/v2/log/entries"), contentType: "application/json", body: body}, http.StatusOK, http.StatusCreated)
	if err != nil {
		return nil, err
	}
	e := &protorekor.TransparencyLogEntry{}
	if err := protojson.Unmarshal(a.body, e); err != nil {
		return nil, fmt.Errorf("answer: %v: %w", err, ocm.ErrInvalid)
	}
	return e, nil
}

// publishV1 speaks to the first generation of logs.
func (m *maker) publishV1(ctx context.Context, base string) (*protorekor.TransparencyLogEntry, error) {
	signer, err := m.signerPEM()
	if err != nil {
		return nil, err
	}
	sig := m.bundle.GetMessageSignature()
	hash := strings.ReplaceAll(strings.ToLower(m.details.GetHashType().String()), "-", "")
	body, err := jsonv2.Marshal(map[string]any{"kind": "hashedrekord", "apiVersion": "0.0.1", "spec": map[string]any{
		"signature": map[string]any{"content": sig.GetSignature(), "publicKey": map[string]any{"content": signer}},
		"data":      map[string]any{"hash": map[string]any{"algorithm": hash, "value": hex.EncodeToString(sig.GetMessageDigest().GetDigest())}},
	}})
	if err != nil {
		return nil, err
	}
	place := join(base, "/api/v1/log/entries")
	a, err := m.do(ctx, request{what: "log", method: http.MethodPost, url: place, contentType: "application/json", body: body}, http.StatusCreated, http.StatusConflict)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusConflict { // it has this signature: a key whose signatures are always the same
		there, err := url.Parse(a.location)
		if err != nil || there.Path == "" {
			return nil, fmt.Errorf("the log has this entry, but does not say where: %w", ocm.ErrInvalid)
		}
		uuid := there.Path[strings.LastIndex(there.Path, "/")+1:]
		if a, err = m.do(ctx, request{what: "log", method: http.MethodGet, url: place + "/" + url.PathEscape(uuid)}, http.StatusOK); err != nil {
			return nil, err
		}
	}
	return entryV1(a.body)
}

// signerPEM is the certificate, or the key, as the older log wants it.
func (m *maker) signerPEM() ([]byte, error) {
	if c := m.bundle.VerificationMaterial.GetCertificate(); c != nil {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.GetRawBytes()}), nil
	}
	der, err := x509.MarshalPKIXPublicKey(m.key.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// entryV1 converts the answer of a log of the first generation: a map with one entry.
func entryV1(answer []byte) (*protorekor.TransparencyLogEntry, error) {
	var all map[string]struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       int64  `json:"logIndex"`
		Verification   struct {
			SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
			InclusionProof       struct {
				Checkpoint string   `json:"checkpoint"`
				Hashes     []string `json:"hashes"`
				LogIndex   int64    `json:"logIndex"`
				RootHash   string   `json:"rootHash"`
				TreeSize   int64    `json:"treeSize"`
			} `json:"inclusionProof"`
		} `json:"verification"`
	}
	if err := jsonv2.Unmarshal(answer, &all); err != nil {
		return nil, fmt.Errorf("answer: %v: %w", err, ocm.ErrInvalid)
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("answer has %d entries, expected one: %w", len(all), ocm.ErrInvalid)
	}
	for _, e := range all {
		p := e.Verification.InclusionProof
		raw := make([][]byte, 0, len(p.Hashes)+2)
		for _, text := range append([]string{e.LogID, p.RootHash}, p.Hashes...) {
			b, err := hex.DecodeString(text)
			if err != nil {
				return nil, fmt.Errorf("answer: %.100q is not hex: %w", text, ocm.ErrInvalid)
			}
			raw = append(raw, b)
		}
		return &protorekor.TransparencyLogEntry{
			LogIndex: e.LogIndex, LogId: &protocommon.LogId{KeyId: raw[0]}, IntegratedTime: e.IntegratedTime, CanonicalizedBody: e.Body,
			KindVersion:      &protorekor.KindVersion{Kind: "hashedrekord", Version: "0.0.1"},
			InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: e.Verification.SignedEntryTimestamp},
			InclusionProof: &protorekor.InclusionProof{LogIndex: p.LogIndex, RootHash: raw[1], TreeSize: p.TreeSize, Hashes: raw[2:],
				Checkpoint: &protorekor.Checkpoint{Envelope: p.Checkpoint}},
		}, nil
	}
	return nil, nil // not reached: there is one
}

// join appends a path to a base address.
func join(base, path string) string { return strings.TrimRight(base, "/") + path }
