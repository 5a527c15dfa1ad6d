// SPDX-License-Identifier: Apache-2.0

package installed

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"

	"ocm/internal/fixture"
)

func anything(*Record, bool) error { return nil }

// install puts a program of this text into a folder.
func install(t *testing.T, folder, name, text string, allow func(*Record, bool) error) error {
	t.Helper()
	s, err := Begin(folder, name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Drop()
	if err := os.WriteFile(s.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	return s.Finish(Record{Component: "acme.org/" + name, Version: "1.0.0", Resource: ocm.Identity{"name": name}}, allow)
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestInstall(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "new", "plugins")
	if err := install(t, folder, "hello", "one", anything); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "hello")
	info, err := os.Stat(path)
	if err != nil || info.Mode()&0o111 == 0 || info.Mode()&0o022 != 0 {
		t.Fatal(info, err)
	}
	if info, err = os.Stat(recordOf(path)); err != nil || info.Mode().Perm() != 0o644 {
		t.Error("others cannot compare it:", info.Mode(), err)
	}
	r, err := Check(path)
	if err != nil || r.Component != "acme.org/hello" || r.Digest != digest.FromString("one") || r.Previous != "" {
		t.Fatal(r, err)
	}
	refused := errors.New("no")
	err = install(t, folder, "hello", "two", func(old *Record, there bool) error {
		if !there || old == nil || old.Digest != digest.FromString("one") {
			t.Error(old, there)
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Error(err)
	}
	if _, err := Check(path); err != nil {
		t.Error(err)
	}
	if err := install(t, folder, "hello", "two", anything); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(path); err != nil || r.Digest != digest.FromString("two") || r.Previous != "" {
		t.Error(r, err)
	}
	if err := fixture.Program(path, []byte("three")); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(path); !errors.Is(err, ocm.ErrDigest) || r == nil {
		t.Error(r, err)
	}
	if got := files(t, folder); !slices.Equal(got, []string{".hello.json", "hello"}) {
		t.Error(got)
	}
	if err := Remove(folder, "hello", false); err != nil {
		t.Error(err)
	}
	if got := files(t, folder); len(got) > 0 {
		t.Error(got)
	}
	if err := Remove(folder, "hello", false); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
}

// Between the steps of a replacement the program is one that its record accepts, whatever ended the process there.
func TestReplacementIsInterrupted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "hello")
	if err := install(t, folder, "hello", "one", anything); err != nil {
		t.Fatal(err)
	}
	// What Finish does first: the new record is there, and the old program.
	next := Record{Component: "acme.org/hello", Version: "2.0.0", Digest: digest.FromString("two"), Previous: digest.FromString("one")}
	if err := next.write(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(path); err != nil {
		t.Error(err)
	}
	// Then the program, but not the last record.
	if err := fixture.Program(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(path); err != nil {
		t.Error(err)
	}
	if err := install(t, folder, "hello", "two", anything); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(path); err != nil || r.Previous != "" {
		t.Error(r, err)
	}
	// A program that was changed does not become right because it is going to be replaced.
	if err := fixture.Program(path, []byte("changed")); err != nil {
		t.Fatal(err)
	}
	s, err := Begin(folder, "hello")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Drop()
	if err := os.WriteFile(s.Path, []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.Path); err != nil { // so that the program cannot get its name
		t.Fatal(err)
	}
	if err := s.Finish(Record{Component: "acme.org/hello", Version: "3.0.0"}, anything); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if r, err := Check(path); !errors.Is(err, ocm.ErrDigest) || r.Digest != digest.FromString("two") {
		t.Error(r, err)
	}
}

// Who installs at once gets one of the programs, with its record.
func TestTwoInstallAtOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	var wait sync.WaitGroup
	for _, text := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		wait.Go(func() {
			if err := install(t, folder, "hello", text, anything); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if r, err := Check(filepath.Join(folder, "hello")); err != nil || r == nil || r.Previous != "" {
		t.Error(r, err)
	}
	if got := files(t, folder); len(got) != 2 {
		t.Error(got)
	}
}

// Names of plugins come from names of components, and become files.
func TestNames(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"hello": true, "a": true, "ocm-1.2_x+y": true, "UPPER": true, "0": true, strings.Repeat("a", 100): true,
		"": false, ".": false, "..": false, ".hidden": false, "a/b": false, "../a": false, `a\b`: false, "a b": false, "-rf": false, "a\x00": false, "a\n": false,
		"\x1b[2J": false, "ä": false, "a\u202eb": false, "C:": false, strings.Repeat("a", 101): false,
	} {
		if err := CheckName(name); (err == nil) != good || err != nil && !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
		if good {
			continue
		}
		folder := t.TempDir()
		if _, err := Begin(folder, name); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
		if err := Remove(folder, name, true); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(folder, "hello"); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chmod go-w "+folder+":") {
		t.Error(err)
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	// What a killed process has left goes, what somebody is at stays.
	for name, age := range map[string]time.Duration{"old": 2 * abandoned, "new": 0} {
		dir := filepath.Join(folder, staging+name)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "x"), 0o700), os.Chtimes(dir, time.Now().Add(-age), time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Begin(folder, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if got := files(t, folder); len(got) != 2 || !slices.Contains(got, staging+"new") {
		t.Error(got)
	}
	// Only one file can be a program.
	if _, err := s.Seal(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for what, make := range map[string]func(path string) error{
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":   func(path string) error { return os.Symlink("/bin/sh", path) },
	} {
		if err := make(s.Path); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Seal(); !errors.Is(err, ocm.ErrInvalid) {
			t.Error(what, err)
		}
		if err := os.Remove(s.Path); err != nil {
			t.Fatal(err)
		}
	}
	s.Drop()
}

func TestPaths(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if paths, err := Paths(filepath.Join(folder, "none")); err != nil || len(paths) > 0 {
		t.Error(paths, err)
	}
	for path, mode := range map[string]fs.FileMode{
		"a": 0o700, "README": 0o600, "sub/b": 0o755, ".hidden": 0o700, ".installing-1/c": 0o700, ".gone.json": 0o600, ".a.json": 0o600, "...json": 0o600,
	} {
		path = filepath.Join(folder, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	paths, err := Paths(folder)
	for i, p := range paths {
		paths[i], _ = filepath.Rel(folder, p)
	}
	slices.Sort(paths)
	if want := []string{"a", "gone", "link", "sub/b"}; err != nil || !slices.Equal(paths, want) {
		t.Error(paths, err)
	}
}

// FuzzRecord: whatever stands in a record, it is refused or names a digest.
func FuzzRecord(f *testing.F) {
	sum := digest.FromString("x").String()
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"digest":"` + sum + `"}`, `{"digest":"` + sum + `","previous":"sha256:1"}`, `{"digest":"sha256:../../x"}`,
		`{"component":"acme.org/hello","version":"1.0.0","repository":"./a","resource":{"name":"hello"},"digest":"` + sum + `","previous":"` + sum + `","verified":true,` +
			`"signatures":[{"of":"a:1","name":"default","algorithm":"RSASSA-PSS","signer":"x","time":"2026-01-02T03:04:05Z"}],"installed":"2026-01-02T03:04:05Z"}`,
		`{"digest":"` + sum + `","installed":"yesterday"}`, `{"digest":"` + sum + `","digest":"` + sum + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRecord(raw)
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) && !errors.Is(err, ocm.ErrDigest) {
				t.Error(err)
			}
			return
		}
		if r.Digest.Validate() != nil || r.Matches(r.Digest) != nil || r.Matches("") == nil {
			t.Error(r)
		}
	})
}
