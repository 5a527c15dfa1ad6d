// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"sigs.k8s.io/yaml"

	"ocm"
)

// printList writes a list in one of the formats yaml (always a list), json (an array,
// indented by two), ndjson (a compact line per entry), or as a table.
func printList[T any](w io.Writer, format string, list []T, asTable func([]T) *table) error {
	if format == "table" {
		return asTable(list).write(w)
	}
	if list == nil {
		list = []T{} // an empty list, not null
	}
	if format == "ndjson" {
		for _, v := range list {
			if err := printValue(w, format, v); err != nil {
				return err
			}
		}
		return nil
	}
	return printValue(w, format, list)
}

// printValue writes one value as yaml, json or ndjson.
func printValue(w io.Writer, format string, v any) error {
	options := []jsonv2.Options{jsonv2.Deterministic(true)}
	if format == "json" {
		options = append(options, jsontext.WithIndent("  "))
	}
	text, err := jsonv2.Marshal(v, options...)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if format == "yaml" {
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
	}
	_, err = w.Write(text)
	return err
}

// descriptorTable lists component versions.
func descriptorTable(list []*ocm.Descriptor) *table {
	t := newTable("COMPONENT*", "VERSION", "PROVIDER*")
	for _, d := range list {
		t.add(d.Component.Name, d.Component.Version, d.Component.Provider.Name())
	}
	return t
}

// size is a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n < 0:
		return ""
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 1024 && unit < 4 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[unit])
}

// longHex is the value of a digest.
var longHex = regexp.MustCompile(`[0-9a-f]{32,}`)

// shortDigests cuts every digest in a text to its first 12 digits, which is enough for people.
func shortDigests(s string) string {
	return longHex.ReplaceAllStringFunc(s, func(value string) string { return value[:12] })
}

// count is a number of things: "1 version", "2 versions".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// escape writes a character that must not reach a terminal as it would stand in Go source.
func escape(r rune) string {
	return strings.Trim(strconv.QuoteRuneToASCII(r), "'")
}
