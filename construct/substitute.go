// SPDX-License-Identifier: Apache-2.0

package construct

import (
	"fmt"
	"regexp"
	"strings"

	"ocm"
)

var variable = regexp.MustCompile(`\$\$|\$\{[^}\n]*\}|\$[A-Za-z_][A-Za-z0-9_]*`)
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Substitute replaces $NAME and ${NAME} by getenv, once: what a value contains is not looked
// at again. "$$" is a literal "$", so that "$${NAME}" is the text "${NAME}". A "$" that starts
// neither, as in "$1", stays as it is. A variable that is not set is an error with its line,
// because an empty version or path would only be noticed much later; so is anything else in
// braces, such as the defaults of a shell, ${NAME:-value}: [ocm.ErrInvalid]. [ocm.ErrLimit]
// if the result is longer than [MaxFile].
func Substitute(text string, getenv func(string) (string, bool)) (string, error) {
	var out strings.Builder
	last := 0
	for _, m := range variable.FindAllStringIndex(text, -1) {
		out.WriteString(text[last:m[0]])
		last = m[1]
		token := text[m[0]:m[1]]
		if token == "$$" {
			out.WriteByte('$')
			continue
		}
		wrong := func(what string) error {
			line := 1 + strings.Count(text[:m[0]], "\n")
			return fmt.Errorf("constructor line %d: %s %s (write $$ for a literal $): %w", line, token, what, ocm.ErrInvalid)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(token[1:], "{"), "}")
		if !variableName.MatchString(name) {
			return "", wrong("is not ${NAME}, the only form in braces that is known")
		}
		value, ok := getenv(name)
		if !ok {
			return "", wrong("is not set in the environment")
		}
		out.WriteString(value)
		if out.Len() > MaxFile {
			return "", fmt.Errorf("constructor: more than %d bytes with its variables: %w", MaxFile, ocm.ErrLimit)
		}
	}
	out.WriteString(text[last:])
	if out.Len() > MaxFile {
		return "", fmt.Errorf("constructor: more than %d bytes with its variables: %w", MaxFile, ocm.ErrLimit)
	}
	return out.String(), nil
}
