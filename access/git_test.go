// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"ocm"
	"ocm/access"
	"ocm/blob"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
)

// gitLogin are credentials for one type of consumers.
type gitLogin struct {
	typ    string
	secret ocm.Secret
}

func (l gitLogin) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id["type"] != l.typ {
		return nil, ocm.ErrNotFound
	}
	return l.secret, nil
}

// gitRepository makes dir/r with two commits and returns their names.
func gitRepository(t testing.TB, dir string) (first, second string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not on PATH")
	}
	r := filepath.Join(dir, "r")
	run := func(dir string, args ...string) string { return fixture.Must[string](t)(fixture.GitRun(dir, args...)) }
	run(dir, "init", "-q", "-b", "main", r)
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(r, "file"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(r, "add", ".")
		run(r, "commit", "-qm", text)
		first, second = second, run(r, "rev-parse", "HEAD")
	}
	run(r, "tag", "v1", first)
	return first, second
}

func TestGit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, _ := gitRepository(t, dir)
	open, stop, err := fixture.GitHTTP(dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	locked, stop, err := fixture.GitHTTP(dir, "me", "geheim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	daemon, stop, err := fixture.GitDaemon(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	archive := tgz(t, "one")
	for name, at := range map[string]string{"http": open, "http with a password": locked, "git": daemon} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := &ocm.Env{Temp: t.TempDir()}
			c := accesstest.Case{
				Method: access.Git, Env: env, Want: archive, WantType: "application/x-tgz",
				Good:    map[string]string{"repository": at + "/r/.git", "ref": "v1", "other": "kept"},
				Missing: []map[string]any{{"ref": "gone"}, {"commit": strings.Repeat("0a", 20)}, {"repository": at + "/gone/.git"}},
				Wrong: []map[string]any{
					{"commit": "abc"}, {"commit": strings.ToUpper(first)}, {"ref": "a b"}, {"ref": "../x"}, {"repository": 7},
					{"repository": "file://" + dir + "/r/.git"}, {"repository": dir + "/r"}, {"repository": "ftp://example.org/r"},
					{"repository": "https://user:geheim@example.org/r"}, {"repository": "https://example.org/r?token=geheim"}, {"repository": "-oProxyCommand=x:r"},
				},
				Host: func(hostport string) map[string]any {
					return map[string]any{"repository": at[:strings.Index(at, "//")+2] + hostport + "/r/.git"}
				},
				Secrets: []string{"geheim", "falsch"},
			}
			if at == locked {
				env.Credentials = gitLogin{"Git", ocm.Secret{"username": "me", "password": "geheim"}}
				c.Locked = &ocm.Env{Credentials: gitLogin{"Git", ocm.Secret{"username": "me", "password": "falsch"}}}
			}
			accesstest.Run(t, c)
			left, err := os.ReadDir(env.Temp)
			if err != nil || len(left) > 0 {
				t.Errorf("left in the temporary folder: %v %v", left, err)
			}
		})
	}
}

// tgz is what the repository with one file becomes.
func tgz(t testing.TB, text string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o644), os.Chmod(filepath.Join(dir, "file"), 0o644)); err != nil {
		t.Fatal(err)
	}
	c := fixture.Must[ocm.Content](t)(blob.TarDir(dir, blob.DirOptions{}))
	return bytesOf(t, blob.Gzip(c, "application/x-tgz"))
}

func bytesOf(t testing.TB, c ocm.Content) []byte {
	t.Helper()
	rc, err := blob.OpenContent(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	var all bytes.Buffer
	if _, err := all.ReadFrom(rc); err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

func TestGitIsPinned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := gitRepository(t, dir)
	at, stop, err := fixture.GitHTTP(dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	c, err := access.Git.Open(t.Context(), &ocm.Env{}, spec(t, `{"type":"Git/v1","ref":"main","repository":"`+at+`/r/.git","more":{"b":1,"a":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"Git/v1","repository":"` + at + `/r/.git","ref":"main","commit":"` + second + `","more":{"b":1,"a":2}}`
	if c.Pinned == nil || string(c.Pinned.Raw) != want {
		t.Fatalf("expected %s, found %+v", want, c.Pinned)
	}
	// The branch moves back; what was pinned stays, though no reference leads to it any more.
	fixture.Must[string](t)(fixture.GitRun(filepath.Join(dir, "r"), "reset", "-q", "--hard", first))
	c, err = access.Git.Open(t.Context(), &ocm.Env{}, *c.Pinned)
	if err != nil || !bytes.Equal(bytesOf(t, c), tgz(t, "two")) {
		t.Errorf("found other content: %v", err)
	}
}

// Credentials stay with the host that they are for: CVE-2026-41506.
func TestGitRedirect_CVE_2026_41506(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gitRepository(t, dir)
	elsewhere, stop, err := fixture.GitHTTP(dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
		http.Redirect(w, r, elsewhere+r.URL.RequestURI(), http.StatusFound)
	}))
	t.Cleanup(other.Close)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+r.URL.RequestURI(), http.StatusFound)
	}))
	t.Cleanup(first.Close)
	env := &ocm.Env{Credentials: gitLogin{"Git", ocm.Secret{"token": "geheim"}}}
	_, err = access.Git.Open(t.Context(), env, spec(t, `{"type":"git","repository":"`+first.URL+`/r/.git"}`))
	fixture.WantErr(t, err, ocm.ErrDenied, "redirects to", elsewhere)
	if leaked.Load() {
		t.Error("another host was given credentials")
	}
}

// host has a token for one host.
type host struct{ name, token string }

func (h host) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id["hostname"] != h.name {
		return nil, ocm.ErrNotFound
	}
	return ocm.Secret{"token": h.token}, nil
}
