// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/blob"
	"ocm/internal/plugintest"
)

// filesKit has an access method that serves a file: what the speed is measured with.
func filesKit() *ocm.Kit {
	kit := ocm.NewKit()
	kit.Access.Register(ocm.OpenerFunc(func(_ context.Context, _ *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		var e echo
		if err := s.Members(&e); err != nil {
			return ocm.Content{}, err
		}
		return blob.File(e.Text, "application/octet-stream")
	}), ocm.Type{Names: []string{"file/v1"}, About: "A file.", Fields: ocm.FieldsOf(echo{})})
	return kit
}

const benchSize = 1 << 30

// benchFile is sparse: its reading costs what copying costs.
func benchFile(b testing.TB) ocm.Spec {
	b.Helper()
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(path, benchSize); err != nil {
		b.Fatal(err)
	}
	spec, err := ocm.NewSpec(map[string]string{"type": "file/v1", "text": path})
	if err != nil {
		b.Fatal(err)
	}
	return spec
}

// readThrough opens a content, and hashes it.
func readThrough(b testing.TB, kit *ocm.Kit, spec ocm.Spec) {
	b.Helper()
	method, err := kit.Access.For("file/v1")
	if err != nil {
		b.Fatal(err)
	}
	c, err := method.Open(b.Context(), &ocm.Env{}, spec)
	if err != nil {
		b.Fatal(err)
	}
	body, err := c.From.Fetch(b.Context(), c.Root)
	if err != nil {
		b.Fatal(err)
	}
	defer body.Close()
	h := sha256.New()
	if n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{body}, make([]byte, 256<<10)); err != nil || n != benchSize {
		b.Fatal(n, err)
	}
}

func BenchmarkContent(b *testing.B) {
	spec := benchFile(b)
	for name, kit := range map[string]*ocm.Kit{"process": filesKit(), "plugin": plugintest.Kit(b, "files")} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				readThrough(b, kit, spec)
			}
		})
	}
}

func BenchmarkCall(b *testing.B) {
	kit := plugintest.Kit(b, "echo")
	method, err := kit.Access.For("echo")
	if err != nil {
		b.Fatal(err)
	}
	spec, err := ocm.NewSpec(map[string]string{"type": "echo", "text": "hello"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := method.Open(b.Context(), &ocm.Env{}, spec); err != nil {
			b.Fatal(err)
		}
	}
}
