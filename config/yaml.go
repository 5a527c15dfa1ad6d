// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/descriptor"
)

// decode reads one YAML or JSON document. An empty one is the zero Spec.
func decode(text []byte) (ocm.Spec, error) {
	var s ocm.Spec
	if line := secondDocument(text); line > 0 {
		return s, fmt.Errorf("line %d: a second document starts here, but only one is read: %w", line, ocm.ErrInvalid)
	}
	if err := descriptor.CheckAliases(text, MaxFileSize); err != nil {
		return s, err
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return s, fmt.Errorf("%s: %w", explain(err, text), ocm.ErrInvalid)
	}
	if err := s.UnmarshalJSON(raw); err != nil {
		return ocm.Spec{}, fmt.Errorf("not an object with a type: %w", ocm.ErrInvalid)
	}
	return s, nil
}

// secondDocument is the line at which a second YAML document starts; 0 if there is one only.
func secondDocument(text []byte) int {
	content := false
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimRight(line, " \t\r\n")
		switch {
		case bytes.Equal(line, []byte("---")) || bytes.HasPrefix(line, []byte("--- ")):
			if content {
				return n
			}
			content = len(line) > 3
		case len(line) > 0 && line[0] != '#' && line[0] != '%':
			content = true
		}
	}
	return 0
}

var (
	placed = regexp.MustCompile(`line (\d+): (.*)`)
	// What the parser says with these beginnings holds no values of the document.
	harmless = regexp.MustCompile(`^(did not find|could not find|found |mapping |block |key "[^"]*" already set)`)
	anchor   = regexp.MustCompile(`unknown anchor '(.*)'`)
)

// explain rewrites a parser's message: it must tell the line, and must not show values,
// which may be secrets.
func explain(err error, text []byte) string {
	for line := range strings.Lines(err.Error()) {
		m := placed.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if what := strings.TrimSpace(m[2]); harmless.MatchString(what) {
			return "line " + m[1] + ": " + what
		}
		return "line " + m[1] + ": not valid YAML"
	}
	if m := anchor.FindStringSubmatch(err.Error()); m != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+m[1]))
		return fmt.Sprintf("line %d: a value that starts with * must be quoted", bytes.Count(before, []byte("\n"))+1)
	}
	return "not valid YAML"
}
