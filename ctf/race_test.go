// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// A blob that goes between the look at it and the opening is absent, and nothing worse.
func TestOpenSeen_gone(t *testing.T) {
	t.Parallel()
	d := newTestDirectory(t)
	got, err := d.push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	before, blobs, err := d.lstat(got.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.remove(got.Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := d.openSeen(got.Digest, before, blobs); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("found %v", err)
	}
}

// vanishing are files of which something is deleted after the index was loaded.
type vanishing struct {
	*directory
	then func()
}

func (v *vanishing) load() (*index, error) {
	idx, err := v.directory.load()
	if then := v.then; then != nil {
		v.then = nil
		then()
	}
	return idx, err
}

// A manifest that goes with its entry between the look into the index and the look at the bytes is absent; one whose
// entry stays is damage.
func TestResolve_deletedMeanwhile(t *testing.T) {
	t.Parallel()
	raw := `{"schemaVersion":2,"config":{"mediaType":"x/y","digest":"` + string(digest.FromString("c")) + `","size":1},"layers":[]}`
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(raw), Size: int64(len(raw))}
	for _, listed := range []bool{false, true} {
		s, err := Open(filepath.Join(t.TempDir(), "ctf"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		v := &vanishing{directory: s.out.(*directory)}
		s.files = v
		r := s.Repo("r").(*repo)
		remove := func() {
			if !listed {
				if err := r.DeleteManifest(t.Context(), d.Digest); err != nil {
					t.Error(err)
				}
			}
			if err := os.Remove(filepath.Join(s.path, blobsName, blobName(d.Digest))); err != nil {
				t.Error(err)
			}
		}
		want := ocm.ErrNotFound
		if listed {
			want = ocm.ErrInvalid
		}
		for _, ref := range []string{"tag", string(d.Digest)} {
			if err := r.PutManifest(t.Context(), d, []byte(raw), "tag", oci.Any()); err != nil {
				t.Fatal(err)
			}
			v.then = remove
			if _, err := r.Resolve(t.Context(), ref); !errors.Is(err, want) {
				t.Errorf("%s: expected %q, found %v", ref, want, err)
			}
		}
		if listed {
			continue
		}
		if err := r.PutManifest(t.Context(), d, []byte(raw), "tag", oci.Any()); err != nil {
			t.Fatal(err)
		}
		s.referrers.repos = nil // as another process has it
		v.then = remove
		for _, err := range r.Referrers(t.Context(), d, "") {
			t.Error(err)
		}
	}
}
