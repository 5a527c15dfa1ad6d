// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"context"
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
	"ocm/ctf"
	"ocm/internal/storetest"
	"ocm/oci"
)

const golden = "testdata/golden"

func open(t testing.TB, path string) *ctf.Store {
	t.Helper()
	s, err := ctf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) oci.Store { return open(t, filepath.Join(t.TempDir(), "new")) })
}

func TestContract_existingDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	storetest.Run(t, func(t *testing.T) oci.Store { return open(t, dir) })
	wantNoTemps(t, dir)
}

// What one store writes, another one sees at once, though both keep the index in memory.
func TestContract_twoStores(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) oci.Store {
		dir := t.TempDir()
		return &alternating{Store: open(t, dir), other: open(t, dir)}
	})
}

// alternating writes with one store and reads with another one of the same directory.
type alternating struct {
	*ctf.Store
	other *ctf.Store
}

func (a *alternating) Repo(name string) oci.Repo {
	w, r := a.Store.Repo(name), a.other.Repo(name)
	return writer{Repo: r, ReferrerLister: r.(oci.ReferrerLister), Deleter: w.(oci.Deleter), w: w}
}

type writer struct {
	oci.Repo
	oci.ReferrerLister
	oci.Deleter
	w oci.Repo
}

func (w writer) Push(ctx context.Context, d ociv1.Descriptor, r io.Reader) (ociv1.Descriptor, error) {
	return w.w.Push(ctx, d, r)
}

func (w writer) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	return w.w.PutManifest(ctx, d, raw, tag, was)
}

// What comes through a pipe cannot be written.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v1-copied.tar", "v1-copied.tgz"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(filepath.Join(golden, name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, err := ctf.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			storetest.RunReadOnly(t, s)
		})
	}
}

// describe is everything that a store says about its content.
func describe(t *testing.T, s *ctf.Store) []string {
	t.Helper()
	ctx := t.Context()
	var lines []string
	for name, err := range s.Repos(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		r := s.Repo(name)
		for tag, err := range r.Tags(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			root, err := r.Resolve(ctx, tag)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%s:%s %s %s %d", name, tag, root.MediaType, root.Digest, root.Size))
			err = blob.Walk(ctx, r, root, func(d ociv1.Descriptor, _ []byte) error {
				lines = append(lines, fmt.Sprintf("  %s %s %d", d.MediaType, d.Digest, d.Size))
				there, err := r.Exists(ctx, ociv1.Descriptor{Digest: d.Digest, Size: d.Size})
				if !there || err != nil {
					t.Errorf("%s: expected it to exist, found %v, %v", d.Digest, there, err)
				}
				br, err := blob.Open(ctx, r, d)
				if err != nil {
					return err
				}
				defer br.Close()
				_, err = io.Copy(io.Discard, br)
				return err
			})
			if err != nil {
				t.Fatalf("%s:%s: %v", name, tag, err)
			}
		}
	}
	return lines
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v1", "v1-copied", "v2", "v2n", "v2n-copied"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := describe(t, open(t, filepath.Join(golden, name)))
			var tags []string
			for _, l := range lines {
				if !strings.HasPrefix(l, " ") {
					tags = append(tags, strings.Fields(l)[0])
				}
			}
			slices.Sort(tags)
			want := []string{"component-descriptors/golden.example/app:1.0.0", "component-descriptors/golden.example/lib:1.0.0"}
			if !slices.Equal(tags, want) {
				t.Errorf("expected %v, found %v", want, tags)
			}
		})
	}
}

func TestGolden_threeFormsOneAnswer(t *testing.T) {
	t.Parallel()
	dir := describe(t, open(t, filepath.Join(golden, "v1-copied")))
	for _, name := range []string{"v1-copied.tar", "v1-copied.tgz"} {
		if got := describe(t, open(t, filepath.Join(golden, name))); !slices.Equal(got, dir) {
			t.Errorf("%s: expected\n%s\nfound\n%s", name, strings.Join(dir, "\n"), strings.Join(got, "\n"))
		}
	}
	if len(dir) < 10 {
		t.Errorf("expected two versions with content, found %v", dir)
	}
}

func Example() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	s, err := ctf.Open(filepath.Join(dir, "acme.ctf")) // created by the first write
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	ctx := context.Background()
	repo := s.Repo("component-descriptors/acme.org/app")
	config, _ := repo.Push(ctx, ociv1.Descriptor{MediaType: ociv1.MediaTypeEmptyJSON}, strings.NewReader("{}"))
	m := blob.Bytes(ociv1.MediaTypeImageManifest, fmt.Appendf(nil,
		`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`, config.MediaType, config.Digest, config.Size))
	raw, _ := blob.ReadAll(ctx, m.From, m.Root, blob.MaxManifest)
	if err := repo.PutManifest(ctx, m.Root, raw, "1.0.0", oci.Absent()); err != nil {
		fmt.Println(err)
	}
	for tag := range repo.Tags(ctx) {
		d, err := repo.Resolve(ctx, tag)
		fmt.Println(tag, d.MediaType, d.Size, err)
	}
	index, _ := os.ReadFile(filepath.Join(dir, "acme.ctf", "artifact-index.json"))
	fmt.Println(string(index))
	// Output:
	// 1.0.0 application/vnd.oci.image.manifest.v1+json 182 <nil>
	// {"schemaVersion":1,"artifacts":[{"repository":"component-descriptors/acme.org/app","tag":"1.0.0","digest":"sha256:91f862fccf6f849deec349bc66cd9dafffefb5179629c1e53c58b2010fda0e02","mediaType":"application/vnd.oci.image.manifest.v1+json"}]}
}

var _ ocm.Fetcher = oci.Repo(nil)
