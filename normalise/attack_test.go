// SPDX-License-Identifier: Apache-2.0

package normalise_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/descriptor"
	"ocm/normalise"
)

// document is a JSON document with one signed label, one resource and one reference;
// changes are applied to its text.
func document(changes ...string) string {
	return strings.NewReplacer(changes...).Replace(`{"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/app","version":"1.0.0","provider":"acme",
"labels":[{"name":"l","value":{"a":"x","n":100},"signing":true},{"name":"u","value":1}],
"repositoryContexts":[],
"resources":[{"name":"res","version":"1.0.0","type":"blob","relation":"local","access":{"type":"localBlob","localReference":"x"},
 "digest":{"hashAlgorithm":"SHA-256","normalisationAlgorithm":"genericBlobDigest/v1","value":"aa"}}],
"sources":[],
"componentReferences":[{"name":"ref","version":"1.0.0","componentName":"acme.org/lib","digest":{"hashAlgorithm":"SHA-256","normalisationAlgorithm":"jsonNormalisation/v3","value":"bb"}}]},
"signatures":[]}`)
}

// The same content in another spelling has the same canonical bytes.
func TestSpellingDoesNotMatter(t *testing.T) {
	t.Parallel()
	d := decode(t, document())
	for name, doc := range map[string]string{
		"key order":            document(`"name":"acme.org/app","version":"1.0.0"`, `"version":"1.0.0","name":"acme.org/app"`),
		"key order in a value": document(`{"a":"x","n":100}`, `{"n":100,"a":"x"}`),
		"white space":          document(`,`, " ,\n\t"),
		"escapes in a key":     document(`"a":"x"`, `"\u0061":"x"`),
		"escapes in a value":   document(`"a":"x"`, `"a":"\u0078"`),
		"escapes in a name":    document(`acme.org/app`, `\u0061cme.org\/app`),
		"number 100.0":         document(`100`, `100.0`),
		"number 1e2":           document(`100`, `1e2`),
		"number 1E+2":          document(`100`, `1E+2`),
		"number 0.1e3":         document(`100`, `0.1e3`),
		"unsigned label":       document(`"name":"u","value":1`, `"name":"u","value":2`),
		"moved content":        document(`"localReference":"x"`, `"localReference":"y"`),
		"repository context":   document(`"repositoryContexts":[]`, `"repositoryContexts":[{"type":"OCIRegistry"}]`),
		"unknown member":       document(`"sources":[]`, `"sources":[],"unheard":1`),
		"signature":            document(`"signatures":[]`, `"signatures":[{"name":"s"}]`),
	} {
		other := decode(t, doc)
		for _, a := range algorithms {
			if normal(t, d, a) != normal(t, other, a) {
				t.Errorf("%s: %s differs", name, a)
			}
		}
	}
}

// Other content has other canonical bytes, or is refused.
func TestContentMatters(t *testing.T) {
	t.Parallel()
	d := decode(t, document())
	label := `{"name":"l","value":{"a":"x","n":100},"signing":true}`
	for name, doc := range map[string]string{
		"name":                     document(`acme.org/app`, `acme.org/apq`),
		"version":                  document(`"1.0.0","provider"`, `"1.0.1","provider"`),
		"provider":                 document(`"acme"`, `"acmf"`),
		"creation time":            document(`"provider"`, `"creationTime":"2026-01-02T03:04:05Z","provider"`),
		"signed value":             document(`"x","n"`, `"y","n"`),
		"signed number":            document(`100`, `101`),
		"number as text":           document(`100`, `"100"`),
		"label removed":            document(label+",", ``),
		"label twice":              document(label, label+","+label),
		"label no longer signed":   document(`"signing":true`, `"signing":false`),
		"label newly signed":       document(`"name":"u","value":1`, `"name":"u","value":1,"signing":true`),
		"label moved":              document(`"labels":[`+label+`,`, `"labels":[`, `"relation"`, `"labels":[`+label+`],"relation"`),
		"signing as text":          document(`"signing":true`, `"signing":"true"`),
		"composed characters":      document(`"x"`, `"\u00e9"`),
		"decomposed characters":    document(`"x"`, `"e\u0301"`),
		"resource renamed":         document(`"name":"res"`, `"name":"rez"`),
		"resource twice":           document(`"resources":[`, `"resources":[{"name":"res","version":"1.0.0","type":"blob","relation":"local","access":{"type":"x"}},`),
		"relation":                 document(`"relation":"local"`, `"relation":"external"`),
		"digest":                   document(`"value":"aa"`, `"value":"ab"`),
		"digest algorithm":         document(`genericBlobDigest/v1`, `ociArtifactDigest/v1`),
		"digest hidden by none":    document(`"type":"localBlob"`, `"type":"none"`),
		"digest removed":           document(`"value":"aa"`, `"value":""`),
		"extra identity":           document(`"relation"`, `"extraIdentity":{"os":"linux"},"relation"`),
		"reference's component":    document(`acme.org/lib`, `acme.org/lic`),
		"reference's digest":       document(`"value":"bb"`, `"value":"bc"`),
		"reference removed":        document(`"componentReferences":[{"name":"ref"`, `"x":[{"name":"ref"`),
		"resources under any case": document(`"resources"`, `"Resources"`),
	} {
		other, err := descriptor.Decode("", []byte(doc))
		if err != nil {
			continue
		}
		for _, a := range algorithms {
			if raw, err := normalise.Normalise(other, a); err == nil && string(raw) == normal(t, d, a) {
				t.Errorf("%s: %s does not cover it", name, a)
			}
		}
	}
}

// A duplicate key lets two readers see two documents under one signature.
func TestGHSA_3633_5h82_39pq_DuplicateKeys(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		document(`"value":"aa"`, `"value":"aa","value":"cc"`),
		document(`"value":"aa"`, `"value":"aa","Value":"cc"`),
		document(`"value":"aa"`, `"value":"aa","\u0076alue":"cc"`),
		document(`{"a":"x"`, `{"a":"y","a":"x"`),
		document(`"signing":true`, `"signing":true,"signing":false`),
	} {
		if d, err := descriptor.Decode("", []byte(doc)); err == nil {
			t.Errorf("accepted: %s", normal(t, d, normalise.V3))
		}
	}
	d := decode(t, document())
	for _, value := range []string{`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[{"b":{"a":1,"a":2}}]`, `1 2`, `{`, `"\ud800"`, "\"\xff\"", `1e400`, `-1e999`, `01`, `NaN`} {
		d.Component.Labels[0].Value = ocm.RawJSON(value)
		for _, a := range algorithms {
			if raw, err := normalise.Normalise(d, a); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("%s of %q: %s %v", a, value, raw, err)
			}
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	d := decode(t, document())
	for n, want := range map[int]error{normalise.MaxDepth: nil, normalise.MaxDepth + 1: ocm.ErrLimit, 9_000: ocm.ErrLimit} {
		d.Component.Labels[0].Value = ocm.RawJSON(strings.Repeat("[", n) + strings.Repeat("]", n))
		for _, a := range algorithms {
			if _, err := normalise.Normalise(d, a); !errors.Is(err, want) {
				t.Errorf("%s at %d: %v", a, n, err)
			}
		}
	}
}

// Defaulting of extra identities must not compare each resource with each other.
func TestIdentityDefaultingIsNotQuadratic(t *testing.T) {
	t.Parallel()
	d := decode(t, document())
	d.Component.Resources = make([]ocm.Resource, 50_000)
	for i := range d.Component.Resources {
		d.Component.Resources[i].Element = ocm.Element{Name: "res", Version: fmt.Sprint(i)}
	}
	start := time.Now()
	raw := normal(t, d, normalise.V2)
	if n := strings.Count(raw, "extraIdentity"); n != 49_999 {
		t.Errorf("%d were changed", n)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// The fast counting must do what comparing each with each does.
func TestIdentityDefaulting(t *testing.T) {
	t.Parallel()
	res := func(version string, id ocm.Identity) ocm.Resource {
		return ocm.Resource{Element: ocm.Element{Name: "r", Version: version, ExtraIdentity: id}}
	}
	id := func(version string) ocm.Identity { return ocm.Identity{"version": version} }
	for name, list := range map[string][]ocm.Resource{
		"none":                {res("1", nil), res("2", id("2"))},
		"three":               {res("1", nil), res("2", nil), res("3", nil)},
		"same version":        {res("1", nil), res("1", nil), res("1", nil)},
		"empty and absent":    {res("1", ocm.Identity{}), res("2", nil)},
		"clash with explicit": {res("1", nil), res("2", nil), res("3", id("1"))},
		"explicit first":      {res("3", id("1")), res("1", nil), res("2", nil)},
		"explicit twice":      {res("3", id("1")), res("4", id("1")), res("1", nil)},
		"quoting":             {res("1", ocm.Identity{"a": "b1:c"}), res("1", ocm.Identity{"a1:b": "c"})},
	} {
		d := decode(t, document())
		d.Component.Resources = list
		want := d.Clone()
		slow(want.Component.Resources)
		if got, want := normal(t, d, normalise.V2), normal(t, want, normalise.V3); got != want {
			t.Errorf("%s:\nexpected %s\nfound    %s", name, want, got)
		}
	}
}

// slow is the rule as the specification tells it.
func slow(list []ocm.Resource) {
	for i := range list {
		for j := range list {
			if i != j && list[i].Name == list[j].Name && list[i].ExtraIdentity.Selects(list[j].ExtraIdentity) && list[j].ExtraIdentity.Selects(list[i].ExtraIdentity) {
				id := ocm.Identity{"version": list[i].Version}
				for k, v := range list[i].ExtraIdentity {
					if k != "version" {
						id[k] = v
					}
				}
				list[i].ExtraIdentity = id
				break
			}
		}
	}
}

// A digest that is cut off, or begins like the right one, is another one.
func TestMatchesTheWholeDigest(t *testing.T) {
	t.Parallel()
	d := decode(t, document())
	for _, a := range algorithms {
		for _, hash := range []string{ocm.SHA256, ocm.SHA512} {
			good, err := normalise.Digest(d, hash, a)
			if err != nil {
				t.Fatal(err)
			}
			last := "0"
			if strings.HasSuffix(good.Value, last) {
				last = "1"
			}
			for _, value := range []string{"", good.Value[:8], good.Value[:len(good.Value)-2], good.Value[:len(good.Value)-1] + last, good.Value + "00"} {
				bad := good
				bad.Value = value
				if err := normalise.Matches(d, bad); !errors.Is(err, ocm.ErrDigest) {
					t.Errorf("%s, %s: %q: %v", a, hash, value, err)
				}
			}
			if err := normalise.Matches(d, good); err != nil {
				t.Error(err)
			}
		}
	}
}
