// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/graph"
	"ocm/normalise"
)

// judgeFunc is a verifier made of a function.
type judgeFunc func(sig ocm.Signature) ([]ocm.Finding, error)

func (f judgeFunc) Verify(_ context.Context, _ *ocm.Env, sig ocm.Signature, _ ocm.Spec) ([]ocm.Finding, error) {
	return f(sig)
}

// attest adds a signature that the verifier "test" judges, whatever the descriptor lacks, as a tool that
// is not strict does.
func (l *lab) attest(d *ocm.Descriptor, name, algorithm string) {
	l.t.Helper()
	dg, err := normalise.Digest(d, ocm.SHA256, algorithm)
	if err != nil {
		l.t.Fatal(err)
	}
	d.Signatures = append(d.Signatures, ocm.Signature{Name: name, Digest: dg, Signature: ocm.SignatureValue{Algorithm: "test", Value: "good"}})
}

// believe lets the verifier "test" accept what attest makes.
func (l *lab) believe() {
	l.judgedBy(func(ocm.Signature) ([]ocm.Finding, error) {
		return []ocm.Finding{{Check: ocm.FoundSigner, Detail: "alice"}}, nil
	})
}

func (l *lab) judgedBy(f judgeFunc) { l.kit.Verifiers.Add(f, "test") }

// lenient is a lab whose root was changed and then signed by a tool that is not strict.
func lenient(t *testing.T, change func(l *lab, d *ocm.Descriptor)) *lab {
	t.Helper()
	l := newLab(t)
	l.believe()
	l.tamper("root", func(d *ocm.Descriptor) {
		d.Signatures = nil
		change(l, d)
		l.attest(d, "default", normalise.V3)
	})
	return l
}

func excludedDigest() *ocm.Digest {
	return &ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}
}

func stepsOf(rep *graph.Report, verdict string) (out []string) {
	for _, s := range rep.Steps {
		if s.Verdict == verdict {
			out = append(out, s.Component+" "+s.Object+": "+s.Check+": "+s.Detail)
		}
	}
	return out
}

// A good signature over a version that it does not cover is worth nothing.
func TestSignedVersionsThatAreNotCovered(t *testing.T) {
	for _, a := range []struct {
		name   string
		change func(l *lab, d *ocm.Descriptor)
		kind   error
		text   string
	}{
		{"resource without digest", func(_ *lab, d *ocm.Descriptor) { d.Component.Resources[1].Digest = nil }, ocm.ErrDigest, "resource two: no digest"},
		{"resource with empty digest", func(_ *lab, d *ocm.Descriptor) { d.Component.Resources[1].Digest = &ocm.Digest{} }, ocm.ErrDigest, "resource two: no digest"},
		{"resource that hides content by half of an exclusion", func(_ *lab, d *ocm.Descriptor) {
			d.Component.Resources[1].Digest = &ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: ocm.NoDigest}
		}, ocm.ErrUnknownType, "NO-DIGEST"},
		{"resource excluded by its normalisation only", func(_ *lab, d *ocm.Descriptor) {
			d.Component.Resources[1].Digest.NormalisationAlgorithm = ocm.ExcludeFromSignature
		}, ocm.ErrUnknownType, ocm.ExcludeFromSignature},
		{"resource with a weak hash", func(_ *lab, d *ocm.Descriptor) { d.Component.Resources[1].Digest.HashAlgorithm = "MD5" }, ocm.ErrUnknownType, "MD5"},
		{"resource with an unknown digest algorithm", func(_ *lab, d *ocm.Descriptor) {
			d.Component.Resources[1].Digest.NormalisationAlgorithm = "rot13/v1"
		}, ocm.ErrUnknownType, "rot13/v1"},
		{"bytes under the digest of an artifact", func(_ *lab, d *ocm.Descriptor) {
			d.Component.Resources[1].Digest.NormalisationAlgorithm = ocm.OCIArtifactDigest
		}, ocm.ErrDigest, "resource two"},
		{"resource of none in a spelling that keeps the digest", func(_ *lab, d *ocm.Descriptor) {
			d.Component.Resources[1].Access = ocm.Spec{Type: "None/v1"}
		}, errors.ErrUnsupported, "resource two"},
		{"reference without digest", func(_ *lab, d *ocm.Descriptor) { d.Component.References[0].Digest = nil }, ocm.ErrDigest, "reference leaf: no digest"},
		{"reference whose digest is of an unknown algorithm", func(_ *lab, d *ocm.Descriptor) {
			d.Component.References[0].Digest.NormalisationAlgorithm = "jsonNormalisation/v9"
		}, ocm.ErrUnknownType, "reference leaf"},
		{"reference whose digest is of a weak hash", func(_ *lab, d *ocm.Descriptor) {
			d.Component.References[0].Digest.HashAlgorithm = "SHA-1"
		}, ocm.ErrUnknownType, "reference leaf"},
		{"reference digest omitted in one branch of a diamond", func(l *lab, d *ocm.Descriptor) {
			l.put("side", func(side *ocm.Descriptor) {
				ref := l.reference("leaf")
				ref.Digest = nil
				side.Component.References = []ocm.Reference{ref}
			})
			d.Component.References = append(d.Component.References, l.reference("side"))
		}, ocm.ErrDigest, "acme.org/side:1.0.0: reference leaf: no digest"},
	} {
		t.Run(a.name, func(t *testing.T) {
			l := lenient(t, a.change)
			rep, err := l.verify(graph.VerifyOptions{})
			if !errors.Is(err, ocm.ErrSignature) || !errors.Is(err, a.kind) || !strings.Contains(err.Error(), a.text) {
				t.Errorf("expected %v naming %q, found %v", a.kind, a.text, err)
			}
			if rep.Verified || rep.Signatures[0].Verdict != graph.OK {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// What can be told without reading anything is told by a shallow verification too.
func TestShallowDemandsDigests(t *testing.T) {
	for name, change := range map[string]func(*lab, *ocm.Descriptor){
		"resource":  func(_ *lab, d *ocm.Descriptor) { d.Component.Resources[1].Digest = nil },
		"reference": func(_ *lab, d *ocm.Descriptor) { d.Component.References[0].Digest = nil },
	} {
		_, err := lenient(t, change).verify(graph.VerifyOptions{Shallow: true})
		if !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What no digest covers is not even looked for.
func TestUncoveredReferencesAreNotFollowed(t *testing.T) {
	l := lenient(t, func(_ *lab, d *ocm.Descriptor) { d.Component.References[0].Digest = nil })
	asked := 0
	find := func(ctx context.Context, name, version string) (ocm.Version, error) {
		asked++
		return l.repo.Open(ctx, name, version)
	}
	rep, err := graph.Verify(t.Context(), l.kit, l.env, find, l.open("root"), graph.VerifyOptions{})
	if err != nil || rep.Err() == nil || asked > 0 {
		t.Errorf("asked %d times, %v, %v", asked, err, rep.Err())
	}
}

// Nothing is read because of what a descriptor says that no good signature covers.
func TestNothingIsReadWithoutAGoodSignature(t *testing.T) {
	l := newLab(t)
	for _, change := range []func(d *ocm.Descriptor){
		func(d *ocm.Descriptor) { d.Signatures[0].Signature.Value = strings.Repeat("0", 512) },
		func(d *ocm.Descriptor) { d.Component.Provider = "evil.example" },
		func(d *ocm.Descriptor) { d.Signatures = nil },
	} {
		l.tamper("root", change)
		v := &counting{Version: l.open("root")}
		find := func(ctx context.Context, name, version string) (ocm.Version, error) {
			v.asked.Add(1)
			return l.repo.Open(ctx, name, version)
		}
		rep, err := graph.Verify(t.Context(), l.kit, l.env, find, v, graph.VerifyOptions{})
		if err != nil || !errors.Is(rep.Err(), ocm.ErrSignature) || v.asked.Load() > 0 {
			t.Errorf("asked %d times, %v, %v", v.asked.Load(), err, rep.Err())
		}
		// The report does not look complete: everything is named, and skipped.
		if got := stepsOf(rep, graph.Skipped); len(got) < 3 {
			t.Errorf("skipped: %q", got)
		}
	}
}

// Good signatures are not enough if they are not those that are wanted.
func TestSignaturesAreThoseThatAreWanted(t *testing.T) {
	l := newLab(t)
	for _, wanted := range []bool{true, false} {
		v := &counting{Version: l.open("root")}
		demand := func(selected []ocm.Signature) error {
			if wanted && len(selected) > 0 {
				return nil
			}
			return fmt.Errorf("somebody else's: %w", ocm.ErrSignature)
		}
		rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, v, graph.VerifyOptions{Demand: demand})
		if err != nil || rep.Verified != wanted || (v.asked.Load() > 0) != wanted {
			t.Errorf("wanted %v: asked %d times, %v, %v", wanted, v.asked.Load(), err, rep.Err())
		}
	}
}

// counting counts how often content is asked for, by several at once.
type counting struct {
	ocm.Version
	asked atomic.Int64
}

func (c *counting) Blob(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	c.asked.Add(1)
	return c.Version.Blob(ctx, access)
}

// Steps that rest on one that has failed are in the report, with the reason.
func TestWhatWasNotReachedIsSkipped(t *testing.T) {
	l := newLab(t)
	l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.Provider = "evil.example" })
	rep, err := l.verify(graph.VerifyOptions{})
	if !errors.Is(err, ocm.ErrDigest) {
		t.Fatal(err)
	}
	failed, skipped := stepsOf(rep, graph.Failed), stepsOf(rep, graph.Skipped)
	if len(failed) != 1 || !strings.HasPrefix(failed[0], "acme.org/root:1.0.0 reference leaf: reference digest: component descriptor acme.org/leaf:1.0.0") {
		t.Errorf("failed: %q", failed)
	}
	if want := "acme.org/root:1.0.0 resource one: content digest: a reference is not good"; len(skipped) != 2 || skipped[0] != want {
		t.Errorf("skipped: %q", skipped)
	}
	rep, err = newLab(t).verify(graph.VerifyOptions{Shallow: true})
	if skipped := stepsOf(rep, graph.Skipped); err != nil || len(skipped) != 3 || !rep.Shallow {
		t.Errorf("%v, skipped: %q", err, skipped)
	}
}

// A report that somebody makes, or that did not come to its end, verifies nothing.
func TestReportsFailClosed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r    graph.Report
		text string
	}{
		{graph.Report{}, "no signature was verified"},
		{graph.Report{Verified: true}, "no signature was verified"},
		{graph.Report{Steps: []graph.Step{{Check: "signature", Verdict: graph.Skipped}}}, "no signature was verified"},
		{graph.Report{Steps: []graph.Step{{Check: "signature value", Verdict: graph.OK}}}, "no signature was verified"},
		{graph.Report{Steps: []graph.Step{{Check: "signature", Verdict: graph.OK}}}, "did not come to its end"},
	} {
		if err := c.r.Err(); !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
}

// Members of the report that programs read.
func TestReportForPrograms(t *testing.T) {
	l := newLab(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l.judgedBy(func(ocm.Signature) ([]ocm.Finding, error) {
		return []ocm.Finding{{Check: ocm.FoundTime, Detail: "by a stamp", Time: at}, {Check: ocm.FoundSigner, Detail: "alice"}}, nil
	})
	l.tamper("root", func(d *ocm.Descriptor) { l.attest(d, "stamped", normalise.V4) })
	rep, err := l.verify(graph.VerifyOptions{Signatures: []string{"stamped"}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	root := l.open("root")
	value := root.Descriptor().Signatures[1].Digest.Value
	for _, want := range []string{
		`{"component":"acme.org/root:1.0.0","manifest":"` + root.Manifest().Digest.String() + `","verified":true,"shallow":false,"signatures":[{"name":"default"`,
		`"algorithm":"RSASSA-PSS","verdict":"skipped"},{"name":"stamped","digest":{"hashAlgorithm":"SHA-256","normalisationAlgorithm":"jsonNormalisation/v4alpha1","value":"` + value + `"}`,
		`"algorithm":"test","signer":"alice","time":"2026-01-02T03:04:05Z","verdict":"ok"}]`,
		`"steps":[{"component":"acme.org/root:1.0.0","object":"component version","check":"manifest digest","verdict":"ok","detail":"sha256:`,
		`{"component":"acme.org/root:1.0.0","object":"signature default","check":"signature","verdict":"skipped","detail":"not asked for"}`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("expected %s in %s", want, raw)
		}
	}
}

// The verifier's word counts only if it is a whole one.
func TestVerifiersThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		judge judgeFunc
		text  string
	}{
		"CVE-2026-44310 panic":                   {func(ocm.Signature) ([]ocm.Finding, error) { panic("index out of range") }, "index out of range"},
		"CVE-2026-39395 nothing found, no error": {func(ocm.Signature) ([]ocm.Finding, error) { return nil, nil }, "does not say who signed"},
		"findings but no signer":                 {func(ocm.Signature) ([]ocm.Finding, error) { return []ocm.Finding{{Check: ocm.FoundValue}}, nil }, "does not say who signed"},
		"a signer, and an error of another kind": {func(ocm.Signature) ([]ocm.Finding, error) { return signer, errors.New("sudden") }, "sudden"},
		"a signer, and an error of a named check": {func(ocm.Signature) ([]ocm.Finding, error) {
			return signer, &ocm.CheckError{Check: ocm.FoundLog, Err: errors.New("no entry")}
		}, "no entry"},
		"a signer whose name is empty": {func(ocm.Signature) ([]ocm.Finding, error) { return []ocm.Finding{{Check: ocm.FoundSigner}}, nil }, "does not say who signed"},
		"CVE-2022-35929 findings called signature": {func(ocm.Signature) ([]ocm.Finding, error) {
			return []ocm.Finding{{Check: "signature"}}, errors.New("bad")
		}, "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			l := lenient(t, func(*lab, *ocm.Descriptor) {})
			l.judgedBy(c.judge)
			rep, err := l.verify(graph.VerifyOptions{})
			if !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("expected %q, found %v", c.text, err)
			}
			if s := rep.Signatures[0]; rep.Verified || s.Verdict != graph.Failed || s.Signer != "" {
				t.Errorf("%+v", s)
			}
		})
	}
}

var signer = []ocm.Finding{{Check: ocm.FoundSigner, Detail: "mallory"}}

// CVE-2026-33487: each signature is judged, not one of them several times.
func TestCVE_2026_33487_EachSignatureIsJudged(t *testing.T) {
	names := []string{"a", "b", "default"}
	for _, bad := range names {
		l := lenient(t, func(l *lab, d *ocm.Descriptor) {
			l.attest(d, "a", normalise.V3)
			l.attest(d, "b", normalise.V4)
		})
		l.judgedBy(func(sig ocm.Signature) ([]ocm.Finding, error) {
			if sig.Name == bad {
				return nil, fmt.Errorf("bad: %w", ocm.ErrSignature)
			}
			return signer, nil
		})
		for _, asked := range [][]string{nil, names} {
			rep, err := l.verify(graph.VerifyOptions{Signatures: asked})
			if err == nil {
				t.Errorf("signature %s is not looked at", bad)
			}
			for i, s := range rep.Signatures {
				if s.Name != names[i] || (s.Verdict == graph.Failed) != (s.Name == bad) {
					t.Errorf("bad is %s: %+v", bad, s)
				}
			}
		}
	}
}

// CVE-2026-23992, GHSA-pmwq-pjrm-6p5r: names are compared byte for byte, a name that is given twice
// counts once, and the empty name is the name of nothing.
func TestCVE_2026_23992_GHSA_pmwq_pjrm_6p5r_NamesOfSignatures(t *testing.T) {
	l := newLab(t)
	for _, names := range [][]string{{""}, {"Default"}, {"def*"}, {"default "}, {".*"}, {"default", "release"}} {
		if _, err := l.verify(graph.VerifyOptions{Signatures: names}); !errors.Is(err, ocm.ErrSignature) {
			t.Errorf("%q: %v", names, err)
		}
	}
	rep, err := l.verify(graph.VerifyOptions{Signatures: []string{"default", "default"}})
	if err != nil || len(rep.Signatures) != 1 || strings.Count(strings.Join(stepsOf(rep, graph.OK), "\n"), "signature default: signature:") != 1 {
		t.Errorf("%v: %+v", err, rep)
	}
}

// A version that is not pinned, or was changed in memory, is not verified.
func TestOnlyWhatWasReadIsVerified(t *testing.T) {
	l := newLab(t)
	good := l.open("root")
	changed := good.Descriptor().Clone()
	changed.Component.Resources[0].Access.Raw = ocm.RawJSON(`{"type":"localBlob","x":1}`) // which no signature covers
	for name, v := range map[string]ocm.Version{
		"no digest":      &disguised{good, ociv1.Descriptor{}, good.Descriptor()},
		"no such digest": &disguised{good, ociv1.Descriptor{Digest: "sha256:../../x"}, good.Descriptor()},
		"changed":        &disguised{good, good.Manifest(), changed},
	} {
		rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, v, graph.VerifyOptions{})
		if err != nil || !errors.Is(rep.Err(), ocm.ErrInvalid) || rep.Steps[0].Verdict != graph.Failed {
			t.Errorf("%s: %v, %v", name, err, rep.Err())
		}
	}
	leaf := l.open("leaf")
	find := func(context.Context, string, string) (ocm.Version, error) {
		return &disguised{leaf, ociv1.Descriptor{}, leaf.Descriptor()}, nil
	}
	rep, err := graph.Verify(t.Context(), l.kit, l.env, find, good, graph.VerifyOptions{})
	if err != nil || !errors.Is(rep.Err(), ocm.ErrInvalid) {
		t.Errorf("referenced version without digest: %v, %v", err, rep.Err())
	}
}

type disguised struct {
	ocm.Version
	manifest ociv1.Descriptor
	desc     *ocm.Descriptor
}

func (d *disguised) Manifest() ociv1.Descriptor  { return d.manifest }
func (d *disguised) Descriptor() *ocm.Descriptor { return d.desc }

// Who gives up gets no report.
func TestVerifyEndsWithItsContext(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if rep, err := graph.Verify(ctx, l.kit, l.env, l.repo.Open, l.open("root"), graph.VerifyOptions{}); rep != nil || err == nil {
		t.Errorf("%v, %v", rep, err)
	}
}

// One signature that is not good is enough to stop, wherever it stands.
func TestNothingIsReadUnlessAllSignaturesAreGood(t *testing.T) {
	for name, bad := range map[string]func(d *ocm.Descriptor){
		"bad one first":     func(d *ocm.Descriptor) { d.Signatures[0].Signature.Value = "bad" },
		"bad one last":      func(d *ocm.Descriptor) { d.Signatures[1].Signature.Value = "bad" },
		"digest of another": func(d *ocm.Descriptor) { d.Signatures[0].Digest.Value = strings.Repeat("0", 64) },
	} {
		t.Run(name, func(t *testing.T) {
			l := lenient(t, func(l *lab, d *ocm.Descriptor) { l.attest(d, "first", normalise.V3) })
			l.judgedBy(func(sig ocm.Signature) ([]ocm.Finding, error) {
				if sig.Signature.Value != "good" {
					return nil, ocm.ErrSignature
				}
				return signer, nil
			})
			l.tamper("root", bad)
			v := &counting{Version: l.open("root")}
			rep, err := graph.Verify(t.Context(), l.kit, l.env, l.repo.Open, v, graph.VerifyOptions{})
			if err != nil || rep.Err() == nil || v.asked.Load() > 0 {
				t.Errorf("asked %d times, %v, %v", v.asked.Load(), err, rep.Err())
			}
		})
	}
}

// So is one reference, anywhere, and all else that the contents rest on.
func TestUncoveredReferencesStopTheRest(t *testing.T) {
	uncovered := ocm.Reference{Element: ocm.Element{Name: "more", Version: "1"}, ComponentName: "acme.org/more"}
	unpinned := func(l *lab) graph.Find {
		leaf := l.open("leaf")
		return func(context.Context, string, string) (ocm.Version, error) {
			return &disguised{leaf, ociv1.Descriptor{}, leaf.Descriptor()}, nil
		}
	}
	for name, c := range map[string]struct {
		change func(l *lab, d *ocm.Descriptor)
		find   func(l *lab) graph.Find
	}{
		"of the root": {change: func(_ *lab, d *ocm.Descriptor) { d.Component.References[0].Digest = nil }},
		"of a referenced version": {change: func(l *lab, d *ocm.Descriptor) {
			l.tamper("leaf", func(d *ocm.Descriptor) { d.Component.References = []ocm.Reference{uncovered} })
			d.Component.References[0] = l.reference("leaf")
		}},
		"nested digests": {change: func(_ *lab, d *ocm.Descriptor) {
			d.NestedDigests = []ocm.NestedDigest{{Name: "acme.org/more", Version: "1"}}
		}},
		"version that is not pinned": {func(*lab, *ocm.Descriptor) {}, unpinned},
	} {
		t.Run(name, func(t *testing.T) {
			l := lenient(t, c.change)
			find := graph.Find(l.repo.Open)
			if c.find != nil {
				find = c.find(l)
			}
			v := &counting{Version: l.open("root")}
			rep, err := graph.Verify(t.Context(), l.kit, l.env, find, v, graph.VerifyOptions{})
			if err != nil || rep.Err() == nil || v.asked.Load() > 0 || len(stepsOf(rep, graph.Skipped)) < 2 {
				t.Errorf("asked %d times, %v, %+v", v.asked.Load(), err, rep)
			}
		})
	}
}
