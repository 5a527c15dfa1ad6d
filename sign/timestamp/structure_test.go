// SPDX-License-Identifier: Apache-2.0

package timestamp_test

import (
	"bytes"
	"crypto"
	"fmt"
	"strings"
	"testing"

	"ocm"
	"ocm/sign/timestamp"
	"ocm/sign/timestamp/tsatest"
)

// extended returns copies of a DER element, each with one element too many in it, by the path to it.
func extended(t *testing.T, path string, der []byte) map[string][]byte {
	t.Helper()
	tag, content, rest := split(t, der)
	if len(rest) > 0 {
		t.Fatal("more than one element")
	}
	out := map[string][]byte{}
	if tag&0x20 == 0 {
		return out
	}
	out[path] = tsatest.TLV(tag, content, tsatest.TLV(4))
	var before []byte
	for i := 0; len(content) > 0; i++ {
		_, _, after := split(t, content)
		child := content[:len(content)-len(after)]
		for p, changed := range extended(t, fmt.Sprint(path, "/", i), child) {
			out[p] = tsatest.TLV(tag, before, changed, after)
		}
		before, content = append(before[:len(before):len(before)], child...), after
	}
	return out
}

// split takes the first element off.
func split(t *testing.T, der []byte) (tag byte, content, rest []byte) {
	t.Helper()
	n, head := int(der[1]), 2
	if n >= 0x80 {
		head += n - 0x80
		n = 0
		for _, b := range der[2:head] {
			n = n<<8 | int(b)
		}
	}
	return der[0], der[head : head+n], der[head+n:]
}

// An element that the format does not have could be read by somebody else, and mean something there.
func TestElementsTooMany(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	full := func(k *tsatest.Token) {
		k.Extra = tsatest.Seq(tsatest.Int(1), tsatest.TLV(0x80, []byte{1}), tsatest.TLV(0x81, []byte{1}))
		k.Extensions = tsatest.TLV(0xa1, tsatest.Seq(tsatest.OID(1, 2, 3), tsatest.TLV(4)))
	}
	sum := tsatest.Sum(crypto.SHA256, []byte(content))
	k := a.Token(crypto.SHA256, sum)
	full(k)
	whole := k.Answer()
	accepted(t, &ocm.Timestamp{Value: tsatest.PEM(whole)}, a)
	count := 0
	for path, der := range extended(t, "", whole) {
		if path == "/1/1/0/3/1" {
			continue // an intermediate certificate: package x509 takes it, and what counts of it is signed
		}
		count++
		if _, err := timestamp.Check(&ocm.Timestamp{Value: tsatest.PEM(der)}, stamped(), a.Roots()); err == nil {
			t.Errorf("accepted with an element too many at %s", path)
		}
	}
	var info []byte
	pieces := &tsatest.Pieces{}
	k.Edit = func(p *tsatest.Pieces) { info, pieces = p.Info, p }
	k.Bytes()
	signed := func(what string, der []byte, set func(p *tsatest.Pieces, der []byte)) {
		for path, changed := range extended(t, what, der) {
			count++
			ts := with(a, func(k *tsatest.Token) {
				full(k)
				k.Edit = func(p *tsatest.Pieces) { set(p, changed) }
			})
			refused(t, ts, a.Roots(), ocm.ErrInvalid, "")
			if _, err := timestamp.Check(ts, stamped(), a.Roots()); strings.Contains(err.Error(), "does not fit") {
				t.Errorf("%s: refused for another reason: %v", path, err)
			}
		}
	}
	signed("info", info, func(p *tsatest.Pieces, der []byte) {
		p.Info = der
		p.Attributes[1] = tsatest.Attribute(tsatest.MessageDigest, tsatest.TLV(4, tsatest.Sum(crypto.SHA256, der)))
	})
	signed("signature algorithm", pieces.SignAlg, func(p *tsatest.Pieces, der []byte) { p.SignAlg = der })
	signed("digest algorithm", pieces.DigestAlg, func(p *tsatest.Pieces, der []byte) { p.DigestAlg = der })
	for i, attr := range pieces.Attributes {
		signed(fmt.Sprint("attribute ", i), attr, func(p *tsatest.Pieces, der []byte) { p.Attributes[i] = der })
	}
	if count < 60 {
		t.Errorf("only %d places", count)
	}
}

// Versions that are not known could mean something else.
func TestVersionsOfTheEnvelope(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	der := a.Token(crypto.SHA256, tsatest.Sum(crypto.SHA256, []byte(content))).Answer()
	issuer := tsatest.Seq(a.Signer.Cert.RawIssuer, serial(a.Signer.Cert))
	for reason, c := range map[string][2][]byte{
		"SignedData has version 6":  {{2, 1, 3, 0x31}, {2, 1, 6, 0x31}},
		"SignedData has version 0":  {{2, 1, 3, 0x31}, {2, 1, 0, 0x31}},
		"signer has version 2":      {append([]byte{2, 1, 1}, issuer...), append([]byte{2, 1, 2}, issuer...)},
		"signer is not what":        {append([]byte{2, 1, 1}, issuer...), append([]byte{4, 1, 1}, issuer...)},
		"is not among those":        {append(tsatest.Set(tsatest.HashAlg(crypto.SHA256)), 0x30), append(tsatest.Set(tsatest.HashAlg(crypto.SHA512)), 0x30)},
		"digest algorithms is 2":    {append(tsatest.Set(tsatest.HashAlg(crypto.SHA256)), 0x30), append(tsatest.Set(bytes.Replace(tsatest.HashAlg(crypto.SHA256), []byte{2, 1, 5}, []byte{2, 9, 5}, 1)), 0x30)},
		"expected SignedData":       {tsatest.OID(1, 2, 840, 113549, 1, 7, 2), tsatest.OID(1, 2, 840, 113549, 1, 7, 3)},
		"status of the answer is n": {{0x30, 3, 2, 1, 0}, {0x30, 3, 4, 1, 0}},
	} {
		if !bytes.Contains(der, c[0]) {
			t.Fatalf("%s: nothing to change", reason)
		}
		refused(t, &ocm.Timestamp{Value: tsatest.PEM(bytes.Replace(der, c[0], c[1], 1))}, a.Roots(), ocm.ErrInvalid, reason)
	}
}

// The authority's own words stand in the message, in a form that does no harm on a terminal.
func TestReasonOfARejection(t *testing.T) {
	t.Parallel()
	a := tsatest.New(t)
	text := tsatest.Seq(tsatest.TLV(0x0c, []byte("come back \x1b[2J tomorrow")))
	answer := tsatest.Seq(tsatest.Seq(tsatest.Int(2), text, tsatest.TLV(3, []byte{2, 4})))
	refused(t, &ocm.Timestamp{Value: tsatest.PEM(answer)}, a.Roots(), ocm.ErrInvalid, `status 2, "come back \x1b[2J tomorrow", failure bits 0204`)
	granted := tsatest.Seq(tsatest.Seq(tsatest.Int(0), text), a.Token(crypto.SHA256, tsatest.Sum(crypto.SHA256, []byte(content))).Bytes())
	accepted(t, &ocm.Timestamp{Value: tsatest.PEM(granted)}, a)
}
