// SPDX-License-Identifier: Apache-2.0

package construct_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/construct"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

// folder is a folder with files, for inputs.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(body), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pack constructs what text says in a store; inputs are read from dir.
func pack(t testing.TB, store oci.Store, dir, text string, o construct.Options) ([]ocm.Version, error) {
	t.Helper()
	env := &ocm.Env{Job: ocm.NewJob(4), Dir: dir}
	return construct.Run(t.Context(), builtin.Kit(), env, oci.NewRepository(store, env), mustParse(t, text), o)
}

func mustPack(t testing.TB, store oci.Store, dir, text string) []ocm.Version {
	t.Helper()
	return fixture.Must[[]ocm.Version](t)(pack(t, store, dir, text, construct.Options{}))
}

func open(t testing.TB, store oci.Store, name, version string) (ocm.Version, error) {
	t.Helper()
	return oci.NewRepository(store, &ocm.Env{}).Open(t.Context(), name, version)
}

func find(store oci.Store) func(ctx context.Context, name, version string) (ocm.Version, error) {
	return oci.NewRepository(store, &ocm.Env{}).Open
}

// layout is an image as an archive.
func layout(t testing.TB, layer string) string {
	t.Helper()
	var b bytes.Buffer
	if err := blob.WriteLayout(t.Context(), &b, fixture.Image(layer), "v1"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// publish puts an image into a registry.
func publish(t testing.TB, url, name, tag, layer string) {
	t.Helper()
	c := fixture.Image(layer)
	repo := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, url, "", remote.Options{})).Repo(name)
	err := blob.Walk(t.Context(), c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		if raw != nil {
			return repo.PutManifest(t.Context(), d, raw, tag, oci.Any())
		}
		_, err := repo.Push(t.Context(), d, bytes.NewReader(c.From.(fixture.Heap)[d.Digest]))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nowhere is a store that reads blobs and forgets them.
type nowhere struct{ oci.Store }

func (n nowhere) Repo(name string) oci.Repo { return nowhereRepo{n.Store.Repo(name)} }

type nowhereRepo struct{ oci.Repo }

func (r nowhereRepo) Push(_ context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	_, err := io.Copy(io.Discard, src)
	return d, err
}
