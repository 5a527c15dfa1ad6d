// SPDX-License-Identifier: Apache-2.0

package sigstore_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"testing"
	"time"

	"ocm"
)

// list has a certificate log promise (RFC 6962, section 3) to list the certificate that is made of a template, and
// adds the promise to the template.
func (l *lab) list(t testing.TB, log *ecdsa.PrivateKey, template *x509.Certificate, key any, at time.Time) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, l.chain[0], key, l.key)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	issuer := sha256.Sum256(l.chain[0].RawSubjectPublicKeyInfo)
	when := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	signed := append([]byte{0, 0}, when...) // version, kind of signature
	signed = append(signed, 0, 1)           // kind of entry: to be issued
	signed = append(signed, issuer[:]...)
	n := len(pre.RawTBSCertificate)
	signed = append(signed, byte(n>>16), byte(n>>8), byte(n))
	signed = append(signed, pre.RawTBSCertificate...)
	signed = append(signed, 0, 0) // no extensions
	hash := sha256.Sum256(signed)
	sig, err := ecdsa.SignASN1(rand.Reader, log, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	promise := append([]byte{0}, ctLog(t, log).id...)
	promise = append(promise, when...)
	promise = append(promise, 0, 0, 4, 3) // no extensions; SHA-256, ECDSA
	promise = append(binary.BigEndian.AppendUint16(promise, uint16(len(sig))), sig...)
	promise = append(binary.BigEndian.AppendUint16(nil, uint16(len(promise))), promise...)
	promise = append(binary.BigEndian.AppendUint16(nil, uint16(len(promise))), promise...)
	value, err := asn1.Marshal(promise)
	if err != nil {
		t.Fatal(err)
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value})
}

func ctLog(t testing.TB, key *ecdsa.PrivateKey) logPart {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(der)
	return logPart{url: "https://ct.lab", key: &key.PublicKey, id: id[:]}
}

// Where the root names certificate logs, one of them must have listed the certificate.
func TestCertificateLog(t *testing.T) {
	t.Parallel()
	l, log := newLab(t), newKey(t)
	p := l.parts(t)
	p.ctLogs = []logPart{ctLog(t, log)}
	s := secrets{verifier: ocm.Secret{"trustedRootJSON": trustedRoot(t, p)}}
	at := func(key *ecdsa.PrivateKey, when time.Time) made {
		return l.make(t, artifactOf(t, digest), func(c *x509.Certificate) { l.list(t, key, c, c.PublicKey, when) })
	}
	found, err := verify(t, s, at(log, time.Now()).value(t), expectAlice())
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, found, ocm.FoundLog, ocm.FoundTime, ocm.FoundChain, ocm.FoundIdentity, ocm.FoundValue, ocm.FoundSigner)
	for what, m := range map[string]made{
		"not listed":               l.make(t, artifactOf(t, digest), nil),
		"listed by a stranger":     at(newKey(t), time.Now()),
		"listed before there were": at(log, time.Now().Add(-1000*time.Hour)),
		"listed for another key": l.make(t, artifactOf(t, digest), func(c *x509.Certificate) {
			l.list(t, log, c, &newKey(t).PublicKey, time.Now())
		}),
	} {
		_, err := verify(t, s, m.value(t), expectAlice())
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		wantCheck(t, err, ocm.FoundChain, "meet threshold")
		c := expectAlice()
		c.PrivateInfrastructure = true // is about the signature's log
		_, err = verify(t, s, m.value(t), c)
		wantCheck(t, err, ocm.FoundChain, "meet threshold")
	}
}
