// SPDX-License-Identifier: Apache-2.0

package descriptor_test

import (
	"bytes"
	"testing"

	"ocm"
	"ocm/descriptor"
	"ocm/internal/fixture"
)

// Whatever is accepted is passed on as it was, and says the same after it was written
// anew as JSON and as YAML.
func checkAccepted(t *testing.T, mediaType string, raw []byte) {
	d, err := descriptor.Decode(mediaType, raw)
	if err != nil {
		return
	}
	doc, err := descriptor.Encode(d)
	if err != nil || !bytes.Equal(doc.Bytes, raw) {
		t.Fatalf("not passed on as it was: %v", err)
	}
	_ = descriptor.Validate(d)
	first, err := descriptor.JSON(d)
	if err != nil {
		return // clashes that only writing can tell, such as a document at the limit of bytes
	}
	again, err := descriptor.Decode(descriptor.MediaTypeJSON, first)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v\n%s", err, first)
	}
	second, err := descriptor.JSON(again)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("not stable: %v\n%s\n%s", err, first, second)
	}
	y, err := fixture.YAML(d)
	if err != nil {
		return // numbers beyond a double, and the key <<
	}
	fromYAML, err := descriptor.Decode(descriptor.MediaTypeYAML, y)
	if err != nil {
		t.Fatalf("the YAML cannot be read: %v\n%s", err, y)
	}
	if !equal(t, again, fromYAML) {
		t.Fatalf("the YAML says something else:\n%s\n%s", first, y)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{minimal, minimalYAML, v3, minimalYAML + lists(), minimalYAML + "x: {on: 1, 1: [~, .5, 0x1, 2026-01-02, !!str 1]}\n", "{}", ""} {
		f.Add([]byte(s))
	}
	f.Add(read(f, "testdata/unknown.json"))
	f.Add(read(f, "testdata/golden/v2n-lib.json"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkAccepted(t, "", raw)
		checkAccepted(t, descriptor.MediaTypeYAML, raw)
	})
}

func FuzzDecodeTar(f *testing.F) {
	f.Add(tarOf(f, descriptor.FileName, minimalYAML))
	f.Add(tarOf(f, "x", "", "./"+descriptor.FileName, minimalYAML))
	f.Add(read(f, "testdata/golden/v1-lib.tar"))
	f.Fuzz(func(t *testing.T, raw []byte) { checkAccepted(t, descriptor.MediaTypeYAMLTar, raw) })
}

// Any text can be a value: none may change on the way through YAML.
func FuzzYAMLText(f *testing.F) {
	for _, s := range []string{"1e10", "on", "a\n b\n", "\u2028", "- x", "0o7", " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := decode(t, minimal)
		d.Component.Resources = []ocm.Resource{{Element: ocm.Element{Name: "res", Version: s, ExtraIdentity: ocm.Identity{s: s}}}}
		if _, err := descriptor.JSON(d); err != nil {
			return // not UTF-8
		}
		if _, err := fixture.YAML(d); err != nil && s == "<<" {
			return
		}
		if again := rewritten(t, d); !equal(t, d, again) {
			t.Fatalf("%q became %q", s, again.Component.Resources[0].Version)
		}
	})
}
