// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// kindNames says what a member of the model expects.
var kindNames = map[reflect.Kind]string{
	reflect.String: "text",
	reflect.Bool:   "true or false",
	reflect.Slice:  "a list",
	reflect.Struct: "an object",
	reflect.Map:    "an object of texts",
}

// jsonKinds says what was found instead.
var jsonKinds = map[jsontext.Kind]string{
	'n': "null", 't': "true", 'f': "false", '"': "text", '0': "a number", '{': "an object", '[': "a list",
}

// strange are the characters of a name that must not reach a terminal or log as they are.
func strange(r rune) bool { return !unicode.IsPrint(r) }

// join appends a JSON pointer to a path: component.resources[3].name.
func join(path string, p jsontext.Pointer) string {
	var b strings.Builder
	b.WriteString(path)
	for token := range p.Tokens() {
		if strings.ContainsFunc(token, strange) || len(token) > 100 {
			token = fmt.Sprintf("%.100q", token)
		}
		switch {
		case strings.Trim(token, "0123456789") == "" && token != "":
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	if b.Len() == 0 {
		return "document"
	}
	return b.String()
}
