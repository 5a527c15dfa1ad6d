// SPDX-License-Identifier: Apache-2.0

package normalise

import (
	"fmt"
	"strings"
	"time"

	"ocm"
)

// Uncovered names what of d the digest want does not cover, though the strictest algorithm, [V3],
// covers it: whoever can write to d can add, change or remove it, and the digest stays right. Each
// text begins with a path and names the algorithm.
//
// What no algorithm ever covers is not listed: accesses, unsigned labels (but those of references),
// srcRefs, repositoryContexts, signatures, nested digests and members that are not known. d is
// expected to have the digest; if it has not, or the algorithm is unknown, the answer is that the
// whole descriptor is not covered.
func Uncovered(d *ocm.Descriptor, want ocm.Digest) []string {
	v, ok := formOf(d, want)
	if !ok {
		return []string{"component: " + want.NormalisationAlgorithm + " does not cover it"}
	}
	u := &uncovered{by: want.NormalisationAlgorithm}
	c := &d.Component
	if t, err := time.Parse(time.RFC3339, c.CreationTime); !v.rawTime && err == nil && canonicalTime(t) != c.CreationTime {
		u.add("component.creationTime", "beyond the second in UTC")
	}
	_, labels, _, err := splitProvider(c.Provider, false)
	if err == nil {
		u.labels(v, "component.provider", labels, false)
	}
	u.labels(v, "component", c.Labels, false)
	for i := range c.Resources {
		r := &c.Resources[i]
		u.labels(v, place("resources", i), r.Labels, false)
		if own := r.ExtraIdentity["version"]; v.identityDefaults && own != "" && own == r.Version {
			u.add(place("resources", i)+".extraIdentity.version", "where the identity is not unique without it")
		}
	}
	noSources := want.NormalisationAlgorithm == V1 && !strings.HasSuffix(d.Meta.SchemaVersion, "/v3alpha1")
	for i := range c.Sources {
		if noSources {
			u.add(place("sources", i), "source "+c.Sources[i].Name)
			continue
		}
		u.labels(v, place("sources", i), c.Sources[i].Labels, false)
	}
	for i := range c.References {
		u.references(v, place("componentReferences", i), c.References[i].Labels)
	}
	return u.list
}

// formOf finds the form of d that has the digest.
func formOf(d *ocm.Descriptor, want ocm.Digest) (variant, bool) {
	list, err := forms(d, want.NormalisationAlgorithm)
	if err != nil {
		return variant{}, false
	}
	hash, value, err := expected(want)
	if err != nil {
		return variant{}, false
	}
	for _, f := range list {
		if string(sum(hash, f.raw)) == string(value) {
			return f.variant, true
		}
	}
	return variant{}, false
}

type uncovered struct {
	by   string
	list []string
}

func (u *uncovered) add(path, what string) {
	u.list = append(u.list, fmt.Sprintf("%s: %s is not covered by %s", path, what, u.by))
}

// labels are those of an element of which the signed ones are covered.
func (u *uncovered) labels(v variant, where string, labels []ocm.Label, all bool) {
	for i := range labels {
		l := &labels[i]
		if !l.Signing && !all {
			continue
		}
		at := fmt.Sprintf("%s.labels[%d]", where, i)
		if v.plainLabels && l.Version != "" {
			u.add(at+".version", fmt.Sprintf("version of label %q", l.Name))
		}
		if v.plainLabels && all && l.Merge != nil {
			u.add(at+".merge", fmt.Sprintf("merge of label %q", l.Name))
		}
		if value, err := (variant{}).parse(l.Value); v.dropNulls && err == nil && (hasNull(value) || value == nil) {
			u.add(at+".value", fmt.Sprintf("null in label %q", l.Name))
		}
	}
}

// references have labels that are all covered, but by V1.
func (u *uncovered) references(v variant, where string, labels []ocm.Label) {
	if u.by != V1 {
		u.labels(v, where, labels, true)
		return
	}
	for i := range labels {
		if !labels[i].Signing {
			u.add(fmt.Sprintf("%s.labels[%d]", where, i), fmt.Sprintf("label %q", labels[i].Name))
		}
	}
}
