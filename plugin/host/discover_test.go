// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/config"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/plugin/host"
)

// find returns what a host finds, by name.
func find(t *testing.T, o host.Options) (map[string]string, error) {
	t.Helper()
	o.Memory = plugintest.Memory
	h := host.New(o)
	t.Cleanup(func() { h.Close() })
	all, err := h.Plugins()
	found := map[string]string{}
	for _, p := range all {
		found[p.Name] = p.Path
	}
	return found, err
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func script(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fixture.Program(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// emptyPlugin is a plugin that can do nothing, and leaves a file where it ran.
func emptyPlugin(ran string) string {
	return "#!/bin/sh\ntouch '" + ran + "'\necho '{\"protocol\":\"ocm.software/plugin/v1\",\"name\":\"x\",\"capabilities\":[]}'\n"
}

// CVE-2021-41254 (kubeconfig of a tenant names a program), CVE-2022-24765 (a folder of somebody else): what others may change is not run.
func TestOnlyWhatTheUserHasPut(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, dir, file string) string{
		"group may write": func(t *testing.T, _, file string) string { chmod(t, file, 0o775); return "chmod go-w" },
		"all may write":   func(t *testing.T, _, file string) string { chmod(t, file, 0o757); return "chmod go-w" },
		"folder":          func(t *testing.T, dir, _ string) string { chmod(t, dir, 0o777); return "chmod go-w" },
		"folder of group": func(t *testing.T, dir, _ string) string { chmod(t, dir, 0o775); return "chmod go-w" },
		"folder above":    func(t *testing.T, dir, _ string) string { chmod(t, filepath.Dir(dir), 0o777); return "chmod go-w" },
		"of somebody else": func(t *testing.T, _, file string) string {
			if os.Geteuid() != 0 {
				t.Skip("only root gives files away")
			}
			if err := os.Chown(file, 12345, 12345); err != nil {
				t.Fatal(err)
			}
			return "belongs to somebody else"
		},
		"link to such": func(t *testing.T, dir, file string) string {
			other := filepath.Join(t.TempDir(), "other")
			if err := errors.Join(os.Rename(file, other), os.Symlink(other, file)); err != nil {
				t.Fatal(err)
			}
			chmod(t, other, 0o777)
			return "chmod go-w"
		},
		"link into such": func(t *testing.T, dir, file string) string {
			other := filepath.Join(t.TempDir(), "other")
			if err := errors.Join(os.Rename(file, other), os.Symlink(other, file)); err != nil {
				t.Fatal(err)
			}
			chmod(t, filepath.Dir(other), 0o777)
			return "chmod go-w"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, ran := filepath.Join(t.TempDir(), "plugins"), filepath.Join(t.TempDir(), "ran")
			file := filepath.Join(dir, "mine")
			script(t, file, emptyPlugin(ran))
			part := change(t, dir, file)
			found, err := find(t, host.Options{Dirs: []string{dir}})
			if len(found) != 0 || !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "mine") {
				t.Errorf("%v %v", found, err)
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("it was run")
			}
		})
	}
}

// In a folder with the sticky bit others replace nothing of ours.
func TestStickyFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "plugins")
	script(t, filepath.Join(dir, "mine"), emptyPlugin(filepath.Join(t.TempDir(), "ran")))
	chmod(t, dir, 0o777|os.ModeSticky)
	if found, err := find(t, host.Options{Dirs: []string{dir}}); err != nil || len(found) != 1 {
		t.Errorf("%v %v", found, err)
	}
}

func TestFinds(t *testing.T) {
	t.Parallel()
	root, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	one, two := filepath.Join(root, "one"), filepath.Join(root, "two")
	for _, path := range []string{"one/a", "one/in/a/folder/b", "one/.hidden/h", "one/.h", "two/a", "two/c.py", "elsewhere/d", "elsewhere/e"} {
		script(t, filepath.Join(root, path), emptyPlugin(ran))
	}
	script(t, filepath.Join(one, "README"), "text")
	chmod(t, filepath.Join(one, "README"), 0o644)
	script(t, filepath.Join(one, strings.Repeat("x/", 12)+"deep"), emptyPlugin(ran))
	for from, to := range map[string]string{"one/link": "elsewhere/d", "one/broken": "nothing", "one/folder": "elsewhere", "three": "two"} {
		if err := os.Symlink(filepath.Join(root, to), filepath.Join(root, from)); err != nil {
			t.Fatal(err)
		}
	}
	getenv := func(name string) string { return map[string]string{"HOME": root, "P": "two"}[name] }
	found, err := find(t, host.Options{Dirs: []string{"~/one", "$HOME/$P", filepath.Join(root, "none")}, Getenv: getenv})
	want := map[string]string{"a": one + "/a", "b": one + "/in/a/folder/b", "c.py": two + "/c.py", "link": one + "/link"}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("found %v\nexpected %v", found, want)
	}
	if !errors.Is(err, ocm.ErrExists) || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("what cannot be used: %v", err)
	}
	if found, err := find(t, host.Options{Dirs: []string{filepath.Join(root, "three")}}); err != nil || len(found) != 2 {
		t.Errorf("through a link: %v %v", found, err)
	}
	script(t, filepath.Join(root, ".config/ocm/plugins/usual"), emptyPlugin(ran))
	if found, err := find(t, host.Options{Getenv: getenv}); err != nil || len(found) != 1 || found["usual"] == "" {
		t.Errorf("the usual folder: %v %v", found, err)
	}
}

// A variable that is not set does not make another folder of what is left.
func TestFoldersWrong(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"$NOT_SET/plugins", "${NOT_SET}", "relative", "", "~user/x"} {
		found, err := find(t, host.Options{Dirs: []string{dir}, Getenv: func(string) string { return "" }})
		if len(found) != 0 || !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v %v", dir, found, err)
		}
	}
}

func TestTooMany(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range host.MaxPlugins + 5 {
		script(t, filepath.Join(dir, fmt.Sprint("p", i)), "no program")
	}
	_, err := find(t, host.Options{Dirs: []string{dir}})
	if !errors.Is(err, ocm.ErrLimit) || !strings.Contains(err.Error(), "more than 256 plugins") {
		t.Error(err)
	}
}

// A pinned plugin is run only if it is that file.
func TestPinned(t *testing.T) {
	t.Parallel()
	dir, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	file := filepath.Join(dir, "mine")
	text := emptyPlugin(ran)
	script(t, file, text)
	with := func(d digest.Digest) host.Options {
		return host.Options{Dirs: []string{dir}, Plugins: map[string]config.Plugin{"mine": {Digest: d}}}
	}
	found, err := find(t, with(digest.FromString("another")))
	if len(found) != 0 || !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "that the configuration demands") {
		t.Errorf("%v %v", found, err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
	if found, err := find(t, with(digest.FromString(text))); err != nil || len(found) != 1 {
		t.Errorf("%v %v", found, err)
	}
}

// One that is replaced between the look at it and its start is looked at again.
func TestReplaced(t *testing.T) {
	t.Parallel()
	p := newPlace(t, host.Options{}, config.Plugin{}, "echo")
	if _, err := p.host.Plugins(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.dir, "echo")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(t.TempDir(), "ran")
	script(t, path, emptyPlugin(ran))
	chmod(t, path, 0o777)
	_, err := p.open(t.Context(), "echo", "hello")
	bad(t, err, ocm.ErrDenied, "plugin echo: start: ", "chmod go-w")
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
}

// Nothing is run before a type is asked for that is not there.
func TestNothingRuns(t *testing.T) {
	t.Parallel()
	dir, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	script(t, filepath.Join(dir, "mine"), emptyPlugin(ran))
	h := host.New(host.Options{Dirs: []string{dir}})
	defer h.Close()
	kit := echoKit()
	h.Attach(kit)
	if _, err := kit.Access.For("echo/v1"); err != nil || kit.Access.Has("x") || !slices.Contains(kit.Access.Names(), "echo") {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Fatal("it was run")
	}
	if _, err := kit.Access.For("x"); !errors.Is(err, ocm.ErrUnknownType) {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err != nil {
		t.Error("it was not run:", err)
	}
}
