// SPDX-License-Identifier: Apache-2.0

package construct_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/construct"
	"ocm/ctf"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantErr(t testing.TB, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("expected error %q, found %v", want, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("expected %q in the error, found %v", text, err)
		}
	}
}

func registry(t testing.TB) string {
	h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	srv := httptest.NewServer(h)
	t.Cleanup(func() { srv.Close(); h.Close() })
	return srv.URL
}

// places are the kinds of repository, each opened empty.
var places = map[string]func(t testing.TB) oci.Store{
	"memory": func(testing.TB) oci.Store { return memory.New() },
	"ctf":    func(t testing.TB) oci.Store { return must[*ctf.Store](t)(ctf.Open(t.TempDir() + "/ctf")) },
	"registry": func(t testing.TB) oci.Store {
		return must[*remote.Store](t)(remote.Open(&ocm.Env{}, registry(t), "", remote.Options{}))
	},
}

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
	return must[[]ocm.Version](t)(pack(t, store, dir, text, construct.Options{}))
}

func open(t testing.TB, store oci.Store, name, version string) (ocm.Version, error) {
	t.Helper()
	return oci.NewRepository(store, &ocm.Env{}).Open(t.Context(), name, version)
}

func find(store oci.Store) func(ctx context.Context, name, version string) (ocm.Version, error) {
	return oci.NewRepository(store, &ocm.Env{}).Open
}

// heap is a set of blobs to make artifacts of.
type heap map[digest.Digest][]byte

func (h heap) put(mediaType string, b []byte) ociv1.Descriptor {
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	h[d.Digest] = b
	return d
}

func (h heap) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	b, ok := h[d.Digest]
	if !ok {
		return nil, fmt.Errorf("heap: %s: %w", d.Digest, ocm.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// image is an image with one layer.
func image(layer string) ocm.Content {
	h := heap{}
	c, l := h.put(ociv1.MediaTypeImageConfig, []byte(`{}`)), h.put(ociv1.MediaTypeImageLayer, []byte(layer))
	m := h.put(ociv1.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ociv1.MediaTypeImageManifest, c.MediaType, c.Digest, c.Size, l.MediaType, l.Digest, l.Size))
	return ocm.Content{Root: m, From: h}
}

// layout is an image as an archive.
func layout(t testing.TB, layer string) string {
	t.Helper()
	var b bytes.Buffer
	if err := blob.WriteLayout(t.Context(), &b, image(layer), "v1"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// publish puts an image into a registry.
func publish(t testing.TB, url, name, tag, layer string) {
	t.Helper()
	c := image(layer)
	repo := must[*remote.Store](t)(remote.Open(&ocm.Env{}, url, "", remote.Options{})).Repo(name)
	err := blob.Walk(t.Context(), c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		if raw != nil {
			return repo.PutManifest(t.Context(), d, raw, tag, oci.Any())
		}
		_, err := repo.Push(t.Context(), d, bytes.NewReader(c.From.(heap)[d.Digest]))
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
