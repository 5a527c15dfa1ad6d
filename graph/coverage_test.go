// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/credentials"
	"ocm/graph"
	"ocm/normalise"
	"ocm/oci"
	"ocm/sign/rsa"
)

// A signature of one normal form verifies as one of another form if it is called so, because the name of
// the form is not signed. What that other form does not cover is told, and can be made a failure.
func TestRelabelledNormalisation(t *testing.T) {
	l := newLab(t)
	l.put("labels", func(d *ocm.Descriptor) {
		d.Component.Labels = []ocm.Label{{Name: "tier", Value: ocm.RawJSON(`{"a":1}`), Signing: true}}
	})
	l.sign("labels", graph.SignOptions{})
	verify := func(o graph.VerifyOptions) (*graph.Report, error) {
		rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, l.open("labels"), o)
		if err != nil {
			t.Fatal(err)
		}
		return rep, rep.Err()
	}
	if _, err := verify(graph.VerifyOptions{AllCovered: true}); err != nil {
		t.Fatal(err)
	}
	change := func(d *ocm.Descriptor) {
		d.Component.Labels[0].Version = "v9"
		d.Component.Labels[0].Value = ocm.RawJSON(`{"a":1,"b":null}`)
	}
	l.tamper("labels", change)
	if _, err := verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("added under the digest of v3: %v", err)
	}
	l.tamper("labels", func(d *ocm.Descriptor) { d.Signatures[0].Digest.NormalisationAlgorithm = normalise.V4 })
	rep, err := verify(graph.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`acme.org/labels:1.0.0 descriptor: coverage: component.labels[0].value: null in label "tier" is not covered by jsonNormalisation/v4alpha1`,
		`acme.org/labels:1.0.0 descriptor: coverage: component.labels[0].version: version of label "tier" is not covered by jsonNormalisation/v4alpha1`,
	}
	if got := stepsOf(rep, graph.Excluded); !slices.Equal(got, want) {
		t.Errorf("excluded: %q", got)
	}
	if _, err := verify(graph.VerifyOptions{AllCovered: true}); !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), "component.labels[0].version") {
		t.Errorf("all must be covered: %v", err)
	}
	// What one of several good signatures covers is covered.
	l.sign("labels", graph.SignOptions{Name: "strict"})
	if _, err := verify(graph.VerifyOptions{AllCovered: true}); err != nil {
		t.Error(err)
	}
	if _, err := verify(graph.VerifyOptions{AllCovered: true, Signatures: []string{"default"}}); err == nil {
		t.Error("what only a signature covers that was not asked for is not covered")
	}
}

// The same below: what counts is the digest of the reference.
func TestCoverageOfReferencedVersions(t *testing.T) {
	l := newLab(t)
	l.believe()
	l.put("lib", func(d *ocm.Descriptor) {
		d.Component.Sources = []ocm.Source{{Element: ocm.Element{Name: "code", Version: "1"}, Type: "git", Access: ocm.Spec{Type: "none"}}}
	})
	l.tamper("root", func(d *ocm.Descriptor) {
		ref := l.reference("lib")
		dg, err := normalise.Digest(l.open("lib").Descriptor(), ocm.SHA256, normalise.V1)
		if err != nil {
			t.Fatal(err)
		}
		ref.Digest = &dg
		d.Component.References, d.Signatures = append(d.Component.References, ref), nil
		l.attest(d, "default", normalise.V3)
	})
	rep, err := l.verify(graph.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"acme.org/lib:1.0.0 descriptor: coverage: component.sources[0]: source code is not covered by jsonNormalisation/v1"}
	if got := stepsOf(rep, graph.Excluded); !slices.Equal(got, want) {
		t.Errorf("excluded: %q", got)
	}
}

// Content that is excluded is told, never counted, and can be made a failure.
func TestAllCovered(t *testing.T) {
	for name, change := range map[string]func(*ocm.Descriptor){
		"NO-DIGEST": func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = excludedDigest() },
		"none": func(d *ocm.Descriptor) {
			d.Component.Resources[0].Access, d.Component.Resources[0].Digest = ocm.Spec{Type: "none"}, nil
		},
		"None": func(d *ocm.Descriptor) {
			d.Component.Resources[0].Access, d.Component.Resources[0].Digest = ocm.Spec{Type: "None"}, nil
		},
		"none/v1": func(d *ocm.Descriptor) {
			d.Component.Resources[0].Access, d.Component.Resources[0].Digest = ocm.Spec{Type: "none/v1"}, nil
		},
		"none with a digest, which is not signed": func(d *ocm.Descriptor) { d.Component.Resources[0].Access = ocm.Spec{Type: "none"} },
	} {
		l := lenient(t, func(_ *lab, d *ocm.Descriptor) { change(d) })
		rep, err := l.verify(graph.VerifyOptions{})
		if got := stepsOf(rep, graph.Excluded); err != nil || len(got) != 1 || !strings.Contains(got[0], "resource one") {
			t.Errorf("%s: %v, %q", name, err, got)
		}
		for _, shallow := range []bool{false, true} {
			if _, err := l.verify(graph.VerifyOptions{AllCovered: true, Shallow: shallow}); !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), "resource one") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A resource whose access is none has no signed digest. Whoever swaps the access gets no further.
func TestAccessNoneHidesNoContent(t *testing.T) {
	l := lenient(t, func(_ *lab, d *ocm.Descriptor) {
		d.Component.Resources[0].Access, d.Component.Resources[0].Digest = ocm.Spec{Type: "none", Raw: ocm.RawJSON(`{"type":"none"}`)}, nil
	})
	two := l.open("root").Descriptor().Component.Resources[1]
	l.tamper("root", func(d *ocm.Descriptor) { d.Component.Resources[0].Access = two.Access })
	if _, err := l.verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "resource one: no digest") {
		t.Errorf("swapped: %v", err)
	}
	l.tamper("root", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = two.Digest })
	if _, err := l.verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "signature default") {
		t.Errorf("swapped, with a digest: %v", err)
	}
}

// An access is not signed, and need not be: wherever it leads to, the content must have the digest. That
// it calls the content something else is nothing that a signature protects from.
func TestSwappedAccessIsHarmless(t *testing.T) {
	l := newLab(t)
	digestOf := "sha256:" + l.open("root").Descriptor().Component.Resources[0].Digest.Value
	for _, access := range []oci.LocalBlob{
		{Type: oci.LocalBlobType, LocalReference: digestOf, MediaType: "application/x-elsewhere"},
		{Type: "localBlob", LocalReference: digestOf, MediaType: "text/plain", ReferenceName: "renamed"},
	} {
		l.tamper("root", func(d *ocm.Descriptor) {
			spec, err := ocm.NewSpec(access)
			if err != nil {
				t.Fatal(err)
			}
			d.Component.Resources[0].Access = spec
		})
		if _, err := l.verify(graph.VerifyOptions{AllCovered: true}); err != nil {
			t.Errorf("%+v: %v", access, err)
		}
	}
	for name, access := range map[string]string{
		"elsewhere":               `{"type":"ociArtifact","imageReference":"127.0.0.1:1/evil:1"}`,
		"nowhere":                 `{"type":"localBlob","localReference":"sha256:` + strings.Repeat("0", 64) + `","mediaType":"text/plain"}`,
		"of an unknown type":      `{"type":"unheard/v1"}`,
		"by a relative reference": `{"type":"localBlob","localReference":"../../etc/passwd","mediaType":"text/plain"}`,
		"as a manifest":           `{"type":"localBlob","localReference":"` + digestOf + `","mediaType":"application/vnd.oci.image.manifest.v1+json"}`,
		"as a layout":             `{"type":"localBlob","localReference":"sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3","mediaType":"application/vnd.oci.image.layout.v1+tar"}`,
		"left out":                `{"type":"omitted/v1","access":{"type":"localBlob"}}`,
	} {
		root := l.open("root")
		d := root.Descriptor().Clone()
		d.SetOrigin(nil)
		if err := d.Component.Resources[0].Access.UnmarshalJSON([]byte(access)); err != nil {
			t.Fatal(err)
		}
		rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, &disguised{root, root.Manifest(), d}, graph.VerifyOptions{})
		if err != nil || !errors.Is(rep.Err(), ocm.ErrSignature) || !strings.Contains(rep.Err().Error(), "resource one") {
			t.Errorf("%s: %v, %v", name, err, rep.Err())
		}
	}
}

// Of two resources with one identity each has its own content, whichever is asked for first.
func TestOCMv2_3013_SameIdentityTwice(t *testing.T) {
	l := newLab(t)
	l.put("twins", func(d *ocm.Descriptor) { d.Component.Resources[1].Element = d.Component.Resources[0].Element })
	l.sign("twins", graph.SignOptions{})
	verify := func() error {
		rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, l.open("twins"), graph.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return rep.Err()
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	for _, swap := range [][2]int{{0, 1}, {1, 0}} {
		before := l.open("twins").Descriptor().Component.Resources[swap[0]].Access
		l.tamper("twins", func(d *ocm.Descriptor) {
			d.Component.Resources[swap[0]].Access = d.Component.Resources[swap[1]].Access
		})
		if err := verify(); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("resource %d has the content of %d: %v", swap[0], swap[1], err)
		}
		l.tamper("twins", func(d *ocm.Descriptor) { d.Component.Resources[swap[0]].Access = before })
	}
	l.tamper("twins", func(d *ocm.Descriptor) {
		d.Component.Resources = slices.Concat(d.Component.Resources, d.Component.Resources[:1])
	})
	if err := verify(); !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "signature default") {
		t.Errorf("a third one: %v", err)
	}
}

// Labels that are signed stay what and where they were.
func TestSignedLabelsMovedOrDuplicated(t *testing.T) {
	label := ocm.Label{Name: "approved", Value: ocm.RawJSON(`true`), Signing: true}
	for name, change := range map[string]func(d *ocm.Descriptor){
		"removed":    func(d *ocm.Descriptor) { d.Component.Labels = nil },
		"duplicated": func(d *ocm.Descriptor) { d.Component.Labels = append(d.Component.Labels, label) },
		"moved to a resource": func(d *ocm.Descriptor) {
			d.Component.Labels, d.Component.Resources[0].Labels = nil, []ocm.Label{label}
		},
		"copied to a reference, unsigned": func(d *ocm.Descriptor) {
			d.Component.References[0].Labels = []ocm.Label{{Name: "approved", Value: label.Value}}
		},
		"unsigned":         func(d *ocm.Descriptor) { d.Component.Labels[0].Signing = false },
		"renamed":          func(d *ocm.Descriptor) { d.Component.Labels[0].Name = "approveD" },
		"of another value": func(d *ocm.Descriptor) { d.Component.Labels[0].Value = ocm.RawJSON(`1`) },
		"with a version":   func(d *ocm.Descriptor) { d.Component.Labels[0].Version = "v2" },
		"after another one": func(d *ocm.Descriptor) {
			d.Component.Labels = []ocm.Label{{Name: "x", Value: label.Value, Signing: true}, label}
		},
	} {
		l := lenient(t, func(_ *lab, d *ocm.Descriptor) { d.Component.Labels = []ocm.Label{label} })
		l.tamper("root", change)
		if _, err := l.verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// creationTime is signed, in every normal form: dropping it, as one existing tool does, breaks the signature.
func TestOCMv2_3674_CreationTime(t *testing.T) {
	for _, algorithm := range []string{normalise.V1, normalise.V2, normalise.V3, normalise.V4} {
		l := newLab(t)
		l.believe()
		l.tamper("root", func(d *ocm.Descriptor) {
			d.Component.CreationTime, d.Signatures = "2026-01-02T03:04:05Z", nil
			l.attest(d, "default", algorithm)
		})
		if _, err := l.verify(graph.VerifyOptions{}); err != nil {
			t.Fatal(algorithm, err)
		}
		for _, changed := range []string{"", "2026-01-02T03:04:06Z"} {
			l.tamper("root", func(d *ocm.Descriptor) { d.Component.CreationTime = changed })
			if _, err := l.verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrDigest) {
				t.Errorf("%s, %q: %v", algorithm, changed, err)
			}
		}
	}
}

// GHSA-3633-5h82-39pq, CVE-2020-15216: the name of a signature is not signed. A key that is configured for one
// name does not make a copy of its signature good under another.
func TestGHSA_3633_5h82_39pq_CopiedSignature(t *testing.T) {
	l := newLab(t)
	_, public := testKey()
	_, other, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
	if err != nil {
		t.Fatal(err)
	}
	key := func(name string, pem []byte) credentials.Entry {
		return credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1", "signature": name}, Secret: ocm.Secret{"publicKeyPEM": string(pem)}}
	}
	l.env.Credentials = credentials.Static(key("default", public), key("release", other))
	l.tamper("root", func(d *ocm.Descriptor) {
		s := d.Signatures[0]
		s.Name = "release"
		d.Signatures = append(d.Signatures, s)
	})
	if _, err := l.verify(graph.VerifyOptions{Signatures: []string{"default"}}); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{nil, {"release"}, {"default", "release"}} {
		if _, err := l.verify(graph.VerifyOptions{Signatures: names}); !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), "signature release") {
			t.Errorf("%q: %v", names, err)
		}
	}
}

// Two sources are told apart: bytes that are here are compared with their address, others are not looked at.
func TestSourcesAreNotCovered(t *testing.T) {
	l := lenient(t, func(l *lab, d *ocm.Descriptor) {
		d.Component.Sources = []ocm.Source{
			{Element: ocm.Element{Name: "here", Version: "1"}, Type: "git", Access: d.Component.Resources[0].Access},
			{Element: ocm.Element{Name: "elsewhere", Version: "1"}, Type: "git", Access: ocm.Spec{Type: "gitHub", Raw: ocm.RawJSON(`{"type":"gitHub"}`)}},
			{Element: ocm.Element{Name: "gone", Version: "1"}, Type: "git", Access: ocm.Spec{Type: graph.OmittedType, Raw: ocm.RawJSON(`{"type":"omitted/v1"}`)}},
		}
	})
	rep, err := l.verify(graph.VerifyOptions{AllCovered: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := stepsOf(rep, graph.Skipped); len(got) != 2 || !strings.Contains(got[0], "source elsewhere: stored bytes: it is elsewhere") || !strings.Contains(got[1], "source gone: stored bytes: left out") {
		t.Errorf("%q", got)
	}
	if c, err := l.open("root").Blob(t.Context(), l.open("root").Descriptor().Component.Sources[0].Access); err != nil || blob.Check(t.Context(), c) != nil {
		t.Error(err)
	}
}
