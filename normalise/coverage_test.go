// SPDX-License-Identifier: Apache-2.0

package normalise_test

import (
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/normalise"
)

// What Uncovered names can be changed under the digest, and what it does not name cannot.
func TestUncovered(t *testing.T) {
	t.Parallel()
	signed := `{"name":"l","value":{"a":"x","n":100},"signing":true}`
	for name, c := range map[string]struct {
		changes []string
		want    map[string]string // by algorithm; what the text begins with
	}{
		"nothing special": {nil, nil},
		"label version":   {[]string{signed, `{"name":"l","version":"v1","value":{"a":"x","n":100},"signing":true}`}, map[string]string{normalise.V4: "component.labels[0].version"}},
		"null member":     {[]string{`{"a":"x"`, `{"b":null,"a":"x"`}, map[string]string{normalise.V4: "component.labels[0].value"}},
		"deep null":       {[]string{`"x"`, `[{"b":null}]`}, map[string]string{normalise.V4: "component.labels[0].value"}},
		"null value":      {[]string{`{"a":"x","n":100}`, `null`}, map[string]string{normalise.V4: "component.labels[0].value"}},
		"null in a list":  {[]string{`"x"`, `[null]`}, nil},
		"unsigned label":  {[]string{`"name":"u"`, `"name":"u","version":"v1"`}, nil},
		"of a resource": {[]string{`"relation"`, `"labels":[{"name":"r","version":"1","value":1,"signing":true}],"relation"`},
			map[string]string{normalise.V4: "component.resources[0].labels[0].version"}},
		"of the provider": {[]string{`"provider":"acme"`, `"provider":"{\"name\":\"a\",\"labels\":[{\"name\":\"p\",\"version\":\"1\",\"value\":1,\"signing\":true}]}"`},
			map[string]string{normalise.V4: "component.provider.labels[0].version"}},
		"of a reference": {[]string{`"name":"ref"`, `"name":"ref","labels":[{"name":"r","version":"1","value":1}]`},
			map[string]string{normalise.V1: "component.componentReferences[0].labels[0]", normalise.V4: "component.componentReferences[0].labels[0].version"}},
		"merge rules of a reference": {[]string{`"name":"ref"`, `"name":"ref","labels":[{"name":"r","value":1,"signing":true,"merge":{"algorithm":"x"}}]`},
			map[string]string{normalise.V4: "component.componentReferences[0].labels[0].merge"}},
		"source": {[]string{`"sources":[]`, `"sources":[{"name":"s","version":"1","type":"git","access":{"type":"x"}}]`}, map[string]string{normalise.V1: "component.sources[0]"}},
		"parts of a second": {[]string{`"provider"`, `"creationTime":"2026-01-02T03:04:05.4Z","provider"`},
			map[string]string{normalise.V1: "component.creationTime", normalise.V2: "component.creationTime", normalise.V3: "component.creationTime"}},
		"version as extra identity": {[]string{`"relation"`, `"extraIdentity":{"version":"1.0.0"},"relation"`},
			map[string]string{normalise.V1: "component.resources[0].extraIdentity", normalise.V2: "component.resources[0].extraIdentity"}},
	} {
		d := decode(t, document(c.changes...))
		for _, a := range algorithms {
			dg, err := normalise.Digest(d, ocm.SHA512, a)
			if err != nil {
				t.Fatal(name, a, err)
			}
			got := normalise.Uncovered(d, dg)
			switch want := c.want[a]; {
			case want == "" && len(got) > 0, want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want+":") && !strings.HasPrefix(got[0], want+".")):
				t.Errorf("%s, %s: expected %q, found %q", name, a, want, got)
			}
		}
	}
}

// A form that covers more than its name promises is known by its digest.
func TestUncoveredOfTheOtherToolsForm(t *testing.T) {
	t.Parallel()
	d := decode(t, document(`"value":{"a":"x"`, `"version":"v1","value":{"b":null,"a":"x"`))
	dg, err := normalise.Digest(d, ocm.SHA256, normalise.V3)
	if err != nil {
		t.Fatal(err)
	}
	dg.NormalisationAlgorithm = normalise.V4
	if got := normalise.Uncovered(d, dg); len(got) != 0 {
		t.Errorf("found %q", got)
	}
}

// What cannot be judged is not covered.
func TestUncoveredFailsClosed(t *testing.T) {
	t.Parallel()
	d := decode(t, document())
	good, err := normalise.Digest(d, ocm.SHA256, normalise.V3)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*ocm.Digest){
		func(dg *ocm.Digest) { dg.Value = strings.Repeat("0", 64) },
		func(dg *ocm.Digest) { dg.Value = "x" },
		func(dg *ocm.Digest) { dg.HashAlgorithm = "SHA-1" },
		func(dg *ocm.Digest) { dg.NormalisationAlgorithm = "jsonNormalisation/v9" },
	} {
		dg := good
		change(&dg)
		if got := normalise.Uncovered(d, dg); !slices.Equal(got, []string{"component: " + dg.NormalisationAlgorithm + " does not cover it"}) {
			t.Errorf("%v: %q", &dg, got)
		}
	}
}
