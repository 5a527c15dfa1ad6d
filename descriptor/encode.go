// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"bytes"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"ocm"
)

// plain is the descriptor without its methods, so that options reach its fields.
type plain ocm.Descriptor

// Encode returns the document to store for d. If d says what the document said that
// it was decoded from, it is that very document, bytes and media type; otherwise it
// is [JSON] with [MediaTypeJSON].
func Encode(d *ocm.Descriptor) (*ocm.Document, error) {
	origin := d.Origin()
	if origin != nil && unmodified(d, origin) {
		return &ocm.Document{MediaType: origin.MediaType, Bytes: origin.Bytes}, nil
	}
	raw, err := JSON(d)
	if err != nil {
		return nil, err
	}
	return &ocm.Document{MediaType: MediaTypeJSON, Bytes: raw}, nil
}

// unmodified decodes the origin again instead of trusting a flag: nothing needs to be
// said when a descriptor is changed, and nothing can be forgotten.
func unmodified(d *ocm.Descriptor, origin *ocm.Document) bool {
	before, _, err := decode(origin.MediaType, origin.Bytes)
	if err != nil {
		return false
	}
	was, err := marshal((*plain)(before))
	if err != nil {
		return false
	}
	is, err := marshal((*plain)(d))
	return err == nil && bytes.Equal(was, is)
}

// JSON writes d as compact JSON of schema v2, the same bytes for the same content.
// Lists that must be there are never null. The result can be read by [Decode]: the
// same limits hold, and unknown members that clash with known ones are an error.
func JSON(d *ocm.Descriptor) ([]byte, error) {
	p := plain(*d)
	p.Meta.SchemaVersion = ocm.SchemaV2
	raw, err := marshal(&p)
	if err != nil {
		return nil, fmt.Errorf("component descriptor %s:%s cannot be written: %w: %w", d.Component.Name, d.Component.Version, err, ocm.ErrInvalid)
	}
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("component descriptor %s:%s has %d bytes, at most %d are accepted: %w",
			d.Component.Name, d.Component.Version, len(raw), MaxBytes, ocm.ErrLimit)
	}
	if err := walk(raw, v2Shape()); err != nil {
		return nil, fmt.Errorf("component descriptor %s:%s cannot be written: %w", d.Component.Name, d.Component.Version, err)
	}
	return raw, nil
}

func marshal(p *plain) ([]byte, error) {
	return jsonv2.Marshal(p, jsonv2.Deterministic(true),
		jsonv1.OmitEmptyWithLegacySemantics(true)) // "signing": false is not written
}
