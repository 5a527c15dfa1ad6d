// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/ctf"
	"ocm/graph"
	"ocm/normalise"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/sign/rsa"
)

// lab is a repository with a signed root that references a leaf, and what is needed to verify it.
type lab struct {
	t    *testing.T
	kit  *ocm.Kit
	env  *ocm.Env
	repo ocm.Repository
}

var testKey = sync.OnceValues(func() ([]byte, []byte) {
	private, public, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
	if err != nil {
		panic(err)
	}
	return private, public
})

func newLab(t *testing.T) *lab {
	t.Helper()
	private, public := testKey()
	l := &lab{t: t, kit: builtin.Kit(), env: &ocm.Env{Job: ocm.NewJob(4), Credentials: credentials.Static(credentials.Entry{
		Identity: ocm.Identity{"type": "RSA/v1alpha1"}, Secret: ocm.Secret{"privateKeyPEM": string(private), "publicKeyPEM": string(public)},
	})}}
	l.repo = oci.NewRepository(memory.New(), l.env)
	l.put("leaf", func(d *ocm.Descriptor) {})
	l.put("root", func(d *ocm.Descriptor) { d.Component.References = []ocm.Reference{l.reference("leaf")} })
	l.sign("root", graph.SignOptions{})
	return l
}

func (l *lab) name(short string) string { return "acme.org/" + short }

func (l *lab) open(short string) ocm.Version {
	l.t.Helper()
	v, err := l.repo.Open(l.t.Context(), l.name(short), "1.0.0")
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

// put makes a version with two resources and changes it before it is committed.
func (l *lab) put(short string, change func(d *ocm.Descriptor)) {
	l.t.Helper()
	draft, err := l.repo.Draft(l.t.Context(), l.name(short), "1.0.0", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: l.name(short), Version: "1.0.0", Provider: "acme.org"}}
	for _, content := range []string{"one", "two"} {
		s, err := draft.Add(l.t.Context(), blob.Bytes("text/plain", []byte(content)), "")
		if err != nil {
			l.t.Fatal(err)
		}
		d.Component.Resources = append(d.Component.Resources, ocm.Resource{
			Element: ocm.Element{Name: content, Version: "1.0.0"}, Type: "plainText", Relation: "local", Access: s.Access,
			Digest: &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: s.Root.Digest.Encoded()},
		})
	}
	change(d)
	if _, err := draft.Commit(l.t.Context(), d); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) reference(short string) ocm.Reference {
	l.t.Helper()
	d, err := normalise.Digest(l.open(short).Descriptor(), ocm.SHA256, normalise.V3)
	if err != nil {
		l.t.Fatal(err)
	}
	return ocm.Reference{Element: ocm.Element{Name: short, Version: "1.0.0"}, ComponentName: l.name(short), Digest: &d}
}

func (l *lab) sign(short string, o graph.SignOptions) {
	l.t.Helper()
	if _, err := graph.Sign(l.t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name(short), "1.0.0", o); err != nil {
		l.t.Fatal(err)
	}
}

// tamper replaces a version by a changed one, as somebody who can write to the repository can.
func (l *lab) tamper(short string, change func(d *ocm.Descriptor)) {
	l.t.Helper()
	v := l.open(short)
	draft, err := l.repo.Draft(l.t.Context(), l.name(short), "1.0.0", v)
	if err != nil {
		l.t.Fatal(err)
	}
	d := v.Descriptor().Clone()
	change(d)
	if _, err := draft.Commit(l.t.Context(), d); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) verify(o graph.VerifyOptions) (*graph.Report, error) {
	l.t.Helper()
	rep, err := graph.Verify(l.t.Context(), l.kit, l.env, l.repo.Open, l.open("root"), o)
	if err != nil {
		return nil, err
	}
	return rep, rep.Err()
}

func TestWhatWasSignedVerifies(t *testing.T) {
	l := newLab(t)
	rep, err := l.verify(graph.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Steps) != 2+3+1+4 {
		t.Errorf("steps: %+v", rep.Steps)
	}
	l.sign("root", graph.SignOptions{Name: "second", Algorithm: rsa.PKCS1v15, Hash: ocm.SHA512, Normalisation: normalise.V4})
	if _, err := l.verify(graph.VerifyOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := l.verify(graph.VerifyOptions{Signatures: []string{"second"}}); err != nil {
		t.Error(err)
	}
}

// Each attack is somebody who can write to the repository, but has no key.
func TestAttacksOnASignedVersion(t *testing.T) {
	for _, a := range []struct {
		name   string
		attack func(l *lab)
		o      graph.VerifyOptions
		kind   error
		object string
	}{
		{"no signature at all", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures = nil })
		}, graph.VerifyOptions{}, ocm.ErrSignature, "no signatures"},
		{"CVE-2022-35929 no signature of the name that was asked for", func(*lab) {},
			graph.VerifyOptions{Signatures: []string{"release"}}, ocm.ErrSignature, `"release"`},
		{"CVE-2022-35929 shallow changes nothing about that", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures = nil })
		}, graph.VerifyOptions{Shallow: true}, ocm.ErrSignature, "no signatures"},
		{"unknown signature algorithm", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures[0].Signature.Algorithm = "ROT13" })
		}, graph.VerifyOptions{}, ocm.ErrSignature, "ROT13"},
		{"a good signature beside one that cannot be judged", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				s := d.Signatures[0]
				s.Name, s.Signature.Algorithm = "other", "future"
				d.Signatures = append(d.Signatures, s)
			})
		}, graph.VerifyOptions{}, ocm.ErrSignature, "signature other"},
		{"two signatures of one name", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures = append(d.Signatures, d.Signatures[0]) })
		}, graph.VerifyOptions{}, ocm.ErrSignature, "two signatures"},
		{"CVE-2023-33957 CVE-2023-46737 CVE-2024-29902 endless signatures", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				for range 200 {
					d.Signatures = append(d.Signatures, d.Signatures[0])
				}
			})
		}, graph.VerifyOptions{}, ocm.ErrLimit, "signatures"},
		{"algorithm and media type that disagree", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures[0].Signature.Algorithm = rsa.PKCS1v15 })
		}, graph.VerifyOptions{}, ocm.ErrSignature, "signature default"},
		{"signature of another version", func(l *lab) {
			l.sign("leaf", graph.SignOptions{})
			other := l.open("leaf").Descriptor().Signatures[0]
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures[0] = other })
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"CVE-2026-22703 signature whose digest was replaced by the right one", func(l *lab) {
			l.sign("leaf", graph.SignOptions{})
			other := l.open("leaf").Descriptor().Signatures[0]
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures[0].Signature = other.Signature })
		}, graph.VerifyOptions{}, ocm.ErrSignature, "signature default"},
		{"weaker hash", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Signatures[0].Digest.HashAlgorithm = "SHA-1" })
		}, graph.VerifyOptions{}, nil, "SHA-1"},
		{"unknown normalisation", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.Signatures[0].Digest.NormalisationAlgorithm = "jsonNormalisation/v9"
			})
		}, graph.VerifyOptions{}, ocm.ErrUnknownType, "jsonNormalisation/v9"},
		{"access swapped while the digest is kept", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Component.Resources[0].Access = d.Component.Resources[1].Access })
		}, graph.VerifyOptions{}, ocm.ErrDigest, "resource one"},
		{"access swapped for none in a spelling that keeps the digest", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.Component.Resources[0].Access = ocm.Spec{Type: "none/v1", Raw: ocm.RawJSON(`{"type":"none/v1"}`)}
			})
		}, graph.VerifyOptions{}, nil, "resource one"},
		{"access swapped for none", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.Component.Resources[0].Access = ocm.Spec{Type: "none", Raw: ocm.RawJSON(`{"type":"none"}`)}
			})
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"digest removed", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Component.Resources[0].Digest = nil })
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"digest algorithm that means other bytes", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.Component.Resources[0].Digest.NormalisationAlgorithm = ocm.OCIArtifactDigest
			})
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"resource added", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				r := d.Component.Resources[0]
				r.Name = "three"
				d.Component.Resources = append(d.Component.Resources, r)
			})
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"resources in another order", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				r := d.Component.Resources
				r[0], r[1] = r[1], r[0]
			})
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"creation time added", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Component.CreationTime = "2020-01-01T00:00:00Z" })
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"label made a signed one", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) {
				d.Component.Labels = []ocm.Label{{Name: "approved", Value: ocm.RawJSON(`true`), Signing: true}}
			})
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"reference digest removed", func(l *lab) {
			l.tamper("root", func(d *ocm.Descriptor) { d.Component.References[0].Digest = nil })
		}, graph.VerifyOptions{}, ocm.ErrDigest, "signature default"},
		{"referenced version exchanged", func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Provider = "evil.example" })
		}, graph.VerifyOptions{}, ocm.ErrDigest, "reference leaf"},
		{"content of the referenced version exchanged", func(l *lab) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Resources[1].Access = d.Component.Resources[0].Access })
		}, graph.VerifyOptions{}, ocm.ErrDigest, "acme.org/leaf:1.0.0: resource two"},
	} {
		t.Run(a.name, func(t *testing.T) {
			l := newLab(t)
			a.attack(l)
			_, err := l.verify(a.o)
			if err == nil || a.kind != nil && !errors.Is(err, a.kind) || !strings.Contains(err.Error(), a.object) {
				t.Errorf("expected %v naming %q, found %v", a.kind, a.object, err)
			}
		})
	}
}

// What nobody may believe: content that the signature does not cover is told as such.
func TestExcludedContentIsReported(t *testing.T) {
	l := newLab(t)
	l.put("open", func(d *ocm.Descriptor) {
		d.Component.Resources[0].Digest = &ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}
		d.Component.Resources[1].Access, d.Component.Resources[1].Digest = ocm.Spec{Type: "none"}, nil
	})
	l.sign("open", graph.SignOptions{})
	rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, l.open("open"), graph.VerifyOptions{})
	if err != nil || rep.Err() != nil {
		t.Fatal(err, rep.Err())
	}
	excluded := 0
	for _, s := range rep.Steps {
		if s.Verdict == graph.Excluded {
			excluded++
		}
	}
	if excluded != 2 {
		t.Errorf("steps: %+v", rep.Steps)
	}
}

// A global access that stands beside a local one leads nowhere, whatever it says.
func TestGlobalAccessIsNotFollowed(t *testing.T) {
	l := newLab(t)
	l.tamper("root", func(d *ocm.Descriptor) {
		a := &d.Component.Resources[0].Access
		a.Raw = ocm.RawJSON(strings.Replace(string(a.Raw), "{", `{"globalAccess":{"type":"ociArtifact","imageReference":"127.0.0.1:1/evil"},`, 1))
	})
	if _, err := l.verify(graph.VerifyOptions{}); err != nil {
		t.Error(err)
	}
}

// GHSA-wfqx-gjrf-g28r: verify one state of a tag, then use another. A version that was opened
// stays what it was.
func TestGHSA_wfqx_gjrf_g28r_TagMovesAfterOpen(t *testing.T) {
	l := newLab(t)
	v := l.open("root")
	l.tamper("root", func(d *ocm.Descriptor) { d.Component.Resources[0].Access = d.Component.Resources[1].Access })
	rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, v, graph.VerifyOptions{})
	if err != nil || rep.Err() != nil {
		t.Fatal(err, rep.Err())
	}
	c, err := v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := blob.ReadAll(t.Context(), c.From, c.Root, 10); err != nil || string(b) != "one" {
		t.Errorf("the verified version delivers %q, %v", b, err)
	}
}

// Signing does not put a seal on what is wrong.
func TestSignRefusesWrongDigests(t *testing.T) {
	l := newLab(t)
	l.put("bad", func(d *ocm.Descriptor) { d.Component.Resources[0].Access = d.Component.Resources[1].Access })
	_, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name("bad"), "1.0.0", graph.SignOptions{})
	if !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "resource one") {
		t.Errorf("found %v", err)
	}
}

// Missing digests are added when signing, existing ones stay as they are.
func TestSignCompletesDigests(t *testing.T) {
	l := newLab(t)
	l.put("bare", func(d *ocm.Descriptor) {
		d.Component.Resources[0].Digest = nil
		ref := l.reference("leaf")
		ref.Digest = nil
		d.Component.References = []ocm.Reference{ref}
	})
	l.sign("bare", graph.SignOptions{})
	rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, l.open("bare"), graph.VerifyOptions{})
	if err != nil || rep.Err() != nil {
		t.Fatal(err, rep.Err())
	}
}

func TestSignatureNameIsTaken(t *testing.T) {
	l := newLab(t)
	sign := func(o graph.SignOptions) error {
		_, err := graph.Sign(t.Context(), l.kit, l.env, l.repo.Open, l.repo, l.name("root"), "1.0.0", o)
		return err
	}
	if err := sign(graph.SignOptions{}); !errors.Is(err, ocm.ErrExists) {
		t.Errorf("found %v", err)
	}
	if err := sign(graph.SignOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if err := sign(graph.SignOptions{Name: "dry", DryRun: true}); err != nil {
		t.Error(err)
	}
	if n := len(l.open("root").Descriptor().Signatures); n != 1 {
		t.Errorf("expected one signature, found %d", n)
	}
}

// Two who sign at once both succeed.
func TestTwoSignAtOnce(t *testing.T) {
	l := newLab(t)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			if _, err := graph.Sign(context.WithoutCancel(t.Context()), l.kit, l.env, l.repo.Open, l.repo, l.name("root"), "1.0.0", graph.SignOptions{Name: name}); err != nil {
				t.Error(name, err)
			}
		})
	}
	wg.Wait()
	if n := len(l.open("root").Descriptor().Signatures); n != 5 {
		t.Errorf("expected 5 signatures, found %d", n)
	}
	if _, err := l.verify(graph.VerifyOptions{}); err != nil {
		t.Error(err)
	}
}

// A source that is stored in parts has no address as a whole; its parts are read all the same.
func TestSourceInPartsIsRead(t *testing.T) {
	l, dir := newLab(t), filepath.Join(t.TempDir(), "ctf")
	store, err := ctf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.repo = oci.NewRepository(store, l.env)
	var parts []string
	l.put("root", func(d *ocm.Descriptor) {
		for _, r := range d.Component.Resources {
			parts = append(parts, "sha256:"+r.Digest.Value)
		}
		access, err := ocm.NewSpec(oci.LocalBlob{Type: oci.LocalBlobType, LocalReference: strings.Join(parts, ","), MediaType: "text/plain"})
		if err != nil {
			t.Fatal(err)
		}
		d.Component.Resources = nil
		d.Component.Sources = []ocm.Source{{Element: ocm.Element{Name: "src", Version: "1.0.0"}, Type: "git", Access: access}}
	})
	l.sign("root", graph.SignOptions{})
	if _, err := l.verify(graph.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "blobs", strings.Replace(parts[1], ":", ".", 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.verify(graph.VerifyOptions{}); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("got %v, want %v", err, ocm.ErrNotFound)
	}
}
