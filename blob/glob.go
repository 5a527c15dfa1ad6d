// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"ocm"
)

// globs are patterns for slash paths relative to a root. A pattern is that of [path.Match], so
// that "*" stays within one path element; beyond that an element "**" stands for any number of
// elements, also none.
type globs []string

// newGlobs checks the patterns; "./" and "/" at their beginning mean nothing.
func newGlobs(what string, patterns []string) (globs, error) {
	g := make(globs, 0, len(patterns))
	for _, p := range patterns {
		clean := strings.TrimPrefix(strings.TrimPrefix(p, "./"), "/")
		if _, err := path.Match(clean, ""); err != nil || clean == "" {
			return nil, fmt.Errorf("%s pattern %q is malformed: %w", what, p, ocm.ErrInvalid)
		}
		g = append(g, clean)
	}
	return g, nil
}

// Glob makes a function of a pattern for names with slashes: "*", "?" and classes as "[a-z]" stay
// within one element of a name, an element "**" stands for any number of elements, also none.
// [ocm.ErrInvalid] if it is malformed.
func Glob(pattern string) (func(name string) bool, error) {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return nil, fmt.Errorf("pattern %q is malformed: %w", pattern, ocm.ErrInvalid)
	}
	return func(name string) bool { return matchGlob(pattern, name) }, nil
}

func (g globs) match(name string) bool {
	for _, p := range g {
		if matchGlob(p, name) {
			return true
		}
	}
	return false
}

func matchGlob(pattern, name string) bool {
	parts := strings.Split(pattern, "/")
	if !slices.Contains(parts, "**") {
		ok, _ := path.Match(pattern, name)
		return ok
	}
	return matchParts(parts, strings.Split(name, "/"))
}

// matchParts fills one row after the other of a table: after row i, row[j] tells whether the
// first i parts of the pattern match the first j elements of the name. Its time is the product
// of both lengths, whatever the pattern is.
func matchParts(pattern, name []string) bool {
	row := make([]bool, len(name)+1)
	row[0] = true
	for _, p := range pattern {
		next := make([]bool, len(name)+1)
		next[0] = row[0] && p == "**"
		for j, n := range name {
			if p == "**" {
				next[j+1] = row[j+1] || next[j]
			} else if row[j] {
				next[j+1], _ = path.Match(p, n)
			}
		}
		row = next
	}
	return row[len(name)]
}
