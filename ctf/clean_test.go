// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/oci"
)

// age makes everything among the blobs two hours old.
func age(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-2 * time.Hour)
	for _, f := range files {
		if err := os.Chtimes(filepath.Join(dir, "blobs", f.Name()), past, past); err != nil {
			t.Fatal(err)
		}
	}
}

// clean is another process that cleans up, with the usual age.
func clean(t *testing.T, dir string, o ctf.CleanOptions) (ctf.Cleaned, error) {
	t.Helper()
	if o.OlderThan == 0 {
		o.OlderThan = time.Hour
	}
	s, err := ctf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Clean(t.Context(), o)
}

// wantCleaned compares the blobs that went, by their digests.
func wantCleaned(t *testing.T, dir string, o ctf.CleanOptions, want ...ociv1.Descriptor) ctf.Cleaned {
	t.Helper()
	done, err := clean(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	var digests []digest.Digest
	for _, d := range want {
		digests = append(digests, d.Digest)
	}
	slices.Sort(digests)
	var found []digest.Digest
	for _, b := range done.Blobs {
		found = append(found, b.Digest)
	}
	if !slices.Equal(found, digests) {
		t.Errorf("expected to be taken out: %v, found %v", digests, found)
	}
	for _, d := range want {
		if _, err := os.Stat(blobFile(dir, d.Digest)); (err == nil) != o.DryRun {
			t.Errorf("%s: %v", d.Digest, err)
		}
	}
	return done
}

// putReferrer stores a manifest that has a subject.
func putReferrer(t *testing.T, r oci.Repo, subject, config ociv1.Descriptor) ociv1.Descriptor {
	t.Helper()
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"x/y","digest":%q,"size":%d},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
		config.Digest, config.Size, subject.MediaType, subject.Digest, subject.Size)
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), d, raw, "", oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

// standing is a store that is open for long, as that of a registry.
func standing(t *testing.T, dir string) *ctf.Store { return open(t, dir).Standing() }

func TestClean(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	r := s.Repo("r")
	layer := pushText(t, r, "layer")
	image := putOver(t, r, "", layer)
	putOver(t, r, "index", image)
	old := putOver(t, r, "moved", pushText(t, r, "before"))
	putOver(t, r, "moved", pushText(t, r, "after"))
	stray := pushText(t, r, "stray")
	for _, name := range []string{"notes.txt", "sha256.short", ".hidden", "sha256." + strings.Repeat("A", 64)} {
		if err := os.WriteFile(filepath.Join(dir, "blobs", name), []byte("of somebody else"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".ocm-0123", ".sha256." + strings.Repeat("a", 64) + ".part"} {
		if err := os.WriteFile(filepath.Join(dir, "blobs", name), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	age(t, dir)
	young := pushText(t, r, "young")

	if done := wantCleaned(t, dir, ctf.CleanOptions{DryRun: true}, stray); done.Young != 1 || len(done.Leftovers) != 2 {
		t.Errorf("found %+v", done)
	}
	done := wantCleaned(t, dir, ctf.CleanOptions{}, stray)
	if done.Young != 1 || len(done.Leftovers) != 2 || done.Leftovers[0].Size != 4 || len(done.Manifests) != 0 {
		t.Errorf("found %+v", done)
	}
	wantCleaned(t, dir, ctf.CleanOptions{}) // there is nothing more to do
	for _, name := range []string{"notes.txt", "sha256.short", ".hidden", "sha256." + strings.Repeat("A", 64)} {
		if _, err := os.Stat(filepath.Join(dir, "blobs", name)); err != nil {
			t.Error(err)
		}
	}
	for _, d := range []ociv1.Descriptor{layer, image, old, young} {
		if there, err := r.Exists(t.Context(), d); err != nil || !there {
			t.Errorf("%s is gone: %v", d.Digest, err)
		}
	}
}

// What has no tag stays if something that stays leads to it, whatever way.
func TestClean_untagged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	r := s.Repo("r")
	config := pushText(t, r, "config")
	image := putOver(t, r, "", pushText(t, r, "nested"))
	putOver(t, r, "index", image)
	signature := putReferrer(t, r, image, config)            // of what stays
	countersignature := putReferrer(t, r, signature, config) // and of that
	subject := putOver(t, r, "", pushText(t, r, "subject"))
	referrer := putReferrer(t, r, subject, pushText(t, r, "tagged referrer"))
	raw, err := os.ReadFile(blobFile(dir, referrer.Digest))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.PutManifest(t.Context(), referrer, raw, "attestation", oci.Any()); err != nil {
		t.Fatal(err)
	}
	goneLayer := pushText(t, r, "gone")
	gone := putOver(t, r, "", goneLayer, config)
	goneReferrer := putReferrer(t, r, gone, config)
	age(t, dir)
	fresh := putOver(t, r, "", pushText(t, r, "fresh"))

	done := wantCleaned(t, dir, ctf.CleanOptions{Untagged: true}, goneLayer, gone, goneReferrer)
	if len(done.Manifests) != 2 || done.Manifests[0].Repository != "r" {
		t.Errorf("found %+v", done.Manifests)
	}
	for _, d := range []ociv1.Descriptor{image, signature, countersignature, subject, referrer, fresh} {
		if _, err := r.Resolve(t.Context(), d.Digest.String()); err != nil {
			t.Error(err)
		}
	}
	for _, d := range []ociv1.Descriptor{gone, goneReferrer} {
		_, err := r.Resolve(t.Context(), d.Digest.String())
		wantErr(t, err, ocm.ErrNotFound)
	}
}

// If one manifest cannot be read, nothing goes.
func TestClean_unreadable(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"gone":    os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 20) },
		"another": func(path string) error { return os.WriteFile(path, []byte(`{"schemaVersion":2,"layers":[]}`), 0o644) },
	} {
		for _, tag := range []string{"tag", ""} {
			dir := t.TempDir()
			s := standing(t, dir)
			r := s.Repo("r")
			bad := putOver(t, r, tag, pushText(t, r, "x"))
			stray := pushText(t, r, "stray")
			os.Chmod(blobFile(dir, bad.Digest), 0o644)
			if err := spoil(blobFile(dir, bad.Digest)); err != nil {
				t.Fatal(err)
			}
			age(t, dir)
			_, err := clean(t, dir, ctf.CleanOptions{Untagged: true})
			if err == nil || !strings.Contains(err.Error(), bad.Digest.String()+` of repository "r"`) || !strings.Contains(err.Error(), "nothing was taken out") {
				t.Errorf("%s, tag %q: found %v", name, tag, err)
			}
			if _, err := os.Stat(blobFile(dir, stray.Digest)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestClean_noIndex(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stray := pushText(t, standing(t, dir).Repo("r"), "stray")
	age(t, dir)
	_, err := clean(t, dir, ctf.CleanOptions{})
	wantErr(t, err, ctf.ErrNoIndex, dir)
	index := filepath.Join(dir, "artifact-index.json")
	if err := os.WriteFile(index, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = clean(t, dir, ctf.CleanOptions{})
	wantErr(t, err, ocm.ErrInvalid, "is empty")
	if err := os.WriteFile(index, []byte(`{"schemaVersion":1,"artifacts":[]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	wantCleaned(t, dir, ctf.CleanOptions{}, stray)
}

func TestClean_archive(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		_, err := open(t, path).Clean(t.Context(), ctf.CleanOptions{})
		wantErr(t, err, ocm.ErrDenied, path)
	})
}

// While a store is open that has written or found something, nothing goes, however long that is ago.
func TestClean_longTransfer(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"push", "find"} {
		dir := t.TempDir()
		before := standing(t, dir).Repo("r")
		stray := pushText(t, before, "stray")
		putOver(t, before, "some", pushText(t, before, "some"))
		s, err := ctf.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if how == "push" {
			pushText(t, s.Repo("r"), "stray")
		} else if how, err := s.Repo("r").(oci.Placer).Place(t.Context(), stray, nil, nil); err != nil || how != oci.Found {
			t.Fatal(how, err)
		}
		age(t, dir)
		_, err = clean(t, dir, ctf.CleanOptions{})
		wantErr(t, err, ocm.ErrConflict, dir, "another program is writing", "run the same again")
		_, err = s.Clean(t.Context(), ctf.CleanOptions{OlderThan: time.Hour})
		wantErr(t, err, ocm.ErrConflict)
		wantCleaned(t, dir, ctf.CleanOptions{DryRun: true}, stray)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantCleaned(t, dir, ctf.CleanOptions{}, stray)
	}
}

// Who finds an old blob, or an old manifest without a tag, relies on it from then on; who only reads does not change anything.
func TestClean_found(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	r := s.Repo("r")
	layer := pushText(t, r, "layer")
	image := putOver(t, r, "", layer)
	stray := pushText(t, r, "stray")
	age(t, dir)
	if there, err := r.Exists(t.Context(), stray); err != nil || !there {
		t.Fatal(there, err)
	}
	if fi, err := os.Stat(blobFile(dir, stray.Digest)); err != nil || time.Since(fi.ModTime()) < time.Hour {
		t.Error("reading made it young", err)
	}
	for _, d := range []ociv1.Descriptor{stray, image} {
		if there, err := oci.Keep(t.Context(), r, d); err != nil || !there {
			t.Fatal(there, err)
		}
	}
	if done := wantCleaned(t, dir, ctf.CleanOptions{Untagged: true}); done.Young != 1 {
		t.Errorf("found %+v", done)
	}
	index := putOver(t, r, "index", image)
	age(t, dir)
	wantCleaned(t, dir, ctf.CleanOptions{Untagged: true}, stray)
	if there, err := oci.Keep(t.Context(), r, stray); err != nil || there {
		t.Error("it is gone:", there, err)
	}
	if _, err := r.Resolve(t.Context(), index.Digest.String()); err != nil {
		t.Error(err)
	}
}

// A blob that is pushed once more while it is cleaned away is there afterwards.
func TestClean_pushedMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := standing(t, dir)
	r := s.Repo("r")
	putOver(t, r, "some", pushText(t, r, "some"))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			var c *ctf.Store
			if c, err = ctf.Open(dir); err == nil {
				_, err = c.Clean(context.Background(), ctf.CleanOptions{OlderThan: time.Hour})
				c.Close()
			}
		}
		ended <- err
	}()
	past := time.Now().Add(-2 * time.Hour)
	for i := range 300 {
		d := pushText(t, r, "again and again")
		if _, err := os.Stat(blobFile(dir, d.Digest)); err != nil {
			t.Fatal("round", i, err)
		}
		if err := os.Chtimes(blobFile(dir, d.Digest), past, past); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		there, err := oci.Keep(t.Context(), r, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(blobFile(dir, d.Digest)); there && err != nil {
			t.Fatal("round", i, "it was promised to stay:", err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
