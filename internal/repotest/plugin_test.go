// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/componentarchive"
	"ocm/ctf"
	"ocm/descriptor"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/internal/repotest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/plugin/wire"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, map[string]func() *ocm.Kit{"places": placesKit})
}

type place struct {
	Path string `json:"path" need:"yes" about:"where it is"`
	How  string `json:"how" about:"what is wrong with it"`
}

// placesKit has repositories of some kinds, and one that does wrong.
func placesKit() *ocm.Kit {
	kit := ocm.NewKit()
	add := func(name string, open func(env *ocm.Env, p place) (ocm.Repository, error)) {
		kit.Repositories.Register(func(_ context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
			var p place
			if err := s.Members(&p); err != nil {
				return nil, err
			}
			return open(env, p)
		}, ocm.Type{Names: []string{name}, About: "A place.", Fields: ocm.FieldsOf(place{})})
	}
	memories := &memory.Set{}
	archive := func(env *ocm.Env, p place) (ocm.Repository, error) {
		store, err := ctf.Open(p.Path)
		if err != nil {
			return nil, err
		}
		return oci.NewRepository(store, env), nil
	}
	add("memory", func(env *ocm.Env, p place) (ocm.Repository, error) {
		return oci.NewRepository(memories.Open(p.Path), env), nil
	})
	add("archive", archive)
	add("registry", func(env *ocm.Env, p place) (ocm.Repository, error) {
		store, err := remote.Open(env, p.Path, "acme", remote.Options{})
		return oci.NewRepository(store, env), err
	})
	add("componentArchive", func(_ *ocm.Env, p place) (ocm.Repository, error) { return componentarchive.Open(p.Path) })
	add("bad", func(env *ocm.Env, p place) (ocm.Repository, error) {
		if p.How == "hangs when it is opened" {
			select {}
		}
		r, err := archive(env, p)
		return badRepository{r, p}, err
	})
	return kit
}

// badRepository does what its place says.
type badRepository struct {
	ocm.Repository
	at place
}

func (b badRepository) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	switch {
	case b.at.How == "dies once" && os.Mkdir(b.at.Path+".died", 0o755) == nil:
		os.Exit(1)
	case b.at.How == "another component":
		name = "acme.org/other"
	case b.at.How == "another version":
		ref = "2.0.0"
	case b.at.How == "another state" && strings.Contains(ref, ":"):
		ref = "1.0.0"
	case b.at.How == "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	v, err := b.Repository.Open(ctx, name, ref)
	switch {
	case err != nil:
	case strings.HasPrefix(b.at.How, "lists ") || strings.HasPrefix(b.at.How, "has "):
		return lyingVersion{v, b.at.How}, nil
	case b.at.How == "another blob":
		return badVersion{v}, nil
	case b.at.How == "another document" && strings.Contains(ref, ":"):
		d := v.Descriptor().Clone()
		d.Component.Provider = "somebody else"
		return badDocument{v, d}, nil
	}
	return v, err
}

// badDocument says something else under the same manifest.
type badDocument struct {
	ocm.Version
	d *ocm.Descriptor
}

func (b badDocument) Descriptor() *ocm.Descriptor { return b.d }

func (b badRepository) Versions(ctx context.Context, name string) iter.Seq2[string, error] {
	switch b.at.How {
	case "controls":
		return func(yield func(string, error) bool) { yield("1.0.0\x1b[2J", nil) }
	case "twice":
		return func(yield func(string, error) bool) {
			for range 2 {
				if !yield("1.0.0", nil) {
					return
				}
			}
		}
	}
	return b.Repository.Versions(ctx, name)
}

func (b badRepository) Draft(ctx context.Context, name, version string, base ocm.Version) (ocm.Draft, error) {
	d, err := b.Repository.Draft(ctx, name, version, base)
	return badDraft{d, b.at}, err
}

type badVersion struct{ ocm.Version }

func (badVersion) Blob(context.Context, ocm.Spec) (ocm.Content, error) {
	return blob.Bytes("text/plain", []byte("something else")), nil
}

type badDraft struct {
	ocm.Draft
	at place
}

func (b badDraft) Add(ctx context.Context, c ocm.Content, hint string) (ocm.Stored, error) {
	if b.at.How == "does not look" { // neither at the content nor at errors
		if rc, err := c.Open(ctx); err == nil {
			_, _ = io.Copy(io.Discard, rc)
			rc.Close()
		}
		access, err := ocm.NewSpec(oci.LocalBlob{Type: oci.LocalBlobType, LocalReference: c.Root.Digest.String()})
		return ocm.Stored{Root: c.Root, Access: access}, err
	}
	stored, err := b.Draft.Add(ctx, b.takes(c), hint)
	switch b.at.How {
	case "another digest":
		stored.Root.Digest = digest.FromString("something else")
		stored.Access, _ = ocm.NewSpec(oci.LocalBlob{Type: oci.LocalBlobType, LocalReference: stored.Root.Digest.String()})
	case "another size":
		stored.Root.Size++
	case "another media type":
		stored.Root.MediaType += "+evil"
	case "another access":
		stored.Access, _ = ocm.NewSpec(oci.LocalBlob{Type: oci.LocalBlobType, LocalReference: digest.FromString("something else").String()})
	case "dies in the middle":
		os.Exit(1)
	}
	return stored, err
}

func (b badDraft) Commit(ctx context.Context, d *ocm.Descriptor) (ocm.Version, error) {
	switch b.at.How {
	case "dies before the commit":
		os.Exit(1)
	case "another descriptor":
		d = d.Clone()
		d.Component.Provider = "somebody else"
	}
	return b.Draft.Commit(ctx, d)
}

func open(t testing.TB, kit *ocm.Kit, typ string, p place) ocm.Repository {
	t.Helper()
	r, err := tryOpen(t.Context(), kit, typ, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func tryOpen(ctx context.Context, kit *ocm.Kit, typ string, p place) (ocm.Repository, error) {
	spec, err := ocm.NewSpec(map[string]string{"type": typ, "path": p.Path, "how": p.How})
	if err != nil {
		return nil, err
	}
	opener, err := kit.Repositories.For(typ)
	if err != nil {
		return nil, err
	}
	return opener(ctx, &ocm.Env{Job: ocm.NewJob(4)}, spec)
}

// A repository in a plugin keeps the contract of repositories.
func TestRepository(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	for _, typ := range []string{"memory", "archive"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			repotest.Run(t, func(t *testing.T) ocm.Repository {
				return open(t, kit, typ, place{Path: filepath.Join(t.TempDir(), "x")})
			})
		})
	}
	t.Run("archive in one file", func(t *testing.T) {
		t.Parallel()
		repotest.Run(t, func(t *testing.T) ocm.Repository {
			return open(t, kit, "archive", place{Path: filepath.Join(t.TempDir(), "x.tgz")})
		})
	})
}

func TestRepositoryThatIsOnlyRead(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	repotest.ReadOnly(t, func(t *testing.T, d *ocm.Descriptor, texts []string) ocm.Repository {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "blobs"), 0o755); err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			sum := digest.FromString(text)
			if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256."+sum.Encoded()), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			d.Component.Resources[i].Access, _ = ocm.NewSpec(oci.LocalBlob{Type: "localBlob", MediaType: "text/plain", LocalReference: sum.String()})
		}
		raw := fixture.Must[[]byte](t)(fixture.YAML(d))
		if err := os.WriteFile(filepath.Join(dir, descriptor.FileName), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return open(t, kit, "componentArchive", place{Path: dir})
	})
}

// A repository can what it announces, and nothing else: a component archive cannot be finished.
func TestRepositoryAbilities(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	can := func(r ocm.Repository) (out []string) {
		if _, ok := r.(ocm.Lister); ok {
			out = append(out, wire.CanList)
		}
		if _, ok := r.(ocm.Finisher); ok {
			out = append(out, wire.CanFinish)
		}
		if _, ok := r.(ocm.Publisher); ok {
			out = append(out, wire.CanPublish)
		}
		return out
	}
	r := open(t, kit, "archive", place{Path: filepath.Join(t.TempDir(), "x")})
	if got := can(r); len(got) != 3 {
		t.Errorf("archive: %q", got)
	}
	if _, err := r.(ocm.Publisher).Reference("acme.org/image:1"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("address in an archive: %v", err)
	}
	if got := can(open(t, kit, "bad", place{Path: filepath.Join(t.TempDir(), "x")})); len(got) != 0 {
		t.Errorf("bad: %q", got)
	}
}

// An artifact gets a place of its own in a registry that a plugin writes.
func TestPublishByPlugin(t *testing.T) {
	t.Parallel()
	host := fixture.Registry(t)
	r := open(t, plugintest.Kit(t, "places"), "registry", place{Path: host})
	p, ok := r.(ocm.Publisher)
	if !ok {
		t.Fatal("it does not announce that it can")
	}
	ref := fixture.Must[string](t)(p.Reference("app/image:1.0"))
	if ref != host+"/acme/app/image:1.0" {
		t.Errorf("address: %s", ref)
	}
	image := fixture.Image("layer")
	for range 2 { // the second time it is there
		stored := fixture.Must[ocm.Stored](t)(p.Publish(t.Context(), image, "app/image:1.0", false))
		if stored.Root.Digest != image.Root.Digest || !strings.Contains(string(stored.Access.Raw), "@"+image.Root.Digest.String()) {
			t.Errorf("%+v %s", stored.Root, stored.Access.Raw)
		}
	}
	_, err := p.Publish(t.Context(), fixture.Image("another layer"), "app/image:1.0", false)
	fixture.WantErr(t, err, ocm.ErrExists)
	_, err = p.Reference("component-descriptors/acme.org/app")
	fixture.WantErr(t, err, ocm.ErrInvalid)
}

// fill stores a version beside the plugin, with one text.
func fill(t *testing.T, path string, names ...string) {
	t.Helper()
	store := fixture.Must[*ctf.Store](t)(ctf.Open(path))
	r := oci.NewRepository(store, nil)
	defer r.Close()
	for _, at := range names {
		name, version, _ := strings.Cut(at, ":")
		fixture.Must[ocm.Version](t)(commit(t, r, name, version, "hello"))
	}
}

func commit(t *testing.T, r ocm.Repository, name, version, text string) (ocm.Version, error) {
	t.Helper()
	d, err := r.Draft(t.Context(), name, version, nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	stored, err := d.Add(t.Context(), blob.Bytes("text/plain", []byte(text)), "")
	if err != nil {
		return nil, err
	}
	return d.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: version, Provider: "acme.org",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "text", Version: version}, Type: "blob", Relation: "local", Access: stored.Access}}}})
}

func wantNothing(t *testing.T, path string) {
	t.Helper()
	store := fixture.Must[*ctf.Store](t)(ctf.Open(path))
	defer store.Close()
	for v, err := range oci.NewRepository(store, nil).Versions(t.Context(), "acme.org/app") {
		t.Errorf("visible: %s %v", v, err)
	}
}

// What a plugin says of what it was given is held against that.
func TestDraftOfALiar(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	for how, want := range map[string]error{
		"another digest": ocm.ErrDigest, "another size": ocm.ErrDigest, "another access": ocm.ErrDigest, "another media type": ocm.ErrInvalid,
		"another descriptor": ocm.ErrDigest,
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x")
			_, err := commit(t, open(t, kit, "bad", place{path, how}), "acme.org/app", "1.0.0", "hello")
			fixture.WantErr(t, err, want, "plugin places")
			if how != "another descriptor" {
				wantNothing(t, path)
			}
		})
	}
}

// A digest that nobody knew before is compared with what the plugin was given, and bytes with the digest that they were promised to have: also
// where the plugin does neither.
func TestDraftOfWhoDoesNotLook(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	add := func(how string, c ocm.Content) error {
		r := open(t, kit, "bad", place{filepath.Join(t.TempDir(), "x"), how})
		d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
		defer d.Close()
		_, err := d.Add(t.Context(), c, "")
		return err
	}
	lie := blob.Bytes("text/plain", []byte("truth"))
	lie.From = blob.Bytes("text/plain", []byte("lies!")).From
	fixture.WantErr(t, add("does not look", lie), ocm.ErrDigest, "the source delivers")
	more := blob.Bytes("text/plain", []byte("truth"))
	more.From = blob.Bytes("text/plain", []byte("truth and more")).From
	fixture.WantErr(t, add("does not look", more), ocm.ErrDigest)
	unknown := ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain", Size: -1}, From: lie.From}
	if err := add("", unknown); err != nil {
		t.Error(err)
	}
	fixture.WantErr(t, add("another digest", unknown), ocm.ErrDigest, "not what it was given")
	fixture.WantErr(t, add("does not look", unknown), ocm.ErrInvalid, "root: digest")
}

// A plugin that ends while a version is written leaves nothing behind that is visible, and is not asked twice.
func TestDraftOfWhoDies(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"dies in the middle", "dies before the commit"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x")
			r := open(t, plugintest.Kit(t, "places"), "bad", place{path, how})
			_, err := commit(t, r, "acme.org/app", "1.0.0", "hello")
			fixture.WantErr(t, err, wire.ErrBroken, "plugin places")
			wantNothing(t, path)
			if got := slices.Collect(keys(r.Versions(t.Context(), "acme.org/app"))); len(got) != 0 {
				t.Errorf("it is opened again, and has %q", got)
			}
		})
	}
}

func keys(all iter.Seq2[string, error]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k, err := range all {
			if !yield(k + text(err)) {
				return
			}
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A draft that belonged to a process that ended is lost, and says so; what is read is opened again.
func TestRepositoryOfWhoDied(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	path := filepath.Join(t.TempDir(), "x")
	fill(t, path, "acme.org/app:1.0.0")
	good := open(t, kit, "archive", place{Path: path})
	v := fixture.Must[ocm.Version](t)(good.Open(t.Context(), "acme.org/app", "1.0.0"))
	c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
	d := fixture.Must[ocm.Draft](t)(good.Draft(t.Context(), "acme.org/app", "2.0.0", nil))

	if _, err := open(t, kit, "bad", place{path, "dies once"}).Open(t.Context(), "acme.org/app", "1.0.0"); err != nil {
		t.Errorf("a question that may be asked twice: %v", err)
	}
	raw, err := blob.ReadAll(t.Context(), c.From, c.Root, 100)
	if err != nil || string(raw) != "hello" {
		t.Errorf("content: %q, %v", raw, err)
	}
	if c, err := v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access); err != nil || c.Root.Size != 5 {
		t.Errorf("version: %+v, %v", c.Root, err)
	}
	if got := slices.Collect(keys(good.Versions(t.Context(), "acme.org/app"))); !slices.Equal(got, []string{"1.0.0"}) {
		t.Errorf("repository: %q", got)
	}
	_, err = d.Add(t.Context(), blob.Bytes("text/plain", []byte("more")), "")
	fixture.WantErr(t, err, wire.ErrGone)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := good.Draft(t.Context(), "acme.org/app", "1.0.0", v); err != nil {
		t.Errorf("a base that was opened again: %v", err)
	}
	fixture.WantErr(t, good.(ocm.Finisher).Finish(t.Context()), wire.ErrGone)
}

// A version that is opened again is the very same one.
func TestVersionThatIsForgotten(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	path := filepath.Join(t.TempDir(), "x")
	fill(t, path, "acme.org/app:1.0.0", "acme.org/app:2.0.0")
	for how, want := range map[string]error{"": nil, "another state": ocm.ErrDigest, "another document": ocm.ErrDigest} {
		r := open(t, kit, "bad", place{path, how})
		v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/app", "2.0.0"))
		for range wire.MaxVersions {
			fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/app", "1.0.0"))
		}
		_, err := v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access)
		if !errors.Is(err, want) {
			t.Errorf("%s: expected %v, found %v", how, want, err)
		}
	}
}

// The answers of a plugin are held against what was asked.
func TestVersionOfALiar(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	path := filepath.Join(t.TempDir(), "x")
	fill(t, path, "acme.org/app:1.0.0", "acme.org/app:2.0.0", "acme.org/other:1.0.0")
	for how, says := range map[string]string{"another component": "acme.org/other", "another version": "2.0.0"} {
		_, err := open(t, kit, "bad", place{path, how}).Open(t.Context(), "acme.org/app", "1.0.0")
		fixture.WantErr(t, err, ocm.ErrInvalid, "plugin places", says)
	}
	r := open(t, kit, "bad", place{path, "another state"})
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/app", "2.0.0"))
	_, err := r.Open(t.Context(), "acme.org/app", v.Manifest().Digest.String())
	fixture.WantErr(t, err, ocm.ErrDigest)
	v = fixture.Must[ocm.Version](t)(open(t, kit, "bad", place{path, "another blob"}).Open(t.Context(), "acme.org/app", "2.0.0"))
	_, err = v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access)
	fixture.WantErr(t, err, ocm.ErrDigest)
	if got := fmt.Sprint(slices.Collect(keys(open(t, kit, "bad", place{path, "controls"}).Versions(t.Context(), "acme.org/app")))); strings.Contains(got, "\x1b") || !strings.Contains(got, "no name") {
		t.Errorf("%q", got)
	}
	if got := slices.Collect(keys(open(t, kit, "bad", place{path, "twice"}).Versions(t.Context(), "acme.org/app"))); !slices.Equal(got, []string{"1.0.0"}) {
		t.Errorf("%q", got)
	}
}

// Who hangs is left when nobody waits any longer.
func TestRepositoryOfWhoHangs(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	path := filepath.Join(t.TempDir(), "x")
	r := open(t, kit, "bad", place{path, "hangs"})
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := make(chan error)
	go func() {
		_, err := r.Open(ctx, "acme.org/app", "1.0.0")
		asked <- err
	}()
	cancel(enough)
	if err := <-asked; !errors.Is(err, enough) {
		t.Errorf("expected what the context ended with, found %v", err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := tryOpen(ctx, kit, "bad", place{path, "hangs when it is opened"}); !errors.Is(err, enough) {
		t.Errorf("expected what the context ended with, found %v", err)
	}
}

// What stays behind of an index stays behind in a plugin's repository, too.
func TestContentInPart(t *testing.T) {
	t.Parallel()
	r := open(t, plugintest.Kit(t, "places"), "memory", place{Path: t.Name()})
	c := fixture.Index("layer")
	raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), c.From, c.Root, blob.MaxManifest))
	entries := fixture.Must[[]ociv1.Descriptor](t)(blob.Children(c.Root, raw))
	left := entries[0].Digest
	c.Skip = func(d ociv1.Descriptor) bool { return d.Digest == left }
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
	stored := fixture.Must[ocm.Stored](t)(d.Add(t.Context(), c, ""))
	v := fixture.Must[ocm.Version](t)(d.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "image", Version: "1.0.0"}, Type: "ociImage", Relation: "local", Access: stored.Access}}}}))
	got := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), stored.Access))
	for _, e := range entries {
		_, err := blob.ReadAll(t.Context(), got.From, e, blob.MaxManifest)
		if missing := errors.Is(err, ocm.ErrNotFound); missing != (e.Digest == left) {
			t.Errorf("%s: %v", e.Digest, err)
		}
	}
}
