// SPDX-License-Identifier: Apache-2.0

package timestamp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/sign/timestamp"
	"ocm/sign/timestamp/tsatest"
)

// content is what is stamped in these tests.
const content = "a normalised component descriptor"

func stamped() ocm.Digest {
	sum := sha256.Sum256([]byte(content))
	return ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: hex.EncodeToString(sum[:])}
}

// with stamps the digest by an authority that changes its token.
func with(a *tsatest.Authority, change func(*tsatest.Token)) *ocm.Timestamp {
	b := *a
	b.Change = change
	return b.Stamp(stamped())
}

// refused fails the test unless the timestamp is refused for the reason.
func refused(t *testing.T, ts *ocm.Timestamp, roots []*x509.Certificate, kind error, reason string) {
	t.Helper()
	r, err := timestamp.Check(ts, stamped(), roots)
	var check *ocm.CheckError
	if err == nil || r.Signer != nil || !r.Time.IsZero() || !errors.Is(err, ocm.ErrSignature) || !errors.As(err, &check) || check.Check != ocm.FoundTime {
		t.Fatalf("got %v, %v; expected a failed check of the time", r, err)
	}
	if kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), reason) {
		t.Fatalf("got %v; expected %v because of %q", err, kind, reason)
	}
}

func accepted(t *testing.T, ts *ocm.Timestamp, a *tsatest.Authority) timestamp.Result {
	t.Helper()
	r, err := timestamp.Check(ts, stamped(), a.Roots())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Signer.Equal(a.Signer.Cert) {
		t.Fatalf("signer is %q, expected %q", r.Signer.Subject, a.Signer.Cert.Subject)
	}
	return r
}

func TestCheck(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	at := time.Now().Add(-100 * 24 * time.Hour).Truncate(time.Second)
	a.Now = func() time.Time { return at }
	if r := accepted(t, a.Stamp(stamped()), a); !r.Time.Equal(at) || r.Time.Location() != time.UTC {
		t.Errorf("time is %s, expected %s", r.Time, at)
	}
}

// A root is trusted by itself: the intermediate certificate alone will do, and so will the signer's.
func TestCheckWithPinnedCertificates(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	ts := with(a, func(k *tsatest.Token) { k.Certs = k.Certs[:1] })
	refused(t, ts, a.Roots(), nil, "does not lead")
	for _, roots := range [][]*x509.Certificate{{a.Intermediate.Cert}, {a.Signer.Cert}, {a.Root.Cert, a.Intermediate.Cert, a.Signer.Cert}} {
		if _, err := timestamp.Check(ts, stamped(), roots); err != nil {
			t.Error(err)
		}
	}
	a.Now = func() time.Time { return a.Signer.Cert.NotAfter.Add(time.Second) }
	refused(t, a.Stamp(stamped()), []*x509.Certificate{a.Signer.Cert}, nil, "expired")
}

func TestCheckAcceptsEveryGoodForm(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	forms := map[string]func(*tsatest.Token){
		"fractions of a second": func(k *tsatest.Token) { k.Time = k.Time.Add(250 * time.Millisecond) },
		"accuracy":              func(k *tsatest.Token) { k.Extra = tsatest.Seq(tsatest.Int(1), tsatest.TLV(0x80, []byte{100})) },
		"accuracy and ordering": func(k *tsatest.Token) { k.Extra = append(tsatest.Seq(tsatest.Int(60)), 1, 1, 0xff) },
		"nonce":                 func(k *tsatest.Token) { k.Nonce = big.NewInt(-5) },
		"granted with modifications": func(k *tsatest.Token) {
			k.Status = 1
		},
		"name of the authority and an extension": func(k *tsatest.Token) {
			ext := tsatest.Seq(tsatest.OID(1, 2, 3), tsatest.TLV(4, []byte("x")))
			k.Extensions = append(tsatest.TLV(0xa0, tsatest.TLV(0xa4, k.Cert.RawSubject)), tsatest.TLV(0xa1, ext)...)
		},
		"digest hashed once more": func(k *tsatest.Token) { k.Imprint = tsatest.Sum(crypto.SHA256, k.Imprint) },
		"without issuer and serial": func(k *tsatest.Token) {
			k.Edit = func(p *tsatest.Pieces) {
				p.Attributes[2] = tsatest.Attribute(tsatest.SigningCertV2, tsatest.Seq(tsatest.Seq(tsatest.Seq(tsatest.TLV(4, tsatest.Sum(crypto.SHA256, k.Cert.Raw))))))
			}
		},
		"ESSCertIDv2 with SHA-512": func(k *tsatest.Token) {
			k.Edit = func(p *tsatest.Pieces) {
				p.Attributes[2] = tsatest.Attribute(tsatest.SigningCertV2, tsatest.Seq(tsatest.Seq(tsatest.Seq(tsatest.HashAlg(crypto.SHA512), tsatest.TLV(4, tsatest.Sum(crypto.SHA512, k.Cert.Raw))))))
			}
		},
		"ESSCertID": func(k *tsatest.Token) {
			k.Edit = func(p *tsatest.Pieces) { p.Attributes[2] = essCertID(k.Cert) }
		},
		"both attributes": func(k *tsatest.Token) {
			k.Edit = func(p *tsatest.Pieces) { p.Attributes = append(p.Attributes, essCertID(k.Cert)) }
		},
		"key identifier": func(k *tsatest.Token) {
			k.Edit = func(p *tsatest.Pieces) { p.SID = tsatest.TLV(0x80, k.Cert.SubjectKeyId) }
		},
		"unsigned attributes": func(k *tsatest.Token) {
			k.Edit = func(p *tsatest.Pieces) {
				p.Tail = tsatest.TLV(0xa1, tsatest.Attribute(tsatest.OID(1, 2, 3), tsatest.Int(1)))
			}
		},
		"root in the token": func(k *tsatest.Token) { k.Certs = append(k.Certs, a.Root.Cert) },
		"signer last":       func(k *tsatest.Token) { k.Certs = []*x509.Certificate{a.Intermediate.Cert, k.Cert} },
	}
	c := tsatest.Stamper("with a key identifier")
	c.SubjectKeyId = []byte("key")
	a.Signer = tsatest.Issue(t, a.Intermediate, c)
	for name, change := range forms {
		t.Run(name, func(t *testing.T) {
			accepted(t, with(a, change), a)
		})
	}
	t.Run("bare token", func(t *testing.T) {
		k := a.Token(crypto.SHA256, tsatest.Sum(crypto.SHA256, []byte(content)))
		accepted(t, &ocm.Timestamp{Value: string(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: k.Bytes()}))}, a)
	})
	t.Run("space around the block", func(t *testing.T) {
		ts := a.Stamp(stamped())
		ts.Value = "\r\n " + strings.ReplaceAll(ts.Value, "\n", "\r\n") + "\n\n"
		accepted(t, ts, a)
	})
}

// essCertID is the older attribute, which names a certificate by its SHA-1.
func essCertID(c *x509.Certificate) []byte {
	return tsatest.Attribute(tsatest.SigningCert, tsatest.Seq(tsatest.Seq(tsatest.Seq(tsatest.TLV(4, tsatest.Sum(crypto.SHA1, c.Raw))))))
}

func TestCheckAcceptsEveryAlgorithm(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey, "PSS": rsaKey, "P-384": p384, "Ed25519": ed} {
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			t.Run(name+" "+hash.String(), func(t *testing.T) {
				b := *a
				b.Signer = tsatest.IssueFor(t, a.Intermediate, tsatest.Stamper(name), key)
				sum := tsatest.Sum(hash, []byte(content))
				k := b.Token(hash, sum)
				k.SignHash, k.PSS = hash, name == "PSS"
				d := ocm.Digest{HashAlgorithm: hash.String(), Value: hex.EncodeToString(sum)}
				ts := &ocm.Timestamp{Value: tsatest.PEM(k.Answer())}
				if _, err := timestamp.Check(ts, d, a.Roots()); err != nil {
					t.Error(err)
				}
				k.Edit = func(p *tsatest.Pieces) {
					p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 5), []byte{5, 0})
				}
				if _, err := timestamp.Check(&ocm.Timestamp{Value: tsatest.PEM(k.Answer())}, d, a.Roots()); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "not accepted") {
					t.Errorf("SHA-1: %v", err)
				}
				d.Value = hex.EncodeToString(tsatest.Sum(hash, []byte("other")))
				if _, err := timestamp.Check(ts, d, a.Roots()); !errors.Is(err, ocm.ErrDigest) {
					t.Error(err)
				}
			})
		}
	}
}

func TestCheckDigest(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	ts := a.Stamp(stamped())
	for _, d := range []ocm.Digest{
		{},
		{HashAlgorithm: "SHA-1", Value: strings.Repeat("ab", 20)},
		{HashAlgorithm: ocm.SHA256, Value: "abc"},
		{HashAlgorithm: ocm.SHA256, Value: strings.Repeat("ab", 31)},
		{HashAlgorithm: ocm.SHA256, Value: strings.Repeat("zz", 32)},
		{HashAlgorithm: "sha256", Value: stamped().Value},
	} {
		if _, err := timestamp.Check(ts, d, a.Roots()); !errors.Is(err, ocm.ErrInvalid) || !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%v: %v", d, err)
		}
	}
	refused(t, nil, a.Roots(), ocm.ErrNotFound, "none")
}
