// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"path"
	"strings"

	"ocm"
)

// rules are those of a .helmignore file, with helm's meaning: the first rule that matches decides, and a rule that
// begins with "!" drops everything that it does not match.
type rules []rule

type rule struct {
	pattern             string
	negate, dir, wholly bool // wholly: the pattern is for the path, not for the last name in it
}

// parseRules reads a .helmignore file; helm's own rule for hidden files among the templates comes last.
func parseRules(text string) (rules, error) {
	var all rules
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff") + "\ntemplates/.?*") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var r rule
		r.pattern, r.negate = strings.CutPrefix(line, "!")
		r.pattern, r.dir = strings.CutSuffix(r.pattern, "/")
		r.wholly = strings.Contains(r.pattern, "/")
		r.pattern = strings.TrimPrefix(r.pattern, "/")
		if _, err := path.Match(r.pattern, "x"); err != nil || strings.Contains(line, "**") {
			return nil, fmt.Errorf(".helmignore: %.100q is no pattern that helm knows: %w", line, ocm.ErrInvalid)
		}
		all = append(all, r)
	}
	return all, nil
}

// ignores reports whether an entry, by its path below the chart, is left out.
func (all rules) ignores(name string, isDir bool) bool {
	for _, r := range all {
		what := name
		if !r.wholly {
			what = path.Base(name)
		}
		match, _ := path.Match(r.pattern, what) // the pattern was tried when it was read
		switch {
		case r.negate && (r.dir && !isDir || !match):
			return true
		case !r.negate && match && (isDir || !r.dir):
			return true
		}
	}
	return false
}
