// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"testing"

	"ocm/builtin"
)

// TestTypesDocument: docs/types.md is what the program says.
func TestTypesDocument(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	if err := writeMarkdown(&want, builtin.Types(builtin.Kit())); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/types.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/types.md is not what the program says; renew it: go run ./cmd/ocm describe types -o markdown > docs/types.md")
	}
}
