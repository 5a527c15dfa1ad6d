// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// product is a version with everything in it, and two more below it: app → lib, app → base, lib → base.
func product(t testing.TB, r ocm.Repository) ocm.Version {
	t.Helper()
	b := write(t, r, "acme.org/base", "1.0.0", nil)
	b.resource("shared", text("shared bytes"))
	base := b.commit()
	l := write(t, r, "acme.org/lib", "1.0.0", nil)
	l.resource("shared", text("shared bytes"))
	l.resource("image", fixture.Index("library layer"))
	l.reference(base)
	lib := l.commit()
	a := write(t, r, "acme.org/app", "1.0.0+build.1", nil)
	a.desc.Component.CreationTime = "2026-01-02T03:04:05Z"
	a.desc.Component.Labels = []ocm.Label{{Name: "team", Value: ocm.RawJSON(`"blue"`), Version: "v1", Signing: true}, {Name: "note", Value: ocm.RawJSON(`{"a":1}`)}}
	a.resource("readme", text("hello"))
	a.resource("image", fixture.Image("layer"))
	a.access("nothing", ocm.Spec{Type: "none"})
	a.source("code", text("source code"))
	a.reference(lib)
	a.reference(base)
	sign(t, a.desc, "release", "signed")
	return a.commit()
}

func TestEveryDirection(t *testing.T) {
	for from, openSource := range fixture.Places() {
		for to, openTarget := range fixture.Places() {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				target := &faulty{Store: openTarget(t)}
				src, dst := repository(openSource(t)), repository(target)
				v := product(t, src)
				p, s := mustMove(t, src, dst, v, transfer.Options{})
				if s.Versions != 3 || s.Written != 3 || s.Contents != 6 {
					t.Errorf("summary: %+v", s)
				}
				for _, vp := range p.Versions {
					if vp.State != transfer.Absent {
						t.Errorf("%s: state %s", vp.Component, vp.State)
					}
				}
				w := reopen(t, dst, v)
				complete(t, dst, w)
				if a, b := v.Descriptor().Origin(), w.Descriptor().Origin(); string(a.Bytes) != string(b.Bytes) || a.MediaType != b.MediaType {
					t.Errorf("the document changed:\n%s\n%s", a.Bytes, b.Bytes)
				}
				// a blob that is used twice in one repository, or an image twice, is written once
				for _, what := range target.writes {
					if n := target.count(what); n > 1 && !strings.HasSuffix(what, " manifest ") {
						t.Errorf("%s was written %d times", what, n)
					}
				}
				writes := len(target.writes)
				p, s = mustMove(t, src, dst, v, transfer.Options{})
				if s.Written != 0 || s.Contents != 0 || len(target.writes) != writes {
					t.Errorf("a second transfer wrote %d times: %+v", len(target.writes)-writes, s)
				}
				for _, vp := range p.Versions {
					if vp.State != transfer.Identical {
						t.Errorf("second transfer of %s: state %s", vp.Component, vp.State)
					}
				}
			})
		}
	}
}

// A version that three others reference, and a blob that all have, moves once.
func TestSharedReferencesAreWrittenOnce(t *testing.T) {
	t.Parallel()
	src, target := repository(memory.New()), &faulty{Store: memory.New()}
	b := write(t, src, "acme.org/base", "1.0.0", nil)
	b.resource("data", text("data"))
	base := b.commit()
	root := write(t, src, "acme.org/root", "1.0.0", nil)
	for _, name := range []string{"acme.org/a", "acme.org/b", "acme.org/c"} {
		m := write(t, src, name, "1.0.0", nil)
		m.reference(base)
		root.reference(m.commit())
	}
	v := root.commit()
	p, s := mustMove(t, src, repository(target), v, transfer.Options{})
	if s.Versions != 5 || s.Written != 5 || p.Versions[0].Component != "acme.org/base:1.0.0" {
		t.Errorf("%+v, first %s", s, p.Versions[0].Component)
	}
	if n := target.count("component-descriptors/acme.org/base manifest 1.0.0"); n != 1 {
		t.Errorf("the shared version was written %d times: %q", n, target.writes)
	}
	tags := 0
	for _, w := range target.writes {
		if strings.HasSuffix(w, "manifest 1.0.0") {
			if tags++; strings.Contains(w, "root") && tags != 5 {
				t.Errorf("the root became visible as number %d: %q", tags, target.writes)
			}
		}
	}
}

func TestImageByReference(t *testing.T) {
	t.Parallel()
	url := fixture.Registry(t)
	ref := publish(t, url, "team/app", "v1", fixture.Image("by reference"))
	src := repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	r := a.access("image", spec(t, `{"type":"ociArtifact","imageReference":"`+ref+`"}`))
	r.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.OCIArtifactDigest, Value: fixture.Image("by reference").Root.Digest.Encoded()}
	v := a.commit()
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			dst := repository(place(t))
			_, s := mustMove(t, src, dst, v, transfer.Options{}) // only the reference travels
			if w := reopen(t, dst, v); w.Descriptor().Component.Resources[0].Access.Type != "ociArtifact" || s.Contents != 0 {
				t.Errorf("without the option: %s, %+v", w.Descriptor().Component.Resources[0].Access.Raw, s)
			}
			p, s := mustMove(t, src, dst, v, transfer.Options{CopyResources: true}) // now the content follows
			if p.Versions[0].State != transfer.Merge || s.Contents != 1 || s.Written != 1 {
				t.Errorf("state %s, %+v", p.Versions[0].State, s)
			}
			w := reopen(t, dst, v)
			got := w.Descriptor().Component.Resources[0]
			l := fixture.Must[oci.LocalBlob](t)(oci.ParseLocal(got.Access))
			if l.ReferenceName != "team/app:v1" || l.LocalReference != "sha256:"+r.Digest.Value || !blob.IsManifest(l.MediaType) {
				t.Errorf("access: %s", got.Access.Raw)
			}
			if got.Digest.String() != r.Digest.String() {
				t.Errorf("digest: %v", got.Digest)
			}
			complete(t, dst, w)
			if p, _ := mustMove(t, src, dst, v, transfer.Options{CopyResources: true}); p.Versions[0].State != transfer.Identical {
				t.Errorf("third transfer: state %s", p.Versions[0].State)
			}
			if p, _ := mustMove(t, src, dst, v, transfer.Options{}); p.Versions[0].State != transfer.Identical {
				t.Errorf("the reference must not come back: state %s", p.Versions[0].State)
			}
		})
	}
}

// Of many who copy the same at the same time, one writes, and nobody fails.
func TestSameTransferAtTheSameTime(t *testing.T) {
	t.Parallel()
	for kind, open := range fixture.Places() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			from := repository(memory.New())
			a := write(t, from, "acme.org/app", "1.0.0", nil)
			a.resource("text", text("some text"))
			a.commit()
			store := open(t)
			var g errgroup.Group
			var written atomic.Int64
			for range 8 {
				g.Go(func() error {
					s, err := moveAll(t, from, repository(store))
					written.Add(s.Written)
					return err
				})
			}
			if err := g.Wait(); err != nil || written.Load() < 1 {
				t.Errorf("%d wrote it, %v", written.Load(), err)
			}
		})
	}
}
