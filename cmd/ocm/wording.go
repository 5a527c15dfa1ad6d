// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"ocm"
)

// wording is the text of an error for people. Errors tell every layer that they passed; what
// that says a second time is left out. What kind an error is stays, where nothing else tells it.
func wording(err error) string {
	text := strings.TrimSpace(err.Error())
	if text == "" {
		return text
	}
	text = pathOnce(text, err)
	text = refused.ReplaceAllString(text, "$1")
	text = knownTypes.ReplaceAllStringFunc(text, shortTypes)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = withoutKind(strings.Join(slices.Compact(strings.Split(line, ": ")), ": "))
	}
	return strings.Join(lines, "\n")
}

// refused is what the network says where a registry was found missing already.
var refused = regexp.MustCompile(`(nobody listens on [^\s:]+(?::\d+)?): dial \S+ \S+: connect: connection refused`)

// knownTypes is the list of types that there are in place of an unknown one.
var knownTypes = regexp.MustCompile(`unknown type \(known: [^()\n]*\)`)

// shortTypes lists each type once: without versions, and in the last of its spellings, which
// is the one in small letters.
func shortTypes(text string) string {
	list := strings.TrimSuffix(strings.TrimPrefix(text, "unknown type (known: "), ")")
	if list == "" {
		return "unknown type (none is known, plugins bring them)"
	}
	spelling := map[string]string{}
	var order []string
	for name := range strings.SplitSeq(list, ", ") {
		name, _, _ = strings.Cut(name, "/")
		key := strings.ToLower(name)
		if spelling[key] == "" {
			order = append(order, key)
		}
		spelling[key] = max(spelling[key], name)
	}
	slices.Sort(order)
	for i, key := range order {
		order[i] = spelling[key]
	}
	return "unknown type (known: " + strings.Join(order, ", ") + ")"
}

// pathOnce leaves out operation and path of a file error where the text before has the path.
func pathOnce(text string, err error) string {
	var file *fs.PathError
	if !errors.As(err, &file) || file.Path == "" {
		return text
	}
	before, after, ok := strings.Cut(text, file.Error())
	if !ok || !strings.Contains(before, file.Path+": ") {
		return text
	}
	return before + file.Err.Error() + after
}

// sentence is the end of a message that says by itself what is wrong. A colon within a word, as in a reference, does not end it.
var sentence = regexp.MustCompile(`: (?:[^:"]*\s)?(?:no|not|neither|nor|missing|unknown|expected|must|cannot|is|are|has|have)\s(?:[^:]|:\S)*$`)

// withoutKind cuts the kind of an error off a line that says it already.
func withoutKind(line string) string {
	for _, kind := range [...]error{ocm.ErrInvalid, ocm.ErrNotFound} {
		if rest, ok := strings.CutSuffix(line, ": "+kind.Error()); ok && sentence.MatchString(": "+rest) {
			return rest
		}
	}
	return line
}
