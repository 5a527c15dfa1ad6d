// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"ocm"
)

// errNone says that an optional is empty.
var errNone = errors.New("an optional without value")

// write writes a value as JSON. What shares parts is written out as often as it occurs, so that the size is looked at on the way.
func (w *walk) write(v ref.Val, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("the result has more than %d values in each other: %w", MaxDepth, ocm.ErrLimit)
	}
	switch v := v.(type) {
	case types.Null:
		return w.raw("null")
	case types.Bool:
		return w.raw(strconv.FormatBool(bool(v)))
	case types.Int:
		return w.raw(strconv.FormatInt(int64(v), 10))
	case types.Uint:
		return w.raw(strconv.FormatUint(uint64(v), 10))
	case types.Double:
		return w.number(float64(v))
	case types.String:
		return w.text(string(v))
	case types.Bytes:
		return w.text(base64.StdEncoding.EncodeToString(v))
	case types.Timestamp, types.Duration:
		return w.write(v.ConvertToType(types.StringType), depth)
	case *types.Optional:
		if !v.HasValue() {
			return errNone
		}
		return w.write(v.GetValue(), depth)
	case traits.Mapper:
		return w.mapping(v, depth)
	case traits.Lister:
		return w.list(v, depth)
	case *types.Err:
		return w.explain(v)
	}
	return fmt.Errorf("the result is of type %.100s, which has no JSON form: %w", v.Type().TypeName(), ocm.ErrInvalid)
}

func (w *walk) number(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("the result is %v, which has no JSON form: %w", f, ocm.ErrInvalid)
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return w.raw(string(raw))
}

func (w *walk) list(l traits.Lister, depth int) error {
	size, ok := l.Size().(types.Int)
	if !ok || size > MaxOutput {
		return tooLarge()
	}
	w.out.WriteByte('[')
	for i := types.Int(0); i < size; i++ {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.inner(l.Get(i), depth); err != nil {
			return err
		}
	}
	return w.raw("]")
}

func (w *walk) mapping(m traits.Mapper, depth int) error {
	size, ok := m.Size().(types.Int)
	if !ok || size > MaxOutput {
		return tooLarge()
	}
	var keys []string
	for it := m.Iterator(); it.HasNext() == types.True; {
		key, ok := it.Next().(types.String)
		if !ok {
			return fmt.Errorf("the result has a map with keys that are no strings: %w", ocm.ErrInvalid)
		}
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	w.out.WriteByte('{')
	for i, key := range keys {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.text(key); err != nil {
			return err
		}
		w.out.WriteByte(':')
		if err := w.inner(m.Get(types.String(key)), depth); err != nil {
			return err
		}
	}
	return w.raw("}")
}

// inner writes a value in a list or map, where an empty optional is null.
func (w *walk) inner(v ref.Val, depth int) error {
	err := w.write(v, depth+1)
	if errors.Is(err, errNone) {
		return w.raw("null")
	}
	return err
}

func (w *walk) text(s string) error {
	if len(s) > MaxOutput {
		return tooLarge()
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("the result has a string that is no UTF-8: %w", ocm.ErrInvalid)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return w.raw(string(raw))
}

func (w *walk) raw(s string) error {
	if w.out.Len()+len(s) > MaxOutput {
		return tooLarge()
	}
	w.out.WriteString(s)
	return nil
}

func tooLarge() error {
	return fmt.Errorf("the results have more than %d bytes: %w", MaxOutput, ocm.ErrLimit)
}
