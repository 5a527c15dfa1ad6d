// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fault"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
	"ocm/transfer"
)

// attached adds a manifest that refers to another one, and returns it; with a tag it refers to it by that only, as
// cosign's do. Each layer is a signature.
func attached(t testing.TB, repo oci.Repo, to ociv1.Descriptor, tag string, layers ...string) ociv1.Descriptor {
	t.Helper()
	m := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, ArtifactType: "example/sbom", Config: ociv1.DescriptorEmptyJSON}
	if tag == "" {
		m.Subject = &ociv1.Descriptor{MediaType: to.MediaType, Digest: to.Digest, Size: to.Size}
	}
	must := fixture.Must[ociv1.Descriptor](t)
	must(repo.Push(t.Context(), ociv1.DescriptorEmptyJSON, strings.NewReader("{}")))
	for _, l := range layers {
		m.Layers = append(m.Layers, must(repo.Push(t.Context(), text(l).Root, strings.NewReader(l))))
	}
	raw := fixture.Must[[]byte](t)(json.Marshal(m))
	d := ociv1.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := repo.PutManifest(t.Context(), d, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return d
}

func cosign(d ociv1.Descriptor, suffix string) string {
	return strings.Replace(d.Digest.String(), ":", "-", 1) + suffix
}

// pictured is a version with an image, an image of several platforms, and a text; and where all is.
func pictured(t testing.TB, s oci.Store) (v ocm.Version, at oci.Repo) {
	t.Helper()
	a := write(t, repository(s), "acme.org/app", "1.0.0", nil)
	a.resource("image", fixture.Image("a layer"))
	a.resource("images", fixture.Index("another layer"))
	a.resource("text", text("some text"))
	return a.commit(), s.Repo(oci.RepoName("acme.org/app"))
}

// rootOf is the content of a resource beside its descriptor.
func rootOf(t testing.TB, v ocm.Version, i int) ocm.Content {
	t.Helper()
	return fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[i].Access))
}

// wantAttached demands that a repository lists manifests as referrers, whole, and leads tags to them.
func wantAttached(t *testing.T, at oci.Repo, subject ociv1.Descriptor, want ...ociv1.Descriptor) {
	t.Helper()
	var found []digest.Digest
	for d, err := range at.(oci.ReferrerLister).Referrers(t.Context(), subject, "") {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, d.Digest)
	}
	for _, d := range want {
		if !slices.Contains(found, d.Digest) {
			t.Errorf("%s is not attached to %s", d.Digest, subject.Digest)
		} else if err := blob.Check(t.Context(), ocm.Content{Root: d, From: at}); err != nil {
			t.Error(err)
		}
	}
	if len(found) != len(want) {
		t.Errorf("attached to %s: expected %d, found %q", subject.Digest, len(want), found)
	}
}

func wantTag(t *testing.T, at oci.Repo, tag string, want ociv1.Descriptor) {
	t.Helper()
	d, err := at.Resolve(t.Context(), tag)
	if err != nil || d.Digest != want.Digest {
		t.Errorf("tag %s: expected %s, found %s, %v", tag, want.Digest, d.Digest, err)
	} else if err := blob.Check(t.Context(), ocm.Content{Root: d, From: at}); err != nil {
		t.Error(err)
	}
}

// wantState demands what is done with the only version of a plan.
func wantState(t *testing.T, p *transfer.Plan, state string, attached int) {
	t.Helper()
	if got := p.Totals().Attached; p.Versions[0].State != state || got != attached {
		t.Errorf("expected %s and %d to attach, found %s and %d, %q", state, attached, p.Versions[0].State, got, p.Versions[0].Notes)
	}
}

// What is attached to images, to what is attached, and to the version after it was transferred comes with the
// same transfer; and then there is nothing to do.
func TestAttachedLater(t *testing.T) {
	t.Parallel()
	for from, openSource := range fixture.Places() {
		for to, openTarget := range fixture.Places() {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				source, target := openSource(t), openTarget(t)
				src := repository(source)
				v, at := pictured(t, source)
				image, images := rootOf(t, v, 0).Root, rootOf(t, v, 1)
				old := attached(t, at, image, "", "an old sbom")
				mustMove(t, src, repository(target), v, transfer.Options{})
				p, _ := mustMove(t, src, repository(target), v, transfer.Options{})
				wantState(t, p, transfer.Identical, 0)

				platform := platformOf(t, images)
				first := attached(t, at, image, "", "an sbom")
				second := attached(t, at, platform, "", "an sbom of a platform")
				third := attached(t, at, second, "", "a signature of the sbom")
				fourth := attached(t, at, v.Manifest(), "", "a signature of the version")
				tagged := attached(t, at, images.Root, cosign(images.Root, ".sig"), "a signature")
				p, s := mustMove(t, src, repository(target), v, transfer.Options{})
				wantState(t, p, transfer.Complete, 5)
				if s.Written != 0 || s.Completed != 1 || s.Unchanged != 0 || s.Attached != 5 {
					t.Errorf("summary %+v", s)
				}
				there := target.Repo(oci.RepoName("acme.org/app"))
				wantAttached(t, there, image, old, first)
				wantAttached(t, there, platform, second)
				wantAttached(t, there, second, third)
				wantAttached(t, there, v.Manifest(), fourth)
				wantTag(t, there, cosign(images.Root, ".sig"), tagged)

				p, s = mustMove(t, src, repository(target), v, transfer.Options{})
				wantState(t, p, transfer.Identical, 0)
				if s.Unchanged != 1 || s.Moved != 0 {
					t.Errorf("the third time: %+v", s)
				}
			})
		}
	}
}

// platformOf is the first image of an index.
func platformOf(t testing.TB, index ocm.Content) ociv1.Descriptor {
	t.Helper()
	raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), index.From, index.Root, blob.MaxManifest))
	list := fixture.Must[[]ociv1.Descriptor](t)(blob.Children(index.Root, raw))
	return ociv1.Descriptor{MediaType: list[0].MediaType, Digest: list[0].Digest, Size: list[0].Size}
}

// What is left behind is left behind again; what only the target has stays there.
func TestAttachedOnlyWhereItBelongs(t *testing.T) {
	t.Parallel()
	source, target := memory.New(), memory.New()
	src, dst := repository(source), repository(target)
	v, at := pictured(t, source)
	image := rootOf(t, v, 0).Root
	mustMove(t, src, dst, v, transfer.Options{})
	there := target.Repo(oci.RepoName("acme.org/app"))
	theirs := attached(t, there, image, "", "the target's own")
	p, _ := mustMove(t, src, dst, v, transfer.Options{})
	wantState(t, p, transfer.Identical, 0)

	ours := attached(t, at, image, "", "an sbom")
	for name, o := range map[string]transfer.Options{"no referrers": {NoReferrers: true}, "no update": {KeepExisting: true}} {
		if p, s := mustMove(t, src, dst, v, o); p.Totals().Attached != 0 || s.Attached != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	wantAttached(t, there, image, theirs)
	mustMove(t, src, dst, v, transfer.Options{})
	wantAttached(t, there, image, theirs, ours)
}

// A tag of cosign moves where nothing is lost by it, as in a first transfer; else it stays, and the version is identical.
func TestAttachedTagThatDiffers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source, target []string
		state          string
		moves          bool
	}{
		"one more at the source":   {[]string{"a", "b"}, []string{"a"}, transfer.Complete, true},
		"one more at the target":   {[]string{"a"}, []string{"a", "b"}, transfer.Identical, false},
		"another one at each side": {[]string{"a", "b"}, []string{"a", "c"}, transfer.Identical, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target := memory.New(), fixture.Places()["registry"](t)
			src, dst := repository(source), repository(target)
			v, at := pictured(t, source)
			image := rootOf(t, v, 0).Root
			mustMove(t, src, dst, v, transfer.Options{})
			there := target.Repo(oci.RepoName("acme.org/app"))
			theirs := attached(t, there, image, cosign(image, ".sig"), c.target...)
			ours := attached(t, at, image, cosign(image, ".sig"), c.source...)
			p, _ := mustMove(t, src, dst, v, transfer.Options{})
			if p.Versions[0].State != c.state {
				t.Errorf("expected %s, found %s", c.state, p.Versions[0].State)
			}
			want := theirs
			if c.moves {
				want = ours
			}
			wantTag(t, there, cosign(image, ".sig"), want)
			p, _ = mustMove(t, src, dst, v, transfer.Options{})
			wantState(t, p, transfer.Identical, 0)
		})
	}
}

// An archive lost an attachment out of its index, and was transferred; the good one completes the target.
func TestAttachedThatGotLost(t *testing.T) {
	t.Parallel()
	for name, open := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := filepath.Join(t.TempDir(), "good")
			source := fixture.Must[*ctf.Store](t)(ctf.Open(good))
			v, at := pictured(t, source)
			image := rootOf(t, v, 0).Root
			sbom := attached(t, at, image, "", "an sbom")
			sig := attached(t, at, image, cosign(image, ".sig"), "a signature")
			bad := damaged(t, good, sbom, sig)
			target := open(t)
			mustMove(t, bad, repository(target), reopen(t, bad, v), transfer.Options{})
			there := target.Repo(oci.RepoName("acme.org/app"))
			wantAttached(t, there, image)
			p, _ := mustMove(t, repository(source), repository(target), v, transfer.Options{})
			wantState(t, p, transfer.Complete, 2)
			wantAttached(t, there, image, sbom)
			wantTag(t, there, cosign(image, ".sig"), sig)
		})
	}
}

// damaged is a copy of an archive whose index lacks manifests.
func damaged(t *testing.T, dir string, lost ...ociv1.Descriptor) ocm.Repository {
	t.Helper()
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.CopyFS(bad, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(bad, "artifact-index.json")
	var index struct {
		SchemaVersion int              `json:"schemaVersion"`
		Artifacts     []map[string]any `json:"artifacts"`
	}
	if err := json.Unmarshal(fixture.Must[[]byte](t)(os.ReadFile(path)), &index); err != nil {
		t.Fatal(err)
	}
	index.Artifacts = slices.DeleteFunc(index.Artifacts, func(a map[string]any) bool {
		return slices.ContainsFunc(lost, func(d ociv1.Descriptor) bool { return a["digest"] == d.Digest.String() })
	})
	os.Chmod(path, 0o600)
	if err := os.WriteFile(path, fixture.Must[[]byte](t)(json.Marshal(index)), 0o600); err != nil {
		t.Fatal(err)
	}
	return repository(fixture.Must[*ctf.Store](t)(ctf.Open(bad)))
}

// The transfer that made an archive brings back what is attached, whatever file of it got lost or was cut.
func TestLostAttachedIsCopiedAgain(t *testing.T) {
	t.Parallel()
	source := memory.New()
	v, at := pictured(t, source)
	image := rootOf(t, v, 0).Root
	sbom := attached(t, at, image, "", "an sbom")
	sig := attached(t, at, image, cosign(image, ".sig"), "a signature")
	dir := t.TempDir()
	run := func() *transfer.Plan {
		to := repository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)))
		defer to.Close()
		p, _ := mustMove(t, repository(source), to, v, transfer.Options{})
		return p
	}
	run()
	for _, d := range []digest.Digest{sbom.Digest, sig.Digest, digest.FromString("an sbom"), digest.FromString("a signature")} {
		path := filepath.Join(dir, "blobs", strings.Replace(d.String(), ":", ".", 1))
		for how, damage := range map[string]func() error{
			"lost": func() error { return os.Remove(path) },
			"cut":  func() error { return os.Truncate(path, 3) },
		} {
			os.Chmod(path, 0o600)
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			if p := run(); p.Versions[0].State != transfer.Complete {
				t.Errorf("%s, %s: found %s", d, how, p.Versions[0].State)
			}
			there := fixture.Must[*ctf.Store](t)(ctf.Open(dir)).Repo(oci.RepoName("acme.org/app"))
			wantAttached(t, there, image, sbom)
			wantTag(t, there, cosign(image, ".sig"), sig)
			if p := run(); p.Versions[0].State != transfer.Identical {
				t.Errorf("%s, %s: afterwards %s", d, how, p.Versions[0].State)
			}
		}
	}
}

// Images that came from elsewhere are completed from there, beside their component or in repositories of their own; and
// only if they are asked for. A registry that is gone by then is no obstacle, but is told.
func TestAttachedElsewhere(t *testing.T) {
	t.Parallel()
	for _, as := range []string{transfer.UploadLocalBlob, transfer.UploadOCIArtifact} {
		t.Run(as, func(t *testing.T) {
			t.Parallel()
			image := fixture.Image("a layer")
			server := registryServer(t)
			ref := publish(t, server.URL, "team/image", "v1", image)
			host := fixture.Must[*remote.Store](t)(remote.Open(newEnv(), server.URL, "", remote.Options{})).Repo("team/image")
			src := repository(memory.New())
			a := write(t, src, "acme.org/app", "1.0.0", nil)
			r := a.access("image", spec(t, fmt.Sprintf(`{"type":"ociArtifact/v1","imageReference":%q}`, ref)))
			d := fixture.Must[ocm.Digest](t)(graph.NewDigest(t.Context(), image, ocm.SHA256))
			r.Digest = &d
			v := a.commit()
			url := fixture.Registry(t)
			dst := func() ocm.Repository { return repository(base(t, url, "target")) }
			o := transfer.Options{CopyResources: true, UploadAs: as}
			mustMove(t, src, dst(), v, o)

			sbom := attached(t, host, image.Root, "", "an sbom")
			p, _ := mustMove(t, src, dst(), v, transfer.Options{})
			wantState(t, p, transfer.Identical, 0)
			p, _ = mustMove(t, src, dst(), v, o)
			wantState(t, p, transfer.Complete, 1)
			path := oci.RepoName("acme.org/app")
			if as == transfer.UploadOCIArtifact {
				path = "team/image"
			}
			wantAttached(t, base(t, url, "target").Repo(path), image.Root, sbom)
			p, _ = mustMove(t, src, dst(), v, o)
			wantState(t, p, transfer.Identical, 0)

			server.Close()
			p, _ = mustMove(t, src, dst(), v, o)
			wantState(t, p, transfer.Identical, 0)
			if notes := p.Versions[0].Notes; len(notes) != 1 || !strings.Contains(notes[0], "what is attached to resource image at the source is not known") {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// A version that is merged gets what is attached to its images, too.
func TestAttachedAndMerged(t *testing.T) {
	t.Parallel()
	source, target := memory.New(), fixture.Places()["ctf"](t)
	src, dst := repository(source), repository(target)
	v, at := pictured(t, source)
	image := rootOf(t, v, 0).Root
	mustMove(t, src, dst, v, transfer.Options{})
	sbom := attached(t, at, image, "", "an sbom")
	v = amend(t, src, v, func(d *ocm.Descriptor) { sign(t, d, "release", "signed") })
	p, s := mustMove(t, src, dst, v, transfer.Options{})
	wantState(t, p, transfer.Merge, 1)
	if s.Written != 1 || s.Attached != 1 {
		t.Errorf("%+v", s)
	}
	wantAttached(t, target.Repo(oci.RepoName("acme.org/app")), image, sbom)
	if w := reopen(t, dst, v); len(w.Descriptor().Signatures) != 1 {
		t.Error("the signature is missing")
	}
}

// Through a pipe all comes that has to be taken when it comes by: what is attached to images and to the version, by
// referrers and by tags, be it the first time or later.
func TestAttachedLaterThroughAPipe(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ctf", "x.tar", "x.tgz", "registry"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, url := filepath.Join(t.TempDir(), name), fixture.Registry(t)
			open := func() oci.Store {
				if name == "registry" {
					return base(t, url, "target")
				}
				return fixture.Must[*ctf.Store](t)(ctf.Open(path))
			}
			made := fixture.Must[*ctf.Store](t)(ctf.Open(t.TempDir()))
			v, at := pictured(t, made)
			image := rootOf(t, v, 0).Root
			stream := func() ocm.Repository {
				path := filepath.Join(t.TempDir(), "a.tgz")
				packed := repository(fixture.Must[*ctf.Store](t)(ctf.Open(path)))
				mustMove(t, repository(made), packed, v, transfer.Options{})
				return pipeOf(t, bytes.NewReader(fixture.Must[[]byte](t)(os.ReadFile(path))))
			}
			bring := func() *transfer.Plan {
				from := stream()
				p, _ := mustMove(t, from, repository(open()), reopen(t, from, v), transfer.Options{})
				return p
			}
			of := attached(t, at, v.Manifest(), "", noise(3, ctf.MaxSmall+100))
			bring()
			sbom := attached(t, at, image, "", noise(1, ctf.MaxSmall+100))
			sig := attached(t, at, image, cosign(image, ".sig"), noise(2, ctf.MaxSmall+100))
			later := attached(t, at, v.Manifest(), "", noise(4, ctf.MaxSmall+100))
			wantState(t, bring(), transfer.Complete, 3)
			wantState(t, bring(), transfer.Identical, 0)
			there := open().Repo(oci.RepoName("acme.org/app"))
			wantAttached(t, there, image, sbom)
			wantTag(t, there, cosign(image, ".sig"), sig)
			wantAttached(t, there, v.Manifest(), of, later)
		})
	}
}

// A plan that was written down attaches what it names, also if some of it was done by then, and nothing else.
func TestAttachedByAPlan(t *testing.T) {
	t.Parallel()
	source, target := memory.New(), memory.New()
	src, dst := repository(source), repository(target)
	v, at := pictured(t, source)
	image, images := rootOf(t, v, 0).Root, rootOf(t, v, 1).Root
	there := target.Repo(oci.RepoName("acme.org/app"))
	written := func() *transfer.Document {
		p := fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, transfer.Options{}))
		raw := fixture.Must[[]byte](t)(json.Marshal(p.Document(transfer.Source{Reference: "source", Roots: []string{"acme.org/app:1.0.0"}}, "target")))
		return fixture.Must[*transfer.Document](t)(transfer.ParseDocument(bytes.NewReader(raw)))
	}
	replay := func(d *transfer.Document) (*transfer.Plan, error) {
		g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), nil, findIn(src), []ocm.Version{v}, graph.Options{}))
		p, err := transfer.Replay(t.Context(), builtin.Kit(), newEnv(), g, dst, d, nil)
		if err == nil {
			_, err = p.Run(t.Context())
		}
		return p, err
	}
	first := written()
	fixture.Must[*transfer.Plan](t)(replay(first))
	nothing := written()
	sbom := attached(t, at, image, "", "an sbom")
	other := attached(t, at, images, "", "another sbom")
	_, err := replay(nothing)
	fixture.WantErr(t, err, ocm.ErrConflict, `planned "identical", it would be "complete"`)
	two := written()
	if m := two.Versions[0].Moves[0]; two.Versions[0].State != transfer.Complete || m.Action != transfer.Attach || len(m.Attached) != 1 ||
		!strings.Contains(m.Attached[0], sbom.Digest.String()) || m.Bytes < sbom.Size || two.Totals.Attached != 2 {
		t.Errorf("%+v", two)
	}
	fixture.Must[*transfer.Plan](t)(replay(first)) // what is attached goes with what was planned to come
	wantAttached(t, there, image, sbom)
	wantAttached(t, there, images, other)
	wantState(t, fixture.Must[*transfer.Plan](t)(replay(two)), transfer.Identical, 0)

	attached(t, at, image, "", "not planned")
	_, err = replay(two)
	fixture.WantErr(t, err, ocm.ErrConflict, "planned was to attach, it would be to attach")
	attached(t, at, v.Manifest(), "", "not planned either")
	_, err = replay(two)
	fixture.WantErr(t, err, ocm.ErrConflict)
}

// What the source lists and has not, or that refers to something else, is lacking nowhere.
func TestAttachedThatIsNone(t *testing.T) {
	t.Parallel()
	source := memory.New()
	v, _ := pictured(t, source)
	image := rootOf(t, v, 0).Root
	liar := liarStore{source, []ociv1.Descriptor{
		{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("gone"), Size: 4}, image,
		{MediaType: "text/plain", Digest: digest.FromString("some text"), Size: 9}, rootOf(t, v, 1).Root,
	}}
	src, dst := repository(liar), repository(memory.New())
	v = reopen(t, src, v)
	mustMove(t, src, dst, v, transfer.Options{})
	p, _ := mustMove(t, src, dst, v, transfer.Options{})
	wantState(t, p, transfer.Identical, 0)
}

// Whatever step fails, at the source or at the target, and be it that all fail from there: the error is told, what was there
// stays whole, and the same transfer finishes the work.
func TestAttachedAfterAFault(t *testing.T) {
	t.Parallel()
	for _, act := range []fault.Act{fault.Refuse, fault.Lose} {
		for _, side := range []string{"source", "target"} {
			t.Run(act.String()+" at the "+side, func(t *testing.T) {
				t.Parallel()
				for at := 1; faultWhileAttaching(t, act, side, at); at++ {
					if at == 200 {
						t.Fatal("there is no end of it")
					}
				}
			})
		}
	}
}

// faultWhileAttaching fails one step, and reports whether there was one.
func faultWhileAttaching(t *testing.T, act fault.Act, side string, at int) bool {
	t.Helper()
	source, target := memory.New(), fixture.Must[*ctf.Store](t)(ctf.Open(t.TempDir()))
	v, repo := pictured(t, source)
	image := rootOf(t, v, 0).Root
	mustMove(t, repository(source), repository(target), v, transfer.Options{})
	sbom := attached(t, repo, image, "", "an sbom")
	above := attached(t, repo, sbom, "", "a signature of the sbom")
	own := attached(t, repo, v.Manifest(), "", "an approval")
	sig := attached(t, repo, image, cosign(image, ".sig"), "a signature")
	stores, steps := map[string]oci.Store{"source": source, "target": target}, &fault.Steps{At: at, Down: at%2 == 0}
	stores[side] = &fault.Store{Store: stores[side], Steps: steps, Act: act}
	src := repository(stores["source"])
	var err error
	if now, failed := src.Open(t.Context(), "acme.org/app", "1.0.0"); failed == nil {
		_, _, err = move(t.Context(), src, repository(stores["target"]), now, transfer.Options{})
	} else {
		err = failed
	}
	if hit := len(steps.Hits()) > 0; hit && err == nil {
		t.Errorf("nobody noticed %q", steps.Hits())
	}
	complete(t, repository(target), reopen(t, repository(target), v))
	mustMove(t, repository(source), repository(target), v, transfer.Options{})
	there := target.Repo(oci.RepoName("acme.org/app"))
	wantAttached(t, there, image, sbom)
	wantAttached(t, there, sbom, above)
	wantAttached(t, there, v.Manifest(), own)
	wantTag(t, there, cosign(image, ".sig"), sig)
	if t.Failed() {
		t.Fatalf("step %d: %q, %v", at, steps.Hits(), err)
	}
	return len(steps.Hits()) > 0
}

// An image of a hundred versions is asked about once.
func TestAttachedIsAskedOnce(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	wire := &counting{}
	env := newEnv()
	env.HTTP = wire
	store := fixture.Must[*remote.Store](t)(remote.Open(env, url, "", remote.Options{}))
	src, target := oci.NewRepository(store, env), memory.New()
	var roots []ocm.Version
	for i := range 20 {
		a := write(t, src, "acme.org/app", fmt.Sprintf("1.0.%d", i), nil)
		a.resource("image", fixture.Image("a layer"))
		roots = append(roots, a.commit())
	}
	all := func(env *ocm.Env) *transfer.Summary {
		g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(src), roots, graph.Options{}))
		p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), builtin.Kit(), env, g, oci.NewRepository(target, env), transfer.Options{}))
		return fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	}
	all(newEnv())
	image := rootOf(t, roots[0], 0).Root
	wire.take()
	if s := all(newEnv()); s.Unchanged != 20 {
		t.Errorf("%+v", s)
	}
	requests := wire.take()
	if n := len(requests); n != 20+1+1 { // each version, the image, the tags
		t.Errorf("%d requests: %q", n, requests)
	}
	attached(t, store.Repo(oci.RepoName("acme.org/app")), image, "", "an sbom")
	if s := all(newEnv()); s.Completed != 20 || s.Attached != 1 {
		t.Errorf("%+v", s)
	}
}

// registryServer is a registry that can be closed.
func registryServer(t testing.TB) *httptest.Server {
	h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	srv := httptest.NewServer(h)
	t.Cleanup(func() { srv.Close(); h.Close() })
	return srv
}

// liarStore says of every manifest that the same things are attached to it.
type liarStore struct {
	oci.Store
	list []ociv1.Descriptor
}

func (s liarStore) Repo(name string) oci.Repo { return liarRepo{s.Store.Repo(name), s.list} }

type liarRepo struct {
	oci.Repo
	list []ociv1.Descriptor
}

func (r liarRepo) Referrers(context.Context, ociv1.Descriptor, string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		for _, d := range r.list {
			if !yield(d, nil) {
				return
			}
		}
	}
}
