// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"errors"
	"strings"
	"testing"

	"ocm"
	"ocm/graph"
	"ocm/normalise"
)

// topLab is a root that was signed in the digest mode "top": what is below it lacks digests, which are in the
// root. No such tool runs here; the descriptors are made as the specification tells.
func topLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.believe()
	l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = nil })
	mid := func(ref *ocm.Digest) func(d *ocm.Descriptor) {
		return func(d *ocm.Descriptor) {
			r := l.reference("leaf")
			r.Digest = ref
			d.Component.References = []ocm.Reference{r}
		}
	}
	l.put("mid", mid(nil))
	full := l.open("leaf").Descriptor().Clone()
	one := l.open("mid").Descriptor().Component.Resources[0].Digest
	full.Component.Resources[0].Digest = one
	ofLeaf := digestOf(t, full)
	full = l.open("mid").Descriptor().Clone()
	full.Component.References[0].Digest = ofLeaf
	ofMid := digestOf(t, full)
	l.tamper("root", func(d *ocm.Descriptor) {
		ref := l.reference("mid")
		ref.Digest = ofMid
		d.Component.References, d.Signatures = []ocm.Reference{ref}, nil
		l.attest(d, "default", normalise.V3)
		d.NestedDigests = []ocm.NestedDigest{
			{Name: "acme.org/leaf", Version: "1.0.0", Digest: ofLeaf, ResourceDigests: []ocm.NestedResourceDigest{{Name: "one", Version: "1.0.0", Digest: *one}}},
			{Name: "acme.org/mid", Version: "1.0.0", Digest: ofMid},
		}
	})
	return l
}

func digestOf(t *testing.T, d *ocm.Descriptor) *ocm.Digest {
	t.Helper()
	dg, err := normalise.Digest(d, ocm.SHA256, normalise.V3)
	if err != nil {
		t.Fatal(err)
	}
	return &dg
}

// Nested digests are not signed. They count where a signed digest proves them, and there only.
func TestNestedDigestsAreProven(t *testing.T) {
	l := topLab(t)
	rep, err := l.verify(graph.VerifyOptions{AllCovered: true})
	if err != nil {
		t.Fatal(err)
	}
	contents := 0
	for _, s := range rep.Steps {
		if s.Check == "content digest" && s.Verdict == graph.OK {
			contents++
		}
	}
	if contents != 6 {
		t.Errorf("%+v", rep.Steps)
	}
}

func TestNestedDigestsThatProveNothing(t *testing.T) {
	for name, c := range map[string]struct {
		attack func(l *lab)
		kind   error
		text   string
	}{
		"removed": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.NestedDigests = nil })
		}, ocm.ErrDigest, "reference mid"},
		"one removed": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.NestedDigests = d.NestedDigests[1:] })
		}, ocm.ErrDigest, "reference mid"},
		"resource digest exchanged": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.NestedDigests[0].ResourceDigests[0].Digest = *d.Component.Resources[1].Digest
			})
		}, ocm.ErrDigest, "with the nested digests of the root, which no signature covers"},
		"resource digest for a resource that has one": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.NestedDigests[0].ResourceDigests = append(d.NestedDigests[0].ResourceDigests,
					ocm.NestedResourceDigest{Name: "two", Version: "1.0.0", Digest: *d.Component.Resources[0].Digest})
			})
		}, ocm.ErrDigest, "nested digests of acme.org/leaf:1.0.0: resource two"},
		"resource digest with another hash": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				other := *l.open("leaf").Descriptor().Component.Resources[1].Digest
				other.HashAlgorithm = ocm.SHA512
				d.NestedDigests[0].ResourceDigests = append(d.NestedDigests[0].ResourceDigests, ocm.NestedResourceDigest{Name: "two", Version: "1.0.0", Digest: other})
			})
		}, ocm.ErrDigest, "nested digests of acme.org/leaf:1.0.0: resource two"},
		"resource digest with another normalisation": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				other := *l.open("leaf").Descriptor().Component.Resources[1].Digest
				other.NormalisationAlgorithm = "ociArtifactDigest/v1"
				d.NestedDigests[0].ResourceDigests = append(d.NestedDigests[0].ResourceDigests, ocm.NestedResourceDigest{Name: "two", Version: "1.0.0", Digest: other})
			})
		}, ocm.ErrDigest, "nested digests of acme.org/leaf:1.0.0: resource two"},
		"resource digest for none": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.NestedDigests[1].ResourceDigests = []ocm.NestedResourceDigest{{Name: "three", Version: "1.0.0", Digest: *d.Component.Resources[0].Digest}}
			})
		}, ocm.ErrDigest, "has no resource"},
		"digest of a version exchanged": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.NestedDigests[1].Digest = d.NestedDigests[0].Digest })
		}, ocm.ErrDigest, "nested digests of acme.org/mid:1.0.0"},
		"version that is not referenced": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.NestedDigests = append(d.NestedDigests, ocm.NestedDigest{Name: "acme.org/x", Version: "1"})
			})
		}, ocm.ErrDigest, "acme.org/x:1 is not referenced"},
		"version twice": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.NestedDigests = append(d.NestedDigests, d.NestedDigests[0]) })
		}, ocm.ErrInvalid, "two nested digests are for acme.org/leaf:1.0.0"},
		"resource twice": {func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				r := d.NestedDigests[0].ResourceDigests
				d.NestedDigests[0].ResourceDigests = append(r, r[0])
			})
		}, ocm.ErrInvalid, "two nested digests are for resource"},
		"referenced version exchanged": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Provider = "evil.example" })
		}, ocm.ErrDigest, "reference leaf"},
		"content exchanged": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Resources[0].Access = d.Component.Resources[1].Access })
		}, ocm.ErrDigest, "acme.org/leaf:1.0.0: resource one"},
		"digest added where it was missing, another one": {func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) {
				d.Component.Resources[0].Digest, d.Component.Resources[0].Access = d.Component.Resources[1].Digest, d.Component.Resources[1].Access
			})
		}, ocm.ErrDigest, "reference leaf"},
	} {
		t.Run(name, func(t *testing.T) {
			l := topLab(t)
			c.attack(l)
			rep, err := l.verify(graph.VerifyOptions{})
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || rep.Verified {
				t.Errorf("expected %v naming %q, found %v", c.kind, c.text, err)
			}
		})
	}
}

// A reference of the root itself whose digest is nothing but a nested one: it counts if the signature was made
// over the descriptor with that digest in it.
func TestNestedDigestForAReferenceOfTheRoot(t *testing.T) {
	for _, signedWithIt := range []bool{true, false} {
		l := newLab(t)
		l.believe()
		l.tamper("root", func(d *ocm.Descriptor) {
			ref := d.Component.References[0].Digest
			d.Signatures = nil
			if signedWithIt {
				l.attest(d, "default", normalise.V3)
			}
			d.Component.References[0].Digest = nil
			if !signedWithIt {
				l.attest(d, "default", normalise.V3)
			}
			d.NestedDigests = []ocm.NestedDigest{{Name: "acme.org/leaf", Version: "1.0.0", Digest: ref}}
		})
		_, err := l.verify(graph.VerifyOptions{})
		if signedWithIt != (err == nil) || !signedWithIt && !strings.Contains(err.Error(), "reference leaf: no digest") {
			t.Errorf("signed with it: %v: %v", signedWithIt, err)
		}
	}
}

// Who reads the descriptor later finds the digest that is in it, so that must be the one that was signed.
func TestNestedDigestsReplaceNothing(t *testing.T) {
	for name, change := range map[string]func(l *lab){
		"of a resource": func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = d.Component.Resources[1].Digest })
		},
		"of a reference": func(l *lab) {
			l.tamper("mid", func(d *ocm.Descriptor) { d.Component.References[0].Digest = d.Component.Resources[1].Digest })
		},
	} {
		l := topLab(t)
		change(l)
		if _, err := l.verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
