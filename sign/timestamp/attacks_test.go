// SPDX-License-Identifier: Apache-2.0

package timestamp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/sign/timestamp"
	"ocm/sign/timestamp/tsatest"
)

// attack is a token that must not be accepted, and why.
type attack struct {
	change func(*tsatest.Token)
	kind   error
	reason string
}

func run(t *testing.T, a *tsatest.Authority, attacks map[string]attack) {
	t.Helper()
	for name, c := range attacks {
		t.Run(name, func(t *testing.T) {
			refused(t, with(a, c.change), a.Roots(), c.kind, c.reason)
		})
	}
}

// edit is an attack on the pieces of a token.
func edit(f func(*tsatest.Pieces)) func(*tsatest.Token) {
	return func(k *tsatest.Token) { k.Edit = f }
}

// The certificates beside the signer's must not confuse which one is checked: the signature was made with one, and the
// rules for time stamping were asked of another.
func TestCVE_2026_39984_CertificateBesideTheSigners(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	code := tsatest.Stamper("code signer of the same root")
	code.ExtraExtensions = []pkix.Extension{tsatest.Usage(true, 3)}
	thief := tsatest.Issue(t, a.Intermediate, code)
	twinOf := tsatest.Stamper("twin")
	twinOf.Subject, twinOf.SerialNumber = a.Signer.Cert.Subject, a.Signer.Cert.SerialNumber
	selfMade := tsatest.Issue(t, tsatest.Pair{}, tsatest.CA("Test TSA intermediate")) // has the name of the real one
	twin := tsatest.Issue(t, selfMade, twinOf)
	both := []*x509.Certificate{a.Signer.Cert, thief.Cert, a.Intermediate.Cert}
	run(t, a, map[string]attack{
		"another certificate of the token signed, and is identified": {func(k *tsatest.Token) {
			k.Certs, k.Cert, k.Key, k.Named = both, thief.Cert, thief.Key, a.Signer.Cert
		}, ocm.ErrInvalid, "identifier"},
		"another certificate signed, the good one is identified and named": {func(k *tsatest.Token) {
			k.Certs, k.Key = both, thief.Key
		}, nil, "does not fit"},
		"another certificate signed and is named, the good one is identified": {func(k *tsatest.Token) {
			k.Certs, k.Key, k.Named = both, thief.Key, thief.Cert
		}, ocm.ErrInvalid, "identifier"},
		"another certificate signed, is identified and named, a good one stands first": {func(k *tsatest.Token) {
			k.Certs, k.Cert, k.Key = both, thief.Cert, thief.Key
		}, ocm.ErrInvalid, "time stamping only"},
		"a self-made twin with issuer and serial number of the good one stands first": {func(k *tsatest.Token) {
			k.Certs, k.Key = []*x509.Certificate{twin.Cert, a.Signer.Cert, a.Intermediate.Cert, selfMade.Cert}, twin.Key
		}, nil, "does not fit"},
		"a self-made twin signed and is named": {func(k *tsatest.Token) {
			k.Certs, k.Key, k.Named = []*x509.Certificate{a.Signer.Cert, twin.Cert, a.Intermediate.Cert, selfMade.Cert}, twin.Key, twin.Cert
		}, nil, "does not lead"},
		"the two attributes name different certificates": {func(k *tsatest.Token) {
			k.Certs = both
			k.Edit = func(p *tsatest.Pieces) { p.Attributes = append(p.Attributes, essCertID(thief.Cert)) }
		}, ocm.ErrInvalid, "not among"},
	})
	t.Run("a twin beside a good token changes nothing", func(t *testing.T) {
		ts := with(a, func(k *tsatest.Token) {
			k.Certs = []*x509.Certificate{twin.Cert, thief.Cert, selfMade.Cert, k.Cert, a.Intermediate.Cert}
		})
		accepted(t, ts, a)
	})
}

func TestTheSignersCertificateIsNamed(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	id := func(parts ...[]byte) func(*tsatest.Token) {
		return edit(func(p *tsatest.Pieces) { p.Attributes[2] = tsatest.Attribute(tsatest.SigningCertV2, parts...) })
	}
	sum := tsatest.TLV(4, tsatest.Sum(crypto.SHA256, a.Signer.Cert.Raw))
	run(t, a, map[string]attack{
		"no attribute":   {edit(func(p *tsatest.Pieces) { p.Attributes = p.Attributes[:2] }), ocm.ErrInvalid, "does not say whose"},
		"two attributes": {edit(func(p *tsatest.Pieces) { p.Attributes = append(p.Attributes, p.Attributes[2]) }), ocm.ErrInvalid, "several values"},
		"two values":     {id(tsatest.Named(a.Signer.Cert), tsatest.Named(a.Signer.Cert)), ocm.ErrInvalid, "several values"},
		"empty":          {id(tsatest.Seq(tsatest.Seq())), ocm.ErrInvalid, "names the signer"},
		"not a sequence": {id(tsatest.Int(1)), ocm.ErrInvalid, "names the signer"},
		"SHA-1 in v2":    {id(tsatest.Seq(tsatest.Seq(tsatest.Seq(tsatest.HashAlg(crypto.SHA1), sum)))), ocm.ErrInvalid, "expected SHA-256"},
		"more in it":     {id(tsatest.Seq(tsatest.Seq(tsatest.Seq(sum, sum)))), ocm.ErrInvalid, "names the signer"},
		"another issuer": {id(tsatest.Seq(tsatest.Seq(tsatest.Seq(sum, tsatest.Seq(tsatest.Seq(tsatest.TLV(0xa4, a.Root.Cert.RawSubject)), tsatest.Int(1)))))), ocm.ErrInvalid, "not among"},
		"a DNS name as issuer": {id(tsatest.Seq(tsatest.Seq(tsatest.Seq(sum, tsatest.Seq(tsatest.Seq(tsatest.TLV(0x82, []byte("x"))), tsatest.Int(1)))))),
			ocm.ErrInvalid, "names the signer"},
		"certificate left out": {func(k *tsatest.Token) { k.Certs = nil }, ocm.ErrInvalid, "not among the 0"},
		"empty key identifier": {edit(func(p *tsatest.Pieces) { p.SID = tsatest.TLV(0x80) }), ocm.ErrInvalid, "identifier"},
		"other key identifier": {edit(func(p *tsatest.Pieces) { p.SID = tsatest.TLV(0x80, []byte("x")) }), ocm.ErrInvalid, "identifier"},
		"serial number with more": {edit(func(p *tsatest.Pieces) {
			p.SID = tsatest.Seq(a.Signer.Cert.RawIssuer, serial(a.Signer.Cert), tsatest.Int(1))
		}), ocm.ErrInvalid, "identifier"},
		"right serial number of another issuer": {edit(func(p *tsatest.Pieces) {
			p.SID = tsatest.Seq(a.Root.Cert.RawSubject, serial(a.Signer.Cert))
		}), ocm.ErrInvalid, "identifier"},
		"right serial number of another issuer is named": {id(tsatest.Seq(tsatest.Seq(tsatest.Seq(sum, tsatest.Seq(tsatest.Seq(tsatest.TLV(0xa4, a.Root.Cert.RawSubject)), serial(a.Signer.Cert)))))),
			ocm.ErrInvalid, "not among"},
		"other serial number is named": {id(tsatest.Seq(tsatest.Seq(tsatest.Seq(sum, tsatest.Seq(tsatest.Seq(tsatest.TLV(0xa4, a.Signer.Cert.RawIssuer)), tsatest.Int(1)))))),
			ocm.ErrInvalid, "not among"},
		"no signer":   {edit(func(p *tsatest.Pieces) { p.Signers = 0 }), ocm.ErrInvalid, "signer"},
		"two signers": {edit(func(p *tsatest.Pieces) { p.Signers = 2 }), ocm.ErrInvalid, "more than one signer"},
	})
}

// serial is the serial number of a certificate in DER.
func serial(c *x509.Certificate) []byte {
	der, err := asn1.Marshal(c.SerialNumber)
	if err != nil {
		panic(err)
	}
	return der
}

func TestOnlyATimeStampingCertificateTellsTheTime(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	type kind struct {
		extensions []pkix.Extension
		usage      x509.KeyUsage
		ca         bool
		reason     string
	}
	for name, c := range map[string]kind{
		"code signing":            {[]pkix.Extension{tsatest.Usage(true, 3)}, x509.KeyUsageDigitalSignature, false, "time stamping only"},
		"no usage":                {nil, x509.KeyUsageDigitalSignature, false, "time stamping only"},
		"any usage":               {[]pkix.Extension{{Id: []int{2, 5, 29, 37}, Critical: true, Value: tsatest.Seq(tsatest.OID(2, 5, 29, 37, 0))}}, 0, false, "time stamping only"},
		"not critical":            {[]pkix.Extension{tsatest.Usage(false, 8)}, x509.KeyUsageDigitalSignature, false, "time stamping only"},
		"code signing too":        {[]pkix.Extension{tsatest.Usage(true, 8, 3)}, x509.KeyUsageDigitalSignature, false, "time stamping only"},
		"something unknown too":   {[]pkix.Extension{tsatest.Usage(true, 8, 99)}, x509.KeyUsageDigitalSignature, false, "time stamping only"},
		"certificate authority":   {[]pkix.Extension{tsatest.Usage(true, 8)}, x509.KeyUsageDigitalSignature, true, "more than sign"},
		"issues certificates too": {[]pkix.Extension{tsatest.Usage(true, 8)}, x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, false, "more than sign"},
		"encrypts":                {[]pkix.Extension{tsatest.Usage(true, 8)}, x509.KeyUsageKeyEncipherment, false, "more than sign"},
		"unknown critical extension": {[]pkix.Extension{tsatest.Usage(true, 8), {Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}},
			x509.KeyUsageDigitalSignature, false, "unhandled critical extension"},
	} {
		t.Run(name, func(t *testing.T) {
			b := *a
			x := tsatest.Stamper(name)
			x.ExtraExtensions, x.KeyUsage, x.IsCA = c.extensions, c.usage, c.ca
			b.Signer = tsatest.Issue(t, a.Intermediate, x)
			refused(t, b.Stamp(stamped()), a.Roots(), nil, c.reason)
		})
	}
}

func TestCertificateSignedWithSHA1(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	c := tsatest.Stamper("TSA")
	c.SignatureAlgorithm = x509.ECDSAWithSHA1
	a.Signer = tsatest.Issue(t, a.Intermediate, c)
	refused(t, a.Stamp(stamped()), a.Roots(), nil, "does not lead to a root")
}

// What makes a foreign parser panic is refused like anything else.
func TestNoPanic(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	ts := a.Stamp(stamped())
	root := *a.Root.Cert
	root.PublicKey = (*ecdsa.PublicKey)(nil)
	refused(t, ts, []*x509.Certificate{&root}, ocm.ErrInvalid, "panic")
	env := &ocm.Env{HTTP: roundTripper(func(*http.Request) (*http.Response, error) { panic("no") })}
	if _, err := timestamp.Request(t.Context(), env, a.URL, stamped()); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}

func TestIntermediateThatMayNotStamp(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	ca := tsatest.CA("for code signing only")
	ca.ExtraExtensions = []pkix.Extension{tsatest.Usage(false, 3)}
	a.Intermediate = tsatest.Issue(t, a.Root, ca)
	a.Signer = tsatest.Issue(t, a.Intermediate, tsatest.Stamper("TSA"))
	refused(t, a.Stamp(stamped()), a.Roots(), nil, "incompatible key usage")
}

func TestSelfMadeAuthority(t *testing.T) {
	t.Parallel()
	a, other := tsatest.New(t), tsatest.New(t) // the certificates of both have the same names
	ts := other.Stamp(stamped())
	refused(t, ts, a.Roots(), nil, "does not lead to a root")
	withRoot := with(other, func(k *tsatest.Token) { k.Certs = append(k.Certs, other.Root.Cert, a.Intermediate.Cert, a.Root.Cert) })
	refused(t, withRoot, a.Roots(), nil, "does not lead to a root")
	refused(t, ts, nil, ocm.ErrNotFound, "no root certificate")
	refused(t, ts, []*x509.Certificate{}, ocm.ErrNotFound, "no root certificate")
	refused(t, ts, []*x509.Certificate{nil}, ocm.ErrInvalid, "one of the roots")
	other.Signer = tsatest.Issue(t, tsatest.Pair{}, tsatest.Stamper("self-signed"))
	refused(t, other.Stamp(stamped()), a.Roots(), nil, "does not lead to a root")
}

// The key of an authority that is gone, or is not there yet, must not tell the time.
func TestCVE_2026_54787_TimeOutsideTheCertificates(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	for name, at := range map[string]time.Time{
		"expired":       a.Signer.Cert.NotAfter.Add(time.Second),
		"not yet valid": a.Signer.Cert.NotBefore.Add(-time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			b := *a
			b.Now = func() time.Time { return at }
			refused(t, b.Stamp(stamped()), a.Roots(), nil, "judged at "+at.UTC().Format(time.RFC3339))
		})
	}
	t.Run("expired today, valid then", func(t *testing.T) {
		b := *a
		old := tsatest.Stamper("old")
		old.NotAfter = time.Now().Add(-time.Hour)
		b.Signer = tsatest.Issue(t, a.Intermediate, old)
		refused(t, b.Stamp(stamped()), a.Roots(), nil, "judged at")
		b.Now = func() time.Time { return old.NotAfter.Add(-time.Hour) }
		accepted(t, b.Stamp(stamped()), &b)
	})
	t.Run("year 1, which the library takes for now", func(t *testing.T) {
		refused(t, with(a, func(k *tsatest.Token) { k.Time = time.Time{} }), a.Roots(), ocm.ErrInvalid, "before there were any")
	})
}

func TestCVE_2026_24122_ExpiredIntermediate(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	ca := tsatest.CA("expired")
	ca.NotAfter = time.Now().Add(-time.Hour)
	a.Intermediate = tsatest.Issue(t, a.Root, ca)
	a.Signer = tsatest.Issue(t, a.Intermediate, tsatest.Stamper("TSA"))
	refused(t, a.Stamp(stamped()), a.Roots(), nil, "expired")
	a.Now = func() time.Time { return ca.NotAfter.Add(-time.Hour) }
	accepted(t, a.Stamp(stamped()), a)
}

func TestTokenForSomethingElse(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	sum := tsatest.Sum(crypto.SHA256, []byte(content))
	run(t, a, map[string]attack{
		"other digest":           {func(k *tsatest.Token) { k.Imprint = tsatest.Sum(crypto.SHA256, []byte("other")) }, ocm.ErrDigest, "something else"},
		"other hash algorithm":   {func(k *tsatest.Token) { k.Hash, k.Imprint = crypto.SHA512, tsatest.Sum(crypto.SHA512, []byte(content)) }, ocm.ErrDigest, "something else"},
		"only a part of it":      {func(k *tsatest.Token) { k.Imprint = k.Imprint[:31] }, ocm.ErrInvalid, "TSTInfo"},
		"more than it":           {func(k *tsatest.Token) { k.Imprint = append(sum[:32:32], 0) }, ocm.ErrInvalid, "TSTInfo"},
		"nothing":                {func(k *tsatest.Token) { k.Imprint = nil }, ocm.ErrInvalid, "TSTInfo"},
		"hashed twice more":      {func(k *tsatest.Token) { k.Imprint = tsatest.Sum(crypto.SHA256, tsatest.Sum(crypto.SHA256, sum)) }, ocm.ErrDigest, "something else"},
		"hex instead of bytes":   {func(k *tsatest.Token) { k.Imprint = []byte(stamped().Value) }, ocm.ErrInvalid, "TSTInfo"},
		"SHA-1":                  {func(k *tsatest.Token) { k.Hash, k.Imprint = crypto.SHA1, sum[:20] }, ocm.ErrInvalid, "expected SHA-256"},
		"parameters of the hash": {replaceInInfo([]byte{5, 0, 4, 32}, []byte{1, 0, 4, 32}), ocm.ErrInvalid, "hash algorithm"},
	})
}

// replaceInInfo changes what is signed.
func replaceInInfo(old, replacement []byte) func(*tsatest.Token) {
	return func(k *tsatest.Token) {
		k.Edit = func(p *tsatest.Pieces) {
			p.Info = bytes.Replace(p.Info, old, replacement, 1)
			p.Attributes[1] = tsatest.Attribute(tsatest.MessageDigest, tsatest.TLV(4, tsatest.Sum(k.SignHash, p.Info)))
		}
	}
}

func TestSignatureCoversTheToken(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short := tsatest.IssueFor(t, a.Intermediate, tsatest.Stamper("weak"), weak)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	curve := tsatest.IssueFor(t, a.Intermediate, tsatest.Stamper("weak"), p224)
	by := func(p tsatest.Pair) func(*tsatest.Token) {
		return func(k *tsatest.Token) {
			k.Cert, k.Key, k.Certs = p.Cert, p.Key, []*x509.Certificate{p.Cert, a.Intermediate.Cert}
		}
	}
	sha1 := tsatest.HashAlg(crypto.SHA1)
	run(t, a, map[string]attack{
		"content is not the digested one": {edit(func(p *tsatest.Pieces) {
			p.Info = bytes.Replace(p.Info, []byte{2, 1, 42}, []byte{2, 1, 43}, 1)
		}), ocm.ErrDigest, "digest that is signed"},
		"no message digest": {edit(func(p *tsatest.Pieces) { p.Attributes = [][]byte{p.Attributes[0], p.Attributes[2]} }), ocm.ErrDigest, "digest that is signed"},
		"no attributes":     {edit(func(p *tsatest.Pieces) { p.Attributes = nil }), ocm.ErrInvalid, "content type"},
		"no content type":   {edit(func(p *tsatest.Pieces) { p.Attributes = p.Attributes[1:] }), ocm.ErrInvalid, "content type"},
		"another content type is signed": {edit(func(p *tsatest.Pieces) {
			p.Attributes[0] = tsatest.Attribute(tsatest.ContentType, tsatest.OID(1, 2, 840, 113549, 1, 7, 1))
		}), ocm.ErrInvalid, "content type"},
		"another content type": {edit(func(p *tsatest.Pieces) { p.InnerType = tsatest.OID(1, 2, 840, 113549, 1, 7, 1) }), ocm.ErrInvalid, "expected TSTInfo"},
		"hash of the signature is another than that of the content": {edit(func(p *tsatest.Pieces) {
			p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 10045, 4, 3, 4))
		}), ocm.ErrInvalid, "not accepted"},
		"digest by SHA-1":                    {edit(func(p *tsatest.Pieces) { p.DigestAlg = sha1 }), ocm.ErrInvalid, "expected SHA-256"},
		"Ed25519 algorithm with another key": {edit(func(p *tsatest.Pieces) { p.SignAlg = tsatest.Seq(tsatest.OID(1, 3, 101, 112)) }), ocm.ErrInvalid, "not accepted"},
		"parameters of the signature": {edit(func(p *tsatest.Pieces) {
			p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 10045, 4, 3, 2), tsatest.Int(1))
		}), ocm.ErrInvalid, "not accepted"},
		"RSA algorithm with another key": {edit(func(p *tsatest.Pieces) {
			p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 11))
		}), ocm.ErrInvalid, "not accepted"},
		"a short RSA key": {by(short), ocm.ErrInvalid, "1024 bits"},
		"a short curve":   {by(curve), ocm.ErrInvalid, "not accepted"},
		"signed by nobody": {func(k *tsatest.Token) {
			k.Key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}, nil, "does not fit"},
	})
}

func TestRSAAlgorithms(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a.Signer = tsatest.IssueFor(t, a.Intermediate, tsatest.Stamper("RSA"), key)
	h, other := tsatest.HashAlg(crypto.SHA256), tsatest.HashAlg(crypto.SHA512)
	mgf := func(h []byte) []byte { return tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 8), h) }
	pss := func(parts ...[]byte) func(*tsatest.Token) {
		return func(k *tsatest.Token) {
			k.PSS = true
			k.Edit = func(p *tsatest.Pieces) {
				p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 10), tsatest.Seq(parts...))
			}
		}
	}
	accepted(t, with(a, edit(func(p *tsatest.Pieces) {
		p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 1), []byte{5, 0})
	})), a)
	accepted(t, with(a, pss(tsatest.TLV(0xa0, h), tsatest.TLV(0xa1, mgf(h)), tsatest.TLV(0xa2, tsatest.Int(32)))), a)
	run(t, a, map[string]attack{
		"defaults, which are SHA-1": {pss(), ocm.ErrInvalid, "not accepted"},
		"other hash":                {pss(tsatest.TLV(0xa0, other), tsatest.TLV(0xa1, mgf(h)), tsatest.TLV(0xa2, tsatest.Int(32))), ocm.ErrInvalid, "not accepted"},
		"other mask hash":           {pss(tsatest.TLV(0xa0, h), tsatest.TLV(0xa1, mgf(other)), tsatest.TLV(0xa2, tsatest.Int(32))), ocm.ErrInvalid, "not accepted"},
		"other salt":                {pss(tsatest.TLV(0xa0, h), tsatest.TLV(0xa1, mgf(h)), tsatest.TLV(0xa2, tsatest.Int(20))), ocm.ErrInvalid, "not accepted"},
		"other mask": {pss(tsatest.TLV(0xa0, h), tsatest.TLV(0xa1, tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 9), h)), tsatest.TLV(0xa2, tsatest.Int(32))),
			ocm.ErrInvalid, "not accepted"},
		"none": {edit(func(p *tsatest.Pieces) { p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 10)) }), ocm.ErrInvalid, "not accepted"},
		"another hash's algorithm": {edit(func(p *tsatest.Pieces) {
			p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 13), []byte{5, 0})
		}), ocm.ErrInvalid, "not accepted"},
		"parameters where are none": {edit(func(p *tsatest.Pieces) {
			p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 1, 11), tsatest.Int(1))
		}), ocm.ErrInvalid, "not accepted"},
		"an elliptic curve's": {edit(func(p *tsatest.Pieces) { p.SignAlg = tsatest.Seq(tsatest.OID(1, 2, 840, 10045, 4, 3, 2)) }), ocm.ErrInvalid, "not accepted"},
		"more":                {pss(tsatest.TLV(0xa0, h), tsatest.TLV(0xa1, mgf(h)), tsatest.TLV(0xa2, tsatest.Int(32)), tsatest.Int(1)), ocm.ErrInvalid, "not accepted"},
	})
}

// timeText writes the time in a form of its own.
func timeText(text string) func(*tsatest.Token) {
	return func(k *tsatest.Token) {
		k.Edit = func(p *tsatest.Pieces) {
			before, _, _ := bytes.Cut(p.Info, []byte{0x18, 15})
			_, content, _ := bytes.Cut(before, []byte{2, 1, 1})
			p.Info = tsatest.Seq(tsatest.Int(1), content, tsatest.TLV(0x18, []byte(text)))
			p.Attributes[1] = tsatest.Attribute(tsatest.MessageDigest, tsatest.TLV(4, tsatest.Sum(k.SignHash, p.Info)))
		}
	}
}

func TestContentOfTheToken(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	extra := func(der ...byte) func(*tsatest.Token) { return func(k *tsatest.Token) { k.Extra = der } }
	extensions := func(der []byte) func(*tsatest.Token) {
		return func(k *tsatest.Token) { k.Extensions = tsatest.TLV(0xa1, der) }
	}
	run(t, a, map[string]attack{
		"accuracy of 61 s":            {extra(tsatest.Seq(tsatest.Int(61))...), ocm.ErrLimit, "exact to"},
		"accuracy of 60.001 s":        {extra(tsatest.Seq(tsatest.Int(60), tsatest.TLV(0x80, []byte{1}))...), ocm.ErrLimit, "exact to"},
		"accuracy that overflows":     {extra(tsatest.Seq(tsatest.Int(1 << 62))...), ocm.ErrLimit, "exact to"},
		"accuracy below zero":         {extra(tsatest.Seq(tsatest.Int(-1))...), ocm.ErrInvalid, "accuracy"},
		"accuracy of 1000 ms":         {extra(tsatest.Seq(tsatest.TLV(0x80, []byte{3, 0xe8}))...), ocm.ErrInvalid, "accuracy"},
		"accuracy of -1 ms":           {extra(tsatest.Seq(tsatest.TLV(0x80, []byte{0xff}))...), ocm.ErrInvalid, "accuracy"},
		"accuracy of -1 µs":           {extra(tsatest.Seq(tsatest.TLV(0x81, []byte{0xff}))...), ocm.ErrInvalid, "accuracy"},
		"accuracy of 1000 µs":         {extra(tsatest.Seq(tsatest.TLV(0x81, []byte{3, 0xe8}))...), ocm.ErrInvalid, "accuracy"},
		"fractions that end in 0":     {timeText("20260101000000.50Z"), ocm.ErrInvalid, "TSTInfo"},
		"fractions after a comma":     {timeText("20260101000000,5Z"), ocm.ErrInvalid, "TSTInfo"},
		"accuracy with more":          {extra(tsatest.Seq(tsatest.Seq())...), ocm.ErrInvalid, "accuracy"},
		"critical extension":          {extensions(tsatest.Seq(tsatest.OID(1, 2, 3), []byte{1, 1, 0xff}, tsatest.TLV(4))), ocm.ErrInvalid, "critical"},
		"malformed extension":         {extensions(tsatest.Seq(tsatest.OID(1, 2, 3))), ocm.ErrInvalid, "extension"},
		"more at the end":             {func(k *tsatest.Token) { k.Extensions = tsatest.TLV(4) }, ocm.ErrInvalid, "TSTInfo"},
		"long nonce":                  {func(k *tsatest.Token) { k.Extensions = tsatest.TLV(2, bytes.Repeat([]byte{1}, 65)) }, ocm.ErrInvalid, "nonce"},
		"version 2":                   {replaceInInfo([]byte{2, 1, 1}, []byte{2, 1, 2}), ocm.ErrInvalid, "version 2"},
		"time in another form":        {replaceInInfo([]byte("Z"), []byte("z")), ocm.ErrInvalid, "TSTInfo"},
		"trailing bytes in the info":  {edit(func(p *tsatest.Pieces) { p.Info = append(p.Info, 0) }), ocm.ErrInvalid, "TSTInfo"},
		"trailing bytes after signer": {edit(func(p *tsatest.Pieces) { p.Tail = tsatest.Int(1) }), ocm.ErrInvalid, "signer"},
		"status: rejected":            {func(k *tsatest.Token) { k.Status = 2 }, ocm.ErrInvalid, "did not grant"},
		"status: waiting":             {func(k *tsatest.Token) { k.Status = 3 }, ocm.ErrInvalid, "did not grant"},
		"status: below zero":          {func(k *tsatest.Token) { k.Status = -1 }, ocm.ErrInvalid, "did not grant"},
	})
}

func TestTimeBesideTheToken(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	good := a.Stamp(stamped())
	at := accepted(t, good, a).Time
	for _, text := range []string{"", at.Format(time.RFC3339), at.In(time.FixedZone("", 7200)).Format(time.RFC3339), at.Add(time.Second).Format(time.RFC3339)} {
		good.Time = text
		accepted(t, good, a)
	}
	for _, text := range []string{at.Add(2 * time.Second).Format(time.RFC3339), at.Add(-2 * time.Second).Format(time.RFC3339), "0001-01-01T00:00:00Z"} {
		good.Time = text
		refused(t, good, a.Roots(), ocm.ErrInvalid, "the authority signed")
	}
	for _, text := range []string{"yesterday", " ", at.Format(time.RFC1123), strings.Repeat("9", 1<<20)} {
		good.Time = text
		refused(t, good, a.Roots(), ocm.ErrInvalid, "RFC 3339")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	many := func(n int) func(*tsatest.Token) {
		return func(k *tsatest.Token) {
			for len(k.Certs) < n {
				k.Certs = append(k.Certs, a.Root.Cert)
			}
		}
	}
	accepted(t, with(a, many(timestamp.MaxCertificates)), a)
	too := make([]byte, timestamp.MaxResponse)
	run(t, a, map[string]attack{
		"certificates": {many(timestamp.MaxCertificates + 1), ocm.ErrLimit, "certificates"},
		"bytes":        {func(k *tsatest.Token) { k.Extensions = tsatest.TLV(0xa0, too) }, ocm.ErrLimit, "bytes"},
		"attributes": {edit(func(p *tsatest.Pieces) {
			for i := range 30 {
				p.Attributes = append(p.Attributes, tsatest.Attribute(tsatest.OID(1, 2, i), tsatest.Int(1)))
			}
		}), ocm.ErrLimit, "attributes"},
	})
	t.Run("text", func(t *testing.T) {
		refused(t, &ocm.Timestamp{Value: strings.Repeat("-----BEGIN ", 1<<20)}, a.Roots(), ocm.ErrLimit, "bytes")
	})
	for name, key := range map[string]*rsa.PublicKey{
		"bits":     {N: newOdd(8193), E: 65537},
		"exponent": {N: newOdd(2048), E: 65539},
	} {
		c := costly(t, a, key)
		t.Run("RSA "+name+" of the signer", func(t *testing.T) {
			refused(t, with(a, func(k *tsatest.Token) { k.Cert, k.Certs = c, []*x509.Certificate{c, a.Intermediate.Cert} }), a.Roots(), ocm.ErrLimit, "RSA key")
		})
		t.Run("RSA "+name+" of another", func(t *testing.T) {
			refused(t, with(a, func(k *tsatest.Token) { k.Certs = append(k.Certs, c) }), a.Roots(), ocm.ErrLimit, "RSA key")
		})
	}
}

// costly is a certificate whose key takes long to verify with.
func costly(t *testing.T, a *tsatest.Authority, key *rsa.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tsatest.Stamper("costly"), a.Intermediate.Cert, key, a.Intermediate.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A message is for people: an authority does not get to fill the screen.
func TestMessagesAreShort(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	long := append([]byte{6, 0x82, 0x40, 0}, bytes.Repeat([]byte{1}, 0x4000)...)
	name := tsatest.Stamper(strings.Repeat("x", 10000))
	name.ExtraExtensions = nil
	named := tsatest.Issue(t, a.Intermediate, name)
	for what, change := range map[string]func(*tsatest.Token){
		"content type": edit(func(p *tsatest.Pieces) { p.InnerType = long }),
		"digest":       edit(func(p *tsatest.Pieces) { p.DigestAlg = tsatest.Seq(long) }),
		"algorithm":    edit(func(p *tsatest.Pieces) { p.SignAlg = tsatest.Seq(long) }),
		"attribute": edit(func(p *tsatest.Pieces) {
			p.Attributes = append(p.Attributes, tsatest.Attribute(long, tsatest.Int(1), tsatest.Int(2)))
		}),
		"imprint": func(k *tsatest.Token) { k.Imprint = make([]byte, 10000) },
		"extension": func(k *tsatest.Token) {
			k.Extensions = tsatest.TLV(0xa1, tsatest.Seq(long, []byte{1, 1, 0xff}, tsatest.TLV(4)))
		},
		"name": func(k *tsatest.Token) {
			k.Cert, k.Key, k.Certs = named.Cert, named.Key, []*x509.Certificate{named.Cert}
		},
		"time beside":   nil,
		"failure bits":  nil,
		"kind of token": nil,
	} {
		var ts *ocm.Timestamp
		switch what {
		case "time beside":
			ts = a.Stamp(stamped())
			ts.Time = strings.Repeat("x", 10000)
		case "failure bits":
			ts = &ocm.Timestamp{Value: tsatest.PEM(tsatest.Seq(tsatest.Seq(tsatest.Int(2), tsatest.Seq(tsatest.TLV(0x0c, make([]byte, 5000))), tsatest.TLV(3, make([]byte, 10000)))))}
		case "kind of token":
			ts = &ocm.Timestamp{Value: tsatest.PEM(tsatest.Seq(long, tsatest.TLV(0xa0)))}
		default:
			ts = with(a, change)
		}
		if _, err := timestamp.Check(ts, stamped(), a.Roots()); err == nil || len(err.Error()) > 1500 {
			t.Errorf("%s: %d characters: %.100v", what, len(fmt.Sprint(err)), err)
		}
	}
}

// Values that are not one PEM block of one DER object.
func TestMalformedValues(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	good := a.Stamp(stamped()).Value
	block, _ := pem.Decode([]byte(good))
	der := block.Bytes
	refusedValue := func(name, value, reason string) {
		t.Run(name, func(t *testing.T) {
			refused(t, &ocm.Timestamp{Value: value}, a.Roots(), ocm.ErrInvalid, reason)
		})
	}
	refusedValue("empty", "", "not one PEM block")
	refusedValue("no PEM", base64.StdEncoding.EncodeToString(der), "not one PEM block")
	refusedValue("two blocks", good+good, "not one PEM block")
	refusedValue("text before", "x\n"+good, "not one PEM block")
	refusedValue("text after", good+"x", "not one well-formed")
	refusedValue("broken block", strings.Replace(good, "-----END TIMESTAMP", "-----END OTHER", 1), "not one well-formed")
	refusedValue("a broken block before", "-----BEGIN X-----\n"+good, "not one PEM block")
	refusedValue("empty block", tsatest.PEM(nil), "DER")
	refusedValue("trailing byte", tsatest.PEM(append(der[:len(der):len(der)], 0)), "DER")
	refusedValue("a second answer", tsatest.PEM(append(der[:len(der):len(der)], der...)), "DER")
	refusedValue("status only", tsatest.PEM(tsatest.Seq(tsatest.Seq(tsatest.Int(0)))), "DER")
	refusedValue("another CMS type", tsatest.PEM(tsatest.Seq(tsatest.OID(1, 2, 840, 113549, 1, 7, 1), tsatest.TLV(0xa0, tsatest.TLV(4)))), "expected SignedData")
	t.Run("truncated anywhere", func(t *testing.T) {
		for n := range der {
			refused(t, &ocm.Timestamp{Value: tsatest.PEM(der[:n])}, a.Roots(), ocm.ErrInvalid, "DER")
		}
	})
	t.Run("any byte changed", func(t *testing.T) {
		for i := range der {
			for _, mask := range []byte{0x10, 0x80, 0xff} {
				bad := bytes.Clone(der)
				bad[i] ^= mask
				if r, err := timestamp.Check(&ocm.Timestamp{Value: tsatest.PEM(bad)}, stamped(), a.Roots()); err == nil {
					t.Errorf("accepted with byte %d changed by %x: %s by %q", i, mask, r.Time, r.Signer.Subject)
				}
			}
		}
	})
	t.Run("indefinite lengths", func(t *testing.T) {
		ber := append([]byte{0x30, 0x80}, der[4:]...)
		refused(t, &ocm.Timestamp{Value: tsatest.PEM(append(ber, 0, 0))}, a.Roots(), ocm.ErrInvalid, "DER")
	})
	t.Run("a longer form of a length", func(t *testing.T) {
		ber := append([]byte{0x30, 0x83, 0, der[2], der[3]}, der[4:]...)
		refused(t, &ocm.Timestamp{Value: tsatest.PEM(ber)}, a.Roots(), ocm.ErrInvalid, "DER")
	})
}

// Deep nesting must cost neither stack nor time.
func TestCVE_2026_33818_CVE_2026_56859_Nesting(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	deep := []byte{}
	for len(deep) < 30000 { // as an encoder from inside out would make it
		deep = tsatest.Seq(deep)
	}
	indefinite := bytes.Repeat([]byte{0x30, 0x80}, 15000)
	start := time.Now()
	for _, evil := range [][]byte{deep, indefinite} {
		refused(t, &ocm.Timestamp{Value: tsatest.PEM(evil)}, a.Roots(), ocm.ErrInvalid, "DER")
		for name, change := range map[string]func(*tsatest.Token){
			"certificates": edit(func(p *tsatest.Pieces) { p.Before = evil }),
			"attribute":    edit(func(p *tsatest.Pieces) { p.Attributes[2] = tsatest.Attribute(tsatest.SigningCertV2, evil) }),
			"signer":       edit(func(p *tsatest.Pieces) { p.SID = evil }),
			"content":      edit(func(p *tsatest.Pieces) { p.Info = evil }),
			"algorithm":    edit(func(p *tsatest.Pieces) { p.SignAlg = evil }),
		} {
			if _, err := timestamp.Check(with(a, change), stamped(), a.Roots()); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

// newOdd is an odd number of that many bits.
func newOdd(bits uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return n.Add(n, big.NewInt(1))
}
