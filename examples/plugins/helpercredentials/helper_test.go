// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/internal/secrettest"
)

// TestMain makes a plugin of the test binary, too. Its helper is in the home folder.
func TestMain(m *testing.M) {
	plugintest.Main(m, map[string]func() *ocm.Kit{"helpercredentials": func() *ocm.Kit {
		return kit([]string{filepath.Join(os.Getenv("HOME"), "helper"), "get"})
	}})
}

// helper is one in a few lines of shell; it tells its secret wherever it can.
const helper = `#!/bin/sh
echo hunter2 >&2
[ "$1" = get ] || exit 9
user=me
while read -r line && [ "$line" ]; do
	case $line in
	protocol=*) protocol=$line ;;
	host=*) host=$line ;;
	username=*) user=${line#*=} ;;
	*) exit 9 ;;
	esac
done
case $protocol.$host in
protocol=https.host=good.io:5000) printf '%s\n%s\nusername=%s\npassword=hunter2=\nextra=x\n\nignored\n' "$protocol" "$host" "$user" ;;
*.host=plain.io) printf 'username=%s\npassword=hunter2' "$protocol" ;;
*.host=elsewhere.io) printf 'host=evil.io\nusername=me\npassword=hunter2\n' ;;
*.host=nonsense.io) echo hunter2 ;;
*.host=return.io) printf 'username=me\npassword=hunter2\r\n' ;;
*.host=fails.io) echo password=hunter2; exit 1 ;;
*.host=floods.io) exec yes password=hunter2 ;;
*.host=half.io) echo username=me ;;
esac
`

func writeHelper(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	file := filepath.Join(home, "helper")
	if err := fixture.Program(file, []byte(helper)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	return file
}

func registry(host string) ocm.Identity { return ocm.Identity{"type": "OCIRegistry", "hostname": host} }

func TestContract(t *testing.T) {
	own := kit([]string{writeHelper(t), "get"})
	for name, k := range map[string]*ocm.Kit{"in the process": own, "plugin": plugintest.Kit(t, "helpercredentials")} {
		src, err := k.Secrets.For("GitCredential/v1")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			secrettest.Run(t, secrettest.Case{
				Source: src, Types: own.Secrets.Types()[0].Names, Good: map[string]string{},
				Identity: ocm.Identity{"type": "OCIRegistry", "hostname": "good.io", "port": "5000", "scheme": "https", "path": "acme/app"},
				Want:     ocm.Secret{"username": "me", "password": "hunter2="},
				Missing:  []ocm.Identity{registry("none.io"), registry("good.io"), registry("half.io"), {"type": "RSA", "signature": "release"}},
				Refused: []ocm.Identity{
					registry("elsewhere.io"), registry("nonsense.io"), registry("return.io"),
					{"type": "Wget", "hostname": "good.io", "scheme": "ftp"},
				},
				Wrong:   []map[string]any{{"protocol": "ftp"}, {"username": "a b"}, {"protocol": 1}},
				Secrets: []string{"hunter2"},
			})
		})
	}
}

func TestAnswers(t *testing.T) {
	src := source{[]string{writeHelper(t), "get"}}
	find := func(members map[string]string, id ocm.Identity) (ocm.Secret, error) {
		members["type"] = "GitCredential"
		s, err := ocm.NewSpec(members)
		if err != nil {
			t.Fatal(err)
		}
		return src.Find(t.Context(), nil, s, id)
	}
	for want, members := range map[string]map[string]string{"protocol=https": {}, "protocol=http": {"protocol": "http"}} {
		if got, err := find(members, registry("plain.io")); err != nil || got["username"] != want {
			t.Error(got, err)
		}
	}
	got, err := find(map[string]string{"username": "her"}, ocm.Identity{"type": "OCIRegistry", "hostname": "good.io", "port": "5000"})
	if err != nil || got["username"] != "her" {
		t.Error(got, err)
	}
	for host, kind := range map[string]error{"fails.io": nil, "floods.io": ocm.ErrLimit} {
		if _, err := find(map[string]string{}, registry(host)); err == nil || kind != nil && !errors.Is(err, kind) || errors.Is(err, ocm.ErrNotFound) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", host, err)
		}
	}
	src = source{[]string{filepath.Join(t.TempDir(), "missing")}}
	if _, err := find(map[string]string{}, registry("good.io")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A line break in a server's name asks for another server's password.
func TestCVE_2020_5260_line_break(t *testing.T) {
	src := source{[]string{writeHelper(t), "get"}}
	s, _ := ocm.NewSpec(map[string]string{"type": "GitCredential"})
	for _, host := range []string{"evil.io\nhost=plain.io", "evil.io\r", "evil.io\x00", "evil.io plain.io", "evil.io/plain.io", `evil.io\plain.io`, "\x7f"} {
		for _, id := range []ocm.Identity{registry(host), {"type": "OCIRegistry", "hostname": "plain.io", "port": host}} {
			if got, err := src.Find(t.Context(), nil, s, id); !errors.Is(err, ocm.ErrInvalid) || len(got) > 0 {
				t.Errorf("%q: %d properties, %v", host, len(got), err)
			}
		}
	}
}

// Git itself with a helper of its own; where that has nothing, nobody is asked for a password.
func TestGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	file := writeHelper(t)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), ".gitconfig"), []byte("[credential]\nhelper = "+file+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A repository in the current folder must not choose the helper.
	foreign := t.TempDir()
	t.Chdir(foreign)
	if out, err := exec.Command("git", "init").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	if out, err := exec.Command("git", "config", "credential.helper", "!touch "+foreign+"/ran").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	src := source{command(func(string) string { return "" })}
	s, _ := ocm.NewSpec(map[string]string{"type": "GitCredential"})
	got, err := src.Find(t.Context(), nil, s, ocm.Identity{"type": "OCIRegistry", "hostname": "good.io", "port": "5000"})
	if err != nil || !maps.Equal(got, ocm.Secret{"username": "me", "password": "hunter2="}) {
		t.Errorf("%d properties, %v", len(got), err)
	}
	if _, err := src.Find(t.Context(), nil, s, registry("none.io")); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
	if _, err := os.Stat(foreign + "/ran"); err == nil {
		t.Error("the helper of the current folder was run")
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{"": {"git", "credential", "fill"}, " ": {"git", "credential", "fill"}, " a  b c": {"a", "b", "c"}} {
		if got := command(func(string) string { return value }); !slices.Equal(got, want) {
			t.Errorf("%q: %q", value, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", "username=u\npassword=p\n", "password=p", "password=a=b\n\nx", "host=evil\n", "\n", "=\n=", "password=p\r\n", "quit=1\n", "nonsense", "password=\x00"} {
		f.Add([]byte(seed))
	}
	asked := server{protocol: "https", host: "good.io"}
	f.Fuzz(func(t *testing.T, out []byte) {
		got, err := asked.read(out)
		if err != nil {
			if len(err.Error()) > 200 || !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrNotFound) {
				t.Error(err)
			}
			return
		}
		if got["password"] == "" || strings.ContainsAny(got["password"]+got["username"], "\r\n\x00") {
			t.Errorf("%q", got)
		}
	})
}
