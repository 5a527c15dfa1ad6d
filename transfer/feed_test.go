// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/transfer"
)

func noise(seed byte, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

// closure fills an archive with two versions that share large content: plain, in an image, and inside
// an archive that is known by the digest of its artifact.
func closure(t testing.TB, path string) ocm.Repository {
	t.Helper()
	repo := repository(fixture.Must[*ctf.Store](t)(ctf.Open(path)))
	t.Cleanup(func() { repo.Close() })
	shared := text(noise(1, 3<<20))
	lib := write(t, repo, "acme.org/lib", "1.0.0", nil)
	lib.resource("shared", shared)
	lib.resource("small", text("small"))
	child := lib.commit()
	app := write(t, repo, "acme.org/app", "1.0.0", nil)
	app.resource("shared", shared)
	app.resource("image", fixture.Index(noise(2, 2<<20)))
	app.resource("layout", layout(t, fixture.Image(noise(3, 2<<20))))
	app.source("code", text(noise(4, 2<<20)))
	app.reference(child)
	app.commit()
	if err := repo.(ocm.Finisher).Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return repo
}

func layout(t testing.TB, image ocm.Content) ocm.Content {
	t.Helper()
	var b bytes.Buffer
	if err := blob.WriteLayout(t.Context(), &b, image, "1.0"); err != nil {
		t.Fatal(err)
	}
	return blob.Bytes("application/vnd.ocm.software.oci.layout.v1+tar", b.Bytes())
}

// transferAll moves all that a repository has.
func moveAll(t testing.TB, from, to ocm.Repository) (*transfer.Summary, error) {
	t.Helper()
	v, err := from.Open(t.Context(), "acme.org/app", "1.0.0")
	if err != nil {
		return nil, err
	}
	env := newEnv()
	find := func(ctx context.Context, name, version string) (ocm.Version, error) {
		return from.Open(ctx, name, version)
	}
	g, err := graph.Walk(t.Context(), env.Job, find, []ocm.Version{v}, graph.Options{Recursive: true})
	if err != nil {
		return nil, err
	}
	p, err := transfer.NewPlan(t.Context(), builtin.Kit(), env, g, to, transfer.Options{})
	if err != nil {
		return nil, err
	}
	return p.Run(t.Context())
}

// verifyAll reads everything.
func verifyAll(t testing.TB, repo ocm.Repository) {
	t.Helper()
	for _, name := range []string{"acme.org/lib", "acme.org/app"} {
		v := fixture.Must[ocm.Version](t)(repo.Open(t.Context(), name, "1.0.0"))
		for _, r := range v.Descriptor().Component.Resources {
			c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), r.Access))
			if err := graph.Check(t.Context(), c, *r.Digest); err != nil {
				t.Errorf("%s: %s: %v", name, r.Name, err)
			}
		}
		for _, s := range v.Descriptor().Component.Sources {
			c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), s.Access))
			if err := blob.Check(t.Context(), c); err != nil {
				t.Errorf("%s: %s: %v", name, s.Name, err)
			}
		}
	}
}

func pipeOf(t testing.TB, r io.Reader) ocm.Repository {
	t.Helper()
	return repository(fixture.Must[*ctf.Store](t)(ctf.Read(r)))
}

// targets are places to transfer to, and how to read what came there.
func targets() map[string]func(t testing.TB) (to ocm.Repository, read func() ocm.Repository) {
	all := map[string]func(t testing.TB) (ocm.Repository, func() ocm.Repository){}
	for name, open := range fixture.Places() {
		all[name] = func(t testing.TB) (ocm.Repository, func() ocm.Repository) {
			r := repository(open(t))
			return r, func() ocm.Repository { return r }
		}
	}
	for _, name := range []string{"x.tar", "x.tgz", "x.tar.zst"} {
		all[name] = func(t testing.TB) (ocm.Repository, func() ocm.Repository) {
			path := filepath.Join(t.TempDir(), name)
			open := func() ocm.Repository { return repository(fixture.Must[*ctf.Store](t)(ctf.Open(path))) }
			return open(), open
		}
	}
	all["pipe"] = func(t testing.TB) (ocm.Repository, func() ocm.Repository) {
		var b bytes.Buffer
		return repository(ctf.Write(&b, t.TempDir())), func() ocm.Repository {
			path := filepath.Join(t.TempDir(), "x.tar")
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			return repository(fixture.Must[*ctf.Store](t)(ctf.Open(path)))
		}
	}
	return all
}

// From a pipe, and from an archive that is best read in order, to everywhere.
func TestFeed(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"x.tar", "x.tgz", "x.tar.zst"} {
		source := filepath.Join(t.TempDir(), form)
		closure(t, source)
		raw := fixture.Must[[]byte](t)(os.ReadFile(source))
		for name, target := range targets() {
			t.Run(form+" to "+name, func(t *testing.T) {
				t.Parallel()
				for what, from := range map[string]ocm.Repository{
					"pipe": pipeOf(t, bytes.NewReader(raw)),
					"file": repository(fixture.Must[*ctf.Store](t)(ctf.Open(source))),
				} {
					to, read := target(t)
					s, err := moveAll(t, from, to)
					if err != nil || s.Written != 2 {
						t.Fatalf("%s: %+v, %v", what, s, err)
					}
					verifyAll(t, read())
				}
			})
		}
	}
}

// An archive goes through a pipe and is the same file at the other end.
func TestFeed_sameArchive(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "a.tar")
	from := repository(fixture.Must[*ctf.Store](t)(ctf.Open(source)))
	a := write(t, from, "acme.org/app", "1.0.0", nil)
	for i := range byte(5) {
		a.resource(string('a'+rune(i)), text(noise(i, 1<<20+int(i))))
	}
	for i := range byte(5) {
		a.resource(string('k'+rune(i)), text(noise(i+50, 100)))
	}
	a.commit()
	if err := from.(ocm.Finisher).Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw := fixture.Must[[]byte](t)(os.ReadFile(source))
	var b bytes.Buffer
	if _, err := moveAll(t, pipeOf(t, bytes.NewReader(raw)), repository(ctf.Write(&b, ""))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), raw) {
		t.Error("the archive changed on its way")
	}
}

// A stream that breaks off leaves nothing visible.
func TestFeed_cut(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"x.tar", "x.tgz", "x.tar.zst"} {
		source := filepath.Join(t.TempDir(), form)
		closure(t, source)
		raw := fixture.Must[[]byte](t)(os.ReadFile(source))
		for name, target := range targets() {
			t.Run(form+" to "+name, func(t *testing.T) {
				t.Parallel()
				for at := 1; at <= 8; at++ {
					end := len(raw)*at/8 - 1
					to, read := target(t)
					cut, err := ctf.Read(bytes.NewReader(raw[:end]))
					if err == nil {
						_, err = moveAll(t, repository(cut), to)
					}
					if !errors.Is(err, ocm.ErrInvalid) {
						t.Errorf("cut at %d of %d: expected %q, found %v", end, len(raw), ocm.ErrInvalid, err)
					}
					if name == "pipe" {
						continue // the other end finds it cut as well
					}
					if _, err := read().Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
						t.Errorf("cut at %d: the version is visible: %v", end, err)
					}
				}
			})
		}
	}
}

// Half a transfer is finished by the next one, which takes only what is missing.
func TestFeed_again(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "x.tar")
	closure(t, source)
	raw := fixture.Must[[]byte](t)(os.ReadFile(source))
	to := repository(fixture.Places()["ctf"](t))
	if _, err := moveAll(t, pipeOf(t, bytes.NewReader(raw[:len(raw)-100])), to); err == nil {
		t.Fatal("expected an error")
	}
	env := newEnv()
	to2 := oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(to.String())), env)
	s, err := moveAll(t, pipeOf(t, bytes.NewReader(raw)), to2)
	if err != nil || s.Written != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	if moved := env.Job.Counters().Moved.Load(); moved > 1<<20 {
		t.Errorf("%d bytes were moved again", moved)
	}
	verifyAll(t, to2)
}

// Content that somebody changed on its way is refused, and nothing of it is visible.
func TestFeed_tampered(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "x.tar")
	closure(t, source)
	raw := fixture.Must[[]byte](t)(os.ReadFile(source))
	at := strings.Index(string(raw), noise(1, 3<<20)[:100])
	raw[at] ^= 1
	for name, target := range targets() {
		to, read := target(t)
		if _, err := moveAll(t, pipeOf(t, bytes.NewReader(raw)), to); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%s: expected %q, found %v", name, ocm.ErrDigest, err)
		}
		if name == "pipe" {
			continue
		}
		if _, err := read().Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s: the version is visible: %v", name, err)
		}
	}
}

// An archive that is added to keeps what it had.
func TestFeed_intoExisting(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"x.tar", "x.tgz", "x.tar.zst"} {
		path := filepath.Join(t.TempDir(), form)
		closure(t, path)
		second := filepath.Join(t.TempDir(), "y.tar")
		repo := repository(fixture.Must[*ctf.Store](t)(ctf.Open(second)))
		a := write(t, repo, "acme.org/app", "1.0.0", nil)
		a.desc.Component.Name = "acme.org/app"
		a.resource("other", text(noise(77, 2<<20)))
		a.commit()
		if err := repo.(ocm.Finisher).Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The same name with other content is refused, and the archive stays.
		before := fixture.Must[[]byte](t)(os.ReadFile(path))
		raw := fixture.Must[[]byte](t)(os.ReadFile(second))
		to := repository(fixture.Must[*ctf.Store](t)(ctf.Open(path)))
		if _, err := moveAll(t, pipeOf(t, bytes.NewReader(raw)), to); !errors.Is(err, ocm.ErrExists) {
			t.Errorf("expected %q, found %v", ocm.ErrExists, err)
		}
		if !slices.Equal(before, fixture.Must[[]byte](t)(os.ReadFile(path))) {
			t.Error("the archive was changed")
		}
		verifyAll(t, repository(fixture.Must[*ctf.Store](t)(ctf.Open(path))))
	}
}

// Content that must be read before it is written, and is too large to be held, waits beside the target.
func TestFeed_largeLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := repository(fixture.Must[*ctf.Store](t)(ctf.Open(filepath.Join(dir, "a.tar"))))
	a := write(t, from, "acme.org/app", "1.0.0", nil)
	a.resource("layout", layout(t, fixture.Image(noise(3, 40<<20))))
	a.commit()
	if err := from.(ocm.Finisher).Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"b.tar", "dir"} {
		f := fixture.Must[*os.File](t)(os.Open(filepath.Join(dir, "a.tar")))
		defer f.Close()
		to := repository(fixture.Must[*ctf.Store](t)(ctf.Open(filepath.Join(dir, target))))
		if _, err := moveAll(t, pipeOf(t, f), to); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	left := fixture.Must[[]string](t)(filepath.Glob(filepath.Join(dir, ".*")))
	if one := fixture.Must[os.FileInfo](t)(os.Stat(filepath.Join(dir, "b.tar"))); one.Size() < 40<<20 || len(left) > 0 {
		t.Errorf("found %d bytes, and %v", one.Size(), left)
	}
}
