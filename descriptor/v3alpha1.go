// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ocm"
)

// v3Document is schema v3alpha1. It is only read.
type v3Document struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string      `json:"name"`
		Version      string      `json:"version"`
		CreationTime string      `json:"creationTime"`
		Provider     v3Provider  `json:"provider"`
		Labels       []ocm.Label `json:"labels"`
		Unknown      ocm.RawJSON `json:",embed"`
	} `json:"metadata"`
	RepositoryContexts []ocm.Spec `json:"repositoryContexts"`
	Spec               struct {
		Resources  []ocm.Resource  `json:"resources"`
		Sources    []ocm.Source    `json:"sources"`
		References []ocm.Reference `json:"references"`
		Unknown    ocm.RawJSON     `json:",embed"`
	} `json:"spec"`
	Signatures    []ocm.Signature    `json:"signatures"`
	NestedDigests []ocm.NestedDigest `json:"nestedDigests"`
	Unknown       ocm.RawJSON        `json:",embed"`
}

type v3Provider struct {
	Name    string      `json:"name"`
	Labels  []ocm.Label `json:"labels,omitempty"`
	Unknown ocm.RawJSON `json:",embed"`
}

// parseV3 converts to the shape of v2. Unknown members move with the object they
// stand in; those that would become known members of v2 by the move are refused.
func parseV3(text []byte) (*ocm.Descriptor, error) {
	var v v3Document
	if err := jsonv2.Unmarshal(text, &v); err != nil {
		return nil, Explain(err)
	}
	m := &v.Metadata
	provider, err := m.Provider.text()
	if err != nil {
		return nil, err
	}
	unknown, err := merge(m.Unknown, v.Spec.Unknown)
	if err != nil {
		return nil, fmt.Errorf("metadata and spec have an unknown member of the same name: %w: %w", err, ocm.ErrInvalid)
	}
	d := &ocm.Descriptor{
		Meta: ocm.Meta{SchemaVersion: v.APIVersion},
		Component: ocm.Component{
			Name: m.Name, Version: m.Version, CreationTime: m.CreationTime, Provider: provider, Labels: m.Labels,
			RepositoryContexts: v.RepositoryContexts,
			Resources:          v.Spec.Resources, Sources: v.Spec.Sources, References: v.Spec.References,
			Unknown: unknown,
		},
		Signatures: v.Signatures, NestedDigests: v.NestedDigests, Unknown: v.Unknown,
	}
	if _, err := JSON(d); err != nil {
		return nil, fmt.Errorf("a member of this schema has another meaning in schema v2: %w", err)
	}
	return d, nil
}

// text is the provider as v2 writes it: the name, or the object as text where there
// is more than a name or where the name could be taken for an object.
func (p v3Provider) text() (ocm.Provider, error) {
	if len(p.Labels) == 0 && len(p.Unknown) == 0 && !strings.HasPrefix(strings.TrimSpace(p.Name), "{") {
		return ocm.Provider(p.Name), nil
	}
	raw, err := jsonv2.Marshal(p, jsonv2.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("metadata.provider: %w: %w", err, ocm.ErrInvalid)
	}
	return ocm.Provider(raw), nil
}

// merge joins the members of two objects; a name in both is an error.
func merge(a, b ocm.RawJSON) (ocm.RawJSON, error) {
	if len(a) == 0 || len(b) == 0 {
		return append(a[:len(a):len(a)], b...), nil
	}
	inner := func(v ocm.RawJSON) string {
		s := strings.TrimSpace(string(v))
		return strings.TrimSpace(s[1 : len(s)-1])
	}
	x, y := inner(a), inner(b)
	if x == "" || y == "" {
		return ocm.RawJSON("{" + x + y + "}"), nil
	}
	joined := ocm.RawJSON("{" + x + "," + y + "}")
	return joined, joined.Format(jsontext.PreserveRawStrings(true))
}
