// SPDX-License-Identifier: Apache-2.0

package descriptor_test

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v2"

	"ocm"
	"ocm/descriptor"
)

// asYAML writes d as others write descriptors in YAML. It says the same as [descriptor.JSON], with the members
// in the same order; text that YAML would read as something else is quoted. What YAML cannot say
// is [ocm.ErrInvalid]: a number beyond the range of a double, and the key "<<".
func asYAML(d *ocm.Descriptor) ([]byte, error) {
	raw, err := descriptor.JSON(d)
	if err != nil {
		return nil, err
	}
	v, err := toYAML(jsontext.NewDecoder(bytes.NewBuffer(raw)))
	if err != nil {
		return nil, fmt.Errorf("component descriptor %s:%s cannot be written as YAML: %w", d.Component.Name, d.Component.Version, err)
	}
	return yaml.Marshal(v)
}

// toYAML makes of one JSON value what the YAML writer expects. The text was checked
// before, so that nesting is bounded and tokens come without errors.
func toYAML(dec *jsontext.Decoder) (any, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '{':
		m := yaml.MapSlice{}
		for dec.PeekKind() != '}' {
			name, err := dec.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if key == "<<" { // would be written unquoted, and read as a merge
				return nil, fmt.Errorf("key %q has a meaning in YAML: %w", key, ocm.ErrInvalid)
			}
			value, err := toYAML(dec)
			if err != nil {
				return nil, err
			}
			m = append(m, yaml.MapItem{Key: key, Value: value})
		}
		_, err = dec.ReadToken()
		return m, err
	case '[':
		l := []any{}
		for dec.PeekKind() != ']' {
			value, err := toYAML(dec)
			if err != nil {
				return nil, err
			}
			l = append(l, value)
		}
		_, err = dec.ReadToken()
		return l, err
	case '"':
		return token.String(), nil
	case '0':
		return number(token.String())
	case 'n':
		return nil, nil
	}
	return token.Bool(), nil
}

// number keeps integers of 64 bits exact; everything else is a double, as in all of JSON's readers.
func number(s string) (any, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return u, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("number %.40s is out of range: %w", s, ocm.ErrInvalid)
	}
	return f, nil
}
