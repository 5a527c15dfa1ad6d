// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ocm"
	"ocm/plugin/wire"
)

// schema is the part of JSON Schema (draft 2020-12) that specifications are held against before a plugin is asked: which members there
// are, which must be there, of which kind they are. Other keywords are left to the plugin.
type schema struct {
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Type       ocm.RawJSON        `json:"type"` // a name or a list of them
	About      string             `json:"description"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional ocm.RawJSON        `json:"additionalProperties"` // false, true or a schema
	Items      *schema            `json:"items"`
	Enum       []ocm.RawJSON      `json:"enum"`
	Pattern    string             `json:"pattern"`
	Never      bool               `json:"-"` // the schema false
	Unknown    ocm.RawJSON        `json:",embed"`

	kinds      []string
	pattern    *regexp.Regexp
	additional *schema // of members that are not among the properties; nil: they may be anything
}

// Limits. A schema beyond them is as good as none, and so is a part of it: the plugin judges its specifications itself.
const (
	maxSchemaDepth = 32   // of references, of specifications, and of the text
	maxPattern     = 1000 // bytes
	maxEnum        = 1000 // values
	maxFields      = 200  // that are described
)

// UnmarshalJSON reads the schemas true and false too.
func (s *schema) UnmarshalJSON(raw []byte) error {
	if k := jsontext.Value(raw).Kind(); k == 't' || k == 'f' {
		s.Never = k == 'f'
		return nil
	}
	type plain schema
	if err := json.Unmarshal(raw, (*plain)(s)); err != nil {
		return err
	}
	var one string
	if json.Unmarshal(s.Type, &one) == nil {
		s.kinds = []string{one}
	} else {
		_ = json.Unmarshal(s.Type, &s.kinds) // neither: every kind
	}
	if s.Pattern != "" && len(s.Pattern) <= maxPattern {
		s.pattern, _ = regexp.Compile(s.Pattern) // one of another dialect is left to the plugin
	}
	if len(s.Additional) > 0 {
		s.additional = &schema{}
		return s.additional.UnmarshalJSON(s.Additional)
	}
	return nil
}

// parseSchema reads a schema; nil if it is none.
func parseSchema(raw []byte) *schema {
	s := &schema{}
	if len(raw) == 0 || deeper(raw, maxSchemaDepth) || json.Unmarshal(raw, s) != nil {
		return nil
	}
	return s
}

// deeper reports whether a text has more levels, or is no JSON.
func deeper(raw []byte, levels int) bool {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	for {
		if _, err := d.ReadToken(); err != nil {
			return err != io.EOF
		}
		if d.StackDepth() > levels {
			return true
		}
	}
}

// resolved follows references to definitions of the same document. One that leads nowhere allows everything.
func (s *schema) resolved(root *schema) *schema {
	for range maxSchemaDepth {
		if s == nil || s.Ref == "" {
			return s
		}
		name, ok := strings.CutPrefix(s.Ref, "#/$defs/")
		if !ok {
			return nil
		}
		s = root.Defs[name]
	}
	return nil
}

// about is the description, or else what is given.
func (s *schema) about(otherwise string) string {
	if s == nil {
		return otherwise
	}
	for _, at := range []*schema{s, s.resolved(s)} {
		if at != nil && at.About != "" {
			return strings.Join(strings.Fields(wire.Text(at.About, 500)), " ")
		}
	}
	return otherwise
}

// fields describes the members beside the type.
func (s *schema) fields() []ocm.Field {
	room := maxFields
	return s.fieldsOf(s, 0, &room)
}

// maxFieldDepth bounds objects in objects, as it is elsewhere.
const maxFieldDepth = 4

func (s *schema) fieldsOf(root *schema, depth int, room *int) []ocm.Field {
	if s = s.resolved(root); s == nil || depth > maxFieldDepth {
		return nil
	}
	var out []ocm.Field
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		member := s.Properties[name].resolved(root)
		if depth == 0 && name == "type" || member == nil || name != shown(name) {
			continue
		}
		if *room--; *room < 0 {
			return out
		}
		out = append(out, ocm.Field{
			Name: name, Kind: member.kind(root), About: member.about("not described by the plugin"),
			Needed: slices.Contains(s.Required, name), Fields: member.fieldsOf(root, depth+1, room),
		})
	}
	return out
}

func (s *schema) kind(root *schema) string {
	if len(s.kinds) != 1 {
		return "any"
	}
	switch s.kinds[0] {
	case "string":
		return "text"
	case "boolean":
		return "bool"
	case "integer", "number":
		return "number"
	case "object":
		return "object"
	case "array":
		if items := s.Items.resolved(root); items != nil && items.Items == nil {
			return "list of " + items.kind(root)
		}
		return "list of any"
	}
	return "any"
}

// check holds a specification against the schema. A member that is null is as good as missing, as it is elsewhere.
func (s *schema) check(spec ocm.Spec) error {
	if s == nil {
		return nil
	}
	raw, err := spec.MarshalJSON()
	if err != nil {
		return err
	}
	if err := s.value(s, raw, "", 0); err != nil {
		return fmt.Errorf("type %s: %w: %w", spec.Type, err, ocm.ErrInvalid)
	}
	return nil
}

// value holds one value against a schema; at is where it stands.
func (s *schema) value(root *schema, raw ocm.RawJSON, at string, depth int) error {
	if s = s.resolved(root); s == nil {
		return nil
	}
	if depth > maxSchemaDepth {
		return fmt.Errorf("%s: nested more than %d times", place(at), maxSchemaDepth)
	}
	if s.Never {
		return fmt.Errorf("%s is not allowed", place(at))
	}
	if len(s.kinds) > 0 && !slices.ContainsFunc(s.kinds, func(kind string) bool { return isKind(raw, kind) }) {
		return fmt.Errorf("%s: expected %s, found %s", place(at), shown(strings.Join(s.kinds, " or ")), shown(string(raw)))
	}
	if len(s.Enum) > 0 && len(s.Enum) <= maxEnum && !slices.ContainsFunc(s.Enum, func(v ocm.RawJSON) bool { return same(v, raw) }) {
		return fmt.Errorf("%s: %s is none of the values that are allowed", place(at), shown(string(raw)))
	}
	switch raw.Kind() {
	case '"':
		var text string
		if s.pattern != nil && json.Unmarshal(raw, &text) == nil && !s.pattern.MatchString(text) {
			return fmt.Errorf("%s: %q does not match %s", place(at), shown(text), shown(s.Pattern))
		}
	case '{':
		return s.object(root, raw, at, depth)
	case '[':
		var list []ocm.RawJSON
		if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("%s: %w", place(at), err)
		}
		for i, v := range list {
			if err := s.Items.value(root, v, fmt.Sprintf("%s[%d]", at, i), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *schema) object(root *schema, raw ocm.RawJSON, at string, depth int) error {
	members := map[string]ocm.RawJSON{}
	if err := json.Unmarshal(raw, &members); err != nil {
		return fmt.Errorf("%s: %w", place(at), err)
	}
	for _, name := range s.Required {
		if v, ok := members[name]; !ok || v.Kind() == 'n' {
			return fmt.Errorf("%s is missing", place(join(at, name)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		member, known := s.Properties[name]
		if !known {
			member = s.additional
		}
		if !known && member != nil && member.Never {
			return fmt.Errorf("%s: unknown field (known: %s)", place(join(at, name)), shown(strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", ")))
		}
		if members[name].Kind() == 'n' {
			continue
		}
		if err := member.value(root, members[name], join(at, name), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func isKind(raw ocm.RawJSON, kind string) bool {
	switch raw.Kind() {
	case '"':
		return kind == "string"
	case '{':
		return kind == "object"
	case '[':
		return kind == "array"
	case '0':
		return kind == "number" || kind == "integer" && !strings.ContainsAny(string(raw), ".eE")
	case 't', 'f':
		return kind == "boolean"
	case 'n':
		return kind == "null"
	}
	return false
}

func same(a, b ocm.RawJSON) bool {
	x, y := a.Clone(), b.Clone()
	return x.Canonicalize() == nil && y.Canonicalize() == nil && string(x) == string(y)
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func place(at string) string {
	if at == "" {
		return "the specification"
	}
	return shown(at)
}
