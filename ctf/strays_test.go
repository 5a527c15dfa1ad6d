// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm/oci"
)

// One bit in the entry of something attached must not make it vanish: in the repository, it is found out; in the media
// type, it does not matter, because what it is shows in it.
func TestDamagedEntryOfReferrer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ctf")
	s := opened(t, dir)
	root := putManifest(t, s.Repo("image"), "v1", nil)
	attached := putManifest(t, s.Repo("image"), "sbom", &root)
	s.Close()
	path := filepath.Join(dir, indexName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(raw, []byte(`{"repository"`))
	for what, c := range map[string]struct {
		good, bad string
		strays    error
		found     []digest.Digest
	}{
		"none":       {"", "", nil, []digest.Digest{attached.Digest}},
		"repository": {`"image"`, `"imagf"`, ErrBroken, nil},
		"media type": {"v1+json", "v1+jsoo", nil, []digest.Digest{attached.Digest}},
	} {
		now := string(raw[:last]) + strings.Replace(string(raw[last:]), c.good, c.bad, 1)
		if now == string(raw) != (c.good == "") {
			t.Fatalf("%s is not in %s", c.good, raw[last:])
		}
		if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		s := opened(t, dir)
		r := s.Repo("image")
		if err := r.(oci.StrayChecker).CheckStrays(t.Context(), root.Digest); !errors.Is(err, c.strays) {
			t.Errorf("%s: expected %v, found %v", what, c.strays, err)
		}
		if found, err := listReferrers(t, r, root); err != nil || !slices.Equal(found, c.found) {
			t.Errorf("%s: expected %v, found %v, %v", what, c.found, found, err)
		}
		s.Close()
	}
}

// A referrer in a repository that has its subject is where it belongs, with a tag or without.
func TestCheckStrays_ofOthers(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "ctf"))
	defer s.Close()
	root := putManifest(t, s.Repo("image"), "v1", nil)
	other := putManifest(t, s.Repo("mirror"), "v1", nil)
	putManifest(t, s.Repo("mirror"), "sbom", &other)
	if root.Digest != other.Digest {
		t.Fatal("not the same image")
	}
	if err := s.Repo("image").(oci.StrayChecker).CheckStrays(t.Context(), root.Digest); err != nil {
		t.Error(err)
	}
}

func opened(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
