// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzTable: whatever stands in a descriptor, a table has only characters that are safe to show,
// keeps its width where it can, and loses no text.
func FuzzTable(f *testing.F) {
	f.Add("acme.org/app", "1.0.0", 40)
	f.Add("a\x1b[31m\u202e\n\t", strings.Repeat("wide ", 100), 30)
	f.Add("\xff", "   ", 0)
	f.Fuzz(func(t *testing.T, a, b string, width int) {
		tab := newTable("NAME", "VALUE")
		tab.width = width
		tab.add(a, b)
		tab.line("  ", a)
		var out strings.Builder
		if err := tab.write(&out); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r != '\n' && r != ' ' && (!unicode.IsGraphic(r) || r == utf8.RuneError) {
				t.Fatalf("%q is in %q", r, out.String())
			}
		}
		bare := strings.NewReplacer(" ", "", "\n", "", "│", "").Replace(out.String())
		if want := strings.NewReplacer(" ", "", "│", "").Replace(clean(a, false)); !strings.Contains(bare, want) {
			t.Fatalf("%q is not in %q", want, bare)
		}
	})
}
