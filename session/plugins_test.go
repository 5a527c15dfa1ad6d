// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/config"
	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/plugin/host"
)

// A session has the plugins of its configuration if its program wants any, and a confined one never has.
func TestPlugins(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the plugin is a script")
	}
	plugintest.Umask()
	ran := filepath.Join(t.TempDir(), "ran")
	text := "#!/bin/sh\ntouch '" + ran + "'\necho '{\"protocol\":\"ocm.software/plugin/v1\",\"name\":\"x\",\"capabilities\":[{\"type\":\"accessMethod\",\"names\":[\"mine\"]}]}'\n"
	file := filepath.Join(t.TempDir(), "plugin")
	if err := fixture.Program(file, []byte(text)); err != nil {
		t.Fatal(err)
	}
	parsed, err := config.Parse([]byte(`{"type":"plugin.config.ocm.software/v2alpha1","locations":["$PLUGINS"]}`))
	if err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string {
		return map[string]string{"PLUGINS": filepath.Dir(file), "HOME": filepath.Dir(file)}[name]
	}
	for name, c := range map[string]struct {
		options Options
		known   bool
	}{
		"configured":             {Options{Config: parsed, Plugins: &host.Options{}}, true},
		"named":                  {Options{Plugins: &host.Options{Dirs: []string{filepath.Dir(file)}}}, true},
		"others are named":       {Options{Config: parsed, Plugins: &host.Options{Dirs: []string{t.TempDir()}}}, false},
		"the program wants none": {Options{Config: parsed}, false},
		"confined":               {Options{Plugins: &host.Options{Dirs: []string{filepath.Dir(file)}}, Confined: true}, false},
		"nothing is configured":  {Options{Plugins: &host.Options{}}, false},
	} {
		os.Remove(ran)
		c.options.Kit, c.options.Env, c.options.Getenv = builtin.Kit(), &ocm.Env{}, getenv
		s, err := New(c.options)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := s.Kit.Access.For("ociArtifact"); err != nil {
			t.Error(name, err)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("%s: it ran before it was needed", name)
		}
		_, err = s.Kit.Access.For("mine")
		if _, absent := os.Stat(ran); (err == nil) != c.known || (absent == nil) != c.known {
			t.Errorf("%s: %v, ran: %v", name, err, absent == nil)
		}
		if err := s.LoadPlugins(); err != nil {
			t.Error(name, err)
		}
		s.Close()
	}
	s, err := New(Options{Kit: builtin.Kit(), Env: &ocm.Env{}, Config: parsed, Plugins: &host.Options{}, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.LoadPlugins(); err == nil || !strings.Contains(err.Error(), `"PLUGINS" is not set`) || errors.Is(err, ocm.ErrInvalid) {
		t.Error(err)
	}
}
