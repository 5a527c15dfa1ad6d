// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v2" // the parser inside sigs.k8s.io/yaml, which all existing tools use

	"ocm"
)

// fromYAML returns the JSON of the one document in raw. Keys are sorted: their order
// has no meaning.
func fromYAML(raw []byte) (text []byte, err error) {
	// The parser ends in a panic where it does not know how to go on.
	defer func() {
		if p := recover(); p != nil {
			text, err = nil, fmt.Errorf("YAML: %v: %w", p, ocm.ErrInvalid)
		}
	}()
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("the text is not UTF-8: %w", ocm.ErrInvalid)
	}
	if n := nodeBound(raw); n > MaxValues {
		return nil, fmt.Errorf("YAML: up to %d values, at most %d are accepted: %w", n, MaxValues, ocm.ErrLimit)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.SetStrict(true) // refuses duplicate keys
	var v, more any
	if err := dec.Decode(&v); err != nil {
		return nil, firstError(eof(err))
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		return nil, fmt.Errorf("YAML: there is more than one document: %w", ocm.ErrInvalid)
	case !errors.Is(err, io.EOF):
		return nil, firstError(err)
	}
	var out bounded
	enc := jsontext.NewEncoder(&out)
	if err := writeJSON(enc, v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// firstError leaves of a list of errors, which can be as long as the document, the first.
func firstError(err error) error {
	var list *yaml.TypeError
	if errors.As(err, &list) && len(list.Errors) > 0 {
		return fmt.Errorf("YAML: %s: %w", list.Errors[0], ocm.ErrInvalid)
	}
	return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
}

// nodeBound is at least the number of values that the parser finds in raw: each but the
// first, not counting keys, stands after one of these. The parser builds its whole
// tree first, and needs a hundred times the memory of the shortest values for it.
func nodeBound(raw []byte) int {
	n := 1
	for i, c := range raw {
		switch c {
		case '\n', '\r', ',', '[', '{':
			n++
		case ' ', '\t':
			if i > 0 && (raw[i-1] == '-' || raw[i-1] == '?') {
				n++
			}
		case 0x85, 0xa8, 0xa9: // last byte of the line breaks U+0085, U+2028, U+2029
			if i > 0 && (raw[i-1] == 0xc2 || raw[i-1] == 0x80) {
				n++
			}
		}
	}
	return n
}

// bounded is a buffer that holds no more than a document may have.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxBytes {
		return 0, fmt.Errorf("YAML: more than %d bytes as JSON, aliases expanded: %w", MaxBytes, ocm.ErrLimit)
	}
	return b.Buffer.Write(p)
}

// writeJSON writes what the YAML parser returned, with the conversions of
// sigs.k8s.io/yaml: keys that are no text become text. Two keys that become the same
// text are refused by the encoder.
func writeJSON(enc *jsontext.Encoder, v any) error {
	where := func() string { return join("", enc.StackPointer()) }
	if enc.StackDepth() > MaxDepth {
		return fmt.Errorf("YAML: %s: nested deeper than %d: %w", where(), MaxDepth, ocm.ErrLimit)
	}
	var token jsontext.Token
	switch v := v.(type) {
	case map[any]any:
		return writeObject(enc, v)
	case []any:
		return writeList(enc, v)
	case nil:
		token = jsontext.Null
	case string:
		token = jsontext.String(v)
	case bool:
		token = jsontext.Bool(v)
	case int:
		token = jsontext.Int(int64(v))
	case int64:
		token = jsontext.Int(v)
	case uint64:
		token = jsontext.Uint(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("YAML: %s: %v is no JSON number: %w", where(), v, ocm.ErrInvalid)
		}
		token = jsontext.Float(v)
	default:
		return fmt.Errorf("YAML: %s: a value of type %T has no JSON form: %w", where(), v, ocm.ErrInvalid)
	}
	return encoded(enc.WriteToken(token))
}

func writeList(enc *jsontext.Encoder, list []any) error {
	if err := enc.WriteToken(jsontext.BeginArray); err != nil {
		return encoded(err)
	}
	for _, v := range list {
		if err := writeJSON(enc, v); err != nil {
			return err
		}
	}
	return encoded(enc.WriteToken(jsontext.EndArray))
}

func writeObject(enc *jsontext.Encoder, m map[any]any) error {
	members := make(map[string]any, len(m))
	for k, v := range m {
		name, err := keyText(k)
		if err != nil {
			return fmt.Errorf("YAML: %s: %w", join("", enc.StackPointer()), err)
		}
		if _, dup := members[name]; dup {
			return fmt.Errorf("YAML: %s: key %q is there twice: %w", join("", enc.StackPointer()), name, ocm.ErrInvalid)
		}
		members[name] = v
	}
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return encoded(err)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := enc.WriteToken(jsontext.String(name)); err != nil {
			return encoded(err)
		}
		if err := writeJSON(enc, members[name]); err != nil {
			return err
		}
	}
	return encoded(enc.WriteToken(jsontext.EndObject))
}

// keyText is the JSON name of a YAML key. Beware: y, n, on and off are booleans.
func keyText(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case bool:
		return strconv.FormatBool(k), nil
	case int:
		return strconv.Itoa(k), nil
	case int64:
		return strconv.FormatInt(k, 10), nil
	}
	return "", fmt.Errorf("key %v is no text (quote it): %w", k, ocm.ErrInvalid)
}

// encoded marks an error of the encoder as one of the input.
func encoded(err error) error {
	if err == nil || errors.Is(err, ocm.ErrLimit) {
		return err
	}
	return fmt.Errorf("YAML: %w: %w", err, ocm.ErrInvalid)
}
