// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/inspect"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

// author writes a component version.
type author struct {
	t     testing.TB
	draft ocm.Draft
	desc  *ocm.Descriptor
}

func write(t testing.TB, repo ocm.Repository, name, version string) *author {
	t.Helper()
	return &author{t, fixture.Must[ocm.Draft](t)(repo.Draft(t.Context(), name, version, nil)),
		&ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: name, Version: version, Provider: "acme.org"}}}
}

func (a *author) resource(name string, c ocm.Content) *ocm.Resource {
	a.t.Helper()
	s := fixture.Must[ocm.Stored](a.t)(a.draft.Add(a.t.Context(), c, ""))
	r := a.access(name, s.Access)
	d := fixture.Must[ocm.Digest](a.t)(graph.NewDigest(a.t.Context(), ocm.Content{Root: s.Root, From: c.From}, ocm.SHA256))
	r.Digest = &d
	return r
}

func (a *author) access(name string, access ocm.Spec) *ocm.Resource {
	list := &a.desc.Component.Resources
	*list = append(*list, ocm.Resource{Element: ocm.Element{Name: name, Version: "1.0.0"}, Type: "blob", Relation: ocm.RelationLocal, Access: access})
	return &(*list)[len(*list)-1]
}

func (a *author) source(name string, c ocm.Content) {
	a.t.Helper()
	s := fixture.Must[ocm.Stored](a.t)(a.draft.Add(a.t.Context(), c, ""))
	a.desc.Component.Sources = append(a.desc.Component.Sources, ocm.Source{Element: ocm.Element{Name: name, Version: "1.0.0"}, Type: "git", Access: s.Access})
}

func (a *author) reference(v ocm.Version) {
	a.t.Helper()
	d := fixture.Must[ocm.Digest](a.t)(normalise.Digest(v.Descriptor(), ocm.SHA256, normalise.V3))
	c := &v.Descriptor().Component
	a.desc.Component.References = append(a.desc.Component.References, ocm.Reference{
		Element: ocm.Element{Name: fmt.Sprint("ref", len(a.desc.Component.References)), Version: c.Version}, ComponentName: c.Name, Digest: &d})
}

func (a *author) commit() ocm.Version {
	a.t.Helper()
	return fixture.Must[ocm.Version](a.t)(a.draft.Commit(a.t.Context(), a.desc))
}

// closure is app, which references lib, with something of every kind.
func closure(t testing.TB, repo ocm.Repository) {
	t.Helper()
	l := write(t, repo, "acme.org/lib", "1.0.0")
	l.resource("text", blob.Bytes("text/plain", []byte("library text")))
	l.resource("image", fixture.Index("layer of the library"))
	lib := l.commit()
	a := write(t, repo, "acme.org/app", "1.0.0")
	a.resource("text", blob.Bytes("text/plain", []byte("text of the app")))
	a.resource("image", fixture.Image("layer of the app"))
	a.access("nothing", ocm.Spec{Type: "none"})
	a.access("far", fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]string{"type": "ociArtifact", "imageReference": "localhost:1/nowhere:1"})))
	a.source("code", blob.Bytes("text/plain", []byte("source of the app")))
	a.reference(lib)
	a.commit()
}

// check looks at app and at what it references.
func check(t testing.TB, repo ocm.Repository, o inspect.CheckOptions) *inspect.CheckReport {
	t.Helper()
	find := func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		v, err := repo.Open(ctx, name, version)
		return repo, v, err
	}
	return fixture.Must[*inspect.CheckReport](t)(inspect.Check(t.Context(), builtin.Kit(), &ocm.Env{Job: ocm.NewJob(4)}, find,
		[]inspect.Root{{In: repo, Component: "acme.org/app", Ref: "1.0.0"}}, o))
}

// list is what a report says in short.
func list(r *inspect.CheckReport) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Component, f.Element, f.Status)
	}
	return b.String()
}

const sound = `acme.org/app:1.0.0 resource text: ok
acme.org/app:1.0.0 resource image: ok
acme.org/app:1.0.0 resource nothing: ok
acme.org/app:1.0.0 resource far: elsewhere
acme.org/app:1.0.0 source code: ok
acme.org/app:1.0.0 reference ref0: ok
acme.org/lib:1.0.0 resource text: ok
acme.org/lib:1.0.0 resource image: ok
`

func TestCheckSound(t *testing.T) {
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := oci.NewRepository(place(t), &ocm.Env{})
			closure(t, repo)
			r := check(t, repo, inspect.CheckOptions{Recursive: true})
			if got := list(r); got != sound || r.Err(false) != nil {
				t.Errorf("%v:\n%s%+v", r.Err(false), got, r.Findings)
			}
			if r.Versions != 2 || r.Blobs != 9 { // 3 of one blob, an image of 3, an index of 4 with the same configuration
				t.Errorf("%d versions, %d blobs", r.Versions, r.Blobs)
			}
			if r := check(t, repo, inspect.CheckOptions{}); r.Versions != 1 || strings.Contains(list(r), "lib") {
				t.Errorf("not recursive:\n%s", list(r))
			}
		})
	}
}

// What is only referred to is read when that is asked for.
func TestCheckRemote(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	elsewhere := oci.NewRepository(fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, url, "", remote.Options{})), &ocm.Env{})
	image := write(t, elsewhere, "acme.org/images", "1.0.0").resource("image", fixture.Image("far away"))
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	a := write(t, repo, "acme.org/app", "1.0.0")
	wrong := *image.Digest
	wrong.Value = strings.Repeat("0", 64)
	for i, c := range []struct {
		access string
		digest *ocm.Digest
	}{
		{`{"type":"ociArtifact","imageReference":"` + url + "/component-descriptors/acme.org/images@sha256:" + image.Digest.Value + `"}`, image.Digest},
		{`{"type":"ociArtifact","imageReference":"` + url + "/component-descriptors/acme.org/images@sha256:" + image.Digest.Value + `"}`, &wrong},
		{`{"type":"ociArtifact","imageReference":"` + url + `/component-descriptors/acme.org/images:7"}`, nil},
		{`{"type":"carrierPigeon/v7"}`, nil},
	} {
		a.access(fmt.Sprint("r", i), ocm.Spec{Type: "x", Raw: ocm.RawJSON(c.access)}).Digest = c.digest
		if err := a.desc.Component.Resources[i].Access.UnmarshalJSON([]byte(c.access)); err != nil {
			t.Fatal(err)
		}
	}
	a.commit()
	if r := check(t, repo, inspect.CheckOptions{}); r.Count[inspect.Elsewhere] != 4 || r.Err(false) != nil {
		t.Errorf("not asked for: %v\n%s", r.Err(false), list(r))
	}
	r := check(t, repo, inspect.CheckOptions{Remote: true})
	want := `acme.org/app:1.0.0 resource r0: ok
acme.org/app:1.0.0 resource r1: damaged
acme.org/app:1.0.0 resource r2: missing
acme.org/app:1.0.0 resource r3: failed
`
	if got := list(r); got != want || r.Blobs != 3 {
		t.Errorf("%d blobs\n%+v", r.Blobs, r.Findings)
	}
}

// Each blob of a closure in turn has one bit flipped, then is cut, then is gone: it is always found, and
// all of them at once are found all.
func TestCheckFindsEveryBlob(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ctf")
	closure(t, oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)), &ocm.Env{}))
	files := fixture.Must[[]string](t)(filepath.Glob(filepath.Join(dir, "blobs", "*")))
	if len(files) < 16 { // content as above, two configurations, descriptors and manifests, two indexes
		t.Fatalf("%d blobs", len(files))
	}
	open := func() ocm.Repository {
		return oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)), &ocm.Env{})
	}
	for _, file := range files {
		good := fixture.Must[[]byte](t)(os.ReadFile(file))
		for what, spoil := range map[string]func() error{
			"flipped": func() error {
				bad := []byte(string(good))
				bad[len(bad)/2] ^= 1
				return os.WriteFile(file, bad, 0o600)
			},
			"cut":  func() error { return os.WriteFile(file, good[:len(good)-1], 0o600) },
			"gone": func() error { return os.Remove(file) },
		} {
			os.Chmod(file, 0o600)
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			r := check(t, open(), inspect.CheckOptions{Recursive: true})
			switch err := r.Err(true); {
			case err == nil:
				t.Errorf("%s %s was not found:\n%s", filepath.Base(file), what, list(r))
			case what == "gone" && r.Count[inspect.Missing]+r.Count[inspect.Damaged] == 0, what != "gone" && r.Count[inspect.Damaged] == 0:
				t.Errorf("%s %s: %v\n%s", filepath.Base(file), what, err, list(r))
			case what != "gone":
				fixture.WantErr(t, err, ocm.ErrDigest)
			}
			if err := os.WriteFile(file, good, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := list(check(t, open(), inspect.CheckOptions{Recursive: true})); got != sound {
		t.Errorf("it was repaired, and is not sound:\n%s", got)
	}
	// all contents at once, each with its own line
	for _, text := range []string{"library text", "layer of the library", "text of the app", "layer of the app", "source of the app"} {
		file := filepath.Join(dir, "blobs", "sha256."+blob.Bytes("", []byte(text)).Root.Digest.Encoded())
		if err := os.WriteFile(file, []byte(strings.ToUpper(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := check(t, open(), inspect.CheckOptions{Recursive: true}); r.Count[inspect.Damaged] != 5 {
		t.Errorf("%s", list(r))
	}
}

func TestCheckMissingReference(t *testing.T) {
	t.Parallel()
	src, repo := oci.NewRepository(memory.New(), &ocm.Env{}), oci.NewRepository(memory.New(), &ocm.Env{})
	closure(t, src)
	lib := fixture.Must[ocm.Version](t)(src.Open(t.Context(), "acme.org/lib", "1.0.0"))
	a := write(t, repo, "acme.org/app", "1.0.0")
	a.reference(lib)
	a.commit()
	r := check(t, repo, inspect.CheckOptions{Recursive: true})
	if got := list(r); got != "acme.org/app:1.0.0 reference ref0: left out\n" || r.Err(true) != nil || r.Err(false) == nil {
		t.Errorf("%v\n%s", r.Err(false), got)
	}
	// another version in its place
	write(t, repo, "acme.org/lib", "1.0.0").commit()
	r = check(t, repo, inspect.CheckOptions{Recursive: true})
	fixture.WantErr(t, r.Err(true), ocm.ErrDigest, "1 damaged")
}

// A version that references itself, by way of another one.
func TestCheckCycle(t *testing.T) {
	t.Parallel()
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	for name, to := range map[string]string{"acme.org/app": "acme.org/a", "acme.org/a": "acme.org/b", "acme.org/b": "acme.org/a"} {
		a := write(t, repo, name, "1.0.0")
		a.desc.Component.References = []ocm.Reference{{Element: ocm.Element{Name: "r", Version: "1.0.0"}, ComponentName: to}}
		a.commit()
	}
	r := check(t, repo, inspect.CheckOptions{Recursive: true})
	fixture.WantErr(t, r.Err(true), ocm.ErrDigest, "damaged")
}

func TestCheckTellsWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	store := memory.New()
	repo := oci.NewRepository(store, &ocm.Env{})
	// an index of two images, of which only one is there
	amd, arm := fixture.Image("amd"), fixture.Image("arm")
	entries := []ociv1.Descriptor{amd.Root, arm.Root}
	entries[0].Platform, entries[1].Platform = &ociv1.Platform{OS: "linux", Architecture: "amd64"}, &ociv1.Platform{OS: "linux", Architecture: "arm64"}
	raw := fixture.Must[[]byte](t)(jsonv2.Marshal(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: entries}))
	h := amd.From.(fixture.Heap)
	c := ocm.Content{Root: h.Put(ociv1.MediaTypeImageIndex, raw), From: h, Skip: func(d ociv1.Descriptor) bool { return d.Digest == arm.Root.Digest }}
	a := write(t, repo, "acme.org/app", "1.0.0")
	a.resource("omitted", blob.Bytes("text/plain", []byte("x")))
	r := &a.desc.Component.Resources[0]
	r.Access = fixture.Must[ocm.Spec](t)(graph.Omit(r.Access, ociv1.Descriptor{Digest: digest.NewDigestFromEncoded(digest.SHA256, strings.Repeat("a", 64))}, "for a test"))
	for _, platforms := range []string{"", "linux/amd64", "linux/arm64"} {
		r := a.resource("image"+strings.ReplaceAll(platforms, "/", "-"), c)
		if p, err := blob.ParsePlatform(platforms); err == nil {
			r.Labels = fixture.Must[[]ocm.Label](t)(graph.SetPlatforms(nil, []blob.Platform{p}))
		}
	}
	a.commit()
	rep := check(t, repo, inspect.CheckOptions{Recursive: true})
	want := `acme.org/app:1.0.0 resource omitted: left out
acme.org/app:1.0.0 resource image: missing
acme.org/app:1.0.0 resource imagelinux-amd64: left out
acme.org/app:1.0.0 resource imagelinux-arm64: missing
`
	if got := list(rep); got != want {
		t.Errorf("expected\n%sfound\n%s", want, got)
	}
	if d := rep.Findings[0].Detail; !strings.Contains(d, "localBlob/v1 sha256:aaaa") || !strings.Contains(d, "for a test") {
		t.Error(d)
	}
	if d := rep.Findings[2].Detail; d != "platform linux/arm64 "+arm.Root.Digest.String() {
		t.Error(d)
	}
	if err := rep.Err(false); err == nil || err.Error() != "incomplete: 2 missing, 2 left out" || errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
}

// A thousand versions that share a blob: it is read once, and all is done in no time.
func TestCheckManyVersions(t *testing.T) {
	t.Parallel()
	const n = 1000
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	root := write(t, repo, "acme.org/app", "1.0.0")
	shared := blob.Bytes("text/plain", make([]byte, 64<<10))
	for i := range n {
		a := write(t, repo, fmt.Sprintf("acme.org/part%d", i%100), fmt.Sprintf("1.0.%d", i))
		a.resource("shared", shared)
		a.resource("own", blob.Bytes("text/plain", fmt.Append(nil, "own ", i)))
		root.reference(a.commit())
	}
	root.commit()
	begin := time.Now()
	r := check(t, repo, inspect.CheckOptions{Recursive: true})
	t.Log(time.Since(begin))
	if r.Versions != n+1 || r.Blobs != n+1 || r.Err(false) != nil || r.Bytes > 128<<10 {
		t.Errorf("%d versions, %d blobs, %d bytes: %v", r.Versions, r.Blobs, r.Bytes, r.Err(false))
	}
}

// without is a store one of whose repositories has lost a blob.
type without struct {
	oci.Store
	repo string
	lost digest.Digest
}

func (w without) Repo(name string) oci.Repo {
	if name == w.repo {
		return withoutRepo{w.Store.Repo(name), w.lost}
	}
	return w.Store.Repo(name)
}

type withoutRepo struct {
	oci.Repo
	lost digest.Digest
}

func (r withoutRepo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if d.Digest == r.lost {
		return nil, fmt.Errorf("lost: %w", ocm.ErrNotFound)
	}
	return r.Repo.Fetch(ctx, d)
}

// Components have repositories of their own: what one of them has, another one may lack.
func TestCheckLooksInEveryRepository(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"acme.org/app", "acme.org/lib"} {
		store := memory.New()
		repo := oci.NewRepository(store, &ocm.Env{})
		c := blob.Bytes("text/plain", []byte("shared"))
		l := write(t, repo, "acme.org/lib", "1.0.0")
		l.resource("shared", c)
		a := write(t, repo, "acme.org/app", "1.0.0")
		a.resource("shared", c)
		a.reference(l.commit())
		a.commit()
		r := check(t, oci.NewRepository(without{store, oci.RepoName(name), c.Root.Digest}, &ocm.Env{}), inspect.CheckOptions{Recursive: true})
		if r.Count[inspect.Missing] != 1 || !strings.Contains(list(r), name+":1.0.0 resource shared: missing") {
			t.Errorf("%s: %s", name, list(r))
		}
	}
}

// Content that is stored in parts has no digest as a whole. Said to be a manifest, it is refused by all that read it.
func TestManifestInPartsIsRefused(t *testing.T) {
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	a := write(t, repo, "acme.org/app", "1.0.0")
	first, second := a.resource("first", blob.Bytes("text/plain", []byte("one"))), a.resource("second", blob.Bytes("text/plain", []byte("two")))
	access := fixture.Must[ocm.Spec](t)(ocm.NewSpec(oci.LocalBlob{Type: oci.LocalBlobType, MediaType: "application/vnd.oci.image.manifest.v1+json",
		LocalReference: "sha256:" + first.Digest.Value + ",sha256:" + second.Digest.Value}))
	sum := *first.Digest
	r := a.access("whole", access)
	r.Digest = &sum
	v := a.commit()
	for _, f := range check(t, repo, inspect.CheckOptions{}).Findings {
		if strings.Contains(f.Element, "whole") && (f.Status == inspect.Present || !strings.Contains(f.Detail, "whose digest is not known")) {
			t.Errorf("found %+v", f)
		}
	}
	_, err := inspect.Download(t.Context(), builtin.Kit(), &ocm.Env{}, v, &v.Descriptor().Component.Resources[2], filepath.Join(t.TempDir(), "out"), inspect.DownloadOptions{})
	fixture.WantErr(t, err, ocm.ErrInvalid, "whose digest is not known")
}

// What verify would refuse, because the digest is of a kind or hash that the artifact is not known by, is not sound.
func TestCheckComparesAlgorithms(t *testing.T) {
	for name, change := range map[string]func(d *ocm.Digest){
		"unknown kind": func(d *ocm.Digest) { d.NormalisationAlgorithm = "rot13/v1" },
		"other hash":   func(d *ocm.Digest) { d.HashAlgorithm = ocm.SHA512 },
		"none":         func(*ocm.Digest) {},
	} {
		t.Run(name, func(t *testing.T) {
			repo := oci.NewRepository(memory.New(), &ocm.Env{})
			a := write(t, repo, "acme.org/app", "1.0.0")
			change(a.resource("image", fixture.Image("layer")).Digest)
			a.commit()
			for _, f := range check(t, repo, inspect.CheckOptions{}).Findings {
				if strings.Contains(f.Element, "image") && (f.Status == inspect.Present) != (name == "none") {
					t.Errorf("found %+v", f)
				}
			}
		})
	}
}
