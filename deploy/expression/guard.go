// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"ocm"
)

// guarded declares a function of an extension again, so that it is called only with arguments, and for results, that are not too large.
func guarded(fn *decls.FunctionDecl) []cel.EnvOption {
	bindings, err := fn.Bindings()
	if err != nil {
		return []cel.EnvOption{func(*cel.Env) (*cel.Env, error) { return nil, err }}
	}
	impl := map[string]functions.FunctionOp{}
	for _, b := range bindings {
		impl[b.Operator] = call(b)
	}
	var opts []cel.EnvOption
	for _, o := range fn.OverloadDecls() {
		do := impl[o.ID()]
		if do == nil || o.IsNonStrict() {
			continue
		}
		declare := cel.Overload
		if o.IsMemberFunction() {
			declare = cel.MemberOverload
		}
		grown := growth[o.ID()]
		opts = append(opts, cel.Function(fn.Name(), declare(o.ID(), o.ArgTypes(), o.ResultType(), binding(len(o.ArgTypes()), func(args ...ref.Val) ref.Val {
			if err := weighAll(args...); err != nil {
				return types.WrapErr(err)
			}
			if grown != nil {
				if size := grown(args); size > MaxValue {
					return types.WrapErr(fmt.Errorf("%s: the result may have %d bytes, accepted are %d: %w", fn.Name(), size, MaxValue, ocm.ErrLimit))
				}
			}
			return do(args...)
		}))))
		if grown != nil {
			opts = append(opts, charged(o.ID()))
		}
	}
	return opts
}

// binding is the binding for a number of arguments.
func binding(arguments int, do functions.FunctionOp) cel.OverloadOpt {
	switch arguments {
	case 1:
		return cel.UnaryBinding(func(v ref.Val) ref.Val { return do(v) })
	case 2:
		return cel.BinaryBinding(func(a, b ref.Val) ref.Val { return do(a, b) })
	}
	return cel.FunctionBinding(do)
}

// call makes one form of the three that an implementation may have; nil if it has none.
func call(b *functions.Overload) functions.FunctionOp {
	switch {
	case b.Unary != nil:
		return func(args ...ref.Val) ref.Val { return b.Unary(args[0]) }
	case b.Binary != nil:
		return func(args ...ref.Val) ref.Val { return b.Binary(args[0], args[1]) }
	}
	return b.Function
}

// charged counts the size of a result as steps.
func charged(overload string) cel.EnvOption {
	return cel.Lib(charge{overload})
}

type charge struct{ overload string }

func (charge) CompileOptions() []cel.EnvOption { return nil }

func (c charge) ProgramOptions() []cel.ProgramOption {
	return []cel.ProgramOption{cel.CostTrackerOptions(interpreter.OverloadCostTracker(c.overload, func(args []ref.Val, result ref.Val) *uint64 {
		cost := uint64(1)
		for _, v := range append(args[:len(args):len(args)], result) {
			if s, ok := v.(traits.Sizer); ok {
				if n, ok := s.Size().(types.Int); ok && n > 0 {
					cost += uint64(n)
				}
			}
		}
		return &cost
	}))}
}

// growth says for functions whose results may be much larger than their arguments how large they may be, in bytes.
var growth = map[string]func(args []ref.Val) int{
	"string_replace_string_string":     replaced,
	"string_replace_string_string_int": replaced,
	"list_join":                        joined,
	"list_join_string":                 joined,
	"string_format":                    formatted,
	"strings_quote":                    func(args []ref.Val) int { return 2 + 4*len(textOf(args[0])) },
}

func replaced(args []ref.Val) int {
	text, old, by := textOf(args[0]), textOf(args[1]), textOf(args[2])
	return len(text) + strings.Count(text, old)*len(by)
}

func joined(args []ref.Val) int {
	l, ok := args[0].(traits.Lister)
	if !ok {
		return 0
	}
	size := 0
	for it := l.Iterator(); it.HasNext() == types.True; {
		size += len(textOf(it.Next()))
		if len(args) > 1 {
			size += len(textOf(args[1]))
		}
	}
	return size
}

// perElement is more than a number takes in a format.
const perElement = 450

// formatted takes every verb for one that writes all arguments.
func formatted(args []ref.Val) int {
	template := textOf(args[0])
	text, elements := measure(args[1])
	return len(template) + strings.Count(template, "%")*(text+elements*perElement)
}

// measure tells text and other elements of a value apart; it must have been weighed.
func measure(v ref.Val) (text, elements int) {
	switch v := v.(type) {
	case types.String:
		return len(v), 0
	case types.Bytes:
		return len(v), 0
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			t1, e1 := measure(key)
			t2, e2 := measure(v.Get(key))
			text, elements = text+t1+t2+4, elements+e1+e2
		}
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True; {
			t, e := measure(it.Next())
			text, elements = text+t+2, elements+e
		}
	default:
		return 0, 1
	}
	return text, elements
}

func textOf(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

// weighAll makes sure that values are not too large together. A value may share parts with itself, and be much larger than the memory that
// it takes; this ends when it has seen enough.
func weighAll(values ...ref.Val) error {
	left := MaxValue
	for _, v := range values {
		if err := weigh(v, &left, 0); err != nil {
			return err
		}
	}
	return nil
}

func weigh(v ref.Val, left *int, depth int) error {
	switch v := v.(type) {
	case types.String:
		*left -= len(v)
	case types.Bytes:
		*left -= len(v)
	}
	if *left--; *left < 0 {
		return fmt.Errorf("a value of more than %d bytes and elements: %w", MaxValue, ocm.ErrLimit)
	}
	if depth > 2*MaxDepth {
		return fmt.Errorf("a value with more than %d values in each other: %w", 2*MaxDepth, ocm.ErrLimit)
	}
	switch v := v.(type) {
	case *types.Optional:
		if v.HasValue() {
			return weigh(v.GetValue(), left, depth+1)
		}
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			if err := weigh(key, left, depth+1); err != nil {
				return err
			}
			if err := weigh(v.Get(key), left, depth+1); err != nil {
				return err
			}
		}
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True; {
			if err := weigh(it.Next(), left, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
