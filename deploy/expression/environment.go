// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"fmt"
	"reflect"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"

	"ocm"
	"ocm/deploy/resolve"
)

// resourceVariable is what macros give to toOCI; no expression can name it.
const resourceVariable = "@resource"

// environment is the language: standard functions, the extensions that the existing controllers have, and toOCI. CEL counts steps when they
// are done, and takes deep comparisons for one: what could need much memory or time in one step is looked at before.
func environment(variables []string) (*cel.Env, error) {
	base, err := cel.NewEnv(
		cel.OptionalTypes(), ext.Bindings(),
		cel.ParserRecursionLimit(100), cel.ParserErrorRecoveryLimit(5), cel.ExpressionNodeLimit(10_000),
	)
	if err != nil {
		return nil, err
	}
	full, err := base.Extend(ext.Lists(ext.ListsMaxRangeSize(10_000)), ext.Sets(), ext.Strings(), ext.Math(), ext.Encoders())
	if err != nil {
		return nil, err
	}
	var opts []cel.EnvOption
	known := base.Functions()
	for name, fn := range full.Functions() {
		if known[name] == nil {
			opts = append(opts, guarded(fn)...)
		}
	}
	opts = append(opts, macros(), toOCI(), equal(), within(), cel.Variable(resourceVariable, cel.DynType))
	opts = append(opts, matches()...)
	for _, name := range variables {
		opts = append(opts, cel.Variable(name, cel.DynType))
	}
	return full.Extend(opts...)
}

// macros redirect what is written to functions of this package.
func macros() cel.EnvOption {
	call := func(function string) cel.MacroFactory {
		return func(eh cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
			return eh.NewCall(function, args...), nil
		}
	}
	return cel.Macros(
		cel.GlobalMacro(operators.Equals, 2, call("@equal")),
		cel.GlobalMacro(operators.NotEquals, 2, func(eh cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
			return eh.NewCall(operators.LogicalNot, eh.NewCall("@equal", args...)), nil
		}),
		cel.GlobalMacro(operators.In, 2, call("@within")),
		cel.GlobalMacro(overloads.Matches, 2, call("@matches")),
		cel.ReceiverMacro(overloads.Matches, 1, func(eh cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
			return eh.NewCall("@matches", target, args[0]), nil
		}),
		cel.GlobalMacro("toOCI", 1, func(eh cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
			return eh.NewCall("@toOCI", args[0], eh.NewIdent(resourceVariable)), nil
		}),
		cel.ReceiverMacro("toOCI", 0, func(eh cel.MacroExprFactory, target ast.Expr, _ []ast.Expr) (ast.Expr, *cel.Error) {
			return eh.NewCall("@toOCI", target, eh.NewIdent(resourceVariable)), nil
		}),
	)
}

func toOCI() cel.EnvOption {
	return cel.Function("@toOCI", cel.Overload("@toOCI_dyn", []*cel.Type{cel.DynType, cel.DynType}, cel.MapType(cel.StringType, cel.StringType),
		cel.BinaryBinding(func(v, resource ref.Val) ref.Val {
			h, ok := resource.(*holder)
			if !ok {
				return types.NewErr("toOCI: no resource")
			}
			parts, err := coordinatesOf(v, h.resource)
			if err != nil {
				return types.WrapErr(fmt.Errorf("toOCI: %w", err))
			}
			return types.DefaultTypeAdapter.NativeToValue(parts)
		})))
}

func equal() cel.EnvOption {
	a := cel.TypeParamType("A")
	return cel.Function("@equal", cel.Overload("@equal_any", []*cel.Type{a, a}, cel.BoolType, cel.BinaryBinding(func(x, y ref.Val) ref.Val {
		if err := weighAll(x, y); err != nil {
			return types.WrapErr(err)
		}
		return types.Equal(x, y)
	})))
}

func within() cel.EnvOption {
	a, b := cel.TypeParamType("A"), cel.TypeParamType("B")
	contains := cel.BinaryBinding(func(x, y ref.Val) ref.Val {
		if err := weighAll(x, y); err != nil {
			return types.WrapErr(err)
		}
		container, ok := y.(traits.Container)
		if !ok {
			return types.MaybeNoSuchOverloadErr(y)
		}
		return container.Contains(x)
	})
	return cel.Function("@within",
		cel.Overload("@within_list", []*cel.Type{a, cel.ListType(a)}, cel.BoolType, contains),
		cel.Overload("@within_map", []*cel.Type{a, cel.MapType(a, b)}, cel.BoolType, contains))
}

// tame changes a parsed expression so that to check its types takes no time to speak of: types grow with keys that are maps of maps,
// which are no keys. Messages of protocol buffers are refused; nobody needs them.
func tame(a *ast.AST) error {
	var next int64
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) { next = max(next, e.ID()) }))
	var err error
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.StructKind:
			err = fmt.Errorf("no CEL expression: %.100s{…}: there are no messages here: %w", e.AsStruct().TypeName(), ocm.ErrInvalid)
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				key := entry.AsMapEntry().Key()
				if key.Kind() == ast.LiteralKind {
					continue
				}
				next++
				inner := factory.NewUnspecifiedExpr(next)
				inner.SetKindCase(factory.CopyExpr(key))
				key.SetKindCase(factory.NewCall(key.ID(), "dyn", inner))
			}
		}
	}))
	return err
}

// holder carries a resource through an expression.
type holder struct{ resource *resolve.Resource }

var holderType = cel.OpaqueType("ocm.resource")

func (h *holder) ConvertToNative(reflect.Type) (any, error) { return nil, ocm.ErrInvalid }
func (h *holder) ConvertToType(ref.Type) ref.Val            { return types.NewErr("no such conversion") }
func (h *holder) Equal(other ref.Val) ref.Val               { return types.Bool(other == ref.Val(h)) }
func (h *holder) Type() ref.Type                            { return holderType }
func (h *holder) Value() any                                { return h.resource }
