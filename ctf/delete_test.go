// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
	"ocm/oci/memory"
)

// putOver stores an image manifest over layers, or an index over manifests, and tags it.
func putOver(t *testing.T, r oci.Repo, tag string, children ...ociv1.Descriptor) ociv1.Descriptor {
	t.Helper()
	list := make([]string, len(children))
	for i, c := range children {
		list[i] = fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, c.MediaType, c.Digest, c.Size)
	}
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex}
	text := `{"schemaVersion":2,"manifests":[` + strings.Join(list, ",") + `]}`
	if children[0].MediaType == "application/octet-stream" {
		d.MediaType = ociv1.MediaTypeImageManifest
		text = `{"schemaVersion":2,"config":` + list[0] + `,"layers":[` + strings.Join(list[1:], ",") + `]}`
	}
	d.Digest, d.Size = digest.FromString(text), int64(len(text))
	if err := r.PutManifest(t.Context(), d, []byte(text), tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

func pushText(t *testing.T, r oci.Repo, text string) ociv1.Descriptor {
	t.Helper()
	d, err := r.Push(t.Context(), ociv1.Descriptor{}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDelete_archiveTakesNothingOut(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		s := open(t, path)
		d := putOver(t, s.Repo("r"), "1.0.0", pushText(t, s.Repo("r"), "x"))
		del := s.Repo("r").(oci.Deleter)
		for _, err := range []error{
			del.Untag(t.Context(), "1.0.0"), del.DeleteManifest(t.Context(), d.Digest),
			del.DeleteBlob(t.Context(), digest.FromString("x")), del.Untag(t.Context(), "absent"),
		} {
			wantErr(t, err, ocm.ErrDenied, path, "folder")
			wantErr(t, err, errors.ErrUnsupported)
		}
		if got, err := s.Repo("r").Resolve(t.Context(), "1.0.0"); err != nil || got.Digest != d.Digest {
			t.Errorf("expected the version to stay, found %v, %v", got, err)
		}
	})
}

// Blobs are shared: what any repository needs stays, through manifests that the index does not list, too.
func TestDelete_blobOfAnotherRepository(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	a, b := s.Repo("a"), s.Repo("b")
	layer := pushText(t, b, "layer")
	image := putOver(t, b, "image", layer)
	putOver(t, b, "index", image)
	del := a.(oci.Deleter)
	wantErr(t, del.DeleteBlob(t.Context(), layer.Digest), ocm.ErrDenied, image.Digest.String())
	wantErr(t, del.DeleteBlob(t.Context(), image.Digest), ocm.ErrDenied, "repository b")

	// Some tools list roots only. Another store, because this one has the index in memory.
	file := filepath.Join(dir, "artifact-index.json")
	raw, _ := os.ReadFile(file)
	first, rest, _ := strings.Cut(string(raw), "},{")
	if !strings.Contains(first, image.Digest.String()) {
		t.Fatalf("the index is not as expected: %s", raw)
	}
	os.Chmod(file, 0o644)
	os.WriteFile(file, []byte(`{"schemaVersion":1,"artifacts":[{`+rest), 0o644)
	s = open(t, dir)
	del = s.Repo("b").(oci.Deleter)
	wantErr(t, del.DeleteManifest(t.Context(), image.Digest), ocm.ErrDenied, "index")
	wantErr(t, del.DeleteBlob(t.Context(), image.Digest), ocm.ErrDenied, "needs it")
	wantErr(t, s.Repo("a").(oci.Deleter).DeleteBlob(t.Context(), layer.Digest), ocm.ErrDenied, image.Digest.String())
	if _, err := s.Repo("b").Resolve(t.Context(), image.Digest.String()); err != nil {
		t.Error(err)
	}
}

// Nobody knows what a manifest needs that cannot be read: nothing is deleted until it is gone.
func TestDelete_unreadableManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	r := s.Repo("r")
	del := r.(oci.Deleter)
	for name, spoil := range map[string]func(path string){
		"broken": func(path string) { os.WriteFile(path, []byte(`{"schemaVersion":2,"config":`), 0o644) },
		"gone":   func(path string) { os.Remove(path) },
	} {
		bad := putOver(t, r, name, pushText(t, r, name))
		layer := pushText(t, r, "layer of "+name)
		path := blobFile(dir, bad.Digest)
		os.Chmod(path, 0o644)
		spoil(path)
		err := del.DeleteBlob(t.Context(), layer.Digest)
		if err == nil || errors.Is(err, ocm.ErrNotFound) && name == "broken" || !strings.Contains(err.Error(), bad.Digest.String()) {
			t.Errorf("%s: expected an error that names %s, found %v", name, bad.Digest, err)
		}
		if there, _ := r.Exists(t.Context(), layer); !there {
			t.Errorf("%s: the blob was deleted", name)
		}
		if err := del.DeleteManifest(t.Context(), bad.Digest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := del.DeleteBlob(t.Context(), layer.Digest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is deleted leaves no trace in the index, whatever was there before.
func TestDelete_indexOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	r := s.Repo("r")
	keep := putOver(t, r, "keep", pushText(t, r, "keep"))
	file := filepath.Join(dir, "artifact-index.json")
	before, _ := os.ReadFile(file)
	d := putOver(t, r, "a", pushText(t, r, "x"))
	putOver(t, r, "b", pushText(t, r, "x"))
	putOver(t, r, "a", pushText(t, r, "y")) // moves on
	del := r.(oci.Deleter)
	if err := errors.Join(del.Untag(t.Context(), "b"), del.DeleteManifest(t.Context(), d.Digest)); err != nil {
		t.Fatal(err)
	}
	y, err := r.Resolve(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := del.DeleteManifest(t.Context(), y.Digest); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(file)
	if string(before) != string(after) || !strings.Contains(string(after), keep.Digest.String()) {
		t.Errorf("expected\n%s\nfound\n%s", before, after)
	}
	wantNoTemps(t, dir)
}

// A folder and memory agree about every step of many random ones.
func TestDelete_likeMemory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		mem, dir := memory.New(), t.TempDir()
		all := []oci.Repo{mem.Repo("r"), open(t, dir).Repo("r")}
		known := []digest.Digest{digest.FromString("nothing")}
		for step := range 60 {
			what, tag := rnd.IntN(8), fmt.Sprint("t", rnd.IntN(4))
			d := known[rnd.IntN(len(known))]
			text := fmt.Sprint(rnd.IntN(6))
			var kinds [2]string
			for i, r := range all {
				kinds[i] = act(t, r, what, tag, text, d)
				if i == 0 && strings.HasPrefix(kinds[0], "sha256:") {
					known = append(known, digest.Digest(kinds[0]))
				}
			}
			if kinds[0] != kinds[1] {
				t.Fatalf("seed %d, step %d: action %d with %s, %s: memory says %s, the folder %s", seed, step, what, tag, d, kinds[0], kinds[1])
			}
			all[1] = open(t, dir).Repo("r")
			for _, d := range known {
				wantSame(t, all, d.String())
			}
			for i := range 4 {
				wantSame(t, all, fmt.Sprint("t", i))
			}
		}
	}
}

// act does one of several things and says what came of it.
func act(t *testing.T, r oci.Repo, what int, tag, text string, d digest.Digest) string {
	t.Helper()
	del := r.(oci.Deleter)
	var err error
	switch what {
	case 0:
		return pushText(t, r, text).Digest.String()
	case 1, 2:
		return putOver(t, r, tag, pushText(t, r, text)).Digest.String()
	case 3: // over what has a tag
		child, err := r.Resolve(t.Context(), tag)
		if err != nil {
			return "nothing has this tag"
		}
		return putOver(t, r, fmt.Sprint("t", len(text)), child).Digest.String()
	case 4:
		err = del.Untag(t.Context(), tag)
	case 5, 6:
		err = del.DeleteManifest(t.Context(), d)
	case 7: // the bytes of a manifest that was deleted are a blob of the folder, but not of memory
		err = del.DeleteBlob(t.Context(), digest.FromString(text))
	}
	for _, kind := range []error{ocm.ErrNotFound, ocm.ErrDenied} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return fmt.Sprint(err)
}

func wantSame(t *testing.T, all []oci.Repo, ref string) {
	t.Helper()
	a, errA := all[0].Resolve(t.Context(), ref)
	b, errB := all[1].Resolve(t.Context(), ref)
	if errA != nil {
		a = ociv1.Descriptor{}
	}
	if errB != nil || b.MediaType == "application/octet-stream" { // memory finds no blobs by Resolve
		b = ociv1.Descriptor{}
	}
	if a.Digest != b.Digest || a.MediaType != b.MediaType {
		t.Fatalf("%s: memory has %v, %v, the folder %v, %v", ref, a, errA, b, errB)
	}
}
