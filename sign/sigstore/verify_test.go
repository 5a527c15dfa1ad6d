// SPDX-License-Identifier: Apache-2.0

package sigstore_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/proto"

	"ocm"
	"ocm/sign/sigstore"
)

func TestGoodBundle(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.make(t, artifactOf(t, digest), nil)
	found, err := verify(t, l.trust(t), m.value(t), expectAlice())
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, found, ocm.FoundLog, ocm.FoundTime, ocm.FoundChain, ocm.FoundIdentity, ocm.FoundValue, ocm.FoundSigner)
	if found[0].Detail != "entry 1000 of https://rekor.localhost" || !strings.HasSuffix(found[len(found)-1].Detail, alice+", known to "+trustedIssuer) {
		t.Errorf("found %v", found)
	}

	// The bare name of the algorithm, and the root in a file.
	v := m.value(t)
	v.Algorithm = "sigstore"
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	write(t, path, l.root(t))
	if _, err := verify(t, secrets{verifier: ocm.Secret{"trustedRootJSONFile": path}}, v, expectAlice()); err != nil {
		t.Error(err)
	}

	// Longer digests are signed as well.
	long := ocm.Signature{Name: name, Digest: ocm.Digest{HashAlgorithm: ocm.SHA512, Value: strings.Repeat("5a", 64)}}
	long.Signature = l.make(t, artifactOf(t, long.Digest), nil).value(t)
	if _, err := judge(t, l.trust(t), long, expectAlice()); err != nil {
		t.Error(err)
	}
}

// The local clock plays no part: a signature is judged at the time that others vouch for.
func TestLocalClockDoesNotMatter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good, expired := l.make(t, artifactOf(t, digest), nil), l.make(t, artifactOf(t, digest), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-3*time.Hour), time.Now().Add(-2*time.Hour)
	})
	for _, now := range []time.Time{time.Unix(0, 0), time.Now().Add(-150 * time.Minute), time.Now().Add(1e6 * time.Hour)} {
		env := &ocm.Env{Credentials: l.trust(t), HTTP: noNetwork{t}, Now: func() time.Time { return now }}
		if _, err := (sigstore.Handler{}).Verify(t.Context(), env, signatureOf(good.value(t)), spec(t, expectAlice())); err != nil {
			t.Errorf("at %s: %v", now, err)
		}
		if _, err := (sigstore.Handler{}).Verify(t.Context(), env, signatureOf(expired.value(t)), spec(t, expectAlice())); err == nil {
			t.Errorf("at %s a clock set back makes an expired certificate good", now)
		}
	}
}

// What a trusted root says of its services is judged at the time of the signature, not at ours: a root whose authorities have ended
// since is good for what they did before, and a clock that is years off changes neither.
func TestClockYearsOff(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	value := l.make(t, artifactOf(t, digest), nil).value(t)
	for what, c := range map[string]struct {
		end     time.Duration // of the authorities, from now
		private bool          // the time is the timestamp authority's
		good    bool
	}{
		"log":                             {time.Hour, false, true},
		"timestamp":                       {time.Hour, true, true},
		"log, ended before signing":       {-time.Hour, false, false},
		"timestamp, ended before signing": {-time.Hour, true, false},
	} {
		p := l.parts(t)
		p.caEnd, p.tsaEnd = time.Now().Add(c.end), time.Now().Add(c.end)
		trust, cfg := secrets{verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}, expectAlice()
		cfg.PrivateInfrastructure = c.private
		for _, years := range []int{-10, 0, 10} {
			env := &ocm.Env{Credentials: trust, HTTP: noNetwork{t}, Now: func() time.Time { return time.Now().AddDate(years, 0, 0) }}
			if _, err := (sigstore.Handler{}).Verify(t.Context(), env, signatureOf(value), spec(t, cfg)); (err == nil) != c.good {
				t.Errorf("%s, the clock is %d years off: %v", what, years, err)
			}
		}
	}
}

// changed makes a bundle and verifies it after a change.
func changed(t *testing.T, change func(l *lab, m *made, c *sigstore.VerificationConfig)) error {
	t.Helper()
	l := newLab(t)
	m, c := l.make(t, artifactOf(t, digest), nil), expectAlice()
	change(l, &m, &c)
	_, err := verify(t, l.trust(t), m.value(t), c)
	return err
}

// CVE-2026-22703: any valid entry of the log was accepted, whatever it was about.
func TestCVE_2026_22703(t *testing.T) {
	t.Parallel()
	content := artifactOf(t, digest)
	for what, c := range map[string]struct {
		entry func(l *lab, m *made) *protorekor.TransparencyLogEntry
		text  string
	}{
		"other content": {func(l *lab, m *made) *protorekor.TransparencyLogEntry {
			hash := sha256.Sum256([]byte("something else"))
			sig, err := ecdsa.SignASN1(rand.Reader, m.key, hash[:])
			if err != nil {
				t.Fatal(err)
			}
			return l.entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: m.leaf.Raw}, hash[:], sig, time.Now())
		}, "about other content"},
		"another signature of the same key and content": {func(l *lab, m *made) *protorekor.TransparencyLogEntry {
			hash := sha256.Sum256(content)
			sig, err := ecdsa.SignASN1(rand.Reader, m.key, hash[:])
			if err != nil {
				t.Fatal(err)
			}
			return l.entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: m.leaf.Raw}, hash[:], sig, time.Now())
		}, "about another signature"},
		"another certificate of the same key": {func(l *lab, m *made) *protorekor.TransparencyLogEntry {
			hash := sha256.Sum256(content)
			return l.entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: l.leaf(t, &m.key.PublicKey, nil).Raw}, hash[:], m.GetMessageSignature().Signature, time.Now())
		}, "another key or certificate"},
		"somebody else": {func(l *lab, _ *made) *protorekor.TransparencyLogEntry {
			other := l.make(t, []byte("other"), nil)
			return other.VerificationMaterial.TlogEntries[0]
		}, "about other content"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			err := changed(t, func(l *lab, m *made, _ *sigstore.VerificationConfig) {
				m.VerificationMaterial.TlogEntries[0] = c.entry(l, m)
			})
			wantCheck(t, err, ocm.FoundLog, c.text)
			// Also beside a good entry, and from a log that nobody knows.
			err = changed(t, func(l *lab, m *made, _ *sigstore.VerificationConfig) {
				m.VerificationMaterial.TlogEntries = append(m.VerificationMaterial.TlogEntries, c.entry(&lab{newLab(t).VirtualSigstore, l.chain, l.key, l.tsa, l.tsaKey}, m))
			})
			wantCheck(t, err, ocm.FoundLog, c.text)
		})
	}
}

// CVE-2022-36056: a bundle's log entry was not compared with the signature and certificate beside it.
func TestCVE_2022_36056(t *testing.T) {
	t.Parallel()
	err := changed(t, func(l *lab, m *made, _ *sigstore.VerificationConfig) {
		mallory := l.make(t, artifactOf(t, digest), func(c *x509.Certificate) { c.EmailAddresses = []string{"mallory@example.com"} })
		m.Content = mallory.Content // alice's certificate, entry and time, but another signature
	})
	wantCheck(t, err, ocm.FoundLog, "about another signature")
	err = changed(t, func(l *lab, m *made, c *sigstore.VerificationConfig) {
		c.PrivateInfrastructure = true
		mallory := l.make(t, artifactOf(t, digest), func(c *x509.Certificate) { c.EmailAddresses = []string{"mallory@example.com"} })
		m.Content, m.VerificationMaterial.TlogEntries = mallory.Content, nil
		m.VerificationMaterial.TimestampVerificationData = mallory.VerificationMaterial.TimestampVerificationData
	})
	wantCheck(t, err, ocm.FoundValue, "another key")
}

// CVE-2022-23649: the log's promise was not checked to be about what was signed.
func TestCVE_2022_23649(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(e, other *protorekor.TransparencyLogEntry){
		"promise of another entry": func(e, other *protorekor.TransparencyLogEntry) { e.InclusionPromise = other.InclusionPromise },
		"proof of another entry":   func(e, other *protorekor.TransparencyLogEntry) { e.InclusionProof = other.InclusionProof },
		"time changed":             func(e, _ *protorekor.TransparencyLogEntry) { e.IntegratedTime++ },
		"index changed":            func(e, _ *protorekor.TransparencyLogEntry) { e.LogIndex++ },
		"signature of the tree spoilt": func(e, _ *protorekor.TransparencyLogEntry) {
			c := e.InclusionProof.Checkpoint
			c.Envelope = strings.TrimSuffix(c.Envelope, "\n")[:len(c.Envelope)-8] + "AAAA==\n"
		},
	} {
		err := changed(t, func(l *lab, m *made, _ *sigstore.VerificationConfig) {
			other := l.make(t, artifactOf(t, digest), nil).VerificationMaterial.TlogEntries[0]
			change(m.VerificationMaterial.TlogEntries[0], other)
		})
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		wantCheck(t, err, ocm.FoundLog, "")
	}
}

// A log that the root does not know, no entry at all, and a log whose key had ended.
func TestLogOfTheRoot(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.make(t, artifactOf(t, digest), nil)
	for what, change := range map[string]func(p *rootParts){
		"unknown":                func(p *rootParts) { p.logs = []logPart{newLab(t).log(t)} },
		"none":                   func(p *rootParts) { p.logs = nil },
		"other key under its id": func(p *rootParts) { p.logs[0].key = newLab(t).log(t).key },
		"ended":                  func(p *rootParts) { p.logs[0].end = time.Now().Add(-time.Hour) },
	} {
		p := l.parts(t)
		change(&p)
		_, err := verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}, m.value(t), expectAlice())
		if err == nil {
			t.Errorf("%s: accepted", what)
		}
		wantCheck(t, err, ocm.FoundLog, "")
	}
	m.VerificationMaterial.TlogEntries = nil
	_, err := verify(t, l.trust(t), m.value(t), expectAlice())
	wantCheck(t, err, ocm.FoundLog, "0 entries")
	c := expectAlice()
	c.PrivateInfrastructure = true
	if _, err := verify(t, l.trust(t), m.value(t), c); err != nil {
		t.Error(err)
	}
}

// A log of the root whose promise is forged is passed over where another log has the signature, and is not
// among those that are said to have it.
func TestCVE_2022_36056_second_log_with_a_forged_promise(t *testing.T) {
	t.Parallel()
	l, second := newLab(t), newLab(t)
	m := l.make(t, artifactOf(t, digest), nil)
	p := l.parts(t)
	p.logs = append(p.logs, second.log(t))
	trust := secrets{verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}
	signed := m.GetMessageSignature()
	e := second.entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: m.leaf.Raw}, signed.MessageDigest.Digest, signed.Signature, time.Now())
	m.VerificationMaterial.TlogEntries = append(m.VerificationMaterial.TlogEntries, e)
	logs := func() (n int) {
		found, err := verify(t, trust, m.value(t), expectAlice())
		if err != nil {
			t.Error(err)
		}
		for _, f := range found {
			if f.Check == ocm.FoundLog {
				n++
			}
		}
		return n
	}
	if n := logs(); n != 2 {
		t.Errorf("two good entries: %d are told of", n)
	}
	e.InclusionPromise = m.VerificationMaterial.TlogEntries[0].InclusionPromise
	if n := logs(); n != 1 {
		t.Errorf("one good entry and a forged one: %d are told of", n)
	}
}

// The hash belongs to the key: one that is weaker than the key was once accepted for the sake of old signatures.
func TestHashThatDoesNotBelongToTheKey(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.make(t, artifactOf(t, digest), nil)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, v := m.GetMessageSignature(), m.VerificationMaterial
	if signed.Signature, err = ecdsa.SignASN1(rand.Reader, key, signed.MessageDigest.Digest); err != nil {
		t.Fatal(err)
	}
	leaf := l.leaf(t, &key.PublicKey, nil)
	v.GetCertificate().RawBytes = leaf.Raw
	v.TlogEntries[0] = l.entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}, signed.MessageDigest.Digest, signed.Signature, time.Now())
	v.TimestampVerificationData.Rfc3161Timestamps[0] = l.stamp(t, signed.Signature)
	_, err = verify(t, l.trust(t), m.value(t), expectAlice())
	wantCheck(t, err, ocm.FoundValue, "")
}

// CVE-2026-24122: an intermediate that had expired before the signature was made.
func TestCVE_2026_24122(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.chain, l.key = newAuthority(t, time.Now().Add(-time.Hour))
	m := l.make(t, artifactOf(t, digest), nil)
	_, err := verify(t, l.trust(t), m.value(t), expectAlice())
	wantCheck(t, err, ocm.FoundChain, "leaf certificate")
	l.chain, l.key = newAuthority(t, time.Now().Add(time.Hour))
	m = l.make(t, artifactOf(t, digest), nil)
	if _, err := verify(t, l.trust(t), m.value(t), expectAlice()); err != nil {
		t.Error(err)
	}
}

// Certificates that do not lead to the root at the time of the signature.
func TestChainIsJudgedAtSigningTime(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*x509.Certificate){
		"expired": func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		},
		"not yet valid": func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		},
		"not for code": func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
	} {
		l := newLab(t)
		m, c := l.make(t, artifactOf(t, digest), change), expectAlice()
		c.PrivateInfrastructure, m.VerificationMaterial.TlogEntries = true, nil
		_, err := verify(t, l.trust(t), m.value(t), c)
		if err == nil {
			t.Errorf("%s: accepted", what)
		}
		wantCheck(t, err, ocm.FoundChain, "leaf certificate")
	}
	l := newLab(t)
	m, p := l.make(t, artifactOf(t, digest), nil), l.parts(t)
	p.cas = [][]*x509.Certificate{newLab(t).chain}
	_, err := verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}, m.value(t), expectAlice())
	wantCheck(t, err, ocm.FoundChain, "knows 1 certificate authorities")
	p = l.parts(t)
	p.caEnd = time.Now().Add(-time.Hour)
	_, err = verify(t, secrets{verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}, m.value(t), expectAlice())
	wantCheck(t, err, ocm.FoundChain, "")
}

// A certificate that is good for minutes is nothing without a time that somebody vouches for.
func TestCertificateNeedsATime(t *testing.T) {
	t.Parallel()
	dateless := func(m *made) {
		m.VerificationMaterial.TimestampVerificationData = nil
		m.VerificationMaterial.TlogEntries[0].InclusionPromise = nil // what dates an entry; the proof does not
	}
	err := changed(t, func(_ *lab, m *made, _ *sigstore.VerificationConfig) { dateless(m) })
	wantCheck(t, err, ocm.FoundTime, "0 timestamps")
	err = changed(t, func(_ *lab, m *made, c *sigstore.VerificationConfig) {
		dateless(m)
		m.VerificationMaterial.TlogEntries, c.PrivateInfrastructure = nil, true
	})
	wantCheck(t, err, ocm.FoundTime, "")
	// Without logs, the time by a log does not count.
	err = changed(t, func(_ *lab, m *made, c *sigstore.VerificationConfig) {
		m.VerificationMaterial.TimestampVerificationData, c.PrivateInfrastructure = nil, true
	})
	wantCheck(t, err, ocm.FoundTime, "")
	// By an authority that the root does not know, or about something else.
	err = changed(t, func(l *lab, m *made, _ *sigstore.VerificationConfig) {
		dateless(m)
		stranger := newLab(t).stamp(t, m.GetMessageSignature().Signature)
		other := l.stamp(t, []byte("another signature"))
		m.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{stranger, other}}
	})
	wantCheck(t, err, ocm.FoundTime, "2 timestamps")
	// One of the two is enough.
	for _, less := range []func(m *made){
		func(m *made) { m.VerificationMaterial.TimestampVerificationData = nil },
		func(m *made) { m.VerificationMaterial.TlogEntries[0].InclusionPromise = nil },
	} {
		if err := changed(t, func(_ *lab, m *made, _ *sigstore.VerificationConfig) { less(m) }); err != nil {
			t.Error(err)
		}
	}
}

// CVE-2026-39395: what could not be parsed was "Verified OK".
func TestCVE_2026_39395(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.make(t, artifactOf(t, digest), nil)
	good := m.value(t)
	raw, err := base64.StdEncoding.DecodeString(good.Value)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for what, value := range map[string]string{
		"nothing": "", "no base64": "?", "bare JSON": text, "other base64": good.Value + "=",
		"null": b("null"), "empty": b("{}"), "list": b("[]"), "no JSON": b("bundle"), "cut off": b(text[:len(text)-1]), "more after it": b(text + "{}"),
		"unknown member":   b(`{"alg":"none",` + text[1:]),
		"twice":            b(`{"mediaType":"` + sigstore.MediaType + `",` + text[1:]),
		"no content":       b(`{"mediaType":"` + sigstore.MediaType + `","verificationMaterial":{}}`),
		"entry of nothing": b(strings.Replace(text, `"canonicalizedBody":"`, `"canonicalizedBody":"AAAA`, 1)),
		"no certificate":   b(strings.Replace(text, `"certificate":{"rawBytes":"`, `"certificate":{"rawBytes":"AAAA`, 1)),
		"no timestamp":     b(strings.Replace(text, `"signedTimestamp":"`, `"signedTimestamp":"AAAA`, 1)),
	} {
		v := good
		v.Value = value
		c := expectAlice()
		c.TimestampThreshold = 1
		if found, err := verify(t, l.trust(t), v, c); err == nil || len(found) > 0 {
			t.Errorf("%s: %v, %v", what, found, err)
		}
	}
	v := good
	v.Value = strings.Repeat("A", base64.StdEncoding.EncodedLen(sigstore.MaxBundleSize)+4)
	if _, err := verify(t, l.trust(t), v, expectAlice()); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("a large value: %v", err)
	}
	// Entries that the library's types do not expect. Some of them made it panic.
	for _, body := range []string{
		`{"apiVersion":"0.0.1","kind":"dsse","spec":{"signatures":[]}}`,
		`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{}}`,
		`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{}}}`,
		`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{}}}}`,
	} {
		spoilt := proto.Clone(m.Bundle).(*protobundle.Bundle)
		e := spoilt.VerificationMaterial.TlogEntries[0]
		e.CanonicalizedBody = []byte(body)
		for _, kind := range []string{"dsse", "hashedrekord", "intoto"} {
			for _, version := range []string{"0.0.1", "0.0.2"} {
				e.KindVersion = &protorekor.KindVersion{Kind: kind, Version: version}
				if _, err := verify(t, l.trust(t), made{Bundle: spoilt}.value(t), expectAlice()); err == nil {
					t.Errorf("%s as %s %s: accepted", body, kind, version)
				}
			}
		}
	}
}

func b(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// CVE-2026-49834: one log, or one authority, met a threshold of two.
func TestCVE_2026_49834(t *testing.T) {
	t.Parallel()
	l, second := newLab(t), newLab(t)
	m := l.make(t, artifactOf(t, digest), nil)
	sig, hash := m.GetMessageSignature().Signature, m.GetMessageSignature().MessageDigest.Digest
	entry := func(l *lab) *protorekor.TransparencyLogEntry {
		return l.entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: m.leaf.Raw}, hash, sig, time.Now().Add(-time.Second))
	}
	stamps := func(l ...*lab) *protobundle.TimestampVerificationData {
		d := &protobundle.TimestampVerificationData{}
		for _, l := range l {
			d.Rfc3161Timestamps = append(d.Rfc3161Timestamps, l.stamp(t, sig))
		}
		return d
	}
	p := l.parts(t)
	p.logs, p.tsas = append(p.logs, second.log(t)), append(p.tsas, second.tsa)
	s := secrets{verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}
	c := expectAlice()

	c.LogThreshold, c.TimestampThreshold = 2, 0
	again := entry(l)
	again.LogIndex++ // in the log a second time; its promise is for index 1000, but the proof holds
	again.InclusionPromise = nil
	first := m.VerificationMaterial.TlogEntries[0]
	m.VerificationMaterial.TlogEntries = []*protorekor.TransparencyLogEntry{first, again}
	_, err := verify(t, s, m.value(t), c)
	wantCheck(t, err, ocm.FoundLog, "1 < 2")
	m.VerificationMaterial.TlogEntries = []*protorekor.TransparencyLogEntry{first, first}
	_, err = verify(t, s, m.value(t), c)
	wantCheck(t, err, ocm.FoundLog, "duplicate")
	m.VerificationMaterial.TlogEntries = []*protorekor.TransparencyLogEntry{first, entry(second)}
	found, err := verify(t, s, m.value(t), c)
	if err != nil || len(found) < 2 || found[1].Check != ocm.FoundLog {
		t.Errorf("two logs: %v, %v", found, err)
	}

	c.LogThreshold, c.TimestampThreshold = 0, 2
	m.VerificationMaterial.TimestampVerificationData = stamps(l, l)
	_, err = verify(t, s, m.value(t), c)
	wantCheck(t, err, ocm.FoundTime, "1 < 2")
	m.VerificationMaterial.TimestampVerificationData = stamps(l, second)
	if _, err = verify(t, s, m.value(t), c); err != nil {
		t.Error(err)
	}
}

// keyed makes a bundle by a key instead of a certificate.
func (l *lab) keyed(t *testing.T, content []byte, key *ecdsa.PrivateKey) made {
	m := l.make(t, content, nil)
	hash := sha256.Sum256(content)
	sig, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	m.key, m.GetMessageSignature().Signature = key, sig
	m.VerificationMaterial.Content = &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "a key"}}
	m.VerificationMaterial.TlogEntries[0] = l.entry(t, &pem.Block{Type: "PUBLIC KEY", Bytes: der}, hash[:], sig, time.Now())
	m.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps[0] = l.stamp(t, sig)
	return m
}

// CVE-2026-54787: the signing time was not compared with the time for which the key was good.
func TestCVE_2026_54787(t *testing.T) {
	t.Parallel()
	l, key := newLab(t), newKey(t)
	m := l.keyed(t, artifactOf(t, digest), key)
	trust := func(from, until time.Duration) secrets {
		s := ocm.Secret{"trustedRootJSON": l.root(t), "publicKeyPEM": pairOf(t, key).public}
		for name, d := range map[string]time.Duration{"publicKeyNotBefore": from, "publicKeyNotAfter": until} {
			if d != 0 {
				s[name] = time.Now().Add(d).Format(time.RFC3339)
			}
		}
		return secrets{verifier: s}
	}
	for _, good := range [][2]time.Duration{{0, 0}, {-time.Hour, time.Hour}, {-time.Hour, 0}, {0, time.Hour}} {
		if _, err := verify(t, trust(good[0], good[1]), m.value(t), sigstore.VerificationConfig{}); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range [][2]time.Duration{{0, -time.Hour}, {time.Hour, 0}, {-2 * time.Hour, -time.Hour}, {time.Hour, 2 * time.Hour}} {
		_, err := verify(t, trust(bad[0], bad[1]), m.value(t), sigstore.VerificationConfig{PrivateInfrastructure: true})
		wantCheck(t, err, ocm.FoundTime, "validity")
		if _, err = verify(t, trust(bad[0], bad[1]), m.value(t), sigstore.VerificationConfig{}); err == nil {
			t.Errorf("%v: accepted", bad)
		}
	}
	// A time that is not proven is none.
	m.VerificationMaterial.TimestampVerificationData, m.VerificationMaterial.TlogEntries[0].InclusionPromise = nil, nil
	_, err := verify(t, trust(-time.Hour, time.Hour), m.value(t), sigstore.VerificationConfig{})
	wantCheck(t, err, ocm.FoundTime, "")
	if _, err = verify(t, trust(0, 0), m.value(t), sigstore.VerificationConfig{}); err != nil {
		t.Error(err)
	}
	s := trust(0, 0)
	s.verifier["publicKeyNotAfter"] = "tomorrow"
	if _, err = verify(t, s, m.value(t), sigstore.VerificationConfig{}); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("found %v", err)
	}
}

// A signature by a key is judged by the key that the verifier names, whatever the bundle says.
func TestKeySwapped(t *testing.T) {
	t.Parallel()
	l, key, other := newLab(t), newKey(t), newKey(t)
	m := l.keyed(t, artifactOf(t, digest), key)
	secret := func(k *ecdsa.PrivateKey) secrets {
		return secrets{verifier: ocm.Secret{"trustedRootJSON": l.root(t), "publicKeyPEM": pairOf(t, k).public}}
	}
	found, err := verify(t, secret(key), m.value(t), sigstore.VerificationConfig{})
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, found, ocm.FoundLog, ocm.FoundValue, ocm.FoundSigner)
	_, err = verify(t, secret(other), m.value(t), sigstore.VerificationConfig{})
	wantCheck(t, err, ocm.FoundLog, "another key")
	private := sigstore.VerificationConfig{PrivateInfrastructure: true, PublicKeyPEM: pairOf(t, other).public}
	m.VerificationMaterial.TlogEntries = nil
	_, err = verify(t, secret(key), m.value(t), private) // what the configuration says wins
	wantCheck(t, err, ocm.FoundValue, "another key")
	private.PublicKeyPEM = pairOf(t, key).public
	if _, err = verify(t, secrets{}, m.value(t), private); err != nil { // and needs no root
		t.Error(err)
	}
	_, err = verify(t, secret(key), m.value(t), sigstore.VerificationConfig{})
	wantCheck(t, err, ocm.FoundLog, "0 entries")

	_, err = verify(t, l.trust(t), m.value(t), sigstore.VerificationConfig{})
	wantCheck(t, err, ocm.FoundIdentity, "publicKeyPEM")
	_, err = verify(t, l.trust(t), m.value(t), expectAlice()) // no certificate that says alice
	wantCheck(t, err, ocm.FoundIdentity, "")
	_, err = verify(t, secret(key), m.value(t), expectAlice())
	wantCheck(t, err, ocm.FoundIdentity, "both")
	_, err = verify(t, secret(key), l.make(t, artifactOf(t, digest), nil).value(t), sigstore.VerificationConfig{})
	wantCheck(t, err, ocm.FoundIdentity, "by a certificate")
	for _, bad := range []string{"key", pairOf(t, key).private, pairOf(t, key).public + pairOf(t, other).public} {
		s := secrets{verifier: ocm.Secret{"trustedRootJSON": l.root(t), "publicKeyPEM": bad}}
		if _, err = verify(t, s, m.value(t), sigstore.VerificationConfig{}); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("found %v", err)
		}
	}
}

// A certificate of somebody else in the place of the signer's.
func TestCertificateSwapped(t *testing.T) {
	t.Parallel()
	for _, private := range []bool{false, true} {
		err := changed(t, func(l *lab, m *made, c *sigstore.VerificationConfig) {
			mine := l.leaf(t, &newKey(t).PublicKey, nil)
			m.VerificationMaterial.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: mine.Raw}}
			if c.PrivateInfrastructure = private; private {
				m.VerificationMaterial.TlogEntries = nil
			}
		})
		if private {
			wantCheck(t, err, ocm.FoundValue, "another key")
		} else {
			wantCheck(t, err, ocm.FoundLog, "another key or certificate")
		}
	}
}

// CVE-2024-45395: nothing bounded how many entries a verifier had to look at.
func TestCVE_2024_45395(t *testing.T) {
	t.Parallel()
	for _, change := range []func(m *made){
		func(m *made) {
			for range sigstore.MaxEntries {
				m.VerificationMaterial.TlogEntries = append(m.VerificationMaterial.TlogEntries, m.VerificationMaterial.TlogEntries[0])
			}
		},
		func(m *made) {
			d := m.VerificationMaterial.TimestampVerificationData
			for range sigstore.MaxEntries {
				d.Rfc3161Timestamps = append(d.Rfc3161Timestamps, d.Rfc3161Timestamps[0])
			}
		},
	} {
		err := changed(t, func(_ *lab, m *made, _ *sigstore.VerificationConfig) { change(m) })
		if !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("found %v", err)
		}
	}
}

// CVE-2022-35929: an attestation, of whatever type, passed for a signature.
func TestCVE_2022_35929(t *testing.T) {
	t.Parallel()
	err := changed(t, func(_ *lab, m *made, _ *sigstore.VerificationConfig) {
		m.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{Payload: []byte("{}"), PayloadType: "application/vnd.in-toto+json",
			Signatures: []*protodsse.Signature{{Sig: m.GetMessageSignature().Signature}}}}
	})
	if err == nil || !strings.Contains(err.Error(), "attestation") {
		t.Errorf("found %v", err)
	}
}

// Who may have signed must be said, and must be who has signed.
func TestIdentity(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.make(t, artifactOf(t, digest), nil)
	for what, c := range map[string]struct {
		issuer, issuerRegexp, identity, identityRegexp string
		text                                           string // of the error; empty: good
	}{
		"exact":                 {trustedIssuer, "", alice, "", ""},
		"expressions":           {"", `https://.*\.lab`, "", `[a-z]+@example\.com`, ""},
		"alternatives":          {"", `https://a|https://issuer\.lab`, "", `alice@example\.com|bob`, ""},
		"flags":                 {trustedIssuer, "", "", `(?i)ALICE@example\.com`, ""},
		"other identity":        {trustedIssuer, "", "bob@example.com", "", "bob@example.com"},
		"other case":            {trustedIssuer, "", "Alice@example.com", "", "Alice@example.com"},
		"other issuer":          {"https://issuer.lab.evil.example", "", alice, "", "https://issuer.lab.evil.example"},
		"other by expression":   {trustedIssuer, "", "", `bob@.*`, "bob@"},
		"no issuer":             {"", "", alice, "", "certificateOIDCIssuer"},
		"no identity":           {trustedIssuer, "", "", "", "certificateIdentity"},
		"nothing":               {"", "", "", "", "certificateOIDCIssuer"},
		"two issuers":           {trustedIssuer, ".+", alice, "", "exactly one"},
		"two identities":        {trustedIssuer, "", alice, ".+", "exactly one"},
		"anybody":               {trustedIssuer, "", "", ".*", "matches anything"},
		"anybody, in disguise":  {trustedIssuer, "", "", "bob|", "matches anything"},
		"no expression":         {trustedIssuer, "", "", "(", "missing closing"},
		"breaks out":            {trustedIssuer, "", "", "bob)|(?:", "unexpected"},
		"breaks out by a quote": {trustedIssuer, "", "", `bob|\Q`, ""},
		"too long":              {trustedIssuer, "", "", strings.Repeat("a", 1025), "1025 bytes"},
	} {
		config := sigstore.VerificationConfig{Issuer: c.issuer, IssuerRegexp: c.issuerRegexp, Identity: c.identity, IdentityRegexp: c.identityRegexp}
		_, err := verify(t, l.trust(t), m.value(t), config)
		switch {
		case what == "breaks out by a quote":
			if err == nil {
				t.Errorf("%s: accepted", what)
			}
		case c.text == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case c.text != "" && err == nil:
			t.Errorf("%s: accepted", what)
		case c.text != "":
			wantCheck(t, err, ocm.FoundIdentity, c.text)
		}
	}
}

// An expression that matches only a part of the name.
func TestExpressionMatchesTheWhole(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, who := range []string{"alice@example.com.evil.example", "not-alice@example.com", "alice@example.com\nbob@evil.example"} {
		m := l.make(t, artifactOf(t, digest), func(c *x509.Certificate) {
			c.EmailAddresses = nil
			c.URIs = []*url.URL{{Scheme: "mailto", Opaque: strings.ReplaceAll(who, "\n", "%0A")}}
		})
		c := expectAlice()
		c.Identity, c.IdentityRegexp = "", `alice@example\.com|mailto:alice@example\.com|(?m)^mailto:alice@example\.com$`
		_, err := verify(t, l.trust(t), m.value(t), c)
		wantCheck(t, err, ocm.FoundIdentity, "match regex")
	}
	c := expectAlice()
	c.Issuer, c.IssuerRegexp = "", "issuer"
	_, err := verify(t, l.trust(t), l.make(t, artifactOf(t, digest), nil).value(t), c)
	wantCheck(t, err, ocm.FoundIdentity, "match regex")
}

// A certificate for two names: the one that is compared might not be the one that signed.
func TestCertificateForTwoNames(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := l.make(t, artifactOf(t, digest), func(c *x509.Certificate) { c.EmailAddresses = []string{alice, "mallory@example.com"} })
	_, err := verify(t, l.trust(t), m.value(t), expectAlice())
	wantCheck(t, err, ocm.FoundIdentity, "2 names")
}

// A bundle for another digest, and digests that cannot be judged.
func TestOtherDigest(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	sig := signatureOf(l.make(t, artifactOf(t, digest), nil).value(t))
	sig.Digest.Value = strings.Repeat("5b", 32)
	_, err := judge(t, l.trust(t), sig, expectAlice())
	wantCheck(t, err, ocm.FoundValue, "the version was changed")
	// The bundle says it is about our digest; its signature is over another one.
	m := l.make(t, []byte("another version"), nil)
	hash := sha256.Sum256(artifactOf(t, digest))
	m.GetMessageSignature().MessageDigest.Digest = hash[:]
	m.VerificationMaterial.TlogEntries = nil // a log would not have taken it
	c := expectAlice()
	c.PrivateInfrastructure = true
	_, err = verify(t, l.trust(t), m.value(t), c)
	wantCheck(t, err, ocm.FoundValue, "")
	for _, d := range []ocm.Digest{{}, {HashAlgorithm: "MD5", Value: digest.Value}, {HashAlgorithm: ocm.SHA512, Value: digest.Value}, {HashAlgorithm: ocm.SHA256, Value: "zz" + digest.Value[2:]}} {
		sig.Digest = d
		if _, err := judge(t, l.trust(t), sig, expectAlice()); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// Names of algorithm and media type that do not belong together, and shapes of other versions.
func TestMediaTypes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := l.make(t, artifactOf(t, digest), nil).value(t)
	for what, c := range map[string]struct{ algorithm, mediaType, text string }{
		"old tool":        {"sigstore", "application/vnd.ocm.signature.sigstore", "sign again"},
		"old tool, new":   {"sigstore-v2", "application/vnd.ocm.signature.sigstore", "sign again"},
		"old name":        {"sigstore-v2", sigstore.MediaType, "sign again"},
		"old media type":  {sigstore.Algorithm, "application/vnd.ocm.signature.sigstore", "sign again"},
		"other algorithm": {"RSASSA-PSS", sigstore.MediaType, "RSASSA-PSS"},
		"other type":      {sigstore.Algorithm, "application/vnd.ocm.signature.rsa", "signature.rsa"},
		"no type":         {sigstore.Algorithm, "", "media type"},
		"older bundle":    {sigstore.Algorithm, "application/vnd.dev.sigstore.bundle+json;version=0.2", "version=0.2"},
	} {
		v := good
		v.Algorithm, v.MediaType = c.algorithm, c.mediaType
		if _, err := verify(t, l.trust(t), v, expectAlice()); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, mediaType := range []string{"", "application/json", "application/vnd.dev.sigstore.bundle+json;version=0.1", "application/vnd.dev.sigstore.bundle+json;version=0.2",
		"application/vnd.dev.sigstore.bundle.v0.4+json", "application/vnd.dev.sigstore.bundle.v0.3.1+json"} {
		err := changed(t, func(_ *lab, m *made, _ *sigstore.VerificationConfig) { m.MediaType = mediaType })
		if err == nil || !strings.Contains(err.Error(), "bundle has the media type") {
			t.Errorf("%q: %v", mediaType, err)
		}
	}
	if err := changed(t, func(_ *lab, m *made, _ *sigstore.VerificationConfig) {
		m.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.3"
	}); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(m *made){
		"chain": func(m *made) {
			m.VerificationMaterial.Content = &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: &protocommon.X509CertificateChain{
				Certificates: []*protocommon.X509Certificate{{RawBytes: m.leaf.Raw}}}}
		},
		"no material": func(m *made) { m.VerificationMaterial.Content = nil },
		"no proof":    func(m *made) { m.VerificationMaterial.TlogEntries[0].InclusionProof = nil },
		"no second proof": func(m *made) {
			hash, sig := m.GetMessageSignature().MessageDigest.Digest, m.GetMessageSignature().Signature
			second := newLab(t).entry(t, &pem.Block{Type: "CERTIFICATE", Bytes: m.leaf.Raw}, hash, sig, time.Now())
			second.InclusionProof = nil
			m.VerificationMaterial.TlogEntries = append(m.VerificationMaterial.TlogEntries, second)
		},
		"no signature": func(m *made) { m.GetMessageSignature().Signature = nil },
		"no digest":    func(m *made) { m.GetMessageSignature().MessageDigest = nil },
		"empty timestamp": func(m *made) {
			m.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps[0].SignedTimestamp = nil
		},
	} {
		if err := changed(t, func(_ *lab, m *made, c *sigstore.VerificationConfig) {
			change(m)
			c.PrivateInfrastructure = len(m.VerificationMaterial.TlogEntries) == 0
		}); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// Without a root, or with one that cannot be read, nothing is verified, and nothing is downloaded.
func TestNoTrustedRoot(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.make(t, artifactOf(t, digest), nil).value(t)
	for what, c := range map[string]struct {
		secret ocm.Secret
		want   error
	}{
		"no credentials": {nil, ocm.ErrNotFound},
		"no property":    {ocm.Secret{"trusted_root_json": l.root(t)}, ocm.ErrNotFound},
		"no file":        {ocm.Secret{"trustedRootJSONFile": filepath.Join(t.TempDir(), "none")}, nil},
		"no JSON":        {ocm.Secret{"trustedRootJSON": "root"}, ocm.ErrInvalid},
		"empty":          {ocm.Secret{"trustedRootJSON": "{}"}, ocm.ErrInvalid},
		"too large":      {ocm.Secret{"trustedRootJSON": strings.Repeat(" ", 1<<20) + l.root(t)}, ocm.ErrLimit},
		"bare root":      {ocm.Secret{"trustedRootJSON": `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`}, nil},
	} {
		_, err := verify(t, secrets{verifier: c.secret}, v, expectAlice())
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: expected %v, found %v", what, c.want, err)
		}
		if c.want == ocm.ErrNotFound && !strings.Contains(err.Error(), "trustedRootJSONFile") {
			t.Errorf("%s: no next step: %v", what, err)
		}
	}
}

// A configuration of another kind, with numbers that nobody can meet, or that demands and forbids logs.
func TestVerificationConfig(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v := l.make(t, artifactOf(t, digest), nil).value(t)
	for text, change := range map[string]func(c *sigstore.VerificationConfig){
		"":                              func(*sigstore.VerificationConfig) {},
		"not one for verifying":         func(c *sigstore.VerificationConfig) { c.Type = "RSASigningConfiguration" },
		"transparencyLogThreshold -1":   func(c *sigstore.VerificationConfig) { c.LogThreshold = -1 },
		"transparencyLogThreshold 17":   func(c *sigstore.VerificationConfig) { c.LogThreshold = sigstore.MaxEntries + 1 },
		"timestampThreshold -1":         func(c *sigstore.VerificationConfig) { c.TimestampThreshold = -1 },
		"timestampThreshold 17":         func(c *sigstore.VerificationConfig) { c.TimestampThreshold = sigstore.MaxEntries + 1 },
		"transparencyLogThreshold dema": func(c *sigstore.VerificationConfig) { c.PrivateInfrastructure, c.LogThreshold = true, 1 },
	} {
		c := expectAlice()
		change(&c)
		if _, err := verify(t, l.trust(t), v, c); (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: expected %q, found %v", c, text, err)
		}
	}
}

// Names that would do something to a terminal are quoted.
func TestNamesArePrintable(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	issuer := "https://issuer.lab/\x1b[2J"
	m := l.make(t, artifactOf(t, digest), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: c.ExtraExtensions[0].Id, Value: []byte(issuer)}}
	})
	c := expectAlice()
	c.Issuer = issuer
	found, err := verify(t, l.trust(t), m.value(t), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if strings.Contains(f.Detail, "\x1b") {
			t.Errorf("found %q", f.Detail)
		}
	}
}

// CVE-2026-39984: a timestamp by a stranger passed because the authority's certificate lay beside the stranger's.
func TestCVE_2026_39984(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		err := changed(t, func(l *lab, m *made, _ *sigstore.VerificationConfig) {
			stranger := newLab(t)
			hash := sha256.Sum256(m.GetMessageSignature().Signature)
			s := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: hash[:], Time: time.Now(), Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true}
			raw, err := s.CreateResponseWithOpts(stranger.tsa[0], stranger.tsaKey, crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			beside := slices.Concat(stranger.tsa[0].Raw, l.tsa[0].Raw)
			if first {
				beside = slices.Concat(l.tsa[0].Raw, stranger.tsa[0].Raw)
			}
			m.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps[0].SignedTimestamp = withCertificates(t, raw, beside)
			m.VerificationMaterial.TlogEntries[0].InclusionPromise = nil
		})
		wantCheck(t, err, ocm.FoundTime, "1 timestamps")
	}
}

// withCertificates changes the certificates of a timestamp: TimeStampResp, ContentInfo, SignedData, certificates. No
// signature covers them.
func withCertificates(t *testing.T, response, certificates []byte) []byte {
	t.Helper()
	parts := func(raw []byte) (out []asn1.RawValue) {
		if rest, err := asn1.Unmarshal(raw, &out); err != nil || len(rest) > 0 {
			t.Fatal(rest, err)
		}
		return out
	}
	whole := func(v any) []byte {
		raw, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	answer := parts(response)
	token := parts(answer[1].FullBytes)
	data := parts(token[1].Bytes)
	found := false
	for i := range data {
		if data[i].Class == asn1.ClassContextSpecific && data[i].Tag == 0 {
			data[i], found = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certificates}, true
		}
	}
	if !found {
		t.Fatal("no certificates")
	}
	token[1] = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: whole(data)}
	answer[1] = asn1.RawValue{FullBytes: whole(token)}
	return whole(answer)
}

// CVE-2026-44310: a panic was no failure.
func TestCVE_2026_44310(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	env := &ocm.Env{Credentials: panics{}}
	v := l.make(t, artifactOf(t, digest), nil).value(t)
	if found, err := (sigstore.Handler{}).Verify(t.Context(), env, signatureOf(v), spec(t, expectAlice())); !errors.Is(err, ocm.ErrSignature) || len(found) > 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if v, err := (sigstore.Handler{}).Sign(t.Context(), env, name, digest, ocm.Spec{}); err == nil {
		t.Errorf("found %v", v)
	}
}

type panics struct{}

func (panics) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) { panic("in the middle") }
