// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// layoutFolder writes an image as a folder dir/layout.
func layoutFolder(t testing.TB) (dir string, m *image, root ociv1.Descriptor) {
	t.Helper()
	m = &image{}
	root = m.index(m.manifest([]byte("first"), []byte("second")))
	dir = t.TempDir()
	entries := append(m.entries("/"), entry{name: ociv1.ImageLayoutFile, body: `{"imageLayoutVersion":"1.0.0"}`}, indexEntry("index.json", nil, tagged(root, "1.0")))
	for _, e := range entries {
		path := filepath.Join(dir, "layout", filepath.FromSlash(e.name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(e.body), 0o600))
	}
	return dir, m, root
}

func TestLayoutIn(t *testing.T) {
	t.Parallel()
	dir, _, root := layoutFolder(t)
	must(t, os.Symlink("layout", filepath.Join(dir, "link"))) // a link to the layout is none in it
	for _, name := range []string{"layout", "./layout", "link"} {
		c, err := LayoutIn(t.Context(), dir, name)
		must(t, err)
		if c.Root.Digest != root.Digest || c.Root.MediaType != root.MediaType || c.Root.Size != root.Size {
			t.Errorf("found %+v", c.Root)
		}
		must(t, Check(t.Context(), c))
		if !IsLayoutDir(dir, name) {
			t.Errorf("%s is a layout", name)
		}
	}
	if c, err := LayoutIn(t.Context(), filepath.Join(dir, "layout"), "."); err != nil || c.Root.Digest != root.Digest {
		t.Errorf("found %+v, %v", c.Root, err)
	}
	for name, kind := range map[string]error{"gone": ocm.ErrNotFound, "layout/blobs": ocm.ErrNotFound, "../" + filepath.Base(dir) + "/layout": ocm.ErrNotFound} {
		_, err := LayoutIn(t.Context(), dir, name)
		wantError(t, err, kind)
	}
}

// go-containerregistry #2306: a blob that is a link would pack any file of this computer. So would a folder that is.
func TestGGCR2306_LayoutInWithLinks(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"blob", "blobs", "sha256", "index.json", "oci-layout"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, m, _ := layoutFolder(t)
			path := map[string]string{
				"blob": "layout/blobs/sha256/" + m.order[0].Encoded(), "blobs": "layout/blobs", "sha256": "layout/blobs/sha256",
				"index.json": "layout/index.json", "oci-layout": "layout/oci-layout",
			}[what]
			moved := filepath.Join(dir, "moved")
			must(t, os.Rename(filepath.Join(dir, path), moved))
			up, err := filepath.Rel(filepath.Dir(filepath.Join(dir, path)), moved) // a relative link stays below dir
			must(t, err)
			must(t, os.Symlink(up, filepath.Join(dir, path)))
			c, err := LayoutIn(t.Context(), dir, "layout")
			if err == nil {
				err = Check(t.Context(), c)
			}
			kind := ocm.ErrInvalid
			if what == "oci-layout" {
				kind = ocm.ErrNotFound
			}
			wantError(t, err, kind)
		})
	}
}

func TestLayoutInThatIsDamaged(t *testing.T) {
	t.Parallel()
	dir, m, root := layoutFolder(t)
	blob := func(d digest.Digest) string { return filepath.Join(dir, "layout/blobs/sha256", d.Encoded()) }
	c, err := LayoutIn(t.Context(), dir, "layout")
	must(t, err)
	layer := digest.FromString("first")
	must(t, os.WriteFile(blob(layer), []byte("f1rst"), 0o600))
	wantError(t, Check(t.Context(), c), ocm.ErrDigest)
	must(t, os.WriteFile(blob(layer), []byte("longer"), 0o600))
	wantError(t, Check(t.Context(), c), ocm.ErrDigest, "6")
	must(t, os.Remove(blob(layer)))
	wantError(t, Check(t.Context(), c), ocm.ErrNotFound)
	if _, err := c.From.Fetch(t.Context(), ociv1.Descriptor{Digest: "sha256:../../index.json", Size: -1}); err == nil {
		t.Error("CVE-2024-3727: a digest leads out of the blobs")
	}
	must(t, os.WriteFile(blob(root.Digest), m.blobs[layer], 0o600))
	_, err = LayoutIn(t.Context(), dir, "layout")
	wantError(t, err, ocm.ErrDigest, "main artifact")
}
