// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"ocm"
)

// What stands in the place of a file may be a pipe, into which nobody writes: nobody waits for that.
func TestPipe_inPlaceOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := s.out.(*directory)
	got, err := d.push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	before, blobs, err := d.lstat(got.Digest)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, blobsName, blobName(got.Digest))
	for name, path := range map[string]string{"blob": file, "index": filepath.Join(dir, indexName), "archive": filepath.Join(dir, "a.tar")} {
		os.Remove(path)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(name, err)
		}
	}
	_, err = s.Repo("r").Fetch(t.Context(), got)
	wantSays(t, err, "named pipe")
	_, err = d.openSeen(got.Digest, before, blobs) // put there after the look at it
	wantSays(t, err, "named pipe")
	_, err = s.Repo("r").Resolve(t.Context(), "tag")
	wantSays(t, err, "named pipe")
	_, err = s.Clean(t.Context(), CleanOptions{DryRun: true})
	wantSays(t, err, "named pipe")
	_, err = Open(filepath.Join(dir, "a.tar"))
	wantSays(t, err, "a.tar: expected a folder or a tar archive, found a named pipe", "ctf::-")
	_, err = openArchive(filepath.Join(dir, "a.tar"))
	wantSays(t, err, "named pipe")

	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_, err = Open(filepath.Join(dir, "s"))
	wantSays(t, err, "a socket")

	// A temporary file that somebody else made a pipe of is left alone.
	if err := unix.Mkfifo(filepath.Join(dir, spoolPrefix+"x"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := Open(filepath.Join(dir, "new.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.Repo("r").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("y")); err != nil {
		t.Fatal(err)
	}
	if err := out.Finish(t.Context()); err != nil {
		t.Error(err)
	}
}

func wantSays(t *testing.T, err error, texts ...string) {
	t.Helper()
	if !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("expected %q, found %v", ocm.ErrInvalid, err)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("expected an error that says %q, found %q", text, err)
		}
	}
}
