// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

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
		at("ca"): "sha256:8e2aaae9fa2abb15d893565e6a5f1b8e304b16177d0c3f6a0382194cbf3173f3",
	} {
		if err := run(t.Context(), options{out: at("image.tar"), name: "tool", ca: ca, config: program()}, []string{"linux/amd64=" + at("amd64"), "linux/arm64=" + at("arm64")}); err != nil {
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
		if err := run(t.Context(), options{out: out, name: args[0], config: program()}, args[1:]); err == nil {
			t.Errorf("%q: no error", args)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q: something was written", args)
		}
	}
}

func program() ociv1.ImageConfig { return ociv1.ImageConfig{User: "65532:65532", WorkingDir: "/"} }
