// SPDX-License-Identifier: Apache-2.0

package construct

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
)

// MaxFile bounds a constructor file in bytes: as it is, with its variables substituted, and with
// its aliases expanded.
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
	// Transformer makes other content of the input's; its digest is that of what was made.
	Transformer *ocm.Spec   `json:"transformer,omitempty"`
	Access      *ocm.Spec   `json:"access,omitempty"`
	Digest      *ocm.Digest `json:"digest,omitempty"`
	// SkipDigest leaves the resource without a digest: its content is not covered by signatures.
	SkipDigest bool        `json:"skipDigestGeneration,omitempty"`
	Options    ocm.RawJSON `json:"options,omitempty"`
}

// Source is a source with content from an input or behind an access.
type Source struct {
	ocm.Element
	Type        string    `json:"type"`
	Input       *ocm.Spec `json:"input,omitempty"`
	Transformer *ocm.Spec `json:"transformer,omitempty"` // as of a resource
	Access      *ocm.Spec `json:"access,omitempty"`
}

// Parse reads a constructor file: one component or a list of them under "components", YAML or
// JSON, with variables substituted by getenv (nil: no substitution; see [Substitute]). Several
// YAML documents are read as one list. Components without a version get defaultVersion. Unknown
// and duplicate members are refused, so that a typing mistake is not silently ignored: a label
// that is "singing" would not be signed. The error joins what is wrong with each component;
// all of it is [ocm.ErrInvalid] or [ocm.ErrLimit].
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
	var f File
	docs, err := documents(raw)
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		components, err := parseDocument(doc.text)
		if err != nil && doc.line > 1 {
			return nil, fmt.Errorf("in the document that begins at line %d: %w", doc.line, err)
		}
		if err != nil {
			return nil, err
		}
		f.Components = append(f.Components, components...)
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

// parseDocument reads one document; an empty one has no components.
func parseDocument(raw []byte) ([]Component, error) {
	text, err := toJSON(raw)
	if err != nil {
		return nil, err
	}
	doc := ocm.RawJSON(text)
	switch kind := doc.Kind(); {
	case kind == 'n': // an empty document
		return nil, nil
	case kind != '{':
		return nil, fmt.Errorf("constructor: expected a component, or \"components:\" with a list of them, found %s: %w", kind, ocm.ErrInvalid)
	}
	var probe struct {
		Components ocm.RawJSON `json:"components"`
		Rest       ocm.RawJSON `json:",embed"`
	}
	if err := jsonv2.Unmarshal(doc, &probe); err != nil {
		return nil, mistake(doc, err)
	}
	if probe.Components == nil {
		doc = append(append([]byte(`{"components":[`), doc...), "]}"...)
	}
	var f File
	if err := jsonv2.Unmarshal(doc, &f, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, mistake(doc, err)
	}
	return f.Components, nil
}

// check demands what must be decided before anything is read, and fills in defaults.
func (c *Component) check() error {
	p := &problems{}
	if c.Provider.Name == "" {
		p.add("provider.name is missing")
	}
	p.labels("provider", c.Provider.Labels)
	p.labels("component", c.Labels)
	for i := range c.Resources {
		c.Resources[i].check(p, c.Version)
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		at := "source " + s.Element.String()
		if (s.Input == nil) == (s.Access == nil) {
			p.add("%s: exactly one of input and access must be given", at)
		}
		p.transformer(at, s.Input, s.Transformer)
		p.labels(at, s.Labels)
		def(&s.Version, c.Version)
	}
	for i := range c.References {
		r := &c.References[i]
		at := "reference " + r.Element.String()
		p.known(at, r.Unknown)
		p.labels(at, r.Labels)
		p.digest(at, r.Digest)
	}
	return errors.Join(*p...)
}

func (r *Resource) check(p *problems, version string) {
	at := "resource " + r.Element.String()
	switch {
	case (r.Input == nil) == (r.Access == nil):
		p.add("%s: exactly one of input and access must be given", at)
	case r.Input != nil && r.Relation == ocm.RelationExternal:
		p.add("%s: content from an input is local, relation external is not possible", at)
	}
	p.transformer(at, r.Input, r.Transformer)
	p.labels(at, r.Labels)
	p.digest(at, r.Digest)
	for _, ref := range r.SrcRefs {
		p.known(at+" srcRefs", ref.Unknown)
		p.labels(at+" srcRefs", ref.Labels)
	}
	def(&r.Version, version)
	if r.Input != nil {
		def(&r.Relation, ocm.RelationLocal)
	}
	def(&r.Relation, ocm.RelationExternal)
}

// problems collects what is wrong with a component.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf(format+": %w", append(args, ocm.ErrInvalid)...))
}

// known refuses members that were kept because descriptors of others may have them; what is
// written here has none.
func (p *problems) known(at string, unknown ocm.RawJSON) {
	var members map[string]ocm.RawJSON
	if len(unknown) > 0 && jsonv2.Unmarshal(unknown, &members) == nil {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			p.add("%s: unknown field %s", at, name)
		}
	}
}

// transformer refuses one without a type, and one for content that stays where it is.
func (p *problems) transformer(at string, input, t *ocm.Spec) {
	switch {
	case t == nil:
	case input == nil:
		p.add("%s: transformer goes with input: what an access leads to stays as it is", at)
	case t.Type == "":
		p.add("%s: transformer.type is missing", at)
	}
}

func (p *problems) labels(at string, labels []ocm.Label) {
	for _, l := range labels {
		p.known(at+" label "+l.Name, l.Unknown)
		if l.Merge != nil {
			p.known(at+" label "+l.Name+" merge", l.Merge.Unknown)
		}
	}
}

func (p *problems) digest(at string, d *ocm.Digest) {
	if d != nil {
		p.known(at+" digest", d.Unknown)
	}
}

func def(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
