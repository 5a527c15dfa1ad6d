// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestUnifiedDiff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, a, b, want string }{
		{"equal", "a b c", "a b c", ""},
		{"new", "", "a b", "@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"gone", "a b", "", "@@ -1,2 +0,0 @@\n-a\n-b\n"},
		{"one line of many", "1 2 3 4 5 6 7 8 9", "1 2 3 4 X 6 7 8 9", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+X\n 6\n 7\n 8\n"},
		{
			"two places", "1 2 3 4 5 6 7 8 9 10 11 12", "0 1 2 3 4 5 6 7 8 9 10 12",
			"@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -8,5 +9,4 @@\n 8\n 9\n 10\n-11\n 12\n",
		},
	} {
		if got := unified(strings.Fields(c.a), strings.Fields(c.b)); got != c.want {
			t.Errorf("%s: expected\n%s\nfound\n%s", c.name, c.want, got)
		}
	}
}

// TestUnifiedDiffIsRight applies the edits to the first text, which must give the second.
func TestUnifiedDiffIsRight(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) (out []string) {
		for range n {
			out = append(out, fmt.Sprint(random.IntN(5)))
		}
		return out
	}
	for range 2000 {
		checkEdits(t, text(random.IntN(40)), text(random.IntN(40)))
	}
	checkEdits(t, text(3000), text(2500)) // more edits than are looked for
}

func checkEdits(t *testing.T, a, b []string) {
	t.Helper()
	var was, is []string
	for _, e := range compare(a, b) {
		if e.op != '+' {
			was = append(was, e.line)
		}
		if e.op != '-' {
			is = append(is, e.line)
		}
	}
	if !slices.Equal(was, a) || !slices.Equal(is, b) {
		t.Fatalf("the difference of %q and %q is one of %q and %q", a, b, was, is)
	}
}

func FuzzUnifiedDiff(f *testing.F) {
	f.Add("a\nb\nc", "a\nc\nd")
	f.Add("", "\n\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
		checkEdits(t, x, y)
		if text := unified(x, y); (text == "") != slices.Equal(x, y) {
			t.Errorf("%q and %q: %q", a, b, text)
		}
	})
}
