// SPDX-License-Identifier: Apache-2.0

package construct

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/internal/nearest"
)

// mistake makes a message for people of an error of decoding doc, a [File].
func mistake(doc ocm.RawJSON, err error) error {
	var s *jsonv2.SemanticError
	if !errors.As(err, &s) {
		return fmt.Errorf("constructor: %v: %w", err, ocm.ErrInvalid)
	}
	path := strings.Split(strings.Trim(string(s.JSONPointer), "/"), "/")
	where, whose := strings.Join(path, "."), owner(doc, path)
	switch {
	case errors.Is(err, jsonv2.ErrUnknownName):
		return fmt.Errorf("constructor: %sunknown field %s%s: %w", whose, where, suggestion(path[len(path)-1], s.GoType), ocm.ErrInvalid)
	case s.JSONKind != 0 && s.GoType != nil && s.GoType.Kind().String() == "string":
		return fmt.Errorf("constructor: %s%s: expected text, found %s (write it in quotes): %w", whose, where, s.JSONKind, ocm.ErrInvalid)
	}
	return fmt.Errorf("constructor: %s%s: %v: %w", whose, where, err, ocm.ErrInvalid)
}

// owner names the component that a path leads into, if it has a name.
func owner(doc ocm.RawJSON, path []string) string {
	var f struct {
		Components []ocm.RawJSON `json:"components"`
	}
	var c struct {
		Name string `json:"name"`
	}
	if len(path) < 2 || path[0] != "components" || jsonv2.Unmarshal(doc, &f) != nil {
		return ""
	}
	i, err := strconv.Atoi(path[1])
	if err != nil || i < 0 || i >= len(f.Components) || jsonv2.Unmarshal(f.Components[i], &c) != nil || c.Name == "" {
		return ""
	}
	return fmt.Sprintf("component %.200q: ", c.Name)
}

// suggestion is the field of a type that was probably meant.
func suggestion(name string, t reflect.Type) string {
	if t == nil || t.Kind() != reflect.Struct || len(name) > nearest.MaxLength {
		return ""
	}
	best, edits := "", 3 // more is another word
	for _, f := range reflect.VisibleFields(t) {
		known, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if d := nearest.Distance(strings.ToLower(name), strings.ToLower(known)); known != "" && d < edits && d < len(name) {
			best, edits = known, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}
