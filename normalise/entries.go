// SPDX-License-Identifier: Apache-2.0

package normalise

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ocm"
)

// entryDocument selects what V1 covers. It is the only algorithm that looks at the
// schema of the document.
func entryDocument(d *ocm.Descriptor) (object, error) {
	v := variant{identityDefaults: true}
	if strings.HasSuffix(d.Meta.SchemaVersion, "/v3alpha1") { // what the decoder leaves of a converted document
		return v.documentV3(d)
	}
	return v.documentV2(d)
}

// documentV2 has meta, no sources, and only the marked labels of references.
func (v variant) documentV2(d *ocm.Descriptor) (object, error) {
	c, err := v.head(&d.Component)
	if err != nil {
		return nil, err
	}
	if c["provider"], err = v.entryProvider(d.Component.Provider); err != nil {
		return nil, err
	}
	resources, err := v.resources(d.Component.Resources)
	if err != nil {
		return nil, err
	}
	references, err := v.references(d.Component.References, v.signedLabels)
	if err != nil {
		return nil, err
	}
	c["resources"], c["componentReferences"] = nullIdentity(resources), nullIdentity(references)
	schema := cmp.Or(d.Meta.SchemaVersion, ocm.SchemaV2) // what was built in memory is written as v2
	return object{"meta": object{"schemaVersion": schema}, "component": c}, nil
}

// entryProvider keeps the text unless it is an object.
func (v variant) entryProvider(p ocm.Provider) (any, error) {
	name, _, isObject, err := splitProvider(p, v.strictProvider)
	if err != nil || !isObject {
		return name, err
	}
	return v.provider(p)
}

// documentV3 is the form of documents of schema v3alpha1, with apiVersion and kind.
func (v variant) documentV3(d *ocm.Descriptor) (object, error) {
	c := &d.Component
	metadata, err := v.head(c)
	if err != nil {
		return nil, err
	}
	name, labels, _, err := splitProvider(c.Provider, v.strictProvider)
	if err != nil {
		return nil, err
	}
	provider := object{"name": name}
	if err := v.allLabels(provider, "metadata.provider", labels); err != nil {
		return nil, err
	}
	metadata["provider"] = provider
	spec := object{}
	if spec["resources"], err = v.resources(c.Resources); err != nil {
		return nil, err
	}
	if spec["sources"], err = v.sources(c.Sources); err != nil {
		return nil, err
	}
	if spec["references"], err = v.references(c.References, v.signedLabels); err != nil {
		return nil, err
	}
	return object{"apiVersion": d.Meta.SchemaVersion, "kind": "ComponentVersion", "metadata": metadata, "spec": spec}, nil
}

// nullIdentity adds the null that stands for an absent extra identity.
func nullIdentity(l list) list {
	for _, e := range l {
		o := e.(object)
		if _, ok := o["extraIdentity"]; !ok {
			o["extraIdentity"] = nil
		}
	}
	return l
}

// entryLists serialises as V1 does: an object is a list of objects with one member
// each, sorted by name in byte order. Texts and numbers are those of encoding/json,
// which escapes <, > and &.
func entryLists(tree any) ([]byte, error) {
	var b bytes.Buffer
	if err := writeEntries(&b, tree); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return b.Bytes(), nil
}

func writeEntries(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case object:
		b.WriteByte('[')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('{')
			if err := writeScalar(b, k); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := writeEntries(b, v[k]); err != nil {
				return err
			}
			b.WriteByte('}')
		}
		b.WriteByte(']')
		return nil
	case list:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeEntries(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	return writeScalar(b, v)
}

func writeScalar(b *bytes.Buffer, v any) error {
	raw, err := json.Marshal(v)
	b.Write(raw)
	return err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
