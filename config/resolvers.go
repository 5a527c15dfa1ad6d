// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"ocm"
)

// defaultPriority is that of older resolvers that name none.
const defaultPriority = 10

// Resolvers says in which repositories component versions are found. There are two
// kinds, which cannot be mixed: the current ones select by pattern, and the first
// that matches decides; the older ones select by prefix, and are tried one after the
// other until the version is found.
type Resolvers struct {
	// Fallback tells that the resolvers are of the older kind.
	Fallback bool
	// List holds the resolvers in the order in which they count.
	List []Resolver
}

// Resolver names one repository and what is looked up there.
type Resolver struct {
	Repository ocm.Spec
	Pattern    string // of component names, current kind; empty: all
	Constraint string // of versions, current kind; empty: all
	Prefix     string // of component names, older kind; empty: all
	Priority   int    // older kind; higher ones come first

	pattern    *regexp.Regexp
	constraint *semver.Constraints
}

// Resolvers returns the configured resolvers; nil if there are none. Wrong patterns and
// constraints are [ocm.ErrInvalid], and so are both kinds together.
func (c *Config) Resolvers() (*Resolvers, error) {
	current, err := Explained(c, ResolversType, (*Config).currentResolvers)
	if err != nil {
		return nil, err
	}
	older, err := Explained(c, LegacyType, (*Config).olderResolvers)
	if err != nil {
		return nil, err
	}
	switch {
	case len(current) > 0 && len(older) > 0:
		return nil, fmt.Errorf("configuration: resolvers of %s%s and %s%s cannot be combined, remove those of the latter: %w",
			ResolversType, c.places(ResolversType), LegacyType, c.places(LegacyType), ocm.ErrInvalid)
	case len(current) > 0:
		return &Resolvers{List: current}, nil
	case len(older) > 0:
		return &Resolvers{Fallback: true, List: older}, nil
	}
	return nil, nil
}

func (c *Config) currentResolvers() ([]Resolver, error) {
	var list []Resolver
	for _, e := range c.Of(ResolversType) {
		var v struct {
			Resolvers []struct {
				Repository ocm.Spec `json:"repository"`
				Pattern    string   `json:"componentNamePattern"`
				Constraint string   `json:"versionConstraint"`
			} `json:"resolvers"`
		}
		if err := e.Decode(&v); err != nil {
			return nil, err
		}
		for i, w := range v.Resolvers {
			r := Resolver{Repository: w.Repository, Pattern: w.Pattern, Constraint: w.Constraint}
			if err := r.compile(); err != nil {
				return nil, fmt.Errorf("%s: resolvers[%d]: %w", e.Type, i, err)
			}
			list = append(list, r)
		}
	}
	return list, nil
}

func (c *Config) olderResolvers() ([]Resolver, error) {
	var list []Resolver
	for _, e := range c.Of(LegacyType) {
		var v struct {
			Resolvers []struct {
				Repository ocm.Spec `json:"repository"`
				Prefix     string   `json:"prefix"`
				Priority   *int     `json:"priority"`
			} `json:"resolvers"`
		}
		if err := e.Decode(&v); err != nil {
			return nil, err
		}
		for i, w := range v.Resolvers {
			r := Resolver{Repository: w.Repository, Prefix: strings.TrimSuffix(w.Prefix, "/"), Priority: defaultPriority}
			if w.Priority != nil {
				r.Priority = *w.Priority
			}
			if err := r.compile(); err != nil {
				return nil, fmt.Errorf("%s: resolvers[%d]: %w", e.Type, i, err)
			}
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b Resolver) int { return cmp.Compare(b.Priority, a.Priority) })
	return list, nil
}

// Aliases are the repositories that older configurations give short names to; later ones win. nil if there are none.
// [ocm.ErrInvalid] if one has no type.
func (c *Config) Aliases() (map[string]ocm.Spec, error) {
	return Explained(c, LegacyType, (*Config).aliases)
}

func (c *Config) aliases() (map[string]ocm.Spec, error) {
	var all map[string]ocm.Spec
	for _, e := range c.Of(LegacyType) {
		var v struct {
			Aliases map[string]ocm.Spec `json:"aliases"`
		}
		if err := e.Decode(&v); err != nil {
			return nil, err
		}
		for name, spec := range v.Aliases {
			if name == "" || spec.Type == "" {
				return nil, fmt.Errorf("%s: alias %.80q: the repository has no type: %w", e.Type, name, ocm.ErrInvalid)
			}
			if all == nil {
				all = map[string]ocm.Spec{}
			}
			all[name] = spec
		}
	}
	return all, nil
}

func (r *Resolver) compile() (err error) {
	if r.Repository.Type == "" {
		return fmt.Errorf("repository has no type: %w", ocm.ErrInvalid)
	}
	if r.Pattern != "" {
		if r.pattern, err = compileGlob(r.Pattern); err != nil {
			return fmt.Errorf("componentNamePattern: %w", err)
		}
	}
	if r.Constraint != "" {
		if len(r.Constraint) > maxPatternSize {
			return fmt.Errorf("versionConstraint is longer than %d bytes: %w", maxPatternSize, ocm.ErrLimit)
		}
		if r.constraint, err = semver.NewConstraint(r.Constraint); err != nil {
			return fmt.Errorf("versionConstraint %q: %v: %w", r.Constraint, err, ocm.ErrInvalid)
		}
	}
	return nil
}

// Match returns the repositories to ask for a component version, in order. With current
// resolvers it is one or none. The version may be empty, to list versions; a resolver
// with a constraint does not match then.
func (rs *Resolvers) Match(component, version string) []ocm.Spec {
	if rs == nil {
		return nil
	}
	var found []ocm.Spec
	for _, r := range rs.List {
		if !r.Matches(component, version) {
			continue
		}
		found = append(found, r.Repository)
		if !rs.Fallback {
			break
		}
	}
	return found
}

// Matches reports whether the resolver is for the component version. A prefix ends at
// a "/": acme.org is none of acme.organic/x.
func (r *Resolver) Matches(component, version string) bool {
	if r.Prefix != "" && component != r.Prefix && !strings.HasPrefix(component, r.Prefix+"/") {
		return false
	}
	if r.pattern != nil && !r.pattern.MatchString(component) {
		return false
	}
	if r.constraint != nil {
		v, err := semver.NewVersion(version)
		return err == nil && r.constraint.Check(v)
	}
	return true
}

// compileGlob translates a pattern of component names: * and ? stay within a segment,
// ** does not; [a-z], [!a-z] and {a,b} as usual; a backslash takes the next character as it is.
func compileGlob(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPatternSize {
		return nil, fmt.Errorf("pattern is longer than %d bytes: %w", maxPatternSize, ocm.ErrLimit)
	}
	bad := func(why string) (*regexp.Regexp, error) {
		return nil, fmt.Errorf("pattern %q: %s: %w", pattern, why, ocm.ErrInvalid)
	}
	var re strings.Builder
	open := 0
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		switch c := runes[i]; {
		case c == '*' && i+1 < len(runes) && runes[i+1] == '*':
			re.WriteString(".*")
			i++
		case c == '*':
			re.WriteString("[^/]*")
		case c == '?':
			re.WriteString("[^/]")
		case c == '{':
			re.WriteString("(?:")
			open++
		case c == '}' && open > 0:
			re.WriteString(")")
			open--
		case c == ',' && open > 0:
			re.WriteString("|")
		case c == '[':
			end := slices.Index(runes[i:], ']')
			if end < 0 {
				return bad("[ without ]")
			}
			re.WriteString(class(string(runes[i+1 : i+end])))
			i += end
		case c == '\\':
			if i++; i == len(runes) {
				return bad("nothing after the last backslash")
			}
			re.WriteString(regexp.QuoteMeta(string(runes[i])))
		default:
			re.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	if open > 0 {
		return bad("{ without }")
	}
	compiled, err := regexp.Compile(`^(?s:` + re.String() + `)$`)
	if err != nil {
		return bad("wrong class of characters")
	}
	return compiled, nil
}

// class translates what stands between brackets.
func class(s string) string {
	not := ""
	if strings.HasPrefix(s, "!") {
		not, s = "^", s[1:]
	}
	return "[" + not + strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`, `&`, `\&`).Replace(s) + "]"
}
