// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm/blob"
)

// The digest must not depend on the machine, the day or the toolchain.
func TestImageIsReproducible(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"amd64": "program for amd64", "arm64": "program for arm64", "ca": "certificates"} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for ca, want := range map[string]digest.Digest{
		"":       "sha256:81e359358747431bc90191eb2eea2104c64c8920c5e5a2ccf5f97b849254c807",
		at("ca"): "sha256:72b197a34a8ada4c509f8b7e3435191d132f699f158a399d8793b0e9edc6ccb2",
	} {
		if err := run(t.Context(), at("image.tar"), "tool", ca, []string{"linux/amd64=" + at("amd64"), "linux/arm64=" + at("arm64")}); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(at("image.tar"))
		if err != nil {
			t.Fatal(err)
		}
		root, err := blob.CheckLayout(t.Context(), blob.Bytes("application/vnd.ocm.software.oci.layout.v1+tar", raw))
		if err != nil {
			t.Fatal(err)
		}
		if root.Digest != want {
			t.Errorf("certificates %q: the image is %s, expected %s", ca, root.Digest, want)
		}
	}
}

func TestImageThatCannotBe(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.tar")
	for _, args := range [][]string{{""}, {"tool"}, {"a/b", "linux/amd64=x"}, {"tool", "linux=x"}, {"tool", "linux/amd64=/nowhere"}, {"tool", "linux/amd64"}} {
		if err := run(t.Context(), out, args[0], "", args[1:]); err == nil {
			t.Errorf("%q: no error", args)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q: something was written", args)
		}
	}
}
