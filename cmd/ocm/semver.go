// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"

	"github.com/Masterminds/semver/v3"
)

// allVersions is the constraint that every semantic version meets, pre-releases too.
const allVersions = ">=0.0.0-0"

// selectVersions returns the versions that meet a constraint, newest first; with latest
// only the newest. What is no semantic version is left out.
func selectVersions(versions []string, constraint string, latest bool) ([]string, error) {
	if constraint == "" {
		constraint = allVersions
	}
	accepted, err := parseConstraint(constraint)
	if err != nil {
		return nil, err
	}
	var found []*semver.Version
	for _, s := range versions {
		if v, err := semver.NewVersion(s); err == nil && accepted.Check(v) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b *semver.Version) int {
		return cmp.Or(b.Compare(a), cmp.Compare(b.Original(), a.Original()))
	})
	if latest && len(found) > 1 {
		found = found[:1]
	}
	selected := make([]string, len(found))
	for i, v := range found {
		selected[i] = v.Original()
	}
	return selected, nil
}

func parseConstraint(s string) (*semver.Constraints, error) {
	c, err := semver.NewConstraint(s)
	if err != nil {
		return nil, usagef("--semver-constraint %q: %w, expected for example %q", s, err, ">=1.2.0, <2.0.0")
	}
	return c, nil
}
