// SPDX-License-Identifier: Apache-2.0

package normalise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"ocm"
)

// signedLabels adds the labels that are marked for signing, in their order, each with
// what is covered of it.
func (v variant) signedLabels(o object, where string, labels []ocm.Label) error {
	var l list
	for i := range labels {
		if !labels[i].Signing {
			continue
		}
		label, err := v.label(&labels[i])
		if err != nil {
			return fmt.Errorf("%s.labels[%d] %q: %w", where, i, labels[i].Name, err)
		}
		l = append(l, label)
	}
	if len(l) > 0 {
		o["labels"] = l
	}
	return nil
}

// allLabels adds all labels with all their members.
func (v variant) allLabels(o object, where string, labels []ocm.Label) error {
	var l list
	for i := range labels {
		label, err := v.label(&labels[i])
		if err == nil && labels[i].Merge != nil && !v.plainLabels {
			label["merge"], err = v.merge(labels[i].Merge)
		}
		if err != nil {
			return fmt.Errorf("%s.labels[%d] %q: %w", where, i, labels[i].Name, err)
		}
		l = append(l, label)
	}
	if len(l) > 0 {
		o["labels"] = l
	}
	return nil
}

func (v variant) label(label *ocm.Label) (object, error) {
	value, err := v.parse(label.Value)
	if err != nil {
		return nil, err
	}
	o := object{"name": label.Name, "value": value}
	if value == nil && v.dropNulls {
		delete(o, "value")
	}
	if label.Version != "" && !v.plainLabels {
		o["version"] = label.Version
	}
	if label.Signing {
		o["signing"] = true
	}
	return o, nil
}

func (v variant) merge(m *ocm.MergeSpec) (object, error) {
	o := object{"algorithm": m.Algorithm}
	if len(m.Config) == 0 {
		return o, nil
	}
	var err error
	o["config"], err = v.parse(m.Config)
	return o, err
}

// parse reads a label's value. Duplicate keys, bad UTF-8, halves of surrogate pairs
// and numbers beyond a double are errors: there is no one value that they mean.
func (v variant) parse(raw ocm.RawJSON) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	value, err := v.value(dec)
	if err != nil {
		if errors.Is(err, ocm.ErrLimit) {
			return nil, err
		}
		return nil, fmt.Errorf("value: %w: %w", err, ocm.ErrInvalid)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("value: something follows the JSON: %w", ocm.ErrInvalid)
	}
	return value, nil
}

func (v variant) value(dec *jsontext.Decoder) (any, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	if dec.StackDepth() > MaxDepth {
		return nil, fmt.Errorf("value is nested deeper than %d: %w", MaxDepth, ocm.ErrLimit)
	}
	switch token.Kind() {
	case '{':
		return v.members(dec)
	case '[':
		l := list{}
		for dec.PeekKind() != ']' {
			item, err := v.value(dec)
			if err != nil {
				return nil, err
			}
			l = append(l, item) // null stays, in every form
		}
		_, err = dec.ReadToken()
		return l, err
	case '"':
		return token.String(), nil
	case '0':
		s := token.String()
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("number %.40s is out of range", s)
		}
		return f, nil
	case 'n':
		return nil, nil
	}
	return token.Bool(), nil
}

func (v variant) members(dec *jsontext.Decoder) (object, error) {
	o := object{}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String() // before the next token is read
		value, err := v.value(dec)
		if err != nil {
			return nil, err
		}
		if value == nil && v.dropNulls {
			continue
		}
		o[key] = value
	}
	_, err := dec.ReadToken()
	return o, err
}
