// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pluginBench runs commands with a folder of plugins of their own.
type pluginBench struct {
	*testing.T
	dir string
}

func newPluginBench(t *testing.T) *pluginBench {
	b := &pluginBench{t, t.TempDir()}
	b.write("config.yaml", "type: generic.config.ocm.software/v1\nconfigurations: []\n")
	b.run(0, "create", "rsakeypair", b.path("rsa.priv"), b.path("rsa.pub"))
	return b
}

func (b *pluginBench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *pluginBench) write(name, text string) {
	b.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *pluginBench) run(want int, args ...string) string {
	b.Helper()
	var out, errOut bytes.Buffer
	args = append(args, "--config", b.path("config.yaml"), "--plugin-directory", b.path("plugins"), "--quiet")
	if status := run(args, strings.NewReader(""), &out, &errOut, time.Now); status != want {
		b.Fatalf("%q: status %d, expected %d\n%s%s", args, status, want, &out, &errOut)
	}
	return out.String()
}

// pack makes a plugin that leaves a file when it is run, in place of one of the same version.
func (b *pluginBench) pack(version, marker string) {
	b.Helper()
	program := fmt.Sprintf("#!/bin/sh\ntouch %s\necho '{\"protocol\": \"ocm.software/plugin/v1\", \"name\": \"scan\", \"capabilities\": [{\"type\": \"accessMethod\", \"names\": [\"scan/v1\"]}]}'\n", b.path(marker))
	b.write("scan.sh", program)
	b.write("constructor.yaml", "name: acme.org/scan\nversion: "+version+"\nprovider: {name: acme.org}\nresources:\n- {name: scan, type: ocmPlugin, input: {type: file, path: scan.sh}}\n")
	b.run(0, "add", "cv", "-r", b.path("archive"), "-c", b.path("constructor.yaml"), "--component-version-conflict-policy", "replace")
}

func (b *pluginBench) ran(marker string) bool {
	_, err := os.Stat(b.path(marker))
	return err == nil
}

// In that compromise tags of releases were moved to programs of somebody else, which then ran wherever the tool was fetched by its tag. A
// version that is exchanged, or is newer than what is trusted, is not run here, in whatever way it is asked for.
func TestCVE_2026_33634_ExchangedReleaseIsNotRun(t *testing.T) {
	t.Parallel()
	b := newPluginBench(t)
	at := b.path("archive") + "//acme.org/scan"
	b.pack("1.0.0", "good")
	b.run(0, "sign", "cv", at+":1.0.0", "--private-key", b.path("rsa.priv"))
	b.run(0, "plugin", "install", at+":1.0.0", "--public-key", b.path("rsa.pub"))
	before, err := os.ReadFile(b.path("plugins/scan"))
	if err != nil || !b.ran("good") {
		t.Fatal("the good one was not installed", err)
	}
	b.run(0, "create", "rsakeypair", b.path("evil.priv"), b.path("evil.pub"))
	for _, version := range []string{"1.0.0", "1.0.1"} {
		b.pack(version, "evil")
		for _, signed := range []bool{false, true} {
			if signed {
				b.run(0, "sign", "cv", at+":"+version, "--private-key", b.path("evil.priv"))
			}
			for _, reference := range []string{at + ":" + version, at} {
				b.run(4, "plugin", "install", reference, "--public-key", b.path("rsa.pub"))
				b.run(4, "plugin", "install", reference, "--public-key", b.path("rsa.pub"), "--force", "--skip-validation")
			}
			b.run(4, "download", "plugin", at+":"+version, "--public-key", b.path("rsa.pub"), "--output", b.path("other"))
		}
	}
	after, err := os.ReadFile(b.path("plugins/scan"))
	if err != nil || !bytes.Equal(before, after) || b.ran("evil") {
		t.Errorf("it was replaced, or the other one was run: %v", err)
	}
	if text := b.run(0, "plugin", "list", "-o", "json"); !strings.Contains(text, `"version": "1.0.0"`) || strings.Contains(text, "problem") || !strings.Contains(text, `"verified": true`) {
		t.Error(text)
	}
}
