// SPDX-License-Identifier: Apache-2.0

package tsatest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// Token is what an authority says, and how. A test changes what it wants to be wrong, before Answer makes the
// bytes of it.
type Token struct {
	Status     int         // of the answer around the token
	Hash       crypto.Hash // of the imprint
	Imprint    []byte
	Time       time.Time
	Nonce      *big.Int
	Extra      []byte // DER between the time and the nonce: accuracy, ordering
	Extensions []byte // DER after the nonce

	Cert     *x509.Certificate // the signer's
	Key      crypto.Signer     // signs
	SignHash crypto.Hash
	PSS      bool
	Named    *x509.Certificate   // in the attribute ESSCertIDv2; nil: Cert
	Certs    []*x509.Certificate // in the token, in this order

	// Edit changes the pieces before they are signed.
	Edit func(*Pieces)
}

// Pieces are the DER of a token's parts.
type Pieces struct {
	Info       []byte   // TSTInfo
	Digested   []byte   // what the attribute messageDigest is about; nil: Info
	InnerType  []byte   // OBJECT IDENTIFIER of the content
	Attributes [][]byte // signed ones
	SID        []byte   // the signer's identifier
	DigestAlg  []byte
	SignAlg    []byte
	Tail       []byte // of the signer, after the signature
	Signers    int    // how often the signer stands in the set
	Before     []byte // in the set of certificates, before the real ones
}

// Object identifiers that tests need too.
var (
	TSTInfo       = OID(1, 2, 840, 113549, 1, 9, 16, 1, 4)
	ContentType   = OID(1, 2, 840, 113549, 1, 9, 3)
	MessageDigest = OID(1, 2, 840, 113549, 1, 9, 4)
	SigningCert   = OID(1, 2, 840, 113549, 1, 9, 16, 2, 12)
	SigningCertV2 = OID(1, 2, 840, 113549, 1, 9, 16, 2, 47)
)

// OID encodes an object identifier.
func OID(n ...int) []byte { return must(asn1.Marshal(asn1.ObjectIdentifier(n))) }

// TLV encodes a value with a tag: the first byte as it is on the wire.
func TLV(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	switch n := len(content); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, content...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, content...)
	case n < 0x10000:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, content...)
	default:
		return append([]byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}, content...)
	}
}

// Seq encodes a SEQUENCE.
func Seq(parts ...[]byte) []byte { return TLV(0x30, parts...) }

// Set encodes a SET, in the order given.
func Set(parts ...[]byte) []byte { return TLV(0x31, parts...) }

// Int encodes an INTEGER.
func Int(n int64) []byte { return must(asn1.Marshal(n)) }

// Attribute encodes a signed attribute.
func Attribute(kind []byte, values ...[]byte) []byte { return Seq(kind, Set(values...)) }

// Named encodes a SigningCertificateV2 with SHA-256.
func Named(c *x509.Certificate) []byte {
	return Seq(Seq(Seq(TLV(4, Sum(crypto.SHA256, c.Raw)), Seq(Seq(TLV(0xa4, c.RawIssuer)), must(asn1.Marshal(c.SerialNumber))))))
}

// Sum is the hash of data.
func Sum(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

// HashAlg encodes the AlgorithmIdentifier of a hash.
func HashAlg(h crypto.Hash) []byte {
	last := map[crypto.Hash]int{crypto.SHA256: 1, crypto.SHA384: 2, crypto.SHA512: 3}[h]
	if h == crypto.SHA1 {
		return Seq(OID(1, 3, 14, 3, 2, 26), []byte{5, 0})
	}
	return Seq(OID(2, 16, 840, 1, 101, 3, 4, 2, last), []byte{5, 0})
}

// Answer makes the TimeStampResp.
func (k *Token) Answer() []byte {
	return Seq(Seq(Int(int64(k.Status))), k.Bytes())
}

// Bytes makes the bare token.
func (k *Token) Bytes() []byte {
	p := k.pieces()
	if k.Edit != nil {
		k.Edit(p)
	}
	certs := [][]byte{p.Before}
	for _, c := range k.Certs {
		certs = append(certs, c.Raw)
	}
	attrs := bytes.Join(p.Attributes, nil)
	signer := Seq(Int(1), p.SID, p.DigestAlg, TLV(0xa0, attrs), p.SignAlg, TLV(4, k.sign(Set(attrs))), p.Tail)
	return Seq(OID(1, 2, 840, 113549, 1, 7, 2), TLV(0xa0, Seq(
		Int(3), Set(p.DigestAlg), Seq(p.InnerType, TLV(0xa0, TLV(4, p.Info))),
		TLV(0xa0, certs...), Set(slices.Repeat([][]byte{signer}, p.Signers)...))))
}

func (k *Token) pieces() *Pieces {
	nonce := []byte{}
	if k.Nonce != nil {
		nonce = must(asn1.Marshal(k.Nonce))
	}
	info := Seq(Int(1), OID(1, 2, 3, 4), Seq(HashAlg(k.Hash), TLV(4, k.Imprint)), Int(42),
		TLV(0x18, []byte(k.Time.UTC().Format("20060102150405.999999999Z"))), k.Extra, nonce, k.Extensions)
	named := k.Named
	if named == nil {
		named = k.Cert
	}
	return &Pieces{
		Info: info, InnerType: TSTInfo, Signers: 1,
		Attributes: [][]byte{
			Attribute(ContentType, TSTInfo),
			Attribute(MessageDigest, TLV(4, Sum(k.SignHash, info))),
			Attribute(SigningCertV2, Named(named)),
		},
		SID:       Seq(k.Cert.RawIssuer, must(asn1.Marshal(k.Cert.SerialNumber))),
		DigestAlg: HashAlg(k.SignHash),
		SignAlg:   k.signAlg(),
	}
}

func (k *Token) signAlg() []byte {
	n := map[crypto.Hash]int{crypto.SHA256: 0, crypto.SHA384: 1, crypto.SHA512: 2}[k.SignHash]
	switch k.Key.Public().(type) {
	case *rsa.PublicKey:
		if k.PSS {
			hash := HashAlg(k.SignHash)
			mgf := Seq(OID(1, 2, 840, 113549, 1, 1, 8), hash)
			return Seq(OID(1, 2, 840, 113549, 1, 1, 10), Seq(TLV(0xa0, hash), TLV(0xa1, mgf), TLV(0xa2, Int(int64(k.SignHash.Size())))))
		}
		return Seq(OID(1, 2, 840, 113549, 1, 1, 11+n), []byte{5, 0})
	case ed25519.PublicKey:
		return Seq(OID(1, 3, 101, 112))
	case *ecdsa.PublicKey:
		return Seq(OID(1, 2, 840, 10045, 4, 3, 2+n))
	}
	panic("tsatest: unknown kind of key")
}

func (k *Token) sign(data []byte) []byte {
	if _, ok := k.Key.Public().(ed25519.PublicKey); ok {
		return must(k.Key.Sign(rand.Reader, data, crypto.Hash(0)))
	}
	var opts crypto.SignerOpts = k.SignHash
	if k.PSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: k.SignHash}
	}
	return must(k.Key.Sign(rand.Reader, Sum(k.SignHash, data), opts))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("tsatest: " + err.Error())
	}
	return v
}
