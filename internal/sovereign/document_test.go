// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	text := "# Story\n```sh build pack\none\ntwo\n```\nprose\n## Next\n```yaml\n# no heading\n```\n```sh\nfor others\n```\n```sh target real\nthree\n```\n"
	blocks, err := parse("x.md", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) != 2 {
		t.Fatalf("expected 2 blocks, found %+v", blocks)
	}
	if want := (block{Document: "x.md", Line: 3, Heading: "Story", Side: build, Measure: "pack", Script: "one\ntwo\n"}); blocks[0] != want {
		t.Errorf("expected %+v, found %+v", want, blocks[0])
	}
	if want := (block{Document: "x.md", Line: 15, Heading: "Next", Side: target, Real: true, Script: "three\n"}); blocks[1] != want {
		t.Errorf("expected %+v, found %+v", want, blocks[1])
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"```sh target":                         "x.md:1: block is not closed",
		"a\n```sh moon\n```\n":                 `x.md:2: unknown side "moon"`,
		"```sh target reel\n```\n":             `unknown word "reel"`,
		"```sh build pack import\nx\n```\n":    `unknown word "import"`,
		"```yaml\n```\n```sh build\nnever end": "x.md:3: block is not closed",
	} {
		if _, err := parse("x.md", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: expected %q, found %v", text, want, err)
		}
	}
}

func TestHeadingThatIsNotThereIsRefusedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	blocks := []block{{Heading: "A key"}, {Heading: "Over the gap"}}
	for heading, there := range map[string]bool{"": true, "Over the gap": true, "over the gap": false} {
		if err := has(blocks, heading); (err == nil) != there {
			t.Errorf("%q: expected that it is there: %v, found %v", heading, there, err)
		}
	}
}
