// SPDX-License-Identifier: Apache-2.0

package componentarchive_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/componentarchive"
	"ocm/descriptor"
)

// fuzz: whatever the archive, no panic; what is wrong is said as the archive's fault; what is delivered has the size that
// was promised, and the digest if there was one.
func fuzz(f *testing.F, pack func(t *testing.T, b []byte) []byte) {
	for _, files := range [][]member{
		{{descriptor.FileName, document("good")}, {"blobs/good", "good"}},
		{{"blobs/sha256.770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c", "good"},
			{descriptor.FileName, document("sha256:770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c")}},
		{{descriptor.FileName, "apiVersion: ocm.software/v3alpha1\nkind: ComponentVersion\nmetadata: {name: acme.org/app, version: 1.0.0, provider: {name: p}}\nspec: {}\n"}},
		{{"artifact-index.json", "{}"}},
	} {
		f.Add(tarOf(f, files))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, pack(t, b), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := componentarchive.Open(path)
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) && !errors.Is(err, ocm.ErrUnknownType) {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		defer r.Close()
		for name := range r.Components(t.Context()) {
			for version := range r.Versions(t.Context(), name) {
				v, err := r.Open(t.Context(), name, version)
				if err != nil { // only a name that nobody can ask for
					if !errors.Is(err, ocm.ErrInvalid) {
						t.Fatalf("%s:%s is listed and cannot be opened: %v", name, version, err)
					}
					continue
				}
				for _, res := range v.Descriptor().Component.Resources {
					deliver(t, v, res.Access)
				}
			}
		}
	})
}

func deliver(t *testing.T, v ocm.Version, access ocm.Spec) {
	c, err := v.Blob(t.Context(), access)
	if err != nil {
		return
	}
	rc, err := blob.OpenContent(t.Context(), c)
	if err != nil {
		t.Fatalf("%+v was promised: %v", c.Root, err)
	}
	defer rc.Close()
	n, err := io.Copy(io.Discard, rc)
	if err == nil && n != c.Root.Size {
		t.Fatalf("%+v was promised, found %d bytes", c.Root, n)
	}
	if err != nil && !errors.Is(err, ocm.ErrDigest) && !errors.Is(err, ocm.ErrInvalid) {
		t.Fatalf("an error without a kind: %v", err)
	}
}

func FuzzTar(f *testing.F) { fuzz(f, func(_ *testing.T, b []byte) []byte { return b }) }

// FuzzTgz compresses what the fuzzer makes, because it would never guess a checksum.
func FuzzTgz(f *testing.F) { fuzz(f, func(t *testing.T, b []byte) []byte { return gzipped(t, b) }) }
