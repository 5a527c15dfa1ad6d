// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// TestGzipGolden pins the compressor's output. If it fails after an update of the toolchain or
// of the library, compressed content that is packed anew gets another digest: that is to be
// decided, not to be overlooked.
func TestGzipGolden(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	for i := range 20000 {
		fmt.Fprintf(&text, "line %d of a text that compresses well\n", i*i)
	}
	noise := make([]byte, 200_000)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(noise)
	dir, err := TarDir(vectorTree(t), DirOptions{})
	must(t, err)
	for name, tc := range map[string]struct {
		in   ocm.Content
		want digest.Digest
	}{
		"empty": {Bytes("text/plain", nil), "sha256:d745de7aeb2aad43aa42c3327d96aa9359fc28454e5bb26877b6bbe9501e8eff"},
		"text":  {Bytes("text/plain", text.Bytes()), "sha256:8aec82a741ec6c34738e477c5351986797ed4a2da65c6c47220d369294886aa0"},
		"noise": {Bytes("text/plain", noise), "sha256:418a83e01aaa99efc241d322c4ec25a570d09dda8a14fe0a045b30ecb6e81528"},
		"dir":   {dir, "sha256:679b4be4093fe1ba49bf997fb3d275f963b540b58fc29fb8ed3b663b324f73a0"},
	} {
		z := Gzip(tc.in, "application/gzip")
		if z.Root.MediaType != "application/gzip" || z.Root.Digest != "" || z.Root.Size != -1 {
			t.Errorf("%s: found %+v", name, z.Root)
		}
		b := readContent(t, z)
		if got := digest.FromBytes(b); got != tc.want {
			t.Errorf("%s: expected %s, found %s", name, tc.want, got)
		}
		if !bytes.Equal(b, readContent(t, z)) {
			t.Errorf("%s: two readings differ", name)
		}
		// The size of the pieces that the source delivers does not matter.
		raw := readContent(t, tc.in)
		pieces := Gzip(ocm.Content{Root: ociv1.Descriptor{Size: -1}, From: fetcherFunc(func(context.Context) io.ReadCloser {
			return io.NopCloser(iotest.OneByteReader(bytes.NewReader(raw)))
		})}, "application/gzip")
		if !bytes.Equal(b, readContent(t, pieces)) {
			t.Errorf("%s: bytes depend on the size of reads", name)
		}
		plain, was, err := Gunzip(bytes.NewReader(b))
		must(t, err)
		back, err := io.ReadAll(plain)
		must(t, err)
		if !was || !bytes.Equal(back, raw) {
			t.Errorf("%s: does not come back", name)
		}
	}
}

func TestGzipVerifiesItsSource(t *testing.T) {
	t.Parallel()
	c := Bytes("text/plain", []byte("good"))
	c.From = Bytes("text/plain", []byte("evil")).From
	_, err := read(Gzip(c, "application/gzip"))
	wantError(t, err, ocm.ErrDigest)
	c.From = (&image{})
	_, err = read(Gzip(c, "application/gzip"))
	wantError(t, err, ocm.ErrNotFound)
}

func TestGunzip(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "x", "plain text", "\x1f"} {
		r, was, err := Gunzip(bytes.NewReader([]byte(in)))
		must(t, err)
		if got, err := io.ReadAll(r); was || err != nil || string(got) != in {
			t.Errorf("%q: found %v %q %v", in, was, got, err)
		}
	}
	_, was, err := Gunzip(bytes.NewReader([]byte("\x1f\x8bgarbage that is long enough")))
	wantError(t, err, ocm.ErrInvalid)
	if !was {
		t.Error("expected gzip")
	}
	_, err = io.ReadAll(must2(t)(Gunzip(iotest.ErrReader(io.ErrNoProgress))))
	wantError(t, err, io.ErrNoProgress)
}

func must2(t *testing.T) func(io.Reader, bool, error) io.Reader {
	return func(r io.Reader, _ bool, err error) io.Reader {
		t.Helper()
		must(t, err)
		return r
	}
}
