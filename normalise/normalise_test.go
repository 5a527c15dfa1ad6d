// SPDX-License-Identifier: Apache-2.0

package normalise_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/descriptor"
	"ocm/normalise"
)

var algorithms = []string{normalise.V1, normalise.V2, normalise.V3, normalise.V4}

func decode(t testing.TB, doc string) *ocm.Descriptor {
	t.Helper()
	d, err := descriptor.Decode("", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func normal(t testing.TB, d *ocm.Descriptor, algorithm string) string {
	t.Helper()
	raw, err := normalise.Normalise(d, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The vectors were produced by running both existing tools.
func TestVectors(t *testing.T) {
	t.Parallel()
	docs, err := filepath.Glob("testdata/vectors/*.yaml")
	if err != nil || len(docs) != 6 {
		t.Fatalf("expected 6 documents, found %d: %v", len(docs), err)
	}
	for _, doc := range docs {
		d := decode(t, read(t, doc))
		before, err := descriptor.JSON(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range algorithms {
			want := read(t, strings.TrimSuffix(doc, "yaml")+strings.TrimPrefix(a, "jsonNormalisation/"))
			if got := normal(t, d, a); got != want {
				t.Errorf("%s %s:\nexpected %s\nfound    %s", doc, a, want, got)
			}
			sum := sha256.Sum256([]byte(want))
			if err := normalise.Matches(d, ocm.Digest{HashAlgorithm: "SHA-256", NormalisationAlgorithm: a, Value: hex.EncodeToString(sum[:])}); err != nil {
				t.Error(err)
			}
		}
		if after, _ := descriptor.JSON(d); !bytes.Equal(before, after) {
			t.Errorf("%s was modified", doc)
		}
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func golden(t testing.TB, name string) *ocm.Descriptor {
	t.Helper()
	mediaType := descriptor.MediaTypeJSON
	if strings.HasSuffix(name, ".tar") {
		mediaType = descriptor.MediaTypeYAMLTar
	}
	d, err := descriptor.Decode(mediaType, []byte(read(t, filepath.Join("testdata/golden", name))))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Documents of both tools: what they signed and referenced must match.
func TestGolden(t *testing.T) {
	t.Parallel()
	for set, ext := range map[string]string{"v1": "tar", "v1-copied": "tar", "v2": "json", "v2n": "json", "v2n-copied": "json"} {
		app, lib := golden(t, set+"-app."+ext), golden(t, set+"-lib."+ext)
		if len(app.Signatures) == 0 || len(app.Component.References) != 1 {
			t.Fatalf("%s: unexpected document", set)
		}
		for _, s := range append(app.Signatures, lib.Signatures...) {
			d := app
			if s.Name == "plain" {
				d = lib
			}
			if err := normalise.Matches(d, s.Digest); err != nil {
				t.Errorf("%s: signature %s: %v", set, s.Name, err)
			}
		}
		ref := *app.Component.References[0].Digest
		if err := normalise.Matches(lib, ref); err != nil {
			t.Errorf("%s: reference: %v", set, err)
		}
		if err := normalise.Matches(app, ref); !errors.Is(err, ocm.ErrDigest) {
			t.Errorf("%s: the reference's digest matches the wrong version: %v", set, err)
		}
		if q := normalise.Quirks(app); len(q) > 0 {
			t.Errorf("%s: %v", set, q)
		}
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	d := decode(t, read(t, "testdata/vectors/t1.yaml"))
	got, err := normalise.Digest(d, ocm.SHA256, normalise.V4)
	if err != nil || got.Value != "ee9cb7db29df3c0b77a67df7fb475d69bae37ef68914f71dcd842bff2c16487e" || got.HashAlgorithm != ocm.SHA256 || got.NormalisationAlgorithm != normalise.V4 {
		t.Fatal(got, err)
	}
	long, err := normalise.Digest(d, ocm.SHA512, normalise.V3)
	if err != nil || len(long.Value) != 128 {
		t.Fatal(long, err)
	}
	for _, hash := range []string{"", "sha256", "SHA256", "SHA-1", "MD5", ocm.NoDigest} {
		if _, err := normalise.Digest(d, hash, normalise.V4); !errors.Is(err, ocm.ErrUnknownType) {
			t.Errorf("%s: %v", hash, err)
		}
	}
	for _, a := range []string{"", "jsonNormalisation/v5", "jsonNormalisationV3", "JSONNORMALISATION/V3", ocm.ExcludeFromSignature} {
		if _, err := normalise.Digest(d, ocm.SHA256, a); !errors.Is(err, ocm.ErrUnknownType) {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	d := decode(t, read(t, "testdata/vectors/t1.yaml"))
	good, err := normalise.Digest(d, ocm.SHA512, normalise.V3)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(*ocm.Digest)) ocm.Digest { g := good; f(&g); return g }
	for _, c := range []struct {
		name string
		want ocm.Digest
		err  error
	}{
		{"good", good, nil},
		{"legacy hash name", change(func(g *ocm.Digest) { g.HashAlgorithm = "sha512" }), nil},
		{"upper-case hex", change(func(g *ocm.Digest) { g.Value = strings.ToUpper(g.Value) }), nil},
		{"other algorithm with the same bytes", change(func(g *ocm.Digest) { g.NormalisationAlgorithm = normalise.V4 }), nil},
		{"other algorithm", change(func(g *ocm.Digest) { g.NormalisationAlgorithm = normalise.V1 }), ocm.ErrDigest},
		{"wrong hash", change(func(g *ocm.Digest) { g.HashAlgorithm = ocm.SHA256 }), ocm.ErrDigest},
		{"empty value", change(func(g *ocm.Digest) { g.Value = "" }), ocm.ErrDigest},
		{"shortened", change(func(g *ocm.Digest) { g.Value = g.Value[:64] }), ocm.ErrDigest},
		{"prefixed", change(func(g *ocm.Digest) { g.Value = "sha512:" + g.Value }), ocm.ErrDigest},
		{"no digest", ocm.Digest{}, ocm.ErrUnknownType},
		{"excluded", ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}, ocm.ErrUnknownType},
		{"unknown hash", change(func(g *ocm.Digest) { g.HashAlgorithm = "SHA512" }), ocm.ErrUnknownType},
		{"unknown algorithm", change(func(g *ocm.Digest) { g.NormalisationAlgorithm = "x" }), ocm.ErrUnknownType},
	} {
		if err := normalise.Matches(d, c.want); !errors.Is(err, c.err) {
			t.Errorf("%s: expected %v, found %v", c.name, c.err, err)
		}
	}
	err = normalise.Matches(d, change(func(g *ocm.Digest) { g.Value = strings.Repeat("0", 128) }))
	if err == nil || !strings.Contains(err.Error(), "expected 000") || !strings.Contains(err.Error(), "found "+good.Value) {
		t.Error(err)
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]int{
		"t1": {normalise.V3: 1, normalise.V4: 1, normalise.V1: 1},
		"t2": {normalise.V3: 1, normalise.V4: 4, normalise.V2: 1}, // label version and nulls
		"t6": {normalise.V3: 2, normalise.V4: 2, normalise.V1: 1}, // reference without digest
	} {
		d := decode(t, read(t, "testdata/vectors/"+name+".yaml"))
		for a, n := range want {
			got, err := normalise.Candidates(d, a)
			if err != nil || len(got) != n || string(got[0]) != normal(t, d, a) {
				t.Errorf("%s %s: expected %d forms, found %d: %v", name, a, n, len(got), err)
			}
		}
	}
}

// Under V4 the form of V3 is accepted: it covers more. The opposite would let anybody
// add versions and null members to the labels of a signed descriptor.
func TestCandidatesNeverCoverLess(t *testing.T) {
	t.Parallel()
	full := decode(t, read(t, "testdata/vectors/t2.yaml"))
	bare := full.Clone()
	bare.Component.Labels[1].Version = ""
	v3, err := normalise.Digest(full, ocm.SHA256, normalise.V3)
	if err != nil {
		t.Fatal(err)
	}
	v3.NormalisationAlgorithm = normalise.V4
	if err := normalise.Matches(full, v3); err != nil {
		t.Error("the fuller form is not accepted under V4:", err)
	}
	if err := normalise.Matches(bare, v3); err == nil {
		t.Error("a version of a label was removed, and the fuller form still matches")
	}
	signed, err := normalise.Digest(bare, ocm.SHA256, normalise.V3)
	if err != nil {
		t.Fatal(err)
	}
	if err := normalise.Matches(full, signed); !errors.Is(err, ocm.ErrDigest) {
		t.Error("a version was added to a signed label, and V3 still matches:", err)
	}
	lossy, err := normalise.Digest(full, ocm.SHA256, normalise.V4)
	if err != nil {
		t.Fatal(err)
	}
	lossy.NormalisationAlgorithm = normalise.V3
	if err := normalise.Matches(full, lossy); err == nil || !strings.Contains(err.Error(), "added after signing") {
		t.Error("expected an explanation:", err)
	}
}

func TestQuirks(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string][]string{
		"t1": nil, "t3": nil, "t4": nil, "t5": nil,
		"t2": {"component.labels[0].value", "component.labels[1].version"},
		"t6": {"component.componentReferences[0]"},
	} {
		d := decode(t, read(t, "testdata/vectors/"+doc+".yaml"))
		got := normalise.Quirks(d)
		if len(got) != len(want) {
			t.Errorf("%s: %v", doc, got)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]+": ") {
				t.Errorf("%s: expected %s, found %s", doc, want[i], got[i])
			}
		}
		if same := normal(t, d, normalise.V3) == normal(t, d, normalise.V4); same != (len(want) == 0) {
			t.Errorf("%s: quirks %v, but same bytes: %v", doc, got, same)
		}
	}
}

func TestCreationTime(t *testing.T) {
	t.Parallel()
	d := decode(t, read(t, "testdata/vectors/t1.yaml"))
	for in, want := range map[string]string{
		"2026-01-02T03:04:05Z":           "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.5+01:00":    "2026-01-02T02:04:06Z",
		"2026-01-02T03:04:05.499999999Z": "2026-01-02T03:04:05Z",
	} {
		d.Component.CreationTime = in
		if got := normal(t, d, normalise.V3); !strings.Contains(got, `"creationTime":"`+want+`"`) {
			t.Error(got)
		}
		if got := normal(t, d, normalise.V4); !strings.Contains(got, `"creationTime":"`+in+`"`) {
			t.Error(got)
		}
		if got := len(normalise.Quirks(d)); (got == 1) != (in != want) {
			t.Errorf("%s: %v", in, normalise.Quirks(d))
		}
		other, err := normalise.Digest(d, ocm.SHA256, normalise.V4)
		if err != nil {
			t.Fatal(err)
		}
		other.NormalisationAlgorithm = normalise.V3
		if err := normalise.Matches(d, other); err != nil {
			t.Error(err)
		}
	}
	d.Component.CreationTime = "yesterday"
	if _, err := normalise.Normalise(d, normalise.V3); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}

func TestProvider(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ provider, v1, v3, v4 string }{
		{"acme", `"acme"`, `{"name":"acme"}`, `{"name":"acme"}`},
		{`{"name":"acme"}`, `[{"name":"acme"}]`, `{"name":"acme"}`, `{"name":"acme"}`},
		{`{"name":"acme","labels":[]}`, `[{"name":"acme"}]`, `{"name":"acme"}`, `{"name":"acme"}`},
		{`{"name":"acme","extra":1}`, `[{"name":"acme"}]`, `{"name":"acme"}`, `{"name":"acme"}`},
		{`{acme`, `"{acme"`, `{"name":"{acme"}`, ""},
		{`{"name":1}`, `"{\"name\":1}"`, `{"name":"{\"name\":1}"}`, ""},
		{``, `""`, `{"name":""}`, ""},
		{`{"name":"a","name":"b"}`, "", "", ""},
	} {
		d := decode(t, read(t, "testdata/vectors/t1.yaml"))
		d.Component.Provider = ocm.Provider(c.provider)
		for a, want := range map[string]string{normalise.V1: c.v1, normalise.V3: c.v3, normalise.V4: c.v4} {
			raw, err := normalise.Normalise(d, a)
			if want == "" {
				if !errors.Is(err, ocm.ErrInvalid) {
					t.Errorf("%s %s: expected an error, found %s %v", c.provider, a, raw, err)
				}
				continue
			}
			if err != nil || !strings.Contains(string(raw), `"provider":`+want) {
				t.Errorf("%s %s: %s %v", c.provider, a, raw, err)
			}
		}
	}
}

const v3alpha1 = `
apiVersion: ocm.software/v3alpha1
kind: ComponentVersion
metadata:
  name: example.org/minimal
  version: 1.0.0
  provider: {name: example.org}
  labels: [{name: l, value: 1, signing: true}, {name: m, value: 1}]
repositoryContexts: [{type: OCIRegistry, baseUrl: x}]
spec:
  resources: [{name: res, version: 1.0.0, type: blob, relation: local, access: {type: localBlob}}]
  sources: [{name: src, version: 1.0.0, type: git, access: {type: git}}]
  references: []
`

func TestSchemaV3(t *testing.T) {
	t.Parallel()
	d := decode(t, v3alpha1)
	want := `[{"apiVersion":"ocm.software/v3alpha1"},{"kind":"ComponentVersion"},` +
		`{"metadata":[{"labels":[[{"name":"l"},{"signing":true},{"value":1}]]},{"name":"example.org/minimal"},{"provider":[{"name":"example.org"}]},{"version":"1.0.0"}]},` +
		`{"spec":[{"references":[]},{"resources":[[{"name":"res"},{"relation":"local"},{"type":"blob"},{"version":"1.0.0"}]]},` +
		`{"sources":[[{"name":"src"},{"type":"git"},{"version":"1.0.0"}]]}]}]`
	if got := normal(t, d, normalise.V1); got != want {
		t.Errorf("expected %s\nfound    %s", want, got)
	}
	raw, err := descriptor.JSON(d)
	if err != nil {
		t.Fatal(err)
	}
	v2 := decode(t, string(raw))
	for _, a := range algorithms[1:] {
		if normal(t, d, a) != normal(t, v2, a) {
			t.Errorf("%s differs between the schemas", a)
		}
	}
	if normal(t, d, normalise.V1) == normal(t, v2, normalise.V1) {
		t.Error("V1 does not look at the schema")
	}
}

// The digest of a resource without content is not covered, whatever it says.
func TestAccessNone(t *testing.T) {
	t.Parallel()
	for kind, covered := range map[string]bool{"none": false, "None": false, "NONE": true, "none/v1": true, "": true} {
		d := decode(t, document(`"type":"localBlob"`, `"type":"`+kind+`"`))
		for _, a := range algorithms {
			if got := strings.Contains(normal(t, d, a), `"aa"`); got != covered {
				t.Errorf("%s, access %q: covered: %v", a, kind, got)
			}
		}
	}
}

// All labels of references are covered, with merge rules by the older tool only.
func TestReferenceLabels(t *testing.T) {
	t.Parallel()
	d := decode(t, document(`"componentName"`, `"labels":[{"name":"rl","version":"v1","value":1,"merge":{"algorithm":"default","config":{"overwrite":"none"}}}],"componentName"`))
	for a, want := range map[string]string{
		normalise.V1: `"componentReferences":[[{"componentName"`,
		normalise.V2: `"labels":[{"merge":{"algorithm":"default","config":{"overwrite":"none"}},"name":"rl","value":1,"version":"v1"}]`,
		normalise.V3: `"labels":[{"merge":{"algorithm":"default","config":{"overwrite":"none"}},"name":"rl","value":1,"version":"v1"}]`,
		normalise.V4: `"labels":[{"name":"rl","value":1}]`,
	} {
		got := normal(t, d, a)
		if !strings.Contains(got, want) || a == normalise.V1 && strings.Contains(got, `"rl"`) {
			t.Errorf("%s: %s", a, got)
		}
	}
	if q := normalise.Quirks(d); len(q) != 2 {
		t.Error(q)
	}
}

func Example() {
	d := &ocm.Descriptor{
		Meta:      ocm.Meta{SchemaVersion: ocm.SchemaV2},
		Component: ocm.Component{Name: "example.org/minimal", Version: "1.0.0", Provider: "example.org"},
	}
	digest, err := normalise.Digest(d, ocm.SHA256, normalise.V4)
	fmt.Println(digest.Value, err)
	d.Component.Version = "1.0.1"
	fmt.Println(errors.Is(normalise.Matches(d, digest), ocm.ErrDigest))
	// Output:
	// ee9cb7db29df3c0b77a67df7fb475d69bae37ef68914f71dcd842bff2c16487e <nil>
	// true
}
