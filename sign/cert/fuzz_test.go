// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto/elliptic"
	"encoding/pem"
	"os"
	"testing"
)

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"CN=a,O=b", `CN="a,b";O=c\,d`, "CN=#0c0161", `2.5.4.3=a\20+DC=x`, "plain", "CN= a  ", `CN=\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseName(text)
		if err == nil && len(n) == 0 {
			t.Errorf("%q became an empty name, which everything matches", text)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	chain, err := os.ReadFile("testdata/chain.pem")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(chain)
	key := newEC(f, elliptic.P256())
	f.Add([]byte(pkcs8(f, key)))
	f.Add([]byte(pkixPEM(f, &key.PublicKey)))
	f.Add([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + pkcs8(f, newEC(f, elliptic.P521()))))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range []string{RSA, P256, P384, Ed25519} {
			if k, certs, err := parsePublicKey(text, kind); err == nil && k == nil && len(certs) == 0 {
				t.Error("neither key nor certificate, and no error")
			} else if err == nil && k != nil && !isKind(k, kind) {
				t.Errorf("%T is no key of kind %s", k, kind)
			}
			if k, err := parsePrivateKey(text, kind); err == nil && checkKey(k.Public(), kind, "key") != nil {
				t.Errorf("%T is no key of kind %s", k, kind)
			}
		}
		_, _ = ParseCertificates(text)
		if kind, err := Kind(text); (kind == "") != (err != nil) {
			t.Errorf("kind %q with error %v", kind, err)
		}
	})
}

func isKind(key any, kind string) bool {
	found, err := kindOf(key)
	return err == nil && found == kind
}

// What is read from a PEM value is all that is in it.
func FuzzDecodePEM(f *testing.F) {
	chain, err := os.ReadFile("testdata/chain.pem")
	if err != nil {
		f.Fatal(err)
	}
	signature := pem.EncodeToMemory(&pem.Block{Type: signatureBlock, Headers: map[string]string{algorithmHeader: P256}, Bytes: []byte("value")})
	f.Add(string(signature) + string(chain))
	f.Add(string(chain) + string(signature))
	f.Add(string(signature) + string(signature))
	f.Add("junk" + string(signature))
	f.Fuzz(func(t *testing.T, text string) {
		algorithm, raw, chain, err := DecodePEM(text)
		if err != nil {
			return
		}
		if len(raw) == 0 || len(chain) > MaxCertificates {
			t.Fatalf("%d bytes, %d certificates", len(raw), len(chain))
		}
		if algorithm == "" {
			return
		}
		again := EncodePEM(algorithm, raw, chain)
		a, r, c, err := DecodePEM(again.Value)
		if err != nil || a != algorithm || string(r) != string(raw) || len(c) != len(chain) {
			t.Errorf("written again, it is %q, %x, %d certificates, %v", a, r, len(c), err)
		}
	})
}
