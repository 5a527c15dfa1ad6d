// SPDX-License-Identifier: Apache-2.0

package construct_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/builtin"
	"ocm/construct"
	"ocm/graph"
	"ocm/oci"
	"ocm/oci/memory"
)

func TestCVE_2019_11254_AliasesOfALongText(t *testing.T) {
	file := func(length, aliases int) []byte {
		return []byte("name: acme.org/a\nversion: 1.0.0\nprovider: a\nlabels:\n- {name: a, value: &a " + strings.Repeat("x", length) +
			"}\n- {name: b, value: [" + strings.Repeat("*a,", aliases) + "]}\n")
	}
	if _, err := construct.Parse(file(10, 10), nil, ""); err != nil {
		t.Errorf("aliases are fine: %v", err)
	}
	if _, err := construct.Parse(file(100_000, 1000), nil, ""); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("got %v, want %v", err, ocm.ErrLimit)
	}
}

// What is nested deeper than a closure may be could be made, and then neither verified nor moved.
func TestReferencesAreNotNestedDeeperThanCanBeWalked(t *testing.T) {
	for _, depth := range []int{graph.MaxDepth, graph.MaxDepth + 2} {
		var f construct.File
		for i := range depth {
			c := construct.Component{Name: fmt.Sprintf("acme.org/c%d", i), Version: "1.0.0", Provider: construct.Provider{Name: "a"}}
			if i < depth-1 {
				c.References = []ocm.Reference{{Element: ocm.Element{Name: "next", Version: "1.0.0"}, ComponentName: fmt.Sprintf("acme.org/c%d", i+1)}}
			}
			f.Components = append(f.Components, c)
		}
		env := &ocm.Env{}
		repo := oci.NewRepository(memory.New(), env)
		versions, err := construct.Run(t.Context(), builtin.Kit(), env, repo, &f, construct.Options{})
		if deep := depth > graph.MaxDepth; deep != errors.Is(err, ocm.ErrLimit) || !deep && err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
		if err == nil {
			if _, err := graph.Walk(t.Context(), nil, repo.Open, versions[:1], graph.Options{Recursive: true}); err != nil {
				t.Errorf("depth %d was made and cannot be walked: %v", depth, err)
			}
		}
	}
}

func TestGivenDigestOfALocalBlobIsCompared(t *testing.T) {
	env := &ocm.Env{}
	repo := oci.NewRepository(memory.New(), env)
	run := func(text string) error {
		f, err := construct.Parse([]byte("name: acme.org/a\nversion: 1.0.0\nprovider: a\nresources:\n- name: text\n  type: plainText\n  "+text), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = construct.Run(t.Context(), builtin.Kit(), env, repo, f, construct.Options{Conflict: construct.Replace})
		return err
	}
	if err := run("input: {type: utf8, text: hello}"); err != nil {
		t.Fatal(err)
	}
	hello := digest.FromString("hello")
	again := func(d digest.Digest) error {
		return run("access: {type: localBlob, mediaType: text/plain, localReference: \"" + hello.String() + "\"}\n" +
			"  digest: {hashAlgorithm: SHA-256, normalisationAlgorithm: genericBlobDigest/v1, value: \"" + d.Encoded() + "\"}")
	}
	if err := again(hello); err != nil {
		t.Error(err)
	}
	if err := again(digest.FromString("other")); !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("got %v, want %v", err, ocm.ErrDigest)
	}
}
