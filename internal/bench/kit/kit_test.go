// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"math"
	"testing"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]Verdict{
		"met":    {Value: 1.1, Mark: 1.1},
		"missed": {Value: math.Inf(1), Mark: 1.1},
		"":       {Value: 5},
	} {
		if got := v.Result(); got != want {
			t.Errorf("%+v: got %q, want %q", v, got, want)
		}
	}
}

func TestReplacePart(t *testing.T) {
	t.Parallel()
	text := "a\n<!-- measured x -->\n\nold\n\n<!-- end x -->\nb\n"
	got, err := replacePart(text, "x", "new\n")
	if want := "a\n<!-- measured x -->\n\nnew\n\n<!-- end x -->\nb\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := replacePart(text, "y", "new"); err == nil {
		t.Error("a part that is not there was replaced")
	}
}
