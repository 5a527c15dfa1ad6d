// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ocm"
	"ocm/inspect"
)

const (
	// MaxListed bounds the versions of one component that are listed.
	MaxListed = 100_000
	// MaxPattern bounds constraints and filters, in bytes.
	MaxPattern = 1 << 10

	maxTold = 10 // versions, or elements, that an error names
)

// Wish says which version is wanted.
type Wish struct {
	Component string
	Semver    string // a version, taken as it is, or a constraint
	Filter    string // a regular expression that must be found in versions; for constraints
	Current   string // the version that counts now; empty: none
	Downgrade bool   // whether an older one may follow it
}

// ErrDowngrade says that the version that is wanted is older than the one that counts.
var ErrDowngrade = errors.New("downgrade is not allowed")

// Select chooses a version. [ocm.ErrNotFound] lists what there is, [ocm.ErrInvalid] names the field of the wish; [ErrDowngrade] comes
// with the version that would be one.
//
// A version, loosely written ones such as v1 included, is not looked for: whether it is there turns out when it is loaded. Of those that
// meet a constraint and pass the filter the newest is chosen; pre-releases meet constraints only that name one.
func (r *Resolver) Select(ctx context.Context, p Place, w Wish) (string, error) {
	if len(w.Semver) > MaxPattern || len(w.Filter) > MaxPattern {
		return "", fmt.Errorf("semver, semverFilter: longer than %d bytes: %w", MaxPattern, ocm.ErrLimit)
	}
	chosen := w.Semver
	if !inspect.IsVersion(w.Semver) {
		var err error
		if chosen, err = r.newest(ctx, p, w); err != nil {
			return "", err
		}
	}
	if w.Current == "" || w.Current == chosen || w.Downgrade {
		return chosen, nil
	}
	older, err := inspect.IsOlder(chosen, w.Current)
	if err != nil {
		return "", fmt.Errorf("spec.semver: %w", err)
	}
	if older {
		return chosen, fmt.Errorf("%s: %s is older than %s: %w (downgradePolicy)", w.Component, chosen, w.Current, ErrDowngrade)
	}
	return chosen, nil
}

// newest lists versions and chooses.
func (r *Resolver) newest(ctx context.Context, p Place, w Wish) (string, error) {
	if w.Semver == "" {
		return "", fmt.Errorf("spec.semver: it is empty, expected a version or a constraint such as >=1.0.0: %w", ocm.ErrInvalid)
	}
	if _, err := inspect.SelectVersions(nil, w.Semver); err != nil {
		return "", fmt.Errorf("spec.semver: %w", err)
	}
	filter, err := regexp.Compile(w.Filter)
	if err != nil {
		return "", fmt.Errorf("spec.semverFilter: %v: %w", err, ocm.ErrInvalid)
	}
	s, err := r.session(p.Config)
	if err != nil {
		return "", err
	}
	repo, err := s.Share(ocm.NewJob(r.o.Parallel)).Existing(ctx, p.Repository)
	if err != nil {
		return "", err
	}
	var all []string
	for v, err := range repo.Versions(ctx, w.Component) {
		if err != nil {
			return "", fmt.Errorf("%s: versions of %s: %w", repo, w.Component, err)
		}
		if len(all) == MaxListed {
			return "", fmt.Errorf("%s: %s has more than %d versions: %w", repo, w.Component, MaxListed, ocm.ErrLimit)
		}
		all = append(all, v)
	}
	passed := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return !filter.MatchString(v) })
	found, err := inspect.SelectVersions(passed, w.Semver)
	if err != nil {
		return "", fmt.Errorf("spec.semver: %w", err)
	}
	if len(found) > 0 {
		return found[0], nil
	}
	return "", fmt.Errorf("%s: %s has no version that meets %s%s, there is %s: %w", repo, w.Component, w.Semver, filtered(w.Filter), told(newestFirst(all)), ocm.ErrNotFound)
}

func filtered(filter string) string {
	if filter == "" {
		return ""
	}
	return " and passes " + filter
}

// newestFirst sorts what is a version before what is none.
func newestFirst(all []string) []string {
	sorted, err := inspect.SelectVersions(all, "")
	if err != nil || len(sorted) == 0 {
		return all
	}
	return sorted
}

// told lists a few of many.
func told(all []string) string {
	switch {
	case len(all) == 0:
		return "none"
	case len(all) > maxTold:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:maxTold], ", "), len(all)-maxTold)
	}
	return strings.Join(all, ", ")
}
