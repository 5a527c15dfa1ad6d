// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"ocm"
)

const maxFailures = 20 // that a message lists

// checkSchemas checks values with the JSON schemas of a chart and of those in it, as helm does. But it reads no schema that is
// elsewhere, neither in files (CVE-2025-55199) nor on servers, and its messages do not repeat values: these may be secrets.
func checkSchemas(c *chart.Chart, values map[string]any) error {
	if len(c.Schema) > 0 {
		if err := checkSchema(c.Schema, values); err != nil {
			return fmt.Errorf("spec.values: chart %.100q: %w", c.ChartPath(), err)
		}
	}
	for _, d := range c.Dependencies() {
		below, exists := values[d.Name()]
		if !exists || below == nil {
			continue
		}
		m, ok := below.(map[string]any)
		if !ok {
			return fmt.Errorf("spec.values: %.100q: expected an object, found %s: %w", d.Name(), kindOf(below), ocm.ErrInvalid)
		}
		if err := checkSchemas(d, m); err != nil {
			return err
		}
	}
	return nil
}

func checkSchema(text []byte, values map[string]any) error {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("values.schema.json: %w: %w", err, ocm.ErrInvalid)
	}
	const name = "file:///values.schema.json"
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(nowhere{})
	if err := compiler.AddResource(name, schema); err != nil {
		return fmt.Errorf("values.schema.json: %w: %w", err, ocm.ErrInvalid)
	}
	compiled, err := compiler.Compile(name)
	var elsewhere *jsonschema.LoadURLError
	if errors.As(err, &elsewhere) {
		url, _, _ := strings.Cut(elsewhere.URL, "?")
		return fmt.Errorf("values.schema.json: schema %.200q is not in the chart, and nothing is read from elsewhere: %w", url, ocm.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("values.schema.json: %w: %w", err, ocm.ErrInvalid)
	}
	err = compiled.Validate(values)
	var failed *jsonschema.ValidationError
	if err == nil {
		return nil
	}
	if !errors.As(err, &failed) {
		return fmt.Errorf("values do not fit values.schema.json: %w", ocm.ErrInvalid)
	}
	var why []string
	explain(failed, &why)
	return fmt.Errorf("values do not fit values.schema.json: %s: %w", strings.Join(why, "; "), ocm.ErrInvalid)
}

// nowhere is where schemas are that are not in the chart.
type nowhere struct{}

func (nowhere) Load(string) (any, error) {
	return nil, ocm.ErrNotFound
}

// explain tells where values do not fit, and what is expected there, but never the values.
func explain(e *jsonschema.ValidationError, why *[]string) {
	if len(*why) == maxFailures {
		return
	}
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			explain(cause, why)
		}
		return
	}
	where := "at the top"
	if len(e.InstanceLocation) > 0 {
		where = fmt.Sprintf("%.200q", strings.Join(e.InstanceLocation, "."))
	}
	var what string
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		what = fmt.Sprintf("%.200q is missing", k.Missing)
	case *kind.AdditionalProperties:
		what = fmt.Sprintf("%.200q is not known", k.Properties)
	case *kind.Type:
		what = fmt.Sprintf("expected %s, found %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Enum:
		what = fmt.Sprintf("expected one of %.200v", k.Want)
	default:
		what = fmt.Sprintf("does not meet %q of the schema", strings.Join(k.KeywordPath(), "."))
	}
	if text := where + ": " + what; !slices.Contains(*why, text) {
		*why = append(*why, text)
	}
}
