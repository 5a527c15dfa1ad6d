// SPDX-License-Identifier: Apache-2.0

package normalise

import (
	"fmt"
	"time"

	"ocm"
)

// Quirks lists, in words and with their paths, the places of d where the two existing
// tools disagree on the canonical bytes of [V3] and [V4]. If there are none, both
// compute the same digest, and a signature can be verified by either.
func Quirks(d *ocm.Descriptor) []string {
	var q quirks
	c := &d.Component
	if c.CreationTime != "" {
		t, err := time.Parse(time.RFC3339, c.CreationTime)
		if err != nil || canonicalTime(t) != c.CreationTime {
			q.add("component.creationTime", "%q is not UTC in whole seconds (2006-01-02T15:04:05Z): one tool rewrites it", c.CreationTime)
		}
	}
	q.provider(c.Provider)
	q.labels("component", c.Labels, false)
	for i := range c.Resources {
		q.labels(place("resources", i), c.Resources[i].Labels, false)
	}
	for i := range c.Sources {
		q.labels(place("sources", i), c.Sources[i].Labels, false)
	}
	for i := range c.References {
		r := &c.References[i]
		q.labels(place("componentReferences", i), r.Labels, true)
		if r.Digest.Empty() {
			q.add(place("componentReferences", i), "reference %q has no digest: one tool signs an empty one", r.Name)
		}
	}
	return q
}

type quirks []string

func (q *quirks) add(path, format string, args ...any) {
	*q = append(*q, path+": "+fmt.Sprintf(format, args...))
}

func (q *quirks) provider(p ocm.Provider) {
	name, labels, err := p.Parse()
	switch {
	case err != nil:
		q.add("component.provider", "looks like a JSON object but is none: one tool takes it for the name, one refuses it")
		return
	case name == "":
		q.add("component.provider", "has no name: one tool refuses it")
	}
	q.labels("component.provider", labels, false)
}

// labels looks at those that are signed; of references these are all.
func (q *quirks) labels(where string, labels []ocm.Label, all bool) {
	for i := range labels {
		l := &labels[i]
		if !l.Signing && !all {
			continue
		}
		at := fmt.Sprintf("%s.labels[%d]", where, i)
		if l.Version != "" {
			q.add(at+".version", "label %q has a version, which one tool does not sign", l.Name)
		}
		if all && l.Merge != nil {
			q.add(at+".merge", "label %q has merge rules, which one tool does not sign", l.Name)
		}
		value, err := variant{}.parse(l.Value)
		switch {
		case err != nil:
			q.add(at+".value", "label %q: %v", l.Name, err)
		case value == nil:
			q.add(at+".value", "label %q is null, which one tool does not sign", l.Name)
		case hasNull(value):
			q.add(at+".value", "label %q has null members, which one tool does not sign", l.Name)
		}
	}
}

func hasNull(v any) bool {
	switch v := v.(type) {
	case object:
		for _, m := range v {
			if m == nil || hasNull(m) {
				return true
			}
		}
	case list:
		for _, m := range v {
			if m != nil && hasNull(m) {
				return true
			}
		}
	}
	return false
}
