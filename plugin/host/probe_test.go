// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/plugin/host"
	"ocm/plugin/installed"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	dir := plugintest.Dir(t, "echo")
	h := host.New(host.Options{})
	p, err := h.Probe(t.Context(), filepath.Join(dir, "echo"))
	if err != nil || p.Capabilities.Name != "echo" || len(p.Capabilities.Capabilities) != 1 {
		t.Fatal(p, err)
	}
	idle := filepath.Join(dir, "idle")
	if err := fixture.Program(idle, []byte("#!/bin/sh\necho '{\"protocol\":\"ocm.software/plugin/v1\",\"name\":\"idle\",\"capabilities\":[]}'\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Probe(t.Context(), idle); !errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}

// A plugin that is not what was installed is not run, and does not keep others from it.
func TestChangedPluginIsNotRun(t *testing.T) {
	t.Parallel()
	dir, ran := plugintest.Dir(t, "echo"), filepath.Join(t.TempDir(), "ran")
	stage, err := installed.Begin(dir, "changed")
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Drop()
	program := []byte("#!/bin/sh\ntouch " + ran + "\n")
	if err := os.WriteFile(stage.Path, program, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := stage.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := stage.Finish(installed.Record{Component: "acme.org/changed", Version: "1.0.0"}, func(*installed.Record, bool) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := fixture.Program(filepath.Join(dir, "changed"), append(program, '\n')); err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{Dirs: []string{dir}})
	defer h.Close()
	plugins, err := h.Plugins()
	if len(plugins) != 1 || plugins[0].Name != "echo" || !errors.Is(err, ocm.ErrDigest) || !strings.Contains(err.Error(), "acme.org/changed:1.0.0") {
		t.Error(plugins, err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
}

// A path that is relative means the same file for who verified it and for who runs it. It runs in another folder, where that path
// could lead to a program that nobody looked at.
func TestProbeOfRelativePath(t *testing.T) {
	plugintest.Umask()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("new", 0o700); err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\necho '{\"protocol\":\"ocm.software/plugin/v1\",\"name\":\"x\",\"capabilities\":[{\"type\":\"accessMethod\",\"names\":[\"x\"]}]}'\n"
	path := filepath.Join("new", "script")
	if err := fixture.Program(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if p, err := host.New(host.Options{}).Probe(t.Context(), path); err != nil || !filepath.IsAbs(p.Path) {
		t.Fatal(p, err)
	}
}

// A process that was started while a program was written has it open for a moment, and the system does not run it then.
func TestProbeOfWhatIsStillOpen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems run what is being written, or have other words for it")
	}
	path := filepath.Join(plugintest.Dir(t, "echo"), "script")
	if err := fixture.Program(path, []byte("#!/bin/sh\necho '{\"protocol\":\"ocm.software/plugin/v1\",\"name\":\"x\",\"capabilities\":[{\"type\":\"accessMethod\",\"names\":[\"x\"]}]}'\n")); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(50*time.Millisecond, func() { writer.Close() }).Stop()
	if _, err := host.New(host.Options{}).Probe(t.Context(), path); err != nil {
		t.Error(err)
	}
}
