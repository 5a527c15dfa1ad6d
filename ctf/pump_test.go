// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"testing"
)

// failingWriter fails once, after some writes.
type failingWriter struct{ left int }

var errFull = errors.New("full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left--; w.left == -1 {
		return 0, errFull
	}
	return len(b), nil
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// A write that fails at any chunk ends the copy, though the source never does.
func TestPump_writeFails(t *testing.T) {
	t.Parallel()
	pool := &sync.Pool{New: func() any { return new([chunkSize]byte) }}
	for left := range 8 {
		if _, err := pump(t.Context(), &failingWriter{left}, sha256.New(), endless{}, pool); !errors.Is(err, errFull) {
			t.Errorf("after %d chunks: expected %q, found %v", left, errFull, err)
		}
	}
	// The error counts even if the source has ended when it comes.
	for size := range 6 {
		src := io.LimitReader(endless{}, int64(size)*chunkSize+1)
		if _, err := pump(t.Context(), &failingWriter{size}, sha256.New(), src, pool); !errors.Is(err, errFull) {
			t.Errorf("last of %d chunks: expected %q, found %v", size+1, errFull, err)
		}
	}
}

func TestPump_order(t *testing.T) {
	t.Parallel()
	pool := &sync.Pool{New: func() any { return new([chunkSize]byte) }}
	want := make([]byte, 20*chunkSize+7)
	for i := range want {
		want[i] = byte(i / 1000)
	}
	var got bytes.Buffer
	h := sha256.New()
	n, err := pump(t.Context(), &got, h, bytes.NewReader(want), pool)
	if err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("expected the same %d bytes, found %d, %v", len(want), n, err)
	}
	if sum := sha256.Sum256(want); !bytes.Equal(h.Sum(nil), sum[:]) {
		t.Error("the hash is another one")
	}
}
