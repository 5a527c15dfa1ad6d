// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/descriptor"
	"ocm/graph"
)

// DocumentType is the type of a plan that was written down.
const DocumentType = "transferPlan.ocm.software/v1"

// Limits of a plan that is read, in bytes.
const (
	MaxDocument     = 64 << 20
	MaxDocumentYAML = 8 << 20 // its reader needs a multiple of that
)

// Document is a plan as it is written down, reviewed and made again. It names what is moved by digest,
// and never holds credentials: its addresses cannot carry any.
type Document struct {
	Type     string            `json:"type"`
	Source   Source            `json:"source"`
	Target   string            `json:"target"` // as in [ocm.ParseRepository]
	Options  Options           `json:"options"`
	Totals   Totals            `json:"totals"`   // for people
	Versions []DocumentVersion `json:"versions"` // children before parents
}

// Source says where the versions were found.
type Source struct {
	Reference      string   `json:"reference"` // what was asked for, as in [ocm.ParseCoordinates] or [ocm.ParseRepository]
	Roots          []string `json:"roots"`     // name:version of those that were selected
	Recursive      bool     `json:"recursive,omitzero"`
	StopOnExisting bool     `json:"stopOnExisting,omitzero"` // versions that the target has were not looked behind
	Lookup         []string `json:"lookup,omitempty"`        // more repositories, as in [ocm.ParseRepository]
}

// DocumentVersion is what a plan says of one component version.
type DocumentVersion struct {
	Component  string        `json:"component"`
	Version    string        `json:"version"`
	Manifest   digest.Digest `json:"manifest"`           // of the version at the source
	Descriptor digest.Digest `json:"descriptor"`         // of the document that describes it
	State      string        `json:"state"`              // of the target
	Replaces   digest.Digest `json:"replaces,omitempty"` // manifest of the target that is merged with or overwritten
	Moves      []Move        `json:"moves"`
	Attached   []string      `json:"attached,omitempty"` // to the manifest of the version; see [VersionPlan]
	Notes      []string      `json:"notes,omitempty"`
}

func (v *DocumentVersion) key() string { return v.Component + ":" + v.Version }

// Document writes a plan down. target is its name as [ocm.ParseRepository] reads it.
func (p *Plan) Document(source Source, target string) *Document {
	d := &Document{Type: DocumentType, Source: source, Target: target, Options: p.o, Totals: p.Totals()}
	for _, vp := range p.Versions {
		c := &vp.node.Descriptor().Component
		v := DocumentVersion{
			Component: c.Name, Version: c.Version, Manifest: vp.node.Manifest().Digest, Descriptor: descriptorDigest(vp.node),
			State: vp.State, Moves: vp.Moves, Attached: vp.Attached, Notes: vp.Notes,
		}
		if vp.State == Merge || vp.State == Overwrite {
			v.Replaces = vp.base.Manifest().Digest
		}
		d.Versions = append(d.Versions, v)
	}
	return d
}

func descriptorDigest(v ocm.Version) digest.Digest {
	if o := v.Descriptor().Origin(); o != nil {
		return digest.FromBytes(o.Bytes)
	}
	return ""
}

// ParseDocument reads a plan that was written down as JSON or YAML. It is not trusted: unknown and
// duplicate members are [ocm.ErrInvalid], more than [MaxDocument] bytes [ocm.ErrLimit].
func ParseDocument(r io.Reader) (*Document, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("plan: more than %d bytes: %w", MaxDocument, ocm.ErrLimit)
	}
	d, err := parseDocument(raw)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return d, d.check()
}

func parseDocument(raw []byte) (*Document, error) {
	if text := bytes.TrimSpace(raw); len(text) == 0 || text[0] != '{' {
		if len(raw) > MaxDocumentYAML {
			return nil, fmt.Errorf("more than %d bytes of YAML (JSON may be longer): %w", MaxDocumentYAML, ocm.ErrLimit)
		}
		if err := descriptor.CheckAliases(raw, MaxDocumentYAML); err != nil {
			return nil, err
		}
		var err error
		if raw, err = yaml.YAMLToJSONStrict(raw); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
		}
	}
	var d Document
	if err := jsonv2.Unmarshal(raw, &d, jsonv2.RejectUnknownMembers(true)); err != nil {
		var other struct {
			Transformations ocm.RawJSON `json:"transformations"`
		}
		if jsonv2.Unmarshal(raw, &other) == nil && other.Transformations != nil {
			return nil, fmt.Errorf("this is a transformation graph of another tool, which is not understood; ocm transfer cv --dry-run -o json writes a plan: %w", ocm.ErrInvalid)
		}
		return nil, descriptor.Explain(err)
	}
	return &d, nil
}

// check refuses what no plan says.
func (d *Document) check() error {
	switch {
	case d.Type != DocumentType:
		return fmt.Errorf("plan: expected type %s, found %.100q: %w", DocumentType, d.Type, ocm.ErrInvalid)
	case d.Source.Reference == "" || len(d.Source.Roots) == 0 || d.Target == "":
		return fmt.Errorf("plan: source.reference, source.roots or target is missing: %w", ocm.ErrInvalid)
	case len(d.Versions) > graph.MaxVersions:
		return fmt.Errorf("plan: %d versions, accepted are %d: %w", len(d.Versions), graph.MaxVersions, ocm.ErrLimit)
	}
	seen := make(map[string]bool, len(d.Versions))
	for i := range d.Versions {
		v := &d.Versions[i]
		if err := v.check(); err != nil {
			return fmt.Errorf("plan: version %d: %w", i, err)
		}
		if seen[v.key()] {
			return fmt.Errorf("plan: %s is there twice: %w", v.key(), ocm.ErrInvalid)
		}
		seen[v.key()] = true
	}
	return nil
}

func (v *DocumentVersion) check() error {
	if err := errors.Join(descriptor.CheckName(v.Component), descriptor.CheckVersion(v.Version)); err != nil {
		return err
	}
	for _, d := range []digest.Digest{v.Manifest, v.Descriptor, v.Replaces} {
		if d != "" && d.Validate() != nil {
			return fmt.Errorf("%s: %.100q is no digest: %w", v.key(), d, ocm.ErrInvalid)
		}
	}
	if v.Manifest == "" {
		return fmt.Errorf("%s: the digest of its manifest is missing: %w", v.key(), ocm.ErrInvalid)
	}
	if !slices.Contains([]string{Absent, Identical, Complete, Merge, Overwrite, Kept}, v.State) {
		return fmt.Errorf("%s: state %.40q is none: %w", v.key(), v.State, ocm.ErrInvalid)
	}
	for i := range v.Moves {
		m := &v.Moves[i]
		if !slices.Contains([]string{Copy, Upload, Keep, Omit, Attach}, m.Action) || m.Digest != "" && m.Digest.Validate() != nil || m.Replaces != "" && m.Replaces.Validate() != nil {
			return fmt.Errorf("%s: %.40s %.100q: its action or digest is none: %w", v.key(), m.Kind, m.Element, ocm.ErrInvalid)
		}
	}
	return nil
}
