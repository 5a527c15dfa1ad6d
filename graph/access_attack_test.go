// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/graph"
	"ocm/internal/fixture"
)

// No signature covers where content is, so anybody who can write to the repository may lead an access elsewhere, by
// every type there is. Only content that was read to its end and has the signed digest is verified: what cannot be
// opened fails, and is never skipped.
func TestAccessesThatLeadElsewhere(t *testing.T) {
	same := filepath.Join(t.TempDir(), "one")
	if err := os.WriteFile(same, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	resource := func(name string) map[string]any { return map[string]any{"resource": map[string]string{"name": name}} }
	for name, access := range map[string]map[string]any{
		"of no known type":           {"type": "elsewhere/v1"},
		"of a version that is newer": {"type": "localBlob/v9", "localReference": "sha256:" + strings.Repeat("0", 64)},
		"to nothing":                 {"type": "none/v1"},
		"to nothing, older":          {"type": "none"},
		"to a file of this computer": {"type": "file", "path": same},
		"to what was left out":       {"type": graph.OmittedType, "access": map[string]string{"type": "localBlob/v1"}},
		"to another resource":        {"type": "ocm", "resourceRef": resource("two")},
		"to another version":         {"type": "ocm", "component": "acme.org/leaf", "version": "1.0.0", "resourceRef": resource("two")},
		"to a reference's resource":  {"type": "ocm", "resourceRef": map[string]any{"resource": map[string]string{"name": "two"}, "referencePath": []any{map[string]string{"name": "leaf"}}}},
		"to itself":                  {"type": "ocm", "resourceRef": resource("one")},
		"to a local repository":      {"type": "ocm", "ocmRepository": map[string]string{"type": "CommonTransportFormat", "filePath": filepath.Dir(same)}, "component": "acme.org/leaf", "version": "1.0.0", "resourceRef": resource("one")},
		"to no artifact":             {"type": "relativeOciReference", "reference": "other/app:1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			spec := fixture.Must[ocm.Spec](t)(ocm.NewSpec(access))
			l.tamper("root", func(d *ocm.Descriptor) { d.Component.Resources[0].Access = spec })
			rep, err := l.verify(graph.VerifyOptions{})
			if err == nil {
				t.Fatal("verified")
			}
			if rep == nil {
				return
			}
			for _, s := range rep.Steps {
				if s.Object == "resource one:1.0.0" && s.Component == "acme.org/root:1.0.0" && (s.Verdict == graph.OK || s.Verdict == graph.Excluded && name != "to nothing, older") {
					t.Errorf("found %+v", s)
				}
			}
			t.Log(err)
		})
	}
	t.Run("to the same content", func(t *testing.T) {
		l := newLab(t)
		spec := fixture.Must[ocm.Spec](t)(ocm.NewSpec(map[string]any{"type": "ocm", "component": "acme.org/leaf", "version": "1.0.0", "resourceRef": resource("one")}))
		l.tamper("root", func(d *ocm.Descriptor) { d.Component.Resources[0].Access = spec })
		if _, err := l.verify(graph.VerifyOptions{}); err != nil {
			t.Error(err)
		}
	})
}
