// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// What is remembered is bounded; what is forgotten is read again.
func TestFamily_bounded(t *testing.T) {
	t.Parallel()
	var f family
	children := make([]relative, 999)
	for i := range 3 * maxKept / 1000 {
		m := relative{digest: digest.Digest(fmt.Sprint(i))}
		f.keep(m, children)
		if got, ok := f.get(m); !ok || len(got) != len(children) {
			t.Fatalf("%d: expected what was kept just now, found %d, %v", i, len(got), ok)
		}
	}
	total := 0
	for _, kept := range f.of {
		total += len(kept) + 1
	}
	if total > maxKept || total != f.kept {
		t.Errorf("expected at most %d, found %d, counted %d", maxKept, total, f.kept)
	}
}

// While another process changes the index, no blob is deleted: it may be about to list what needs it.
func TestDeleteBlob_waitsForOthers(t *testing.T) {
	t.Parallel()
	if !HasLocks {
		t.Skip("there are no locks")
	}
	dir := t.TempDir()
	s := openDirectory(dir)
	defer s.Close()
	r := s.Repo("r")
	d, err := r.Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if free, err := tryLock(other); !free || err != nil {
		t.Fatal(free, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.(oci.Deleter).DeleteBlob(ctx, d.Digest); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("expected to wait for the lock, found %v", err)
	}
	if there, err := r.Exists(t.Context(), d); !there || err != nil {
		t.Errorf("the blob was deleted: %v", err)
	}
	other.Close()
	if err := r.(oci.Deleter).DeleteBlob(t.Context(), d.Digest); err != nil {
		t.Error(err)
	}
	if err := r.(oci.Deleter).DeleteBlob(t.Context(), d.Digest); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("expected it to be gone, found %v", err)
	}
}
