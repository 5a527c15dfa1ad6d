// SPDX-License-Identifier: Apache-2.0

package pgp

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ocm"
)

// The table of docs/compatibility.md about OpenPGP: what is written and accepted, row by row. That others read what is
// written is for GnuPG to say (TestGnuPG), and that what they write is read for TestGolden.
func TestTableOfOpenPGP(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	secret := ocm.Secret{"privateKeyPGP": private(t, key)}
	fingerprint := fmt.Sprintf("%X", key.PrimaryKey.Fingerprint)
	digests := map[string]ocm.Digest{}
	for hash, n := range map[string]int{"SHA-256": 32, "SHA-384": 48, "SHA-512": 64} {
		digests[hash] = ocm.Digest{HashAlgorithm: hash, Value: strings.Repeat("0a", n)}
	}
	// The digest may be by any of three hashes, and OpenPGP's own hash is another choice.
	// It must be one that the key says it prefers, though: otherwise the library takes another.
	for inner, want := range map[string]crypto.Hash{"": crypto.SHA256, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512} {
		secret := ocm.Secret{"privateKeyPGP": private(t, newKey(t, func(c *packet.Config) { c.DefaultHash = want }))}
		for _, d := range digests {
			v, err := Handler{}.Sign(t.Context(), envWith(secret, goldenTime), "s", d, config(t, "", inner))
			if err != nil || v.Algorithm != "GPG" || v.MediaType != "application/vnd.ocm.signature.gpg" || v.Issuer != "" || !strings.HasPrefix(v.Value, "-----BEGIN PGP SIGNATURE-----\n") {
				t.Fatalf("%s in %s, written: %+v, %v", d.HashAlgorithm, inner, v, err)
			}
			raw, _, err := decodeSignature(v.Value)
			if err != nil {
				t.Fatal(err)
			}
			p, err := packet.Read(bytes.NewReader(raw))
			s, ok := p.(*packet.Signature)
			if err != nil || !ok {
				t.Fatal(p, err)
			}
			if s.Hash != want || s.SigType != packet.SigTypeBinary {
				t.Errorf("%s in %s: made with %v of type %v, %v", d.HashAlgorithm, inner, s.Hash, s.SigType, err)
			}
			// No configuration is needed to verify: the signature says what it is.
			if err := judge(t.Context(), envWith(secret, goldenTime), ocm.Signature{Name: "s", Digest: d, Signature: v}, ocm.Spec{}); err != nil {
				t.Errorf("%s in %s, read: %v", d.HashAlgorithm, inner, err)
			}
		}
	}
	good := mustSign(t, secret, ocm.Spec{})
	for print, ok := range map[string]bool{
		"": true, fingerprint: true, strings.ToLower(fingerprint): true, fingerprint[24:]: true, strings.ToLower(fingerprint[24:]): true,
		fingerprint[32:]: false, fingerprint[:16]: false, "0x" + fingerprint: false,
	} {
		if err := judge(t.Context(), envWith(secret, goldenTime), good, config(t, print, "")); (err == nil) != ok {
			t.Errorf("fingerprint %q: expected good: %v, found %v", print, ok, err)
		}
	}
	for hash, ok := range map[string]bool{"SHA-256": true, "sha256": false, "SHA256": false, "SHA-1": false, "": false} {
		sig := good
		sig.Digest.HashAlgorithm = hash
		if err := judge(t.Context(), envWith(secret, goldenTime), sig, ocm.Spec{}); (err == nil) != ok || err != nil && !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("digest by %q: expected good: %v, found %v", hash, ok, err)
		}
	}
}
