// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/graph"
)

func descriptor(name, version string, refs ...string) *ocm.Descriptor {
	d := &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}}
	d.Component.Name, d.Component.Version, d.Component.Provider = name, version, "acme.org"
	for _, ref := range refs {
		n, v, _ := strings.Cut(ref, ":")
		d.Component.References = append(d.Component.References,
			ocm.Reference{Element: ocm.Element{Name: "r", Version: v}, ComponentName: n})
	}
	return d
}

func printed(t *testing.T, fn func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := fn(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := printed(t, func(b *bytes.Buffer) error {
		return printList(b, "table", []*ocm.Descriptor{
			descriptor("acme.org/app", "1.1.0"), descriptor("acme.org/app", "1.0.0"), descriptor("acme.org/library", "1.0.0"),
		}, descriptorTable)
	})
	want := "" +
		" COMPONENT        │ VERSION │ PROVIDER\n" +
		"──────────────────┼─────────┼──────────\n" +
		" acme.org/app     │ 1.1.0   │ acme.org\n" +
		"                  │ 1.0.0   │\n" +
		" acme.org/library │ 1.0.0   │ acme.org\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Wide tables wrap their widest columns; lines across are never broken.
func TestTableWraps(t *testing.T) {
	t.Parallel()
	tab := newTable("NAME", "WHERE", "NOTHING")
	tab.width = 40
	tab.add("a", "registry.example.org/acme/component/images/app:1.0.0", "")
	tab.line("   ", "https://registry.example.org/acme/component/images/app:1.0.0")
	tab.add("b", strings.Repeat("x", 40), "")
	tab.dropEmpty()
	got := printed(t, func(b *bytes.Buffer) error { return tab.write(b) })
	want := "" +
		" NAME │ WHERE\n" +
		"──────┼─────────────────────────────────\n" +
		" a    │ registry.example.org/acme/\n" +
		"      │ component/images/app:1.0.0\n" +
		"   https://registry.example.org/acme/component/images/app:1.0.0\n" +
		" b    │ xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" +
		"      │ xxxxxxxxx\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestShortDigests(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0123456789abcdef", 4)
	if got := shortDigests("sha256:" + hex + ", commit 0123456789abcdef"); got != "sha256:0123456789ab, commit 0123456789abcdef" {
		t.Errorf("got %q", got)
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	step := func(object, check, verdict string) graph.Step {
		return graph.Step{Component: object[:1] + ":1", Object: object[2:], Check: check, Verdict: verdict}
	}
	good := []graph.Step{
		step("a signature x", "descriptor digest", "ok"), step("a signature x", "signature", "ok"),
		step("a resource r", "content digest", "ok"), step("a resource q", "content digest", "excluded"), step("b source s", "stored bytes", "ok"),
	}
	failed := append(slices.Clone(good), step("b resource r", "content digest", "failed"))
	failed[5].Detail = "x: digest mismatch"
	skipped := append(slices.Clone(failed), step("b resource t", "content digest", "skipped"))
	for _, tt := range []struct {
		r    graph.Report
		want string
	}{
		{graph.Report{Steps: good, Verified: true}, "verified: 1 signature, 1 content, 2 component versions\nnot covered by signatures: 2 elements (sources, and what is excluded)"},
		{graph.Report{Steps: good[:2], Verified: true, Shallow: true}, "verified: 1 signature; shallow: contents and references were not checked"},
		{graph.Report{Steps: failed}, "NOT verified: 1 of 6 checks failed"},
		{graph.Report{Steps: skipped}, "NOT verified: 1 of 6 checks failed, 1 skipped"},
		{graph.Report{Steps: good, Shallow: true}, "NOT verified: no signature was found good"},
	} {
		if got := verdictOf(&tt.r); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := shortDetail(failed[5]); got != "digest mismatch" {
		t.Errorf("got %q", got)
	}
}

// Who may choose the name in a certificate cannot make the table show a part of it only, which is somebody else's name.
func TestNamesOfSignersAreNotCut(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"signature", `RSASSA-PSS by "CN=release (not at all)"`, `RSASSA-PSS by "CN=release (not at all)"`},
		{"signature", `RSASSA-PSS by "CN=x by the key in y"`, `RSASSA-PSS by "CN=x by the key in y"`},
		{"certificate chain", `"CN=release (not)" by "CN=root"`, `"CN=release (not)" by "CN=root"`},
		{"signature", "RSASSA-PSS by the key in rsa.pub", "RSASSA-PSS"},
		{"descriptor digest", "SHA-256:00 (jsonNormalisation/v3)", "SHA-256:00"},
	} {
		if got := shortDetail(graph.Step{Object: "signature x", Check: c[0], Verdict: graph.OK, Detail: c[1]}); got != c[2] {
			t.Errorf("%s: got %s", c[1], got)
		}
	}
}

// A table of checks fits a narrow terminal, and says why something failed or was left out.
func TestTableOfChecks(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0123456789abcdef", 4)
	list := []graph.Step{
		{Component: "a.org/app:1", Object: "component version", Check: "manifest digest", Verdict: "ok", Detail: "sha256:" + hex},
		{Component: "a.org/app:1", Object: "signature x", Check: "descriptor digest", Verdict: "ok", Detail: "SHA-256:" + hex + " (jsonNormalisation/v3)"},
		{Component: "a.org/app:1", Object: "signature x", Check: "signature value", Verdict: "failed", Detail: "the signature does not fit the key: signature verification failed"},
		{Component: "a.org/app:1", Object: "signature x", Check: "signature", Verdict: "skipped", Detail: "a check of it failed"},
	}
	for i := range 5 {
		list = append(list, graph.Step{Component: "a.org/app:1", Object: fmt.Sprint("resource r", i), Check: "content digest", Verdict: "skipped", Detail: "a signature is not good"})
	}
	got := printed(t, func(b *bytes.Buffer) error { tab := checkTable(list); tab.width = 80; return tab.write(b) })
	want := "" +
		" OBJECT                 │ CHECK             │ VERDICT │ DETAIL\n" +
		"────────────────────────┼───────────────────┼─────────┼─────────────────────────\n" +
		"a.org/app:1  sha256:0123456789ab\n" +
		" signature x            │ descriptor digest │ ok      │ SHA-256:0123456789ab\n" +
		" signature x            │ signature value   │ failed  │ wrong key or changed\n" +
		" signature x            │ signature         │ skipped │ a check of it failed\n" +
		" resource r0 and 4 more │ content digest    │ skipped │ a signature is not good\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestTableOfMoves(t *testing.T) {
	t.Parallel()
	got := printed(t, func(b *bytes.Buffer) error {
		return moveTable([]moved{
			{Component: "a.org/lib:1", State: "identical", Moves: []move{{Kind: "resource", Element: "z", Access: "localBlob", Action: "copy"}}},
			{Component: "a.org/app:1", State: "absent", Moves: []move{{Kind: "resource", Element: "x", Access: "localBlob", Action: "copy"}, {Kind: "source", Element: "y", Access: "git", Action: "keep"}}},
		}).write(b)
	})
	want := "" +
		" ELEMENT    │ ACCESS    │ ACTION\n" +
		"────────────┼───────────┼────────\n" +
		"a.org/lib:1: identical in the target\n" +
		"a.org/app:1: new in the target\n" +
		" resource x │ localBlob │ copy\n" +
		" source y   │ git       │ keep\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	roots := nest([]*ocm.Descriptor{
		descriptor("a.org/lib", "1"), descriptor("a.org/left", "1", "a.org/lib:1"), descriptor("a.org/right", "1", "a.org/lib:1"),
		descriptor("a.org/root", "1", "a.org/left:1", "a.org/right:1", "other.org/x:1"), descriptor("a.org/alone", "1"),
	})
	got := printed(t, func(b *bytes.Buffer) error { return printTree(b, roots) })
	want := "" +
		" NESTING  │ COMPONENT   │ VERSION │ PROVIDER │ IDENTITY\n" +
		"──────────┼─────────────┼─────────┼──────────┼────────────────────────────\n" +
		" ├─       │ a.org/root  │ 1       │ acme.org │ name=a.org/root,version=1\n" +
		" │  ├─    │ a.org/left  │ 1       │ acme.org │ name=a.org/left,version=1\n" +
		" │  │  └─ │ a.org/lib   │ 1       │ acme.org │ name=a.org/lib,version=1\n" +
		" │  └─    │ a.org/right │ 1       │ acme.org │ name=a.org/right,version=1\n" +
		" │     └─ │ a.org/lib   │ 1       │ acme.org │ name=a.org/lib,version=1\n" +
		" └─       │ a.org/alone │ 1       │ acme.org │ name=a.org/alone,version=1\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if n := len(flatten(roots)); n != 5 {
		t.Errorf("flatten: got %d versions, want each of 5 once", n)
	}
}

// A chain of 40 diamonds has 2^40 paths; the tree must not draw them all.
func TestTreeOfDiamondsStaysSmall(t *testing.T) {
	t.Parallel()
	below := &node{descriptor: descriptor("a.org/leaf", "1")}
	for range 40 {
		below = &node{descriptor: descriptor("a.org/n", "1"), children: []*node{below, below}}
	}
	got := printed(t, func(b *bytes.Buffer) error { return printTree(b, []*node{below}) })
	if lines := strings.Count(got, "\n"); lines > 100 {
		t.Errorf("%d lines", lines)
	}
	if !strings.Contains(got, "see above") {
		t.Error("a subtree was left out without a word")
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	list := []*ocm.Descriptor{descriptor("acme.org/app", "1.0"), descriptor("acme.org/<lib>", "2")}
	tests := map[string][]string{
		"json":   {"[\n  {\n    \"meta\": {", `"name": "acme.org/<lib>"`},
		"ndjson": {`{"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/app"`, "}\n{"},
		"yaml":   {"- component:\n", `version: "1.0"`},
	}
	for format, wants := range tests {
		got := printed(t, func(b *bytes.Buffer) error { return printList(b, format, list, descriptorTable) })
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in\n%s", format, want, got)
			}
		}
	}
	for format, want := range map[string]string{"json": "[]\n", "yaml": "[]\n", "ndjson": ""} {
		if got := printed(t, func(b *bytes.Buffer) error { return printList[*ocm.Descriptor](b, format, nil, nil) }); got != want {
			t.Errorf("empty list as %s: got %q, want %q", format, got, want)
		}
	}
}

// What is text stays text for whoever reads the YAML: a digest of digits only is no number, "on" is not true.
func TestYAMLQuotes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		strings.Repeat("0", 64), "0000", "1.0", "1e10", "0x1F", "1_000", "0o17", "0b1", ".5", "+1", ".inf", "on", "y", "No", "true", "~", "null", "",
		"2026-01-02", "12:30:45", "<<", "=", "- a", "a: b", "# x", "*a", "---", " a\n b",
	} {
		got := printed(t, func(b *bytes.Buffer) error { return printValue(b, "yaml", []string{text}) })
		var again []any
		if err := yaml.Unmarshal([]byte(got), &again); err != nil || len(again) != 1 || again[0] != text {
			t.Errorf("%q was written as %q, and read as %v: %v", text, got, again, err)
		}
	}
}

func TestOutputErrorsAreErrors(t *testing.T) {
	t.Parallel()
	list := []*ocm.Descriptor{descriptor("acme.org/app", "1.0")}
	for _, format := range []string{"table", "json", "ndjson", "yaml"} {
		if err := printList(fullDisk{}, format, list, descriptorTable); !errors.Is(err, errFull) {
			t.Errorf("%s: got %v", format, err)
		}
	}
	if err := printTree(fullDisk{}, nest(list)); !errors.Is(err, errFull) {
		t.Errorf("tree: got %v", err)
	}
}

var errFull = errors.New("disk full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// Names from a repository must not steer the terminal.
func TestHostileTextIsEscaped(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in      string
		message bool
		want    string
	}{
		{"plain äö€ │", false, "plain äö€ │"},
		{"a\x1b[31mb", false, `a\x1b[31mb`},
		{"a\nb", false, `a\nb`},
		{"a\nb\tc\r", true, "a\nb\tc\\r"},
		{"a\u202eb", false, `a\u202eb`},
		{"a\u200bb\u0085c", false, `a\u200bb\u0085c`},
		{"a\xffb", false, `a\ufffdb`},
		{strings.Repeat("x", 300), false, strings.Repeat("x", 199) + "…"},
	}
	for _, tt := range tests {
		if got := clean(tt.in, tt.message); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	d := descriptor("acme.org/\x1b]0;x\aapp", "1\n2")
	got := printed(t, func(b *bytes.Buffer) error { return printTree(b, nest([]*ocm.Descriptor{d})) })
	if strings.ContainsAny(got, "\x1b\a") || strings.Count(got, "\n") != 3 {
		t.Errorf("got %q", got)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{-1: "", 0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 1 << 62: "4096.0 PiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestSelectVersions(t *testing.T) {
	t.Parallel()
	all := []string{"1.0.0", "v2.1", "latest", "1.10.0", "1.2.0", "2.1.0-rc.1", "1.2.0+b", ""}
	tests := []struct {
		constraint string
		latest     bool
		want       []string
	}{
		{"", false, []string{"v2.1", "2.1.0-rc.1", "1.10.0", "1.2.0+b", "1.2.0", "1.0.0"}},
		{"", true, []string{"v2.1"}},
		{">=1.0.0, <2.0.0", false, []string{"1.10.0", "1.2.0+b", "1.2.0", "1.0.0"}},
		{"~1.2", true, []string{"1.2.0+b"}},
		{">5", true, []string{}},
	}
	for _, tt := range tests {
		got, err := selectVersions(all, tt.constraint, tt.latest)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q latest %v: got %q, %v; want %q", tt.constraint, tt.latest, got, err, tt.want)
		}
	}
	if _, err := selectVersions(all, "abc", false); !isUsage(err) {
		t.Errorf("got %v", err)
	}
}

// A resource's name comes from somebody else: without --output it must stay in the folder
// (as in CVE-2026-40090).
func TestCVE_2026_40090_NameOfResourceIsNoPath(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "/etc/passwd", "a/b", `a\b`, "..", "", "-"} {
		if err := checkOutput(name); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	for _, name := range []string{"x", "x.tgz"} {
		if err := checkOutput(name); err != nil {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestVersionOf(t *testing.T) {
	t.Parallel()
	v := versionOf(&debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3-rc.1+dirty"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}}})
	want := versionInfo{"1", "2", "3", "rc.1", "dirty", "v1.2.3-rc.1+dirty", "abc", "2026-01-02T03:04:05Z", "go1.26",
		runtime.Compiler, runtime.GOOS + "/" + runtime.GOARCH}
	if v != want {
		t.Errorf("got %+v", v)
	}
	raw, err := json.Marshal(versionOf(&debug.BuildInfo{GoVersion: "go1.26"}))
	if err != nil || !strings.HasPrefix(string(raw), `{"major":"0","minor":"0","patch":"0","gitVersion":"(devel)","goVersion":"go1.26","compiler":`) {
		t.Errorf("got %s, %v", raw, err)
	}
}
