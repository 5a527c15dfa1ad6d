// SPDX-License-Identifier: Apache-2.0

package normalise

import (
	"bytes"
	"fmt"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ocm"
)

// Normalise returns the canonical bytes of d. It does not modify d.
//
// Errors: [ocm.ErrUnknownType] for an unknown algorithm; [ocm.ErrInvalid] where the
// tool that the algorithm belongs to could not have read the descriptor, or where a
// label's value is no JSON with one meaning.
func Normalise(d *ocm.Descriptor, algorithm string) ([]byte, error) {
	raw, err := normalise(d, algorithm)
	if err != nil {
		return nil, fmt.Errorf("%s of %s:%s: %w", algorithm, d.Component.Name, d.Component.Version, err)
	}
	return raw, nil
}

func normalise(d *ocm.Descriptor, algorithm string) ([]byte, error) {
	switch algorithm {
	case V1:
		doc, err := entryDocument(d)
		if err != nil {
			return nil, err
		}
		return entryLists(doc)
	case V2, V3, V4:
		return canonical(d, variantOf(algorithm))
	}
	return nil, fmt.Errorf("unknown normalisation algorithm, expected one of %s, %s, %s, %s: %w", V1, V2, V3, V4, ocm.ErrUnknownType)
}

// Candidates returns the byte sequences whose digest is accepted under an algorithm
// name: first the canonical one, then, for [V3] and [V4] only, those that result if
// the tool that signed treated a corner case as the other tool does. There are at
// most five, all different.
//
// No candidate covers less than the first. [V4] leaves out versions and null members
// of labels; forms of it that keep them are accepted. [V3] covers both; a form of it
// that leaves them out is not accepted, or anybody could add them to a signed
// descriptor, and no existing tool stores such a digest under that name.
func Candidates(d *ocm.Descriptor, algorithm string) ([][]byte, error) {
	list, err := forms(d, algorithm)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(list))
	for i, f := range list {
		out[i] = f.raw
	}
	return out, nil
}

// form is one of the candidates.
type form struct {
	variant
	raw []byte
}

func forms(d *ocm.Descriptor, algorithm string) ([]form, error) {
	first, err := Normalise(d, algorithm)
	if err != nil {
		return nil, err
	}
	list := []form{{variantOf(algorithm), first}}
	for _, v := range alternatives(algorithm) {
		raw, err := canonical(d, v)
		if err != nil {
			continue // nobody can have signed this form
		}
		if !slices.ContainsFunc(list, func(have form) bool { return bytes.Equal(have.raw, raw) }) {
			list = append(list, form{v, raw})
		}
	}
	return list, nil
}

// variantOf is the first form of an algorithm.
func variantOf(algorithm string) variant {
	switch algorithm {
	case V1, V2:
		return variant{identityDefaults: true}
	case V4:
		return v4
	}
	return variant{}
}

// alternatives are the other forms of an algorithm, likely ones first.
func alternatives(algorithm string) []variant {
	switch algorithm {
	case V3:
		return []variant{
			{emptyDigests: true, rawTime: true},
			{emptyDigests: true},
			{rawTime: true},
		}
	case V4:
		return []variant{
			{rawTime: true, emptyDigests: true},
			{rawTime: true, emptyDigests: true, dropNulls: true},
			{rawTime: true, emptyDigests: true, plainLabels: true},
			{rawTime: true},
		}
	}
	return nil
}

// canonical is the RFC 8785 form of the component.
//
// jsontext serialises. It agrees with gowebpki/jcs (the fuzz test compares them), takes
// a fifth of the time, and is in use anyway. Its one weakness, to make a number beyond
// the range of a double the largest double, cannot show here: the tree holds float64
// values only, and whatever is none was refused when the tree was built.
func canonical(d *ocm.Descriptor, v variant) ([]byte, error) {
	c, err := v.component(&d.Component)
	if err != nil {
		return nil, err
	}
	text, err := jsonv2.Marshal(object{"component": c})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	raw := jsontext.Value(text)
	if err := raw.Canonicalize(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return raw, nil
}
