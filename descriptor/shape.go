// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"ocm"
)

// shape lists the members of an object of the model, or of every object in a list of
// them. A nil shape is free JSON, which is not looked into.
type shape map[string]shape

func specShape() shape     { return shape{"type": nil} }
func digestShape() shape   { return names("hashAlgorithm", "normalisationAlgorithm", "value") }
func providerShape() shape { return shape{"name": nil, "labels": labelShape()} }

func labelShape() shape {
	s := names("name", "value", "version", "signing")
	s["merge"] = names("algorithm", "config")
	return s
}

func resourceShape() shape {
	return shape{
		"name": nil, "version": nil, "extraIdentity": nil, "labels": labelShape(),
		"type": nil, "relation": nil, "access": specShape(), "digest": digestShape(),
		"srcRefs": {"identitySelector": nil, "labels": labelShape()},
	}
}

func sourceShape() shape {
	return shape{
		"name": nil, "version": nil, "extraIdentity": nil, "labels": labelShape(),
		"type": nil, "access": specShape(),
	}
}

func referenceShape() shape {
	return shape{
		"name": nil, "version": nil, "extraIdentity": nil, "labels": labelShape(),
		"componentName": nil, "digest": digestShape(),
	}
}

func signatureShape() shape {
	return shape{
		"name": nil, "digest": digestShape(),
		"signature": names("algorithm", "mediaType", "value", "issuer"),
		"timestamp": names("value", "time"),
	}
}

func nestedShape() shape {
	return shape{
		"name": nil, "version": nil, "digest": digestShape(),
		"resourceDigests": {"name": nil, "version": nil, "extraIdentity": nil, "digest": digestShape()},
	}
}

// v2Shape knows the members that select the other schema, too, so that no variant of
// them passes as an unknown member.
func v2Shape() shape {
	return shape{
		"apiVersion": nil, "kind": nil,
		"meta": names("schemaVersion"),
		"component": {
			"name": nil, "version": nil, "creationTime": nil, "provider": nil, "labels": labelShape(),
			"repositoryContexts": specShape(), "resources": resourceShape(),
			"sources": sourceShape(), "componentReferences": referenceShape(),
		},
		"signatures": signatureShape(), "nestedDigests": nestedShape(),
	}
}

func v3Shape() shape {
	return shape{
		"apiVersion": nil, "kind": nil, "meta": nil,
		"metadata": {
			"name": nil, "version": nil, "creationTime": nil, "provider": providerShape(), "labels": labelShape(),
		},
		"repositoryContexts": specShape(),
		"spec":               {"resources": resourceShape(), "sources": sourceShape(), "references": referenceShape()},
		"signatures":         signatureShape(), "nestedDigests": nestedShape(),
	}
}

func names(members ...string) shape {
	s := make(shape, len(members)+1)
	for _, m := range members {
		s[m] = nil
	}
	return s
}

// walk reads a whole JSON text once, before anything is made of it: it enforces the
// limits and refuses keys that readers would understand differently.
func walk(text []byte, s shape) error {
	w := walker{dec: jsontext.NewDecoder(bytes.NewBuffer(text))} // refuses duplicate names and bad UTF-8
	if err := w.value(s); err != nil {
		return err
	}
	if _, err := w.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows the document at byte %d: %w", w.dec.InputOffset(), ocm.ErrInvalid)
	}
	return nil
}

type walker struct {
	dec      *jsontext.Decoder
	values   int
	elements int
}

func (w *walker) value(s shape) error {
	if w.values++; w.values > MaxValues {
		return fmt.Errorf("more than %d values: %w", MaxValues, ocm.ErrLimit)
	}
	kind := w.dec.PeekKind()
	if (kind == '{' || kind == '[') && w.dec.StackDepth() >= MaxDepth {
		return fmt.Errorf("%s: nested deeper than %d: %w", join("", w.dec.StackPointer()), MaxDepth, ocm.ErrLimit)
	}
	if _, err := w.dec.ReadToken(); err != nil {
		return fmt.Errorf("%w: %w", eof(err), ocm.ErrInvalid)
	}
	switch kind {
	case '{':
		return w.object(s)
	case '[':
		return w.list(s)
	}
	return nil
}

func (w *walker) list(s shape) error {
	for w.dec.PeekKind() != ']' {
		if s != nil {
			w.elements++
		}
		if w.elements > MaxElements {
			return fmt.Errorf("%s: more than %d list entries in the document: %w", join("", w.dec.StackPointer()), MaxElements, ocm.ErrLimit)
		}
		if err := w.value(s); err != nil {
			return err
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

func (w *walker) object(s shape) error {
	var folded map[string]string // names that the model does not know
	for w.dec.PeekKind() != '}' {
		token, err := w.dec.ReadToken()
		if err != nil {
			return fmt.Errorf("%w: %w", eof(err), ocm.ErrInvalid)
		}
		var next shape
		if s != nil {
			name := token.String()
			var known bool
			if next, known = s[name]; !known {
				if folded == nil {
					folded = map[string]string{}
				}
				if err := w.foreign(s, folded, name); err != nil {
					return err
				}
			}
		}
		if err := w.value(next); err != nil {
			return err
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// foreign refuses an unknown name that differs only by case from a known one or from
// another unknown one: readers that ignore case would take one for the other.
func (w *walker) foreign(s shape, folded map[string]string, name string) error {
	refuse := func(other string) error {
		return fmt.Errorf("%s: %q differs from %q only by case, and some readers take one for the other: %w",
			join("", w.dec.StackPointer()), name, other, ocm.ErrInvalid)
	}
	for known := range s {
		if strings.EqualFold(known, name) {
			return refuse(known)
		}
	}
	key := strings.ToLower(strings.ToUpper(name))
	if other, ok := folded[key]; ok {
		return refuse(other)
	}
	folded[key] = name
	return nil
}

// eof makes an unfinished text an error of its own: io.EOF alone reads like an end.
func eof(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
