// SPDX-License-Identifier: Apache-2.0

package construct_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ocm"
	"ocm/construct"
	"ocm/internal/fixture"
)

const minimal = `
name: acme.org/app
version: 1.0.0
provider: {name: acme.org}
`

func parse(t testing.TB, text string) (*construct.File, error) {
	t.Helper()
	return construct.Parse([]byte(text), nil, "")
}

func mustParse(t testing.TB, text string) *construct.File {
	t.Helper()
	f, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		check      func(f *construct.File) bool
	}{
		{"one component", minimal, func(f *construct.File) bool { return len(f.Components) == 1 && f.Components[0].Name == "acme.org/app" }},
		{"JSON", `{"name":"acme.org/app","version":"1.0.0","provider":{"name":"acme.org"}}`, func(f *construct.File) bool { return f.Components[0].Version == "1.0.0" }},
		{"a list", "components:\n- {name: a.org/a, version: 1.0.0, provider: p}\n- {name: a.org/b, version: 1.0.0, provider: p}", func(f *construct.File) bool {
			return len(f.Components) == 2 && f.Components[1].Name == "a.org/b"
		}},
		{"documents", "# first\n---\n" + minimal + "---\ncomponents:\n- {name: a.org/b, version: 1.0.0, provider: p}\n...\n", func(f *construct.File) bool {
			return len(f.Components) == 2 && f.Components[1].Name == "a.org/b"
		}},
		{"directives", "# first\n%YAML 1.1\n---\n" + minimal + "... # end\n\n# more\n--- {name: a.org/b, version: 1.0.0, provider: p}\n---\n---", func(f *construct.File) bool {
			return len(f.Components) == 2
		}},
		{"dashes in text", minimal + "labels:\n- name: l\n  value: |\n    a\n    ---\n    b\n", func(f *construct.File) bool {
			return string(f.Components[0].Labels[0].Value) == `"a\n---\nb\n"`
		}},
		{"provider as text", "name: a.org/a\nversion: 1.0.0\nprovider: acme", func(f *construct.File) bool { return f.Components[0].Provider.Name == "acme" }},
		{"provider with labels", "name: a.org/a\nversion: 1.0.0\nprovider: {name: acme, labels: [{name: l, value: 1}]}", func(f *construct.File) bool {
			return f.Components[0].Provider.Name == "acme" && len(f.Components[0].Provider.Labels) == 1
		}},
		{"references by their old name", minimal + "references: [{name: b, componentName: a.org/b, version: 1.0.0}]\ncomponentReferences: [{name: c, componentName: a.org/c, version: 1.0.0}]", func(f *construct.File) bool {
			r := f.Components[0].References
			return len(r) == 2 && r[0].Name == "c" && r[1].Name == "b" && f.Components[0].OldReferences == nil
		}},
		{"defaults", minimal + `
resources:
- {name: a, type: blob, input: {type: utf8, text: x}}
- {name: b, type: blob, version: 2.0.0, access: {type: none}}
- {name: c, type: blob, relation: local, access: {type: none}}
sources:
- {name: s, type: git, access: {type: none}}
- {name: t, type: git, version: 3.0.0, access: {type: none}}`, func(f *construct.File) bool {
			c := f.Components[0]
			r, s := c.Resources, c.Sources
			return r[0].Version == "1.0.0" && r[0].Relation == "local" && r[1].Version == "2.0.0" && r[1].Relation == "external" &&
				r[2].Relation == "local" && s[0].Version == "1.0.0" && s[1].Version == "3.0.0"
		}},
		{"values of all kinds in labels", minimal + "labels: [{name: a, value: 1}, {name: b, value: true}, {name: c, value: [1, {x: null}]}, {name: d, value: null}]", func(f *construct.File) bool {
			l := f.Components[0].Labels
			return string(l[0].Value) == "1" && string(l[1].Value) == "true" && string(l[2].Value) == `[1,{"x":null}]` && string(l[3].Value) == "null"
		}},
		{"an alias", minimal + "labels: [{name: a, value: &v {k: [1]}}, {name: b, value: *v}]", func(f *construct.File) bool {
			return string(f.Components[0].Labels[1].Value) == `{"k":[1]}`
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f := mustParse(t, c.text); !c.check(f) {
				t.Errorf("found %+v", f)
			}
		})
	}
	f, err := construct.Parse([]byte("components: [{name: a.org/a, provider: p}, {name: a.org/b, provider: p, version: 2.0.0}]"), nil, "1.1.1")
	if err != nil || f.Components[0].Version != "1.1.1" || f.Components[1].Version != "2.0.0" {
		t.Errorf("default version: %+v %v", f, err)
	}
}

// Every mistake is told with the place where it is.
func TestMistakes(t *testing.T) {
	t.Parallel()
	input, access := "input: {type: utf8, text: x}", "access: {type: none}"
	resource := func(s string) string { return minimal + "resources: [{name: r, type: blob, " + s + "}]" }
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"no components"}},
		{"only comments", "# nothing\n---\n# here\n", []string{"no components"}},
		{"empty list", "components: []", []string{"no components"}},
		{"a list at the top", "- name: a.org/a", []string{"expected a component", "components:"}},
		{"text", "hello", []string{"expected a component"}},
		{"no YAML", "a: [", []string{"line 1"}},
		{"no YAML in the second document", minimal + "---\na: b: c\n", []string{"document that begins at line 5", "line 2"}},
		{"unknown member", minimal + "sigs: []", []string{"unknown field", "sigs"}},
		{"unknown member that is nearly known", minimal + "resource: []", []string{"component \"acme.org/app\": unknown field components.0.resource (did you mean resources?)"}},
		{"unknown member with an embedded one near", resource("lables: [], " + input), []string{"components.0.resources.0.lables", "did you mean labels?"}},
		{"unknown member beside components", "components: []\nname: a.org/a", []string{"unknown field", "name"}},
		{"another case", strings.Replace(minimal, "name: acme.org/app", "Name: acme.org/app", 1), []string{"unknown field", "Name"}},
		{"duplicate key", minimal + "version: 2.0.0", []string{"line 5", "version"}},
		{"duplicate key behind an alias", minimal + "labels: [{name: &a l, value: *a, name: m}]", []string{"name"}},
		{"float for version", "name: a.org/a\nversion: 1.0\nprovider: p", []string{"components.0.version", "number", "quotes"}},
		{"number for a resource's version", resource("version: 7.0, " + input), []string{"components.0.resources.0.version", "quotes"}},
		{"boolean in the identity", resource("extraIdentity: {os: yes}, " + input), []string{"resources.0.extraIdentity.os", "quotes"}},
		{"no provider", "name: a.org/a\nversion: 1.0.0", []string{"component a.org/a", "provider.name"}},
		{"unknown member in the provider", "name: a.org/a\nversion: 1.0.0\nprovider: {name: p, nmae: x}", []string{"provider", "nmae"}},
		{"neither", resource("version: 1.0.0"), []string{"resource r", "exactly one of input and access"}},
		{"both", resource(input + ", " + access), []string{"resource r", "exactly one of input and access"}},
		{"external input", resource("relation: external, " + input), []string{"resource r", "relation external"}},
		{"source with neither", minimal + "sources: [{name: s, type: git}]", []string{"source s", "exactly one of input and access"}},
		{"unknown member of a resource", resource("lables: [], " + input), []string{"unknown field", "lables"}},
		{"a label that would not be signed", minimal + "labels: [{name: l, value: 1, singing: true}]", []string{"component label l", "unknown field singing"}},
		{"the same on a resource", resource("labels: [{name: l, value: 1, Signing: true}], " + input), []string{"resource r label l", "unknown field Signing"}},
		{"unknown member of a digest", resource("digest: {hashAlgorithm: SHA-256, normalisationAlgorithm: x, value: v, hash: z}, " + access), []string{"resource r digest", "unknown field hash"}},
		{"unknown member of a reference", minimal + "componentReferences: [{name: b, componentName: a.org/b, version: 1.0.0, digst: {}}]", []string{"reference b", "unknown field digst"}},
		{"unknown member of srcRefs", resource("srcRefs: [{identity: {name: s}}], " + input), []string{"resource r srcRefs", "unknown field identity"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.text)
			fixture.WantErr(t, err, ocm.ErrInvalid, c.want...)
		})
	}
	_, err := parse(t, "components: [{name: a.org/a, version: 1.0.0}, {name: a.org/b, version: 1.0.0}]")
	fixture.WantErr(t, err, ocm.ErrInvalid, "component a.org/a: provider", "component a.org/b: provider")
}

func TestLimitsOfTheFile(t *testing.T) {
	t.Parallel()
	_, err := construct.Parse(make([]byte, construct.MaxFile+1), nil, "")
	fixture.WantErr(t, err, ocm.ErrLimit, "accepted are")
	long := strings.Repeat("x", 1<<20)
	_, err = construct.Parse([]byte(strings.Repeat("$A", 100)), func(string) (string, bool) { return long, true }, "")
	fixture.WantErr(t, err, ocm.ErrLimit, "variables")
	_, err = parse(t, minimal+"labels: [{name: a, value: &v "+long+"}, {name: b, value: ["+strings.Repeat("*v,", 100)+"]}]")
	fixture.WantErr(t, err, ocm.ErrLimit, "aliases")
	_, err = parse(t, strings.Repeat("---\n", 20_000))
	fixture.WantErr(t, err, ocm.ErrLimit, "documents")
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	if _, err := parse(t, bomb); err == nil {
		t.Error("a billion laughs")
	}
}

func TestSubstitute(t *testing.T) {
	t.Parallel()
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"A": "one", "B_2": "two", "EMPTY": "", "NEST": "$A ${A} $$", "_": "under"}[name]
		return v, ok
	}
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"plain", "plain"},
		{"$A", "one"}, {"${A}", "one"}, {"x${A}y", "xoney"}, {"$A$B_2", "onetwo"}, {"$A-x", "one-x"}, {"${_}", "under"},
		{"[$EMPTY]", "[]"},
		{"$$", "$"}, {"$$A", "$A"}, {"$${A}", "${A}"}, {"$$$A", "$one"}, {"$$$$", "$$"},
		{"$1", "$1"}, {"a$", "a$"}, {"$ A", "$ A"}, {"$(A)", "$(A)"}, {"^x$\n", "^x$\n"}, {"${A", "${A"}, {"$-", "$-"},
		{"$NEST", "$A ${A} $$"}, // once, not again
	} {
		if got, err := construct.Substitute(c.text, env); err != nil || got != c.want {
			t.Errorf("%q: expected %q, found %q, %v", c.text, c.want, got, err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"a\nb\n$NONE", "line 3: $NONE is not set"},
		{"${NONE}", "${NONE} is not set"},
		{"${x:-y}", "${x:-y} is not ${NAME}"},
		{"${}", "${} is not ${NAME}"},
		{"${1}", "${1} is not"}, {"${A B}", "is not ${NAME}"}, {"${{ x }}", "is not ${NAME}"}, {"$${A}${$A}", "${$A} is not"},
	} {
		_, err := construct.Substitute(c.text, env)
		fixture.WantErr(t, err, ocm.ErrInvalid, c.want, "write $$")
	}
	f, err := construct.Parse([]byte("name: a.org/a\nversion: ${A}.0.0\nprovider: p$$"), func(string) (string, bool) { return "1", true }, "")
	if err != nil || f.Components[0].Version != "1.0.0" || f.Components[0].Provider.Name != "p$" {
		t.Errorf("%+v %v", f, err)
	}
	if f := mustParse(t, "name: a.org/a\nversion: 1.0.0\nprovider: ${A}"); f.Components[0].Provider.Name != "${A}" {
		t.Errorf("without getenv nothing is substituted: %+v", f)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		minimal, "components:\n- name: a.org/a\n  version: 1.0.0\n  provider: p\n", "a: &a [*a]", "$A ${B} $$", "---\n...\n---", "\x00", "{\"name\":1}",
		minimal + "resources: [{name: r, type: t, input: {type: utf8, text: x}, labels: [{name: l, value: &x {a: 1}}, {name: m, value: *x}]}]",
		"<<: {a: b}", "? [a]: b", "!!binary x", "components: [null]", "- *x", "%YAML 1.2\n---\na",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := construct.Parse(raw, func(name string) (string, bool) { return "v" + name, len(name) < 4 }, "1.0.0")
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Fatalf("error of no known kind: %v", err)
			}
			return
		}
		if len(file.Components) == 0 {
			t.Fatal("no components and no error")
		}
		for _, c := range file.Components {
			if c.Version == "" || c.Provider.Name == "" {
				t.Fatalf("incomplete: %+v", c)
			}
		}
	})
}

// Constructors of images say "version: 18", also by a variable. What a number cannot hold stays a mistake.
func TestVersionsThatAreNumbers(t *testing.T) {
	t.Parallel()
	const text = "name: acme.org/app\nversion: %s\nprovider: acme.org\nlabels: [{name: x, value: {version: 7}}]\nresources:\n" +
		"- {name: a, type: blob, version: 18, input: {type: utf8, text: x}}\n"
	f, err := construct.Parse(fmt.Appendf(nil, text, "3"), nil, "")
	if err != nil || f.Components[0].Version != "3" || f.Components[0].Resources[0].Version != "18" || string(f.Components[0].Labels[0].Value) != `{"version":7}` {
		t.Errorf("found %+v, %v", f, err)
	}
	for _, version := range []string{"1.10", "1.0", "1e3", "-1", "010", "0x10", "1_0", "&v 1.0", "true"} {
		if _, err := construct.Parse(fmt.Appendf(nil, text, version), nil, ""); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "in quotes") {
			t.Errorf("version: %s: found %v", version, err)
		}
	}
}
