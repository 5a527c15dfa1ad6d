// SPDX-License-Identifier: Apache-2.0

package construct

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/descriptor"
)

// maxDocuments bounds the YAML documents of one file.
const maxDocuments = 10_000

// document is one of the YAML documents of a file.
type document struct {
	text []byte
	line int // of the file at which text begins, from 1
}

// documents splits a stream of YAML documents; the parser would only see the first. A line
// that begins with "---" or "..." can be nothing else, not even in a block of text.
func documents(raw []byte) ([]document, error) {
	var docs []document
	content := false // more than blank lines, comments and directives
	at, start, line := 0, 0, 1
	next := document{line: 1}
	end := func(nextStart int) {
		if next.text = raw[start:at]; content {
			docs = append(docs, next)
		}
		next, start, content = document{line: line}, nextStart, false
	}
	for l := range bytes.Lines(raw) {
		switch {
		case isMarker(l, "..."):
			end(at + len(l))
			next.line++
		case isMarker(l, "---"):
			if content {
				end(at)
			}
			content = true
		case len(bytes.TrimSpace(l)) > 0 && l[0] != '#' && l[0] != '%':
			content = true
		}
		at += len(l)
		line++
	}
	end(at)
	if len(docs) > maxDocuments {
		return nil, fmt.Errorf("constructor: %d YAML documents, accepted are %d: %w", len(docs), maxDocuments, ocm.ErrLimit)
	}
	return docs, nil
}

// isMarker reports whether a line begins or ends a document.
func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.ContainsAny(rest[:1], " \t\r\n"))
}

// toJSON converts one document. Duplicate keys are refused.
func toJSON(raw []byte) (doc []byte, err error) {
	// The parser ends in a panic where it does not know how to go on.
	defer func() {
		if p := recover(); p != nil {
			doc, err = nil, fmt.Errorf("constructor: %v: %w", p, ocm.ErrInvalid)
		}
	}()
	wrong := func(err error) error {
		return fmt.Errorf("constructor: %s: %w", strings.TrimPrefix(err.Error(), "yaml: "), ocm.ErrInvalid)
	}
	if err := descriptor.CheckAliases(raw, MaxFile); err != nil {
		return nil, fmt.Errorf("constructor: %w", err)
	}
	if doc, err = yaml.YAMLToJSONStrict(raw); err != nil {
		return nil, wrong(err)
	}
	if !plainVersions(raw) {
		return doc, nil
	}
	if doc, err = quoteVersions(doc); err != nil {
		return nil, wrong(err)
	}
	return doc, nil
}

// versionText is what stands in YAML as a version, unless it is quoted.
var versionText = regexp.MustCompile(`\bversion["']?\s*:\s*([^\s,}\]#"']+)`)

// plainVersions reports whether all versions that are numbers are plain decimal ones: 1.10, 0x10 and
// 1e3 would become other text, and aliases may hide such a number.
func plainVersions(raw []byte) bool {
	for _, m := range versionText.FindAllSubmatch(raw, -1) {
		text := string(m[1])
		if n, err := strconv.ParseUint(text, 10, 63); err == nil && strconv.FormatUint(n, 10) == text {
			continue
		}
		_, integer := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
		_, float := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		if integer == nil || float == nil || strings.ContainsAny(text[:1], "*&!|>") {
			return false
		}
	}
	return true
}

// versionPlace is where versions of components and their elements stand.
var versionPlace = regexp.MustCompile(`^(/components/\d+)?(/(resources|sources|componentReferences|references)/\d+)?/version$`)

// quoteVersions makes text of versions that are whole numbers: "version: 18" is what constructors of images write, and a
// variable that stands there unquoted may hold one.
func quoteVersions(doc []byte) ([]byte, error) {
	var out bytes.Buffer
	dec, enc := jsontext.NewDecoder(bytes.NewReader(doc)), jsontext.NewEncoder(&out)
	for {
		token, err := dec.ReadToken()
		if err == io.EOF {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		if token.Kind() == '0' && !strings.ContainsAny(token.String(), ".eE-") && versionPlace.MatchString(string(dec.StackPointer())) {
			token = jsontext.String(token.String())
		}
		if err := enc.WriteToken(token); err != nil {
			return nil, err
		}
	}
}
