// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/blob"
	"ocm/graph"
	"ocm/oci"
)

// Select says what a transfer leaves out. nil leaves out nothing.
type Select struct{ include, exclude []rule }

// rule is a conjunction: everything that it names must match. What it does not name matches always.
type rule struct {
	text                              string
	component, resource, source, kind func(string) bool
	access                            string
	used                              *atomic.Bool // it has matched something
}

// NewSelect reads rules of the form key=value,key=value. Keys are component (a pattern of names, or of
// name:version), resource and source (a pattern of names of elements), type (a pattern of types
// of elements) and access (a type of access; all names of one type are the same). Patterns are those of
// [blob.Glob].
//
// Left out is what any of exclude matches, and what none of include matches, if there are such.
// [ocm.ErrInvalid] names the rule that cannot be read.
func NewSelect(include, exclude []string) (*Select, error) {
	s := &Select{}
	for _, list := range []struct {
		texts []string
		rules *[]rule
	}{{include, &s.include}, {exclude, &s.exclude}} {
		for _, text := range list.texts {
			r, err := parseRule(text)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", text, err)
			}
			*list.rules = append(*list.rules, r)
		}
	}
	return s, nil
}

// selection is how rules are written down.
type selection struct {
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
}

// MarshalJSON writes the rules, so that a plan can be made again with them.
func (s *Select) MarshalJSON() ([]byte, error) {
	var w selection
	for _, r := range s.include {
		w.Include = append(w.Include, r.text)
	}
	for _, r := range s.exclude {
		w.Exclude = append(w.Exclude, r.text)
	}
	return jsonv2.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote; errors as of [NewSelect].
func (s *Select) UnmarshalJSON(raw []byte) error {
	var w selection
	if err := jsonv2.Unmarshal(raw, &w, jsonv2.RejectUnknownMembers(true)); err != nil {
		return err
	}
	read, err := NewSelect(w.Include, w.Exclude)
	if err == nil {
		*s = *read
	}
	return err
}

func parseRule(text string) (rule, error) {
	r, seen := rule{text: text, used: &atomic.Bool{}}, map[string]bool{}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || value == "" {
			return r, fmt.Errorf("expected key=value,key=value: %w", ocm.ErrInvalid)
		}
		if seen[key] {
			return r, fmt.Errorf("%s stands twice (give two flags for alternatives): %w", key, ocm.ErrInvalid)
		}
		seen[key] = true
		glob, err := blob.Glob(value)
		switch key {
		case "component":
			r.component = glob
			if !strings.Contains(value, ":") {
				r.component = func(s string) bool { name, _, _ := strings.Cut(s, ":"); return glob(name) }
			}
		case "resource":
			r.resource = glob
		case "source":
			r.source = glob
		case "type":
			r.kind = glob
		case "access":
			r.access, err = value, nil
		default:
			err = fmt.Errorf("unknown key %q, expected component, resource, source, type or access: %w", key, ocm.ErrInvalid)
		}
		if err != nil {
			return r, err
		}
	}
	if r.resource != nil && r.source != nil {
		return r, fmt.Errorf("nothing is both a resource and a source (give two flags for alternatives): %w", ocm.ErrInvalid)
	}
	return r, nil
}

// whole reports whether the rule is about component versions and not about elements.
func (r *rule) whole() bool {
	return r.resource == nil && r.source == nil && r.kind == nil && r.access == ""
}

// Has reports whether a component version takes part in the transfer. What does not is not
// opened; references to it stay as they are.
func (s *Select) Has(name, version string) bool {
	if s == nil {
		return true
	}
	for _, r := range s.exclude {
		if r.whole() && r.covers(name+":"+version) {
			r.used.Store(true)
			return false
		}
	}
	for _, r := range s.include {
		if r.covers(name + ":" + version) {
			return true
		}
	}
	return len(s.include) == 0
}

// Unused lists the rules that have matched nothing in all plans so far: perhaps they were meant otherwise.
func (s *Select) Unused() []string {
	var texts []string
	if s != nil {
		for _, r := range slices.Concat(s.exclude, s.include) {
			if !r.used.Load() {
				texts = append(texts, r.text)
			}
		}
	}
	return texts
}

// Skip is [Select.Has] for a walk.
func (s *Select) Skip(ref *ocm.Reference) bool { return !s.Has(ref.ComponentName, ref.Version) }

// item is an element to decide about.
type item struct {
	component string // name:version
	kind      string // "resource" or "source"
	name, typ string
	access    ocm.Spec
}

// leaves reports whether an element is left out, and the rule that says so.
func (s *Select) leaves(kit *ocm.Kit, e item) (reason string, left bool) {
	if s == nil {
		return "", false
	}
	if graph.IsOmitted(e.access.Type) { // what it was counts
		if o, err := graph.ParseOmitted(e.access); err == nil {
			e.access = o.Access
		}
	}
	for _, r := range s.exclude {
		if r.matches(kit, e) {
			return "excluded by " + r.text, true
		}
	}
	for _, r := range s.include {
		if r.matches(kit, e) {
			return "", false
		}
	}
	return "not included", len(s.include) > 0
}

// covers reports whether the rule may be about something in a component version.
func (r *rule) covers(key string) bool { return r.component == nil || r.component(key) }

func (r *rule) matches(kit *ocm.Kit, e item) bool {
	if !r.covers(e.component) || r.kind != nil && !r.kind(e.typ) {
		return false
	}
	if r.resource != nil && (e.kind != "resource" || !r.resource(e.name)) || r.source != nil && (e.kind != "source" || !r.source(e.name)) {
		return false
	}
	if r.access != "" && !sameAccess(kit, r.access, e.access.Type) {
		return false
	}
	r.used.Store(true)
	return true
}

// sameAccess reports whether two names are those of one type of access. A name without a version is
// that of version 1.
func sameAccess(kit *ocm.Kit, a, b string) bool {
	return strings.TrimSuffix(a, "/v1") == strings.TrimSuffix(b, "/v1") || oci.IsLocal(a) && oci.IsLocal(b) || kit.Access.Same(a, b)
}

// omits reports whether one of the access types that stay as they are is this one.
func (p *Plan) omits(accessType string) bool {
	return slices.ContainsFunc(p.o.OmitAccess, func(a string) bool { return sameAccess(p.kit, a, accessType) })
}

// leaveOut decides about an element that is left out. What is elsewhere stays there. What lies in the
// source repository would dangle in the target: its access becomes one that says what is missing.
func leaveOut(m *Move, access ocm.Spec, reason string) {
	if oci.IsLocal(access.Type) || isRelative(access) {
		m.Action = Omit
	}
	m.Reason = reason
}

// omit makes the access that says that an element was left out. A target that has its content keeps it.
func omit(ctx context.Context, vp *VersionPlan, m *Move) (landed, error) {
	access, _ := element(vp.node.Descriptor(), m)
	l := landed{labels: labelsOf(vp.was(), m).Labels}
	var known ocm.Content
	if oci.IsLocal(access.Type) {
		var err error
		if known, err = vp.node.Blob(ctx, *access); err != nil {
			known = ocm.Content{} // not even the source has it
		}
		if vp.base != nil && known.Root.Digest != "" {
			if there, err := vp.base.Blob(ctx, *access); err == nil && there.Root.Digest == known.Root.Digest {
				return l, nil
			}
		}
	}
	var err error
	l.Access, err = graph.Omit(*access, known.Root, m.Reason)
	return l, err
}

// sameOmitted reports whether one of two accesses stands for the other one, which was left out.
func sameOmitted(a, b *ocm.Spec) bool {
	x, y := *a, *b
	for _, s := range []*ocm.Spec{&x, &y} {
		if o, err := graph.ParseOmitted(*s); graph.IsOmitted(s.Type) && err == nil {
			*s = o.Access
		}
	}
	return (graph.IsOmitted(a.Type) || graph.IsOmitted(b.Type)) && equal(x, y)
}

// leftOutBefore tells what the source is a partial copy of, and the target has not either.
func leftOutBefore(vp *VersionPlan) []string {
	var notes []string
	src := vp.node.Descriptor()
	for i := range vp.Moves {
		m := &vp.Moves[i]
		var there ocm.Spec
		if vp.base != nil && vp.State != Overwrite {
			target, _ := element(vp.base.Descriptor(), m)
			there = *target
		}
		access, _ := element(src, m)
		if graph.IsOmitted(access.Type) && (there.Type == "" || graph.IsOmitted(there.Type)) {
			notes = append(notes, fmt.Sprintf("%s %s was left out of the source", m.Kind, m.Element))
		}
		if list := graph.Platforms(labelsOf(src, m).Labels); m.Action == Copy && len(list) > 0 {
			notes = append(notes, fmt.Sprintf("%s %s: the source has only the platforms %s", m.Kind, m.Element, names(list)))
		}
	}
	return notes
}
