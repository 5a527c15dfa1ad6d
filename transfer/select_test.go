// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/normalise"
	"ocm/oci/memory"
	"ocm/transfer"
)

func rules(t testing.TB, include, exclude string) transfer.Options {
	t.Helper()
	split := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, " ")
	}
	return transfer.Options{Select: fixture.Must[*transfer.Select](t)(transfer.NewSelect(split(include), split(exclude)))}
}

func TestRulesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "key=value", "component": "key=value", "component=": "key=value", "name=x": "unknown key", "=x": "unknown key",
		"resource=[": "malformed", "component=a,component=b": "twice", "resource=a,source=b": "both", "type=a,": "key=value",
	} {
		for _, list := range [][2][]string{{{text}, nil}, {nil, {"type=x", text}}} {
			_, err := transfer.NewSelect(list[0], list[1])
			fixture.WantErr(t, err, ocm.ErrInvalid, want)
		}
	}
}

func TestSelectComponents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ include, exclude, version, want string }{
		{"", "", "acme.org/a:1.0.0", "yes"},
		{"", "component=acme.org/*", "acme.org/a:1.0.0", "no"},
		{"", "component=acme.org/*", "acme.org/a/b:1.0.0", "yes"},
		{"", "component=acme.org/**", "acme.org/a/b:1.0.0", "no"},
		{"", "component=acme.org/a:1.*", "acme.org/a:1.0.0", "no"},
		{"", "component=acme.org/a:1.*", "acme.org/a:2.0.0", "yes"},
		{"", "component=acme.org/a,type=x", "acme.org/a:1.0.0", "yes"}, // only elements of it
		{"", "type=x", "acme.org/a:1.0.0", "yes"},
		{"component=acme.org/a", "", "acme.org/a:1.0.0", "yes"},
		{"component=acme.org/a", "", "acme.org/b:1.0.0", "no"},
		{"component=acme.org/a component=acme.org/b", "", "acme.org/b:1.0.0", "yes"},
		{"component=acme.org/a,type=x", "", "acme.org/a:1.0.0", "yes"},
		{"type=x", "", "acme.org/b:1.0.0", "yes"},
		{"component=acme.org/*", "component=acme.org/b", "acme.org/b:1.0.0", "no"}, // exclude wins
	} {
		name, version, _ := strings.Cut(c.version, ":")
		if got := rules(t, c.include, c.exclude).Select.Has(name, version); got != (c.want == "yes") {
			t.Errorf("include %q, exclude %q: %s: %v, expected %s", c.include, c.exclude, c.version, got, c.want)
		}
	}
	if !(*transfer.Select)(nil).Has("a", "b") {
		t.Error("nothing said, and something left out")
	}
}

func TestSelectElements(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	ref := publish(t, url, "x", "v1", fixture.Image("x"))
	for _, c := range []struct{ include, exclude, want string }{ // of: blob, chart, two images elsewhere by other names of one type, source
		{"", "resource=bl*", "omit copy copy copy copy"},
		{"", "resource=*", "omit omit keep keep copy"},
		{"", "source=*", "copy copy copy copy omit"},
		{"", "type=helmChart", "copy omit copy copy copy"},
		{"", "component=acme.org/*,type=helmChart", "copy omit copy copy copy"},
		{"", "component=other.org/*,type=helmChart", "copy copy copy copy copy"},
		{"", "access=ociArtifact", "copy copy keep keep copy"},
		{"", "access=ociRegistry/v1", "copy copy keep keep copy"},
		{"", "access=localFilesystemBlob", "omit omit copy copy omit"},
		{"resource=blob", "", "copy omit keep keep omit"},
		{"resource=blob source=code", "", "copy omit keep keep copy"},
		{"component=acme.org/app", "", "copy copy copy copy copy"},
		{"type=blob", "resource=blob", "omit omit copy copy omit"},
	} {
		src, dst := repository(memory.New()), repository(memory.New())
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.resource("blob", text("blob"))
		a.resource("chart", text("chart")).Type = "helmChart"
		a.access("image", spec(t, `{"type":"ociArtifact","imageReference":"`+ref+`"}`))
		a.access("other", spec(t, `{"type":"OCIImage/v1","imageReference":"`+ref+`"}`))
		a.source("code", text("code"))
		o := rules(t, c.include, c.exclude)
		o.CopyResources = true
		p, _ := mustMove(t, src, dst, a.commit(), o)
		got := ""
		for _, m := range p.Versions[0].Moves {
			got += " " + m.Action
		}
		if got[1:] != c.want {
			t.Errorf("include %q, exclude %q: expected %q, found %q", c.include, c.exclude, c.want, got[1:])
		}
	}
}

// Aliases of an access type are one type for --omit-access-types, too.
func TestOmitAccessKnowsAliases(t *testing.T) {
	t.Parallel()
	src := repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.access("image", spec(t, `{"type":"ociRegistry","imageReference":"localhost:1/x"}`))
	a.access("far", spec(t, `{"type":"carrierPigeon/v1"}`))
	p, _ := mustMove(t, src, repository(memory.New()), a.commit(), transfer.Options{CopyResources: true, OmitAccess: []string{"ociArtifact/v1", "carrierPigeon"}})
	for _, m := range p.Versions[0].Moves {
		if m.Action != transfer.Keep {
			t.Errorf("%+v", m)
		}
	}
}

// check compares the access of the first resource, the state of the plan, and what signatures cover.
func wantFirst(t *testing.T, where string, v, w ocm.Version, p *transfer.Plan, state, accessType string) {
	t.Helper()
	if got := w.Descriptor().Component.Resources[0].Access.Type; got != accessType {
		t.Errorf("%s: expected access %s, found %s", where, accessType, got)
	}
	if got := p.Versions[len(p.Versions)-1].State; got != state {
		t.Errorf("%s: expected state %s, found %s", where, state, got)
	}
	a := fixture.Must[ocm.Digest](t)(normalise.Digest(v.Descriptor(), ocm.SHA256, normalise.V3))
	if err := normalise.Matches(w.Descriptor(), a); err != nil {
		t.Errorf("%s: what is signed changed: %v", where, err)
	}
}

// A blob that is left out is written down; what is there is never taken away, and the same transfer
// without the rule completes the copy to the very document of the source.
func TestLeaveOutAndComplete(t *testing.T) {
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := repository(memory.New()), repository(place(t))
			a := write(t, src, "acme.org/app", "1.0.0", nil)
			a.resource("big", text("very big"))
			a.resource("small", text("small"))
			a.source("code", text("code"))
			a.access("plain", fixture.Must[ocm.Stored](t)(a.draft.Add(t.Context(), text("without digest"), "")).Access)
			a.desc.Component.Resources[0].Access = spec(t, strings.Replace(string(a.desc.Component.Resources[0].Access.Raw), "{", `{"x":1,`, 1))
			sign(t, a.desc, "release", "signed")
			v := a.commit()
			less := rules(t, "", "resource=big resource=plain source=*")
			p, s := mustMove(t, src, dst, v, less)
			w := reopen(t, dst, v)
			wantFirst(t, "partial", v, w, p, transfer.Absent, graph.OmittedType)
			if s.Contents != 1 {
				t.Errorf("%+v", s)
			}
			o := fixture.Must[graph.Omitted](t)(graph.ParseOmitted(w.Descriptor().Component.Resources[0].Access))
			if string(o.Access.Raw) != string(v.Descriptor().Component.Resources[0].Access.Raw) || o.Size != 8 || o.Digest != text("very big").Root.Digest.String() || o.Reason != "excluded by resource=big" {
				t.Errorf("%+v", o)
			}
			_, err := graph.Content(t.Context(), builtin.Kit(), newEnv(), w, w.Descriptor().Component.Resources[0].Access)
			fixture.WantErr(t, err, ocm.ErrNotFound, "was left out of this copy", "--exclude")

			again := fixture.Must[*transfer.Plan](t)(plan(t.Context(), src, dst, v, less))
			if again.Versions[0].State != transfer.Identical {
				t.Errorf("again: %+v", again.Versions[0])
			}
			// a third place gets from the copy what there is, and keeps what it has
			full, part := repository(place(t)), repository(place(t))
			mustMove(t, src, full, v, transfer.Options{})
			p, _ = mustMove(t, dst, full, w, transfer.Options{CopyResources: true, CopySources: true})
			wantFirst(t, "partial to whole", v, reopen(t, full, v), p, transfer.Identical, "localBlob/v1")
			p, _ = mustMove(t, dst, part, w, transfer.Options{CopyResources: true, CopySources: true})
			wantFirst(t, "partial to nowhere", v, reopen(t, part, v), p, transfer.Absent, graph.OmittedType)
			if len(p.Versions[0].Notes) != 3 {
				t.Errorf("notes: %q", p.Versions[0].Notes)
			}

			p, s = mustMove(t, src, dst, v, transfer.Options{})
			w = reopen(t, dst, v)
			wantFirst(t, "completed", v, w, p, transfer.Merge, "localBlob/v1")
			complete(t, dst, w)
			if got, want := string(w.Descriptor().Component.Resources[0].Access.Raw), string(v.Descriptor().Component.Resources[0].Access.Raw); got != want || s.Contents != 3 {
				t.Errorf("%+v: expected %s, found %s", s, want, got)
			}
			p, s = mustMove(t, src, dst, v, less)
			wantFirst(t, "less again", v, reopen(t, dst, v), p, transfer.Identical, "localBlob/v1")
			if s.Written != 0 {
				t.Errorf("%+v", s)
			}
			// and the copies of copies are completed, too
			p, _ = mustMove(t, dst, part, w, transfer.Options{})
			wantFirst(t, "from the copy", v, reopen(t, part, v), p, transfer.Merge, "localBlob/v1")
			complete(t, part, reopen(t, part, v))
		})
	}
}

// A version that is overwritten keeps the blobs that it has of the new one.
func TestOverwriteKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	for i, r := range []ocm.Repository{dst, src} {
		a := write(t, r, "acme.org/app", "1.0.0", nil)
		a.resource("same", text("same"))
		a.resource("other", text(strings.Repeat("x", i+1)))
		a.commit()
	}
	v := fixture.Must[ocm.Version](t)(src.Open(t.Context(), "acme.org/app", "1.0.0"))
	o := rules(t, "", "resource=*")
	o.Overwrite = true
	p, _ := mustMove(t, src, dst, v, o)
	w := reopen(t, dst, v)
	wantFirst(t, "overwritten", v, w, p, transfer.Overwrite, "localBlob/v1")
	if got := w.Descriptor().Component.Resources[1].Access.Type; got != graph.OmittedType {
		t.Errorf("other: %s", got)
	}
}

// A place that the target knows is not given up for what is left out.
func TestLeftOutKeepsThePlaceInTheTarget(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	var v ocm.Version
	for _, r := range []ocm.Repository{src, dst} {
		a := write(t, r, "acme.org/app", "1.0.0", nil)
		a.resource("image", fixture.Image("x"))
		s := a.resource("text", text("text"))
		if r == dst {
			a.desc.Component.Resources[0].Access = spec(t, `{"type":"ociArtifact","imageReference":"localhost:1/x"}`)
			s.Access = fixture.Must[ocm.Spec](t)(graph.Omit(s.Access, text("text").Root, "test"))
		}
		if w := a.commit(); r == src {
			v = w
		}
	}
	p, _ := mustMove(t, src, dst, v, rules(t, "", "resource=image"))
	wantFirst(t, "left out", v, reopen(t, dst, v), p, transfer.Merge, "ociArtifact")
}

// Content that no digest covers is not exchanged by way of a copy without it.
func TestOmittedContentIsNotExchanged(t *testing.T) {
	t.Parallel()
	dst := repository(memory.New())
	for _, content := range []string{"good", "evil"} {
		src := repository(memory.New())
		a := write(t, src, "acme.org/app", "1.0.0", nil)
		a.source("code", text(content))
		v := a.commit()
		if content == "good" {
			mustMove(t, src, dst, v, rules(t, "", "source=*"))
			continue
		}
		_, _, err := move(t.Context(), src, dst, v, transfer.Options{})
		fixture.WantErr(t, err, ocm.ErrExists, "source code has no digest")
	}
}

// An access that leads nowhere in the target can be left out, and only that.
func TestRelativeReferenceLeftOut(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.access("image", spec(t, `{"type":"relativeOciReference","reference":"acme/app:1"}`))
	v := a.commit()
	p, _ := mustMove(t, src, dst, v, rules(t, "", "resource=image"))
	wantFirst(t, "relative", v, reopen(t, dst, v), p, transfer.Absent, graph.OmittedType)
	p, _ = mustMove(t, src, dst, v, rules(t, "", "resource=image"))
	wantFirst(t, "again", v, reopen(t, dst, v), p, transfer.Identical, graph.OmittedType)
}

// The digest of what was left out stays covered: only the two spellings of none drop it.
func TestOmittedKeepsItsDigest(t *testing.T) {
	t.Parallel()
	src := repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("blob", text("blob"))
	d := a.commit().Descriptor().Clone()
	for _, algorithm := range []string{normalise.V1, normalise.V2, normalise.V3, normalise.V4} {
		want := fixture.Must[ocm.Digest](t)(normalise.Digest(d, ocm.SHA256, algorithm))
		e := d.Clone()
		e.Component.Resources[0].Access = fixture.Must[ocm.Spec](t)(graph.Omit(d.Component.Resources[0].Access, text("blob").Root, "test"))
		if err := normalise.Matches(e, want); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		e.Component.Resources[0].Digest.Value = strings.Repeat("0", 64)
		if err := normalise.Matches(e, want); err == nil {
			t.Errorf("%s: the digest is not covered", algorithm)
		}
	}
}

// A component that is left out is not even looked for.
func TestSkippedReferences(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	v := product(t, src)
	o := rules(t, "", "component=*/lib")
	env := newEnv()
	find := func(name string) graph.Find { // lib is nowhere
		return func(ctx context.Context, n, version string) (ocm.Version, error) {
			if n == name {
				t.Errorf("%s was opened", n)
			}
			return src.Open(ctx, n, version)
		}
	}
	g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, find("acme.org/lib"), []ocm.Version{v}, graph.Options{Recursive: true, Skip: o.Select.Skip}))
	p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), builtin.Kit(), env, g, dst, o))
	s := fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	if s.Versions != 2 || p.Versions[0].Component != "acme.org/base:1.0.0" {
		t.Errorf("%+v: %s", s, p.Versions[0].Component)
	}
	if _, s := mustMove(t, src, dst, v, transfer.Options{}); s.Written != 1 {
		t.Errorf("completed: %+v", s)
	}
	complete(t, dst, reopen(t, dst, v))
}

func TestUnusedRules(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	v := product(t, src)
	o := rules(t, "resource=image component=acme.org/*,type=none type=blob", "component=acme.org/none access=localBlob/v1,resource=readme access=carrierPigeon")
	mustMove(t, src, dst, v, o)
	if got := strings.Join(o.Select.Unused(), " "); got != "component=acme.org/none access=carrierPigeon component=acme.org/*,type=none" {
		t.Error(got)
	}
}

// A selection that was written down and read is the same.
func TestSelectionAsJSON(t *testing.T) {
	t.Parallel()
	o := onPlatforms(t, "linux/arm/v7", "linux/x86_64")
	o.Select = rules(t, "resource=a type=b", "component=c,access=d").Select
	raw := fixture.Must[[]byte](t)(jsonv2.Marshal(struct {
		Select    *transfer.Select
		Platforms []blob.Platform
	}{o.Select, o.Platforms}))
	if want := `{"Select":{"include":["resource=a","type=b"],"exclude":["component=c,access=d"]},"Platforms":["linux/arm/v7","linux/amd64"]}`; string(raw) != want {
		t.Errorf("%s", raw)
	}
	var again transfer.Options
	if err := jsonv2.Unmarshal(fixture.Must[[]byte](t)(jsonv2.Marshal(o)), &again); err != nil {
		t.Fatal(err)
	}
	if got := fixture.Must[[]byte](t)(again.Select.MarshalJSON()); !strings.Contains(string(raw), string(got)) || !slices.Equal(again.Platforms, o.Platforms) || again.Select.Has("c", "1") != o.Select.Has("c", "1") {
		t.Errorf("%s %v", got, again.Platforms)
	}
	for _, bad := range []string{`{"include":["x"]}`, `{"include":[1]}`, `[]`} {
		if err := jsonv2.Unmarshal([]byte(bad), &again.Select); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// FuzzRules: what can be read answers about everything, and a rule never leaves out what none of its
// text could mean.
func FuzzRules(f *testing.F) {
	for _, s := range []string{"component=acme.org/*,type=helmChart", "resource=*", "access=ociArtifact/v1", "source=[a-z]?", "type=**", "component=a:1.*", "=", ",", "component=["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := transfer.NewSelect(nil, []string{text})
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if left := !s.Has("acme.org/app", "1.0.0"); left && !strings.Contains(text, "component") {
			t.Errorf("%q leaves a component out", text)
		}
	})
}
