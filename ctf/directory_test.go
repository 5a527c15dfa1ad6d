// SPDX-License-Identifier: Apache-2.0

package ctf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/ctf"
	"ocm/oci"
)

func push(t testing.TB, s *ctf.Store, text string) ociv1.Descriptor {
	t.Helper()
	d, err := s.Repo("r").Push(context.Background(), ociv1.Descriptor{}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func blobFile(dir string, d digest.Digest) string {
	return filepath.Join(dir, "blobs", strings.Replace(d.String(), ":", ".", 1))
}

// manifest is a manifest that is like no other one with another note.
func manifest(note string) (ociv1.Descriptor, []byte) {
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[],"annotations":{"note":%q}}`,
		ociv1.MediaTypeImageManifest, digest.FromString("{}"), note)
	return ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw
}

func tag(t testing.TB, s *ctf.Store, repo, tag, note string) ociv1.Descriptor {
	t.Helper()
	d, raw := manifest(note)
	if err := s.Repo(repo).PutManifest(context.Background(), d, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

func wantErr(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("expected error %q, found %v", want, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("expected an error that says %q, found %q", text, err)
		}
	}
}

// wantNoTemps looks for anything that has no place in a CTF.
func wantNoTemps(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != dir && e.Name() != "blobs" && e.Name() != "artifact-index.json" && !strings.HasPrefix(e.Name(), "sha") {
			t.Errorf("found %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDirectory_layout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "x.ctf")
	s := open(t, dir)
	for range s.Repos(t.Context()) {
		t.Error("expected no repository")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading must not create the folder: %v", err)
	}
	d := push(t, s, "hello")
	m := tag(t, s, "r", "1.0.0", "")
	for _, file := range []string{blobFile(dir, d.Digest), blobFile(dir, m.Digest), filepath.Join(dir, "artifact-index.json")} {
		fi, err := os.Lstat(file)
		if err != nil || fi.Mode() != 0o444 {
			t.Errorf("%s: expected mode 0444, found %v, %v", file, fi, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wantNoTemps(t, dir)
	_, err := s.Repo("r").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
	wantErr(t, err, fs.ErrClosed)
	_, err = s.Repo("r").Resolve(t.Context(), "1.0.0")
	wantErr(t, err, fs.ErrClosed)
}

func TestDirectory_fetchIsAFile(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	rc, err := s.Repo("r").Fetch(t.Context(), push(t, s, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, ok := rc.(*os.File); !ok {
		t.Errorf("expected an *os.File, found %T", rc)
	}
}

func TestDirectory_wrongSizeIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	d := push(t, s, "hello")
	for _, rotten := range []string{"", "hell", "hello!", "HELLO"} {
		os.Remove(blobFile(dir, d.Digest))
		if err := os.WriteFile(blobFile(dir, d.Digest), []byte(rotten), 0o444); err != nil {
			t.Fatal(err)
		}
		there, err := s.Repo("r").Exists(t.Context(), d)
		if err != nil || there != (len(rotten) == 5) {
			t.Errorf("%q: found %v, %v", rotten, there, err)
		}
		push(t, s, "hello")
		if b, err := os.ReadFile(blobFile(dir, d.Digest)); string(b) != "hello" {
			t.Errorf("%q: expected it to be replaced, found %q, %v", rotten, b, err)
		}
	}
}

// GHSA-fxhp-mv3v-67qp, go-containerregistry #2306, CVE-2026-50162: links in a store.
func TestGHSA_fxhp_mv3v_67qp_LinksAreRefused(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := ociv1.Descriptor{Digest: digest.FromString("hello"), Size: 5}

	for name, plant := range map[string]func(path string) error{
		"link out of the CTF": func(path string) error { return os.Symlink(secret, path) },
		"link inside":         func(path string) error { return os.Symlink("../artifact-index.json", path) },
		"dangling link":       func(path string) error { return os.Symlink("nowhere", path) },
		"pipe":                func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":              func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			tag(t, s, "r", "1.0.0", "")
			if err := plant(blobFile(dir, d.Digest)); err != nil {
				t.Fatal(err)
			}
			_, err := s.Repo("r").Fetch(t.Context(), d)
			wantErr(t, err, ocm.ErrInvalid, "expected a regular file", dir)
			_, err = s.Repo("r").Exists(t.Context(), d)
			wantErr(t, err, ocm.ErrInvalid)
			_, err = s.Repo("r").Resolve(t.Context(), d.Digest.String())
			wantErr(t, err, ocm.ErrInvalid)
		})
	}

	t.Run("push replaces the link, not its target", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		other := push(t, s, "other")
		if err := os.Symlink(secret, blobFile(dir, d.Digest)); err != nil {
			t.Fatal(err)
		}
		push(t, s, "hello")
		if fi, _ := os.Lstat(blobFile(dir, d.Digest)); !fi.Mode().IsRegular() {
			t.Errorf("found %s", fi.Mode())
		}
		if fi, _ := os.Stat(secret); fi.Mode().Perm() != 0o600 {
			t.Errorf("the target was touched: %s", fi.Mode())
		}
		_ = other
	})

	t.Run("blobs folder", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink(t.TempDir(), filepath.Join(dir, "blobs")); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		_, err := s.Repo("r").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
		wantErr(t, err, ocm.ErrInvalid, "expected a folder")
		_, err = s.Repo("r").Fetch(t.Context(), d)
		wantErr(t, err, ocm.ErrInvalid)
	})

	t.Run("index", func(t *testing.T) {
		dir := t.TempDir()
		target := filepath.Join(t.TempDir(), "index")
		os.WriteFile(target, []byte(`{"schemaVersion":1}`), 0o644)
		if err := os.Symlink(target, filepath.Join(dir, "artifact-index.json")); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, dir).Repo("r").Resolve(t.Context(), "1.0.0")
		wantErr(t, err, ocm.ErrInvalid, "expected a regular file")
	})
}

// CVE-2024-3727: a digest that is a path.
func TestCVE_2024_3727_DigestAsPath(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	os.WriteFile(filepath.Join(base, "secret"), []byte("hello"), 0o600)
	s := open(t, filepath.Join(base, "ctf"))
	push(t, s, "x")
	for _, bad := range []digest.Digest{"sha256:../../secret", "../secret:x", "sha256./../../secret", "/etc/passwd"} {
		_, err := s.Repo("r").Fetch(t.Context(), ociv1.Descriptor{Digest: bad, Size: -1})
		wantErr(t, err, ocm.ErrInvalid)
		_, err = s.Repo("r").Push(t.Context(), ociv1.Descriptor{Digest: bad, Size: -1}, strings.NewReader("x"))
		wantErr(t, err, ocm.ErrInvalid)
	}
}

// CVE-2026-40090: names from metadata never become paths.
func TestCVE_2026_40090_RepositoryNames(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	d, raw := manifest("")
	for _, bad := range []string{"", "/", "a/../b", "..", "a//b", "a\\b", "a b", "a\nb", "a:b", "ä", strings.Repeat("a", 513)} {
		r := s.Repo(bad)
		wantErr(t, r.PutManifest(t.Context(), d, raw, "1.0.0", oci.Any()), ocm.ErrInvalid)
		_, err := r.Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
		wantErr(t, err, ocm.ErrInvalid)
		_, err = r.Resolve(t.Context(), "1.0.0")
		wantErr(t, err, ocm.ErrNotFound)
	}
}

func TestDirectory_indexOnDisk(t *testing.T) {
	t.Parallel()
	plain, index := digest.FromString("plain"), `{"schemaVersion":2,"manifests":[]}`
	outer := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, ociv1.MediaTypeImageIndex, digest.FromString(index), len(index))
	d, raw := manifest("")
	entry := func(more string) string {
		return fmt.Sprintf(`{"schemaVersion":1,"artifacts":[{"repository":"r","tag":"t","digest":%q%s}]}`, d.Digest, more)
	}
	tests := []struct {
		name, index, ref string
		want             ociv1.Descriptor
		err              error
	}{
		{"empty file", "", "t", ociv1.Descriptor{}, ocm.ErrNotFound},
		{"no entries", `{"schemaVersion":1}`, "t", ociv1.Descriptor{}, ocm.ErrNotFound},
		{"wrong version", `{"schemaVersion":2,"artifacts":[]}`, "t", ociv1.Descriptor{}, ocm.ErrInvalid},
		{"media type", entry(`,"mediaType":"application/vnd.oci.image.manifest.v1+json"`), "t", d, nil},
		{"no media type", entry(""), "t", d, nil},
		{"no media type, by digest", entry(""), d.Digest.String(), d, nil},
		{"white space", " {\n\"artifacts\" : [ {\"tag\":\"t\",\"repository\":\"r\",\"digest\":\"" + d.Digest.String() + "\"} ] , \"schemaVersion\":1 }\n", "t", d, nil},
		{"unknown member", `{"schemaVersion":1,"artifacts":[],"x":1}`, "t", ociv1.Descriptor{}, ocm.ErrInvalid},
		{"unknown member of an entry", entry(`,"lediaType":"x"`), "t", ociv1.Descriptor{}, ocm.ErrInvalid},
		{"manifest that is neither listed nor nested", entry(""), digest.FromString(index).String(), ociv1.Descriptor{}, ocm.ErrNotFound},
		{"nested manifest that is not listed", strings.ReplaceAll(entry(""), d.Digest.String(), digest.FromString(outer).String()), digest.FromString(index).String(), ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: digest.FromString(index), Size: int64(len(index))}, nil},
		{"plain blob", entry(""), plain.String(), ociv1.Descriptor{MediaType: "application/octet-stream", Digest: plain, Size: 5}, nil},
		{"plain blob as manifest", strings.ReplaceAll(entry(""), d.Digest.String(), plain.String()), "t", ociv1.Descriptor{}, ocm.ErrInvalid},
		{"blob is missing", strings.ReplaceAll(entry(""), d.Digest.String(), digest.FromString("gone").String()), "t", ociv1.Descriptor{}, ocm.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			os.Mkdir(filepath.Join(dir, "blobs"), 0o755)
			for _, b := range []string{string(raw), index, outer, "plain"} {
				os.WriteFile(blobFile(dir, digest.FromString(b)), []byte(b), 0o444)
			}
			os.WriteFile(filepath.Join(dir, "artifact-index.json"), []byte(tt.index), 0o644)
			got, err := open(t, dir).Repo("r").Resolve(t.Context(), tt.ref)
			if !errors.Is(err, tt.err) || err == nil && (got.Digest != tt.want.Digest || got.MediaType != tt.want.MediaType || got.Size != tt.want.Size) {
				t.Errorf("expected %+v, %v, found %+v, %v", tt.want, tt.err, got, err)
			}
		})
	}
}

// A broken index is never replaced by a good one that lacks what was in it.
func TestDirectory_brokenIndexIsNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "artifact-index.json")
	os.WriteFile(file, []byte(`{"schemaVersion":1,"artifacts":[`), 0o644)
	d, raw := manifest("")
	err := open(t, dir).Repo("r").PutManifest(t.Context(), d, raw, "1.0.0", oci.Any())
	wantErr(t, err, ocm.ErrInvalid, dir, "artifact-index.json")
	if b, _ := os.ReadFile(file); len(b) != 32 {
		t.Errorf("the index was changed: %s", b)
	}
	wantNoTemps(t, dir)
}

// Writers that replace the file in place are noticed as well.
func TestDirectory_indexChangedInPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	tag(t, s, "r", "1.0.0", "")
	file := filepath.Join(dir, "artifact-index.json")
	b, _ := os.ReadFile(file)
	os.Chmod(file, 0o644)
	if err := os.WriteFile(file, bytes.ReplaceAll(b, []byte("1.0.0"), []byte("2.0.00")), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Repo("r").Resolve(t.Context(), "2.0.00"); err != nil {
		t.Error(err)
	}
}

// Size and time do not tell two indexes apart, if one is written shortly after the other.
func TestDirectory_indexOfSameSizeAndTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	tag(t, s, "r", "1.0.0", "")
	file := filepath.Join(dir, "artifact-index.json")
	b, _ := os.ReadFile(file)
	fi, _ := os.Stat(file)
	other := filepath.Join(t.TempDir(), "other")
	os.WriteFile(other, bytes.ReplaceAll(b, []byte("1.0.0"), []byte("2.0.0")), 0o644)
	os.Chtimes(other, fi.ModTime(), fi.ModTime())
	if err := os.Rename(other, file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Repo("r").Resolve(t.Context(), "2.0.0"); err != nil {
		t.Error(err)
	}
}

// All repositories share the folder of blobs, but a repository that is not in the index does not exist.
func TestDirectory_otherRepository(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	d := tag(t, s, "r", "1.0.0", "")
	other := s.Repo("other")
	_, err := other.Resolve(t.Context(), d.Digest.String())
	wantErr(t, err, ocm.ErrNotFound)
	if there, err := other.Exists(t.Context(), d); there || err != nil {
		t.Errorf("a manifest belongs to the repository that lists it, found %v, %v", there, err)
	}
}

func TestDirectory_largeManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for n, want := range map[int]error{blob.MaxManifest - 1000: nil, blob.MaxManifest: ocm.ErrLimit} {
		d, raw := manifest(strings.Repeat("x", n))
		if err := open(t, dir).Repo("r").PutManifest(t.Context(), d, raw, "t", oci.Any()); !errors.Is(err, want) {
			t.Errorf("%d bytes: expected %v, found %v", n, want, err)
		}
	}
}

// Two lines for one tag are one tag.
func TestDirectory_tagTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	line := fmt.Sprintf(`{"repository":"r","tag":"t","digest":%q}`, digest.FromString("x"))
	os.WriteFile(filepath.Join(dir, "artifact-index.json"), []byte(`{"schemaVersion":1,"artifacts":[`+line+","+line+`]}`), 0o644)
	n := 0
	for range open(t, dir).Repo("r").Tags(t.Context()) {
		n++
	}
	if n != 1 {
		t.Errorf("expected one tag, found %d", n)
	}
}

func TestDirectory_staleTemporaryFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tag(t, open(t, dir), "r", "1.0.0", "")
	old := time.Now().Add(-2 * time.Hour)
	plant := func(name string, at time.Time) string {
		path := filepath.Join(dir, name)
		os.WriteFile(path, []byte("half"), 0o600)
		os.Chtimes(path, at, at)
		return path
	}
	dead := []string{plant("blobs/.ocm-dead", old), plant(".ocm-index-dead", time.Now())}
	young, foreign, alive := plant("blobs/.ocm-young", time.Now()), plant("blobs/.sha256.x", old), plant("blobs/.ocm-alive", old)
	f, err := os.Open(alive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	tag(t, s, "r", "1.0.1", "1")
	for _, path := range dead {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: expected it to be removed, found %v", path, err)
		}
	}
	for _, path := range []string{young, foreign, alive} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: expected it to stay, found %v", path, err)
		}
	}
}

func TestDirectory_cancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	left := 64 << 20 // who does not stop is not to fill the disk
	endless := readerFunc(func(b []byte) (int, error) {
		cancel()
		if left -= len(b); left < 0 {
			return 0, io.EOF
		}
		return len(b), nil
	})
	_, err := s.Repo("r").Push(ctx, ociv1.Descriptor{}, endless)
	wantErr(t, err, context.Canceled)
	wantNoTemps(t, dir)
}

// A writer who waits for the lock of another process can be stopped.
func TestDirectory_cancelledWhileLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, _ := os.Open(dir)
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	synctest.Test(t, func(t *testing.T) { // its clock goes on when all wait: the time is over while the lock is waited for, not before
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d, raw := manifest("")
		err := s.Repo("r").PutManifest(ctx, d, raw, "1.0.0", oci.Any())
		wantErr(t, err, context.DeadlineExceeded, "another process")
	})
	syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	tag(t, s, "r", "1.0.0", "")
}

// A connection that breaks looks like io.ErrUnexpectedEOF, which must not be taken for an end.
func TestDirectory_unexpectedEOF(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for _, n := range []int{0, 10, 300_000, 600_000, 2_000_000} {
		broken := io.MultiReader(bytes.NewReader(make([]byte, n)), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
		_, err := s.Repo("r").Push(t.Context(), ociv1.Descriptor{}, broken)
		wantErr(t, err, io.ErrUnexpectedEOF)
	}
	wantNoTemps(t, dir)
	for _, n := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 512 << 10, 3 << 20} { // around the borders of chunks
		b := bytes.Repeat([]byte("ab"), n/2+1)[:n]
		d, err := s.Repo("r").Push(t.Context(), ociv1.Descriptor{}, bytes.NewReader(b))
		if err != nil || d.Digest != digest.FromBytes(b) || d.Size != int64(n) {
			t.Errorf("%d bytes: found %+v, %v", n, d, err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestOpen_errors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "file"), []byte("not an archive, but some text"), 0o644)
	os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644)
	syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)
	for name, want := range map[string]error{
		"no/such/parent": ocm.ErrNotFound, "no/such/parent.tar": ocm.ErrNotFound,
		"file": ocm.ErrInvalid, "empty": ocm.ErrInvalid, "pipe": ocm.ErrInvalid, "file/below": syscall.ENOTDIR,
	} {
		path := filepath.Join(dir, name)
		_, err := ctf.Open(path)
		wantErr(t, err, want, path)
	}
}

func digestOf(r io.Reader) (string, error) {
	d, err := digest.FromReader(r)
	return d.String(), err
}

// What the index lists and the folder lacks is damaged. Those who look in several places must not go on to the
// next one, as they do where a version is absent.
func TestDirectory_listedManifestIsMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ctf")
	s, err := ctf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw := []byte(`{"schemaVersion":2}`)
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := s.Repo("a/b").PutManifest(t.Context(), d, raw, "1.0.0", oci.Absent()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "blobs", "sha256."+d.Digest.Encoded())); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"1.0.0", d.Digest.String()} {
		if _, err := s.Repo("a/b").Resolve(t.Context(), ref); errors.Is(err, ocm.ErrNotFound) || !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", ref, err, ocm.ErrInvalid)
		}
	}
}
