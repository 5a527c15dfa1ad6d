// SPDX-License-Identifier: Apache-2.0

package cert

import (
	"crypto/elliptic"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
)

// Every property inline and as a file, under each of its names.
func TestProperties(t *testing.T) {
	t.Parallel()
	chain, err := os.ReadFile("testdata/chain.pem")
	if err != nil {
		t.Fatal(err)
	}
	key := newEC(t, elliptic.P256())
	for _, c := range []struct {
		names string
		text  string
		there func(*Trust) bool
	}{
		{"privateKeyPEM private_key_pem", pkcs8(t, key), func(t *Trust) bool { return equal(t.public, key.Public()) }},
		{"publicKeyPEM public_key_pem", pkixPEM(t, key.Public()), func(t *Trust) bool { return equal(t.public, key.Public()) }},
		{"caCertPEM ca_cert_pem", string(chain), func(t *Trust) bool { return len(t.anchors) > 1 }},
		{"tsaCertPEM", string(chain), func(t *Trust) bool { return len(t.tsa) > 1 }},
	} {
		path := filepath.Join(t.TempDir(), "file.pem")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for name := range strings.FieldsSeq(c.names) {
			file := name + "File"
			if strings.Contains(name, "_") {
				file = name + "_file"
			}
			for what, s := range map[string]ocm.Secret{"inline": {name: c.text}, "file": {file: path}, "both": {name: c.text, file: "/nowhere"}} {
				trust, err := LoadTrust(s, P256)
				if err != nil || !c.there(trust) {
					t.Errorf("%s %s: %v", name, what, err)
				}
			}
			if _, err := LoadTrust(ocm.Secret{file: "/nowhere/key"}, P256); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s, a file that is not there: %v", name, err)
			}
			if _, err := LoadTrust(ocm.Secret{name: "hunter2"}, P256); !errors.Is(err, ocm.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s, no PEM: %v", name, err)
			}
			if err := os.WriteFile(path, make([]byte, MaxFileSize+1), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, s := range []ocm.Secret{{file: path}, {name: strings.Repeat("x", MaxFileSize+1)}} {
				if _, err := LoadTrust(s, P256); !errors.Is(err, ocm.ErrLimit) {
					t.Errorf("%s, too long: %v", name, err)
				}
			}
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A signer's private key says whose signatures are good only where nothing else does: beside anchors or
// certificates it would be one more way to pass.
func TestPrivateKeyCountsOnlyAlone(t *testing.T) {
	t.Parallel()
	chain, err := os.ReadFile("testdata/chain.pem")
	if err != nil {
		t.Fatal(err)
	}
	private, public := newEC(t, elliptic.P256()), newEC(t, elliptic.P256())
	for name, s := range map[string]ocm.Secret{
		"anchors":      {"caCertPEM": string(chain)},
		"certificates": {"publicKeyPEM": string(chain)},
		"public key":   {"publicKeyPEM": pkixPEM(t, public.Public())},
	} {
		s["privateKeyPEM"] = pkcs8(t, private)
		trust, err := LoadTrust(s, P256)
		if err != nil || equal(private.Public(), trust.public) {
			t.Errorf("beside %s, the private key counts too: %v", name, err)
		}
	}
}
