// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/deploy/resolve"
)

const sum = "sha256:4ac7a5f3a3e2d5c6cf4f1ba8b1cbbf0d1d4b2e3a5c6d7e8f90a1b2c3d4e5f607"

func spec(t testing.TB, raw string) ocm.Spec {
	t.Helper()
	var s ocm.Spec
	if err := s.UnmarshalJSON([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	return s
}

// image is a resource of acme.org/app in a registry.
func image(t testing.TB, access string, artifact *ociv1.Descriptor) *resolve.Resource {
	r := &resolve.Resource{Component: "acme.org/app", Version: "1.0.0", Artifact: artifact}
	r.Name, r.Resource.Version, r.Type, r.Relation = "image", "1.0.0", "ociImage", "local"
	r.Access = spec(t, access)
	r.Resource.Digest = &ocm.Digest{HashAlgorithm: "SHA-256", NormalisationAlgorithm: "ociArtifactDigest/v1", Value: strings.TrimPrefix(sum, "sha256:")}
	r.Labels = []ocm.Label{{Name: "size", Value: ocm.RawJSON(`3`)}, {Name: "tier", Value: ocm.RawJSON(`{"zones":["a","b"]}`)}}
	r.Repository = spec(t, `{"type":"OCIRegistry","baseUrl":"http://registry:5000"}`)
	return r
}

func evaluator(t testing.TB) *Evaluator {
	t.Helper()
	e, err := New("resource", "images")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func variables(t testing.TB, r *resolve.Resource) map[string]any {
	t.Helper()
	v, err := Variable(r.Resource)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"resource": v}
}

var published = ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: sum, Size: 1}

const localImage = `{"type":"localBlob/v1","localReference":"` + sum + `","mediaType":"application/vnd.oci.image.index.v1+json"}`

func TestEvaluate(t *testing.T) {
	t.Parallel()
	e, r := evaluator(t), image(t, localImage, &published)
	vars := variables(t, r)
	for expressions, want := range map[string]string{
		`{}`:                         `{}`,
		`null`:                       ``,
		``:                           ``,
		`{"a":"resource.name"}`:      `{"a":"image"}`,
		`{"b":"1+1","a":{"x":"2u"}}`: `{"a":{"x":2},"b":2}`,
		`{"a":"resource.access.toOCI()"}`: `{"a":{"digest":"` + sum + `","host":"registry:5000","reference":"` + sum + `","registry":"registry:5000",` +
			`"repository":"component-descriptors/acme.org/app","tag":""}}`,
		`{"a":"toOCI(resource.access).registry"}`:                                        `{"a":"registry:5000"}`,
		`{"a":"resource.digest.value"}`:                                                  `{"a":"` + sum[7:] + `"}`,
		`{"a":"resource.labels.filter(l, l.name == 'size')[0].value"}`:                   `{"a":3}`,
		`{"a":"resource.labels.filter(l, l.name == 'size')[0].value == 3"}`:              `{"a":true}`,
		`{"a":"resource.labels[1].value"}`:                                               `{"a":{"zones":["a","b"]}}`,
		`{"a":"resource.labels[1].value.zones.join('-')"}`:                               `{"a":"a-b"}`,
		`{"a":"'a' in resource.labels[1].value.zones"}`:                                  `{"a":true}`,
		`{"a":"resource.labels[1].value != {'zones': ['a']}"}`:                           `{"a":true}`,
		`{"a":"has(resource.access) ? 'yes' : 'no'"}`:                                    `{"a":"yes"}`,
		`{"a":"resource.?extraIdentity.?arch.orValue('amd64')"}`:                         `{"a":"amd64"}`,
		`{"a":"resource.?extraIdentity","b":"1"}`:                                        `{"b":1}`,
		`{"b":"resource.?name"}`:                                                         `{"b":"image"}`,
		`{"a":"cel.bind(o, resource.access.toOCI(), o.registry+'/'+o.repository)"}`:      `{"a":"registry:5000/component-descriptors/acme.org/app"}`,
		`{"a":"math.greatest(1, 2)"}`:                                                    `{"a":2}`,
		`{"a":"sets.contains([1, 2], [2])"}`:                                             `{"a":true}`,
		`{"a":"base64.encode(b'ab')"}`:                                                   `{"a":"YWI="}`,
		`{"a":"'%s:%d'.format([resource.name, 3])"}`:                                     `{"a":"image:3"}`,
		`{"a":"lists.range(3).map(i, i * 2)"}`:                                           `{"a":[0,2,4]}`,
		`{"a":"'A-B'.lowerAscii().split('-')"}`:                                          `{"a":["a","b"]}`,
		`{"a":"'aba'.replace('a', 'cc')", "b":"'aba'.replace('a', 'c', 1)"}`:             `{"a":"ccbcc","b":"cba"}`,
		`{"a":"resource.name.matches('^im')"}`:                                           `{"a":true}`,
		`{"a":"'aaa'.matches('^a{3}$') && matches('b', '[a-c]') && !'x'.matches('y+')"}`: `{"a":true}`,
		`{"a":"[3, 1, 2].sort().reverse()"}`:                                             `{"a":[3,2,1]}`,
		`{"a":"b'ab'", "b":"null", "c":"1.5", "d":"true", "e":"timestamp('2026-01-02T03:04:05Z')", "f":"duration('90s')"}`: `{"a":"YWI=","b":null,"c":1.5,"d":true,"e":"2026-01-02T03:04:05Z","f":"90s"}`,
		`{"a":"{resource.name: {'x': [optional.none()]}}"}`:                                                                `{"a":{"image":{"x":[null]}}}`,
	} {
		got, err := e.Evaluate(t.Context(), "spec.f", []byte(expressions), vars, r)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; expected %s", expressions, got, err, want)
		}
	}
}

// What is wrong is told with its path.
func TestEvaluateErrors(t *testing.T) {
	t.Parallel()
	e, r := evaluator(t), image(t, localImage, &published)
	vars := variables(t, r)
	for expressions, want := range map[string]string{
		`[]`:                               "spec.f: expected an object of CEL expressions, found a list",
		`"resource.name"`:                  "spec.f: expected an object of CEL expressions, found a string",
		`{`:                                "spec.f: ",
		`{"a":1}`:                          "spec.f.a: expected a CEL expression in a string, or an object of them, found a number",
		`{"a":{"b":["x"]}}`:                "spec.f.a.b: expected a CEL expression in a string, or an object of them, found a list",
		`{"a":null}`:                       "spec.f.a: expected a CEL expression in a string, or an object of them, found null",
		`{"a":true}`:                       "found a boolean",
		`{"a":{"b":"resource.nothing"}}`:   "spec.f.a.b: no such key: nothing",
		`{"a":"nothing.at.all"}`:           "spec.f.a: no CEL expression: line 1, column 1: undeclared reference to 'nothing'",
		`{"a":"1 +"}`:                      "spec.f.a: no CEL expression: line 1, column 4: ",
		`{"a":"'a' == 1"}`:                 "found no matching overload for '=='",
		`{"a":"1 in 2"}`:                   "found no matching overload for 'in'",
		`{"a":"type(1)"}`:                  "spec.f.a: the result is of type type, which has no JSON form",
		`{"a":"0.0/0.0"}`:                  "the result is NaN, which has no JSON form",
		`{"a":"{1: 2}"}`:                   "keys that are no strings",
		`{"a":"{{'a': 1}: 2}"}`:            "spec.f.a: ",
		`{"a":"google.protobuf.Struct{}"}`: "there are no messages here",
		`{"a":"1.toOCI()"}`:                "expected a reference in a string, or an access, found int",
		`{"a":"'A b'.toOCI()"}`:            "spec.f.a: toOCI: reference",
		`{"a":"toOCI('a', 'b')"}`:          "undeclared reference to 'toOCI'",
		`{"a":"@resource"}`:                "spec.f.a: no CEL expression",
		`{"a":"dyn([1])[5]"}`:              "spec.f.a: index out of bounds: 5",
		`{"a":"1/0"}`:                      "spec.f.a: division by zero",
	} {
		got, err := e.Evaluate(t.Context(), "spec.f", []byte(expressions), vars, r)
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v; expected %s", expressions, got, err, want)
		}
	}
	if _, err := e.Evaluate(t.Context(), "spec.f", []byte(`{"a":"resource.name"}`), nil, r); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}

// nested is a chain of cel.bind, each of which uses the one before.
func nested(depth int, first, next, last string) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "cel.bind(x0, %s, ", first)
	for i := 1; i < depth; i++ {
		fmt.Fprintf(b, "cel.bind(x%d, %s, ", i, strings.ReplaceAll(next, "X", fmt.Sprintf("x%d", i-1)))
	}
	b.WriteString(strings.ReplaceAll(last, "X", fmt.Sprintf("x%d", depth-1)) + strings.Repeat(")", depth))
	return b.String()
}

// TestTemplateBombs: expressions that would need much memory or time end soon, with an error, and hurt nobody else.
func TestTemplateBombs(t *testing.T) {
	t.Parallel()
	e, r := evaluator(t), image(t, localImage, &published)
	vars := variables(t, r)
	for name, expression := range map[string]string{
		"range":             "lists.range(1000000000)",
		"ranges":            "lists.range(9999).map(a, lists.range(9999).map(b, lists.range(9999)))",
		"loops":             "lists.range(9999).exists(a, lists.range(9999).exists(b, a + b < 0))",
		"sums":              nested(20, "'aaaaaaaaaa'", "X + X + X", "X"),
		"lists":             nested(20, "[1,2,3]", "X + X + X", "X"),
		"replace":           nested(10, "'aaaaaaaaaaaaaaaa'", "X.replace('a', X)", "X"),
		"replace empty":     nested(10, "'aaaaaaaaaaaaaaaa'", "X.replace('', X)", "X"),
		"replace n":         nested(10, "'aaaaaaaaaaaaaaaa'", "X.replace('a', X, 1000000)", "X"),
		"join":              nested(10, "'aaaaaaaaaaaaaaaa'", "[X,X,X,X,X,X,X,X,X,X].join(X)", "X"),
		"format":            nested(10, "'%s%s%s%s%s%s%s%s%s%s'", "'%s%s%s%s'.format([X,X,X,X])", "X"),
		"quote":             nested(20, `'\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"'`, "strings.quote(X)", "X"),
		"precision":         "'%.1000000000f'.format([1.0])",
		"laughs":            nested(15, "['ha','ha','ha']", "[X,X,X,X,X,X,X,X,X,X]", "X"),
		"laughs of maps":    nested(15, "{'a':'ha','b':'ha'}", "{'a':X,'b':X,'c':X,'d':X,'e':X}", "X"),
		"laughs equal":      nested(15, "['ha','ha','ha']", "[X,X,X,X,X,X,X,X,X,X]", "X == X + []"),
		"laughs in":         nested(15, "['ha','ha','ha']", "[X,X,X,X,X,X,X,X,X,X]", "X in [X, [X]]"),
		"laughs formatted":  nested(15, "['ha','ha','ha']", "[X,X,X,X,X,X,X,X,X,X]", "'%s'.format([X])"),
		"laughs flat":       nested(15, "['ha','ha','ha']", "[X,X,X,X,X,X,X,X,X,X]", "X.flatten(20)"),
		"laughs distinct":   nested(15, "['ha','ha','ha']", "[X,X,X,X,X,X,X,X,X,X]", "[X,X].distinct()"),
		"laughs as sets":    nested(15, "['ha','ha','ha']", "[X,X,X,X,X,X,X,X,X,X]", "sets.equivalent([X],[X])"),
		"laughs by map":     nested(15, "lists.range(50)", "lists.range(50).map(i, X)", "X == X"),
		"types":             nested(20, "{'a':1}", "{X:X}", "X"),
		"types in a list":   nested(15, "['a']", "[{X:X},{X:X}]", "X"),
		"endless sums":      nested(30, "lists.range(9999)", "X + X", "X.size() < 0 ? X : X"),
		"overflow":          nested(30, "lists.range(9999)", "X + X + X + X + X + X + X + X", "X"),
		"deep brackets":     strings.Repeat("[", 300) + strings.Repeat("]", 300),
		"deep parentheses":  strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000),
		"deep member":       "resource" + strings.Repeat(".a", 2000),
		"deep result":       nested(25, "[1]", "[[[[X]]]]", "X"),
		"deep equal":        nested(25, "[1]", "[[[[X]]]]", "X == X"),
		"regular":           "resource.name.matches('((a{100}){100}){100}')",
		"regular, computed": "resource.name.matches('((a{100}){100}' + '){100}')",
		"long":              "'" + strings.Repeat("a", 5000) + "'",
		"output":            nested(5, "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "X+X+X+X+X+X", "[X,X]"),
	} {
		t.Run(name, func(t *testing.T) {
			raw, _ := json.Marshal(map[string]string{"a": expression})
			got, err := e.Evaluate(t.Context(), "spec.f", raw, vars, r)
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Error("an error of", len(err.Error()), "bytes")
			}
		})
	}
}

// TestBombsOfOneStep: what is made of small things in one step, and would take gigabytes, is refused before, and what many steps make of it
// is counted.
func TestBombsOfOneStep(t *testing.T) {
	t.Parallel()
	e := evaluator(t)
	double := "X + X"
	for name, c := range map[string]struct{ expression, want string }{
		"replace":   {nested(12, "'aaaaaaaaaaaaaaaa'", double, "X.replace('a', X).size()"), "replace: the result may have"},
		"replace n": {nested(12, "'aaaaaaaaaaaaaaaa'", double, "X.replace('a', X, 60000).size()"), "replace: the result may have"},
		"join":      {nested(12, "'aaaaaaaaaaaaaaaa'", double, "lists.range(2000).map(i, 'a').join(X).size()"), "join: the result may have"},
		"format":    {nested(12, "'%s%s%s%s%s%s%s%s'", double, "X.format([X]).size()"), "format: the result may have"},
		"quote":     {nested(13, `'\"\"\"\"\"\"\"\"\"\"\"\"'`, double, "strings.quote(X).size()"), "strings.quote: the result may have"},
		"formats":   {nested(11, "'aaaaaaaaaaaaaaaa'", double, "lists.range(2000).map(i, '%s'.format([X])).size()"), "takes more than 100000 steps"},
		"quotes":    {nested(11, "'aaaaaaaaaaaaaaaa'", double, "lists.range(2000).map(i, strings.quote(X)).size()"), "takes more than 100000 steps"},
		"regular":   {"'a'.matches('" + strings.Repeat("a{999}", 300) + "')", "more than 5000 states"},
		"long text": {nested(11, "'aaaaaaaaaaaaaaaa'", double, "X.matches('b{999}')"), "accepted are 10000000 times"},
		"computed":  {"'a'.matches('" + strings.Repeat("a{999}", 150) + "' + '" + strings.Repeat("a{999}", 150) + "')", "more than 5000 states"},
	} {
		raw, _ := json.Marshal(map[string]string{"a": c.expression})
		got, err := e.Evaluate(t.Context(), "spec.f", raw, nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s, %v; expected %s", name, got, err, c.want)
		}
	}
}

// TestTimeOfMany: expressions that are each within their bounds have bounds together.
func TestTimeOfMany(t *testing.T) {
	t.Parallel()
	slow := map[string]string{}
	for i := range MaxExpressions {
		slow[fmt.Sprint("f", i)] = fmt.Sprintf("lists.range(7000).filter(x, x == %d).size()", i) + strings.Repeat("+lists.range(7000).size()", 5)
	}
	raw, _ := json.Marshal(slow)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := evaluator(t).Evaluate(ctx, "spec.f", raw, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// Bombs of many small parts.
func TestManyExpressions(t *testing.T) {
	t.Parallel()
	e := evaluator(t)
	many := map[string]any{}
	for i := range MaxExpressions + 1 {
		many[fmt.Sprint("f", i)] = "1"
	}
	deep := any(map[string]any{"a": "1"})
	for range MaxDepth {
		deep = map[string]any{"a": deep}
	}
	large := map[string]any{}
	for i := range 200 {
		large[fmt.Sprint("f", i)] = "'" + strings.Repeat("a", 1000) + "'"
	}
	keys := map[string]any{strings.Repeat("k", MaxOutput): "1"}
	padded := map[string]any{"a": strings.Repeat(" ", MaxFields)}
	for name, fields := range map[string]any{"number": many, "depth": deep, "output": large, "keys": keys, "bytes": padded} {
		raw, _ := json.Marshal(fields)
		got, err := e.Evaluate(t.Context(), "spec.f", raw, nil, nil)
		if !errors.Is(err, ocm.ErrLimit) {
			t.Errorf("%s: %d bytes, %.300v", name, len(got), err)
		}
	}
}

// An evaluation ends with its context.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	e := evaluator(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Evaluate(ctx, "spec.f", []byte(`{"a":"lists.range(1000).map(a, a)"}`), nil, nil)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Programs are kept, and not more than there may be.
func TestPrograms(t *testing.T) {
	t.Parallel()
	e := evaluator(t)
	for i := range MaxPrograms + 10 {
		if _, err := e.Evaluate(t.Context(), "spec.f", fmt.Appendf(nil, `{"a":"%d", "b":"1+1"}`, i), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, m := e.programs.order.Len(), len(e.programs.byKey); n != MaxPrograms || m != MaxPrograms {
		t.Errorf("%d and %d programs are kept, expected %d", n, m, MaxPrograms)
	}
	if e.programs.get("1+1") == nil || e.programs.get("0") != nil {
		t.Error("the least recently used program must go first")
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, s := range []string{"resource.access.toOCI()", "cel.bind(a, [1], a + a)", "'a'.replace('a', 'b')", "{'a': {resource.name: 1}}", "'%s'.format([1])",
		"lists.range(10).map(i, i).flatten()", "sets.contains([1], [1]) && 1 in [1]", "resource.?a.orValue('x').toOCI()", "strings.quote('a')", "[1].exists_one(x, x == 1)",
		"'ghcr.io/a/b:1@" + sum + "'.toOCI()", "math.least([1, 2])", "base64.decode('YQ==')", "b'a' + b'b'", "timestamp('2026-01-01T00:00:00Z').getFullYear()"} {
		f.Add(s)
	}
	e, r := evaluator(f), image(f, localImage, &published)
	vars := variables(f, r)
	f.Fuzz(func(t *testing.T, expression string) {
		raw, err := json.Marshal(map[string]string{"a": expression})
		if err != nil {
			t.Skip()
		}
		got, err := e.Evaluate(t.Context(), "f", raw, vars, r)
		switch {
		case err != nil && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit):
			t.Fatalf("%v", err)
		case err == nil && (len(got) > MaxOutput || !json.Valid(got)):
			t.Fatalf("%d bytes: %.200s", len(got), got)
		}
	})
}
