// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/internal/repotest"
	"ocm/oci/memory"
	"ocm/plugin/host"
)

func folder(t testing.TB, kit *ocm.Kit, dir string) ocm.Repository {
	t.Helper()
	open := fixture.Must[ocm.RepositoryOpener](t)(kit.Repositories.For("Folder/v1"))
	return fixture.Must[ocm.Repository](t)(open(t.Context(), &ocm.Env{Temp: shortDir(t)}, spec(t, "Folder/v1", "baseUrl", dir)))
}

// The contract, without what the protocol has no words for: it stores local content per element and version, so that content which another version
// has is read again, it knows a version by its name only, so that a state that was replaced is gone, and it has no question for what is attached
// to an image.
func TestRepository(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"repo", "told"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			repotest.Run(t, func(t *testing.T) ocm.Repository {
				kit, _ := hosted(t, host.Options{}, program)
				return folder(t, kit, t.TempDir())
			}, "ContentThatIsThereIsNotRead", "OldStateStaysReadableByDigest", "AttachedContentTravels")
		})
	}
}

// Two repositories of one plugin are two processes, because a plugin is not told in each question which one is meant.
func TestTwoRepositories(t *testing.T) {
	t.Parallel()
	kit, _ := hosted(t, host.Options{}, "told")
	a, b := folder(t, kit, t.TempDir()), folder(t, kit, t.TempDir())
	write1(t, a, "1.0.0", blob.Bytes("text/plain", []byte("in a")))
	write1(t, b, "2.0.0", blob.Bytes("text/plain", []byte("in b")))
	for r, want := range map[ocm.Repository]string{a: "1.0.0", b: "2.0.0"} {
		var found []string
		for v, err := range r.Versions(t.Context(), "acme.org/x") {
			if err != nil {
				t.Error(err)
			}
			found = append(found, v)
		}
		if !slices.Equal(found, []string{want}) {
			t.Errorf("%s: found %q, expected %s", r, found, want)
		}
	}
}

// What is attached to an image does not get to such a plugin, and is named.
func TestAttachedIsLeftBehind(t *testing.T) {
	t.Parallel()
	source := memory.New().Repo("image")
	signed := fixture.NewSignedImage(t, source)
	kit, dir := hosted(t, host.Options{}, "repo")
	open := fixture.Must[ocm.RepositoryOpener](t)(kit.Repositories.For("Folder/v1"))
	for _, alone := range []bool{false, true} {
		var log bytes.Buffer
		env := &ocm.Env{Temp: shortDir(t), Log: slog.New(slog.NewTextHandler(&log, nil))}
		r := fixture.Must[ocm.Repository](t)(open(t.Context(), env, spec(t, "Folder/v1", "baseUrl", dir)))
		d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/x", "1.0.0", nil))
		fixture.Must[ocm.Stored](t)(d.Add(t.Context(), ocm.Content{Root: signed.Root, From: source, Alone: alone}, ""))
		for subject, list := range signed.Referrers {
			if len(list) == 0 || subject == signed.Referrers[signed.Root.Digest][0] { // which is left with what it is attached to
				continue
			}
			if told := strings.Contains(log.String(), list[0].String()); told == alone {
				t.Errorf("alone: %t, told of %s: %t: %s", alone, list[0], told, &log)
			}
		}
		if err := errors.Join(d.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}
}

// write1 writes a version with a resource and a source.
func write1(t testing.TB, r ocm.Repository, version string, c ocm.Content) ocm.Version {
	t.Helper()
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/x", version, nil))
	s := fixture.Must[ocm.Stored](t)(d.Add(t.Context(), c, ""))
	src := fixture.Must[ocm.Stored](t)(d.Add(t.Context(), blob.Bytes("text/x-source", []byte("source of "+version)), ""))
	e := ocm.Element{Name: "r", Version: version, ExtraIdentity: ocm.Identity{"os": "linux"}}
	return fixture.Must[ocm.Version](t)(d.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{
		Name: "acme.org/x", Version: version, Provider: "acme.org",
		Resources: []ocm.Resource{{Element: e, Type: "blob", Relation: "local", Access: s.Access}},
		Sources:   []ocm.Source{{Element: e, Type: "git", Access: src.Access}},
	}}))
}

// Content that is not what the descriptor says is not read without an error, whoever changed it.
func TestRepositoryLies(t *testing.T) {
	t.Parallel()
	kit, dir := hosted(t, host.Options{}, "repo")
	r := folder(t, kit, "")
	v := write1(t, r, "1.0.0", blob.Bytes("text/plain", []byte("truth")))
	if got := all(t, fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Sources[0].Access))); got != "source of 1.0.0" {
		t.Errorf("source: %q", got)
	}
	changed := 0
	err := filepath.WalkDir(filepath.Join(dir, "store"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "truth" {
			return err
		}
		changed++
		return os.WriteFile(path, []byte("lies!"), 0o600)
	})
	if err != nil || changed != 1 {
		t.Fatalf("%d files changed, %v", changed, err)
	}
	c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
	_, err = blob.ReadAll(t.Context(), c.From, c.Root, 100)
	fixture.WantErr(t, err, ocm.ErrDigest)
}

// An answer that is another version than was asked for, or no descriptor, is refused.
func TestRepositoryMixesUp(t *testing.T) {
	t.Parallel()
	kit, dir := hosted(t, host.Options{}, "repo")
	r := folder(t, kit, "")
	write1(t, r, "1.0.0", blob.Bytes("text/plain", []byte("one")))
	write1(t, r, "2.0.0", blob.Bytes("text/plain", []byte("two")))
	files := fixture.Must[[]string](t)(filepath.Glob(filepath.Join(dir, "store", "*", "*", "descriptor")))
	if len(files) != 2 {
		t.Fatalf("%q", files)
	}
	if err := os.Rename(files[0], files[1]); err != nil {
		t.Fatal(err)
	}
	invalid, missing := 0, 0
	for _, version := range []string{"1.0.0", "2.0.0"} {
		switch _, err := r.Open(t.Context(), "acme.org/x", version); {
		case errors.Is(err, ocm.ErrInvalid):
			invalid++
		case errors.Is(err, ocm.ErrNotFound):
			missing++
		}
	}
	if invalid != 1 || missing != 1 {
		t.Errorf("%d invalid, %d missing", invalid, missing)
	}
	if err := os.WriteFile(files[1], []byte(`"nonsense"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0.0", "2.0.0"} {
		if _, err := r.Open(t.Context(), "acme.org/x", version); err == nil {
			t.Errorf("%s was opened", version)
		}
	}
}

// What is stored is what was given, or else an error.
func TestRepositoryLoses(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]error{"repo": nil, "lossy": ocm.ErrDigest} {
		kit, _ := hosted(t, host.Options{}, program)
		r := folder(t, kit, "")
		d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/x", "1.0.0", nil))
		_, err := d.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{
			Name: "acme.org/x", Version: "1.0.0", Provider: "acme.org", Unknown: ocm.RawJSON(`{"future":true,"later":true}`),
		}})
		if !errors.Is(err, want) {
			t.Errorf("%s: expected %v, found %v", program, want, err)
		}
	}
}
