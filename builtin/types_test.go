// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"slices"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/graph"
)

// withoutFields are types that have no members.
var withoutFields = []string{"none", "Memory", "helm"}

// TestEveryTypeIsDescribed: what a program can name it can look up.
func TestEveryTypeIsDescribed(t *testing.T) {
	t.Parallel()
	k := builtin.Kit()
	for what, c := range map[string]struct {
		names []string
		types []ocm.Type
	}{
		"repository": {k.Repositories.Names(), k.Repositories.Types()}, "access": {k.Access.Names(), k.Access.Types()}, "input": {k.Inputs.Names(), k.Inputs.Types()},
		"transformer": {k.Transformers.Names(), k.Transformers.Types()}, "uploader": {k.Uploaders.Names(), k.Uploaders.Types()},
		"signer": {k.Signers.Names(), k.Signers.Types()}, "verifier": {k.Verifiers.Names(), k.Verifiers.Types()},
	} {
		var described []string
		for _, typ := range c.types {
			described = append(described, typ.Names...)
		}
		if what == "repository" && len(described) == 0 {
			continue // they are described elsewhere
		}
		for _, name := range c.names {
			if !slices.Contains(described, name) {
				t.Errorf("%s %s is registered and not described", what, name)
			}
		}
	}
}

// TestDescriptions: a description says what the type is for, and what each member is for; names are told once.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	for _, kind := range builtin.Types(builtin.Kit()) {
		if kind.About == "" {
			t.Errorf("%s: no description", kind.Name)
		}
		seen := map[string]bool{}
		for _, typ := range kind.Types {
			if typ.About == "" || len(typ.Names) == 0 {
				t.Errorf("%s %q: no description", kind.Name, typ.Names)
			}
			if len(typ.Fields) == 0 && kind.Name != "signature" && !slices.Contains(withoutFields, typ.Names[0]) {
				t.Errorf("%s %s: no members", kind.Name, typ.Names[0])
			}
			checkFields(t, kind.Name+" "+typ.Names[0], typ.Fields)
			for _, name := range typ.Names {
				if seen[name] {
					t.Errorf("%s: %s is the name of two types", kind.Name, name)
				}
				seen[name] = true
			}
			if typ.Supports == nil && slices.Contains([]string{"ocm-repository", "access", "input", "signing"}, kind.Name) {
				t.Errorf("%s %s: nobody says what it supports", kind.Name, typ.Names[0])
			}
		}
	}
}

func checkFields(t *testing.T, where string, fields []ocm.Field) {
	t.Helper()
	for _, f := range fields {
		if f.Name == "" || f.Kind == "" || f.About == "" {
			t.Errorf("%s: member %+v is not described", where, f)
		}
		checkFields(t, where, f.Fields)
	}
}

// TestAbilitiesAreSaid: nobody adds an access or repository without saying what cannot be found out otherwise.
func TestAbilitiesAreSaid(t *testing.T) {
	t.Parallel()
	k := builtin.Kit()
	for _, typ := range k.Repositories.Types() {
		if typ.Can == nil {
			t.Errorf("%s: Can is missing", typ.Names[0])
		}
	}
	for _, typ := range k.Access.Types() {
		if typ.Can == nil && typ.Consumers == nil && graph.HasContent(typ.Names[0]) {
			t.Errorf("%s: Consumers is missing; empty if it asks for no secrets", typ.Names[0])
		}
	}
}
