// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/descriptor"
)

const (
	maxDepth     = 128 // of an object: a list in a map in a list …
	maxListDepth = 8   // of a List in a List
)

// maxHere is how many values, as [estimate] counts them, are read by this process: the parser needs up to 500 bytes for each, so that a
// few kilobytes of compressed YAML would take more than a controller has. More of them are read by a process of its own.
const maxHere = 100_000

// manifests reads all manifests of a directory and of those below it, in the order of their names. Content that is no archive is one
// manifest, whatever its name.
func manifests(ctx context.Context, all files, dir string) ([]*unstructured.Unstructured, error) {
	found, err := all.below(dir)
	if err != nil {
		return nil, err
	}
	_, chosen := all[dir]
	texts, values := []document{}, 0
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if chosen || isManifest(name) {
			where := dir
			if !chosen {
				where = path.Join(dir, name)
			}
			texts = append(texts, document{File: where, Text: string(found[name])})
			values += estimate(found[name])
		}
	}
	var docs []document
	if values <= maxHere {
		docs, err = toJSON(texts)
	} else {
		var a *answer
		if a, err = run(ctx, task{Manifests: texts}, nil); err == nil {
			docs = a.Documents
		}
	}
	if err != nil {
		return nil, err
	}
	var p parser
	if err := p.add(docs); err != nil {
		return nil, err
	}
	if len(p.objects) == 0 {
		return nil, fmt.Errorf("no objects found in manifest: %w", ocm.ErrInvalid)
	}
	return p.objects, nil
}

// estimate is no less than the number of values in YAML: each is followed by the end of a line or by one of these characters.
func estimate(text []byte) int {
	n := 1
	for _, c := range text {
		switch c {
		case '\n', '\r', ',', ':', '[', '{', '&', '*':
			n++
		}
	}
	return n
}

func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name))
}

// toJSON turns files into documents of JSON. Errors name file and number of the document.
func toJSON(texts []document) ([]document, error) {
	var docs []document
	for _, file := range texts {
		for i, doc := range split([]byte(file.Text)) {
			found, err := documents(bytes.TrimSpace(doc))
			if err != nil {
				return nil, inDocument(file.File, i+1, err)
			}
			for _, raw := range found {
				docs = append(docs, document{File: file.File, Number: i + 1, Text: string(raw)})
			}
		}
	}
	return docs, nil
}

func inDocument(file string, number int, err error) error {
	if file == "" {
		return fmt.Errorf("document %d: %w", number, err)
	}
	return fmt.Errorf("%.200s: document %d: %w", file, number, err)
}

// documents are what is in one document of YAML: one value, or any number of JSON values that follow each other.
func documents(doc []byte) ([]json.RawMessage, error) {
	if len(doc) == 0 {
		return nil, nil
	}
	if doc[0] == '{' {
		if docs, ok, err := stream(doc); ok {
			return docs, err
		}
	}
	if err := checkLength(len(doc)); err != nil {
		return nil, err
	}
	raw, err := yamlToJSON(doc)
	return []json.RawMessage{raw}, err
}

func checkLength(n int) error {
	if n > MaxDocument {
		return fmt.Errorf("of %d bytes, expected at most %d: %w", n, MaxDocument, ocm.ErrLimit)
	}
	return nil
}

// stream reads JSON documents. ok is false if they are not JSON: then they may be YAML that begins like it.
func stream(doc []byte) (docs []json.RawMessage, ok bool, err error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err == io.EOF {
			return docs, true, nil
		} else if err != nil {
			return nil, len(docs) > 0, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
		}
		if err := checkLength(len(raw)); err != nil {
			return nil, true, err
		}
		if docs = append(docs, raw); len(docs) > MaxObjects {
			return nil, true, fmt.Errorf("more than %d objects: %w", MaxObjects, ocm.ErrLimit)
		}
	}
}

// parser makes objects of documents that are not trusted, and counts over all of them.
type parser struct {
	objects []*unstructured.Unstructured
	sources []string // the file of each object
	weight  int
	seen    map[identity]string
	twice   bool // whether an object may be there more than once
}

// identity of an object. The same object under two versions of its API is still one.
type identity struct {
	schema.GroupKind
	namespace, name string
}

// add reads documents of JSON. Errors name file and number of the document.
func (p *parser) add(docs []document) error {
	for _, d := range docs {
		value, err := p.decode([]byte(d.Text))
		if err == nil && value != nil {
			err = p.object(d.File, value, 0)
		}
		if err != nil {
			return inDocument(d.File, d.Number, err)
		}
	}
	return nil
}

// decode decodes JSON, if there is room for it.
func (p *parser) decode(raw []byte) (any, error) {
	if p.weight += weigh(raw); p.weight > MaxOutput {
		return nil, fmt.Errorf("objects of more than %d bytes in all: %w", MaxOutput, ocm.ErrLimit)
	}
	return decodeJSON(raw)
}

// yamlToJSON turns YAML into JSON, if it is of at most MaxDocument bytes also with what aliases make of it.
func yamlToJSON(doc []byte) ([]byte, error) {
	if hiddenMark(doc) {
		return nil, fmt.Errorf("a document begins or ends behind an unusual end of a line: %w", ocm.ErrInvalid)
	}
	if err := descriptor.CheckAliases(doc, MaxDocument); err != nil {
		return nil, err
	}
	raw, err := yaml.YAMLToJSON(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return raw, nil
}

// decodeJSON decodes as Kubernetes does: whole numbers are int64.
func decodeJSON(raw []byte) (any, error) {
	if err := checkDepth(raw); err != nil {
		return nil, err
	}
	var value any
	if err := utiljson.Unmarshal(raw, &value); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return value, nil
}

// checkDepth bounds how deep JSON nests, before anything that calls itself sees it.
func checkDepth(raw []byte) error {
	depth, text, escaped := 0, false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case text:
			escaped, text = c == '\\', c != '"'
		case c == '"':
			text = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested more than %d deep: %w", maxDepth, ocm.ErrLimit)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// object adds an object, or all of a List.
func (p *parser) object(file string, value any, depth int) error {
	m, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("expected an object, found %s: %w", kindOf(value), ocm.ErrInvalid)
	}
	u := &unstructured.Unstructured{Object: m}
	if items, isList := m["items"].([]any); isList && strings.HasSuffix(u.GetKind(), "List") {
		if depth == maxListDepth {
			return fmt.Errorf("lists of lists, more than %d deep: %w", maxListDepth, ocm.ErrLimit)
		}
		for i, item := range items {
			if err := p.object(file, item, depth+1); err != nil {
				return fmt.Errorf("items[%d]: %w", i, err)
			}
		}
		return nil
	}
	if err := checkObject(m); err != nil {
		return err
	}
	if len(p.objects) == MaxObjects {
		return fmt.Errorf("more than %d objects: %w", MaxObjects, ocm.ErrLimit)
	}
	id := identity{u.GroupVersionKind().GroupKind(), u.GetNamespace(), u.GetName()}
	if p.seen == nil {
		p.seen = map[identity]string{}
	}
	if before, twice := p.seen[id]; twice && !p.twice {
		return fmt.Errorf("%s is there a second time, the first is in %q: %w", describe(u), before, ocm.ErrInvalid)
	}
	p.seen[id] = file
	p.objects = append(p.objects, u)
	p.sources = append(p.sources, file)
	return nil
}

// weigh is about how many bytes of memory the values in JSON take.
func weigh(raw []byte) int {
	n, text, escaped := len(raw), false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case text:
			escaped, text = c == '\\', c != '"'
		case c == '"':
			text = true
		case c == '{':
			n += 320
		case c == '[' || c == ',':
			n += 40
		}
	}
	return n
}

// describe names an object in messages.
func describe(u *unstructured.Unstructured) string {
	name := u.GetName()
	if ns := u.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return fmt.Sprintf("%.100s %.300q", u.GetKind(), name)
}

// checkObject checks what every object needs, so that nothing after this meets anything else: the accessors of Kubernetes silently
// leave out what has not the type that they expect.
func checkObject(m map[string]any) error {
	for _, field := range []string{"apiVersion", "kind"} {
		if s, ok := m[field].(string); !ok || s == "" {
			return fmt.Errorf("%s: expected a text, found %s: %w", field, kindOf(m[field]), ocm.ErrInvalid)
		}
	}
	if _, err := schema.ParseGroupVersion(m["apiVersion"].(string)); err != nil {
		return fmt.Errorf("apiVersion: %w: %w", err, ocm.ErrInvalid)
	}
	metadata, ok := m["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("%.100s: metadata: expected an object, found %s: %w", m["kind"], kindOf(m["metadata"]), ocm.ErrInvalid)
	}
	if s, ok := metadata["name"].(string); !ok || s == "" {
		if metadata["generateName"] != nil {
			return fmt.Errorf("%.100s: metadata.generateName: expected metadata.name: what has a new name each time cannot be kept as it is: %w", m["kind"], ocm.ErrInvalid)
		}
		return fmt.Errorf("%.100s: metadata.name: expected a text, found %s: %w", m["kind"], kindOf(metadata["name"]), ocm.ErrInvalid)
	}
	if ns := metadata["namespace"]; ns != nil {
		if _, ok := ns.(string); !ok {
			return fmt.Errorf("%.100s %.300q: metadata.namespace: expected a text, found %s: %w", m["kind"], metadata["name"], kindOf(ns), ocm.ErrInvalid)
		}
	}
	for _, field := range []string{"labels", "annotations"} {
		if err := checkTexts(metadata[field]); err != nil {
			return fmt.Errorf("%.100s %.300q: metadata.%s%w", m["kind"], metadata["name"], field, err)
		}
	}
	return nil
}

// checkTexts checks labels or annotations. Charts often leave some empty, which the API server takes for an empty text.
func checkTexts(value any) error {
	if value == nil {
		return nil
	}
	m, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf(": expected an object, found %s: %w", kindOf(value), ocm.ErrInvalid)
	}
	for key, v := range m {
		if v == nil {
			m[key] = ""
		} else if _, ok := v.(string); !ok {
			return fmt.Errorf("[%.200q]: expected a text, found %s: put it in quotes: %w", key, kindOf(v), ocm.ErrInvalid)
		}
	}
	return nil
}

// kindOf names the kind of a value in messages, never the value.
func kindOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		if v == "" {
			return "an empty text"
		}
		return "a text"
	case bool:
		return "a boolean"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return "a number"
}

// split divides YAML at the lines that begin or end a document: "---" and "...", alone or with something behind them.
func split(text []byte) [][]byte {
	var docs [][]byte
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	start := 0
	for at := 0; at < len(text); {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if isMark(text[at:end]) {
			docs = appendDocument(docs, text[start:at])
			start = at + len("---")
		}
		at = end
	}
	return appendDocument(docs, text[start:])
}

// isMark reports whether a line begins with a mark of documents.
func isMark(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("...")) {
		return false
	}
	return len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0
}

// hiddenMark finds marks behind what is the end of a line for YAML and for nobody else: the parser would read no further than to
// there, and say nothing.
func hiddenMark(doc []byte) bool {
	for _, end := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
		for rest := doc; ; {
			_, after, found := bytes.Cut(rest, []byte(end))
			if !found {
				break
			}
			if line, _, _ := bytes.Cut(after, []byte("\n")); isMark(line) {
				return true
			}
			rest = after
		}
	}
	return false
}

// appendDocument appends a document, unless there is nothing but comments and directives in it.
func appendDocument(docs [][]byte, doc []byte) [][]byte {
	for line := range bytes.Lines(doc) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return append(docs, doc)
		}
	}
	return docs
}
