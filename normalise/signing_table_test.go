// SPDX-License-Identifier: Apache-2.0

package normalise_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/normalise"
)

// The tables of what is written and accepted, as docs/compatibility.md tells them. That the bytes of each form are
// those of the existing tools is proven by TestVectors, with documents T1 to T6 that both have normalised.

// The names: of the four, the older tool knows v1, v2 and v3, the newer one v3 and v4alpha1; so v3 is what we
// write by default (graph.TestSignedByDefault). All four are read, in no other spelling.
func TestNormalisationNames(t *testing.T) {
	t.Parallel()
	d := decode(t, read(t, "testdata/vectors/t2.yaml"))
	for _, a := range []string{"jsonNormalisation/v1", "jsonNormalisation/v2", "jsonNormalisation/v3", "jsonNormalisation/v4alpha1"} {
		for _, hash := range []string{"SHA-256", "SHA-512"} {
			want, err := normalise.Digest(d, hash, a)
			if err != nil || want.Value != strings.ToLower(want.Value) || want.HashAlgorithm != hash || want.NormalisationAlgorithm != a {
				t.Errorf("%s %s: %s, %v", a, hash, &want, err)
			}
			for _, spelling := range []string{hash, strings.ToLower(strings.Replace(hash, "-", "", 1))} { // the second is that of older releases
				want.HashAlgorithm = spelling
				if err := normalise.Matches(d, want); err != nil {
					t.Errorf("%s %s: %v", a, spelling, err)
				}
			}
			for _, spelling := range []string{strings.Replace(hash, "-", "", 1), strings.ToLower(hash), "SHA-384", ""} {
				want.HashAlgorithm = spelling
				if err := normalise.Matches(d, want); !errors.Is(err, ocm.ErrUnknownType) {
					t.Errorf("%s %q: %v", a, spelling, err)
				}
			}
		}
	}
	for _, a := range []string{"jsonNormalisationV3", "jsonNormalisation", "jsonNormalisation/v4", "JsonNormalisation/v3", "jsonNormalisation/v3 ", ""} {
		if _, err := normalise.Normalise(d, a); !errors.Is(err, ocm.ErrUnknownType) {
			t.Errorf("%q: %v", a, err)
		}
	}
}

// difference is a place where the tools make different bytes of one document under one name.
type difference struct {
	name         string
	change       []string // of document()
	older, newer string   // what the bytes of the older tool, and of the newer one, contain; empty: an error
	underV3      bool     // the newer tool's bytes are accepted under v3
	warned       bool     // whoever signs is told
}

// The rows are numbered as in the description of the differences. Under v3 nothing is accepted
// that covers less than v3 says: rows 1 and 2 of the newer tool, which only ever writes them under the
// name v4alpha1, so that no signature of it is lost. Under v4alpha1 the fuller form of both is accepted.
func differences() []difference {
	return []difference{
		{"1: signed label with a version", []string{`"name":"l"`, `"name":"l","version":"v1"`}, `"version":"v1"`, `{"name":"l","signing":true,"value":{"a":"x","n":100}}`, false, true},
		{"2: null member in a signed label", []string{`"n":100`, `"n":null`}, `{"a":"x","n":null}`, `{"a":"x"}`, false, true},
		{"2: null element in a list", []string{`"n":100`, `"n":[null]`}, `"n":[null]`, `"n":[null]`, true, false},
		{"3: reference without digest", []string{`,"digest":{"hashAlgorithm":"SHA-256","normalisationAlgorithm":"jsonNormalisation/v3","value":"bb"}`, ``}, `[{"componentName":"acme.org/lib","name":"ref","version":"1.0.0"}]`, `"digest":{"hashAlgorithm":"","normalisationAlgorithm":"","value":""}`, true, true},
		{"4: time with a zone", []string{`"provider"`, `"creationTime":"2026-01-02T03:04:05+01:00","provider"`}, `"creationTime":"2026-01-02T02:04:05Z"`, `"creationTime":"2026-01-02T03:04:05+01:00"`, true, true},
		{"4: time in UTC", []string{`"provider"`, `"creationTime":"2026-01-02T03:04:05Z","provider"`}, `"creationTime":"2026-01-02T03:04:05Z"`, `"creationTime":"2026-01-02T03:04:05Z"`, true, false},
		{"5: provider that is nearly JSON", []string{`"provider":"acme"`, `"provider":"{acme"`}, `"provider":{"name":"{acme"}`, ``, false, true},
		{"6: provider with an empty list of labels", []string{`"provider":"acme"`, `"provider":"{\"name\":\"acme\",\"labels\":[]}"`}, `"provider":{"name":"acme"}`, `"provider":{"name":"acme"}`, true, false},
		{"7: provider without name", []string{`"provider":"acme"`, `"provider":""`}, `"provider":{"name":""}`, ``, false, true},
	}
}

func TestDifferencesBetweenTheTools(t *testing.T) {
	t.Parallel()
	for _, row := range differences() {
		d := decode(t, document(row.change...))
		if warned := len(normalise.Quirks(d)) > 0; warned != row.warned {
			t.Errorf("%s: told: %v", row.name, normalise.Quirks(d))
		}
		if got := normal(t, d, normalise.V3); !strings.Contains(got, row.older) {
			t.Errorf("%s: v3: expected %s in %s", row.name, row.older, got)
		}
		raw, err := normalise.Normalise(d, normalise.V4)
		if row.newer == "" {
			if !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("%s: v4alpha1: %s, %v", row.name, raw, err)
			}
			continue
		}
		if err != nil || !strings.Contains(string(raw), row.newer) {
			t.Errorf("%s: v4alpha1: expected %s in %s, %v", row.name, row.newer, raw, err)
		}
		fuller := row.name != "4: time with a zone" // is not fuller in the older tool's form, only other
		for _, c := range []struct {
			made, under string
			ok          bool
		}{{normalise.V3, normalise.V3, true}, {normalise.V4, normalise.V4, true}, {normalise.V4, normalise.V3, row.underV3}, {normalise.V3, normalise.V4, fuller}} {
			want, err := normalise.Digest(d, ocm.SHA256, c.made)
			if err != nil {
				t.Fatal(err)
			}
			want.NormalisationAlgorithm = c.under
			if err := normalise.Matches(d, want); (err == nil) != c.ok || err != nil && !errors.Is(err, ocm.ErrDigest) {
				t.Errorf("%s: made by %s, named %s: expected good: %v, found %v", row.name, c.made, c.under, c.ok, err)
			}
		}
	}
}

// Nothing is relaxed beyond these differences: whatever else changes, no form of any name matches.
func TestNothingElseIsRelaxed(t *testing.T) {
	t.Parallel()
	for _, row := range differences() {
		d := decode(t, document(row.change...))
		forms := map[string][][]byte{}
		for _, a := range algorithms {
			forms[a], _ = normalise.Candidates(d, a)
		}
		for name, change := range map[string]func(*ocm.Component){
			"another name":      func(c *ocm.Component) { c.Name += "x" },
			"another value":     func(c *ocm.Component) { c.Labels[0].Value = ocm.RawJSON(`{"a":"y"}`) },
			"a label less":      func(c *ocm.Component) { c.Labels = c.Labels[1:] },
			"a resource less":   func(c *ocm.Component) { c.Resources = nil },
			"another digest":    func(c *ocm.Component) { c.Resources[0].Digest.Value = "ab" },
			"another reference": func(c *ocm.Component) { c.References[0].Version = "1.0.1" },
			"a source more":     func(c *ocm.Component) { c.Sources = append(c.Sources, ocm.Source{Type: "git"}) },
		} {
			other := d.Clone()
			change(&other.Component)
			for _, a := range algorithms {
				if a == normalise.V1 && name == "a source more" {
					continue // the oldest form does not cover sources
				}
				got, _ := normalise.Candidates(other, a)
				for _, raw := range got {
					if slices.ContainsFunc(forms[a], func(f []byte) bool { return string(f) == string(raw) }) {
						t.Errorf("%s, %s: %s still matches", row.name, name, a)
					}
				}
			}
		}
	}
}

// What was observed when the older tool signed (v3) and the newer one verified. The other tool is not
// here; what makes its verdict is: good is where both make the same bytes, which is also
// where nobody is warned.
func TestObservedBetweenTheTools(t *testing.T) {
	t.Parallel()
	resources := `"resources":[{"name":"res","version":"1.0.0","type":"blob","relation":"local","access":{"type":"localBlob","localReference":"x"},
 "digest":{"hashAlgorithm":"SHA-256","normalisationAlgorithm":"genericBlobDigest/v1","value":"aa"}}]`
	for _, row := range []struct {
		feature string
		change  []string
		good    bool
	}{
		{"plain resource", nil, true},
		{"no resources", []string{resources, `"resources":[]`}, true},
		{"no sources", []string{`"sources":[]`, `"sources":null`}, true},
		{"signing and other labels of the component", []string{`"value":1`, `"value":{"any":[null,{"x":null}]}`}, true},
		{"label with merge rules", []string{`"signing":true`, `"merge":{"algorithm":"simpleMapMerge","config":{"overwrite":"none"}},"signing":true`}, true},
		{"label value of all kinds", []string{`"n":100`, `"n":[1.50,-0.0,1e30,9007199254740993,{"b":[[],{}],"a":"<>& \ud83d\ude00"}]`}, true},
		{"provider with labels", []string{`"provider":"acme"`, `"provider":"{\"name\":\"acme\",\"labels\":[{\"name\":\"p\",\"value\":1,\"signing\":true},{\"name\":\"q\",\"value\":null}]}"`}, true},
		{"source with a local blob", []string{`"sources":[]`, `"sources":[{"name":"src","version":"1","type":"git","access":{"type":"localBlob","localReference":"y"}}]`}, true},
		{"resource with references to sources", []string{`"relation"`, `"srcRefs":[{"identitySelector":{"name":"src"}}],"relation"`}, true},
		{"reference with signing and other labels", []string{`"componentName"`, `"labels":[{"name":"a","value":1},{"name":"b","value":2,"signing":true}],"componentName"`}, true},
		{"extra identity", []string{`"relation"`, `"extraIdentity":{"os":"linux","architecture":"arm64"},"relation"`}, true},
		{"digest of an OCI artifact", []string{`genericBlobDigest/v1`, `ociArtifactDigest/v1`}, true},
		{"label with version", []string{`"name":"l"`, `"name":"l","version":"v1"`}, false},
		{"label value with a null member", []string{`"n":100`, `"n":{"deep":[{"x":null}]}`}, false},
	} {
		d := decode(t, document(row.change...))
		same := normal(t, d, normalise.V3) == normal(t, d, normalise.V4)
		if told := normalise.Quirks(d); same != row.good || (len(told) == 0) != row.good {
			t.Errorf("%s: same bytes: %v, told: %v, observed as good: %v", row.feature, same, told, row.good)
		}
	}
}
