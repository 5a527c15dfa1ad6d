// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Package shellcredentials_test runs the contract of credential sources on a plugin that is a shell script.
package shellcredentials_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/internal/fixture"
	"ocm/internal/secrettest"
	"ocm/plugin/host"
)

// fakePass is the program pass with three entries. It warns, as gpg does.
const fakePass = `#!/bin/sh
echo 'gpg: WARNING: hunter2' >&2
[ "$1 $2" = 'show --' ] || exit 9
case $3 in
ocm/good.io:5000) printf 'hunter2 "\\\\" $(x)\nurl: http://good.io\nlogin: me\nusername: other\n' ;;
ocm/token.io) echo hunter2 ;;
ocm/control.io) printf 'hunter2\033[2J\n' ;;
ocm/empty.io) ;;
ocm/broken.io) echo 'gpg: decryption failed: hunter2' >&2; exit 2 ;;
*) echo "Error: $3 is not in the password store." >&2; exit 1 ;;
esac
`

// source is the script as ocm finds it, with that pass.
func source(t *testing.T) ocm.CredentialSource {
	t.Helper()
	plugins, bin := t.TempDir(), t.TempDir()
	script, err := os.ReadFile("shell-credentials")
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{filepath.Join(plugins, "shell-credentials"): string(script), filepath.Join(bin, "pass"): fakePass} {
		if err := fixture.Program(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	h := host.New(host.Options{Dirs: []string{plugins}})
	t.Cleanup(func() { _ = h.Close() })
	kit := ocm.NewKit()
	h.Attach(kit)
	found, err := kit.Secrets.For("Pass/v1")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestContract(t *testing.T) {
	server := func(host string) ocm.Identity { return ocm.Identity{"type": "OCIRegistry", "hostname": host} }
	secrettest.Run(t, secrettest.Case{
		Source: source(t), Types: []string{"Pass/v1", "Pass"}, Good: map[string]string{"folder": "ocm"},
		Identity: ocm.Identity{"type": "OCIRegistry", "hostname": "good.io", "port": "5000", "path": "a,b/{c}"},
		Want:     ocm.Secret{"username": "me", "password": `hunter2 "\\" $(x)`},
		Missing:  []ocm.Identity{server("none.io"), server("good.io"), {"type": "RSA", "signature": "release"}, {"type": "hostname", "x": ","}, server("-v")},
		Refused: []ocm.Identity{
			server("../good.io"), server("a b"), server("a\nb"), server("$(touch x)"), server("a;b"), server(`a"b`), server(`a\b`), server("a/b"), server("a*"),
			{"type": "OCIRegistry", "hostname": "good.io", "port": "5000/../../x"}, server("ä.io"), server("control.io"), server("empty.io"),
		},
		Wrong:   []map[string]any{{"folder": nil}, {"folder": ""}, {"folder": 1}, {"folder": "/etc"}, {"folder": ".."}, {"folder": "-x"}, {"folder": "a b"}, {"more": map[string]string{"folder": "x"}}, {"more": true}},
		Secrets: []string{"hunter2"},
	})
}

func TestWithoutUser(t *testing.T) {
	s, _ := ocm.NewSpec(map[string]string{"type": "Pass", "folder": "ocm"})
	src := source(t)
	got, err := src.Find(t.Context(), &ocm.Env{}, s, ocm.Identity{"type": "Wget", "hostname": "token.io"})
	if err != nil || len(got) != 1 || got["password"] != "hunter2" {
		t.Errorf("%d properties, %v", len(got), err)
	}
	_, err = src.Find(t.Context(), &ocm.Env{}, s, ocm.Identity{"type": "Wget", "hostname": "broken.io"})
	if err == nil || errors.Is(err, ocm.ErrNotFound) || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

// A hostile question is refused whole; it is not the host that asks it.
func TestQuestions(t *testing.T) {
	source(t) // for its pass
	for question, want := range map[string]string{
		`{"spec":{"type":"Pass","folder":"ocm"},"identity":{"hostname":"token.io"},"env":{"time":"2026-01-01T00:00:00Z","durable":true}}` + "\n": "secret",
		`{"spec":{"type":"Pass","folder":"ocm"},"identity":{}}` + "\n":                                                                           "notFound",
		`{"spec":{"type":"Pass","folder":"ocm"},"identity":{"hostname":"token.io"}}`:                                                             "invalid",
		`{"identity":{"hostname":"token.io"},"spec":{"type":"Pass","folder":"ocm"}}` + "\n":                                                      "invalid",
		`{"spec":{"type":"Pass","folder":"ocm"},"identity":{"hostname":"token.io"}} {}` + "\n":                                                   "invalid",
		`{"spec":{"type":"Pass","folder":"x","x":{"identity":{"hostname":"y"}}},"identity":{"hostname":"token.io"}}` + "\n":                      "invalid",
		`{"spec":{"type":"Pass","folder":"ocm"},"identity":{"hostname":"x"},"identity":{"hostname":"token.io"}}` + "\n":                          "invalid",
		"\n": "invalid",
		"":   "invalid",
	} {
		cmd := exec.Command("./shell-credentials", "call", "/v1/credentials")
		cmd.Stdin = strings.NewReader(question)
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), `"`+want+`"`) {
			t.Errorf("%q: %s %v", question, out, err)
		}
	}
	for _, args := range [][]string{nil, {"call"}, {"call", "/v1/sign"}, {"capabilities", "x"}} {
		if out, err := exec.Command("./shell-credentials", args...).Output(); err == nil || len(out) > 0 {
			t.Errorf("%q: %s", args, out)
		}
	}
}

func TestShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("shellcheck is not installed")
	}
	if out, err := exec.Command("shellcheck", "shell-credentials").CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}
