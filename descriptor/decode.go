// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
)

// Decode reads a descriptor. With an empty media type, text that begins with "{" is
// JSON and everything else YAML. The result remembers raw as its origin: raw must not
// be modified afterwards.
//
// Errors wrap [ocm.ErrInvalid] and name the place, [ocm.ErrLimit] where a limit of
// this package is crossed, and [ocm.ErrUnknownType] for an unknown media type or
// schema.
func Decode(mediaType string, raw []byte) (*ocm.Descriptor, error) {
	d, mediaType, err := decode(mediaType, raw)
	if err != nil {
		return nil, fmt.Errorf("component descriptor: %w", short(err))
	}
	d.SetOrigin(&ocm.Document{MediaType: mediaType, Bytes: raw})
	return d, nil
}

// short cuts the text of an error that quotes the document at length.
func short(err error) error {
	const enough = 600
	if len(err.Error()) <= enough {
		return err
	}
	for _, kind := range []error{ocm.ErrLimit, ocm.ErrUnknownType} {
		if errors.Is(err, kind) {
			return fmt.Errorf("%s…: %w", strings.ToValidUTF8(err.Error()[:enough], ""), kind)
		}
	}
	return fmt.Errorf("%s…: %w", strings.ToValidUTF8(err.Error()[:enough], ""), ocm.ErrInvalid)
}

func decode(mediaType string, raw []byte) (*ocm.Descriptor, string, error) {
	if len(raw) > MaxBytes {
		return nil, "", fmt.Errorf("%d bytes, at most %d are accepted: %w", len(raw), MaxBytes, ocm.ErrLimit)
	}
	text, mediaType, err := jsonText(mediaType, raw)
	if err != nil {
		return nil, "", err
	}
	d, err := parse(text)
	if err != nil {
		return nil, "", err
	}
	return d, mediaType, required(d)
}

// jsonText returns the document as JSON, and the media type of raw if it was not known.
func jsonText(mediaType string, raw []byte) (text []byte, known string, err error) {
	switch encodingOf(mediaType) {
	case jsonOrYAML:
		if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
			if mediaType == "" {
				mediaType = MediaTypeJSON
			}
			return raw, mediaType, nil
		}
		if mediaType == "" {
			mediaType = MediaTypeYAML
		}
	case yamlTar:
		if raw, err = untar(raw); err != nil {
			return nil, "", err
		}
	case unknownEncoding:
		return nil, "", fmt.Errorf("media type %q is none of a component descriptor: %w", mediaType, ocm.ErrUnknownType)
	}
	text, err = fromYAML(raw)
	return text, mediaType, err
}

// parse reads JSON of any schema.
func parse(text []byte) (*ocm.Descriptor, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("the text is not UTF-8: %w", ocm.ErrInvalid)
	}
	var head struct {
		Meta       ocm.RawJSON `json:"meta"`
		APIVersion string      `json:"apiVersion"`
		Kind       string      `json:"kind"`
	}
	if err := jsonv2.Unmarshal(text, &head); err != nil {
		return nil, Explain(err)
	}
	switch {
	case head.APIVersion == "":
		if err := walk(text, v2Shape()); err != nil {
			return nil, err
		}
		return parseV2(text)
	case head.Meta != nil:
		return nil, fmt.Errorf("both meta and apiVersion are there, which name different schemas: %w", ocm.ErrInvalid)
	case !isV3(head.APIVersion) || head.Kind != kindVersion:
		return nil, fmt.Errorf("apiVersion %q with kind %q is no schema of a component descriptor: %w",
			head.APIVersion, head.Kind, ocm.ErrUnknownType)
	}
	if err := walk(text, v3Shape()); err != nil {
		return nil, err
	}
	return parseV3(text)
}

func parseV2(text []byte) (*ocm.Descriptor, error) {
	var d plain
	if err := jsonv2.Unmarshal(text, &d); err != nil {
		return nil, Explain(err)
	}
	switch d.Meta.SchemaVersion {
	case ocm.SchemaV2:
		return (*ocm.Descriptor)(&d), nil
	case "":
		return nil, fmt.Errorf("meta.schemaVersion is missing: expected %q: %w", ocm.SchemaV2, ocm.ErrInvalid)
	}
	return nil, fmt.Errorf("meta.schemaVersion %q: only %q is understood: %w", d.Meta.SchemaVersion, ocm.SchemaV2, ocm.ErrUnknownType)
}

// required is the little that even an old document must have to be addressed and
// talked about, and a provider that all readers split in the same way.
func required(d *ocm.Descriptor) error {
	c := &d.Component
	var problems []error
	need := func(value, format string, args ...any) {
		if value == "" {
			problems = append(problems, fmt.Errorf(format+" is missing: %w", append(args, ocm.ErrInvalid)...))
		}
	}
	need(c.Name, "component.name")
	need(c.Version, "component.version")
	for member, text := range map[string]string{"name": c.Name, "version": c.Version} {
		if len(text) > MaxNameLength || strings.ContainsFunc(text, strange) {
			problems = append(problems, fmt.Errorf("component.%s %.80q: expected at most %d printable characters: %w", member, text, MaxNameLength, ocm.ErrInvalid))
		}
	}
	for i := range c.Resources {
		need(c.Resources[i].Name, "component.resources[%d].name", i)
	}
	for i := range c.Sources {
		need(c.Sources[i].Name, "component.sources[%d].name", i)
	}
	for i := range c.References {
		need(c.References[i].Name, "component.componentReferences[%d].name", i)
		need(c.References[i].ComponentName, "component.componentReferences[%d].componentName", i)
		need(c.References[i].Version, "component.componentReferences[%d].version", i)
	}
	if len(problems) > 0 {
		return problems[0]
	}
	return unambiguousProvider(c.Provider)
}

// unambiguousProvider refuses a JSON object in the provider text that readers would
// understand differently. Text that is no JSON at all is left alone: existing tools
// take it for the name.
func unambiguousProvider(p ocm.Provider) error {
	if text := []byte(p); bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) && json.Valid(text) {
		if err := walk(text, providerShape()); err != nil {
			return fmt.Errorf("component.provider: %w", err)
		}
	}
	return nil
}

// Explain says in words of the document, not of Go, what is wrong with its JSON. It is an [ocm.ErrInvalid].
func Explain(err error) error {
	var path string
	for e := err; ; {
		var s *jsonv2.SemanticError
		if !errors.As(e, &s) {
			if path == "" {
				return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
			}
			return fmt.Errorf("%s: %w: %w", path, e, ocm.ErrInvalid)
		}
		path = join(path, s.JSONPointer)
		if s.Err != nil && errors.As(s.Err, new(*jsonv2.SemanticError)) {
			e = s.Err // a spec inside the document: its own path comes after ours
			continue
		}
		switch {
		case errors.Is(s.Err, jsonv2.ErrUnknownName):
			return fmt.Errorf("%s: unknown member: %w", path, ocm.ErrInvalid)
		case s.GoType == nil || s.JSONKind == 0:
			return fmt.Errorf("%s: %w: %w", path, err, ocm.ErrInvalid)
		}
		return fmt.Errorf("%s: %w", path, mismatch(s))
	}
}

func mismatch(s *jsonv2.SemanticError) error {
	want := kindNames[s.GoType.Kind()]
	if want == "" {
		want = "another kind of value"
	}
	hint := ""
	if want == "text" && (s.JSONKind == '0' || s.JSONKind == 't' || s.JSONKind == 'f') {
		hint = " (quote it)"
	}
	return fmt.Errorf("expected %s, found %s%s: %w", want, jsonKinds[s.JSONKind], hint, ocm.ErrInvalid)
}
