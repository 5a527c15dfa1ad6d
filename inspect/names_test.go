// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/inspect"
)

// Names come from descriptors: they must not lead anywhere (CVE-2026-40090, CVE-2026-35204).
func TestCVE_2026_40090_SafeName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"app": "app", "app-1.0.0+build.tgz": "app-1.0.0+build.tgz", "a/b": "a_b", `a\b`: "a_b", "..": "_", "../../x": "_.._x", "/etc/passwd": "_etc_passwd",
		"": "_", ".hidden": "hidden", "-rf": "rf", "con": "_con", "COM1.txt": "_COM1.txt", "a\x00b\x1b[31m": "a_b__31m", "ü": "_", "x.": "x", strings.Repeat("a", 300): strings.Repeat("a", 200),
	} {
		if got := inspect.SafeName(text); got != want {
			t.Errorf("%q: expected %q, found %q", text, want, got)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	for _, seed := range []string{"app", "../x", "..", "", "con", strings.Repeat(".", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := inspect.SafeName(text)
		if !filepath.IsLocal(name) || name == "." || filepath.Base(name) != name || strings.ContainsAny(name, `/\:`) || len(name) > 201 || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") {
			t.Fatalf("%q gives %q", text, name)
		}
		if again := inspect.SafeName(name); again != name {
			t.Fatalf("%q gives %q, and that %q", text, name, again)
		}
	})
}

// Two resources never share a file, also where upper and lower case are one (CVE-2024-10389).
func TestCVE_2024_10389_FileNames(t *testing.T) {
	t.Parallel()
	element := func(name, version string, extra ocm.Identity) *inspect.Element {
		return &inspect.Element{Kind: inspect.KindResource, Common: &ocm.Element{Name: name, Version: version, ExtraIdentity: extra}}
	}
	used := map[string]bool{}
	got := inspect.FileNames(used, []*inspect.Element{
		element("tool", "1.0.0", ocm.Identity{"os": "linux", "architecture": "amd64"}), element("tool", "1.0.0", ocm.Identity{"os": "darwin", "architecture": "arm64"}),
		element("doc", "1.0.0", nil), element("Doc", "1.0.0", nil), element("image", "1.0", nil), element("image", "2.0", nil), element("a/b", "", nil), element("a_b", "", nil),
	})
	want := []string{"tool-linux-amd64", "tool-darwin-arm64", "doc", "Doc-2", "image-1.0", "image-2.0", "a_b", "a_b-2"}
	if !slices.Equal(got, want) {
		t.Errorf("expected %q, found %q", want, got)
	}
	if got := inspect.Unused(used, "DOC.tgz"); got != "DOC.tgz" {
		t.Errorf("found %q", got)
	}
	if got := inspect.Unused(used, "doc.tgz"); got != "doc-2.tgz" {
		t.Errorf("found %q", got)
	}
}
