// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/blob"
	"ocm/graph"
)

// Kinds of elements.
const (
	KindResource  = "resource"
	KindSource    = "source"
	KindReference = "reference"
)

// MaxElements bounds a list of elements. A closure has at most [graph.MaxVersions] versions.
const MaxElements = 1_000_000

// Element is a resource, source or reference, and the component version that it is part of.
type Element struct {
	In     ocm.Version
	Path   []string // the versions that lead from a root to In, each name:version, without In
	Kind   string   // KindResource, KindSource or KindReference
	Common *ocm.Element
	Type   string      // of resources and sources
	Access ocm.Spec    // of resources and sources
	Digest *ocm.Digest // of resources and references

	// What it is, as in the descriptor: the one of its Kind is set. They must not be modified.
	Resource  *ocm.Resource
	Source    *ocm.Source
	Reference *ocm.Reference
}

// MarshalJSON writes the element as it stands in the descriptor, and where that is.
func (e *Element) MarshalJSON() ([]byte, error) {
	var value any = e.Resource
	switch e.Kind {
	case KindSource:
		value = e.Source
	case KindReference:
		value = e.Reference
	}
	c := &e.In.Descriptor().Component
	path := e.Path
	if path == nil {
		path = []string{}
	}
	return jsonv2.Marshal(struct {
		Component string   `json:"component"`
		Version   string   `json:"version"`
		Path      []string `json:"path"`
		Element   any      `json:"element"`
	}{c.Name, c.Version, path, value}, jsonv2.Deterministic(true))
}

// Selector selects elements. All that it says must hold; the zero value selects everything.
type Selector struct {
	Identities []ocm.Identity // the element's identity has every pair of one of them
	Types      []string       // its type is one of them; references have none
	Labels     []LabelSelector
	Platform   *blob.Platform // it is an executable for this platform
}

// LabelSelector asks for a label, and for its value if that is not nil: text as it is, other values as JSON.
type LabelSelector struct {
	Name  string
	Value *string
}

// ParseSelector reads identities (key=value,…), types, and labels (name or name=value). [ocm.ErrInvalid].
func ParseSelector(identities, types, labels []string) (Selector, error) {
	s := Selector{Types: types}
	for _, text := range identities {
		id, err := ocm.ParseIdentity(text)
		if err != nil {
			return s, err
		}
		s.Identities = append(s.Identities, id)
	}
	for _, text := range labels {
		name, value, ok := strings.Cut(text, "=")
		if name == "" {
			return s, fmt.Errorf("label %q: expected name or name=value: %w", text, ocm.ErrInvalid)
		}
		l := LabelSelector{Name: name}
		if ok {
			l.Value = &value
		}
		s.Labels = append(s.Labels, l)
	}
	return s, nil
}

// String says what is selected, for messages: "identity name=x, type y".
func (s Selector) String() string {
	var parts []string
	for i, id := range s.Identities {
		what := "identity "
		if i > 0 {
			what = "or "
		}
		parts = append(parts, what+id.String())
	}
	if len(s.Types) > 0 {
		parts = append(parts, "type "+strings.Join(s.Types, " or "))
	}
	for _, l := range s.Labels {
		parts = append(parts, "label "+l.Name)
	}
	if s.Platform != nil {
		parts = append(parts, "an executable for "+s.Platform.String())
	}
	return strings.Join(parts, ", ")
}

// Selects reports whether an element is selected.
func (s Selector) Selects(e *Element) bool {
	if len(s.Identities) > 0 {
		id := e.Common.Identity()
		if !slices.ContainsFunc(s.Identities, func(want ocm.Identity) bool { return want.Selects(id) }) {
			return false
		}
	}
	if len(s.Types) > 0 && !slices.Contains(s.Types, e.Type) {
		return false
	}
	if s.Platform != nil && !runsOn(e, s.Platform) {
		return false
	}
	for _, l := range s.Labels {
		if !slices.ContainsFunc(e.Common.Labels, l.is) {
			return false
		}
	}
	return true
}

// runsOn reports whether an element is an executable for a platform: its extra identity names that operating
// system and architecture, or none.
func runsOn(e *Element, p *blob.Platform) bool {
	is := func(attribute, want string) bool {
		found, ok := e.Common.ExtraIdentity[attribute]
		return !ok || found == want
	}
	return e.Type == executableType && is("os", p.OS) && is("architecture", p.Architecture)
}

func (l LabelSelector) is(label ocm.Label) bool {
	if label.Name != l.Name || l.Value == nil {
		return label.Name == l.Name
	}
	var text string
	if jsonv2.Unmarshal(label.Value, &text) == nil {
		return text == *l.Value
	}
	return string(label.Value) == *l.Value
}

// FindResource returns the one resource of a version that is selected. None is [ocm.ErrNotFound], several are
// [ocm.ErrInvalid]; both list what there is.
func FindResource(v ocm.Version, s Selector) (*ocm.Resource, error) {
	var found *ocm.Resource
	var all, matching []string
	for _, e := range ElementsOf(v, KindResource) {
		id := e.Common.Identity().String()
		if all = append(all, id); s.Selects(e) {
			found, matching = e.Resource, append(matching, id)
		}
	}
	c := &v.Descriptor().Component
	switch len(matching) {
	case 1:
		return found, nil
	case 0:
		return nil, fmt.Errorf("%s:%s: no resource with %s, there are: %s: %w", c.Name, c.Version, s, strings.Join(all, "; "), ocm.ErrNotFound)
	}
	return nil, fmt.Errorf("%s:%s: %d resources with %s, say which one: %s: %w", c.Name, c.Version, len(matching), s, strings.Join(matching, "; "), ocm.ErrInvalid)
}

// Elements lists the elements of one kind in a graph: those of a root, then those of what it references, in the
// order of the descriptors. Each version is visited once, where it stands first. [ocm.ErrLimit] beyond
// MaxElements.
func Elements(g *graph.Graph, kind string, s Selector) ([]*Element, error) {
	var list []*Element
	seen := map[*graph.Node]bool{}
	var visit func(n *graph.Node, path []string) error
	visit = func(n *graph.Node, path []string) error {
		if seen[n] {
			return nil
		}
		seen[n] = true
		for _, e := range ElementsOf(n.Version, kind) {
			if e.Path = path; s.Selects(e) {
				list = append(list, e)
			}
		}
		if len(list) > MaxElements {
			return fmt.Errorf("more than %d elements: %w", MaxElements, ocm.ErrLimit)
		}
		below := append(slices.Clone(path), n.Key())
		for _, child := range n.Children {
			if err := visit(child, below); err != nil {
				return err
			}
		}
		return nil
	}
	for _, root := range g.Roots {
		if err := visit(root, nil); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// ElementsOf lists the elements of one kind of one version.
func ElementsOf(v ocm.Version, kind string) []*Element {
	c := &v.Descriptor().Component
	var list []*Element
	switch kind {
	case KindResource:
		for i := range c.Resources {
			r := &c.Resources[i]
			list = append(list, &Element{In: v, Kind: kind, Common: &r.Element, Type: r.Type, Access: r.Access, Digest: r.Digest, Resource: r})
		}
	case KindSource:
		for i := range c.Sources {
			s := &c.Sources[i]
			list = append(list, &Element{In: v, Kind: kind, Common: &s.Element, Type: s.Type, Access: s.Access, Source: s})
		}
	case KindReference:
		for i := range c.References {
			r := &c.References[i]
			list = append(list, &Element{In: v, Kind: kind, Common: &r.Element, Digest: r.Digest, Reference: r})
		}
	}
	return list
}
