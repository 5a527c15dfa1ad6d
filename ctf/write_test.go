// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/ctf"
	"ocm/internal/repotest"
	"ocm/internal/storetest"
	"ocm/oci"
)

// archiveNames has one name for each form.
var archiveNames = []string{"x.tar", "x.tgz", "x.tar.zst"}

func eachForm(t *testing.T, fn func(t *testing.T, path string)) {
	t.Helper()
	for _, name := range archiveNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, filepath.Join(t.TempDir(), name))
		})
	}
}

// What is not finished is read as if it were.
func TestContract_archive(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		n := 0
		storetest.Run(t, func(t *testing.T) oci.Store {
			n++
			return open(t, fmt.Sprintf("%s-%d%s", path, n, strings.TrimPrefix(filepath.Base(path), "x")))
		}, storetest.SkipDelete)
		wantNothingHidden(t, filepath.Dir(path))
	})
}

// Every write is finished, and read by a store that was opened after it.
func TestContract_reopenedArchive(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		dir := filepath.Dir(path)
		n := 0
		storetest.Run(t, func(t *testing.T) oci.Store {
			n++
			path := filepath.Join(dir, fmt.Sprint(n, filepath.Base(path)))
			return &reopening{t: t, path: path, Store: open(t, path)}
		})
		wantNothingHidden(t, dir)
	})
}

// reopening finishes after each write.
type reopening struct {
	t    *testing.T
	path string
	*ctf.Store
}

func (r *reopening) Repo(name string) oci.Repo {
	return &finishing{Repo: r.Store.Repo(name), in: r, name: name}
}

type finishing struct {
	oci.Repo // writes
	in       *reopening
	name     string
}

func (f *finishing) finish(err error) error {
	if err != nil {
		return err
	}
	return f.in.Finish(f.in.t.Context())
}

func (f *finishing) Push(ctx context.Context, d ociv1.Descriptor, r io.Reader) (ociv1.Descriptor, error) {
	d, err := f.Repo.Push(ctx, d, r)
	return d, f.finish(err)
}

func (f *finishing) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	return f.finish(f.Repo.PutManifest(ctx, d, raw, tag, was))
}

// fresh is the repository as the file has it.
func (f *finishing) fresh() oci.Repo { return open(f.in.t, f.in.path).Repo(f.name) }

func (f *finishing) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	return f.fresh().Fetch(ctx, d)
}

func (f *finishing) Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	return f.fresh().Resolve(ctx, ref)
}

func (f *finishing) Exists(ctx context.Context, d ociv1.Descriptor) (bool, error) {
	return f.fresh().Exists(ctx, d)
}

func TestContract_archiveRepository(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		n := 0
		repotest.Run(t, func(t *testing.T) ocm.Repository {
			n++
			return oci.NewRepository(open(t, filepath.Join(filepath.Dir(path), fmt.Sprint(n, filepath.Base(path)))), nil)
		})
	})
}

// random is content that cannot be compressed.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func describeBytes(b []byte) ociv1.Descriptor {
	return ociv1.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(b), Size: int64(len(b))}
}

// fill makes a repository with an artifact of these layers, each given another way: known and put off,
// or pushed with an unknown digest.
func fill(t testing.TB, s *ctf.Store, tag string, layers ...[]byte) ociv1.Descriptor {
	t.Helper()
	ctx, r := t.Context(), s.Repo("r")
	config, err := r.Push(ctx, ociv1.Descriptor{MediaType: ociv1.MediaTypeImageConfig}, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for i, l := range layers {
		d := describeBytes(l)
		if i%2 == 0 {
			how, err := r.(oci.Placer).Place(ctx, d, nil, func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(l)), nil
			})
			if err != nil || how != oci.Deferred && how != oci.Found {
				t.Fatal(how, err)
			}
		} else if _, err := r.Push(ctx, ociv1.Descriptor{Size: -1}, bytes.NewReader(l)); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, d.MediaType, d.Digest, d.Size))
	}
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[%s]}`,
		ociv1.MediaTypeImageManifest, ociv1.MediaTypeImageConfig, config.Digest, strings.Join(list, ","))
	m := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := r.PutManifest(ctx, m, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return m
}

func finish(t testing.TB, s *ctf.Store) {
	t.Helper()
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, s *ctf.Store, tag string) {
	t.Helper()
	d, err := s.Repo("r").Resolve(t.Context(), tag)
	if err == nil {
		err = blob.Check(t.Context(), ocm.Content{Root: d, From: s.Repo("r")})
	}
	if err != nil {
		t.Errorf("%s: %v", tag, err)
	}
}

func layers() [][]byte {
	return [][]byte{
		random(1, 3<<20), random(2, 2<<20), []byte("small"), bytes.Repeat([]byte("text "), 1<<19),
		append([]byte{0x1f, 0x8b}, random(3, 1<<20)...), append([]byte{0x28, 0xb5, 0x2f, 0xfd}, random(4, 100<<10)...), {},
	}
}

func TestArchive_write(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		s := open(t, path)
		fill(t, s, "1.0.0", layers()...)
		check(t, s, "1.0.0")
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Error("before it is finished there must be nothing")
		}
		finish(t, s)
		check(t, s, "1.0.0") // and goes on
		check(t, open(t, path), "1.0.0")
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("found %v, %v", info.Mode(), err)
		}

		// Nothing new, nothing written.
		again := open(t, path)
		finish(t, again)
		if now, _ := os.Stat(path); !os.SameFile(info, now) {
			t.Error("an unchanged archive was written again")
		}

		// More, by the store that has it open and by another one.
		fill(t, s, "1.1.0", random(9, 2<<20))
		finish(t, s)
		s2 := open(t, path)
		fill(t, s2, "1.2.0", random(10, 2<<20))
		finish(t, s2)
		for _, tag := range []string{"1.0.0", "1.1.0", "1.2.0"} {
			check(t, open(t, path), tag)
		}
		wantNothingHidden(t, filepath.Dir(path))
	})
}

// The same content is the same file, whatever the order and the way it came.
func TestArchive_reproducible(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		l := layers()
		write := func(name string, tags []string, ls ...[]byte) []byte {
			s := open(t, filepath.Join(filepath.Dir(path), name+filepath.Base(path)))
			for _, tag := range tags {
				fill(t, s, tag, ls...)
			}
			finish(t, s)
			raw, err := os.ReadFile(s.String())
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		a := write("a", []string{"1.0.0", "2.0.0"}, l...)
		b := write("b", []string{"2.0.0", "1.0.0"}, l...)
		if !bytes.Equal(a, b) {
			t.Error("the same content in another order gives another archive")
		}
	})
}

// golden digests: what the compressors write must not change unnoticed.
func TestArchive_golden(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"x.tar":     "887d8c65020bfe95d0885adb65a065fb38a25939f5097b2b9dbb8c6e5336e083",
		"x.tgz":     "7c6457dc570c068a9bd883cb528a296c29bde3693ee1f6a8a5603da5c435edbc",
		"x.tar.zst": "1f73e52af0febccc32cdc8e834fbd183b1ba3ecbc77ab575f07a213bdb0f3283",
	}
	for name, digestOf := range want {
		path := filepath.Join(t.TempDir(), name)
		s := open(t, path)
		fill(t, s, "1.0.0", layers()...)
		finish(t, s)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := digest.FromBytes(raw).Encoded(); got != digestOf {
			t.Errorf("%s: expected %s, found %s", name, digestOf, got)
		}
	}
}

// names lists the entries of an archive.
func names(t testing.TB, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	switch {
	case strings.HasSuffix(path, "gz"):
		r, err = gzip.NewReader(f)
	case strings.HasSuffix(path, "zst"):
		r, err = zstd.NewReader(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Uname != "" || h.Format == tar.FormatPAX {
			t.Errorf("found %+v", h)
		}
		list = append(list, h.Name)
	}
}

func TestArchive_order(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		s := open(t, path)
		m := []string{fill(t, s, "1.0.0", layers()...).Digest.Encoded(), fill(t, s, "2.0.0", random(8, 10)).Digest.Encoded()}
		finish(t, s)
		slices.Sort(m)
		list := names(t, path)
		head := []string{"artifact-index.json", "blobs/", "blobs/sha256." + m[0], "blobs/sha256." + m[1]}
		if !slices.Equal(list[:4], head) {
			t.Errorf("expected %v first, found %v", head, list)
		}
		if !slices.IsSorted(list[4:]) || len(list) != 4+len(layers())+2 {
			t.Errorf("expected all blobs in order, found %v", list)
		}
	})
}

// Content that is packed already is not packed once more.
func TestArchive_packedTwice(t *testing.T) {
	t.Parallel()
	var gz bytes.Buffer
	w, _ := gzip.NewWriterLevel(&gz, gzip.BestSpeed)
	w.Write(random(1, 4<<20))
	w.Close()
	for _, name := range []string{"x.tgz", "x.tar.zst"} {
		s := open(t, filepath.Join(t.TempDir(), name))
		fill(t, s, "1.0.0", gz.Bytes())
		finish(t, s)
		info, err := os.Stat(s.String())
		if err != nil || info.Size() > int64(gz.Len())+8<<10 {
			t.Errorf("%s: expected hardly more than %d bytes, found %d, %v", name, gz.Len(), info.Size(), err)
		}
	}
}

// Whatever goes wrong, the archive is what it was.
func TestArchive_failures(t *testing.T) {
	t.Parallel()
	good := random(1, 2<<20)
	broken := errors.New("broken")
	for name, open1 := range map[string]func(context.Context) (io.ReadCloser, error){
		"does not open": func(context.Context) (io.ReadCloser, error) { return nil, broken },
		"breaks off": func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(good[:1<<20]), errReader{broken})), nil
		},
		"too short": func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(good[:1<<20])), nil },
		"too long": func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(good), strings.NewReader("x"))), nil
		},
		"endless": func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(endless{}, 64<<20)), nil
		},
		"other": func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(random(2, 2<<20))), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachForm(t, func(t *testing.T, path string) {
				first := open(t, path)
				fill(t, first, "1.0.0", []byte("x"))
				finish(t, first)
				before, _ := os.ReadFile(path)
				s := open(t, path)
				d := describeBytes(good)
				if how, err := s.Repo("r").(oci.Placer).Place(t.Context(), d, nil, open1); how != oci.Deferred || err != nil {
					t.Fatal(how, err)
				}
				fill(t, s, "2.0.0", good)
				err := s.Finish(t.Context())
				if !errors.Is(err, broken) && !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), path) {
					t.Errorf("found %v", err)
				}
				if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
					t.Error("the archive was changed")
				}
				s.Close()
				wantNothingHidden(t, filepath.Dir(path))
			})
		})
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

type endless struct{}

func (endless) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestArchive_conflict(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		a, b := open(t, path), open(t, path)
		fill(t, a, "1.0.0", []byte("a"))
		fill(t, b, "1.0.0", []byte("b"))
		finish(t, a)
		if err := b.Finish(t.Context()); !errors.Is(err, ocm.ErrConflict) {
			t.Errorf("expected %q, found %v", ocm.ErrConflict, err)
		}
		c, d := open(t, path), open(t, path)
		fill(t, c, "2.0.0", []byte("c"))
		fill(t, d, "3.0.0", []byte("d"))
		finish(t, c)
		if err := d.Finish(t.Context()); !errors.Is(err, ocm.ErrConflict) {
			t.Errorf("expected %q, found %v", ocm.ErrConflict, err)
		}
		e := open(t, path)
		fill(t, e, "4.0.0", []byte("e"))
		os.Remove(path)
		if err := e.Finish(t.Context()); !errors.Is(err, ocm.ErrConflict) {
			t.Errorf("expected %q, found %v", ocm.ErrConflict, err)
		}
	})
}

func TestArchive_cancelled(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, path string) {
		s := open(t, path)
		fill(t, s, "1.0.0", layers()...)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Finish(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("expected %q, found %v", context.Canceled, err)
		}
		finish(t, s)
		check(t, open(t, path), "1.0.0")
	})
}

// What killed processes left is removed by the next one; what is in use is not.
func TestArchive_dead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dead := filepath.Join(dir, ".ocm-archive-0123456789abcdef")
	os.WriteFile(dead, []byte("x"), 0o600)
	foreign := filepath.Join(dir, ".other")
	os.WriteFile(foreign, []byte("x"), 0o600)
	s := open(t, filepath.Join(dir, "x.tar"))
	fill(t, s, "1.0.0", random(1, 10), random(2, 2<<20))
	if _, err := os.Stat(dead); err == nil {
		t.Error("expected it to be gone")
	}
	finish(t, s)
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

// A link to an archive stays one.
func TestArchive_link(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.tar"), filepath.Join(dir, "link.tar")
	s := open(t, real)
	fill(t, s, "1.0.0", []byte("x"))
	finish(t, s)
	if err := os.Symlink("real.tar", link); err != nil {
		t.Fatal(err)
	}
	s = open(t, link)
	fill(t, s, "2.0.0", []byte("y"))
	finish(t, s)
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
	check(t, open(t, real), "2.0.0")
}

// Sixteen sources are not opened at once: one is read after the other.
func TestArchive_oneSourceAtATime(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "x.tar"))
	opened, most := 0, 0
	for i := range byte(16) {
		l := random(i, 1<<20+1)
		_, err := s.Repo("r").(oci.Placer).Place(t.Context(), describeBytes(l), nil, func(context.Context) (io.ReadCloser, error) {
			opened++
			most = max(most, opened)
			return closing{bytes.NewReader(l), func() { opened-- }}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	finish(t, s)
	if most != 1 || opened != 0 {
		t.Errorf("%d sources were open at once, %d still are", most, opened)
	}
}

// Small content is fetched before its turn: each waits here until another one is on its way, too.
func TestArchive_smallOnesTogether(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "x.tar"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pair := make(chan struct{})
	for i := range byte(16) {
		l := random(i, 100)
		_, err := s.Repo("r").(oci.Placer).Place(ctx, describeBytes(l), nil, func(ctx context.Context) (io.ReadCloser, error) {
			select {
			case pair <- struct{}{}:
			case <-pair:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			return io.NopCloser(bytes.NewReader(l)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(names(t, s.String())); n != 18 {
		t.Errorf("expected index, folder and 16 blobs, found %d entries", n)
	}
}

type closing struct {
	io.Reader
	close func()
}

func (c closing) Close() error { c.close(); return nil }

// An archive made by another tool that lies about a blob is not carried on.
func TestArchive_rottenOld(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.tar")
	s := open(t, path)
	fill(t, s, "1.0.0", bytes.Repeat([]byte("rot"), 1<<20))
	finish(t, s)
	raw, _ := os.ReadFile(path)
	at := bytes.Index(raw, []byte("rotrotrot"))
	raw[at] ^= 1
	os.WriteFile(path, raw, 0o644)
	s = open(t, path)
	fill(t, s, "2.0.0", []byte("x"))
	if err := s.Finish(t.Context()); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("expected %q, found %v", ocm.ErrDigest, err)
	}
}

// wantNothingHidden finds temporary files that were left.
func wantNothingHidden(t *testing.T, dir string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(list) > 0 {
		t.Errorf("found %v, %v", list, err)
	}
}

// Cost grows with what is added, not with what is there: this takes a second, and took minutes when
// every change copied the whole index.
func TestArchive_tenThousandRepositories(t *testing.T) {
	t.Parallel()
	const n = 10_000
	s := open(t, filepath.Join(t.TempDir(), "x.tar"))
	config, err := s.Repo("r").Push(t.Context(), ociv1.Descriptor{MediaType: ociv1.MediaTypeImageConfig}, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		raw := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"annotations":{"n":"%d"}}`, config.MediaType, config.Digest, i)
		m := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		if err := s.Repo(fmt.Sprint("r/n", i)).PutManifest(t.Context(), m, raw, "1.0.0", oci.Absent()); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, s)
	f, err := os.Open(s.String())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pipe, err := ctf.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*ctf.Store{s, open(t, s.String()), pipe} {
		found := 0
		for name, err := range s.Repos(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Repo(name).Resolve(t.Context(), "1.0.0"); err != nil {
				t.Fatal(err)
			}
			found++
		}
		if found != n {
			t.Errorf("expected %d repositories, found %d", n, found)
		}
	}
}
