// SPDX-License-Identifier: Apache-2.0

// Package repotest is the contract of [ocm.Repository] as code. Every implementation runs it.
package repotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

const name = "acme.org/contract"

// Run runs the contract on repositories that open returns; each call must give an empty one. Cases that a repository cannot keep are
// named, and documented where it is.
func Run(t *testing.T, open func(t *testing.T) ocm.Repository, without ...string) {
	for _, c := range []struct {
		name string
		test func(*testing.T, ocm.Repository)
	}{
		{"EmptyRepositoryHasNothing", empty},
		{"NothingIsVisibleBeforeCommit", invisible},
		{"CommittedVersionIsReadBack", roundTrip},
		{"VersionWithBuildMetadata", buildMetadata},
		{"NestedArtifactKeepsItsGraph", nested},
		{"SameContentTwiceIsStoredOnce", shared},
		{"ContentThatIsThereIsNotRead", notRead},
		{"DroppedDraftLeavesNothingInTheWay", dropped},
		{"EndedContextStopsEverything", ended},
		{"DraftOfExistingVersionNeedsBase", exists},
		{"OldStateStaysReadableByDigest", pinned},
		{"SecondWriterGetsConflict", conflict},
		{"OneOfManyFirstWritersWins", race},
		{"DescriptorMustBeOfTheDraft", wrongName},
		{"LocalBlobThatWasNotAddedIsRefused", missing},
		{"WrongBytesAreRefused", wrongBytes},
		{"UnknownMembersSurvive", unknown},
		{"AttachedContentTravels", attached},
		{"NothingAttachedTravelsAlone", alone},
	} {
		if slices.Contains(without, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			r := open(t)
			t.Cleanup(func() { r.Close() })
			c.test(t, r)
		})
	}
}

// build makes a descriptor with one resource per content.
func build(t *testing.T, r ocm.Repository, version string, base ocm.Version, contents ...ocm.Content) ocm.Version {
	t.Helper()
	ctx := t.Context()
	d := fixture.Must[ocm.Draft](t)(r.Draft(ctx, name, version, base))
	defer d.Close()
	desc := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: version, Provider: "acme.org"}}
	for i, c := range contents {
		s := fixture.Must[ocm.Stored](t)(d.Add(ctx, c, fmt.Sprintf("hint/%d:1", i)))
		if s.Root.Digest == "" || s.Root.Size < 0 || s.Root.MediaType == "" {
			t.Fatalf("Add returned an incomplete descriptor: %+v", s.Root)
		}
		desc.Component.Resources = append(desc.Component.Resources, ocm.Resource{
			Element: ocm.Element{Name: fmt.Sprintf("res%d", i), Version: version}, Type: "blob", Relation: "local", Access: s.Access,
			Digest: &ocm.Digest{HashAlgorithm: "SHA-256", NormalisationAlgorithm: ocm.GenericBlobDigest, Value: s.Root.Digest.Encoded()},
		})
	}
	return fixture.Must[ocm.Version](t)(d.Commit(ctx, desc))
}

func text(s string) ocm.Content { return blob.Bytes("text/plain", []byte(s)) }

func read(t *testing.T, v ocm.Version, i int) string {
	t.Helper()
	c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[i].Access))
	return string(fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), c.From, c.Root, 1<<20)))
}

func versions(t *testing.T, r ocm.Repository) []string {
	t.Helper()
	var out []string
	for v, err := range r.Versions(t.Context(), name) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

func empty(t *testing.T, r ocm.Repository) {
	if _, err := r.Open(t.Context(), name, "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("Open: expected ErrNotFound, found %v", err)
	}
	if v := versions(t, r); len(v) != 0 {
		t.Errorf("expected no versions, found %q", v)
	}
	if _, err := r.Open(t.Context(), "no component", "1.0.0"); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("Open with a bad name: expected ErrInvalid, found %v", err)
	}
}

func invisible(t *testing.T, r ocm.Repository) {
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", nil))
	fixture.Must[ocm.Stored](t)(d.Add(t.Context(), text("hello"), ""))
	if _, err := r.Open(t.Context(), name, "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("before commit: expected ErrNotFound, found %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if v := versions(t, r); len(v) != 0 {
		t.Errorf("after a dropped draft: expected no versions, found %q", v)
	}
}

func roundTrip(t *testing.T, r ocm.Repository) {
	unread := ocm.Content{Root: ociv1.Descriptor{MediaType: "application/x-unread", Size: -1}, From: text("not hashed yet").From}
	v := build(t, r, "1.0.0", nil, text("hello"), unread)
	w := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	if v.Manifest().Digest != w.Manifest().Digest {
		t.Errorf("Commit returned state %s, Open finds %s", v.Manifest().Digest, w.Manifest().Digest)
	}
	if got := read(t, w, 0) + "|" + read(t, w, 1); got != "hello|not hashed yet" {
		t.Errorf("found %q", got)
	}
	if got := versions(t, r); !slices.Equal(got, []string{"1.0.0"}) {
		t.Errorf("versions: %q", got)
	}
	if l, ok := r.(ocm.Lister); ok {
		for c, err := range l.Components(t.Context()) {
			if errors.Is(err, errors.ErrUnsupported) {
				break
			}
			if err != nil || c != name {
				t.Errorf("components: %q, %v", c, err)
			}
		}
	}
	if _, err := w.Blob(t.Context(), ocm.Spec{Type: "wget"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Blob of a foreign access: expected ErrUnsupported, found %v", err)
	}
}

func buildMetadata(t *testing.T, r ocm.Repository) {
	build(t, r, "1.0.0+build.7", nil, text("x"))
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0+build.7"))
	if got := v.Descriptor().Component.Version; got != "1.0.0+build.7" {
		t.Errorf("found version %q", got)
	}
	if got := versions(t, r); !slices.Equal(got, []string{"1.0.0+build.7"}) {
		t.Errorf("versions: %q", got)
	}
}

func nested(t *testing.T, r ocm.Repository) {
	g := fixture.Index("layer")
	build(t, r, "1.0.0", nil, text("plain"), g)
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	c := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[1].Access))
	if c.Root.Digest != g.Root.Digest || c.Root.MediaType != g.Root.MediaType {
		t.Errorf("expected root %v, found %v", g.Root, c.Root)
	}
	if err := blob.Check(t.Context(), c); err != nil {
		t.Error(err)
	}
	if read(t, v, 0) != "plain" {
		t.Error("plain blob beside the nested one is lost")
	}
	// and once more on top of it, as a signature does
	w := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", w))
	desc := w.Descriptor().Clone()
	desc.Component.Labels = append(desc.Component.Labels, ocm.Label{Name: "added", Value: ocm.RawJSON(`1`)})
	v = fixture.Must[ocm.Version](t)(d.Commit(t.Context(), desc))
	c = fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[1].Access))
	if err := blob.Check(t.Context(), c); err != nil {
		t.Error("after a commit that added nothing:", err)
	}
}

func shared(t *testing.T, r ocm.Repository) {
	v := build(t, r, "1.0.0", nil, text("same"), text("same"))
	if read(t, v, 0) != "same" || read(t, v, 1) != "same" {
		t.Error("lost")
	}
}

// unreadable is content that was described once and cannot be read any more.
type unreadable struct{}

func (unreadable) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	return nil, errors.New("read although it is there")
}

func notRead(t *testing.T, r ocm.Repository) {
	g := fixture.Index("layer")
	build(t, r, "1.0.0", nil, text("there"), g)
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "2.0.0", nil))
	defer d.Close()
	for _, root := range []ociv1.Descriptor{text("there").Root, g.Root} {
		if s, err := d.Add(t.Context(), ocm.Content{Root: root, From: unreadable{}}, ""); err != nil || s.Root.Digest != root.Digest {
			t.Errorf("%s: %+v, %v", root.MediaType, s, err)
		}
	}
}

func dropped(t *testing.T, r ocm.Repository) {
	for range 2 {
		d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", nil))
		fixture.Must[ocm.Stored](t)(d.Add(t.Context(), text("hello"), ""))
		fixture.Must[ocm.Stored](t)(d.Add(t.Context(), fixture.Index("layer"), ""))
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	build(t, r, "1.0.0", nil, text("hello"), fixture.Index("layer"))
	if v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0")); read(t, v, 0) != "hello" {
		t.Error("lost")
	}
}

func ended(t *testing.T, r ocm.Repository) {
	build(t, r, "1.0.0", nil, text("hello"))
	draft := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "2.0.0", nil))
	defer draft.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Open(ctx, name, "1.0.0"); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: expected Canceled, found %v", err)
	}
	if _, err := draft.Add(ctx, text("more"), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Add: expected Canceled, found %v", err)
	}
	desc := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "2.0.0", Provider: "p"}}
	if _, err := draft.Commit(ctx, desc); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: expected Canceled, found %v", err)
	}
	for _, err := range r.Versions(ctx, name) {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Versions: expected Canceled, found %v", err)
		}
	}
	if got := versions(t, r); !slices.Equal(got, []string{"1.0.0"}) {
		t.Errorf("afterwards: %q", got)
	}
}

func exists(t *testing.T, r ocm.Repository) {
	build(t, r, "1.0.0", nil)
	d, err := r.Draft(t.Context(), name, "1.0.0", nil)
	if err == nil {
		_, err = d.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "1.0.0", Provider: "acme.org"}})
	}
	if !errors.Is(err, ocm.ErrExists) {
		t.Errorf("expected ErrExists, found %v", err)
	}
}

func pinned(t *testing.T, r ocm.Repository) {
	first := build(t, r, "1.0.0", nil, text("first"))
	build(t, r, "1.0.0", first, text("second"))
	if got := read(t, first, 0); got != "first" {
		t.Errorf("the pinned version reads %q", got)
	}
	old := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, first.Manifest().Digest.String()))
	if got := read(t, old, 0); got != "first" {
		t.Errorf("by digest: %q", got)
	}
	now := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	if got := read(t, now, 0); got != "second" {
		t.Errorf("by version: %q", got)
	}
}

func conflict(t *testing.T, r ocm.Repository) {
	base := build(t, r, "1.0.0", nil, text("first"))
	a := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", base))
	build(t, r, "1.0.0", base, text("faster"))
	desc := base.Descriptor().Clone()
	desc.Component.Labels = []ocm.Label{{Name: "mine", Value: ocm.RawJSON(`"x"`)}}
	if _, err := a.Commit(t.Context(), desc); !errors.Is(err, ocm.ErrConflict) {
		t.Errorf("expected ErrConflict, found %v", err)
	}
	if v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0")); read(t, v, 0) != "faster" {
		t.Error("the loser changed the version")
	}
}

func race(t *testing.T, r ocm.Repository) {
	const writers = 4
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() {
			d, err := r.Draft(t.Context(), name, "1.0.0", nil)
			if err == nil {
				desc := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "1.0.0", Provider: ocm.Provider(fmt.Sprint("writer", i))}}
				_, err = d.Commit(t.Context(), desc)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ocm.ErrExists) && !errors.Is(err, ocm.ErrConflict):
			t.Errorf("expected ErrExists, found %v", err)
		}
	}
	fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	if won == 0 {
		t.Error("nobody won")
	}
}

func wrongName(t *testing.T, r ocm.Repository) {
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", nil))
	desc := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "2.0.0", Provider: "p"}}
	if _, err := d.Commit(t.Context(), desc); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("expected ErrInvalid, found %v", err)
	}
}

func missing(t *testing.T, r ocm.Repository) {
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", nil))
	access := ocm.Spec{Type: "localBlob", Raw: ocm.RawJSON(`{"type":"localBlob","mediaType":"text/plain","localReference":"` + digest.FromString("nowhere").String() + `"}`)}
	desc := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "1.0.0", Provider: "p",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "gone", Version: "1.0.0"}, Type: "blob", Relation: "local", Access: access}}}}
	if _, err := d.Commit(t.Context(), desc); !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("expected ErrNotFound naming the resource, found %v", err)
	}
	if _, err := r.Open(t.Context(), name, "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("the version is visible: %v", err)
	}
}

func wrongBytes(t *testing.T, r ocm.Repository) {
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", nil))
	lie := text("truth")
	lie.From = text("lies!").From
	add := func(c ocm.Content) error {
		_, err := d.Add(t.Context(), c, "")
		if f, ok := r.(ocm.Finisher); ok && err == nil { // at the latest
			err = f.Finish(t.Context())
		}
		return err
	}
	if err := add(lie); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("expected ErrDigest, found %v", err)
	}
	g := fixture.Index("layer")
	g.From.(fixture.Heap)[digest.FromString("layer")] = []byte("lawyer")[:5]
	if err := add(g); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("in a graph: expected ErrDigest, found %v", err)
	}
}

func unknown(t *testing.T, r ocm.Repository) {
	d := fixture.Must[ocm.Draft](t)(r.Draft(t.Context(), name, "1.0.0", nil))
	desc := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: "1.0.0", Provider: "p", Unknown: ocm.RawJSON(`{"future":{"a":[1]}}`)}}
	fixture.Must[ocm.Version](t)(d.Commit(t.Context(), desc))
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	if got := string(v.Descriptor().Component.Unknown); got != `{"future":{"a":[1]}}` {
		t.Errorf("found %q", got)
	}
}

// attached: what is attached to an image goes in with it and comes out with it.
func attached(t *testing.T, r ocm.Repository) {
	source, target := memory.New().Repo("image"), memory.New()
	signed := fixture.NewSignedImage(t, source)
	v := build(t, r, "1.0.0", nil, ocm.Content{Root: signed.Root, From: source})
	for range 2 { // again from the version as it is opened by its name
		out := oci.NewRepository(target, &ocm.Env{Job: ocm.NewJob(4)})
		build(t, out, "1.0.0", nil, image(t, v))
		signed.WantAt(t, target.Repo(oci.RepoName(name)))
		target, v = memory.New(), fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, "1.0.0"))
	}
}

func image(t *testing.T, v ocm.Version) ocm.Content {
	t.Helper()
	return fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
}

// alone: it does neither where that is not wanted.
func alone(t *testing.T, r ocm.Repository) {
	source, target := memory.New().Repo("image"), memory.New()
	signed := fixture.NewSignedImage(t, source)
	nothing := func(c ocm.Content, where string) {
		t.Helper()
		build(t, oci.NewRepository(target, nil), where, nil, c)
		repo := target.Repo(oci.RepoName(name))
		for tag, d := range signed.Tags {
			if _, err := repo.Resolve(t.Context(), tag); !errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("%s: %s at %s: %v", where, tag, d, err)
			}
		}
		for subject := range signed.Referrers {
			for d := range repo.(oci.ReferrerLister).Referrers(t.Context(), ociv1.Descriptor{Digest: subject, Size: -1}, "") {
				t.Errorf("%s: %s is attached to %s", where, d.Digest, subject)
			}
		}
	}
	c := ocm.Content{Root: signed.Root, From: source, Alone: true}
	nothing(image(t, build(t, r, "1.0.0", nil, c)), "1.0.0")
	c.Alone = false
	c = image(t, build(t, r, "2.0.0", nil, c))
	c.Alone = true
	nothing(c, "2.0.0")
}
