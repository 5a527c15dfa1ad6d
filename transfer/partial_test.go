// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// bothImages writes a version with an image for three platforms and two blobs.
func bothImages(t testing.TB, r ocm.Repository) (ocm.Version, map[string]ociv1.Descriptor) {
	t.Helper()
	c, byName := multi(t, ociv1.MediaTypeImageIndex, "linux/amd64", "linux/arm64", "linux/arm/v7")
	a := write(t, r, "acme.org/app", "1.0.0", nil)
	a.resource("image", c)
	a.resource("data", text("data"))
	a.resource("chart", text("chart"))
	return a.commit(), byName
}

// A plan of a part says what is left out and how much of the rest moves, and is made again as it was.
func TestPlanOfAPart(t *testing.T) {
	t.Parallel()
	src, store := repository(memory.New()), memory.New()
	dst := repository(store)
	v, byName := bothImages(t, src)
	all := written(t, fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, transfer.Options{})))
	o := onPlatforms(t, "linux/amd64")
	o.Select, o.NoReferrers = fixture.Must[*transfer.Select](t)(transfer.NewSelect(nil, []string{"resource=chart"})), true
	d := written(t, fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, o)))
	image, chart := d.Versions[0].Moves[0], d.Versions[0].Moves[2]
	if image.Action != transfer.Copy || image.Bytes <= 0 || image.Bytes >= all.Versions[0].Moves[0].Bytes {
		t.Errorf("%+v, whole %+v", image, all.Versions[0].Moves[0])
	}
	if chart.Action != transfer.Omit || chart.Reason != "excluded by resource=chart" || chart.Bytes != 5 || chart.Digest != digest.FromString("chart") || chart.To != "" || chart.Moves() {
		t.Errorf("%+v", chart)
	}
	if d.Totals.Contents != 2 || d.Totals.Bytes != image.Bytes+4 || !d.Options.NoReferrers || len(d.Options.Platforms) != 1 {
		t.Errorf("%+v %+v", d.Totals, d.Options)
	}
	p := fixture.Must[*transfer.Plan](t)(replay(t.Context(), src, dst, v, d))
	fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	w := reopen(t, dst, v)
	if got := has(t, store, byName); got != "linux/amd64 about linux/amd64 inner no platform" && got != "linux/amd64 about linux/amd64 no platform" {
		t.Errorf("the target has %s", got)
	}
	if !graph.IsOmitted(w.Descriptor().Component.Resources[2].Access.Type) || platformLabel(w) != `["linux/amd64"]` {
		t.Errorf("%s %s", w.Descriptor().Component.Resources[2].Access.Raw, platformLabel(w))
	}
	p = fixture.Must[*transfer.Plan](t)(replay(t.Context(), src, dst, v, d))
	if s := fixture.Must[*transfer.Summary](t)(p.Run(t.Context())); s.Written != 0 {
		t.Errorf("%+v", s)
	}
	// the rest of an index is measured where a part of it is there
	rest := written(t, fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, transfer.Options{})))
	if m := rest.Versions[0].Moves[0]; m.Action != transfer.Copy || m.Present < image.Bytes || m.Present >= m.Bytes {
		t.Errorf("%+v", m)
	}
	d.Options.Select = nil
	_, err := replay(t.Context(), src, repository(memory.New()), v, d)
	fixture.WantErr(t, err, ocm.ErrConflict, "resource chart", "omit", "copy")
}

// A part comes through a pipe, to every kind of target.
func TestPartThroughPipe(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "a.tar")
	from := repository(fixture.Must[*ctf.Store](t)(ctf.Open(source)))
	v, _ := bothImages(t, from)
	if err := from.(ocm.Finisher).Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw := fixture.Must[[]byte](t)(os.ReadFile(source))
	o := onPlatforms(t, "linux/amd64")
	o.Select = fixture.Must[*transfer.Select](t)(transfer.NewSelect(nil, []string{"resource=chart"}))
	for name, target := range targets() {
		if strings.Contains(name, "registry") {
			continue // some want all of an index
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, read := target(t)
			mustMove(t, pipeOf(t, bytes.NewReader(raw)), to, v, o)
			w := reopen(t, read(), v)
			if !graph.IsOmitted(w.Descriptor().Component.Resources[2].Access.Type) || platformLabel(w) != `["linux/amd64"]` {
				t.Errorf("%s %s", w.Descriptor().Component.Resources[2].Access.Raw, platformLabel(w))
			}
			c := fixture.Must[ocm.Content](t)(w.Blob(t.Context(), w.Descriptor().Component.Resources[0].Access))
			s := fixture.Must[blob.Selection](t)(blob.SelectPlatforms(t.Context(), c.From, c.Root, graph.OfPlatforms(o.Platforms)))
			c.Skip = s.Skip()
			if err := blob.Check(t.Context(), c); err != nil || c.Skip == nil {
				t.Error(err)
			}
			if c.Skip = nil; blob.Check(t.Context(), c) == nil {
				t.Error("all of it is there")
			}
		})
	}
}

// What is attached to a version comes along with its manifest, and is named where that changes.
func TestAttachedToVersion(t *testing.T) {
	t.Parallel()
	store := memory.New()
	src := repository(store)
	v, _ := bothImages(t, src)
	top := v.Manifest()
	attach := func(subject ociv1.Descriptor) digest.Digest {
		repo := store.Repo(oci.RepoName("acme.org/app"))
		fixture.Must[ociv1.Descriptor](t)(repo.Push(t.Context(), ociv1.DescriptorEmptyJSON, strings.NewReader("{}")))
		raw := fixture.Must[[]byte](t)(json.Marshal(ociv1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, ArtifactType: "example/signature",
			Config: ociv1.DescriptorEmptyJSON, Layers: []ociv1.Descriptor{}, Subject: &ociv1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		}))
		d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		if err := repo.PutManifest(t.Context(), d, raw, "", oci.Any()); err != nil {
			t.Fatal(err)
		}
		return d.Digest
	}
	image := fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access)).Root
	ofTop, ofImage := attach(top), attach(image)
	less := rules(t, "", "resource=chart")
	for name, c := range map[string]struct {
		o         transfer.Options
		top       []digest.Digest
		image     []digest.Digest
		leftNamed bool
	}{
		"adopted":         {transfer.Options{}, []digest.Digest{ofTop}, []digest.Digest{ofImage}, false},
		"no referrers":    {transfer.Options{NoReferrers: true}, nil, nil, false},
		"rebuilt":         {less, nil, []digest.Digest{ofImage}, true},
		"rebuilt without": {transfer.Options{NoReferrers: true, Select: less.Select}, nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			to := memory.New()
			var log bytes.Buffer
			env := newEnv()
			env.Log = slog.New(slog.NewTextHandler(&log, nil))
			g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(src), []ocm.Version{v}, graph.Options{}))
			p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), builtin.Kit(), env, g, repository(to), c.o))
			fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
			listed := func(d ociv1.Descriptor) (found []digest.Digest) {
				for r, err := range to.Repo(oci.RepoName("acme.org/app")).(oci.ReferrerLister).Referrers(t.Context(), d, "") {
					if err != nil {
						t.Fatal(err)
					}
					found = append(found, r.Digest)
				}
				return found
			}
			if !slices.Equal(listed(top), c.top) || !slices.Equal(listed(image), c.image) {
				t.Errorf("version %q, image %q", listed(top), listed(image))
			}
			if got := strings.Contains(log.String(), "left behind") && strings.Contains(log.String(), ofTop.String()); got != c.leftNamed {
				t.Errorf("log: %s", &log)
			}
		})
	}
}
