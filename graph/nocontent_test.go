// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"errors"
	"strings"
	"testing"

	"ocm"
	"ocm/graph"
)

// TestNoContent: contents are left to those who use them, and nothing else is.
func TestNoContent(t *testing.T) {
	verify := func(l *lab) *graph.Report {
		t.Helper()
		rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, l.open("root"), graph.VerifyOptions{NoContent: true})
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	rep := verify(newLab(t))
	if err := rep.Err(); err != nil {
		t.Fatal(err)
	}
	if g := rep.Graph(); g == nil || len(g.Nodes) != 2 || g.Roots[0].Key() != "acme.org/root:1.0.0" {
		t.Error("the graph is not what was verified")
	}
	skipped := 0
	for _, s := range rep.Steps {
		if s.Verdict == graph.Skipped && s.Check == "content digest" && s.Detail == "content is compared when it is used" {
			skipped++
		}
	}
	if skipped != 4 {
		t.Errorf("%d contents were left out, of 4: %v", skipped, rep.Steps)
	}
	bad := newLab(t)
	bad.put("bad", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest.Value = strings.Repeat("0", 64) })
	bad.sign("bad", graph.SignOptions{Shallow: true})
	for _, left := range []bool{false, true} {
		rep, err := graph.Verify(t.Context(), bad.kit, bad.env, bad.repo.Open, bad.open("bad"), graph.VerifyOptions{NoContent: left})
		if err != nil || (rep.Err() == nil) != left || (rep.Graph() != nil) != left {
			t.Errorf("content left to others: %v: %v, %v", left, err, rep.Err())
		}
	}
	// Who signs carelessly signs what covers nothing: that there is no digest shows without reading.
	_, err := lenient(t, func(_ *lab, d *ocm.Descriptor) { d.Component.Resources[1].Digest = nil }).verify(graph.VerifyOptions{NoContent: true})
	if !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "resource") {
		t.Errorf("a resource without digest: %v", err)
	}
	for name, c := range map[string]struct {
		change func(l *lab)
		kind   error
	}{
		"a reference without digest": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Component.References[0].Digest = nil })
		}, ocm.ErrSignature},
		"a resource below it without digest": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = nil })
		}, ocm.ErrDigest},
		"another version below it": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Provider = "evil.org" })
		}, ocm.ErrDigest},
	} {
		l := newLab(t)
		c.change(l)
		rep := verify(l)
		if err := rep.Err(); !errors.Is(err, ocm.ErrSignature) || !errors.Is(err, c.kind) || rep.Graph() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
