// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/ctf"
	"ocm/internal/fault"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/serve"
	"ocm/transfer"
)

// The tests of this file damage an archive as its way may do it. Each transfer from it must end with an error, or
// with the very product that was sent, down to what is attached to its images; and whatever happens, the good
// archive arrives afterwards.

// carried is an archive with all that a product may have, as files in memory, and what must arrive of it.
type carried struct {
	files   map[string][]byte // by their path; of an archive in one file there is one
	product string
}

// patience is how long one transfer of some kilobytes may take.
const patience = time.Minute

// pack makes an archive of the form that its name says; sbom is attached to an image in it.
func pack(t *testing.T, path, sbom string) carried {
	store := fixture.Must[*ctf.Store](t)(ctf.Open(filepath.Join(tempDir(t), "made")))
	repo := repository(store)
	app := twoVersions(t, repo, 30_000)
	image := fixture.Must[ocm.Content](t)(app.Blob(t.Context(), app.Descriptor().Component.Resources[1].Access)).Root
	attach(t, store.Repo(oci.RepoName("acme.org/app")), image, sbom)
	attach(t, store.Repo(oci.RepoName("acme.org/app")), app.Manifest(), sbom)
	to := repository(fixture.Must[*ctf.Store](t)(ctf.Open(path)))
	mustMove(t, repo, to, app, transfer.Options{})
	if err := to.(ocm.Finisher).Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := carried{files: filesOf(t, path), product: arrived(t, path)}
	if strings.Count(c.product, "attached") != 2 || strings.Count(c.product, "tag ") != 2 {
		t.Fatalf("the archive has\n%s", c.product)
	}
	return c
}

// attach adds something that refers to a manifest.
func attach(t *testing.T, repo oci.Repo, to ociv1.Descriptor, sbom string) {
	layer := text(sbom).Root
	fixture.Must[ociv1.Descriptor](t)(repo.Push(t.Context(), layer, strings.NewReader(sbom)))
	fixture.Must[ociv1.Descriptor](t)(repo.Push(t.Context(), ociv1.DescriptorEmptyJSON, strings.NewReader("{}")))
	raw := fixture.Must[[]byte](t)(json.Marshal(ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, ArtifactType: "example/sbom",
		Config: ociv1.DescriptorEmptyJSON, Layers: []ociv1.Descriptor{layer},
		Subject: &ociv1.Descriptor{MediaType: to.MediaType, Digest: to.Digest, Size: to.Size},
	}))
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := repo.PutManifest(t.Context(), d, raw, "", oci.Any()); err != nil {
		t.Fatal(err)
	}
}

// filesOf reads a file, or all files of a folder.
func filesOf(t *testing.T, path string) map[string][]byte {
	if raw, err := os.ReadFile(path); err == nil {
		return map[string][]byte{"": raw}
	}
	files := map[string][]byte{}
	names := fixture.Must[[]string](t)(filepath.Glob(filepath.Join(path, "blobs", "*")))
	for _, name := range append(names, filepath.Join(path, "artifact-index.json")) {
		files[strings.TrimPrefix(name, path)] = fixture.Must[[]byte](t)(os.ReadFile(name))
	}
	return files
}

// writeTo writes the archive, with other bytes in one file; nil: that file is missing.
func (c carried) writeTo(t *testing.T, path, changed string, raw []byte) {
	if err := errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Join(path, "blobs"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, one := c.files[""]; one {
		os.RemoveAll(path)
	}
	for name, now := range c.files {
		if name == changed {
			now = raw
		}
		if name == changed && raw == nil {
			continue
		}
		if err := os.WriteFile(path+name, now, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// arrived tells what is in a CTF: the tags, what they lead to, and what is attached to that. All of it is compared
// with its digests.
func arrived(t *testing.T, path string) string {
	t.Helper()
	store, err := ctf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	lines := map[string]bool{}
	for name, err := range store.Repos(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		repo := store.Repo(name)
		for tag, err := range repo.Tags(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			d := fixture.Must[ociv1.Descriptor](t)(repo.Resolve(t.Context(), tag))
			lines[fmt.Sprintln("tag", name, tag, d.Digest)] = true
			below(t, repo, d, name, lines)
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), "")
}

func below(t *testing.T, repo oci.Repo, root ociv1.Descriptor, name string, lines map[string]bool) {
	t.Helper()
	err := blob.Walk(t.Context(), repo, root, func(d ociv1.Descriptor, raw []byte) error {
		lines[fmt.Sprintln(name, d.MediaType, d.Digest, d.Size)] = true
		if raw == nil {
			return blob.Check(t.Context(), ocm.Content{Root: d, From: repo})
		}
		for r, err := range repo.(oci.ReferrerLister).Referrers(t.Context(), d, "") {
			if err != nil {
				return err
			}
			lines[fmt.Sprintln("attached", name, d.Digest, r.Digest)] = true
			below(t, repo, r, name, lines)
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// landing is where archives are brought: a folder, itself or behind a registry.
type landing struct {
	dir      string
	registry bool
}

func (l landing) open(env *ocm.Env) (oci.Store, func(), error) {
	store, err := ctf.Open(l.dir)
	if err != nil || !l.registry {
		return store, func() {}, err
	}
	env.HTTP = fault.Hosts{"target.example": serve.Handler(store, serve.Options{Writable: true, Log: slog.New(slog.DiscardHandler)})}
	to, err := remote.Open(env, "http://target.example", "", remote.Options{})
	return to, func() { store.Close() }, err
}

// bring transfers the product of an archive as a command does it.
func (l landing) bring(ctx context.Context, path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it hangs"))
	defer cancel()
	env := &ocm.Env{Job: ocm.NewJob(2)}
	from, err := ctf.Open(path)
	if err != nil {
		return err
	}
	src := oci.NewRepository(from, env)
	defer src.Close()
	to, done, err := l.open(env)
	if err != nil {
		return err
	}
	defer done()
	dst := oci.NewRepository(to, env)
	defer dst.Close()
	v, err := src.Open(ctx, "acme.org/app", "1.0.0")
	if err != nil {
		return err
	}
	_, _, err = move(ctx, src, dst, v, transfer.Options{})
	return err
}

// judge brings a damaged archive, looks at what came of it, and brings the good one.
func (c carried) judge(t *testing.T, l landing, bad, good, what string) (failed bool) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(l.dir), os.Mkdir(l.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	err := l.bring(t.Context(), bad)
	now := arrived(t, l.dir)
	switch {
	case err == nil && now != c.product:
		t.Errorf("%s: no error, but another product:\n%s\nwas\n%s", what, now, c.product)
	case err == nil:
		return false
	case strings.HasPrefix(err.Error(), "panic"), strings.Contains(err.Error(), "it hangs"):
		t.Errorf("%s: %v", what, err)
	case strings.Contains(now, "acme.org/app 1.0.0"):
		t.Errorf("%s: visible after %v", what, err)
	case !slices.ContainsFunc([]error{ocm.ErrInvalid, ocm.ErrNotFound, ocm.ErrDigest, ocm.ErrLimit, ocm.ErrConflict}, func(kind error) bool { return errors.Is(err, kind) }):
		t.Errorf("%s: an error of no kind: %v", what, err)
	case !strings.Contains(err.Error(), bad) && !strings.Contains(err.Error(), "sha256"):
		t.Errorf("%s: the error names no place: %v", what, err)
	}
	if err := l.bring(t.Context(), good); err != nil {
		t.Errorf("%s: the good archive afterwards: %v", what, err)
	} else if now := arrived(t, l.dir); now != c.product {
		t.Errorf("%s: the good archive afterwards brought\n%s\nexpected\n%s", what, now, c.product)
	}
	return true
}

// forms are the names of archives that say their form.
var forms = []string{"a.tar", "a.tgz", "a.tar.zst", "folder"}

// atEach runs a test for each form and each landing.
func atEach(t *testing.T, run func(t *testing.T, c carried, l landing, bad, good string)) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			c := pack(t, filepath.Join(dir, form), "what the image consists of")
			good := filepath.Join(dir, "good"+filepath.Ext(form))
			c.writeTo(t, good, "none", nil)
			for _, registry := range []bool{false, true} {
				run(t, c, landing{filepath.Join(dir, "target"), registry}, filepath.Join(dir, "bad"+filepath.Ext(form)), good)
			}
		})
	}
}

// TestCutShort cuts archives at every kind of place: before and after each boundary of the tar format, in what is
// between them, and near both ends; and each file of a folder, or leaves it out.
func TestCutShort(t *testing.T) {
	t.Parallel()
	atEach(t, func(t *testing.T, c carried, l landing, bad, good string) {
		failed, tried := 0, 0
		for name, raw := range c.files {
			cuts := []int{0, 1, 3, 100, 511, 512, 513, len(raw) - 1025, len(raw) - 1024, len(raw) - 1023, len(raw) - 512, len(raw) - 9, len(raw) - 2, len(raw) - 1}
			for i := range 40 {
				at := i * len(raw) / 40
				cuts = append(cuts, at, at/512*512)
			}
			if name != "" { // one of many files
				cuts = []int{-1, 0, len(raw) / 2, len(raw) - 1}
			}
			slices.Sort(cuts)
			for _, at := range slices.Compact(cuts) {
				if at >= len(raw) || at < 0 && (name == "" || at < -1) {
					continue
				}
				var cut []byte // missing
				if at >= 0 {
					cut = append([]byte{}, raw[:at]...)
				}
				c.writeTo(t, bad, name, cut)
				tried++
				if c.judge(t, l, bad, good, fmt.Sprintf("%s cut at %d of %d", cmp.Or(name, "archive"), at, len(raw))) {
					failed++
				}
			}
		}
		if tried < 40 || failed < tried-3 { // half of the end of a tar is an end
			t.Errorf("%d of %d were refused", failed, tried)
		}
	})
}

// TestFlippedBits flips one bit at random places. $OCM_TEST_FLIPS says how many for each form, $OCM_TEST_SEED which.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	number := func(name string, otherwise int) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			return otherwise
		}
		return n
	}
	flips, seed := number("OCM_TEST_FLIPS", 100), number("OCM_TEST_SEED", 8)
	atEach(t, func(t *testing.T, c carried, l landing, bad, good string) {
		random := rand.New(rand.NewPCG(uint64(seed), 0)) //nolint:gosec // places, not secrets
		names := slices.Sorted(maps.Keys(c.files))
		size := 0
		for _, name := range names {
			size += len(c.files[name])
		}
		refused := 0
		for i := range flips {
			at, bit := random.IntN(size), random.IntN(8)
			if i%2 == 1 && len(names) > 1 { // the index is small and has most to say
				at = size - 1 - random.IntN(len(c.files[names[0]]))
			}
			name, inFile := "", at
			for _, name = range names {
				if inFile < len(c.files[name]) {
					break
				}
				inFile -= len(c.files[name])
			}
			raw := slices.Clone(c.files[name])
			raw[inFile] ^= 1 << bit
			c.writeTo(t, bad, name, raw)
			if c.judge(t, l, bad, good, fmt.Sprintf("seed %d, %s: bit %d of byte %d", seed, cmp.Or(name, "archive"), bit, inFile)) {
				refused++
			}
		}
		t.Logf("seed %d, registry %v: %d of %d refused", seed, l.registry, refused, flips)
		if refused < flips/2 {
			t.Errorf("%d of %d were refused", refused, flips)
		}
	})
}

// What is attached to an image comes out of every form of an archive, be it small, or so large that it has to be taken
// when it comes by.
func TestAttachedComesOutOfEveryForm(t *testing.T) {
	t.Parallel()
	for _, form := range append(slices.Clone(forms), "pipe") {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			name := form
			if form == "pipe" {
				name = "a.tgz"
			}
			dir := tempDir(t)
			path := filepath.Join(dir, name)
			c := pack(t, path, noise(3, ctf.MaxSmall+1000))
			src := repository(fixture.Must[*ctf.Store](t)(ctf.Open(path)))
			if form == "pipe" {
				src = pipeOf(t, bytes.NewReader(c.files[""]))
			}
			v := fixture.Must[ocm.Version](t)(src.Open(t.Context(), "acme.org/app", "1.0.0"))
			target := filepath.Join(dir, "target")
			mustMove(t, src, repository(fixture.Must[*ctf.Store](t)(ctf.Open(target))), v, transfer.Options{})
			if now := arrived(t, target); now != c.product {
				t.Errorf("arrived\n%s\nexpected\n%s", now, c.product)
			}
		})
	}
}
