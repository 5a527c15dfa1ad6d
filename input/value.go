// SPDX-License-Identifier: Apache-2.0

package input

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"sigs.k8s.io/yaml"

	"ocm"
)

// UTF8 is a value from the constructor, in exactly one of four forms.
var UTF8 = ocm.Method{
	Type: ocm.Type{
		Names:  []string{"utf8", "utf8/v1", "UTF8", "UTF8/v1"},
		About:  "A text or value that stands in the constructor: exactly one of text, json, formattedJson and yaml.",
		Fields: ocm.FieldsOf(utf8Spec{}),
	},
	Opener: ocm.OpenerFunc(openUTF8),
}

type utf8Spec struct {
	Text          *string     `json:"text" about:"the text as it is"`
	JSON          ocm.RawJSON `json:"json" about:"a value, written as compact JSON with sorted keys"`
	FormattedJSON ocm.RawJSON `json:"formattedJson" about:"a value, written as JSON indented by two spaces, with sorted keys"`
	YAML          ocm.RawJSON `json:"yaml" about:"a value, written as YAML with sorted keys"`
	MediaType     string      `json:"mediaType" about:"media type; default text/plain, application/json or application/x-yaml"`
	Compress      bool        `json:"compress" about:"compress with gzip"`
}

func openUTF8(ctx context.Context, _ *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var u utf8Spec
	if err := s.Members(&u); err != nil {
		return ocm.Content{}, err
	}
	forms := 0
	for _, given := range []bool{u.Text != nil, u.JSON != nil, u.FormattedJSON != nil, u.YAML != nil} {
		if given {
			forms++
		}
	}
	if forms != 1 {
		return ocm.Content{}, fmt.Errorf("input %s: expected exactly one of text, json, formattedJson and yaml, found %d: %w", s.Type, forms, ocm.ErrInvalid)
	}
	b, mediaType, err := u.encode()
	if err != nil {
		return ocm.Content{}, fmt.Errorf("input %s: %w", s.Type, err)
	}
	return inline(ctx, s, orElse(u.MediaType, mediaType), b, u.Compress)
}

// encode returns the value's bytes and their usual media type.
func (u *utf8Spec) encode() ([]byte, string, error) {
	switch {
	case u.Text != nil:
		return []byte(*u.Text), "text/plain", nil
	case u.JSON != nil:
		b, err := sorted(u.JSON)
		return b, "application/json", err
	case u.FormattedJSON != nil:
		b, err := sorted(u.FormattedJSON, jsontext.WithIndent("  "))
		return b, "application/json", err
	}
	b, err := sorted(u.YAML)
	if err != nil {
		return nil, "", err
	}
	b, err = yaml.JSONToYAML(b)
	if err != nil {
		return nil, "", fmt.Errorf("yaml: %v: %w", err, ocm.ErrInvalid)
	}
	return b, "application/x-yaml", nil
}

// sorted formats a value with its keys sorted. Numbers and strings stay as they were written.
func sorted(v ocm.RawJSON, opts ...jsontext.Options) ([]byte, error) {
	if len(v) > MaxInline {
		return nil, fmt.Errorf("%d bytes, accepted are %d: %w", len(v), MaxInline, ocm.ErrLimit)
	}
	// Depth is bounded because indentation makes the result grow with its square.
	for dec := jsontext.NewDecoder(bytes.NewReader(v)); ; {
		_, err := dec.ReadToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
		}
		if dec.StackDepth() > MaxInlineDepth {
			return nil, fmt.Errorf("values nested more than %d deep: %w", MaxInlineDepth, ocm.ErrLimit)
		}
	}
	v = v.Clone()
	opts = append(opts, jsontext.ReorderRawObjects(true), jsontext.PreserveRawStrings(true),
		jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	if err := v.Format(opts...); err != nil {
		return nil, fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	return v, nil
}

// Binary is a value from the constructor in base64.
var Binary = ocm.Method{
	Type: ocm.Type{
		Names:  []string{"binary", "binary/v1", "Binary", "Binary/v1"},
		About:  "Bytes that stand in the constructor, in base64.",
		Fields: ocm.FieldsOf(binarySpec{}),
	},
	Opener: ocm.OpenerFunc(openBinary),
}

type binarySpec struct {
	Data      *string `json:"data" need:"yes" about:"the bytes in base64; line breaks are ignored"`
	MediaType string  `json:"mediaType" about:"media type; default application/octet-stream"`
	Compress  bool    `json:"compress" about:"compress with gzip"`
}

func openBinary(ctx context.Context, _ *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var b binarySpec
	if err := s.Members(&b); err != nil {
		return ocm.Content{}, err
	}
	// Line breaks are ignored by the decoder; a block of text in YAML may also be indented.
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(*b.Data))
	if err != nil {
		return ocm.Content{}, fmt.Errorf("input %s: data: %v: %w", s.Type, err, ocm.ErrInvalid)
	}
	return inline(ctx, s, orElse(b.MediaType, "application/octet-stream"), raw, b.Compress)
}
