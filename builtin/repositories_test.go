// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

const component = "acme.org/app"

func openWith(t *testing.T, kit *ocm.Kit, raw string) ocm.Repository {
	t.Helper()
	return fixture.Must[ocm.Repository](t)(builtin.OpenRepository(t.Context(), kit, &ocm.Env{Job: ocm.NewJob(2)}, spec(t, raw)))
}

// add writes an empty version, as far as that is possible.
func add(t *testing.T, r ocm.Repository) error {
	t.Helper()
	d, err := r.Draft(t.Context(), component, "1.0.0", nil)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = d.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: component, Version: "1.0.0", Provider: "p"}})
	if f, ok := r.(ocm.Finisher); ok && err == nil {
		err = f.Finish(t.Context())
	}
	return err
}

// What is in memory is there for all who open it by its name, as long as the kit lives.
func TestMemoryLivesAsLongAsTheKit(t *testing.T) {
	t.Parallel()
	kit := builtin.Kit()
	r := openWith(t, kit, `{"type":"memory","name":"a"}`)
	if err := add(t, r); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openWith(t, kit, `{"type":"Memory/v1","name":"a"}`).Open(t.Context(), component, "1.0.0"); err != nil {
		t.Error(err)
	}
	for _, other := range []ocm.Repository{openWith(t, kit, `{"type":"memory","name":"b"}`), openWith(t, builtin.Kit(), `{"type":"memory","name":"a"}`)} {
		if _, err := other.Open(t.Context(), component, "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// What a specification says about an archive holds when it is written; reading takes it as it is.
func TestAccessModeAndFileFormat(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]error{
		``: nil, `,"accessMode":"readwrite"`: nil, `,"accessMode":"create|readwrite"`: nil, `,"accessMode":"readonly | readwrite"`: nil, `,"accessMode":null`: nil,
		`,"accessMode":"readonly"`: ocm.ErrDenied,
		`,"accessMode":0`:          ocm.ErrInvalid, // readonly, says one tool, and readwrite the other
		`,"accessMode":1`:          ocm.ErrInvalid,
		`,"fileFormat":"tgz"`:      nil, `,"fileFormat":"tar"`: ocm.ErrInvalid, `,"fileFormat":"directory"`: ocm.ErrInvalid,
	} {
		path := filepath.Join(t.TempDir(), "new.tgz")
		if err := add(t, openWith(t, builtin.Kit(), fmt.Sprintf(`{"type":"ctf","filePath":%q%s}`, path, members))); !errors.Is(err, want) {
			t.Errorf("writing with %q: expected %v, found %v", members, want, err)
		} else if _, err := os.Stat(path); (err == nil) != (want == nil) {
			t.Errorf("writing with %q: %v", members, err)
		}
		if err := add(t, openWith(t, builtin.Kit(), fmt.Sprintf(`{"type":"ctf","filePath":%q}`, path))); err != nil && !errors.Is(err, ocm.ErrExists) {
			t.Fatal(err)
		}
		if _, err := openWith(t, builtin.Kit(), fmt.Sprintf(`{"type":"ctf","filePath":%q%s}`, path, members)).Open(t.Context(), component, "1.0.0"); err != nil {
			t.Errorf("reading with %q: %v", members, err)
		}
	}
}

// The older mapping of names is read, and never written.
func TestHashedComponentNames(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	if err := add(t, oci.NewRepository(renamed{fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, url, "x", remote.Options{}))}, &ocm.Env{})); err != nil {
		t.Fatal(err)
	}
	r := openWith(t, builtin.Kit(), fmt.Sprintf(`{"type":"OCIRegistry","baseUrl":%q,"subPath":"x","componentNameMapping":"sha256-digest"}`, url))
	if _, err := r.Open(t.Context(), component, "1.0.0"); err != nil {
		t.Error(err)
	}
	if err := add(t, r); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("writing: %v", err)
	}
}

// renamed puts components where the older mapping has them.
type renamed struct{ oci.Store }

func (r renamed) Repo(name string) oci.Repo {
	sum := sha256.Sum256([]byte(strings.TrimPrefix(name, "component-descriptors/")))
	return r.Store.Repo("component-descriptors/" + hex.EncodeToString(sum[:]))
}

// A component archive is told from a CTF by what is in it.
func TestComponentArchiveIsGuessed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	doc := "meta: {schemaVersion: v2}\ncomponent: {name: acme.org/app, version: 1.0.0, provider: p, repositoryContexts: [], resources: [], sources: [], componentReferences: []}\n"
	if err := os.WriteFile(filepath.Join(dir, "component-descriptor.yaml"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{"ctf", "ca"} {
		r := openWith(t, builtin.Kit(), fmt.Sprintf(`{"type":%q,"filePath":%q}`, typ, dir))
		if _, err := r.Open(t.Context(), component, "1.0.0"); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		if err := add(t, r); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "ocm transfer cv ca::"+dir+"//acme.org/app:1.0.0") {
			t.Errorf("writing: %v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "artifact-index.json"), []byte(`{"schemaVersion":1,"artifacts":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openWith(t, builtin.Kit(), fmt.Sprintf(`{"type":"ctf","filePath":%q}`, dir)).Open(t.Context(), component, "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("in a CTF beside it: %v", err)
	}
}
