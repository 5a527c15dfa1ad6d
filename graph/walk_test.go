// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/graph"
	"ocm/normalise"
)

// version is a component version that exists only as a descriptor.
type version struct{ d *ocm.Descriptor }

func (v version) Manifest() ociv1.Descriptor  { return ociv1.Descriptor{} }
func (v version) Descriptor() *ocm.Descriptor { return v.d }
func (v version) Blob(context.Context, ocm.Spec) (ocm.Content, error) {
	return ocm.Content{}, errors.ErrUnsupported
}

// world is a set of versions by "name:version".
type world map[string]version

// add makes a version that references others, with digests of what is there already.
func (w world) add(name string, refs ...string) version {
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: "acme.org/" + name, Version: "1.0.0", Provider: "acme.org"}}
	for _, r := range refs {
		ref := ocm.Reference{Element: ocm.Element{Name: r, Version: "1.0.0"}, ComponentName: "acme.org/" + r}
		if child, ok := w["acme.org/"+r+":1.0.0"]; ok {
			dg, err := normalise.Digest(child.d, ocm.SHA256, normalise.V3)
			if err != nil {
				panic(err)
			}
			ref.Digest = &dg
		}
		d.Component.References = append(d.Component.References, ref)
	}
	v := version{d}
	w["acme.org/"+name+":1.0.0"] = v
	return v
}

func (w world) find(_ context.Context, name, ver string) (ocm.Version, error) {
	if v, ok := w[name+":"+ver]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("%s:%s: %w", name, ver, ocm.ErrNotFound)
}

func walk(t *testing.T, w world, root version) (*graph.Graph, error) {
	t.Helper()
	return graph.Walk(t.Context(), ocm.NewJob(4), w.find, []ocm.Version{root}, graph.Options{Recursive: true})
}

func TestWalkOrdersChildrenFirstEachOnce(t *testing.T) {
	w := world{}
	w.add("d")
	w.add("b", "d")
	w.add("c", "d")
	g, err := walk(t, w, w.add("a", "b", "c"))
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, n := range g.Nodes {
		at[n.Descriptor().Component.Name] = i
	}
	if len(g.Nodes) != 4 || at["acme.org/d"] != 0 || at["acme.org/a"] != 3 {
		t.Errorf("order: %v", at)
	}
}

func TestWalkRefusesCycles(t *testing.T) {
	w := world{}
	w.add("b", "a") // no digest: a is not there yet
	a := w.add("a", "b")
	_, err := walk(t, w, a)
	if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "acme.org/a:1.0.0 -> acme.org/b:1.0.0 -> acme.org/a:1.0.0") {
		t.Errorf("expected ErrInvalid with the cycle, found %v", err)
	}
}

func TestWalkComparesReferenceDigests(t *testing.T) {
	w := world{}
	w.add("b")
	a := w.add("a", "b")
	w["acme.org/b:1.0.0"].d.Component.Provider = "evil.example"
	_, err := walk(t, w, a)
	if !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "reference b") {
		t.Errorf("expected ErrDigest naming the reference, found %v", err)
	}
}

func TestWalkNamesWhatIsMissing(t *testing.T) {
	w := world{}
	_, err := walk(t, w, w.add("a", "gone"))
	if !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), "acme.org/a:1.0.0: reference gone") {
		t.Errorf("found %v", err)
	}
}

func TestWalkRefusesAnotherVersionThanTheOneAskedFor(t *testing.T) {
	w := world{}
	b := w.add("b")
	a := w.add("a", "b")
	a.d.Component.References[0].Digest = nil
	b.d.Component.Version = "2.0.0"
	if _, err := walk(t, w, a); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("found %v", err)
	}
}

func TestWalkBoundsDepth(t *testing.T) {
	w := world{}
	last := w.add("n0")
	for i := 1; i <= graph.MaxDepth+2; i++ {
		last = w.add(fmt.Sprint("n", i), fmt.Sprint("n", i-1))
	}
	if _, err := walk(t, w, last); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected ErrLimit, found %v", err)
	}
}

func TestWalkBoundsDepthBeforeItLoads(t *testing.T) {
	w := world{}
	last := w.add("n0")
	for i := 1; i <= 3*graph.MaxDepth; i++ {
		last = w.add(fmt.Sprint("n", i), fmt.Sprint("n", i-1))
	}
	var loaded atomic.Int64
	find := func(ctx context.Context, name, version string) (ocm.Version, error) {
		loaded.Add(1)
		return w.find(ctx, name, version)
	}
	_, err := graph.Walk(t.Context(), ocm.NewJob(4), find, []ocm.Version{last}, graph.Options{Recursive: true})
	if n := loaded.Load(); !errors.Is(err, ocm.ErrLimit) || n > graph.MaxDepth+2 {
		t.Errorf("%d versions were loaded: %v", n, err)
	}
}
