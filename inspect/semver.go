// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/Masterminds/semver/v3"

	"ocm"
)

// allVersions is the constraint that every semantic version meets, pre-releases too.
const allVersions = ">=0.0.0-0"

// SelectVersions returns the versions that meet a constraint, newest first; an empty one is met by all. What is no semantic version, loosely
// written ones included, is left out. Pre-releases meet constraints only that name one. [ocm.ErrInvalid] if the constraint is none.
func SelectVersions(versions []string, constraint string) ([]string, error) {
	if constraint == "" {
		constraint = allVersions
	}
	accepted, err := semver.NewConstraint(constraint)
	if err != nil {
		return nil, fmt.Errorf("%q: %v, expected for example %q: %w", constraint, err, ">=1.2.0, <2.0.0", ocm.ErrInvalid)
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
	selected := make([]string, len(found))
	for i, v := range found {
		selected[i] = v.Original()
	}
	return selected, nil
}

// IsVersion reports whether a text is a version, loosely written ones such as v1 included, and no constraint.
func IsVersion(s string) bool {
	_, err := semver.NewVersion(s)
	return err == nil
}

// IsOlder reports whether the version a comes before b. [ocm.ErrInvalid] if one of them is no semantic version.
func IsOlder(a, b string) (bool, error) {
	va, err := semver.NewVersion(a)
	if err != nil {
		return false, fmt.Errorf("version %q: %v: %w", a, err, ocm.ErrInvalid)
	}
	vb, err := semver.NewVersion(b)
	if err != nil {
		return false, fmt.Errorf("version %q: %v: %w", b, err, ocm.ErrInvalid)
	}
	return va.LessThan(vb), nil
}
