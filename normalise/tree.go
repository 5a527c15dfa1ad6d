// SPDX-License-Identifier: Apache-2.0

package normalise

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"ocm"
)

// A tree of objects, lists, strings, booleans, float64 and nil is what is serialised.
type (
	object = map[string]any
	list   = []any
)

// variant says where the forms of the tools differ. The zero value is the form of V3.
type variant struct {
	identityDefaults bool // V1, V2: equal elements get their version into extraIdentity
	plainLabels      bool // labels have neither version nor merge
	dropNulls        bool // null members of label values are left out
	emptyDigests     bool // a reference without digest has one of empty strings
	rawTime          bool // creationTime as it was written, else UTC and whole seconds
	strictProvider   bool // a provider must have a name, and no broken JSON in it
}

var v4 = variant{plainLabels: true, dropNulls: true, emptyDigests: true, rawTime: true, strictProvider: true}

// component selects what RFC 8785 algorithms cover.
func (v variant) component(c *ocm.Component) (object, error) {
	o, err := v.head(c)
	if err != nil {
		return nil, err
	}
	if o["provider"], err = v.provider(c.Provider); err != nil {
		return nil, err
	}
	if o["resources"], err = v.resources(c.Resources); err != nil {
		return nil, err
	}
	if o["sources"], err = v.sources(c.Sources); err != nil {
		return nil, err
	}
	// All labels of a reference are covered, whether they are marked or not.
	o["componentReferences"], err = v.references(c.References, v.allLabels)
	return o, err
}

// head is the component without provider and elements.
func (v variant) head(c *ocm.Component) (object, error) {
	o := object{"name": c.Name, "version": c.Version}
	var err error
	if c.CreationTime != "" {
		if o["creationTime"], err = v.time(c.CreationTime); err != nil {
			return nil, err
		}
	}
	return o, v.signedLabels(o, "component", c.Labels)
}

func (v variant) time(s string) (string, error) {
	if v.rawTime {
		return s, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "", fmt.Errorf("component.creationTime: expected a time as in RFC 3339, found %.40q: %w", s, ocm.ErrInvalid)
	}
	return canonicalTime(t), nil
}

func canonicalTime(t time.Time) string { return t.UTC().Round(time.Second).Format(time.RFC3339) }

func (v variant) provider(p ocm.Provider) (object, error) {
	name, labels, _, err := splitProvider(p, v.strictProvider)
	if err != nil {
		return nil, err
	}
	o := object{"name": name}
	return o, v.signedLabels(o, "component.provider", labels)
}

// splitProvider returns name and labels, and whether they stood in a JSON object. Text
// that looks like JSON but is none is the name, as for the older tool, unless strict.
// JSON that readers could understand differently is an error.
func splitProvider(p ocm.Provider, strict bool) (name string, labels []ocm.Label, isObject bool, err error) {
	name, labels, err = p.Parse()
	if strict && err == nil && name == "" {
		err = fmt.Errorf("component.provider has no name: %w", ocm.ErrInvalid)
	}
	if err == nil || strict {
		return name, labels, name != string(p), err
	}
	var lenient struct { // what a reader that ignores case and takes the last of two keys finds
		Name   string
		Labels []struct {
			Name, Version string
			Value         json.RawMessage
			Signing       bool
		}
	}
	if json.Unmarshal([]byte(p), &lenient) == nil {
		return "", nil, true, err
	}
	return string(p), nil, false, nil
}

func (v variant) resources(rs []ocm.Resource) (list, error) {
	ids := identitiesOf(rs)
	if v.identityDefaults {
		ids = defaulted(rs)
	}
	l := make(list, len(rs))
	for i := range rs {
		r := &rs[i]
		o := object{"name": r.Name, "version": r.Version, "type": r.Type, "relation": r.Relation}
		if r.Digest != nil && r.Access.Type != "none" && r.Access.Type != "None" {
			o["digest"] = digest(*r.Digest)
		}
		putIdentity(o, ids[i])
		if err := v.signedLabels(o, place("resources", i), r.Labels); err != nil {
			return nil, err
		}
		l[i] = o
	}
	return l, nil
}

func (v variant) sources(ss []ocm.Source) (list, error) {
	l := make(list, len(ss))
	for i := range ss {
		s := &ss[i]
		o := object{"name": s.Name, "version": s.Version, "type": s.Type}
		putIdentity(o, s.ExtraIdentity)
		if err := v.signedLabels(o, place("sources", i), s.Labels); err != nil {
			return nil, err
		}
		l[i] = o
	}
	return l, nil
}

func (v variant) references(rs []ocm.Reference, labels func(object, string, []ocm.Label) error) (list, error) {
	l := make(list, len(rs))
	for i := range rs {
		r := &rs[i]
		o := object{"name": r.Name, "version": r.Version, "componentName": r.ComponentName}
		switch {
		case !r.Digest.Empty():
			o["digest"] = digest(*r.Digest)
		case v.emptyDigests:
			o["digest"] = digest(ocm.Digest{})
		}
		putIdentity(o, r.ExtraIdentity)
		if err := labels(o, place("componentReferences", i), r.Labels); err != nil {
			return nil, err
		}
		l[i] = o
	}
	return l, nil
}

func place(list string, i int) string { return fmt.Sprintf("component.%s[%d]", list, i) }

func digest(d ocm.Digest) object {
	return object{
		"hashAlgorithm":          d.HashAlgorithm,
		"normalisationAlgorithm": d.NormalisationAlgorithm,
		"value":                  d.Value,
	}
}

func putIdentity(o object, id ocm.Identity) {
	if len(id) == 0 {
		return
	}
	m := make(object, len(id))
	for k, v := range id {
		m[k] = v
	}
	o["extraIdentity"] = m
}

func identitiesOf(rs []ocm.Resource) []ocm.Identity {
	ids := make([]ocm.Identity, len(rs))
	for i := range rs {
		ids[i] = rs[i].ExtraIdentity
	}
	return ids
}

// defaulted applies what the older tool did to resources before V1 and V2: in order,
// each one that has the name and extra identity of another one at that moment gets
// its version into its extra identity. The last of a group keeps what it had.
// Counting makes one pass of it; hostile lists of equal elements stay cheap.
func defaulted(rs []ocm.Resource) []ocm.Identity {
	ids := identitiesOf(rs)
	keys := make([]string, len(rs))
	count := make(map[string]int, len(rs))
	for i := range rs {
		keys[i] = identityKey(rs[i].Name, ids[i])
		count[keys[i]]++
	}
	for i := range rs {
		if count[keys[i]] < 2 {
			continue
		}
		id := make(ocm.Identity, len(ids[i])+1)
		maps.Copy(id, ids[i])
		id["version"] = rs[i].Version
		count[keys[i]]--
		count[identityKey(rs[i].Name, id)]++
		ids[i] = id
	}
	return ids
}

// identityKey is an unambiguous text: every part is preceded by its length.
func identityKey(name string, id ocm.Identity) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:%s", len(name), name)
	for _, k := range sortedKeys(id) {
		fmt.Fprintf(&b, "%d:%s%d:%s", len(k), k, len(id[k]), id[k])
	}
	return b.String()
}
