// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"strings"
	"testing"

	"ocm"
)

func TestSelect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, v := range []string{"1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "v0.9.0", "1.3.0-acme"} {
		b.version("acme.org/app", v).add("text", text(v)).commit()
	}
	for name, c := range map[string]struct {
		wish Wish
		want string
		kind error
		text string
	}{
		"newest":                  {Wish{Semver: ">=1.0.0"}, "1.10.0", nil, ""},
		"a constraint":            {Wish{Semver: "<1.10.0"}, "1.2.0", nil, ""},
		"older spelling":          {Wish{Semver: "<1.0.0"}, "v0.9.0", nil, ""},
		"pre-release if named":    {Wish{Semver: ">=2.0.0-0"}, "2.0.0-rc.1", nil, ""},
		"filter":                  {Wish{Semver: "*", Filter: `^1\.[0-2]\.`}, "1.2.0", nil, ""},
		"filter of pre-releases":  {Wish{Semver: ">0.0.0-0", Filter: `-acme$`}, "1.3.0-acme", nil, ""},
		"filter that nobody pass": {Wish{Semver: "*", Filter: "^x"}, "", ocm.ErrNotFound, "passes ^x, there is 2.0.0-rc.1, 1.10.0"},
		"pinned":                  {Wish{Semver: "1.2.0"}, "1.2.0", nil, ""},
		"pinned, loosely":         {Wish{Semver: "v7"}, "v7", nil, ""},
		"pinned, past the filter": {Wish{Semver: "1.2.0", Filter: "^x"}, "1.2.0", nil, ""},
		"nothing fits":            {Wish{Semver: ">3"}, "", ocm.ErrNotFound, "1.10.0"},
		"no such component":       {Wish{Component: "acme.org/none", Semver: "*"}, "", ocm.ErrNotFound, "there is none"},
		"no semver":               {Wish{}, "", ocm.ErrInvalid, "semver"},
		"wrong constraint":        {Wish{Semver: "newest"}, "", ocm.ErrInvalid, "semver"},
		"wrong filter":            {Wish{Semver: "*", Filter: "("}, "", ocm.ErrInvalid, "semverFilter"},
		"long filter":             {Wish{Semver: "*", Filter: strings.Repeat("a", MaxPattern+1)}, "", ocm.ErrLimit, "semverFilter"},
		"upgrade":                 {Wish{Semver: "*", Current: "1.2.0"}, "1.10.0", nil, ""},
		"the same":                {Wish{Semver: "*", Current: "1.10.0"}, "1.10.0", nil, ""},
		"downgrade":               {Wish{Semver: "*", Current: "2.0.0"}, "1.10.0", ErrDowngrade, "1.10.0 is older than 2.0.0"},
		"downgrade, pinned":       {Wish{Semver: "1.2.0", Current: "v1.10"}, "1.2.0", ErrDowngrade, "older"},
		"downgrade, allowed":      {Wish{Semver: "1.2.0", Current: "1.10.0", Downgrade: true}, "1.2.0", nil, ""},
		"downgrade to pre":        {Wish{Semver: "2.0.0-rc.1", Current: "2.0.0"}, "2.0.0-rc.1", ErrDowngrade, "older"},
		"current is no version":   {Wish{Semver: "1.2.0", Current: "latest"}, "", ocm.ErrInvalid, "latest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.wish.Component == "" {
				c.wish.Component = "acme.org/app"
			}
			got, err := b.Select(t.Context(), b.place(), c.wish)
			if got != c.want || !errors.Is(err, c.kind) || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
