// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Type describes a type of specifications for people: help, completion and documents are made of it.
type Type struct {
	Names  []string `json:"names"`            // as in the "type" member; the first is the one to write, the others are read too
	About  string   `json:"about"`            // one sentence
	Fields []Field  `json:"fields,omitempty"` // the members beside "type", in the order in which people want to read them
	Notes  []string `json:"notes,omitempty"`  // sentences on limits and traps
	// Algorithms are those of a signer's signatures, where they are not among the names or its own verifiers: others judge what it makes.
	Algorithms []string `json:"algorithms,omitempty"`
	// Origin is the plugin that it comes from; empty: compiled in.
	Origin string `json:"origin,omitempty"`

	// What cannot be found out by asking the implementation, for the table of what a program supports.
	Can       []string `json:"-"` // in place of what is found out
	Pins      string   `json:"-"` // what packing replaces by what stays the same
	Consumers []string `json:"-"` // types of the consumers whose secrets are asked for
}

// Field describes a member of a specification.
type Field struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind"` // text, bool, number, list of text, …
	About  string  `json:"about"`
	Needed bool    `json:"needed,omitzero"`
	Fields []Field `json:"fields,omitempty"` // of an object, or of each in a list or map
}

// Method is an [Opener] with the description of its type.
type Method struct {
	Type
	Opener
}

// FieldsOf lists the members of specifications that are decoded into v, a struct. The tags of its fields
// say all: json the name, about what it is for, and need:"yes" that it must be there. A field without
// about is not shown: an older spelling of another one.
func FieldsOf(v any) []Field { return fieldsOf(reflect.TypeOf(v), 0) }

// maxFieldDepth bounds objects in objects, which a type may hold of its own kind.
const maxFieldDepth = 4

func fieldsOf(t reflect.Type, depth int) []Field {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth > maxFieldDepth {
		return nil
	}
	var out []Field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if about := f.Tag.Get("about"); name != "" && about != "" {
			out = append(out, Field{name, kindOf(f.Type), about, f.Tag.Get("need") == "yes", fieldsOf(f.Type, depth+1)})
		}
	}
	return out
}

func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[RawJSON]():
		return "any"
	case reflect.TypeFor[Spec]():
		return "specification"
	case reflect.TypeFor[[]byte]():
		return "base64"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	case reflect.Slice:
		return "list of " + kindOf(t.Elem())
	case reflect.Map:
		return "map of " + kindOf(t.Elem())
	case reflect.Struct:
		return "object"
	}
	return "number"
}

// Members decodes a specification into v, a pointer to a struct as in [FieldsOf]. [ErrInvalid] names a needed
// member that is missing or empty. Members that v does not have are passed over: a descriptor may be newer
// than this program. Where a misspelt member would do harm, [Strict] is before.
func (s Spec) Members(v any) error {
	if err := s.Decode(v); err != nil {
		return err
	}
	val := reflect.ValueOf(v).Elem()
	for _, f := range reflect.VisibleFields(val.Type()) {
		if f.Tag.Get("need") == "yes" && val.FieldByIndex(f.Index).IsZero() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return fmt.Errorf("type %s: %s is missing: %w", s.Type, name, ErrInvalid)
		}
	}
	return nil
}

// Strict is m for specifications that people write now: a member that is not among the fields is [ErrInvalid],
// because a misspelt one would silently do the wrong thing. also are members that are accepted and not shown.
func Strict(m Method, also ...string) Method {
	known := []string{"type"}
	for _, f := range m.Fields {
		known = append(known, f.Name)
	}
	open := m.Opener
	m.Opener = OpenerFunc(func(ctx context.Context, env *Env, s Spec) (Content, error) {
		members := map[string]RawJSON{}
		if err := s.Decode(&members); err != nil {
			return Content{}, err
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if !slices.Contains(known, name) && !slices.Contains(also, name) {
				return Content{}, fmt.Errorf("type %s: unknown field %.200q (known: %s): %w", s.Type, name, strings.Join(known[1:], ", "), ErrInvalid)
			}
		}
		return open.Open(ctx, env, s)
	})
	return m
}

// Versioned lists names without and with a version suffix: "file", "file/v1", …
func Versioned(version string, names ...string) []string {
	out := make([]string, 0, 2*len(names))
	for _, n := range names {
		out = append(out, n, n+"/"+version)
	}
	return out
}
