// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/Masterminds/semver/v3"

	"ocm/inspect"
)

// selectVersions returns the versions that meet a constraint, newest first; with latest
// only the newest. What is no semantic version is left out.
func selectVersions(versions []string, constraint string, latest bool) ([]string, error) {
	if constraint != "" {
		if err := checkConstraint(constraint); err != nil {
			return nil, err
		}
	}
	selected, err := inspect.SelectVersions(versions, constraint)
	if latest && len(selected) > 1 {
		selected = selected[:1]
	}
	return selected, err
}

func checkConstraint(s string) error {
	if _, err := semver.NewConstraint(s); err != nil {
		return usagef("--semver-constraint %q: %w, expected for example %q", s, err, ">=1.2.0, <2.0.0")
	}
	return nil
}
