// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"strings"
	"testing"

	"ocm"
	"ocm/internal/fixture"
	"ocm/oci/memory"
	"ocm/transfer"
)

// twins are a version in two repositories: equal in what is signed, edited in the source.
func twins(t *testing.T, editSource, editTarget func(d *ocm.Descriptor)) (src, dst ocm.Repository, target *faulty, v ocm.Version) {
	t.Helper()
	target = &faulty{Store: memory.New()}
	src, dst = repository(memory.New()), repository(target)
	v = product(t, src)
	mustMove(t, src, dst, v, transfer.Options{})
	if editTarget != nil {
		amend(t, dst, reopen(t, dst, v), editTarget)
	}
	if editSource != nil {
		v = amend(t, src, v, editSource)
	}
	target.writes = nil
	return src, dst, target, v
}

func label(name, value string) ocm.Label { return ocm.Label{Name: name, Value: ocm.RawJSON(value)} }

func value(labels []ocm.Label, name string) string {
	for _, l := range labels {
		if l.Name == name {
			return string(l.Value)
		}
	}
	return ""
}

func TestMerge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		source, target func(d *ocm.Descriptor)
		overwrite      bool
		state          string
		note           string // part of the only note
		check          func(d *ocm.Descriptor) bool
	}{
		{name: "nothing differs", state: transfer.Identical},
		{name: "nothing differs, overwrite", overwrite: true, state: transfer.Identical},
		{
			name: "a new signature is added", state: transfer.Merge,
			source: func(d *ocm.Descriptor) { sign(t, d, "second", "2") },
			check: func(d *ocm.Descriptor) bool {
				return len(d.Signatures) == 2 && d.Signatures[0].Name == "release" && d.Signatures[1].Name == "second"
			},
		},
		{
			name: "a signature of the target stays", state: transfer.Identical,
			target: func(d *ocm.Descriptor) { sign(t, d, "mine", "m") },
			check:  func(d *ocm.Descriptor) bool { return len(d.Signatures) == 2 },
		},
		{
			name: "both added one", state: transfer.Merge,
			source: func(d *ocm.Descriptor) { sign(t, d, "theirs", "t") },
			target: func(d *ocm.Descriptor) { sign(t, d, "mine", "m") },
			check:  func(d *ocm.Descriptor) bool { return len(d.Signatures) == 3 },
		},
		{
			name: "a signature of the same name does not replace the target's", state: transfer.Identical, note: `signature "release" differs`,
			source: func(d *ocm.Descriptor) { d.Signatures[0].Signature.Value = "forged" },
			check: func(d *ocm.Descriptor) bool {
				return len(d.Signatures) == 1 && d.Signatures[0].Signature.Value == "signed"
			},
		},
		{
			name: "nor is it hidden behind a good one", state: transfer.Identical, note: `signature "release" differs`,
			source: func(d *ocm.Descriptor) {
				d.Signatures = append(d.Signatures, d.Signatures[0])
				d.Signatures[1].Signature.Value = "forged"
			},
			check: func(d *ocm.Descriptor) bool {
				return len(d.Signatures) == 1 && d.Signatures[0].Signature.Value == "signed"
			},
		},
		{
			name: "unless the caller says so", overwrite: true, state: transfer.Merge,
			source: func(d *ocm.Descriptor) { d.Signatures[0].Signature.Value = "renewed" },
			check:  func(d *ocm.Descriptor) bool { return d.Signatures[0].Signature.Value == "renewed" },
		},
		{
			name: "a signature over something else is left out", state: transfer.Identical, note: `signature "other" was left out`,
			source: func(d *ocm.Descriptor) {
				sign(t, d, "other", "o")
				d.Signatures[1].Digest.Value = strings.Repeat("0", 64)
			},
			check: func(d *ocm.Descriptor) bool { return len(d.Signatures) == 1 },
		},
		{
			name: "a timestamp does not replace the signature", state: transfer.Identical, note: `signature "release" differs`,
			source: func(d *ocm.Descriptor) { d.Signatures[0].Timestamp = &ocm.Timestamp{Value: "x"} },
		},
		{
			name: "a new unsigned label is added", state: transfer.Merge,
			source: func(d *ocm.Descriptor) {
				d.Component.Labels = append(d.Component.Labels, label("scan", `"ok"`))
				d.Component.Resources[0].Labels = []ocm.Label{label("size", "5")}
				d.Component.Sources[0].Labels = []ocm.Label{label("commit", `"abc"`)}
			},
			check: func(d *ocm.Descriptor) bool {
				c := &d.Component
				return value(c.Labels, "scan") == `"ok"` && value(c.Labels, "note") == `{"a":1}` &&
					value(c.Resources[0].Labels, "size") == "5" && value(c.Sources[0].Labels, "commit") == `"abc"`
			},
		},
		{
			name: "an unsigned label of the target stays", state: transfer.Identical, note: `label "note" differs`,
			source: func(d *ocm.Descriptor) { d.Component.Labels[1] = label("note", `"evil"`) },
			check:  func(d *ocm.Descriptor) bool { return value(d.Component.Labels, "note") == `{"a":1}` },
		},
		{
			name: "unless the caller says so, too", overwrite: true, state: transfer.Merge,
			source: func(d *ocm.Descriptor) { d.Component.Labels[1] = label("note", `"new"`) },
			check:  func(d *ocm.Descriptor) bool { return value(d.Component.Labels, "note") == `"new"` },
		},
		{
			name: "an unsigned label cannot stand in for a signed one", overwrite: true, state: transfer.Identical,
			source: func(d *ocm.Descriptor) { d.Component.Labels = append(d.Component.Labels, label("team", `"red"`)) },
			check: func(d *ocm.Descriptor) bool {
				return value(d.Component.Labels, "team") == `"blue"` && len(d.Component.Labels) == 2
			},
		},
		{
			name: "nested digests are added", state: transfer.Merge,
			source: func(d *ocm.Descriptor) {
				d.NestedDigests = []ocm.NestedDigest{{Name: "acme.org/lib", Version: "1.0.0"}}
			},
			check: func(d *ocm.Descriptor) bool { return len(d.NestedDigests) == 1 },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst, target, v := twins(t, c.source, c.target)
			p, s := mustMove(t, src, dst, v, transfer.Options{Overwrite: c.overwrite})
			vp := p.Versions[len(p.Versions)-1]
			if vp.State != c.state {
				t.Errorf("expected state %s, found %s", c.state, vp.State)
			}
			if (c.note == "") != (len(vp.Notes) == 0) || c.note != "" && !strings.Contains(vp.Notes[0], c.note) {
				t.Errorf("notes: %q", vp.Notes)
			}
			if c.state == transfer.Identical && (len(target.writes) != 0 || s.Written != 0) {
				t.Errorf("identical, but written: %q %+v", target.writes, s)
			}
			if s.Contents != 0 {
				t.Errorf("contents were copied again: %+v", s)
			}
			w := reopen(t, dst, v)
			complete(t, dst, w)
			if c.check != nil && !c.check(w.Descriptor()) {
				t.Errorf("the target became %s", w.Descriptor().Origin().Bytes)
			}
			if p, s := mustMove(t, src, dst, v, transfer.Options{Overwrite: c.overwrite}); s.Written != 0 {
				t.Errorf("the same again is not a no-op: %s %+v", p.Versions[len(p.Versions)-1].State, s)
			}
		})
	}
}

// Sources and resources without digest are covered by nothing: they are not exchanged in silence.
func TestUncoveredContentIsNotExchanged(t *testing.T) {
	t.Parallel()
	version := func(r ocm.Repository, source, plain, excluded string, access string) ocm.Version {
		a := write(t, r, "acme.org/app", "1.0.0", nil)
		a.source("code", text(source))
		a.resource("plain", text(plain)).Digest = nil
		a.resource("excluded", text(excluded)).Digest = &ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}
		a.access("far", spec(t, `{"type":"ociArtifact","imageReference":"`+access+`"}`))
		return a.commit()
	}
	for _, c := range []struct{ name, source, plain, excluded, access, want string }{
		{"same", "s", "p", "e", "x.org/a:1", ""},
		{"source", "other", "p", "e", "x.org/a:1", "source code"},
		{"no digest", "s", "other", "e", "x.org/a:1", "resource plain"},
		{"excluded", "s", "p", "other", "x.org/a:1", "resource excluded"},
		{"access", "s", "p", "e", "x.org/evil:1", "resource far"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := repository(memory.New()), repository(memory.New())
			old := version(dst, "s", "p", "e", "x.org/a:1")
			v := version(src, c.source, c.plain, c.excluded, c.access)
			p, _, err := move(t.Context(), src, dst, v, transfer.Options{})
			if c.want == "" {
				if err != nil || p.Versions[0].State != transfer.Identical {
					t.Errorf("%v %+v", err, p.Versions)
				}
				return
			}
			fixture.WantErr(t, err, ocm.ErrExists, c.want, "no digest")
			if reopen(t, dst, v).Manifest().Digest != old.Manifest().Digest {
				t.Error("the target changed")
			}
			p, _ = mustMove(t, src, dst, v, transfer.Options{Overwrite: true})
			if p.Versions[0].State != transfer.Overwrite {
				t.Errorf("state %s", p.Versions[0].State)
			}
			complete(t, dst, reopen(t, dst, v))
		})
	}
}

// Two who change the target at once: the slower one looks again and destroys nothing.
func TestTargetChangesBetweenPlanAndRun(t *testing.T) {
	t.Parallel()
	src, dst, _, v := twins(t, func(d *ocm.Descriptor) { sign(t, d, "second", "2") }, nil)
	p, err := plan(t.Context(), src, dst, v, transfer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	amend(t, dst, reopen(t, dst, v), func(d *ocm.Descriptor) { sign(t, d, "faster", "f") })
	fixture.Must[*transfer.Summary](t)(p.Run(t.Context()))
	if got := reopen(t, dst, v).Descriptor().Signatures; len(got) != 3 {
		t.Errorf("signatures after a new plan: %v", got)
	}
}
