// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"ocm"
	"ocm/deploy/resolve"
)

// Limits of what a tenant may ask for.
const (
	MaxFields      = 256 << 10 // bytes of an object of expressions
	MaxExpressions = 256       // in one object
	MaxLength      = 4096      // bytes of an expression
	MaxDepth       = 32        // of the object of expressions, and of what they give
	MaxOutput      = 64 << 10  // bytes of what all expressions of an object give: it stands in a status
	MaxCost        = 100_000   // of one expression, in the units of CEL: about one per step or character
	MaxTime        = 2 * time.Second
	MaxValue       = 128 << 10 // of a value that is compared, formatted or given to a function: bytes of text, and one per element
	MaxPrograms    = 512       // that are kept compiled
)

// Evaluator evaluates expressions. It may be used concurrently; it keeps the programs that were used last.
type Evaluator struct {
	env      *cel.Env
	programs *programs
}

// New returns an evaluator of expressions that know these variables.
func New(variables ...string) (*Evaluator, error) {
	env, err := environment(variables)
	if err != nil {
		return nil, fmt.Errorf("expressions: %w", err)
	}
	return &Evaluator{env: env, programs: newPrograms(MaxPrograms)}, nil
}

// Evaluate evaluates an object of expressions: a text is an expression, an object is looked into, and everything else is
// [ocm.ErrInvalid]. The result has the same keys, and is nil if there are no expressions; what is an empty optional is left out.
//
// Variables hold what decoding JSON gives; [Variable] makes it. toOCI knows the resource r; nil: it does not know about local blobs. Errors begin with
// field and the path in it, such as spec.additionalStatusFields.oci.tag; they are [ocm.ErrInvalid] or [ocm.ErrLimit], or that of the context.
func (e *Evaluator) Evaluate(ctx context.Context, field string, expressions []byte, variables map[string]any, r *resolve.Resource) ([]byte, error) {
	if len(expressions) == 0 {
		return nil, nil
	}
	if len(expressions) > MaxFields {
		return nil, fmt.Errorf("%s: %d bytes, accepted are %d: %w", field, len(expressions), MaxFields, ocm.ErrLimit)
	}
	var fields any
	if err := json.Unmarshal(expressions, &fields); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", field, err, ocm.ErrInvalid)
	}
	if fields == nil {
		return nil, nil
	}
	if _, ok := fields.(map[string]any); !ok {
		return nil, fmt.Errorf("%s: expected an object of CEL expressions, found %s: %w", field, kindOf(fields), ocm.ErrInvalid)
	}
	limited, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	vars := map[string]any{resourceVariable: &holder{r}}
	maps.Copy(vars, variables)
	w := &walk{Evaluator: e, ctx: limited, vars: vars}
	err := w.value(field, fields, 0)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}

// Variable makes a variable of something that has a JSON form.
func Variable(v any) (any, error) {
	raw, err := jsonv2.Marshal(v) // it writes members that are not known, too
	if err != nil {
		return nil, fmt.Errorf("variable: %w", err)
	}
	var out any
	err = json.Unmarshal(raw, &out)
	return out, err
}

// walk goes through one object of expressions.
type walk struct {
	*Evaluator
	ctx  context.Context
	vars map[string]any
	seen int // expressions
	out  bytes.Buffer
}

// value writes what the expressions in v give.
func (w *walk) value(path string, v any, depth int) error {
	switch v := v.(type) {
	case string:
		result, err := w.evaluate(v)
		if err == nil {
			err = w.write(result, depth)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	case map[string]any:
		return w.object(path, v, depth)
	}
	return fmt.Errorf("%s: expected a CEL expression in a string, or an object of them, found %s: %w", path, kindOf(v), ocm.ErrInvalid)
}

func (w *walk) object(path string, fields map[string]any, depth int) error {
	if depth >= MaxDepth {
		return fmt.Errorf("%.200s: more than %d objects in each other: %w", path, MaxDepth, ocm.ErrLimit)
	}
	w.out.WriteByte('{')
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		before := w.out.Len()
		if w.out.Bytes()[before-1] != '{' {
			w.out.WriteByte(',')
		}
		if err := w.text(key); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		w.out.WriteByte(':')
		if err := w.value(path+"."+key, fields[key], depth+1); errors.Is(err, errNone) {
			w.out.Truncate(before)
		} else if err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

// evaluate evaluates one expression.
func (w *walk) evaluate(expression string) (result ref.Val, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, fmt.Errorf("it cannot be evaluated: %.200v: %w", p, ocm.ErrInvalid)
		}
	}()
	if w.seen++; w.seen > MaxExpressions {
		return nil, fmt.Errorf("more than %d expressions: %w", MaxExpressions, ocm.ErrLimit)
	}
	if len(expression) > MaxLength {
		return nil, fmt.Errorf("an expression of %d bytes, accepted are %d: %w", len(expression), MaxLength, ocm.ErrLimit)
	}
	if w.ctx.Err() != nil {
		return nil, w.explain(w.ctx.Err())
	}
	program, err := w.program(expression)
	if err != nil {
		return nil, err
	}
	result, _, err = program.ContextEval(w.ctx, w.vars)
	return result, w.explain(err)
}

// explain makes an error of CEL one of this package.
func (w *walk) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case w.ctx.Err() != nil:
		return fmt.Errorf("the expressions take longer than %s: %w", MaxTime, ocm.ErrLimit)
	case strings.Contains(err.Error(), "cost limit exceeded"):
		return fmt.Errorf("the expression takes more than %d steps: %w", MaxCost, ocm.ErrLimit)
	case errors.Is(err, ocm.ErrInvalid), errors.Is(err, ocm.ErrLimit):
		return err
	}
	return fmt.Errorf("%s: %w", plain(err.Error()), ocm.ErrInvalid)
}

// plain makes a message of CEL fit for a condition.
func plain(message string) string {
	message = strings.NewReplacer("@equal", "==", "@within", "in", "@toOCI", "toOCI", "@matches", "matches", "\n", " ").Replace(strings.ToValidUTF8(message, ""))
	if r := []rune(message); len(r) > 512 {
		message = string(r[:512]) + " …"
	}
	return message
}

// program compiles an expression, or finds it compiled.
func (e *Evaluator) program(expression string) (cel.Program, error) {
	if p := e.programs.get(expression); p != nil {
		return p, nil
	}
	ast, issues := e.env.Parse(expression)
	if issues.Err() != nil {
		return nil, compileError(issues)
	}
	if err := tame(ast.NativeRep()); err != nil {
		return nil, err
	}
	if ast, issues = e.env.Check(ast); issues.Err() != nil {
		return nil, compileError(issues)
	}
	p, err := e.env.Program(ast, cel.CostLimit(MaxCost), cel.InterruptCheckFrequency(16))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain(err.Error()), ocm.ErrInvalid)
	}
	e.programs.put(expression, p)
	return p, nil
}

// compileError names the first thing that is wrong, and where.
func compileError(issues *cel.Issues) error {
	first := issues.Errors()[0]
	if first.Location.Line() < 1 {
		return fmt.Errorf("no CEL expression: %s: %w", plain(first.Message), ocm.ErrInvalid)
	}
	return fmt.Errorf("no CEL expression: line %d, column %d: %s: %w", first.Location.Line(), first.Location.Column()+1, plain(first.Message), ocm.ErrInvalid)
}

// kindOf names a JSON value for messages.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return types.DefaultTypeAdapter.NativeToValue(v).Type().TypeName()
}
