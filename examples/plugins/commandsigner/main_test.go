// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/credentials"
	"ocm/internal/plugintest"
	"ocm/internal/signtest"
	"ocm/plugin/host"
	"ocm/sign/rsa"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, map[string]func() *ocm.Kit{"commandsigner": kit})
}

func path(t *testing.T, command string) string {
	t.Helper()
	found, err := exec.LookPath(command)
	if err != nil {
		t.Skip(err)
	}
	return found
}

// configure writes what the plugin in a folder is configured with.
func configure(t *testing.T, dir string, c config) string {
	t.Helper()
	if c.Type == "" {
		c.Type = "CommandSigningConfiguration/v1"
	}
	if c.MediaType == "" {
		c.MediaType = "application/vnd.ocm.signature.command"
	}
	if c.Timeout == "" {
		c.Timeout = "30s"
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "commandsigner.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// openssl signs and verifies with RSA, with one key for each of two signatures; env has the public ones.
func openssl(t *testing.T, dir string) (c config, env *ocm.Env) {
	t.Helper()
	var entries []credentials.Entry
	for _, name := range []string{"one", "other"} {
		private, public, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
		if err != nil {
			t.Fatal(err)
		}
		for ending, text := range map[string][]byte{".pem": private, ".pub": public} {
			if err := os.WriteFile(filepath.Join(dir, "key of "+name+ending), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		entries = append(entries, credentials.Entry{Identity: ocm.Identity{"type": rsa.IdentityType, "signature": name}, Secret: ocm.Secret{"publicKeyPEM": string(public)}})
	}
	program := path(t, "openssl")
	return config{
		Algorithm: "OPENSSL-RSA", Keys: map[string]string{"one": "key of one", "other": "key of other"},
		Sign:   []string{program, "pkeyutl", "-sign", "-inkey", "{key}.pem", "-pkeyopt", "digest:{hash}"},
		Verify: []string{program, "pkeyutl", "-verify", "-pubin", "-inkey", "{key}.pub", "-pkeyopt", "digest:{hash}", "-sigfile", "{signature}"},
	}, &ocm.Env{Credentials: credentials.Static(entries...)}
}

// plugins is the kit of a host with the plugins in a folder.
func plugins(t *testing.T, dir string) *ocm.Kit {
	t.Helper()
	h := host.New(host.Options{Dirs: []string{dir}})
	t.Cleanup(func() { _ = h.Close() })
	kit := ocm.NewKit()
	h.Attach(kit)
	return kit
}

// In the process and as a plugin it keeps the contract of signers.
func TestContract(t *testing.T) {
	t.Parallel()
	dir := plugintest.Dir(t, "commandsigner")
	c, env := openssl(t, dir)
	s, err := load(configure(t, dir, c))
	if err != nil {
		t.Fatal(err)
	}
	remote := plugins(t, dir)
	for where, kit := range map[string]*ocm.Kit{"in the process": s.kit(), "in a plugin": remote} {
		signer, err := kit.Signers.For("CommandSigningConfiguration/v1")
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := kit.Verifiers.For("OPENSSL-RSA")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			signtest.Run(t, signtest.Case{Signer: signer, Verifier: verifier, Env: env, Name: "one", Other: "other", Unknown: "../one",
				Algorithm: "OPENSSL-RSA", Remote: kit == remote})
		})
	}
}

// What it makes is judged by the built-in verifier, if the command makes what that expects.
func TestBuiltInAlgorithm(t *testing.T) {
	t.Parallel()
	dir := plugintest.Dir(t, "commandsigner")
	c, env := openssl(t, dir)
	c.Algorithm, c.MediaType, c.Verify = rsa.PKCS1v15, rsa.MediaTypePKCS1, nil
	configure(t, dir, c)
	signer, err := plugins(t, dir).Signers.For("CommandSigningConfiguration/v1")
	if err != nil {
		t.Fatal(err)
	}
	signtest.Run(t, signtest.Case{Signer: signer, Verifier: rsa.Handler{}, Env: env, Name: "one", Other: "other", Unknown: "none", Algorithm: rsa.PKCS1v15})
}

// Neither a configuration of signers nor a signature chooses what is run, or with which arguments.
func TestNothingFromOutsideIsRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	touch := path(t, "touch")
	s, err := load(configure(t, dir, config{Algorithm: "TOUCH", Keys: map[string]string{"one": mark}, Sign: []string{touch, "{key}"}, Verify: []string{touch, "{key}"}}))
	if err != nil {
		t.Fatal(err)
	}
	d := signtest.Digest(ocm.SHA256, "x")
	for _, c := range []struct {
		name, spec string
		digest     ocm.Digest
	}{
		{"one", `{"type":"x","sign":["` + touch + `","` + mark + `"]}`, d},
		{"one", `{"type":"x","command":"` + touch + `"}`, d},
		{mark, `{"type":"x"}`, d},
		{"{key}", `{"type":"x"}`, d},
		{"--help", `{"type":"x"}`, d},
		{"one", `{"type":"x"}`, ocm.Digest{HashAlgorithm: "{key}", Value: d.Value}},
		{"one", `{"type":"x"}`, ocm.Digest{HashAlgorithm: ocm.SHA256, Value: "-" + d.Value}},
	} {
		var spec ocm.Spec
		if err := json.Unmarshal([]byte(c.spec), &spec); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Sign(t.Context(), nil, c.name, c.digest, spec); err == nil {
			t.Errorf("%+v: %+v", c, v)
		}
		sig := ocm.Signature{Name: c.name, Digest: c.digest, Signature: ocm.SignatureValue{Algorithm: "TOUCH", Value: "00"}}
		if found, err := (verifier{s}).Verify(t.Context(), nil, sig, spec); !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%+v: %+v %v", c, found, err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a command was run")
	}
	if _, err := s.Sign(t.Context(), nil, "one", d, ocm.Spec{}); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("a signature of no bytes: %v", err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error(err) // else the test would show nothing
	}
}

// A command may fail in every way, and takes neither time nor memory without bounds.
func TestBadCommands(t *testing.T) {
	t.Parallel()
	d := signtest.Digest(ocm.SHA256, "x")
	for name, c := range map[string]struct {
		command []string
		want    error
		text    string
	}{
		"floods":  {[]string{path(t, "yes")}, ocm.ErrLimit, "more than"},
		"hangs":   {[]string{path(t, "sleep"), "600"}, context.DeadlineExceeded, "did not end"},
		"fails":   {[]string{path(t, "ls"), "/does/not/exist"}, nil, "/does/not/exist"},
		"missing": {[]string{"/does/not/exist"}, os.ErrNotExist, "/does/not/exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := "1h"
			if name == "hangs" {
				timeout = "50ms"
			}
			s, err := load(configure(t, t.TempDir(), config{Algorithm: "BAD", Keys: map[string]string{"one": "x"}, Sign: c.command, Verify: c.command, Timeout: timeout}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Sign(t.Context(), nil, "one", d, ocm.Spec{})
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || len(err.Error()) > 2*maxMessage {
				t.Errorf("sign: %v", err)
			}
			sig := ocm.Signature{Name: "one", Digest: d, Signature: ocm.SignatureValue{Algorithm: "BAD", Value: "00"}}
			if found, err := (verifier{s}).Verify(t.Context(), nil, sig, ocm.Spec{}); !errors.Is(err, ocm.ErrSignature) {
				t.Errorf("verify: %+v %v", found, err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		s, err := load(configure(t, t.TempDir(), config{Algorithm: "BAD", Keys: map[string]string{"one": "x"}, Sign: []string{path(t, "sleep"), "600"}}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := s.Sign(ctx, nil, "one", d, ocm.Spec{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A configuration that others may have written, or that means something else than it says, is refused.
func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	const good = `{"algorithm":"A","sign":["/bin/true"]}`
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want error
	}{
		"good":             {good, 0o600, nil},
		"of the group":     {good, 0o620, ocm.ErrDenied},
		"of the world":     {good, 0o602, ocm.ErrDenied},
		"no algorithm":     {`{"sign":["/bin/true"]}`, 0o600, ocm.ErrInvalid},
		"no command":       {`{"algorithm":"A"}`, 0o600, ocm.ErrInvalid},
		"searched in PATH": {`{"algorithm":"A","sign":["true"]}`, 0o600, ocm.ErrInvalid},
		"beside it":        {`{"algorithm":"A","sign":["/bin/true"],"verify":["./true"]}`, 0o600, ocm.ErrInvalid},
		"misspelt":         {`{"algorithm":"A","sign":["/bin/true"],"key":{}}`, 0o600, ocm.ErrInvalid},
		"twice":            {`{"algorithm":"A","sign":["/bin/true"],"sign":["/bin/false"]}`, 0o600, ocm.ErrInvalid},
		"no time":          {`{"algorithm":"A","sign":["/bin/true"],"timeout":"0s"}`, 0o600, ocm.ErrInvalid},
		"no JSON":          {`algorithm: A`, 0o600, ocm.ErrInvalid},
		"large":            {`{"algorithm":"A","sign":["/bin/true"],"type":"` + strings.Repeat("x", maxConfig) + `"}`, 0o600, ocm.ErrLimit},
	} {
		file := filepath.Join(t.TempDir(), "commandsigner.json")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := load(file); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
