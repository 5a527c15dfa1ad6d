// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"ocm"
)

// Limits of regular expressions. Those of Go take time in proportion to the length of the text and to their own size, and a few characters can
// be a large one: a{999}.
const (
	MaxPattern      = 5_000      // states of a regular expression
	MaxPatternSteps = 10_000_000 // states, times bytes of the text
)

// matches is what the standard function is redirected to. (The limit that CEL has itself breaks off at every repetition.)
func matches() []cel.EnvOption {
	const overload = "@matches_string"
	args := []*cel.Type{cel.StringType, cel.StringType}
	return []cel.EnvOption{charged(overload), cel.Function("@matches", cel.Overload(overload, args, cel.BoolType, cel.BinaryBinding(func(text, pattern ref.Val) ref.Val {
		found, err := matchPattern(textOf(text), textOf(pattern))
		if err != nil {
			return types.WrapErr(err)
		}
		return types.Bool(found)
	})))}
}

func matchPattern(text, pattern string) (bool, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false, fmt.Errorf("matches: %w: %w", err, ocm.ErrInvalid)
	}
	switch n := states(parsed); {
	case n > MaxPattern:
		return false, fmt.Errorf("matches: a regular expression of more than %d states: %w", MaxPattern, ocm.ErrLimit)
	case n*len(text) > MaxPatternSteps:
		return false, fmt.Errorf("matches: a regular expression of %d states for %d bytes, accepted are %d times: %w", n, len(text), MaxPatternSteps, ocm.ErrLimit)
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return false, fmt.Errorf("matches: %w: %w", err, ocm.ErrInvalid)
	}
	return compiled.MatchString(text), nil
}

// states is about how many states a regular expression has, or more than MaxPattern.
func states(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += states(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max) + 1
	}
	return min(n, MaxPattern+1)
}
