// SPDX-License-Identifier: Apache-2.0

// Package plugintest makes plugins of a test binary: each a process of its own, which serves a kit of the test.
package plugintest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/internal/fixture"
	"ocm/plugin"
	"ocm/plugin/host"
	"ocm/plugin/wire"
)

// Main runs the tests; or, where the binary was started by a [Dir], the plugin of that name. TestMain calls nothing else.
func Main(m *testing.M, plugins map[string]func() *ocm.Kit) {
	if len(os.Args) == 2 && os.Args[1] == "capabilities" || os.Getenv(wire.PluginSocket) != "" {
		name := filepath.Base(os.Args[0])
		if kit, ok := plugins[name]; ok {
			plugin.Main(plugin.About{Name: name, Version: "1.0.0", About: "A plugin of a test."}, kit())
		}
	}
	Umask()
	os.Exit(m.Run())
}

// Dir is a folder with these plugins.
func Dir(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := errors.Join(fixture.LinkProgram(self, path), os.Chmod(path, 0o755)); err != nil { // the binary was built by somebody with a mask of his own
			t.Fatal(err)
		}
	}
	return dir
}

// Kit is a kit that has only what these plugins can do.
func Kit(t testing.TB, names ...string) *ocm.Kit {
	t.Helper()
	h := host.New(host.Options{Dirs: []string{Dir(t, names...)}, Memory: Memory})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	kit := ocm.NewKit()
	h.Attach(kit)
	return kit
}
