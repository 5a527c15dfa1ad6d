// SPDX-License-Identifier: Apache-2.0

package timestamp_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/sign/timestamp"
	"ocm/sign/timestamp/tsatest"
)

// openssl runs the tool; without it, the test is skipped, but not where CI=true.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl is not installed")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what + ": interoperability NOT tested")
}

func writeFile(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// opensslAuthority is an authority that is OpenSSL's, with certificates of a test.
type opensslAuthority struct {
	t      *testing.T
	dir    string
	number int
}

func newOpenSSL(t *testing.T, a *tsatest.Authority, settings string) *opensslAuthority {
	t.Helper()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(a.Signer.Key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	writeFile(t, filepath.Join(dir, "signer.pem"), certificates(a.Signer.Cert))
	writeFile(t, filepath.Join(dir, "chain.pem"), certificates(a.Intermediate.Cert, a.Root.Cert))
	writeFile(t, filepath.Join(dir, "serial"), []byte("01\n"))
	writeFile(t, filepath.Join(dir, "tsa.cnf"), fmt.Appendf(nil, `
[tsa]
default_tsa = test
[test]
serial = %[1]s/serial
signer_cert = %[1]s/signer.pem
certs = %[1]s/chain.pem
signer_key = %[1]s/key.pem
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
%[2]s
`, dir, settings))
	return &opensslAuthority{t: t, dir: dir}
}

func (o *opensslAuthority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(r.Body)
	if err != nil {
		o.t.Error(err)
	}
	o.number++
	in := writeFile(o.t, filepath.Join(o.dir, fmt.Sprint(o.number, ".tsq")), query)
	out := filepath.Join(o.dir, fmt.Sprint(o.number, ".tsr"))
	openssl(o.t, "ts", "-reply", "-config", filepath.Join(o.dir, "tsa.cnf"), "-queryfile", in, "-out", out)
	w.Header().Set("Content-Type", "application/timestamp-reply")
	http.ServeFile(w, r, out)
}

func TestOpenSSLStamps(t *testing.T) {
	t.Parallel()
	openssl(t, "version")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]string{
		"defaults":    "signer_digest = sha256",
		"SHA-1 names": "signer_digest = sha256\ness_cert_id_alg = sha1",
		"everything":  "signer_digest = sha512\ness_cert_id_alg = sha384\ness_cert_id_chain = yes\naccuracy = secs:1, millisecs:500, microsecs:100\nordering = yes\ntsa_name = yes\nclock_precision_digits = 3",
	} {
		for _, key := range []string{"P-256", "RSA"} {
			t.Run(name+" "+key, func(t *testing.T) {
				a := tsatest.New(t)
				if key == "RSA" {
					a.Signer = tsatest.IssueFor(t, a.Intermediate, tsatest.Stamper("RSA"), rsaKey)
				}
				s := httptest.NewServer(newOpenSSL(t, a, settings))
				defer s.Close()
				ts, err := timestamp.Request(t.Context(), nil, s.URL, stamped())
				if err != nil {
					t.Fatal(err)
				}
				if r := accepted(t, ts, a); time.Since(r.Time).Abs() > time.Minute {
					t.Errorf("time is %s", r.Time)
				}
				refused(t, ts, tsatest.New(t).Roots(), nil, "does not lead")
			})
		}
	}
}

// What the authority of the tests says, and what is in a descriptor, OpenSSL takes too.
func TestOpenSSLVerifies(t *testing.T) {
	t.Parallel()
	openssl(t, "version")
	a := tsatest.New(t)
	ts, err := timestamp.Request(t.Context(), nil, a.URL, stamped())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	block, _ := pem.Decode([]byte(ts.Value))
	answer := writeFile(t, filepath.Join(dir, "answer.tsr"), block.Bytes)
	root := writeFile(t, filepath.Join(dir, "root.pem"), certificates(a.Root.Cert))
	if out := openssl(t, "ts", "-verify", "-digest", stamped().Value, "-in", answer, "-CAfile", root); !strings.Contains(out, "Verification: OK") {
		t.Error(out)
	}
	token := writeFile(t, filepath.Join(dir, "token.p7"), a.Token(crypto.SHA256, tsatest.Sum(crypto.SHA256, []byte(content))).Bytes())
	data := writeFile(t, filepath.Join(dir, "data"), []byte(content))
	if out := openssl(t, "ts", "-verify", "-data", data, "-token_in", "-in", token, "-CAfile", root); !strings.Contains(out, "Verification: OK") {
		t.Error(out)
	}
	accepted(t, &ocm.Timestamp{Value: tsatest.PEM(mustRead(t, token))}, a)
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
