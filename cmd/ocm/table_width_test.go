// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"
)

// TestTreeOnNarrowTerminal: the nesting stays whole, and the identity breaks between its parts.
func TestTreeOnNarrowTerminal(t *testing.T) {
	t.Parallel()
	tab := newTable("NESTING", "IDENTITY")
	tab.keep, tab.width = 1, 46
	tab.add("   │  │  └─", "name=acme.org/application,version=1.0.0")
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" │ name=acme.org/application,\n", " │ version=1.0.0\n", "   │  │  └─ │"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("expected %q in:\n%s", want, b.String())
		}
	}
}

// TestIdentityInNarrowColumn: words of it stay whole where they can.
func TestIdentityInNarrowColumn(t *testing.T) {
	t.Parallel()
	tab := newTable("OBJECT", "VERDICT")
	tab.width = 37
	tab.add("resource server(architecture=amd64,os=linux)", "ok")
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	want := " resource server(          │ ok\n architecture=amd64,       │\n os=linux)                 │\n"
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("expected at the end %q in:\n%s", want, b.String())
	}
}

// TestEmptyColumnIsNotKept: what becomes narrower does so whatever was left out before it.
func TestEmptyColumnIsNotKept(t *testing.T) {
	t.Parallel()
	tab := newTable("NAME", "VERSION", "PROBLEM")
	tab.keep, tab.width = 2, 40
	tab.add("share", "", "it can be changed by others, which is no good idea")
	tab.dropEmpty()
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	if want := " share │ it can be changed by others,\n"; !strings.Contains(b.String(), want) {
		t.Errorf("expected %q in:\n%s", want, b.String())
	}
}

// TestLineWidthOfFile: what is no terminal has no width of its own.
func TestLineWidthOfFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := lineWidth(f, 77); got != 77 {
		t.Errorf("width %d of a file, expected 77", got)
	}
}
