// SPDX-License-Identifier: Apache-2.0

package git

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
)

// run runs git and returns what it prints.
func run(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := fixture.GitRun(dir, args...)
	must(t, err)
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes files; a text that begins with "-> " is a link.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(to, file))
			continue
		}
		must(t, os.WriteFile(file, []byte(text), 0o644))
	}
}

// repository makes dir/r with files in two commits, of which it returns the names.
func repository(t testing.TB, dir string, options ...string) (first, second string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not on PATH")
	}
	r := filepath.Join(dir, "r")
	run(t, dir, append([]string{"init", "-q", "-b", "main", r}, options...)...)
	long := strings.Repeat("a line that comes again\n", 3000)
	write(t, r, map[string]string{"a.txt": "a\n", "a/b/deep": "deep", "a-b": "x", "run.sh": "#!/bin/sh\n", "empty": "", "long1": long + "1", "long2": "2" + long, "ü": "ü"})
	must(t, os.Chmod(filepath.Join(r, "run.sh"), 0o755))
	run(t, r, "add", ".")
	run(t, r, "commit", "-qm", "first")
	first = run(t, r, "rev-parse", "HEAD")
	run(t, r, "tag", "-am", "one", "v1")
	run(t, r, "tag", "light")
	write(t, r, map[string]string{"a.txt": "b\n", "new/file": "new"})
	run(t, r, "add", ".")
	run(t, r, "commit", "-qm", "second")
	second = run(t, r, "rev-parse", "HEAD")
	run(t, r, "branch", "side", first)
	return first, second
}

func remote(t testing.TB, env *ocm.Env, at string) *Remote {
	t.Helper()
	a, err := ParseAddress(at)
	must(t, err)
	return NewRemote(env, a)
}

func read(ctx context.Context, c ocm.Content) ([]byte, error) {
	rc, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

// checkout is the archive that input dir makes of the files of a commit.
func checkout(t testing.TB, repo, commit string) []byte {
	t.Helper()
	dir := t.TempDir()
	run(t, repo, "--work-tree", dir, "checkout", "-qf", commit, "--", ".")
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error { // whatever the umask is
		if err == nil && d.IsDir() {
			return os.Chmod(p, 0o755)
		}
		if info, ierr := d.Info(); ierr == nil && info.Mode()&0o100 != 0 {
			return os.Chmod(p, 0o755)
		}
		return os.Chmod(p, 0o644)
	}))
	c, err := blob.TarDir(dir, blob.DirOptions{})
	must(t, err)
	all, err := read(t.Context(), c)
	must(t, err)
	return all
}

// servers are the ways to reach dir/r.
func servers(t testing.TB, dir string) map[string]string {
	t.Helper()
	web, stop, err := fixture.GitHTTP(dir, "", "")
	must(t, err)
	t.Cleanup(stop)
	daemon, stop, err := fixture.GitDaemon(dir)
	must(t, err)
	t.Cleanup(stop)
	return map[string]string{"http": web + "/r/.git", "git": daemon + "/r/.git"}
}

func TestTreeIsTheCheckout(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		for _, version := range []string{"2", "1", "0"} {
			t.Run(format+" version "+version, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				first, second := repository(t, dir, "--object-format="+format)
				r := filepath.Join(dir, "r")
				run(t, r, "config", "uploadpack.allowReachableSHA1InWant", "true")
				run(t, r, "repack", "-adfq", "--depth=50")
				all := servers(t, dir)
				if version != "2" {
					all = map[string]string{"http": oldServer(t, all["http"], version)}
				}
				for name, at := range all {
					remote := remote(t, &ocm.Env{Temp: t.TempDir()}, at)
					for ref, want := range map[string]string{"": second, "HEAD": second, "main": second, "refs/heads/main": second, "v1": first, "light": first, "refs/tags/v1": first, "side": first} {
						got, err := remote.Commit(t.Context(), ref)
						if err != nil || got != want {
							t.Errorf("%s: ref %q: expected %s, found %s, %v", name, ref, want, got, err)
						}
					}
					for _, commit := range []string{first, second} {
						got, err := read(t.Context(), remote.Tree(commit))
						if err != nil || !bytes.Equal(got, checkout(t, r, commit)) {
							t.Errorf("%s: the archive of %s differs from a checkout: %v", name, commit, err)
						}
					}
				}
			})
		}
	}
}

// oldServer leads to a server and asks it to speak an older version.
func oldServer(t testing.TB, at, version string) string {
	t.Helper()
	return proxy(t, at, func(r *httputil.ProxyRequest) { r.Out.Header.Set("Git-Protocol", "version="+version) })
}

// proxy leads to a server by the way of a change of requests.
func proxy(t testing.TB, at string, change func(*httputil.ProxyRequest)) string {
	t.Helper()
	u, err := url.Parse(at)
	must(t, err)
	p := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
		change(r)
	}})
	t.Cleanup(p.Close)
	return p.URL + u.Path
}

// A server may lead to another path of its own, and nowhere else.
func TestRedirectOnTheSameServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := repository(t, dir)
	u, err := url.Parse(servers(t, dir)["http"])
	must(t, err)
	back := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: u.Scheme, Host: u.Host})
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch rest, ok := strings.CutPrefix(r.URL.Path, "/short"); {
		case ok:
			http.Redirect(w, r, u.Path+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, "/login"):
			http.Redirect(w, r, u.Path+"/HEAD", http.StatusFound)
		default:
			back.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(at.Close)
	short := remote(t, &ocm.Env{}, at.URL+"/short")
	if got, err := short.Commit(t.Context(), ""); err != nil || got != second {
		t.Errorf("expected %s, found %s %v", second, got, err)
	}
	if _, err := read(t.Context(), short.Tree(first)); err != nil {
		t.Error(err)
	}
	_, err = remote(t, &ocm.Env{}, at.URL+"/login").Commit(t.Context(), "")
	fixture.WantErr(t, err, ocm.ErrInvalid, "no git server answers there")
}

// Older servers may keep to what references point at.
func TestOldServerRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, second := repository(t, dir)
	r := filepath.Join(dir, "r")
	left := run(t, r, "commit-tree", "-m", "nothing points at it", second+"^{tree}")
	at := servers(t, dir)["http"]
	old := remote(t, &ocm.Env{}, oldServer(t, at, "0"))
	if _, err := read(t.Context(), old.Tree(second)); err != nil {
		t.Error(err)
	}
	_, err := read(t.Context(), old.Tree(left))
	fixture.WantErr(t, err, ocm.ErrNotFound, left, "a server of this age")
	if _, err := read(t.Context(), remote(t, &ocm.Env{}, at).Tree(left)); err != nil {
		t.Errorf("version 2 sends it: %v", err)
	}
}

func TestCommitFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, _ := repository(t, dir)
	run(t, filepath.Join(dir, "r"), "branch", "v1", "main")
	empty := filepath.Join(dir, "empty")
	run(t, dir, "init", "-q", empty)
	for name, at := range servers(t, dir) {
		r := remote(t, &ocm.Env{}, at)
		_, err := r.Commit(t.Context(), "v1")
		fixture.WantErr(t, err, ocm.ErrInvalid, "refs/heads/v1", "refs/tags/v1")
		_, err = r.Commit(t.Context(), "gone")
		fixture.WantErr(t, err, ocm.ErrNotFound, "gone")
		_, err = read(t.Context(), r.Tree(strings.Repeat("1", 40)))
		fixture.WantErr(t, err, ocm.ErrNotFound, strings.Repeat("1", 40))
		_, err = read(t.Context(), r.Tree(strings.Repeat("1", 64)))
		fixture.WantErr(t, err, ocm.ErrInvalid, "64 digits")
		_, err = remote(t, &ocm.Env{}, strings.Replace(at, "/r/", "/nobody/", 1)).Commit(t.Context(), "")
		fixture.WantErr(t, err, ocm.ErrNotFound)
		_, err = remote(t, &ocm.Env{}, strings.Replace(at, "/r/", "/empty/", 1)).Commit(t.Context(), "")
		fixture.WantErr(t, err, ocm.ErrNotFound, "HEAD")
		tree := run(t, filepath.Join(dir, "r"), "rev-parse", first+"^{tree}")
		_, err = read(t.Context(), r.Tree(tree))
		if err == nil {
			t.Errorf("%s: a tree is taken for a commit", name)
		}
	}
}

func TestNothingStaysInTemp(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	_, second := repository(t, dir)
	for _, at := range servers(t, dir) {
		r := remote(t, &ocm.Env{Temp: temp}, at)
		rc, err := r.Tree(second).Open(t.Context())
		must(t, err)
		_, err = io.ReadFull(rc, make([]byte, 600))
		must(t, err)
		must(t, rc.Close())
		_, err = read(t.Context(), r.Tree(strings.Repeat("1", 40)))
		if err == nil {
			t.Error("found a commit that is not there")
		}
		left, err := os.ReadDir(temp)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the temporary folder: %v %v", left, err)
		}
	}
}

// Large files that are changes of each other come out right, and their bytes are not held in memory.
func TestLargeChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repository(t, dir)
	r := filepath.Join(dir, "r")
	noise := make([]byte, 3<<20)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(noise)
	for i := range 5 {
		copy(noise[i*500_000:], fmt.Appendf(nil, "change %d", i))
		must(t, os.WriteFile(filepath.Join(r, fmt.Sprintf("noise%d", i)), append(noise, byte(i)), 0o644))
	}
	run(t, r, "add", ".")
	run(t, r, "commit", "-qm", "noise")
	run(t, r, "repack", "-adfq", "--depth=50")
	commit := run(t, r, "rev-parse", "HEAD")
	for name, at := range servers(t, dir) {
		got, err := read(t.Context(), remote(t, &ocm.Env{}, at).Tree(commit))
		if err != nil || !bytes.Equal(got, checkout(t, r, commit)) {
			t.Errorf("%s: the archive differs from a checkout: %v", name, err)
		}
	}
}

func TestLinksAndSubmodules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, _ := repository(t, dir)
	r := filepath.Join(dir, "r")
	write(t, r, map[string]string{"link": "-> a.txt", "a/b/up": "-> ../../new/file", "folder": "-> a/b/"})
	run(t, r, "add", ".")
	run(t, r, "update-index", "--add", "--cacheinfo", "160000,"+first+",sub/module")
	run(t, r, "commit", "-qm", "links")
	all, err := read(t.Context(), remote(t, &ocm.Env{}, servers(t, dir)["http"]).Tree(run(t, r, "rev-parse", "HEAD")))
	must(t, err)
	found := map[string]string{}
	tr := tar.NewReader(bytes.NewReader(all))
	for h, err := tr.Next(); err != io.EOF; h, err = tr.Next() {
		must(t, err)
		found[h.Name] = fmt.Sprintf("%c %o %s", h.Typeflag, h.Mode, h.Linkname)
	}
	for name, want := range map[string]string{"link": "2 777 a.txt", "a/b/up": "2 777 ../../new/file", "folder": "2 777 a/b/", "sub/module/": "5 755 ", "run.sh": "0 755 ", "a.txt": "0 644 ", "./": "5 755 "} {
		if found[name] != want {
			t.Errorf("%s: expected %q, found %q", name, want, found[name])
		}
	}
	must(t, blob.Extract(t.Context(), bytes.NewReader(all), filepath.Join(t.TempDir(), "out"), blob.ExtractOptions{}))
}
