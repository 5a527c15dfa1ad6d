// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// log is what was logged.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// takes is a draft that takes only a part of what is attached to an image.
func (b badDraft) takes(c ocm.Content) ocm.Content {
	switch b.at.How {
	case "takes nothing attached":
		c.From = struct{ ocm.Fetcher }{c.From}
	case "takes what is attached to the root":
		if lister, ok := c.From.(oci.ReferrerLister); ok {
			c.From = onlyOf{c.From, lister, c.Root.Digest}
		}
	}
	return c
}

// onlyOf lists the referrers of one manifest.
type onlyOf struct {
	ocm.Fetcher
	lister  oci.ReferrerLister
	subject digest.Digest
}

func (o onlyOf) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	if d.Digest != o.subject {
		return func(func(ociv1.Descriptor, error) bool) {}
	}
	return o.lister.Referrers(ctx, d, artifactType)
}

// What is attached to an image gets to a plugin that asks for it. All else that is attached is named, and is none of the user's business
// who did not want it.
func TestAttachedIsLeftBehind(t *testing.T) {
	t.Parallel()
	source := memory.New().Repo("acme.org/image")
	signed := fixture.NewSignedImage(t, source)
	attached := func(subject digest.Digest) string { return signed.Referrers[subject][0].String() }
	var all, children []string // what names them
	for subject, list := range signed.Referrers {
		if len(list) > 0 && (subject == signed.Root.Digest || list[0] != signed.Referrers[signed.Referrers[signed.Root.Digest][0]][0]) {
			all = append(all, attached(subject))
			if subject != signed.Root.Digest {
				children = append(children, attached(subject))
			}
		}
	}
	ofSignature := attached(signed.Referrers[signed.Root.Digest][0])
	for how, want := range map[string]struct{ named, not []string }{
		"":                                   {nil, append(all, ofSignature, "left")},
		"takes nothing attached":             {append(all, fixture.CosignTag(signed.Root, ".sig")), []string{ofSignature}},
		"takes what is attached to the root": {append(children, ofSignature), []string{attached(signed.Root.Digest), fixture.CosignTag(signed.Root, ".sig")}},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			for _, alone := range []bool{false, true} {
				told := addLogged(t, plugintest.Kit(t, "places"), place{filepath.Join(t.TempDir(), "x"), how}, ocm.Content{Root: signed.Root, From: source, Alone: alone})
				if alone {
					want.named, want.not = nil, []string{"left"}
				}
				for _, name := range want.named {
					if !strings.Contains(told, name) {
						t.Errorf("%s is not named (alone: %t): %s", name, alone, told)
					}
				}
				for _, name := range want.not {
					if strings.Contains(told, name) {
						t.Errorf("%s is named (alone: %t): %s", name, alone, told)
					}
				}
			}
		})
	}
}

// addLogged adds a content in a place of a plugin, and returns what is logged.
func addLogged(t *testing.T, kit *ocm.Kit, p place, c ocm.Content) string {
	t.Helper()
	l := &log{}
	spec := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]string{"type": "bad", "path": p.Path, "how": p.How}))
	env := &ocm.Env{Log: slog.New(slog.NewTextHandler(l, nil)), Job: ocm.NewJob(1)}
	r := fixture.Must[ocm.Repository](t)(fixture.Must[ocm.RepositoryOpener](t)(kit.Repositories.For("bad"))(t.Context(), env, spec))
	defer r.Close()
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
	defer d.Close()
	fixture.Must[ocm.Stored](t)(d.Add(t.Context(), c, ""))
	return l.String()
}

// lyingVersion lies about what is attached to its images.
type lyingVersion struct {
	ocm.Version
	how string
}

func (l lyingVersion) Blob(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	c, err := l.Version.Blob(ctx, access)
	if err == nil {
		c.From = lyingRepo{c.From.(oci.Repo), c.Root, l.how}
	}
	return c, err
}

type lyingRepo struct {
	oci.Repo
	root ociv1.Descriptor
	how  string
}

func (l lyingRepo) Referrers(_ context.Context, d ociv1.Descriptor, _ string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		switch {
		case d.Digest != l.root.Digest:
		case l.how == "lists what is no referrer":
			yield(l.root, nil)
			one, err := l.Resolve(context.Background(), "other")
			yield(one, err)
		case l.how == "lists 2000":
			for i := range 2000 {
				if !yield(ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 1}, nil) {
					return
				}
			}
		case l.how == "lists bad digests":
			yield(ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: "sha256:../../x", Size: 1}, nil)
		}
	}
}

func (l lyingRepo) Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	if l.how == "has a huge tag" && ref == fixture.CosignTag(l.root, ".sig") {
		return ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("huge"), Size: 1 << 40}, nil
	}
	return l.Repo.Resolve(ctx, ref)
}

// A plugin that lies about what is attached to its images costs the transfer, or is not believed.
func TestAttachedOfALiar(t *testing.T) {
	t.Parallel()
	kit := plugintest.Kit(t, "places")
	for how, want := range map[string]error{"lists what is no referrer": nil, "lists 2000": ocm.ErrLimit, "lists bad digests": ocm.ErrInvalid, "has a huge tag": ocm.ErrLimit} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x")
			other := fillImage(t, path)
			r := open(t, kit, "bad", place{path, how})
			v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/app", "1.0.0"))
			c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
			l, target := &log{}, memory.New()
			out := oci.NewRepository(target, &ocm.Env{Log: slog.New(slog.NewTextHandler(l, nil)), Job: ocm.NewJob(4)})
			d := fixture.Must[ocm.Draft](t)(out.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
			_, err := d.Add(t.Context(), c, "")
			if want != nil {
				fixture.WantErr(t, err, want, "--no-referrers")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if there, err := target.Repo(oci.RepoName("acme.org/app")).Exists(t.Context(), other); there || err != nil {
				t.Errorf("what has another subject came along: %v", err)
			}
			if !strings.Contains(l.String(), "its subject is") || !strings.Contains(l.String(), other.Digest.String()) {
				t.Errorf("not told: %s", l)
			}
		})
	}
}

// fillImage stores a version with an image beside the plugin, and a manifest that refers to another image.
func fillImage(t *testing.T, path string) (other ociv1.Descriptor) {
	t.Helper()
	store := fixture.Must[*ctf.Store](t)(ctf.Open(path))
	r := oci.NewRepository(store, nil)
	defer r.Close()
	commitImage(t, r, fixture.Index("layer"))
	in := store.Repo(oci.RepoName("acme.org/app"))
	subject := fixture.PutManifest(t, in, "", ociv1.Manifest{ArtifactType: "image"}, "another image")
	return fixture.PutManifest(t, in, "other", ociv1.Manifest{ArtifactType: "signature", Subject: &subject}, "of another image")
}

func commitImage(t *testing.T, r ocm.Repository, c ocm.Content) ocm.Version {
	t.Helper()
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
	defer d.Close()
	stored := fixture.Must[ocm.Stored](t)(d.Add(t.Context(), c, ""))
	return fixture.Must[ocm.Version](t)(d.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "image", Version: "1.0.0"}, Type: "ociImage", Relation: "local", Access: stored.Access}}}}))
}

// A version in a plugin tells what is attached to its own manifest, as one in this process does.
func TestAttachedToVersionInPlugin(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	fillImage(t, path)
	store := fixture.Must[*ctf.Store](t)(ctf.Open(path))
	inside := oci.NewRepository(store, nil)
	defer inside.Close()
	outside := open(t, plugintest.Kit(t, "places"), "archive", place{Path: path})
	attached := func(r ocm.Repository) string {
		v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "acme.org/app", "1.0.0"))
		return fmt.Sprint(oci.NamesOf(fixture.Must[[]oci.Attached](t)(v.(oci.Attacher).Attached(t.Context()))))
	}
	if found := attached(inside) + attached(outside); found != "[][]" {
		t.Errorf("nothing is attached: %s", found)
	}
	v := fixture.Must[ocm.Version](t)(inside.Open(t.Context(), "acme.org/app", "1.0.0"))
	subject, in := v.Manifest(), store.Repo(oci.RepoName("acme.org/app"))
	signature := fixture.PutManifest(t, in, "", ociv1.Manifest{ArtifactType: "example/signature", Subject: &subject}, "signature")
	fixture.PutManifest(t, in, fixture.CosignTag(subject, ".sig"), ociv1.Manifest{}, "of cosign")
	want := fmt.Sprintf("[example/signature %s tag %s]", signature.Digest, fixture.CosignTag(subject, ".sig"))
	outside = open(t, plugintest.Kit(t, "places"), "archive", place{Path: path})
	if attached(inside) != want || attached(outside) != want {
		t.Errorf("expected %s, found %s inside and %s outside", want, attached(inside), attached(outside))
	}
}

// What is attached to the image of a version, at whatever depth, leaves a plugin's repository with it: for a folder, and for archives in
// one file. What is attached to the version itself cannot follow it to another manifest, and is named.
func TestAttachedLeavesPlugin(t *testing.T) {
	t.Parallel()
	from, images := filepath.Join(t.TempDir(), "from"), memory.New().Repo("acme.org/image")
	signed := fixture.NewSignedImage(t, images)
	store := fixture.Must[*ctf.Store](t)(ctf.Open(from))
	version := commitImage(t, oci.NewRepository(store, nil), ocm.Content{Root: signed.Root, From: images}).Manifest()
	own := fixture.PutManifest(t, store.Repo(oci.RepoName("acme.org/app")), "", ociv1.Manifest{Subject: &version}, "of the version")
	kit := plugintest.Kit(t, "places")
	for _, name := range []string{"to", "to.tar", "to.tgz"} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), name)
			told := transferred(t, kit, open(t, kit, "archive", place{Path: from}), to)
			if strings.Count(told, "left behind") != 1 || !strings.Contains(told, own.Digest.String()) {
				t.Errorf("expected that %s is left behind and nothing else, found %s", own.Digest, told)
			}
			target := fixture.Must[*ctf.Store](t)(ctf.Open(to))
			defer target.Close()
			signed.WantAt(t, target.Repo(oci.RepoName("acme.org/app")))
		})
	}
}

// transferred moves the version into a CTF, and returns what is logged.
func transferred(t *testing.T, kit *ocm.Kit, from ocm.Repository, to string) string {
	t.Helper()
	l := &log{}
	env := &ocm.Env{Log: slog.New(slog.NewTextHandler(l, nil)), Job: ocm.NewJob(4)}
	target := oci.NewRepository(fixture.Must[*ctf.Store](t)(ctf.Open(to)), env)
	defer target.Close()
	v := fixture.Must[ocm.Version](t)(from.Open(t.Context(), "acme.org/app", "1.0.0"))
	g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, nil, []ocm.Version{v}, graph.Options{}))
	p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), kit, env, g, target, transfer.Options{}))
	fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	return l.String()
}
