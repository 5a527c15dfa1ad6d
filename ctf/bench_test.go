// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/blob"
	"ocm/ctf"
)

// One operation is a CTF with 1,000 small blobs, each below a tag.
func BenchmarkWriteSmall(b *testing.B) {
	for b.Loop() {
		s := open(b, filepath.Join(b.TempDir(), "ctf"))
		for i := range 1000 {
			push(b, s, fmt.Sprint("blob ", i))
			tag(b, s, "r", fmt.Sprint("1.0.", i), fmt.Sprint(i))
		}
		s.Close()
	}
}

// One operation lists 1,000 tags and resolves each.
func BenchmarkReadSmall(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "ctf"))
	for i := range 1000 {
		tag(b, s, "r", fmt.Sprint("1.0.", i), fmt.Sprint(i))
	}
	r := s.Repo("r")
	ctx := context.Background()
	for b.Loop() {
		for tag := range r.Tags(ctx) {
			if _, err := r.Resolve(ctx, tag); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkPushLarge pushes 1 GiB, from a reader that costs little and from one that verifies. It needs room:
// set CTF_BENCH_DIR to a folder.
func BenchmarkPushLarge(b *testing.B) {
	dir := os.Getenv("CTF_BENCH_DIR")
	if dir == "" {
		b.Skip("CTF_BENCH_DIR is not set")
	}
	const size = 1 << 30
	piece := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(piece)
	source := func() io.Reader { return io.LimitReader(repeat{piece}, size) }
	plain, err := openTemp(b, dir).Repo("r").Push(b.Context(), ociv1.Descriptor{}, source())
	if err != nil {
		b.Fatal(err)
	}
	for _, verify := range []bool{false, true} {
		b.Run(fmt.Sprintf("verify=%v", verify), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				src := source()
				if verify {
					if src, err = blob.NewReader(io.NopCloser(src), plain); err != nil {
						b.Fatal(err)
					}
				}
				s := openTemp(b, dir)
				if _, err := s.Repo("r").Push(b.Context(), plain, src); err != nil {
					b.Fatal(err)
				}
				os.RemoveAll(s.String()) // before the system writes it to the disk
			}
		})
	}
	b.Run("copy without hash", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			f, err := os.Create(filepath.Join(dir, "copy"))
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(f, source())
			f.Close()
			os.Remove(f.Name())
		}
	})
}

type repeat struct{ piece []byte }

func (r repeat) Read(b []byte) (int, error) { return copy(b, r.piece), nil }

func openTemp(b *testing.B, base string) *ctf.Store {
	dir, err := os.MkdirTemp(base, "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return open(b, dir)
}

func content(text string) (ociv1.Descriptor, io.Reader) {
	d := ociv1.Descriptor{Digest: digest.FromString(text), Size: int64(len(text))}
	return d, strings.NewReader(text)
}
