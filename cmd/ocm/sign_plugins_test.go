// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program is ocm in a folder, with its configuration and its plugins.
type program struct {
	t   *testing.T
	dir string
}

func newProgram(t *testing.T, plugin string) *program {
	t.Helper()
	p := &program{t, t.TempDir()}
	if out, err := exec.Command("go", "build", "-o", p.path("plugins", plugin), "../../examples/plugins/"+plugin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("HOME", p.path("home"))
	p.write("component.yaml", `components:
- {name: acme.org/shop, version: 1.0.0, provider: acme.org, componentReferences: [{name: api, componentName: acme.org/api, version: 2.0.0}]}
- {name: acme.org/api, version: 2.0.0, provider: acme.org, resources: [{name: text, type: plainText, input: {type: utf8, text: hello}}]}
`)
	p.good("add", "cv", "--repository", p.path("ctf"), "--constructor", p.path("component.yaml"))
	return p
}

func (p *program) path(names ...string) string {
	return filepath.Join(append([]string{p.dir}, names...)...)
}

func (p *program) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run returns the status, and all that was printed.
func (p *program) run(args ...string) (int, string) {
	var out bytes.Buffer
	status := run(append(args, "--quiet"), strings.NewReader(""), &out, &out, time.Now)
	return status, out.String()
}

func (p *program) good(args ...string) string {
	p.t.Helper()
	status, out := p.run(args...)
	if status != 0 {
		p.t.Fatalf("%q: status %d\n%s", args, status, out)
	}
	return out
}

// bad demands that a command fails, and says something.
func (p *program) bad(want int, text string, args ...string) {
	p.t.Helper()
	if status, out := p.run(args...); status != want || !strings.Contains(out, text) {
		p.t.Errorf("%q: status %d, expected %d and %q\n%s", args, status, want, text, out)
	}
}

// tool runs a program of somebody else.
func (p *program) tool(name string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// The types of a plugin's signer and verifier work wherever those that are built in do.
func TestSignByCommandOfPlugin(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip(err)
	}
	p := newProgram(t, "commandsigner")
	p.tool(openssl, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "plugins/key.pem")
	p.tool(openssl, "pkey", "-in", "plugins/key.pem", "-pubout", "-out", "plugins/key.pub")
	p.write("plugins/commandsigner.json", fmt.Sprintf(`{"algorithm": "OPENSSL-RSA", "keys": {"default": "key", "again": "key"},
		"sign": [%q, "pkeyutl", "-sign", "-inkey", "{key}.pem", "-pkeyopt", "digest:{hash}"],
		"verify": [%q, "pkeyutl", "-verify", "-pubin", "-inkey", "{key}.pub", "-pkeyopt", "digest:{hash}", "-sigfile", "{signature}"]}`, openssl, openssl))
	p.write("config.yaml", "type: generic.config.ocm.software/v1\nconfigurations:\n- {type: signing.config.ocm.software, signer: {type: CommandSigningConfiguration/v1}}\n")
	p.write("spec.yaml", "type: CommandSigningConfiguration/v1\n")
	p.write("wrong.yaml", "type: CommandSigningConfiguration/v1\nsign: [/bin/true]\n")
	plugins, configured, shop := []string{"--plugin-directory", p.path("plugins")}, []string{"--config", p.path("config.yaml")}, p.path("ctf")+"//acme.org/shop:1.0.0"
	with := func(args ...string) []string { return append(args, plugins...) }

	p.good(append(with("sign", "cv", "-r", shop), configured...)...)
	for _, component := range []string{"acme.org/shop:1.0.0", "acme.org/api:2.0.0"} {
		if out := p.good(with("verify", "cv", p.path("ctf")+"//"+component)...); !strings.Contains(out, "OPENSSL-RSA by who has the key") {
			t.Error(out)
		}
	}
	p.good(with("sign", "cv", "-s", "again", "--signer-spec", p.path("spec.yaml"), shop)...)
	p.good(with("verify", "cv", "-s", "again", "--verifier-spec", p.path("spec.yaml"), shop)...)
	if out := p.good(with("sign", "hash", "-S", "OPENSSL-RSA", "--digest", "SHA-256:"+strings.Repeat("ab", 32))...); !strings.Contains(out, "algorithm: OPENSSL-RSA") {
		t.Error(out)
	}

	p.bad(3, "no key is configured for the signature", append(with("sign", "cv", "-s", "unknown", shop), configured...)...)
	p.bad(1, "unknown field", with("sign", "cv", "-s", "new", "--signer-spec", p.path("wrong.yaml"), shop)...)
	p.bad(4, "unknown field", with("verify", "cv", "--verifier-spec", p.path("wrong.yaml"), shop)...)
	p.bad(4, "none of the signatures that are verified is for the public key", with("verify", "cv", "-k", p.path("plugins", "key.pub"), shop)...)
	p.bad(4, "OPENSSL-RSA", "verify", "cv", shop)
	p.tool(openssl, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "plugins/key.pem")
	p.tool(openssl, "pkey", "-in", "plugins/key.pem", "-pubout", "-out", "plugins/key.pub")
	p.bad(4, "NOT verified", with("verify", "cv", shop)...)
}

// A key in a token signs, and who verifies needs no plugin.
func TestSignByTokenOfPlugin(t *testing.T) {
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	for _, need := range []string{"softhsm2-util", "openssl", "gcc"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skip(err)
		}
	}
	p := newProgram(t, "pkcs11")
	p.write("softhsm2.conf", "directories.tokendir = "+p.path("tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	if err := os.Mkdir(p.path("tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", p.path("softhsm2.conf"))
	t.Setenv("PKCS11_MODULE", module)
	p.tool("softhsm2-util", "--init-token", "--free", "--label", "release", "--so-pin", "314159", "--pin", "271828")
	p.tool("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem")
	p.tool("openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "key.pub")
	p.tool("softhsm2-util", "--import", "key.pem", "--token", "release", "--label", "component-key", "--id", "01", "--pin", "271828")
	if err := os.Remove(p.path("key.pem")); err != nil {
		t.Fatal(err)
	}
	const text = `type: generic.config.ocm.software/v1
configurations:
- {type: plugin.config.ocm.software/v2alpha1, plugins: {pkcs11: {environment: [%s, SOFTHSM2_CONF]}}}
- {type: signing.config.ocm.software, signer: {type: PKCS11SigningConfiguration/v1alpha1, token: release, key: component-key}}
- type: credentials.config.ocm.software
  consumers:
  - {identity: {type: PKCS11/v1alpha1, token: release}, credentials: [{type: Credentials/v1, properties: {pin: "%s"}}]}
`
	p.write("config.yaml", fmt.Sprintf(text, "PKCS11_MODULE", "271828"))
	p.write("wrong.yaml", fmt.Sprintf(text, "PKCS11_MODULE", "161803"))
	p.write("nothing.yaml", fmt.Sprintf(text, "LESS", "271828"))
	shop := p.path("ctf") + "//acme.org/shop:1.0.0"
	sign := func(config string, more ...string) []string {
		return append([]string{"sign", "cv", "-r", shop, "--plugin-directory", p.path("plugins"), "--config", p.path(config)}, more...)
	}
	p.bad(5, "CKR_PIN_INCORRECT", sign("wrong.yaml")...)
	p.bad(1, "PKCS11_MODULE", sign("nothing.yaml")...)
	p.good(sign("config.yaml")...)
	if out := p.good("verify", "cv", "-k", p.path("key.pub"), shop); !strings.Contains(out, "ECDSA-P256") {
		t.Error(out)
	}
	p.bad(4, "", "verify", "cv", shop)
}
