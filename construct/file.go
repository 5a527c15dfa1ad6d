// SPDX-License-Identifier: Apache-2.0

package construct

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/descriptor"
)

// MaxFile bounds a constructor file, in bytes, also with variables and aliases expanded.
const MaxFile = 16 << 20

// File is a constructor file: components to be made.
type File struct {
	Components []Component `json:"components"`
}

// Component describes one component version to be made.
type Component struct {
	Name         string      `json:"name"`
	Version      string      `json:"version"`
	Provider     Provider    `json:"provider"`
	CreationTime string      `json:"creationTime,omitempty"`
	Labels       []ocm.Label `json:"labels,omitempty"`
	Resources    []Resource  `json:"resources,omitempty"`
	Sources      []Source    `json:"sources,omitempty"`
	// References may also be written as "references", as the older tool allows.
	References    []ocm.Reference `json:"componentReferences,omitempty"`
	OldReferences []ocm.Reference `json:"references,omitempty"`
}

// Provider is the provider as it is written in a constructor file: an object.
type Provider struct {
	Name   string      `json:"name"`
	Labels []ocm.Label `json:"labels,omitempty"`
}

// UnmarshalJSON also takes a plain name.
func (p *Provider) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return jsonv2.Unmarshal(raw, &p.Name)
	}
	type plain Provider
	return jsonv2.Unmarshal(raw, (*plain)(p), jsonv2.RejectUnknownMembers(true))
}

// Resource is a resource with content from an input or behind an access.
type Resource struct {
	ocm.Element
	Type     string          `json:"type"`
	Relation string          `json:"relation,omitempty"`
	SrcRefs  []ocm.SourceRef `json:"srcRefs,omitempty"`
	Input    *ocm.Spec       `json:"input,omitempty"`
	Access   *ocm.Spec       `json:"access,omitempty"`
	Digest   *ocm.Digest     `json:"digest,omitempty"`
	// SkipDigest leaves the resource without a digest: its content is not covered by signatures.
	SkipDigest bool        `json:"skipDigestGeneration,omitempty"`
	Options    ocm.RawJSON `json:"options,omitempty"`
}

// Source is a source with content from an input or behind an access.
type Source struct {
	ocm.Element
	Type   string    `json:"type"`
	Input  *ocm.Spec `json:"input,omitempty"`
	Access *ocm.Spec `json:"access,omitempty"`
}

// Parse reads a constructor file: one component or a list of them under "components", YAML or
// JSON, with variables substituted by getenv (nil: no substitution). Components without a
// version get defaultVersion. Unknown and duplicate members are refused, so that a typing mistake
// is not silently ignored.
func Parse(raw []byte, getenv func(string) (string, bool), defaultVersion string) (*File, error) {
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("constructor file has %d bytes, accepted are %d: %w", len(raw), MaxFile, ocm.ErrLimit)
	}
	if getenv != nil {
		text, err := Substitute(string(raw), getenv)
		if err != nil {
			return nil, err
		}
		raw = []byte(text)
	}
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("constructor file has %d bytes with its variables, accepted are %d: %w", len(raw), MaxFile, ocm.ErrLimit)
	}
	if err := descriptor.CheckAliases(raw, MaxFile); err != nil {
		return nil, fmt.Errorf("constructor: %w", err)
	}
	doc, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, fmt.Errorf("constructor: %v: %w", strings.TrimPrefix(err.Error(), "yaml: "), ocm.ErrInvalid)
	}
	var probe struct {
		Components ocm.RawJSON `json:"components"`
		Rest       ocm.RawJSON `json:",embed"`
	}
	if err := jsonv2.Unmarshal(doc, &probe); err != nil {
		return nil, mistake(err)
	}
	if probe.Components == nil {
		doc = append(append([]byte(`{"components":[`), doc...), "]}"...)
	}
	var f File
	if err := jsonv2.Unmarshal(doc, &f, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, mistake(err)
	}
	if len(f.Components) == 0 {
		return nil, fmt.Errorf("constructor: no components: %w", ocm.ErrInvalid)
	}
	var errs []error
	for i := range f.Components {
		c := &f.Components[i]
		c.References = append(c.References, c.OldReferences...)
		c.OldReferences = nil
		def(&c.Version, defaultVersion)
		if err := c.check(); err != nil {
			errs = append(errs, fmt.Errorf("component %s: %w", c.Name, err))
		}
	}
	return &f, errors.Join(errs...)
}

// mistake makes a message for people of a decoding error.
func mistake(err error) error {
	var s *jsonv2.SemanticError
	if !errors.As(err, &s) {
		return fmt.Errorf("constructor: %v: %w", err, ocm.ErrInvalid)
	}
	where := strings.Trim(strings.ReplaceAll(string(s.JSONPointer), "/", "."), ".")
	switch {
	case errors.Is(err, jsonv2.ErrUnknownName):
		return fmt.Errorf("constructor: unknown field %s: %w", where, ocm.ErrInvalid)
	case s.JSONKind != 0 && s.GoType != nil && s.GoType.Kind().String() == "string":
		return fmt.Errorf("constructor: %s: expected text, found %s (write it in quotes): %w", where, s.JSONKind, ocm.ErrInvalid)
	}
	return fmt.Errorf("constructor: %s: %v: %w", where, err, ocm.ErrInvalid)
}

// check demands what must be decided before anything is read, and fills in defaults.
func (c *Component) check() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(format+": %w", append(args, ocm.ErrInvalid)...))
	}
	if c.Provider.Name == "" {
		wrong("provider.name is missing")
	}
	for i := range c.Resources {
		r := &c.Resources[i]
		switch {
		case (r.Input == nil) == (r.Access == nil):
			wrong("resource %s: exactly one of input and access must be given", &r.Element)
		case r.Input != nil && r.Relation == ocm.RelationExternal:
			wrong("resource %s: content from an input is local, relation external is not possible", &r.Element)
		}
		def(&r.Version, c.Version)
		if r.Input != nil {
			def(&r.Relation, ocm.RelationLocal)
		}
		def(&r.Relation, ocm.RelationExternal)
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		if (s.Input == nil) == (s.Access == nil) {
			wrong("source %s: exactly one of input and access must be given", &s.Element)
		}
		def(&s.Version, c.Version)
	}
	return errors.Join(errs...)
}

func def(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

var variable = regexp.MustCompile(`\$\$|\$\{[^}\n]*\}|\$[A-Za-z_][A-Za-z0-9_]*`)
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Substitute replaces $NAME and ${NAME} by getenv. "$$" is a literal "$"; a "$" that starts
// neither stays as it is. A variable that is not set is an error with its line, because an
// empty version or path would only be noticed much later.
func Substitute(text string, getenv func(string) (string, bool)) (string, error) {
	var out bytes.Buffer
	last := 0
	for _, m := range variable.FindAllStringIndex(text, -1) {
		out.WriteString(text[last:m[0]])
		last = m[1]
		token := text[m[0]:m[1]]
		if token == "$$" {
			out.WriteByte('$')
			continue
		}
		name := strings.Trim(token, "${}")
		value, ok := "", false
		if variableName.MatchString(name) {
			value, ok = getenv(name)
		}
		if !ok {
			line := 1 + strings.Count(text[:m[0]], "\n")
			return "", fmt.Errorf("constructor line %d: %s is not set in the environment (write $$ for a literal $): %w", line, token, ocm.ErrInvalid)
		}
		out.WriteString(value)
	}
	out.WriteString(text[last:])
	return out.String(), nil
}
