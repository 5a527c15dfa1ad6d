// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// RawJSON is one JSON value, kept as the bytes it was read with.
type RawJSON = jsontext.Value

// SchemaV2 is the only schema version that is written.
const SchemaV2 = "v2"

// Descriptor is a component descriptor in the shape of schema v2. Documents of
// other schemas are converted when they are read. Every struct below keeps the
// members it does not know in Unknown, and writes them back.
//
// Encode and decode it with package descriptor: it enforces the limits, rejects
// duplicate keys and passes on unmodified documents byte for byte.
type Descriptor struct {
	Meta          Meta           `json:"meta"`
	Component     Component      `json:"component"`
	Signatures    []Signature    `json:"signatures,omitempty"`
	NestedDigests []NestedDigest `json:"nestedDigests,omitempty"`
	Unknown       RawJSON        `json:",embed"`

	origin *Document
}

// Document is a descriptor as it was read from somewhere: bytes and media type.
type Document struct {
	MediaType string
	Bytes     []byte
}

// Origin returns the document that d was decoded from, nil if it was built in memory.
// The bytes must not be modified.
func (d *Descriptor) Origin() *Document { return d.origin }

// SetOrigin remembers the document that d was decoded from. Only decoders call it.
func (d *Descriptor) SetOrigin(doc *Document) { d.origin = doc }

// MarshalJSON writes every member, known or not, with the standard encoding too.
func (d *Descriptor) MarshalJSON() ([]byte, error) {
	type plain Descriptor
	return jsonv2.Marshal((*plain)(d), jsonv2.Deterministic(true))
}

// Clone returns a deep copy that may be modified; it remembers the same origin.
func (d *Descriptor) Clone() *Descriptor {
	raw, err := d.MarshalJSON()
	if err != nil {
		panic(fmt.Sprintf("ocm: descriptor cannot be encoded: %v", err)) // holds only JSON-ready values
	}
	type plain Descriptor
	var c plain
	if err := jsonv2.Unmarshal(raw, &c); err != nil {
		panic(fmt.Sprintf("ocm: encoded descriptor cannot be decoded: %v", err))
	}
	c.origin = d.origin
	return (*Descriptor)(&c)
}

// Meta says which schema the document follows.
type Meta struct {
	SchemaVersion string  `json:"schemaVersion"`
	Unknown       RawJSON `json:",embed"`
}

// Component is the body of a descriptor.
type Component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// CreationTime is RFC 3339 text, kept as it was written: it is part of what is signed.
	CreationTime       string      `json:"creationTime,omitempty"`
	Provider           Provider    `json:"provider"`
	Labels             []Label     `json:"labels,omitempty"`
	RepositoryContexts []Spec      `json:"repositoryContexts"`
	Resources          []Resource  `json:"resources"`
	Sources            []Source    `json:"sources"`
	References         []Reference `json:"componentReferences"`
	Unknown            RawJSON     `json:",embed"`
}

// Provider is the provider as it stands on the wire: a name or, where the
// provider has labels, a JSON object {"name":…,"labels":[…]} in a string.
type Provider string

// Parse splits the provider into name and labels. Text that starts with "{" but is
// no such object is an error ([ErrInvalid]).
func (p Provider) Parse() (name string, labels []Label, err error) {
	if !strings.HasPrefix(strings.TrimSpace(string(p)), "{") {
		return string(p), nil, nil
	}
	var o struct {
		Name    string  `json:"name"`
		Labels  []Label `json:"labels"`
		Unknown RawJSON `json:",embed"`
	}
	if err := jsonv2.Unmarshal([]byte(p), &o); err != nil {
		return "", nil, fmt.Errorf("component.provider looks like a JSON object but is none: %v: %w", err, ErrInvalid)
	}
	return o.Name, o.Labels, nil
}

// Name is the provider's name, or the whole text where it cannot be parsed.
func (p Provider) Name() string {
	n, _, err := p.Parse()
	if err != nil {
		return string(p)
	}
	return n
}

// NewProvider makes the wire form of a provider.
func NewProvider(name string, labels []Label) (Provider, error) {
	if len(labels) == 0 {
		return Provider(name), nil
	}
	raw, err := jsonv2.Marshal(struct {
		Name   string  `json:"name"`
		Labels []Label `json:"labels"`
	}{name, labels}, jsonv2.Deterministic(true))
	return Provider(raw), err
}

// Label is a named value on a component or element. Only labels with Signing are signed.
type Label struct {
	Name    string     `json:"name"`
	Value   RawJSON    `json:"value"`
	Version string     `json:"version,omitempty"`
	Signing bool       `json:"signing,omitzero"`
	Merge   *MergeSpec `json:"merge,omitempty"`
	Unknown RawJSON    `json:",embed"`
}

// MergeSpec says how two values of a label are merged when a version is transferred onto another.
type MergeSpec struct {
	Algorithm string  `json:"algorithm"`
	Config    RawJSON `json:"config,omitempty"`
	Unknown   RawJSON `json:",embed"`
}

// Element is what resources, sources and references have in common.
type Element struct {
	Name          string   `json:"name"`
	Version       string   `json:"version,omitempty"`
	ExtraIdentity Identity `json:"extraIdentity,omitempty"`
	Labels        []Label  `json:"labels,omitempty"`
}

// Identity is the element's identity: name, version (if any) and all extra identity members.
func (e *Element) Identity() Identity {
	id := make(Identity, len(e.ExtraIdentity)+2)
	maps.Copy(id, e.ExtraIdentity)
	id["name"] = e.Name
	if e.Version != "" {
		id["version"] = e.Version
	}
	return id
}

// String names the element for messages: its name, and what else tells it apart.
func (e *Element) String() string {
	if len(e.ExtraIdentity) == 0 {
		return e.Name
	}
	return e.Name + "(" + e.ExtraIdentity.String() + ")"
}

// Relations of a resource to the component's provider.
const (
	RelationLocal    = "local"
	RelationExternal = "external"
)

// Resource is one deliverable of a component version.
type Resource struct {
	Element
	Type     string      `json:"type"`
	Relation string      `json:"relation"`
	SrcRefs  []SourceRef `json:"srcRefs,omitempty"`
	Access   Spec        `json:"access"`
	Digest   *Digest     `json:"digest,omitempty"`
	Unknown  RawJSON     `json:",embed"`
}

// Source is something a resource was made from.
type Source struct {
	Element
	Type    string  `json:"type"`
	Access  Spec    `json:"access"`
	Unknown RawJSON `json:",embed"`
}

// SourceRef ties a resource to the sources it was made from.
type SourceRef struct {
	IdentitySelector Identity `json:"identitySelector,omitempty"`
	Labels           []Label  `json:"labels,omitempty"`
	Unknown          RawJSON  `json:",embed"`
}

// Reference names another component version as part of this one.
type Reference struct {
	Element
	ComponentName string  `json:"componentName"`
	Digest        *Digest `json:"digest,omitempty"`
	Unknown       RawJSON `json:",embed"`
}

// Digest is the descriptor's digest triple. Value is lower-case hex without algorithm prefix.
type Digest struct {
	HashAlgorithm          string  `json:"hashAlgorithm"`
	NormalisationAlgorithm string  `json:"normalisationAlgorithm"`
	Value                  string  `json:"value"`
	Unknown                RawJSON `json:",embed"`
}

// Names in digests.
const (
	SHA256 = "SHA-256"
	SHA512 = "SHA-512"

	// GenericBlobDigest hashes the bytes that the access method delivers.
	GenericBlobDigest = "genericBlobDigest/v1"
	// OCIArtifactDigest is the digest of an OCI manifest or index.
	OCIArtifactDigest = "ociArtifactDigest/v1"
	// NoDigest and ExcludeFromSignature together mark content that is deliberately not covered.
	NoDigest             = "NO-DIGEST"
	ExcludeFromSignature = "EXCLUDE-FROM-SIGNATURE"
)

// Empty reports whether there is no digest: none at all, or the triple of empty
// strings that one existing writer uses for "none".
func (d *Digest) Empty() bool {
	return d == nil || d.HashAlgorithm == "" && d.NormalisationAlgorithm == "" && d.Value == ""
}

// Excluded reports whether d is the complete triple that excludes content from the signature.
func (d *Digest) Excluded() bool {
	return d != nil && d.HashAlgorithm == NoDigest && d.NormalisationAlgorithm == ExcludeFromSignature && d.Value == NoDigest
}

func (d *Digest) String() string {
	if d.Empty() {
		return "no digest"
	}
	return d.HashAlgorithm + ":" + d.Value + " (" + d.NormalisationAlgorithm + ")"
}

// Signature is one signature over the normalised descriptor.
type Signature struct {
	Name      string         `json:"name"`
	Digest    Digest         `json:"digest"`
	Signature SignatureValue `json:"signature"`
	Timestamp *Timestamp     `json:"timestamp,omitempty"`
	Unknown   RawJSON        `json:",embed"`
}

// SignatureValue is what a [Signer] makes and a [Verifier] judges.
type SignatureValue struct {
	Algorithm string  `json:"algorithm"`
	MediaType string  `json:"mediaType"`
	Value     string  `json:"value"`
	Issuer    string  `json:"issuer,omitempty"`
	Unknown   RawJSON `json:",embed"`
}

// Timestamp is the answer of a time stamping authority over the signature's digest.
type Timestamp struct {
	Value   string  `json:"value,omitempty"`
	Time    string  `json:"time,omitempty"`
	Unknown RawJSON `json:",embed"`
}

// NestedDigest carries digests of a referenced version in the root that was signed.
type NestedDigest struct {
	Name            string                 `json:"name"`
	Version         string                 `json:"version"`
	Digest          *Digest                `json:"digest,omitempty"`
	ResourceDigests []NestedResourceDigest `json:"resourceDigests,omitempty"`
	Unknown         RawJSON                `json:",embed"`
}

// NestedResourceDigest is the digest of one resource of a referenced version.
type NestedResourceDigest struct {
	Name          string   `json:"name"`
	Version       string   `json:"version,omitempty"`
	ExtraIdentity Identity `json:"extraIdentity,omitempty"`
	Digest        Digest   `json:"digest"`
	Unknown       RawJSON  `json:",embed"`
}

// Spec is a typed specification: a type name and the whole JSON object, which only
// the implementation of that type reads. It is how accesses, repositories,
// inputs and configurations travel.
type Spec struct {
	Type string
	Raw  RawJSON
}

// NewSpec makes a spec of v, whose JSON must be an object with a "type" member.
func NewSpec(v any) (Spec, error) {
	raw, err := jsonv2.Marshal(v, jsonv2.Deterministic(true))
	if err != nil {
		return Spec{}, err
	}
	var s Spec
	return s, s.UnmarshalJSON(raw)
}

// MarshalJSON writes the object as it was read.
func (s Spec) MarshalJSON() ([]byte, error) {
	if len(s.Raw) == 0 {
		if s.Type == "" {
			return []byte("null"), nil
		}
		return json.Marshal(map[string]string{"type": s.Type})
	}
	return s.Raw, nil
}

// UnmarshalJSON keeps the object and reads its type. null is the zero Spec.
func (s *Spec) UnmarshalJSON(raw []byte) error {
	if strings.TrimSpace(string(raw)) == "null" {
		*s = Spec{}
		return nil
	}
	var t struct {
		Type    string  `json:"type"`
		Unknown RawJSON `json:",embed"`
	}
	if err := jsonv2.Unmarshal(raw, &t); err != nil {
		return err
	}
	*s = Spec{Type: t.Type, Raw: slices.Clone(raw)}
	return nil
}

// Decode reads the spec into v, a pointer to a struct with JSON tags. Unknown members
// are ignored: specifications may carry more than this version understands.
func (s Spec) Decode(v any) error {
	if len(s.Raw) == 0 {
		return nil
	}
	if err := jsonv2.Unmarshal(s.Raw, v); err != nil {
		return fmt.Errorf("type %s: %v: %w", s.Type, memberError(err), ErrInvalid)
	}
	return nil
}

// memberError says of a member of the wrong kind which one it is, in the words of [Field]. In YAML a bare y or no is
// a truth value and 1.0 a number, which is the usual mistake.
func memberError(err error) error {
	var e *jsonv2.SemanticError
	if !errors.As(err, &e) || e.GoType == nil || e.JSONPointer == "" || e.Err != nil {
		return err
	}
	name := strings.ReplaceAll(strings.TrimPrefix(string(e.JSONPointer), "/"), "/", ".")
	found, ok := map[jsontext.Kind]string{'"': "text", '{': "object", '[': "list", '0': "number", 't': "true", 'f': "false"}[e.JSONKind]
	if !ok {
		return err
	}
	hint := ""
	if want := kindOf(e.GoType); want == "text" && strings.ContainsRune("0tf", rune(e.JSONKind)) {
		hint = " (text that looks like a number, yes or no needs quotes)"
	}
	return fmt.Errorf("%s: expected %s, found %s%s", name, kindOf(e.GoType), found, hint)
}

// Identity is a set of attributes that tells an element, or a consumer of credentials, apart.
type Identity map[string]string

// String is "key=value,…" with sorted keys.
func (id Identity) String() string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(id)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k + "=" + id[k])
	}
	return b.String()
}

// Selects reports whether other has every pair of id.
func (id Identity) Selects(other Identity) bool {
	for k, v := range id {
		if w, ok := other[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// ParseIdentity reads the form that String writes. Keys and values must not be empty.
func ParseIdentity(s string) (Identity, error) {
	id := Identity{}
	for pair := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(pair, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" || v == "" {
			return nil, fmt.Errorf("identity %q: expected key=value,key=value: %w", s, ErrInvalid)
		}
		if _, dup := id[k]; dup {
			return nil, fmt.Errorf("identity %q: key %q stands twice: %w", s, k, ErrInvalid)
		}
		id[k] = v
	}
	return id, nil
}
