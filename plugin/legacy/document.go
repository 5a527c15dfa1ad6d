// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/plugin/wire"
)

// Document is what a plugin says that it can do.
type Document struct {
	capabilities []capability
	configTypes  []string
}

// capability is one thing that it can do. Which list of types counts depends on the kind.
type capability struct {
	Kind             string     `json:"type"`
	Repositories     []specType `json:"supportedRepositorySpecTypes"`
	Accesses         []specType `json:"supportedAccessTypes"`
	Inputs           []specType `json:"supportedInputTypes"`
	Transformers     []specType `json:"supportedTransformerSpecTypes"`
	Signers          []specType `json:"supportedSigningSpecTypes"`
	Consumers        []specType `json:"supportedConsumerIdentityTypes"`
	CredentialPlaces []specType `json:"supportedCredentialRepositorySpecTypes"`
	Credentials      []specType `json:"supportedCredentialPluginTypes"`
}

// types are the types of specifications that it is for, each once. A place of credentials is looked for under the types
// of both of its lists, because the existing host looks into the one that is not meant for it.
func (c capability) types() []specType {
	var out []specType
	for _, t := range slices.Concat(c.Repositories, c.Accesses, c.Inputs, c.Transformers, c.Signers, c.CredentialPlaces, c.Consumers, c.Credentials) {
		if !slices.ContainsFunc(out, func(have specType) bool { return have.Type == t.Type }) {
			out = append(out, t)
		}
	}
	return out
}

// specType is a type of specifications.
type specType struct {
	Type    string
	Aliases []string
	schema  *schema // nil: none, or one that cannot be read
}

// UnmarshalJSON reads an object or, as the documentation of that protocol has it for some lists, the bare name. The schema is a document
// in base64. One that cannot be read is as good as none: the plugin judges its specifications itself.
func (t *specType) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, &t.Type)
	}
	var v struct {
		Type    string      `json:"type"`
		Aliases []string    `json:"aliases"`
		Schema  ocm.RawJSON `json:"jsonSchema"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	t.Type, t.Aliases = v.Type, v.Aliases
	text := []byte(v.Schema)
	var encoded string
	if json.Unmarshal(v.Schema, &encoded) == nil {
		text, _ = base64.StdEncoding.DecodeString(encoded) // what cannot be decoded is no schema
	}
	t.schema = parseSchema(text)
	return nil
}

func (t specType) names() []string {
	out := []string{t.Type}
	for _, name := range t.Aliases {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// check refuses a specification that breaks the schema.
func (t specType) check(s ocm.Spec) error { return t.schema.check(s) }

const maxTypeName = 255 // bytes

// Parse reads the document. The error is [ocm.ErrInvalid] or [ocm.ErrLimit]. ok is false for what is no document of that kind, which has
// a list of capabilities and names no protocol: somebody else reads it, or says what is wrong with it.
func Parse(raw []byte) (doc Document, ok bool, err error) {
	if len(raw) > wire.MaxCapabilities {
		return doc, false, fmt.Errorf("capabilities: %d bytes, accepted are %d: %w", len(raw), wire.MaxCapabilities, ocm.ErrLimit)
	}
	var head struct {
		Protocol     ocm.RawJSON `json:"protocol"`
		Capabilities ocm.RawJSON `json:"capabilities"`
	}
	if json.Unmarshal(raw, &head) != nil || head.Protocol != nil || head.Capabilities.Kind() != '[' {
		return doc, false, nil //nolint:nilerr // what is no object is no document of this protocol either
	}
	var v struct {
		Capabilities []capability `json:"capabilities"`
		ConfigTypes  []string     `json:"supportedConfigTypes"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return doc, true, fmt.Errorf("capabilities: %s: %w", wire.Text(err.Error(), 300), ocm.ErrInvalid)
	}
	doc = Document{v.Capabilities, v.ConfigTypes}
	return doc, true, doc.check()
}

// Capabilities is the document in the words of the newer protocol, under the kinds of the older one.
func (d Document) Capabilities() wire.Capabilities {
	doc := wire.Capabilities{Protocol: "an older protocol"}
	for _, c := range d.capabilities {
		for _, t := range c.types() {
			typ := ocm.Type{Names: t.names(), About: t.schema.about(aboutUnknown), Fields: t.schema.fields()}
			doc.Capabilities = append(doc.Capabilities, wire.Capability{Kind: c.Kind, Type: typ})
		}
	}
	return doc
}

// aboutUnknown describes a type whose schema does not.
const aboutUnknown = "A type of a plugin of the older protocol."

// check holds the names to what can be shown and looked up.
func (d Document) check() error {
	n := len(d.capabilities) + len(d.configTypes)
	for _, c := range d.capabilities {
		for _, t := range c.types() {
			n += len(t.names())
			for _, name := range t.names() {
				if !isTypeName(name) {
					return fmt.Errorf("capabilities: %s: %q is no name of a type: %w", shown(c.Kind), shown(name), ocm.ErrInvalid)
				}
			}
		}
	}
	if n > wire.MaxTypes {
		return fmt.Errorf("capabilities: %d types, accepted are %d: %w", n, wire.MaxTypes, ocm.ErrLimit)
	}
	return nil
}

func isTypeName(name string) bool {
	return name != "" && len(name) <= maxTypeName && name == wire.Text(name, maxTypeName) && !strings.ContainsAny(name, " \n\t")
}

// lists reports whether it can list the components of a type of repositories.
func (d Document) lists(typ string) bool {
	return slices.ContainsFunc(d.capabilities, func(c capability) bool {
		return c.Kind == "componentLister" && slices.ContainsFunc(c.types(), func(t specType) bool { return slices.Contains(t.names(), typ) })
	})
}

// shown is a name that somebody else wrote, fit for a message.
func shown(s string) string { return wire.Text(s, 100) }
