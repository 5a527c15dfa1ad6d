// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"reflect"
	"strings"
	"testing"

	"ocm"
)

// The shapes must list what the structs of the model have: a member that is missing
// in a shape would be one whose case variants pass.
func TestShapesFollowTheModel(t *testing.T) {
	t.Parallel()
	v2 := v2Shape()
	delete(v2, "apiVersion")
	delete(v2, "kind")
	compare(t, "document", v2, reflect.TypeFor[ocm.Descriptor]())
	v3 := v3Shape()
	delete(v3, "meta")
	compare(t, "v3alpha1 document", v3, reflect.TypeFor[v3Document]())
}

func compare(t *testing.T, path string, s shape, typ reflect.Type) {
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ == reflect.TypeFor[ocm.Spec]() {
		if _, ok := s["type"]; !ok || len(s) != 1 {
			t.Errorf("%s: a spec has only a type", path)
		}
		return
	}
	if typ.Kind() != reflect.Struct {
		if s != nil {
			t.Errorf("%s: the model has no object here", path)
		}
		return
	}
	fields := members(typ)
	for name, f := range fields {
		sub, ok := s[name]
		if !ok {
			t.Errorf("%s.%s is missing in the shape", path, name)
			continue
		}
		compare(t, path+"."+name, sub, f)
	}
	if len(fields) != len(s) {
		t.Errorf("%s: the shape has %d members, the model %d", path, len(s), len(fields))
	}
}

func members(typ reflect.Type) map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			for n, sub := range members(f.Type) {
				m[n] = sub
			}
		case name != "":
			m[name] = f.Type
		}
	}
	return m
}
