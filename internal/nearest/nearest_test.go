// SPDX-License-Identifier: Apache-2.0

package nearest

import (
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	long := strings.Repeat("x", MaxLength+1)
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"same", "same", 0}, {"resource", "resources", 1}, {"kitten", "sitting", 3}, {"long", long, MaxLength + 1}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("%.10q, %.10q: expected %d, found %d", c.a, c.b, c.want, got)
		}
	}
}
