// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/oci"
)

// crash returns a directory as it is after the power failed: with the index, and without any blob that was
// not flushed.
func crash(t *testing.T, s *Store) string {
	t.Helper()
	d := s.files.(*directory)
	after := filepath.Join(t.TempDir(), "after")
	if err := os.CopyFS(after, os.DirFS(d.path)); err != nil {
		t.Fatal(err)
	}
	for name := range d.pending {
		os.Remove(filepath.Join(after, blobsName, name))
	}
	return after
}

func nested(t *testing.T, s *Store, note, tag string) (layer, manifest ociv1.Descriptor) {
	t.Helper()
	r := s.Repo("r")
	layer, err := r.Push(t.Context(), ociv1.Descriptor{}, strings.NewReader(note))
	if err != nil {
		t.Fatal(err)
	}
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"layers":[{"digest":%q}]}`, layer.Digest)
	m := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(t.Context(), m, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return layer, m
}

func wantThere(t *testing.T, path string, ds ...ociv1.Descriptor) {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, d := range ds {
		if there, err := s.Repo("r").Exists(t.Context(), d); !there || err != nil {
			t.Errorf("%s %s: expected it to be there, found %v, %v", d.MediaType, d.Digest, there, err)
		}
	}
}

// A manifest that is listed is taken for one with everything below it, whoever listed it and when. So
// it is not listed before that is on the disk, whether it has a tag or not.
func TestFlush_listedIsWhole(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"", "1.0.0"} {
		s, err := Open(filepath.Join(t.TempDir(), "ctf"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		layer, m := nested(t, s, "layer", tag)
		wantThere(t, crash(t, s), layer, m)
	}
}

// A blob that is there may be one that a killed run pushed and never flushed: whoever relies on it flushes it.
func TestFlush_foundBlob(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ctf")
	first, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close() // it could as well be killed
	layer, err := first.Repo("r").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("layer"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if how, err := second.Repo("r").(oci.Placer).Place(t.Context(), layer, nil, nil); how != oci.Found || err != nil {
		t.Fatalf("found %v, %v", how, err)
	}
	if d := second.files.(*directory); !d.pending[blobName(layer.Digest)] {
		t.Fatal("a blob that was found is not flushed")
	}
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"layers":[{"digest":%q}]}`, layer.Digest)
	m := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := second.Repo("r").PutManifest(t.Context(), m, raw, "1.0.0", oci.Any()); err != nil {
		t.Fatal(err)
	}
	wantThere(t, crash(t, second), layer, m)
}

// Whoever only reads does not remember everything he has seen.
func TestFlush_foundMany(t *testing.T) {
	t.Parallel()
	d := newTestDirectory(t)
	got, err := d.push(t.Context(), ociv1.Descriptor{}, bytes.NewReader([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxFound {
		d.noteFound(fmt.Sprint(i))
	}
	if len(d.pending) != maxFound || !d.all || !d.pending[blobName(got.Digest)] {
		t.Errorf("found %d names, %v", len(d.pending), d.all)
	}
	if err := d.flush(); err != nil || len(d.pending) != 0 || d.all {
		t.Errorf("after the flush: found %d names, %v, %v", len(d.pending), d.all, err)
	}
}

// Each way of flushing is taken, and a blob that somebody removed meanwhile is no obstacle.
func TestFlush_ways(t *testing.T) {
	t.Parallel()
	d := newTestDirectory(t)
	got, err := d.push(t.Context(), ociv1.Descriptor{}, bytes.NewReader([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	few := map[string]bool{blobName(got.Digest): true, "gone": true}
	many := map[string]bool{}
	for i := range manyBlobs {
		many[fmt.Sprint(i)] = true
	}
	for _, pending := range []map[string]bool{few, many} {
		if err := syncBlobs(d.blobs, pending, false); err != nil {
			t.Error(err)
		}
	}
	if err := syncBlobs(d.blobs, map[string]bool{}, true); err != nil {
		t.Error(err)
	}
}
