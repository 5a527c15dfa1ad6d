// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Who takes a blob away has the lock of its file: neither is another one renamed over it meanwhile, nor is it made young.
func TestLockedBlob(t *testing.T) {
	t.Parallel()
	d := newTestDirectory(t)
	got, err := d.push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	name := blobName(got.Digest)
	past := time.Now().Add(-time.Hour)
	if err := d.blobs.Chtimes(name, past, past); err != nil {
		t.Fatal(err)
	}
	f, err := d.blobs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if free, err := tryLock(f); !free || err != nil {
		t.Fatal(free, err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if there, err := d.hold(late, got.Digest); there || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hold: %v, %v", there, err)
	}
	if err := d.blobs.WriteFile("new", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := settle(late, d.blobs, "new", name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("settle: %v", err)
	}
	if gone, err := (&cleaner{d: d, blobs: d.blobs, limit: time.Now()}).take(t.Context(), name, nil); gone || err != nil {
		t.Errorf("take: %v, %v", gone, err)
	}
	f.Close()
	if there, err := d.hold(t.Context(), got.Digest); !there || err != nil {
		t.Errorf("hold: %v, %v", there, err)
	}
	if fi, err := d.blobs.Stat(name); err != nil || time.Since(fi.ModTime()) > time.Minute {
		t.Error("it is not young", err)
	}
	if err := settle(t.Context(), d.blobs, "new", name); err != nil {
		t.Error(err)
	}
	if _, err := d.blobs.Stat("new"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
