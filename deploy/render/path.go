// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"strconv"
	"strings"

	"ocm"
)

// Limits of the paths of localization.
const (
	maxPath  = 1024 // bytes
	maxSteps = 32
)

// step is one step of a path into an object: a key, an element of a list by its number, by one of its fields, or all elements.
type step struct {
	key   string // of an object, or of the field that chooses an element
	value string // of that field
	index int
	kind  stepKind
}

type stepKind int

const (
	byKey stepKind = iota
	byIndex
	byField
	byAll
)

// parsePath reads a path such as spec.containers[name=web].image, a.b[0].c, or items[*].image. A backslash takes the character behind
// it as it is: metadata.annotations.example\.org/image. [ocm.ErrInvalid] tells the place.
func parsePath(text string) ([]step, error) {
	p := pathParser{rest: text}
	steps, err := p.parse()
	if err == nil && (len(text) > maxPath || len(steps) > maxSteps) {
		err = fmt.Errorf("longer than %d bytes or %d steps: %w", maxPath, maxSteps, ocm.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("path %.200q: %w", text, err)
	}
	return steps, nil
}

type pathParser struct{ rest string }

func (p *pathParser) parse() ([]step, error) {
	var steps []step
	for {
		key, err := p.text(".[")
		if err != nil {
			return nil, err
		}
		if key == "" {
			return nil, p.expected("a key")
		}
		steps = append(steps, step{kind: byKey, key: key})
		for strings.HasPrefix(p.rest, "[") {
			s, err := p.element()
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
		}
		if p.rest == "" {
			return steps, nil
		}
		if p.rest[0] != '.' {
			return nil, p.expected("a dot")
		}
		p.rest = p.rest[1:]
	}
}

// element reads what stands in brackets.
func (p *pathParser) element() (step, error) {
	p.rest = p.rest[1:]
	text, err := p.text("=]")
	if err != nil {
		return step{}, err
	}
	if value, ok := strings.CutPrefix(p.rest, "="); ok && text != "" {
		p.rest = value
		if value, err = p.text("]"); err != nil {
			return step{}, err
		}
		if !strings.HasPrefix(p.rest, "]") {
			return step{}, p.expected("]")
		}
		p.rest = p.rest[1:]
		return step{kind: byField, key: text, value: value}, nil
	}
	if !strings.HasPrefix(p.rest, "]") {
		return step{}, p.expected("]")
	}
	p.rest = p.rest[1:]
	if text == "*" {
		return step{kind: byAll}, nil
	}
	index, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return step{}, fmt.Errorf("[%.50s]: expected a number, *, or a field such as name=web: %w", text, ocm.ErrInvalid)
	}
	return step{kind: byIndex, index: int(index)}, nil
}

// text reads to one of the characters in ends, or to the end.
func (p *pathParser) text(ends string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '\\' && i+1 == len(p.rest):
			return "", fmt.Errorf("nothing behind the backslash at the end: %w", ocm.ErrInvalid)
		case c == '\\':
			i++
			b.WriteByte(p.rest[i])
		case strings.IndexByte(ends, c) >= 0:
			p.rest = p.rest[i:]
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	p.rest = ""
	return b.String(), nil
}

func (p *pathParser) expected(what string) error {
	if p.rest == "" {
		return fmt.Errorf("expected %s at the end: %w", what, ocm.ErrInvalid)
	}
	return fmt.Errorf("expected %s before %.50q: %w", what, p.rest, ocm.ErrInvalid)
}

// put sets the text at a path of a value that exists already, all but its last key, and returns at how many places. An object or a
// list is not replaced by a text.
func put(value any, steps []step, text string) (int, error) {
	s, last := steps[0], len(steps) == 1
	switch v := value.(type) {
	case map[string]any:
		if s.kind != byKey {
			return 0, nil
		}
		if last {
			return 1, replace(v[s.key], func() { v[s.key] = text })
		}
		return put(v[s.key], steps[1:], text)
	case []any:
		n := 0
		for i := range v {
			if !s.chooses(i, v[i]) {
				continue
			}
			var m int
			var err error
			if last {
				m, err = 1, replace(v[i], func() { v[i] = text })
			} else {
				m, err = put(v[i], steps[1:], text)
			}
			if err != nil {
				return n, err
			}
			n += m
		}
		return n, nil
	}
	return 0, nil
}

// replace calls set unless there is something that a text must not replace.
func replace(old any, set func()) error {
	switch old.(type) {
	case map[string]any, []any:
		return fmt.Errorf("expected a text there, found %s: %w", kindOf(old), ocm.ErrInvalid)
	}
	set()
	return nil
}

// chooses reports whether an element of a list is meant.
func (s step) chooses(i int, element any) bool {
	switch s.kind {
	case byAll:
		return true
	case byIndex:
		return i == s.index
	case byField:
		m, _ := element.(map[string]any)
		text, ok := m[s.key].(string)
		return ok && text == s.value
	}
	return false
}

// grow sets the text at a path of keys and numbers, and makes the objects and lists that lead there. An element is appended to a list
// if its number is the next one.
func grow(value any, steps []step, text string) (any, error) {
	if len(steps) == 0 {
		return text, replace(value, func() {})
	}
	s := steps[0]
	if s.kind == byKey {
		m, ok := value.(map[string]any)
		if !ok && value != nil {
			return nil, fmt.Errorf("%.100q: expected an object around it, found %s: %w", s.key, kindOf(value), ocm.ErrInvalid)
		}
		if m == nil {
			m = map[string]any{}
		}
		grown, err := grow(m[s.key], steps[1:], text)
		if err == nil {
			m[s.key] = grown
		}
		return m, err
	}
	if s.kind != byIndex {
		return nil, fmt.Errorf("values have only elements by number, such as [0]: %w", ocm.ErrInvalid)
	}
	list, ok := value.([]any)
	if !ok && value != nil {
		return nil, fmt.Errorf("[%d]: expected a list, found %s: %w", s.index, kindOf(value), ocm.ErrInvalid)
	}
	if s.index > len(list) {
		return nil, fmt.Errorf("[%d]: the list has %d elements, so the next one is [%d]: %w", s.index, len(list), len(list), ocm.ErrInvalid)
	}
	if s.index == len(list) {
		list = append(list, nil)
	}
	grown, err := grow(list[s.index], steps[1:], text)
	if err == nil {
		list[s.index] = grown
	}
	return list, err
}
