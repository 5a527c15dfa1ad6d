// SPDX-License-Identifier: Apache-2.0

package input_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/input"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

// push puts an artifact into a registry.
func push(t *testing.T, url, name, tag string, c ocm.Content) {
	t.Helper()
	repo := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, url, "", remote.Options{})).Repo(name)
	err := blob.Walk(t.Context(), c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		if raw == nil {
			rc := fixture.Must[io.ReadCloser](t)(c.From.Fetch(t.Context(), d))
			defer rc.Close()
			_, err := repo.Push(t.Context(), d, rc)
			return err
		}
		to := ""
		if d.Digest == c.Root.Digest {
			to = tag
		}
		return repo.PutManifest(t.Context(), d, raw, to, oci.Any())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// platforms is an index of images for several platforms.
func platforms(names ...string) ocm.Content {
	h := fixture.Heap{}
	var entries []string
	for _, name := range names {
		image := fixture.Image("layer for " + name)
		for d, raw := range image.From.(fixture.Heap) {
			h[d] = raw
		}
		os, arch, _ := strings.Cut(name, "/")
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":%q,"architecture":%q}}`, image.Root.MediaType, image.Root.Digest, image.Root.Size, os, arch))
	}
	return ocm.Content{From: h, Root: h.Put(ociv1.MediaTypeImageIndex, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, ociv1.MediaTypeImageIndex, strings.Join(entries, ",")))}
}

// find is the input of a name as a program has it: strict.
func find(t *testing.T, name string) ocm.Method {
	t.Helper()
	i := slices.IndexFunc(input.All(), func(m ocm.Method) bool { return slices.Contains(m.Names, name) })
	if i < 0 {
		t.Fatalf("no input %s", name)
	}
	return input.All()[i]
}

func spec(t *testing.T, v any) ocm.Spec {
	t.Helper()
	return fixture.Must[ocm.Spec](t)(ocm.NewSpec(v))
}

func TestOCIArtifact(t *testing.T) {
	t.Parallel()
	index := platforms("linux/amd64", "linux/arm64", "windows/amd64")
	for name, open := range map[string]func(testing.TB) string{"olareg": fixture.Registry, "docker-registry": fixture.DockerRegistry} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := open(t)
			push(t, url, "team/app", "1.0", index)
			accesstest.Run(t, accesstest.Case{
				Method: find(t, "ociArtifact"), WantType: index.Root.MediaType, Want: []byte(index.Root.Digest),
				Good:    map[string]any{"path": url + "/team/app:1.0", "repository": "app:1.0"},
				Missing: []map[string]any{{"path": url + "/team/app:2.0"}, {"path": url + "/team/other:1.0"}},
				Wrong: []map[string]any{
					{"path": url + "/team/app@sha256:../.."}, {"path": url + "/UPPER:1"}, {"repository": "Upper"}, {"repository": "../up"}, {"repository": "app:"},
					{"platforms": []string{"linux"}}, {"platforms": []string{"../x"}}, {"unknown": "x"},
				},
				Host: func(at string) map[string]any { return map[string]any{"path": "http://" + at + "/team/app:1.0"} },
			})
			in := find(t, "ociImage/v1")
			s := map[string]any{"type": "ociImage/v1", "path": url + "/team/app:1.0", "repository": "/base/app", "platforms": []string{"linux/arm64", "Linux/AMD64"}}
			c := fixture.Must[ocm.Content](t)(in.Open(t.Context(), &ocm.Env{}, spec(t, s)))
			if c.Root.Digest == index.Root.Digest || c.Hint != "/base/app" || !strings.HasSuffix(c.Origin, "/team/app") {
				t.Errorf("found %+v", c)
			}
			if err := blob.Check(t.Context(), c); err != nil {
				t.Error(err)
			}
			var got ociv1.Index
			raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), c.From, c.Root, blob.MaxManifest))
			if err := json.Unmarshal(raw, &got); err != nil || len(got.Manifests) != 2 {
				t.Errorf("found %s, %v", raw, err)
			}
			s["platforms"] = []string{"linux/s390x"}
			_, err := in.Open(t.Context(), &ocm.Env{}, spec(t, s))
			fixture.WantErr(t, err, ocm.ErrInvalid, "windows/amd64")
		})
	}
}

// A layout in a folder, an archive of it, and a folder that is none.
func TestLayoutFolder(t *testing.T) {
	t.Parallel()
	index, dir := platforms("linux/amd64"), t.TempDir()
	var files []string
	write := func(name string, raw []byte) {
		path := filepath.Join(dir, "image", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, raw, 0o600)); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for d, raw := range index.From.(fixture.Heap) {
		write("blobs/sha256/"+d.Encoded(), raw)
	}
	write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	write("index.json", fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, index.Root.MediaType, index.Root.Digest, index.Root.Size))
	env := &ocm.Env{Dir: dir}
	for _, typ := range []string{"file", "dir"} {
		s := spec(t, map[string]any{"type": typ, "path": "image", "mediaType": blob.MediaTypeLayout})
		c := fixture.Must[ocm.Content](t)(find(t, typ).Open(t.Context(), env, s))
		if c.Root.Digest != index.Root.Digest {
			t.Errorf("%s: found %+v", typ, c.Root)
		}
		if err := blob.Check(t.Context(), c); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		_, err := find(t, typ).Open(t.Context(), env, spec(t, map[string]any{"type": typ, "path": "image/blobs", "mediaType": blob.MediaTypeLayout}))
		fixture.WantErr(t, err, ocm.ErrInvalid)
		_, err = find(t, typ).Open(t.Context(), env, spec(t, map[string]any{"type": typ, "path": "../image", "mediaType": blob.MediaTypeLayout}))
		fixture.WantErr(t, err, ocm.ErrInvalid, "leaves")
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", files[0]); err != nil {
		t.Fatal(err)
	}
	s := spec(t, map[string]any{"type": "dir", "path": "image", "mediaType": blob.MediaTypeLayout})
	c, err := find(t, "dir").Open(t.Context(), env, s)
	if err == nil {
		err = blob.Check(t.Context(), c)
	}
	fixture.WantErr(t, err, ocm.ErrInvalid, "link") // go-containerregistry #2306
}
