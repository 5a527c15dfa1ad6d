// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ocm"
)

func Example() {
	c, err := Parse([]byte(`
type: generic.config.ocm.software/v1
configurations:
- type: resolvers.config.ocm.software/v1alpha1
  resolvers:
  - repository: {type: OCIRepository/v1, baseUrl: ghcr.io, subPath: acme}
    componentNamePattern: "acme.org/**"
    versionConstraint: ">=1.0.0"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := c.Resolvers()
	fmt.Println(r.Match("acme.org/team/app", "1.2.0"), err)
	fmt.Println(r.Match("acme.org/team/app", "0.1.0"))
	// Output:
	// [{OCIRepository/v1 {"baseUrl":"ghcr.io","subPath":"acme","type":"OCIRepository/v1"}}] <nil>
	// []
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// entries wraps YAML list items into a container.
func entries(t *testing.T, items string) *Config {
	t.Helper()
	return parse(t, "type: generic.config.ocm.software/v1\nconfigurations:\n"+items)
}

func TestLookup(t *testing.T) {
	t.Parallel()
	getenv := func(k string) string {
		return map[string]string{"OCM_CONFIG": "./config/sign.yaml", "XDG_CONFIG_HOME": "/xdg"}[k]
	}
	want := []string{
		"./config/sign.yaml", "/xdg/ocm/config", "/xdg/.ocmconfig",
		"/home/.config/ocm/config", "/home/.config/.ocmconfig", "/home/.ocm/config", "/home/.ocmconfig",
		"/bin/.ocm/config", "/bin/.ocmconfig",
	}
	if got := Lookup(getenv, "/home", "/bin"); !slices.Equal(got, want) {
		t.Errorf("got %q, expected %q", got, want)
	}
	none := func(string) string { return "" }
	if got := Lookup(none, "", ""); len(got) != 0 {
		t.Errorf("nowhere: %q", got)
	}
	if got, want := Lookup(none, "/a", "/a"), Lookup(none, "/a", ""); !slices.Equal(got[2:], want[2:]) || len(got) != 4 {
		t.Errorf("the same folder twice: %q", got)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"a":      "type: generic.config.ocm.software/v1\nconfigurations:\n- type: generic.config.ocm.software\n  configurations:\n  - type: nested\n- type: first\n- {type: second, password: hunter2}\n",
		"b":      `{"type": "third/v1"}`,
		"empty":  "# nothing\n",
		"broken": "type: a\n\tb: c\n",
		"large":  strings.Repeat("#", MaxFileSize+1),
	} {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := Load([]string{path("missing"), path("a"), dir, path("empty"), path("b")}, false, log)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range c.Entries {
		types = append(types, e.Type)
	}
	if want := []string{"first", "second", "nested", "third/v1"}; !slices.Equal(types, want) {
		t.Errorf("entries %q, expected %q", types, want)
	}
	if want := []string{path("a"), path("empty"), path("b")}; !slices.Equal(c.Files, want) {
		t.Errorf("files %q, expected %q", c.Files, want)
	}
	for _, text := range []string{"level=DEBUG msg=\"configuration file skipped\" file=" + path("missing"), "level=WARN msg=\"configuration file skipped\" file=" + dir, "entry ignored\" type=nested in=\"" + path("a") + ": configurations[0].configurations[0]\""} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("log lacks %q: %s", text, &out)
		}
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("the log shows a value: %s", &out)
	}
	for _, must := range []bool{true, false} {
		if _, err := Load([]string{path("a"), path("broken")}, must, nil); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), path("broken")+": line 2: found ") {
			t.Errorf("broken file: %v", err)
		}
		if _, err := Load([]string{path("large")}, must, nil); !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("large file: %v", err)
		}
	}
	if _, err := Load([]string{path("missing")}, true, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"type":"generic.config.ocm.software","configurations":[`, MaxDepth+2) + strings.Repeat("]}", MaxDepth+2)
	many := `{"type":"generic.config.ocm.software","configurations":[` + strings.Repeat(`{"type":"a"},`, MaxEntries) + `{"type":"a"}]}`
	tests := []struct {
		name, text string
		want       error
		says       string
	}{
		{"no type", "configurations: []", ocm.ErrInvalid, "no type"},
		{"entry without type", "type: generic.config.ocm.software\nconfigurations: [{type: a}, {b: c}]", ocm.ErrInvalid, "configurations[1]"},
		{"no list", "type: generic.config.ocm.software\nconfigurations: hunter2", ocm.ErrInvalid, "not a list"},
		{"list of texts", "type: generic.config.ocm.software\nconfigurations: [hunter2]", ocm.ErrInvalid, "not a list"},
		{"list", "- type: a", ocm.ErrInvalid, "object"},
		{"text", "hunter2", ocm.ErrInvalid, "object"},
		{"duplicate key", "type: a\npassword: hunter2\npassword: hunter2\n", ocm.ErrInvalid, `line 3: key "password" already set`},
		{"duplicate JSON key", `{"type":"a","type":"b"}`, ocm.ErrInvalid, `line 1: key "type" already set`},
		{"value like an alias", "type: a\npassword: *hunter2\n", ocm.ErrInvalid, "line 2: a value that starts with * must be quoted"},
		{"value like a tag", "type: a\nport: !!int hunter2\n", ocm.ErrInvalid, ""},
		{"bad indentation", "type: a\n b: hunter2\n", ocm.ErrInvalid, "line 2: mapping values"},
		{"odd key", "type: a\n? [x]\n: hunter2\n", ocm.ErrInvalid, ""},
		{"template", "type: a\npassword: {{ .hunter2 }}\n", ocm.ErrInvalid, ""},
		{"two documents", "---\ntype: a\n---\ntype: b\n", ocm.ErrInvalid, "line 3: a second document"},
		{"too deep", deep, ocm.ErrLimit, "16"},
		{"too many", many, ocm.ErrLimit, "10000"},
		{"too large", strings.Repeat(" ", MaxFileSize+1), ocm.ErrLimit, ""},
		{"alias bomb", "type: a\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n", ocm.ErrInvalid, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(tc.text))
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, expected %v with %q", err, tc.want, tc.says)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a value: %v", err)
			}
		})
	}
	parse(t, "--- # first\ntype: a\nkey: |\n  -----BEGIN X-----\n  ---\n")
}

func TestResolvers(t *testing.T) {
	t.Parallel()
	c := entries(t, `
- type: resolvers.config.ocm.software
  resolvers:
  - {repository: {type: one}, componentNamePattern: "acme.org/services/*", versionConstraint: ">=1.0.0 <2.0.0"}
  - {repository: {type: two}, componentNamePattern: "acme.org/**"}
- type: resolvers.config.ocm.software/v1alpha1
  resolvers:
  - {repository: {type: three}}
`)
	r, err := c.Resolvers()
	if err != nil || r.Fallback {
		t.Fatal(r, err)
	}
	for _, tc := range []struct{ component, version, want string }{
		{"acme.org/services/a", "1.5.0", "one"},
		{"acme.org/services/a", "v1.5.0", "one"},
		{"acme.org/services/a", "2.0.0", "two"},
		{"acme.org/services/a", "nonsense", "two"},
		{"acme.org/services/a", "", "two"},
		{"acme.org/services/a/b", "1.5.0", "two"},
		{"other.org/a", "1.0.0", "three"},
	} {
		if got := r.Match(tc.component, tc.version); len(got) != 1 || got[0].Type != tc.want {
			t.Errorf("%s:%s is in %v, expected %s", tc.component, tc.version, got, tc.want)
		}
	}
	if got := (*Resolvers)(nil).Match("a", "b"); got != nil {
		t.Errorf("no resolvers: %v", got)
	}
	if r, err := new(Config).Resolvers(); r != nil || err != nil {
		t.Errorf("no resolvers: %v %v", r, err)
	}
}

func TestOlderResolvers(t *testing.T) {
	t.Parallel()
	c := entries(t, `
- type: ocm.config.ocm.software
  aliases: {x: {type: OCIRegistry}}
  resolvers:
  - {repository: {type: low}, priority: 1}
  - {repository: {type: normal}, prefix: acme.org}
  - {repository: {type: high}, prefix: acme.org/a/, priority: 20}
- type: ocm.config.ocm.software/v1
  resolvers:
  - {repository: {type: late}, prefix: acme.org}
`)
	r, err := c.Resolvers()
	if err != nil || !r.Fallback {
		t.Fatal(r, err)
	}
	for component, want := range map[string]string{
		"acme.org/a":     "high normal late low",
		"acme.org/a/b":   "high normal late low",
		"acme.org/ab":    "normal late low",
		"acme.org":       "normal late low",
		"acme.organic/a": "low",
	} {
		var types []string
		for _, s := range r.Match(component, "1.0.0") {
			types = append(types, s.Type)
		}
		if got := strings.Join(types, " "); got != want {
			t.Errorf("%s is in %q, expected %q", component, got, want)
		}
	}
}

func TestResolversRefused(t *testing.T) {
	t.Parallel()
	for name, items := range map[string]string{
		"both kinds":    "- {type: ocm.config.ocm.software, resolvers: [{repository: {type: a}}]}\n- {type: resolvers.config.ocm.software, resolvers: [{repository: {type: a}}]}",
		"no repository": "- {type: resolvers.config.ocm.software, resolvers: [{componentNamePattern: a}]}",
		"pattern":       "- {type: resolvers.config.ocm.software, resolvers: [{repository: {type: a}, componentNamePattern: 'a[b'}]}",
		"braces":        "- {type: resolvers.config.ocm.software, resolvers: [{repository: {type: a}, componentNamePattern: 'a{b'}]}",
		"constraint":    "- {type: resolvers.config.ocm.software, resolvers: [{repository: {type: a}, versionConstraint: '>=!'}]}",
		"priority":      "- {type: ocm.config.ocm.software, resolvers: [{repository: {type: a}, priority: high}]}",
		"shape":         "- {type: ocm.config.ocm.software, resolvers: none}",
	} {
		if _, err := entries(t, items).Resolvers(); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without resolvers, the older type may hold other things.
	if _, err := entries(t, "- {type: ocm.config.ocm.software, aliases: {}}\n- {type: resolvers.config.ocm.software, resolvers: [{repository: {type: a}}]}").Resolvers(); err != nil {
		t.Error(err)
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, yes, no string
	}{
		{"a/*", "a/b a/bc a/", "a/b/c b/a a"},
		{"a/**", "a/b a/b/c", "a b/c"},
		{"**/x", "a/x a/b/x", "x/a"},
		{"a?c", "abc", "ac a/c abbc"},
		{"[a-c]x", "ax cx", "dx"},
		{"[!a-c]x", "dx", "ax"},
		{"[a^]x", "ax ^x", "bx"},
		{"{a,b/*}/c", "a/c b/x/c", "b/c c"},
		{`a\*`, "a*", "ab"},
		{"a.b+c", "a.b+c", "axb+c a.bbc"},
		{"a,b", "a,b", "a b"},
		{"a}", "a}", "a"},
	} {
		re, err := compileGlob(tc.pattern)
		if err != nil {
			t.Errorf("%s: %v", tc.pattern, err)
			continue
		}
		for _, s := range strings.Fields(tc.yes) {
			if !re.MatchString(s) {
				t.Errorf("%s does not match %s", tc.pattern, s)
			}
		}
		for _, s := range strings.Fields(tc.no) {
			if re.MatchString(s) {
				t.Errorf("%s matches %s", tc.pattern, s)
			}
		}
	}
	for _, p := range []string{"[", "[]", "[z-a]", "{a", `a\`, strings.Repeat("a", maxPatternSize+1)} {
		if _, err := compileGlob(p); err == nil {
			t.Errorf("pattern %q is accepted", p)
		}
	}
}

func TestSigning(t *testing.T) {
	t.Parallel()
	c := entries(t, `
- {type: signing.config.ocm.software/v1alpha1, signature: release, signer: {type: R}}
- {type: signing.config.ocm.software/v1alpha1, signer: {type: A}, verifier: {type: B}}
- {type: signing.config.ocm.software, signer: {type: C}}
- {type: signing.config.ocm.software, signature: other, verifier: {type: O}}
`)
	for name, want := range map[string][2]string{"release": {"R", "B"}, "other": {"C", "O"}, "x": {"C", "B"}, "": {"C", "B"}} {
		s, v, err := c.Signing(name)
		if err != nil || s.Type != want[0] || v.Type != want[1] {
			t.Errorf("%q: signer %q, verifier %q, expected %q (%v)", name, s.Type, v.Type, want, err)
		}
	}
	for name, want := range map[string]string{"release": "B", "other": "OB", "x": "B"} {
		specs, err := c.Verifiers(name)
		got := ""
		for _, s := range specs {
			got += s.Type
		}
		if err != nil || got != want {
			t.Errorf("%q: verifiers %q, expected %q (%v)", name, got, want, err)
		}
	}
	if s, v, err := (*Config)(nil).Signing("x"); err != nil || s.Type+v.Type != "" {
		t.Errorf("nothing configured: %v %v %v", s, v, err)
	}
	for _, item := range []string{
		"- {type: signing.config.ocm.software, signature: other, verifier: {keyFingerprint: x}}",
		"- {type: signing.config.ocm.software, signature: other, signer: {}}",
		"- {type: signing.config.ocm.software, verifier: GPG}",
	} {
		if _, _, err := entries(t, item).Signing("x"); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", item, err)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	k, err := entries(t, `
- type: keys.config.ocm.software
  publicKeys: {a: {path: a.pub}, b: {stringdata: TEXT}}
  privateKeys: {a: {data: S0VZ}}
  rootCertificates: [{path: root.pem}]
  issuers: {a: "CN=a,O=acme"}
- type: keys.config.ocm.software/v1
  publicKeys: {a: {stringdata: LATER}}
  rootCertificates: [{data: Uk9PVA==}]
  issuers: {b: {commonName: 'a, b', organization: [x, 'y+z'], country: [DE]}}
`).Keys()
	if err != nil || k.Public["a"] != (Key{Text: "LATER"}) || k.Public["b"] != (Key{Text: "TEXT"}) || k.Private["a"] != (Key{Text: "KEY"}) ||
		!slices.Equal(k.Roots, []Key{{Path: "root.pem"}, {Text: "ROOT"}}) || k.Issuers["a"] != "CN=a,O=acme" || k.Issuers["b"] != `CN=a\, b,O=x,O=y\+z,C=DE` {
		t.Errorf("%+v %v", k.Issuers, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", k, k, k); strings.Contains(text, "KEY") || strings.Contains(text, "LATER") {
		t.Errorf("keys are shown: %s", text)
	}
	if k, err := (*Config)(nil).Keys(); err != nil || !k.Empty() {
		t.Errorf("nothing configured: %v %v", k, err)
	}
	for _, item := range []string{
		"publicKeys: {a: {}}", "publicKeys: {a: {path: x, data: eA==}}", "privateKeys: {a: {data: '*'}}", "rootCertificates: [{}]", "rootCertificates: x",
		"issuers: {a: ''}", "issuers: {a: {}}", "issuers: {a: {comonName: x}}", "issuers: {a: [x]}", "issuers: {a: {commonName: ''}}",
	} {
		if _, err := entries(t, "- {type: keys.config.ocm.software, "+item+"}").Keys(); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", item, err)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	c := entries(t, `
- {type: filesystem.config.ocm.software/v1alpha1, tempFolder: /a, workingDirectory: /b}
- {type: filesystem.config.ocm.software, tempFolder: /c}
- {type: transfer.config.ocm.software/v1alpha1, recursive: -1, copyMode: allResources}
- {type: transfer.config.ocm.software, recursive: 0, copyMode: localBlob, uploadType: ociArtifact}
- {type: plugin.config.ocm.software/v2alpha1, locations: [x], idleTimeout: 2h}
- {type: plugin.config.ocm.software/v2alpha1, locations: [z], idleTimeout: 1m}
- {type: plugin.config.ocm.software, plugin: name}
`)
	if f, err := c.Filesystem(); err != nil || f != (Filesystem{"/c", "/b"}) {
		t.Errorf("%+v %v", f, err)
	}
	if tr, err := c.Transfer(); err != nil || !reflect.DeepEqual(tr, Transfer{true, CopyAllResources, UploadOCIArtifact, nil}) {
		t.Errorf("%+v %v", tr, err)
	}
	if p, err := c.Plugins(); err != nil || !slices.Equal(p.Locations, []string{"x", "z"}) || p.IdleTimeout != 2*time.Hour {
		t.Errorf("%+v %v", p, err)
	}
	var none *Config
	if tr, err := none.Transfer(); err != nil || !reflect.DeepEqual(tr, Transfer{false, CopyLocalBlobs, UploadLocalBlob, nil}) {
		t.Errorf("%+v %v", tr, err)
	}
	if p, err := none.Plugins(); err != nil || p.IdleTimeout != time.Hour {
		t.Errorf("%+v %v", p, err)
	}
	for _, item := range []string{
		"- {type: transfer.config.ocm.software, recursive: 2}",
		"- {type: transfer.config.ocm.software, copyMode: all}",
		"- {type: transfer.config.ocm.software, uploadType: x}",
		"- {type: transfer.config.ocm.software, uploadType: 1}",
	} {
		if _, err := entries(t, item).Transfer(); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", item, err)
		}
	}
	if _, err := entries(t, "- {type: plugin.config.ocm.software/v2alpha1, idleTimeout: never}").Plugins(); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
	if _, err := entries(t, "- {type: filesystem.config.ocm.software, tempFolder: [a]}").Filesystem(); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	c := entries(t, `
- type: http.config.ocm.software/v1alpha1
  timeout: 1m
  retry: {maxRetries: -1}
  hosts:
    Registry:5000: {insecureSkipVerify: true, retry: {minWait: 1s}}
    registry: {timeout: 5s}
- type: http.config.ocm.software
  tcpKeepAlive: -1s
  timeout: 2m
  hosts:
    "registry:5000": {retry: {maxWait: 9s}}
`)
	h, err := c.HTTP()
	if err != nil {
		t.Fatal(err)
	}
	base := HTTPOptions{Timeout: 2 * time.Minute, TCPKeepAlive: -time.Second, MaxRetries: -1, MinWait: 200 * time.Millisecond, MaxWait: 3 * time.Second}
	port, host := base, base
	port.InsecureSkipVerify, port.MinWait, port.MaxWait = true, time.Second, 9*time.Second
	host.Timeout = 5 * time.Second
	for name, want := range map[string]HTTPOptions{"REGISTRY:5000": port, "registry:443": host, "registry": host, "ghcr.io": base, "[::1]": base, "": base} {
		if got := h.For(name); got != want {
			t.Errorf("%s: %+v, expected %+v", name, got, want)
		}
	}
	h, err = (*Config)(nil).HTTP()
	if want := (HTTPOptions{Timeout: 30 * time.Second, MaxRetries: 5, MinWait: 200 * time.Millisecond, MaxWait: 3 * time.Second}); err != nil || h.For("x") != want {
		t.Errorf("defaults: %+v %v", h, err)
	}
	for _, fields := range []string{"timeout: -1s", "timeout: soon", "timeout: 5", "retry: {maxRetries: -2}", "hosts: {a: {idleConnTimeout: -1s}}"} {
		if _, err := entries(t, "- {type: http.config.ocm.software, "+fields+"}").HTTP(); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: %v", fields, err)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	m := Merge(parse(t, "type: a"), nil, parse(t, "type: b"))
	if len(m.Entries) != 2 || m.Entries[1].Type != "b" {
		t.Errorf("%+v", m)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("type: generic.config.ocm.software/v1\nconfigurations:\n- type: a\n- {type: generic.config.ocm.software}\n"))
	f.Add([]byte(`{"type":"http.config.ocm.software","timeout":"1s","hosts":{"a":{}}}`))
	f.Add([]byte("type: resolvers.config.ocm.software\nresolvers: [{repository: {type: a}, componentNamePattern: 'a/{b,[c]}**', versionConstraint: '>1'}]"))
	f.Add([]byte("type: ocm.config.ocm.software\nresolvers: [{repository: {type: a}, prefix: b, priority: 3}]"))
	older, err := os.ReadFile(filepath.Join("testdata", "older.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(older)
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &Config{}
		if len(text) > MaxFileSize || c.add(text, "FILE") != nil {
			return
		}
		for name := range c.sets {
			if err := c.Select(name); err != nil {
				t.Errorf("set %q: %v", name, err)
			}
		}
		for _, e := range c.Entries {
			if e.Type == "" || Is(e.Type, GenericType) {
				t.Errorf("entry %q", e.Type)
			}
		}
		if r, err := c.Resolvers(); err == nil {
			r.Match("acme.org/a", "1.0.0")
		}
		_, _, signing := c.Signing("x")
		_, keys := c.Keys()
		_, http := Explained(c, HTTPType, (*Config).HTTP)
		_, transfer := c.Transfer()
		_, aliases := c.Aliases()
		_, folders := c.Filesystem()
		_, plugins := c.Plugins()
		for _, err := range []error{signing, keys, http, transfer, aliases, folders, plugins} {
			if err != nil && !strings.HasPrefix(err.Error(), "configuration FILE: ") {
				t.Errorf("it does not say where: %v", err)
			}
		}
	})
}

func TestCVE_2019_11254_AliasesOfALongText(t *testing.T) {
	text := "type: x\na: &a " + strings.Repeat("x", 10_000) + "\nb: [" + strings.Repeat("*a,", 1000) + "]\n"
	if _, err := Parse([]byte(text)); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("got %v, want %v", err, ocm.ErrLimit)
	}
}

// TestTransferRules: those of all entries count, and what is misspelt or says nothing is refused.
func TestTransferRules(t *testing.T) {
	t.Parallel()
	c := entries(t, `
- {type: transfer.config.ocm.software/v1alpha1, rules: [{match: {name: a*, mediaType: text/plain}, uploader: {type: store/v1, url: "https://one.example"}}]}
- {type: transfer.config.ocm.software/v1alpha1, copyMode: allResources}
- {type: transfer.config.ocm.software/v1alpha1, rules: [{transformer: {type: helm}}]}
`)
	tr, err := c.Transfer()
	if err != nil || len(tr.Rules) != 2 || tr.Rules[0].Uploader.Type != "store/v1" || tr.Rules[0].Match != (TransferMatch{Name: "a*", MediaType: "text/plain"}) ||
		tr.Rules[1].Transformer.Type != "helm" || tr.Rules[1].Match != (TransferMatch{}) || tr.Rules[1].Uploader != nil {
		t.Errorf("%+v %v", tr, err)
	}
	for _, rule := range []string{
		"{mtach: {name: a}, uploader: {type: x}}", "{match: {nmae: a}, uploader: {type: x}}", "{match: {name: a}}", "{}", "{uploader: {url: x}}", "{transformer: {}}", "{uploader: x}", "x", "null",
	} {
		c := entries(t, "- {type: transfer.config.ocm.software/v1alpha1, rules: ["+rule+"]}")
		if tr, err := c.Transfer(); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%s: expected ErrInvalid, found %v, %+v", rule, err, tr.Rules)
		}
	}
}
