// SPDX-License-Identifier: Apache-2.0

package componentarchive_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/componentarchive"
	"ocm/descriptor"
	"ocm/internal/fixture"
	"ocm/internal/repotest"
)

// forms write the files of an archive, in an order, to a path that they return.
func forms() map[string]func(t testing.TB, files []member) string {
	return map[string]func(t testing.TB, files []member) string{
		"folder": folderOf,
		"tar":    func(t testing.TB, files []member) string { return write(t, "a.tar", tarOf(t, files)) },
		"tgz":    func(t testing.TB, files []member) string { return write(t, "a.tgz", gzipped(t, tarOf(t, files))) },
	}
}

type member struct{ name, text string }

func folderOf(t testing.TB, files []member) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.text), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t testing.TB, name string, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tarOf(t testing.TB, files []member) []byte {
	t.Helper()
	headers := []*tar.Header{{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}}
	for _, f := range files {
		headers = append(headers, &tar.Header{Name: "./" + f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.text))})
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if _, err := w.Write([]byte(files[i-1].text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(t testing.TB, path string) *componentarchive.Repository {
	t.Helper()
	r := fixture.Must[*componentarchive.Repository](t)(componentarchive.Open(path))
	t.Cleanup(func() { r.Close() })
	return r
}

// access are the ways in which content is referred to, and the file that it is in.
var access = []func(text string) (spec, file string){
	func(text string) (string, string) {
		name := "sha256." + digest.FromString(text).Encoded()
		return fmt.Sprintf(`{"type":"localBlob","mediaType":"text/plain","localReference":%q}`, name), name
	},
	func(text string) (string, string) {
		d := digest.FromString(text)
		return fmt.Sprintf(`{"type":"localBlob/v1","mediaType":"text/plain","localReference":%q}`, d), "sha256." + d.Encoded()
	},
	func(string) (string, string) {
		return `{"type":"localFilesystemBlob","mediaType":"text/plain","fileName":"Some Name.txt"}`, "Some Name.txt"
	},
}

func TestContract(t *testing.T) {
	t.Parallel()
	for name, form := range forms() {
		for _, encode := range []func(*ocm.Descriptor) ([]byte, error){fixture.YAML, descriptor.JSON} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				repotest.ReadOnly(t, func(t *testing.T, d *ocm.Descriptor, texts []string) ocm.Repository {
					var files []member
					for i, text := range texts {
						spec, file := access[i%len(access)](text)
						if err := d.Component.Resources[i].Access.UnmarshalJSON([]byte(spec)); err != nil {
							t.Fatal(err)
						}
						files = append(files, member{"blobs/" + file, text})
					}
					raw := fixture.Must[[]byte](t)(encode(d))
					return open(t, form(t, append([]member{{descriptor.FileName, string(raw)}}, files...)))
				})
			})
		}
	}
}
