// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// A tar is found by its headers: no content is read.
func TestTar_sparse50GiB(t *testing.T) {
	t.Parallel()
	const entries, size = 1000, 50 << 20
	path := filepath.Join(t.TempDir(), "x.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	front := makeTar(t, indexEntry(), blobEntry("manifest"))
	at := int64(len(front) - 1024)
	f.Write(front[:at])
	for i := range entries {
		name := "blobs/" + blobName(digest.FromString(fmt.Sprint(i)))
		header := makeTarHeader(t, name, size)
		if _, err := f.WriteAt(header, at); err != nil {
			t.Fatal(err)
		}
		at += 512 + size
	}
	if err := f.Truncate(at + 1024); err != nil {
		t.Skip("no files of this size here: ", err)
	}
	if fi, err := f.Stat(); err != nil || fi.Sys().(*syscall.Stat_t).Blocks*512 > 1<<30 {
		t.Skip("the file system has no sparse files")
	}
	c := &countedArchive{File: f}
	if _, err := newTar(c, at+1024); err != nil {
		t.Fatal(err)
	}
	if c.n > 4<<20 { // reading is what takes time: "make bench" measures that
		t.Errorf("opening has read %d bytes", c.n)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range s.Repo("r").Tags(t.Context()) {
	}
	rc, err := s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString("999"), Size: size})
	if err != nil {
		t.Fatal(err)
	}
	rc.Close()
}
