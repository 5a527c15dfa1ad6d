// SPDX-License-Identifier: Apache-2.0

package timestamp_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/sign/timestamp"
	"ocm/sign/timestamp/tsatest"
)

// FuzzCheck: whatever the bytes, no panic; and what is accepted is by a certificate of the root in testdata, whose keys
// nobody has any more.
func FuzzCheck(f *testing.F) {
	root := readCertificate(f, filepath.Join("testdata", "root.pem"))
	signers := map[string]bool{}
	files, err := filepath.Glob("testdata/*.tsr")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		der, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		r, err := timestamp.Check(&ocm.Timestamp{Value: tsatest.PEM(der)}, stamped(), []*x509.Certificate{root})
		if err != nil {
			f.Fatalf("%s: %v", name, err)
		}
		signers[string(r.Signer.Raw)+r.Time.String()] = true
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := timestamp.Check(&ocm.Timestamp{Value: tsatest.PEM(der)}, stamped(), []*x509.Certificate{root})
		if err == nil && !signers[string(r.Signer.Raw)+r.Time.String()] {
			t.Errorf("accepted %s by %q", r.Time, r.Signer.Subject)
		}
	})
}

// FuzzValue: the PEM around it.
func FuzzValue(f *testing.F) {
	root := readCertificate(f, filepath.Join("testdata", "root.pem"))
	der, err := os.ReadFile(filepath.Join("testdata", "openssl.tsr"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tsatest.PEM(der), "")
	f.Add(tsatest.PEM(der)+"x", "2026-11-22T00:00:00Z")
	f.Add("-----BEGIN X-----\na: b\n\nMAA=\n-----END X-----", "x")
	f.Fuzz(func(_ *testing.T, value, at string) {
		_, _ = timestamp.Check(&ocm.Timestamp{Value: value, Time: at}, stamped(), []*x509.Certificate{root})
	})
}

func readCertificate(t *testing.F, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(text)
	if b == nil {
		t.Fatalf("%s is not PEM", path)
	}
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
