// SPDX-License-Identifier: Apache-2.0

package descriptor_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ocm"
	"ocm/descriptor"
	"ocm/internal/fixture"
)

func decode(t testing.TB, doc string) *ocm.Descriptor {
	t.Helper()
	d, err := descriptor.Decode("", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func goldenFiles(t testing.TB) map[string]string {
	t.Helper()
	files := map[string]string{}
	for ext, mediaType := range map[string]string{"json": descriptor.MediaTypeJSON, "tar": descriptor.MediaTypeYAMLTar} {
		found, err := filepath.Glob("testdata/golden/*." + ext)
		if err != nil || len(found) == 0 {
			t.Fatal("golden files are missing", err)
		}
		for _, f := range found {
			files[f] = mediaType
		}
	}
	return files
}

func tarOf(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		h := &tar.Header{Name: entries[i], Size: int64(len(entries[i+1])), Typeflag: tar.TypeReg}
		if strings.HasPrefix(entries[i+1], "->") {
			h = &tar.Header{Name: entries[i], Linkname: entries[i+1][2:], Typeflag: tar.TypeSymlink}
			entries[i+1] = ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(entries[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const minimal = `{"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/app","version":"1.0.0","provider":"acme",` +
	`"repositoryContexts":[],"resources":[],"sources":[],"componentReferences":[]}}`

const minimalYAML = `meta:
  schemaVersion: v2
component:
  name: acme.org/app
  version: 1.0.0
  provider: acme
`

// Documents of both tools are read, passed on byte for byte, and keep all they say
// when they are written anew.
func TestGolden(t *testing.T) {
	t.Parallel()
	for file, mediaType := range goldenFiles(t) {
		raw := read(t, file)
		d, err := descriptor.Decode(mediaType, raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if err := descriptor.Validate(d); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, same := range []*ocm.Descriptor{d, d.Clone()} {
			doc, err := descriptor.Encode(same)
			if err != nil || doc.MediaType != mediaType || !bytes.Equal(doc.Bytes, raw) {
				t.Errorf("%s: not passed on as it was: %v", file, err)
			}
		}
		again := rewritten(t, d)
		if len(d.Signatures) != len(again.Signatures) || !equal(t, d, again) {
			t.Errorf("%s: changed by writing it anew", file)
		}
	}
}

// rewritten is d after a trip through JSON and YAML.
func rewritten(t testing.TB, d *ocm.Descriptor) *ocm.Descriptor {
	t.Helper()
	raw, err := descriptor.JSON(d)
	if err != nil {
		t.Fatal(err)
	}
	y, err := fixture.YAML(decode(t, string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	d, err = descriptor.Decode(descriptor.MediaTypeYAML, y)
	if err != nil {
		t.Fatalf("%v\n%s", err, y)
	}
	return d
}

// equal compares the content, whatever order and spelling it was written in.
func equal(t testing.TB, a, b *ocm.Descriptor) bool {
	t.Helper()
	return reflect.DeepEqual(content(t, a), content(t, b))
}

func content(t testing.TB, d *ocm.Descriptor) (v any) {
	t.Helper()
	raw, err := descriptor.JSON(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDecodeMediaTypes(t *testing.T) {
	t.Parallel()
	tarred := string(tarOf(t, "other.txt", "x", descriptor.FileName, minimalYAML))
	for _, c := range []struct{ mediaType, doc, origin string }{
		{"", minimal, descriptor.MediaTypeJSON},
		{"", "\n  " + minimal, descriptor.MediaTypeJSON},
		{"", minimalYAML, descriptor.MediaTypeYAML},
		{"", "---\n" + minimalYAML + "...\n", descriptor.MediaTypeYAML},
		{descriptor.MediaTypeJSON, minimal, ""},
		{descriptor.MediaTypeJSON, minimalYAML, ""},
		{descriptor.MediaTypeGardenerJSON, minimal, ""},
		{descriptor.MediaTypeYAML, minimalYAML, ""},
		{descriptor.MediaTypeYAML, minimal, ""},
		{descriptor.MediaTypeGardenerYAML, minimalYAML, ""},
		{descriptor.MediaTypeYAMLTar, tarred, ""},
		{descriptor.MediaTypeGardenerYAMLTar, tarred, ""},
		{descriptor.MediaTypeGardenerConfigTar, tarred, ""},
		{descriptor.MediaTypeYAMLTar, string(tarOf(t, "/"+descriptor.FileName, minimalYAML)), ""},
		{descriptor.MediaTypeYAMLTar, string(tarOf(t, "./"+descriptor.FileName, minimal)), ""},
	} {
		d, err := descriptor.Decode(c.mediaType, []byte(c.doc))
		if err != nil {
			t.Errorf("%s: %v", c.mediaType, err)
			continue
		}
		if c.origin == "" {
			c.origin = c.mediaType
		}
		if d.Component.Name != "acme.org/app" || d.Origin().MediaType != c.origin || string(d.Origin().Bytes) != c.doc {
			t.Errorf("%s: %v %v", c.mediaType, d.Component.Name, d.Origin().MediaType)
		}
	}
	for _, m := range []string{"application/json", "application/vnd.ocm.software.component-descriptor.v3+json", "text/plain"} {
		if _, err := descriptor.Decode(m, []byte(minimal)); !errors.Is(err, ocm.ErrUnknownType) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// with is the minimal document with one text replaced; empty if it is not in there.
func with(old, new string) string { return replaced(minimal, old, new) }

func yamlWith(old, new string) string { return replaced(minimalYAML, old, new) }

func replaced(doc, old, new string) string {
	if !strings.Contains(doc, old) {
		return ""
	}
	return strings.Replace(doc, old, new, 1)
}

var refusals = []struct {
	name, doc string
	kind      error
	text      string
}{
	{"empty", "", ocm.ErrInvalid, ""},
	{"null", "null", ocm.ErrInvalid, ""},
	{"list", "[]", ocm.ErrInvalid, "document: expected an object, found a list"},
	{"cut off", minimal[:40], ocm.ErrInvalid, ""},
	{"trailing text", minimal + "x", ocm.ErrInvalid, ""},
	{"two JSON documents", minimal + minimal, ocm.ErrInvalid, ""},
	{"two YAML documents", minimalYAML + "---\n" + minimalYAML, ocm.ErrInvalid, "more than one document"},
	{"broken second document", minimalYAML + "---\n{", ocm.ErrInvalid, "line"},
	{"duplicate key", with(`"version"`, `"version":"2.0.0","version"`), ocm.ErrInvalid, `"version" within "/component"`},
	{"duplicate key by escape", with(`"version"`, `"version":"2.0.0","\u0076ersion"`), ocm.ErrInvalid, "version"},
	{"duplicate key in YAML", yamlWith("  version: 1.0.0\n", "  version: 1.0.0\n  version: 1.0.1\n"), ocm.ErrInvalid, "line 6"},
	{"duplicate key deep in free JSON", with(`"provider"`, `"labels":[{"name":"l","value":{"a":{"b":1,"b":2}}}],"provider"`), ocm.ErrInvalid, `"b" within "/component/labels/0/value/a"`},
	{"duplicate key in free YAML by type", minimalYAML + "x: {1: a, \"1\": b}\n", ocm.ErrInvalid, `x: key "1" is there twice`},
	{"duplicate key in free YAML by spelling", minimalYAML + "x: {on: a, yes: b}\n", ocm.ErrInvalid, ""},
	{"duplicate key by YAML merge", minimalYAML + "x: &a {k: 1}\ny:\n  <<: *a\n  k: 2\n", ocm.ErrInvalid, ""},
	{"duplicate list of resources", with(`"resources":[]`, `"resources":[],"resources":[]`), ocm.ErrInvalid, "resources"},
	{"case variant beside", with(`"version"`, `"Version":"2.0.0","version"`), ocm.ErrInvalid, `"Version" differs from "version"`},
	{"case variant instead", with(`"provider"`, `"PROVIDER"`), ocm.ErrInvalid, `"PROVIDER" differs from "provider"`},
	{"case variant by Unicode folding", with(`"resources"`, `"reſources"`), ocm.ErrInvalid, "resources"},
	{"case variant of the root", with(`"meta"`, `"Meta"`), ocm.ErrInvalid, `"Meta"`},
	{"case variant of apiVersion", with(`"meta"`, `"APIVersion":"ocm.software/v3alpha1","meta"`), ocm.ErrInvalid, "apiVersion"},
	{"case variant in a label", with(`"provider"`, `"labels":[{"name":"l","value":1,"Signing":true}],"provider"`), ocm.ErrInvalid, "component.labels[0].Signing"},
	{"case variant in an access", resource(`"access":{"type":"localBlob","Type":"none"}`), ocm.ErrInvalid, "component.resources[0].access.Type"},
	{"two unknown names differing by case", resource(`"access":{"type":"localBlob","localReference":"a","LocalReference":"b"}`), ocm.ErrInvalid, `"LocalReference" differs from "localReference"`},
	{"number for text", with(`"1.0.0"`, `1.0`), ocm.ErrInvalid, "component.version: expected text, found a number (quote it)"},
	{"number for text in YAML", yamlWith("version: 1.0.0", "version: 1.0"), ocm.ErrInvalid, "component.version: expected text, found a number (quote it)"},
	{"digits for a digest in YAML", yamlWith("  provider", "  resources: [{name: r, digest: {value: 0000}}]\n  provider"), ocm.ErrInvalid, "component.resources[0].digest.value: expected text"},
	{"boolean for text in YAML", yamlWith("provider: acme", "provider: on"), ocm.ErrInvalid, "component.provider: expected text"},
	{"text for boolean", with(`"provider"`, `"labels":[{"name":"l","value":1,"signing":"true"}],"provider"`), ocm.ErrInvalid, "component.labels[0].signing: expected true or false"},
	{"number for boolean", with(`"provider"`, `"labels":[{"name":"l","value":1,"signing":1}],"provider"`), ocm.ErrInvalid, "signing"},
	{"type of an access", resource(`"access":{"type":1}`), ocm.ErrInvalid, "component.resources[0].access.type: expected text, found a number"},
	{"access as text", resource(`"access":"localBlob"`), ocm.ErrInvalid, "component.resources[0].access: expected an object"},
	{"object for a list", with(`"resources":[]`, `"resources":{}`), ocm.ErrInvalid, "component.resources: expected a list"},
	{"extra identity with a number", resource(`"extraIdentity":{"a":1}`), ocm.ErrInvalid, "extraIdentity"},
	{"invalid UTF-8", with(`"acme"`, "\"ac\xffme\""), ocm.ErrInvalid, "UTF-8"},
	{"invalid UTF-8 in YAML", yamlWith("acme\n", "ac\xffme\n"), ocm.ErrInvalid, "UTF-8"},
	{"UTF-16 YAML", "\xff\xfea\x00", ocm.ErrInvalid, "UTF-8"},
	{"half of a surrogate pair", with(`"acme"`, `"\ud800"`), ocm.ErrInvalid, ""},
	{"malformed YAML", minimalYAML + "  x: [\n", ocm.ErrInvalid, "line"},
	{"binary in YAML", minimalYAML + "x: !!binary /w==\n", ocm.ErrInvalid, ""},
	{"not a number in YAML", minimalYAML + "x: .nan\n", ocm.ErrInvalid, ""},
	{"null key in YAML", minimalYAML + "x: {~: 1}\n", ocm.ErrInvalid, ""},
	{"recursive alias", minimalYAML + "x: &a [*a]\n", ocm.ErrInvalid, ""},
	{"no schema", with(`"meta":{"schemaVersion":"v2"},`, ``), ocm.ErrInvalid, "meta.schemaVersion is missing"},
	{"other schema", with(`"v2"`, `"v1"`), ocm.ErrUnknownType, `"v1"`},
	{"other API version", `{"apiVersion":"v1","kind":"Pod"}`, ocm.ErrUnknownType, "v1"},
	{"both schemas", with(`"meta"`, `"apiVersion":"ocm.software/v3alpha1","kind":"ComponentVersion","meta"`), ocm.ErrInvalid, "both"},
	{"no name", with(`"acme.org/app"`, `""`), ocm.ErrInvalid, "component.name is missing"},
	{"no version", with(`"1.0.0"`, `null`), ocm.ErrInvalid, "component.version is missing"},
	{"resource without name", strings.Replace(resource(`"type":"blob"`), `"name":"r"`, `"x":1`, 1), ocm.ErrInvalid, "component.resources[0].name is missing"},
	{"null resource", with(`"resources":[]`, `"resources":[null]`), ocm.ErrInvalid, "component.resources[0].name is missing"},
	{"reference without component", with(`"componentReferences":[]`, `"componentReferences":[{"name":"r","version":"1"}]`), ocm.ErrInvalid, "componentName"},
	{"ambiguous provider", with(`"acme"`, `"{\"name\":\"a\",\"Name\":\"b\"}"`), ocm.ErrInvalid, "component.provider"},
	{"provider with duplicate", with(`"acme"`, `"{\"name\":\"a\",\"name\":\"b\"}"`), ocm.ErrInvalid, "component.provider"},
	{"line feed in the name", with(`"acme.org/app"`, `"acme.org/app\nall is well"`), ocm.ErrInvalid, `component.name "acme.org/app\nall is well": expected`},
	{"long name", with(`acme.org/app`, strings.Repeat("a", 300)), ocm.ErrInvalid, "at most 255"},
	{"long key", with(`"acme"`, `"acme",`+`"`+strings.Repeat("k", 5000)+`":1,"`+strings.Repeat("K", 5000)+`":1`), ocm.ErrInvalid, "…: invalid"},
	{"many duplicates in YAML", minimalYAML + strings.Repeat("x: 1\n", 1000), ocm.ErrInvalid, "line 8"},
}

// Every document here is refused with an error that says where and what.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range refusals {
		_, err := descriptor.Decode("", []byte(c.doc))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || c.doc == "" && c.name != "empty" {
			t.Errorf("%s: expected %v with %q, found %v", c.name, c.kind, c.text, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
}

// resource is a document with one resource that has the given members.
func resource(members string) string {
	return strings.Replace(minimal, `"resources":[]`, `"resources":[{"name":"r","version":"1.0.0",`+members+`}]`, 1)
}

// What existing tools write is accepted although it breaks rules for new documents.
func TestDecodeTolerates(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"null lists": strings.NewReplacer(`"repositoryContexts":[]`, `"repositoryContexts":null`, `"resources":[]`, `"resources":null`,
			`"sources":[]`, `"sources":null`, `"componentReferences":[]`, `"componentReferences":null`).Replace(minimal),
		"absent lists":                        `{"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/app","version":"1.0.0","provider":"acme"}}`,
		"null everywhere":                     strings.Replace(minimal, `"provider"`, `"creationTime":null,"labels":null,"provider"`, 1),
		"label version":                       strings.Replace(minimal, `"provider"`, `"labels":[{"name":"ocm.software/artefact-references","version":"v1alpha1","value":[]}],"provider"`, 1),
		"version in identity":                 resource(`"extraIdentity":{"version":"1.0.0"}`),
		"old name of srcRefs":                 resource(`"srcRef":[{"identitySelector":{"name":"x"}}]`),
		"broken provider":                     strings.Replace(minimal, `"acme"`, `"{acme"`, 1),
		"odd component name":                  strings.Replace(minimal, `acme.org/app`, `Some Name`, 1),
		"unknown access":                      resource(`"access":{"type":"unheard/of","x":[{"Type":1,"type":2}]}`),
		"access null":                         resource(`"access":null`),
		"keys differing by case in free JSON": strings.Replace(minimal, `"provider"`, `"labels":[{"name":"l","value":{"a":1,"A":2}}],"provider"`, 1),
	} {
		d, err := descriptor.Decode("", []byte(doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !equal(t, d, rewritten(t, d)) {
			t.Errorf("%s: changed by writing it anew", name)
		}
	}
}

func TestEmptyDigestIsNoneButKept(t *testing.T) {
	t.Parallel()
	empty := `{"hashAlgorithm":"","normalisationAlgorithm":"","value":""}`
	doc := strings.Replace(minimal, `"componentReferences":[]`, `"componentReferences":[{"name":"ref","componentName":"acme.org/lib","version":"1.0.0","digest":`+empty+`}]`, 1)
	d := decode(t, doc)
	if !d.Component.References[0].Digest.Empty() || descriptor.Validate(d) != nil {
		t.Error(d.Component.References[0].Digest, descriptor.Validate(d))
	}
	d.Component.Version = "1.0.1"
	raw, err := descriptor.JSON(d)
	if err != nil || !bytes.Contains(raw, []byte(`"digest":`+empty)) {
		t.Errorf("%s %v", raw, err)
	}
}

func TestTarRefuses(t *testing.T) {
	t.Parallel()
	many := make([]string, 0, 2*descriptor.MaxTarEntries+2)
	for i := range descriptor.MaxTarEntries {
		many = append(many, fmt.Sprint(i), "")
	}
	for name, c := range map[string]struct {
		raw  []byte
		kind error
	}{
		"empty":     {nil, ocm.ErrInvalid},
		"garbage":   {[]byte(strings.Repeat("x", 2000)), ocm.ErrInvalid},
		"missing":   {tarOf(t, "x/"+descriptor.FileName, minimalYAML), ocm.ErrInvalid},
		"twice":     {tarOf(t, descriptor.FileName, minimalYAML, "./"+descriptor.FileName, minimalYAML), ocm.ErrInvalid},
		"cut off":   {tarOf(t, descriptor.FileName, strings.Repeat(minimalYAML, 20))[:1000], ocm.ErrInvalid},
		"many":      {tarOf(t, append(many, descriptor.FileName, minimalYAML)...), ocm.ErrLimit},
		"not UTF-8": {tarOf(t, descriptor.FileName, "\xff"), ocm.ErrInvalid},
	} {
		if _, err := descriptor.Decode(descriptor.MediaTypeYAMLTar, c.raw); !errors.Is(err, c.kind) {
			t.Errorf("%s: expected %v, found %v", name, c.kind, err)
		}
	}
}

func TestTarRefusesLinks(t *testing.T) {
	t.Parallel()
	_, err := descriptor.Decode(descriptor.MediaTypeYAMLTar, tarOf(t, descriptor.FileName, "->/etc/passwd"))
	if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "no regular file") {
		t.Error(err)
	}
}

const v3 = `{"apiVersion":"ocm.software/v3alpha1","kind":"ComponentVersion","top":1,
 "metadata":{"name":"acme.org/app","version":"1.0.0","provider":{"name":"acme","labels":[{"name":"p","value":1}],"more":true},"x":[1, 2]},
 "repositoryContexts":[{"type":"OCIRegistry"}],
 "spec":{"resources":[{"name":"r","version":"1.0.0","type":"blob","relation":"local","access":{"type":"localBlob"},"u":{"k":null}}],
  "sources":[],"references":[{"name":"lib","componentName":"acme.org/lib","version":"2.0.0"}],"y":"z"},
 "signatures":[]}`

func TestSchemaV3(t *testing.T) {
	t.Parallel()
	d := decode(t, v3)
	c := &d.Component
	if c.Name != "acme.org/app" || c.Provider.Name() != "acme" || len(c.Resources) != 1 || len(c.References) != 1 || len(c.RepositoryContexts) != 1 {
		t.Errorf("%+v", c)
	}
	if err := descriptor.Validate(d); err == nil || !strings.Contains(err.Error(), "component.resources[0].name") {
		t.Error(err) // "r" is too short
	}
	doc, err := descriptor.Encode(d)
	if err != nil || string(doc.Bytes) != v3 {
		t.Error("not passed on as it was", err)
	}
	d.Component.Resources[0].Name = "res"
	doc, err = descriptor.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"schemaVersion":"v2"`, `"componentReferences":[{`, `"top":1`, `"x":[1,2]`, `"y":"z"`, `"u":{"k":null}`, `\"more\":true`} {
		if !strings.Contains(string(doc.Bytes), want) {
			t.Errorf("%s is missing in %s", want, doc.Bytes)
		}
	}
	for name, broken := range map[string]string{
		"clash of metadata and spec": strings.Replace(v3, `"y":"z"`, `"x":3`, 1),
		"clash with a list of v2":    strings.Replace(v3, `"y":"z"`, `"componentReferences":[]`, 1),
		"clash with the root of v2":  strings.Replace(v3, `"top"`, `"component"`, 1),
		"case variant":               strings.Replace(v3, `"spec"`, `"Spec"`, 1),
		"other kind":                 strings.Replace(v3, `"ComponentVersion"`, `"Component"`, 1),
		"provider as text":           strings.Replace(v3, `{"name":"acme","labels":[{"name":"p","value":1}],"more":true}`, `"acme"`, 1),
	} {
		if _, err := descriptor.Decode("", []byte(broken)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	d := &ocm.Descriptor{Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme"}}
	doc, err := descriptor.Encode(d)
	if err != nil || string(doc.Bytes) != minimal || doc.MediaType != descriptor.MediaTypeJSON {
		t.Errorf("%s %v", doc.Bytes, err)
	}
	d.Component.Labels = []ocm.Label{{Name: "l", Value: ocm.RawJSON(`1`)}}
	if doc, err := descriptor.Encode(d); err != nil || bytes.Contains(doc.Bytes, []byte("signing")) {
		t.Errorf("%s %v", doc.Bytes, err)
	}
	d.Component.Labels = []ocm.Label{{Name: "l", Value: ocm.RawJSON(`"` + strings.Repeat("x", descriptor.MaxBytes) + `"`)}}
	if _, err := descriptor.Encode(d); !errors.Is(err, ocm.ErrLimit) {
		t.Error("too much was written:", err)
	}
	d.Component.Labels = []ocm.Label{{Name: "l", Value: ocm.RawJSON(`{"a":1,"a":2}`)}}
	if _, err := descriptor.Encode(d); !errors.Is(err, ocm.ErrInvalid) {
		t.Error("duplicate keys were written:", err)
	}
	d.Component.Labels = []ocm.Label{{Name: "l", Value: ocm.RawJSON(`1`), Unknown: ocm.RawJSON(`{"Signing":true}`)}}
	if _, err := descriptor.Encode(d); !errors.Is(err, ocm.ErrInvalid) {
		t.Error("an ambiguous member was written:", err)
	}
	d.Component.Labels = []ocm.Label{{Name: "l", Value: ocm.RawJSON(strings.Repeat("[", 100) + strings.Repeat("]", 100))}}
	if _, err := descriptor.Encode(d); !errors.Is(err, ocm.ErrLimit) {
		t.Error("what cannot be read was written:", err)
	}
}

// A document with unknown members at every level keeps all of them when one access is
// changed, and nothing else changes.
func TestUnknownMembersSurvive(t *testing.T) {
	t.Parallel()
	raw := read(t, "testdata/unknown.json")
	d, err := descriptor.Decode("", raw)
	if err != nil {
		t.Fatal(err)
	}
	access, err := ocm.NewSpec(map[string]string{"type": "ociArtifact", "imageReference": "other"})
	if err != nil {
		t.Fatal(err)
	}
	d.Component.Resources[0].Access = access
	doc, err := descriptor.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc.Bytes, &got); err != nil {
		t.Fatal(err)
	}
	first := want["component"].(map[string]any)["resources"].([]any)[0].(map[string]any)
	first["access"] = map[string]any{"type": "ociArtifact", "imageReference": "other"}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("expected %v\nfound    %v", want, got)
	}
	if n := strings.Count(string(doc.Bytes), `"unheard"`); n != strings.Count(string(raw), `"unheard"`)-1 || n < 20 {
		t.Errorf("%d unknown members", n)
	}
	if !strings.Contains(string(doc.Bytes), `12345678901234567890123.50`) {
		t.Error("a number in free JSON lost its spelling")
	}
}

func TestYAMLTexts(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"0000", "1.0", "1e10", "0x1F", "1_000", "on", "y", "No", "~", "null", "", " x ", "2026-01-02", "12:30:45", "<<", "=", "- a", "a: b",
		"# x", "{a", "*a", "&a", "!a", "|", ">", "'", `"`, "%", "@", "`", "a\nb", "\na\n\n", "a\tb", "\ta", " a\n b", "a\r\nb", "\u0085", "\u2028", "\ufeff",
		"\x00\x07\x1b", "äö€", "\U0001F600", strings.Repeat("long words ", 40), "a #b", "---", "...", "0o17", "0b1", ".5", "+1", ".inf", "true",
	} {
		d := decode(t, minimal)
		value, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		d.Component.Labels = []ocm.Label{{Name: "l", Value: value}}
		d.Component.Resources = []ocm.Resource{{Element: ocm.Element{Name: "res", Version: s, ExtraIdentity: ocm.Identity{"k" + s: s}}}}
		if again := rewritten(t, d); !equal(t, d, again) {
			t.Errorf("%q became %q", s, again.Component.Resources[0].Version)
		}
	}
}

func TestYAMLNumbers(t *testing.T) {
	t.Parallel()
	d := decode(t, strings.Replace(minimal, `"provider"`, `"labels":[{"name":"l","value":[9223372036854775807,18446744073709551615,1.5,1e21,-0,1e-7]}],"provider"`, 1))
	y, err := fixture.YAML(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := descriptor.Decode(descriptor.MediaTypeYAML, y)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(again.Component.Labels[0].Value); got != "[9223372036854775807,18446744073709551615,1.5,1e+21,0,1e-7]" && got != "[9223372036854775807,18446744073709551615,1.5,1e21,0,1e-7]" {
		t.Error(got)
	}
}

func ExampleEncode() {
	d, err := descriptor.Decode("", []byte(`
meta: {schemaVersion: v2}
component: {name: acme.org/app, version: 1.0.0, provider: acme}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	doc, _ := descriptor.Encode(d)
	fmt.Println(doc.MediaType) // nothing changed: the very same document

	d.Component.Version = "1.0.1"
	doc, _ = descriptor.Encode(d)
	fmt.Println(doc.MediaType)
	fmt.Println(string(doc.Bytes))
	// Output:
	// application/vnd.ocm.software.component-descriptor.v2+yaml
	// application/vnd.ocm.software.component-descriptor.v2+json
	// {"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/app","version":"1.0.1","provider":"acme","repositoryContexts":[],"resources":[],"sources":[],"componentReferences":[]}}
}
