// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci/memory"
	"ocm/transfer"
)

// written is the plan of a transfer as it is read again.
func written(t testing.TB, p *transfer.Plan) *transfer.Document {
	t.Helper()
	if err := p.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw := fixture.Must[[]byte](t)(jsonv2.Marshal(p.Document(transfer.Source{Reference: "./a//acme.org/app:1.0.0", Roots: []string{"acme.org/app:1.0.0"}, Recursive: true}, "./b")))
	again := fixture.Must[*transfer.Document](t)(transfer.ParseDocument(strings.NewReader(string(raw))))
	asYAML := fixture.Must[[]byte](t)(yaml.JSONToYAML(raw))
	twice := fixture.Must[*transfer.Document](t)(transfer.ParseDocument(strings.NewReader(string(asYAML))))
	if a, b := fixture.Must[[]byte](t)(jsonv2.Marshal(again)), fixture.Must[[]byte](t)(jsonv2.Marshal(twice)); string(a) != string(b) || string(a) != string(raw) {
		t.Errorf("the plan changed:\n%s\n%s\n%s", raw, a, b)
	}
	return again
}

func replay(ctx context.Context, from, to ocm.Repository, v ocm.Version, d *transfer.Document) (*transfer.Plan, error) {
	env := newEnv()
	g, err := graph.Walk(ctx, env.Job, findIn(from), []ocm.Version{v}, graph.Options{Recursive: true, Follow: d.Follow()})
	if err != nil {
		return nil, err
	}
	return transfer.Replay(ctx, builtin.Kit(), env, g, to, d, nil)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	ref := publish(t, fixture.Registry(t), "team/app", "v1", fixture.Image("layer"))
	src, dst := repository(memory.New()), repository(memory.New())
	v := withImage(t, src, ref)
	o := transfer.Options{CopyResources: true}
	d := written(t, fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, o)))
	if m := d.Versions[1].Moves[1]; m.From != ref || m.Digest != fixture.Image("layer").Root.Digest || m.Bytes <= 0 || d.Totals.Contents != 4 || d.Totals.Unknown != 0 {
		t.Errorf("%+v %+v", m, d.Totals)
	}
	p := fixture.Must[*transfer.Plan](t)(replay(t.Context(), src, dst, v, d))
	if s := fixture.Must[*transfer.Summary](t)(p.Run(t.Context())); s.Written != 2 {
		t.Errorf("%+v", s)
	}
	complete(t, dst, reopen(t, dst, v))
	// once more: it is done
	p = fixture.Must[*transfer.Plan](t)(replay(t.Context(), src, dst, v, d))
	if s := fixture.Must[*transfer.Summary](t)(p.Run(t.Context())); s.Written != 0 || s.Unchanged != 2 {
		t.Errorf("%+v", s)
	}
	// nothing is said about what to do with a version that was there and is gone
	d = written(t, p)
	_, err := replay(t.Context(), src, repository(memory.New()), v, d)
	fixture.WantErr(t, err, ocm.ErrConflict, "acme.org/lib:1.0.0", `"identical"`, `"absent"`)
}

// withImage writes acme.org/app, which references acme.org/lib, with an image by reference.
func withImage(t testing.TB, r ocm.Repository, ref string) ocm.Version {
	t.Helper()
	l := write(t, r, "acme.org/lib", "1.0.0", nil)
	l.resource("data", text("data"))
	a := write(t, r, "acme.org/app", "1.0.0", nil)
	a.resource("readme", text("hello"))
	a.access("image", spec(t, `{"type":"ociArtifact","imageReference":"`+ref+`"}`))
	a.source("code", text("code"))
	a.reference(l.commit())
	return a.commit()
}

// TestReplayIsRefused changes one thing between plan and replay.
func TestReplayIsRefused(t *testing.T) {
	t.Parallel()
	other := digest.FromString("other")
	for name, c := range map[string]struct {
		o       transfer.Options
		before  func(t *testing.T, src, dst ocm.Repository)                // the plan
		between func(t *testing.T, src, dst ocm.Repository, v ocm.Version) // plan and replay
		edit    func(d *transfer.Document)
		texts   []string
	}{
		"the source changed": {between: func(t *testing.T, src, _ ocm.Repository, v ocm.Version) {
			amend(t, src, fixture.Must[ocm.Version](t)(src.Open(t.Context(), "acme.org/lib", "1.0.0")), func(d *ocm.Descriptor) { sign(t, d, "x", "x") })
		}, texts: []string{"source: acme.org/lib:1.0.0", "planned was the manifest"}},
		"a version is gone from the plan": {edit: func(d *transfer.Document) { d.Versions = d.Versions[1:] }, texts: []string{"acme.org/lib:1.0.0 is not in the plan"}},
		"a version was added": {edit: func(d *transfer.Document) {
			d.Versions = append(d.Versions, transfer.DocumentVersion{Component: "acme.org/x", Version: "1.0.0", Manifest: other, State: transfer.Absent})
		}, texts: []string{"acme.org/x:1.0.0 is in the plan and was not found"}},
		"another descriptor":   {edit: func(d *transfer.Document) { d.Versions[0].Descriptor = other }, texts: []string{"descriptor", other.String()}},
		"another action":       {edit: func(d *transfer.Document) { d.Versions[1].Moves[1].Action = transfer.Keep }, texts: []string{"resource image", "keep", "copy"}},
		"another option":       {edit: func(d *transfer.Document) { d.Options.CopyResources = false }, texts: []string{"resource image"}},
		"an element less":      {edit: func(d *transfer.Document) { d.Versions[1].Moves = d.Versions[1].Moves[1:] }, texts: []string{"acme.org/app:1.0.0", "elements"}},
		"another element":      {edit: func(d *transfer.Document) { d.Versions[1].Moves[0].Element = "x" }, texts: []string{`resource "x"`, "resource readme"}},
		"another source of it": {edit: func(d *transfer.Document) { d.Versions[1].Moves[1].From = "evil.example/x" }, texts: []string{"evil.example/x"}},
		"another place":        {edit: func(d *transfer.Document) { d.Versions[1].Moves[0].To = "evil.example/x" }, texts: []string{"evil.example/x"}},
		"another content":      {edit: func(d *transfer.Document) { d.Versions[1].Moves[0].Digest = other }, texts: []string{"resource readme", other.String()}},
		"another state":        {edit: func(d *transfer.Document) { d.Versions[0].State = transfer.Identical }, texts: []string{"acme.org/lib:1.0.0", `"identical"`}},
		"other content in the target": {between: func(t *testing.T, _, dst ocm.Repository, _ ocm.Version) {
			write(t, dst, "acme.org/lib", "1.0.0", nil).commit()
		}, texts: []string{"the target is not what it was", "acme.org/lib:1.0.0"}},
		"other content in the target, which is kept": {o: transfer.Options{KeepExisting: true}, between: func(t *testing.T, _, dst ocm.Repository, _ ocm.Version) {
			write(t, dst, "acme.org/lib", "1.0.0", nil).commit()
		}, texts: []string{"acme.org/lib:1.0.0", "other content by now"}},
		"what is overwritten changed": {o: transfer.Options{Overwrite: true}, before: func(t *testing.T, _, dst ocm.Repository) {
			write(t, dst, "acme.org/lib", "1.0.0", nil).commit()
		}, between: func(t *testing.T, _, dst ocm.Repository, _ ocm.Version) {
			v := fixture.Must[ocm.Version](t)(dst.Open(t.Context(), "acme.org/lib", "1.0.0"))
			amend(t, dst, v, func(d *ocm.Descriptor) { d.Component.Labels = []ocm.Label{label("a", "1")} })
		}, texts: []string{"acme.org/lib:1.0.0", "was to be replaced"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := publish(t, fixture.Registry(t), "team/app", "v1", fixture.Image("layer"))
			target := &faulty{Store: memory.New()}
			src, dst := repository(memory.New()), repository(target)
			v := withImage(t, src, ref)
			if c.before != nil {
				c.before(t, src, dst)
			}
			c.o.CopyResources = true
			d := written(t, fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, c.o)))
			if c.between != nil {
				c.between(t, src, dst, v)
			}
			if c.edit != nil {
				c.edit(d)
			}
			writes := len(target.writes)
			_, err := replay(t.Context(), src, dst, v, d)
			fixture.WantErr(t, err, ocm.ErrConflict, c.texts...)
			if len(target.writes) != writes {
				t.Error("something was written")
			}
		})
	}
}

// An image whose tag was moved after the plan is not moved, though no digest in the descriptor says so.
func TestReplayOfAMovedTag(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	ref := publish(t, url, "team/app", "v1", fixture.Image("reviewed"))
	src, dst := repository(memory.New()), repository(memory.New())
	v := withImage(t, src, ref)
	d := written(t, fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, transfer.Options{CopyResources: true})))
	publish(t, url, "team/app", "v1", fixture.Image("evil"))
	p := fixture.Must[*transfer.Plan](t)(replay(t.Context(), src, dst, v, d))
	_, err := p.Run(t.Context())
	fixture.WantErr(t, err, ocm.ErrConflict, "resource image", "planned "+fixture.Image("reviewed").Root.Digest.String())
	if _, err := dst.Open(t.Context(), "acme.org/app", "1.0.0"); err == nil {
		t.Error("the version is visible")
	}
}

// A plan that was reviewed with a free tag, or one that leads to something known, moves no other tag: overwriting was
// allowed for what stands in the plan.
func TestReplayDoesNotOverwriteAnotherTag(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "known"} {
		url := fixture.Registry(t)
		store := base(t, url, "")
		src, dst := repository(memory.New()), repository(store)
		if before != "" {
			publish(t, url, "team/app", "v1", fixture.Image(before))
		}
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.named("image", "team/app:v1", fixture.Image("ours"))
		v := a.commit()
		d := written(t, fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, transfer.Options{UploadAs: transfer.UploadOCIArtifact, Overwrite: true})))
		fixture.Must[*transfer.Plan](t)(replay(t.Context(), src, dst, v, d))
		publish(t, url, "team/app", "v1", fixture.Image("theirs"))
		_, err := replay(t.Context(), src, dst, v, d)
		fixture.WantErr(t, err, ocm.ErrConflict, "team/app:v1", fixture.Image("theirs").Root.Digest.String())
	}
}

// What the target had was not looked behind when it was planned, and is not now.
func TestReplayWithStopOnExisting(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	leaf := write(t, src, "acme.org/leaf", "1.0.0", nil).commit()
	m := write(t, src, "acme.org/mid", "1.0.0", nil)
	m.reference(leaf)
	mid := m.commit()
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.reference(mid)
	v := a.commit()
	env := newEnv()
	alone := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(src), []ocm.Version{mid}, graph.Options{}))
	fixture.Must[*transfer.Summary](t)(fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), builtin.Kit(), env, alone, dst, transfer.Options{})).Run(t.Context()))

	g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(src), []ocm.Version{v}, graph.Options{Recursive: true, Follow: func(_ context.Context, v ocm.Version) (bool, error) {
		return v.Descriptor().Component.Name != "acme.org/mid", nil
	}}))
	p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), builtin.Kit(), env, g, dst, transfer.Options{}))
	d := p.Document(transfer.Source{Reference: "x", Roots: []string{"x"}, Recursive: true, StopOnExisting: true}, "y")
	for range 2 { // the second time everything is there
		p := fixture.Must[*transfer.Plan](t)(replay(t.Context(), src, dst, v, d))
		if len(p.Versions) != 2 {
			t.Errorf("%d versions", len(p.Versions))
		}
		fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	}
}

const minimalPlan = `{"type":"transferPlan.ocm.software/v1","source":{"reference":"./a","roots":["acme.org/app:1.0.0"]},"target":"./b","options":{},"totals":{"versions":0,"contents":0,"bytes":0,"unknown":0},
"versions":[{"component":"acme.org/app","version":"1.0.0","manifest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","descriptor":"","state":"absent","moves":[{"kind":"resource","element":"x","access":"none","action":"keep","bytes":-1}]}]}`

func TestPlansThatAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := transfer.ParseDocument(strings.NewReader(minimalPlan)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		plan string
		kind error
		text string
	}{
		"empty":               {"", ocm.ErrInvalid, "type"},
		"other type":          {strings.Replace(minimalPlan, "/v1", "/v2", 1), ocm.ErrInvalid, "transferPlan.ocm.software/v2"},
		"unknown member":      {strings.Replace(minimalPlan, `"options":{`, `"options":{"password":"x"`, 1), ocm.ErrInvalid, "password"},
		"duplicate member":    {strings.Replace(minimalPlan, `"target":`, `"target":"./c","target":`, 1), ocm.ErrInvalid, "duplicate"},
		"duplicate in YAML":   {"type: a\ntype: b\n", ocm.ErrInvalid, "already"},
		"no target":           {strings.Replace(minimalPlan, `"./b"`, `""`, 1), ocm.ErrInvalid, "target"},
		"no digest":           {strings.Replace(minimalPlan, "sha256:e3", "sha256:", 1), ocm.ErrInvalid, "no digest"},
		"no state":            {strings.Replace(minimalPlan, `"absent"`, `"gone"`, 1), ocm.ErrInvalid, "gone"},
		"no action":           {strings.Replace(minimalPlan, `"keep"`, `"delete"`, 1), ocm.ErrInvalid, "action"},
		"no component":        {strings.Replace(minimalPlan, `"acme.org/app",`, `"../up",`, 1), ocm.ErrInvalid, "up"},
		"transformations":     {`{"environment":{},"transformations":[]}`, ocm.ErrInvalid, "another tool"},
		"transformation YAML": {"transformations:\n- id: x\n", ocm.ErrInvalid, "another tool"},
		"two documents":       {minimalPlan + minimalPlan, ocm.ErrInvalid, ""},
		"large YAML":          {"#" + strings.Repeat("x", transfer.MaxDocumentYAML), ocm.ErrLimit, "YAML"},
		"large":               {"{" + strings.Repeat(" ", transfer.MaxDocument), ocm.ErrLimit, "bytes"},
		"billion laughs":      {"a: &a [" + strings.Repeat("x,", 5000) + "]\nb: &b [" + strings.Repeat("*a,", 5000) + "]\n", ocm.ErrInvalid, "alias"},
	} {
		_, err := transfer.ParseDocument(strings.NewReader(c.plan))
		t.Run(name, func(t *testing.T) { fixture.WantErr(t, err, c.kind, c.text) })
	}
	twice := strings.Replace(minimalPlan, `"versions":[`, `"versions":[`+minimalPlan[strings.Index(minimalPlan, `{"component"`):len(minimalPlan)-2]+",", 1)
	_, err := transfer.ParseDocument(strings.NewReader(twice))
	fixture.WantErr(t, err, ocm.ErrInvalid, "twice")
}

// An address in a plan does not repeat what only its writer should know.
func TestPlanHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	for i, raw := range []string{
		`{"type":"ociArtifact","imageReference":"user:hunter2@registry.example/app:1"}`,
		`{"type":"ociArtifact","imageReference":"https://user:hunter2@registry.example/app:1"}`,
		`{"type":"wget","url":"https://user:hunter2@acme.org/file?token=hunter2#hunter2"}`,
		`{"type":"helm","helmRepository":"https://u:hunter2@acme.org/charts","helmChart":"app:1"}`,
		`{"type":"wget","url":"https://user:p%zzhunter2@acme.org/file"}`,
		`{"type":"helm","helmRepository":"https://user:hunter2/x@acme.org/charts","helmChart":"app:1"}`,
	} {
		a.access(string(rune('a'+i)), spec(t, raw))
	}
	p := fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, a.commit(), transfer.Options{}))
	raw := fixture.Must[[]byte](t)(jsonv2.Marshal(p.Document(transfer.Source{}, "")))
	if strings.Contains(string(raw), "hunter2") || !strings.Contains(string(raw), "https://acme.org/charts/app:1") {
		t.Error(string(raw))
	}
}

// An error about a version that is there with another access does not repeat a signed address either.
func TestConflictTellsNoSecrets(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	var v ocm.Version
	for i, r := range []ocm.Repository{dst, src} {
		a := write(t, r, "acme.org/app", "1.0.0", nil)
		a.access("file", spec(t, fmt.Sprintf(`{"type":"wget","url":"https://user:hunter2@acme.org/%d?token=hunter2"}`, i)))
		v = a.commit()
	}
	_, err := plan(t.Context(), src, dst, v, transfer.Options{})
	fixture.WantErr(t, err, ocm.ErrExists, "https://acme.org/0", "https://acme.org/1")
	if strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(minimalPlan))
	f.Add([]byte("type: transferPlan.ocm.software/v1\nsource: {reference: a, roots: [b]}\ntarget: c\n"))
	f.Add([]byte(strings.Replace(minimalPlan, `"options":{`, `"options":{"rules":[{"match":{"name":"a*"},"uploader":{"type":"x"}}]`, 1)))
	f.Add([]byte(`{"transformations":[]}`))
	f.Add([]byte("a: &a [x]\nb: *a\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := transfer.ParseDocument(strings.NewReader(string(raw)))
		if err != nil {
			return
		}
		out, err := jsonv2.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := transfer.ParseDocument(strings.NewReader(string(out))); err != nil {
			t.Errorf("what was read cannot be read again: %v\n%s", err, out)
		}
	})
}
