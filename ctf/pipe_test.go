// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

func zst(t testing.TB, b []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// packedForms are the ways in which an archive comes.
var packedForms = map[string]func(t testing.TB, b []byte) []byte{
	"tar": func(_ testing.TB, b []byte) []byte { return b },
	"tgz": zip,
	"zst": func(t testing.TB, b []byte) []byte { return zst(t, b) },
}

func noise(seed byte, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

// readPipe reads an archive to its end and returns the content that came by.
func readPipe(t testing.TB, r io.Reader) (*Store, []string, error) {
	t.Helper()
	s, err := Read(r)
	if err != nil {
		return nil, nil, err
	}
	seq, ok := s.Sequential()
	if !ok {
		t.Fatal("a pipe is sequential")
	}
	var came []string
	err = seq.Each(t.Context(), func(d ociv1.Descriptor, r io.Reader) error {
		b, err := io.ReadAll(r)
		if err == nil && (int64(len(b)) != d.Size || digest.FromBytes(b) != d.Digest) {
			t.Errorf("expected %v, found %d bytes", d, len(b))
		}
		came = append(came, string(b))
		return err
	})
	return s, came, err
}

func TestPipe(t *testing.T) {
	t.Parallel()
	a, b, large := noise(1, 2<<20), noise(2, 40<<20), noise(3, MaxSmall+1)
	for form, pack := range packedForms {
		t.Run(form, func(t *testing.T) {
			raw := pack(t, makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry("small"), blobEntry(a), blobEntry("late"), blobEntry(b), blobEntry(large)))
			s, came, err := readPipe(t, bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if len(came) != 4 || came[0] != a || came[1] != "late" || came[2] != b || came[3] != large {
				t.Errorf("found %d contents", len(came))
			}
			wantContent(t, s, "manifest", "small")
			if d, err := s.Repo("r").Resolve(t.Context(), "t"); err != nil || d.Size != 8 {
				t.Errorf("found %v, %v", d, err)
			}
			_, err = s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString(a), Size: -1})
			if !errors.Is(err, ocm.ErrLimit) || !strings.Contains(err.Error(), "save the stream into a file") {
				t.Errorf("found %v", err)
			}
			_, err = s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString("nowhere"), Size: -1})
			if !errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("expected %q, found %v", ocm.ErrNotFound, err)
			}
			if _, err := s.Repo("r").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x")); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("expected %q, found %v", errors.ErrUnsupported, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is left of a content is skipped, and a reader ends with its turn.
func TestPipe_skipped(t *testing.T) {
	t.Parallel()
	a, b := noise(1, 2<<20), noise(2, 2<<20)
	s, err := Read(bytes.NewReader(makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry(a), blobEntry(b))))
	if err != nil {
		t.Fatal(err)
	}
	seq, _ := s.Sequential()
	broken := errors.New("broken")
	var kept io.Reader
	err = seq.Each(t.Context(), func(_ ociv1.Descriptor, r io.Reader) error {
		io.CopyN(io.Discard, r, 10)
		kept = r
		if err := seq.Each(t.Context(), nil); !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("two at once: %v", err)
		}
		if _, err := s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: digest.FromString(b), Size: -1}); !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("later content: %v", err)
		}
		return broken
	})
	if err != broken && !errors.Is(err, broken) {
		t.Errorf("found %v", err)
	}
	if _, err := kept.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("expected an error, found %v", err)
	}
	n := 0
	err = seq.Each(t.Context(), func(d ociv1.Descriptor, r io.Reader) error {
		n++
		got, err := io.ReadAll(r)
		if string(got) != b {
			t.Error("expected the second one")
		}
		return err
	})
	if n != 1 || err != nil {
		t.Errorf("found %d, %v", n, err)
	}
	if err := seq.Each(t.Context(), nil); err != nil {
		t.Errorf("behind the end: %v", err)
	}
}

// Archives of other tools: the index may come last, and manifests anywhere.
func TestPipe_foreignOrder(t *testing.T) {
	t.Parallel()
	a, b, c := noise(1, 2<<20), noise(2, 20<<20), noise(3, 20<<20)
	for form, pack := range packedForms {
		t.Run(form, func(t *testing.T) {
			s, came, err := readPipe(t, bytes.NewReader(pack(t, makeTar(t, blobEntry(a), blobEntry("manifest"), indexEntry()))))
			if err != nil || len(came) != 0 {
				t.Fatalf("found %d, %v", len(came), err)
			}
			wantContent(t, s, a, "manifest")

			// The manifest after large content: what is before it is held as far as it fits.
			s, err = Read(bytes.NewReader(pack(t, makeTar(t, indexEntry(), blobEntry(a), blobEntry(b), blobEntry("manifest"), blobEntry(c)))))
			if err != nil {
				t.Fatal(err)
			}
			wantContent(t, s, "manifest", a, b)

			_, err = Read(bytes.NewReader(pack(t, makeTar(t, blobEntry(b), blobEntry(c), indexEntry(), blobEntry("manifest")))))
			if !errors.Is(err, ocm.ErrLimit) || !strings.Contains(err.Error(), "save the stream into a file") {
				t.Errorf("found %v", err)
			}
			s, err = Read(bytes.NewReader(pack(t, makeTar(t, indexEntry(), blobEntry(b), blobEntry(c), blobEntry("manifest")))))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = s.Repo("r").Resolve(t.Context(), "t"); !errors.Is(err, ocm.ErrLimit) {
				t.Errorf("expected %q, found %v", ocm.ErrLimit, err)
			}
		})
	}
}

// A stream that ends anywhere before its end is an error, always.
func TestPipe_cut(t *testing.T) {
	t.Parallel()
	small := []file{indexEntry(), blobEntry("manifest"), blobEntry("small"), blobEntry(noise(2, 1000))}
	large := append(small, blobEntry(noise(1, MaxSmall+100)), blobEntry("late"), blobEntry(noise(3, MaxSmall+100)))
	for form, pack := range packedForms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			for step, whole := range map[int][]byte{1: pack(t, makeTar(t, small...)), 40_009: pack(t, makeTar(t, large...))} {
				if _, _, err := readPipe(t, bytes.NewReader(whole)); err != nil {
					t.Fatal(err)
				}
				for at := 0; at < len(whole); at += step {
					if _, _, err := readPipe(t, bytes.NewReader(whole[:at])); !errors.Is(err, ocm.ErrInvalid) {
						t.Fatalf("cut at %d of %d: expected %q, found %v", at, len(whole), ocm.ErrInvalid, err)
					}
				}
			}
		})
	}
}

// The source says why.
func TestPipe_brokenSource(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry(noise(1, MaxSmall+100)))
	broken := errors.New("broken")
	for _, at := range []int{0, 100, 2000, 200_000} {
		_, _, err := readPipe(t, io.MultiReader(bytes.NewReader(raw[:at]), failing{broken}))
		if !errors.Is(err, broken) {
			t.Errorf("%d: expected %q, found %v", at, broken, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestPipe_cancelled(t *testing.T) {
	t.Parallel()
	s, err := Read(bytes.NewReader(makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry(noise(1, 2<<20)), blobEntry(noise(2, 2<<20)))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seq, _ := s.Sequential()
	err = seq.Each(ctx, func(_ ociv1.Descriptor, r io.Reader) error {
		cancel()
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("expected %q, found %v", context.Canceled, err)
	}
}

// An archive that wants more memory than we give it.
func TestZst_window(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, indexEntry(), blobEntry("manifest"), blobEntry(noise(1, 2<<20)))
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(2*MaxWindow))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(raw)
	w.Flush()
	w.Write(make([]byte, 2*MaxWindow))
	w.Close()
	wantLimit(t, b.Bytes())
	if _, err := Read(bytes.NewReader(b.Bytes())); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected %q, found %v", ocm.ErrLimit, err)
	}
}

func TestZst_damaged(t *testing.T) {
	t.Parallel()
	good := zst(t, makeTar(t, indexEntry(), blobEntry(noise(1, 100_000))))
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, b := range map[string][]byte{
		"cut in the middle":   good[:len(good)/2],
		"cut in checksum":     good[:len(good)-1],
		"flipped in content":  flip(len(good) / 2),
		"flipped checksum":    flip(len(good) - 1),
		"something behind it": append(bytes.Clone(good), "garbage"...),
		"magic only":          good[:4],
		"not a tar inside":    zst(t, []byte("text")),
		"nothing inside":      zst(t, nil),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openBytes(t, b); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("expected %q, found %v", ocm.ErrInvalid, err)
			}
			if _, _, err := readPipe(t, bytes.NewReader(b)); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("pipe: expected %q, found %v", ocm.ErrInvalid, err)
			}
		})
	}
}

// Large content of a compressed archive comes in one pass.
func TestPacked_inOrder(t *testing.T) {
	t.Parallel()
	b, data := largeTgz(t)
	s, err := openBytes(t, b)
	if err != nil {
		t.Fatal(err)
	}
	seq, ok := s.Sequential()
	if !ok {
		t.Fatal("expected a sequence")
	}
	i := 0
	err = seq.Each(t.Context(), func(d ociv1.Descriptor, r io.Reader) error {
		got, err := io.ReadAll(r)
		if string(got) != data[i] {
			t.Errorf("%d: found %d bytes", i, len(got))
		}
		i += 2
		return err
	})
	if err != nil || i != len(data) {
		t.Errorf("found %d, %v", i, err)
	}
	s, err = openBytes(t, makeTar(t, indexEntry(), blobEntry("manifest")))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Sequential(); ok {
		t.Error("a tar can be read anywhere")
	}
}

// countedArchive counts what is read of a file.
type countedArchive struct {
	*os.File
	n int64
}

func (c *countedArchive) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.File.ReadAt(b, at)
	c.n += int64(n)
	return n, err
}

func makeTarHeader(t testing.TB, name string, size int64) []byte {
	t.Helper()
	one := makeTar(t, regular(name, ""))[:512]
	copy(one[124:], fmt.Sprintf("%011o\x00", size))
	sum := 0
	copy(one[148:156], "        ")
	for _, c := range one {
		sum += int(c)
	}
	copy(one[148:], fmt.Sprintf("%06o\x00 ", sum))
	return one
}

func FuzzZst(f *testing.F) {
	f.Add(zst(f, makeTar(f, indexEntry(), blobEntry("manifest")))[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(bytes.Clone(magicZstd), b...)
		if _, _, err := newArchive(inMemory{bytes.NewReader(b)}, int64(len(b))); err != nil && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
			t.Fatalf("an error of no kind: %v", err)
		}
	})
}

// FuzzPipe compares what comes through a pipe with what the same bytes are as a file.
func FuzzPipe(f *testing.F) {
	raw := makeTar(f, indexEntry(), blobEntry("manifest"), blobEntry("other"))
	f.Add(raw)
	f.Add(zst(f, raw))
	f.Add(zip(f, raw))
	f.Add(makeTar(f, blobEntry("manifest"), indexEntry()))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Read(bytes.NewReader(b))
		if err == nil {
			seq, _ := s.Sequential()
			err = seq.Each(t.Context(), func(d ociv1.Descriptor, r io.Reader) error {
				n, err := io.Copy(io.Discard, r)
				if err == nil && n != d.Size {
					t.Fatalf("expected %d bytes, found %d", d.Size, n)
				}
				return err
			})
		}
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		file, _, err := newArchive(inMemory{bytes.NewReader(b)}, int64(len(b)))
		if err != nil {
			t.Fatalf("good as a pipe, as a file: %v", err)
		}
		for d, size := range file.sizes() {
			if _, err := blob.ReadAll(t.Context(), s.Repo("r"), ociv1.Descriptor{Digest: d, Size: size}, 1<<20); errors.Is(err, ocm.ErrNotFound) {
				t.Fatalf("%s is not in the pipe", d)
			}
		}
	})
}
