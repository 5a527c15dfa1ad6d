// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// side is where a block runs.
type side string

const (
	build  side = "build"  // where the product is made; knows the private key
	carry  side = "carry"  // whoever takes files from one world to the other; no network
	target side = "target" // where the product runs
)

// needsNode is the word, behind the side in a block's info string, of blocks for which pods must really run.
const needsNode = "real"

// measured are the words there of blocks that are one command, whose rate in bytes per second the record tells.
var measured = []string{"pack", "verify", "transfer", "import"}

// block is a fenced block of a document that is a script for one side.
type block struct {
	Document string
	Line     int // of its first command
	Heading  string
	Side     side
	Real     bool   // needs a node that runs pods
	Measure  string // one of measured, or nothing
	Script   string
}

// parse finds the blocks of a Markdown document whose info string begins with "sh" and a side, in their order. Other blocks are for others.
func parse(document, text string) ([]block, error) {
	var (
		all     []block
		heading string
		inside  bool   // a fenced block
		ours    *block // it, or nil if it is for others
		opened  int    // its line
		number  int
	)
	for line := range strings.Lines(text) {
		number++
		fence := strings.TrimSpace(line)
		switch {
		case inside && fence == "```":
			if inside = false; ours != nil {
				all = append(all, *ours)
			}
		case inside && ours != nil:
			ours.Script += line
		case inside:
		case strings.HasPrefix(fence, "```"):
			var err error
			if ours, err = begin(strings.Fields(strings.TrimPrefix(fence, "```"))); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", document, number, err)
			}
			if ours != nil {
				ours.Document, ours.Line, ours.Heading = document, number+1, heading
			}
			inside, opened = true, number
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if inside {
		return nil, fmt.Errorf("%s:%d: block is not closed", document, opened)
	}
	return all, nil
}

// begin reads the words of an info string; nil is a block for others. An unknown word is an error: a block that silently does not run
// proves nothing.
func begin(words []string) (*block, error) {
	if len(words) < 2 || words[0] != "sh" {
		return nil, nil
	}
	b := &block{Side: side(words[1])}
	if b.Side != build && b.Side != carry && b.Side != target {
		return nil, fmt.Errorf("unknown side %q: expected %s, %s or %s", words[1], build, carry, target)
	}
	for _, word := range words[2:] {
		switch {
		case word == needsNode:
			b.Real = true
		case b.Measure == "" && slices.Contains(measured, word):
			b.Measure = word
		default:
			return nil, fmt.Errorf("unknown word %q in the info string: expected %s, or one of %s", word, needsNode, strings.Join(measured, ", "))
		}
	}
	return b, nil
}
