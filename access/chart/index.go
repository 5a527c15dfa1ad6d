// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v2"

	"ocm"
	"ocm/descriptor"
	"ocm/internal/nearest"
)

// Limits of an index.yaml. Large public repositories have 20 MB and half a million lines.
const (
	MaxIndex      = 32 << 20  // bytes
	maxIndexNodes = 2_000_000 // lines and separators of values, each of which may become a node in memory
	maxNear       = 5         // names or versions that a message lists
)

// Index is what a chart repository has.
type Index struct{ charts map[string][]indexEntry }

type indexEntry struct {
	Version string   `yaml:"version"`
	URLs    []string `yaml:"urls"`
	Digest  string   `yaml:"digest"`
}

// Entry is one version of a chart in an index.
type Entry struct {
	Version string
	URL     string        // may be relative to the index
	Digest  digest.Digest // of the archive; empty if the index does not tell
}

// ParseIndex reads an index.yaml. [ocm.ErrInvalid] if it is none, [ocm.ErrLimit] if it is too large.
func ParseIndex(raw []byte) (*Index, error) {
	nodes := 0
	for _, c := range []byte("\n,[{") {
		nodes += bytes.Count(raw, []byte{c})
	}
	if len(raw) > MaxIndex || nodes > maxIndexNodes {
		return nil, fmt.Errorf("more than %d bytes or %d values: %w", MaxIndex, maxIndexNodes, ocm.ErrLimit)
	}
	if err := descriptor.CheckAliases(raw, MaxIndex); err != nil {
		return nil, err
	}
	var doc struct {
		APIVersion string                  `yaml:"apiVersion"`
		Entries    map[string][]indexEntry `yaml:"entries"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%.500v: %w", err, ocm.ErrInvalid)
	}
	if doc.APIVersion == "" {
		return nil, fmt.Errorf("it is no index of charts, apiVersion is missing: %w", ocm.ErrInvalid)
	}
	return &Index{doc.Entries}, nil
}

// Find finds a version of a chart: the very one, or the highest that a range such as "1.x" or ">=1.2 <2" admits. An
// empty version is the highest that is no pre-release. [ocm.ErrNotFound] lists names or versions that are there.
func (x *Index) Find(name, version string) (Entry, error) {
	entries, ok := x.charts[name]
	if !ok {
		return Entry{}, fmt.Errorf("there is no chart %s%s: %w", name, near(name, slices.Collect(maps.Keys(x.charts))), ocm.ErrNotFound)
	}
	byVersion := map[string]indexEntry{}
	for _, e := range entries {
		if _, twice := byVersion[e.Version]; !twice {
			byVersion[e.Version] = e
		}
	}
	found, err := pick(slices.Collect(maps.Keys(byVersion)), version)
	if err != nil {
		return Entry{}, fmt.Errorf("chart %s: %w", name, err)
	}
	e := byVersion[found]
	sum, err := hexDigest(e.Digest)
	if err == nil && len(e.URLs) == 0 {
		err = fmt.Errorf("it has no address: %w", ocm.ErrInvalid)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("chart %s, version %s: %w", name, found, err)
	}
	return Entry{found, e.URLs[0], sum}, nil
}

// isRange reports whether a version leaves a choice. Semantic versions, also short ones, do not.
func isRange(version string) bool {
	_, err := semver.NewVersion(version)
	return err != nil
}

// pick chooses the version that is meant of those that there are.
func pick(there []string, want string) (string, error) {
	if slices.Contains(there, want) {
		return want, nil
	}
	admits, err := admitted(want)
	if err != nil {
		return "", err
	}
	best, found := "", (*semver.Version)(nil)
	for _, v := range sorted(there) {
		if s, err := semver.NewVersion(v); err == nil && admits(s) && (found == nil || s.GreaterThan(found)) {
			best, found = v, s
		}
	}
	if found == nil {
		return "", fmt.Errorf("there is no %s (versions: %s): %w", wanted(want), few(sorted(there)), ocm.ErrNotFound)
	}
	return best, nil
}

// admitted is the choice that a version leaves.
func admitted(want string) (func(*semver.Version) bool, error) {
	if len(want) > maxName {
		return nil, fmt.Errorf("version of %d characters: %w", len(want), ocm.ErrInvalid)
	}
	if exact, err := semver.NewVersion(want); err == nil {
		return func(s *semver.Version) bool { return s.Equal(exact) && s.Metadata() == exact.Metadata() }, nil
	}
	c, err := semver.NewConstraint(cmp.Or(want, "*"))
	if err != nil {
		return nil, fmt.Errorf("version %.80q is neither a version nor a range of versions: %w", want, ocm.ErrInvalid)
	}
	return c.Check, nil
}

// Is reports whether a chart is a version, or one of a range.
func (m *Meta) Is(version string) bool {
	_, err := pick([]string{m.Version}, version)
	return err == nil
}

func wanted(version string) string {
	if version == "" {
		return "version that is no pre-release"
	}
	return fmt.Sprintf("version %.80q", version)
}

// sorted is a copy with the highest version first; what is no version is last.
func sorted(versions []string) []string {
	parsed := map[string]*semver.Version{}
	for _, v := range versions {
		if s, err := semver.NewVersion(v); err == nil {
			parsed[v] = s
		}
	}
	return slices.SortedFunc(slices.Values(versions), func(a, b string) int {
		switch x, y := parsed[a], parsed[b]; {
		case x != nil && y != nil && x.Compare(y) != 0:
			return -x.Compare(y)
		case (x == nil) != (y == nil):
			if x == nil {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
}

// near names what was perhaps meant.
func near(name string, there []string) string {
	slices.Sort(there)
	distance := func(s string) int {
		if strings.Contains(s, name) || strings.Contains(name, s) && len(s) > 2 {
			return 1
		}
		return nearest.Distance(strings.ToLower(name), strings.ToLower(s))
	}
	close := slices.DeleteFunc(slices.Clone(there), func(s string) bool { return distance(s) > 3 })
	slices.SortStableFunc(close, func(a, b string) int { return cmp.Compare(distance(a), distance(b)) })
	switch {
	case len(close) > 0:
		return " (did you mean " + few(close) + "?)"
	case len(there) == 0:
		return " (there are none)"
	}
	return " (there are: " + few(there) + ")"
}

// few lists the first of many names, which somebody else has chosen.
func few(names []string) string {
	var out []string
	for _, n := range names[:min(len(names), maxNear)] {
		out = append(out, fmt.Sprintf("%.60s", printable(n)))
	}
	if len(names) > maxNear {
		out = append(out, fmt.Sprintf("and %d more", len(names)-maxNear))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
