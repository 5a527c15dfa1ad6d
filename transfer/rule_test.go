// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/config"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/internal/worktest"
	"ocm/oci/memory"
	"ocm/transfer"
)

// workKit has an uploader, an access method that reads what that stores, and a transformer.
func workKit() *ocm.Kit {
	kit := builtin.Kit()
	worktest.Add(kit)
	return kit
}

// planBy plans the transfer of a version and all that it references by rules.
func planBy(ctx context.Context, from, to ocm.Repository, v ocm.Version, o transfer.Options) (*transfer.Plan, error) {
	env := newEnv()
	g, err := graph.Walk(ctx, env.Job, findIn(from), []ocm.Version{v}, graph.Options{Recursive: true})
	if err != nil {
		return nil, err
	}
	return transfer.NewPlan(ctx, workKit(), env, g, to, o)
}

func moveBy(t testing.TB, from, to ocm.Repository, v ocm.Version, o transfer.Options) (*transfer.Plan, *transfer.Summary) {
	t.Helper()
	p := fixture.Must[*transfer.Plan](t)(planBy(t.Context(), from, to, v, o))
	return p, fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
}

// folder is an uploader that stores in a folder.
func folder(t testing.TB, path string) *ocm.Spec {
	t.Helper()
	s := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]string{"type": "folder", "path": path}))
	return &s
}

// readable reads all that the resources of a version lead to, and compares it.
func readable(t testing.TB, v ocm.Version) {
	t.Helper()
	for _, r := range v.Descriptor().Component.Resources {
		c, err := graph.Content(t.Context(), workKit(), newEnv(), v, r.Access)
		if err == nil && !r.Digest.Empty() {
			err = graph.Check(t.Context(), c, *r.Digest)
		}
		if err != nil {
			t.Errorf("resource %s: %v", r.Name, err)
		}
	}
}

// accessTypes are those of the resources of a version.
func accessTypes(v ocm.Version) string {
	var types []string
	for _, r := range v.Descriptor().Component.Resources {
		types = append(types, r.Access.Type)
	}
	return strings.Join(types, " ")
}

// several is a signed version with resources of many kinds.
func several(t testing.TB, repo ocm.Repository) ocm.Version {
	t.Helper()
	far := publish(t, fixture.Registry(t), "team/far", "v2", fixture.Index("far"))
	a := write(t, repo, "acme.org/app", "1.0.0", nil)
	a.resource("text", text("text"))
	a.resource("image", fixture.Image("near"))
	a.resource("layout", layout(t, fixture.Image("in a layout")))
	a.resource("undigested", text("undigested")).Digest = nil
	r := a.access("far", spec(t, `{"type":"OCIImage/v1","imageReference":"`+far+`"}`))
	r.Type = "ociImage"
	r.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: fixture.Index("far").Root.Digest.Encoded()}
	a.source("code", text("code"))
	return a.commit()
}

func TestUploader(t *testing.T) {
	t.Parallel()
	src, dst, dir := repository(memory.New()), repository(memory.New()), t.TempDir()
	v := several(t, src)
	o := transfer.Options{CopyResources: true, Rules: []config.TransferRule{{Uploader: folder(t, dir)}}}
	d := written(t, fixture.Must[*transfer.Plan](t)(planBy(t.Context(), src, dst, v, o)))
	for i, m := range d.Versions[0].Moves {
		if upload := i < 5; upload != (m.Action == transfer.Upload && m.Uploader == "folder" && m.To == "folder") {
			t.Errorf("%+v", m)
		}
	}
	if left := fixture.Must[[]os.DirEntry](t)(os.ReadDir(dir)); len(left) != 0 {
		t.Errorf("a plan has written %d files", len(left))
	}
	if _, s := moveBy(t, src, dst, v, o); s.Written != 1 || s.Contents != 6 {
		t.Errorf("%+v", s)
	}
	w := reopen(t, dst, v)
	if got := accessTypes(w); got != "folder/v1 folder/v1 folder/v1 folder/v1 folder/v1" || w.Descriptor().Component.Sources[0].Access.Type != "localBlob/v1" {
		t.Error(got)
	}
	readable(t, w)
	if p, s := moveBy(t, src, dst, v, o); s.Written != 0 || p.Versions[0].State != transfer.Identical {
		t.Errorf("second: %s %+v", p.Versions[0].State, s)
	}

	// the plan is made again, where nothing was done yet and where all is done
	for _, to := range []ocm.Repository{repository(memory.New()), dst} {
		env := newEnv()
		g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, nil, []ocm.Version{v}, graph.Options{}))
		p := fixture.Must[*transfer.Plan](t)(transfer.Replay(t.Context(), workKit(), env, g, to, d, nil))
		if _, err := p.Run(t.Context()); err != nil {
			t.Error(err)
		}
		readable(t, reopen(t, to, v))
	}

	// from there it comes back beside the descriptor
	back := repository(memory.New())
	moveBy(t, dst, back, w, transfer.Options{CopyResources: true})
	if x := reopen(t, back, v); accessTypes(x) != strings.TrimSpace(strings.Repeat("localBlob/v1 ", 5)) {
		t.Error(accessTypes(x))
	}
}

// What a version has beside its descriptor goes to the uploader later, and what has gone astray there does again with Overwrite.
func TestUploaderLater(t *testing.T) {
	t.Parallel()
	src, dst, dir := repository(memory.New()), repository(memory.New()), t.TempDir()
	v := several(t, src)
	mustMove(t, src, dst, v, transfer.Options{})
	o := transfer.Options{CopyResources: true, Rules: []config.TransferRule{{Uploader: folder(t, dir)}}}
	p, _ := moveBy(t, src, dst, v, o)
	w := reopen(t, dst, v)
	if accessTypes(w) != "folder/v1 folder/v1 folder/v1 folder/v1 folder/v1" || p.Versions[0].State != transfer.Merge {
		t.Errorf("%s %s", p.Versions[0].State, accessTypes(w))
	}
	for _, e := range fixture.Must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	o.Overwrite = true
	moveBy(t, src, dst, v, o)
	readable(t, reopen(t, dst, v))
	// all that is asked for is there: a transfer without rules leaves it
	if p, s := moveBy(t, src, dst, reopen(t, src, v), transfer.Options{KeepExisting: true}); s.Written != 0 {
		t.Errorf("%s %+v", p.Versions[0].State, s)
	}
}

func TestRulesMatch(t *testing.T) {
	t.Parallel()
	src := repository(memory.New())
	v := several(t, src)
	one, two := t.TempDir(), t.TempDir()
	for name, c := range map[string]struct {
		rules []config.TransferRule
		want  string // of text, image, layout, undigested, far
		copy  bool
	}{
		"name":             {[]config.TransferRule{{Match: config.TransferMatch{Name: "t*"}, Uploader: folder(t, one)}}, "one local local local OCIImage/v1", false},
		"the first counts": {[]config.TransferRule{{Match: config.TransferMatch{Name: "text"}, Uploader: folder(t, one)}, {Uploader: folder(t, two)}}, "one two two two OCIImage/v1", false},
		"resource type":    {[]config.TransferRule{{Match: config.TransferMatch{ResourceType: "ociImage"}, Uploader: folder(t, one)}}, "local local local local one", true},
		"access type":      {[]config.TransferRule{{Match: config.TransferMatch{AccessType: "ociArtifact"}, Uploader: folder(t, one)}}, "local local local local one", true},
		"media type": {[]config.TransferRule{{Match: config.TransferMatch{MediaType: "application/vnd.oci.image.*"}, Uploader: folder(t, one)}},
			"local one local local one", true},
		"all of it must match": {[]config.TransferRule{{Match: config.TransferMatch{Name: "text", MediaType: "text/html"}, Uploader: folder(t, one)}}, "local local local local OCIImage/v1", false},
		"nothing is copied":    {[]config.TransferRule{{Match: config.TransferMatch{Name: "far"}, Uploader: folder(t, one)}}, "local local local local OCIImage/v1", false},
	} {
		t.Run(name, func(t *testing.T) {
			dst := repository(memory.New())
			moveBy(t, src, dst, v, transfer.Options{CopyResources: c.copy, Rules: c.rules})
			w := reopen(t, dst, v)
			var got []string
			for _, r := range w.Descriptor().Component.Resources {
				var a struct {
					Path string      `json:"path"`
					Rest ocm.RawJSON `json:",embed"`
				}
				switch err := r.Access.Decode(&a); {
				case err != nil:
					t.Error(err)
				case a.Path == one:
					got = append(got, "one")
				case a.Path == two:
					got = append(got, "two")
				default:
					got = append(got, strings.TrimSuffix(r.Access.Type, "Blob/v1"))
				}
			}
			if list := strings.Join(got, " "); list != c.want {
				t.Errorf("expected %s, found %s", c.want, list)
			}
			readable(t, w)
		})
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("text", text("text"))
	v := a.commit()
	typed := func(raw string) *ocm.Spec { s := spec(t, raw); return &s }
	for name, c := range map[string]struct {
		rules []config.TransferRule
		want  error
		text  string
	}{
		"unknown uploader":    {[]config.TransferRule{{Uploader: typed(`{"type":"nowhere"}`)}}, ocm.ErrUnknownType, "rule 1"},
		"unknown transformer": {[]config.TransferRule{{Uploader: folder(t, "x")}, {Transformer: typed(`{"type":"nothing"}`)}}, ocm.ErrUnknownType, "rule 2"},
		"no pattern":          {[]config.TransferRule{{Match: config.TransferMatch{Name: "[a"}, Uploader: folder(t, "x")}}, ocm.ErrInvalid, "rule 1"},
		"password":            {[]config.TransferRule{{Uploader: typed(`{"type":"folder","path":"https://me:hush@example.org/x"}`)}}, ocm.ErrInvalid, "path has a user or a password"},
		"too many":            {slices.Repeat([]config.TransferRule{{Uploader: folder(t, "x")}}, transfer.MaxRules+1), ocm.ErrLimit, "101 rules"},
	} {
		_, err := planBy(t.Context(), src, dst, v, transfer.Options{Rules: c.rules})
		fixture.WantErr(t, err, c.want, c.text)
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A plan that was written down does nothing else than what it shows.
func TestReplayOfRulesIsRefused(t *testing.T) {
	t.Parallel()
	src, dst, dir := repository(memory.New()), repository(memory.New()), t.TempDir()
	v := several(t, src)
	o := transfer.Options{Rules: []config.TransferRule{{Uploader: folder(t, dir)}}}
	for name, change := range map[string]func(d *transfer.Document){
		"shown without uploader": func(d *transfer.Document) { d.Versions[0].Moves[0].Uploader = "" },
		"shown as a copy":        func(d *transfer.Document) { d.Versions[0].Moves[0].Action = transfer.Copy },
		"without the rules":      func(d *transfer.Document) { d.Options.Rules = nil },
		"another digest": func(d *transfer.Document) {
			d.Versions[0].Moves[0].Digest = text("other").Root.Digest
		},
		"a transformer that is not shown": func(d *transfer.Document) {
			s := spec(t, `{"type":"gunzip","mediaType":"x/y"}`)
			d.Options.Rules[0].Transformer = &s
		},
	} {
		d := written(t, fixture.Must[*transfer.Plan](t)(planBy(t.Context(), src, dst, v, o)))
		change(d)
		env := newEnv()
		g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, nil, []ocm.Version{v}, graph.Options{}))
		if p, err := transfer.Replay(t.Context(), workKit(), env, g, dst, d, nil); err == nil {
			t.Errorf("%s: %+v", name, p.Versions[0].Moves[0])
		} else {
			fixture.WantErr(t, err, ocm.ErrConflict)
		}
	}
}

// What comes through a pipe is stored by an uploader, too.
func TestUploaderFeed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "archive.tar")
	closure(t, path)
	raw := fixture.Must[[]byte](t)(os.ReadFile(path))
	for name, target := range targets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, read := target(t)
			from := pipeOf(t, bytes.NewReader(raw))
			v := fixture.Must[ocm.Version](t)(from.Open(t.Context(), "acme.org/app", "1.0.0"))
			moveBy(t, from, to, v, transfer.Options{Rules: []config.TransferRule{{Uploader: folder(t, t.TempDir())}}})
			w := fixture.Must[ocm.Version](t)(read().Open(t.Context(), "acme.org/app", "1.0.0"))
			if accessTypes(w) != "folder/v1 folder/v1 folder/v1" {
				t.Error(accessTypes(w))
			}
			readable(t, w)
		})
	}
}
