// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"ocm/internal/fixture"
	"ocm/internal/plugintest"
	"ocm/sign/timestamp/tsatest"
)

// TestMain makes this test binary the ocm command too, which scripts find on their PATH. $NOW
// sets its clock; the real command has no such variable.
func TestMain(m *testing.M) {
	plugintest.Umask()
	testscript.Main(m, map[string]func(){"ocm": func() {
		now := time.Now
		if t, err := time.Parse(time.RFC3339, os.Getenv("NOW")); err == nil {
			now = func() time.Time { return t }
		}
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, now))
	}, "work-plugin": workPlugin, "say-plugin": sayPlugin})
}

// TestScripts runs the scripts in testdata/script, each in an empty folder $WORK with a
// home of its own. What they can do beside testscript's commands is in script_test.go and
// server_test.go.
func TestScripts(t *testing.T) {
	authority := tsatest.New(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               isolate,
		Condition: func(cond string) (bool, error) {
			if cond == "mount" {
				return canMount(), nil
			}
			if cond == "world" {
				return canUnshare(), nil
			}
			if cond == "plugins" {
				return newRoot(&app{out: io.Discard, err: newScreen(io.Discard), getenv: os.Getenv}).PersistentFlags().Lookup("plugin-directory") != nil, nil
			}
			if peer, ok := strings.CutPrefix(cond, "peer:"); ok {
				return fixture.Installed(peer), nil
			}
			return false, errors.New("unknown condition")
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":          scriptExits,
			"example":        scriptExample,
			"tamper":         scriptTamper,
			"json":           scriptJSON,
			"stdout2env":     scriptStdout2env,
			"golden":         scriptGolden,
			"snapshot":       scriptSnapshot,
			"unchanged":      scriptUnchanged,
			"disk":           scriptDisk,
			"plugin":         scriptPlugin,
			"fit":            scriptFit,
			"registry":       scriptRegistry,
			"badregistry":    scriptBadRegistry,
			"attach":         scriptAttach,
			"image":          scriptImage,
			"attach-all":     scriptAttachAll,
			"chartrepo":      scriptChartRepo,
			"tsa":            func(ts *testscript.TestScript, neg bool, args []string) { scriptTSA(ts, authority, neg, args) },
			"uploading":      scriptUploading,
			"files":          scriptFiles,
			"proxy":          scriptProxy,
			"commit":         scriptCommit,
			"gitserver":      scriptGitServer,
			"github":         scriptGitHub,
			"versitygw":      scriptVersityGW,
			"verdaccio":      scriptVerdaccio,
			"maven":          scriptMaven,
			"fill":           scriptFill,
			"vault":          scriptVault,
			"lockedregistry": scriptLockedRegistry,
			"dockerd":        scriptDockerd,
			"webdav":         scriptWebDAV,
			"until":          scriptUntil,
		},
	})
}

// isolate keeps the configuration of whoever runs the tests away from them.
func isolate(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, ".home")
	golden, err := filepath.Abs("../../ctf/testdata/golden")
	if err != nil {
		return err
	}
	sovereign, err := filepath.Abs("../../conformance/sovereign")
	if err != nil {
		return err
	}
	env.Setenv("GOLDEN", golden)
	env.Setenv("SOVEREIGN", sovereign)
	env.Setenv("HOME", home)
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "OCM_CONFIG"} {
		env.Setenv(name, "")
	}
	env.Values[uploads{}] = make(chan struct{})
	env.Setenv("GOOS", runtime.GOOS)
	env.Setenv("GOARCH", runtime.GOARCH)
	return os.Mkdir(home, 0o700)
}

// TestExamples makes sure that every command has an example and that a script runs each
// of its lines; ghcr.io in an example is $REGISTRY in a script.
func TestExamples(t *testing.T) {
	var ran []string
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts:", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			line = strings.ReplaceAll(strings.TrimSpace(line), "$REGISTRY", "ghcr.io")
			line = strings.TrimPrefix(line, "until URL ") // beside the script
			if command, ok := strings.CutPrefix(line, "exec ocm "); ok {
				ran = append(ran, command)
			}
		}
	}
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		lines := 0
		for line := range strings.Lines(cmd.Example) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			lines++
			if command, ok := strings.CutPrefix(line, "ocm "); !ok || !slices.Contains(ran, command) {
				t.Errorf("%s: no script runs the example %q", cmd.CommandPath(), line)
			}
		}
		if lines == 0 && cmd.RunE != nil && !cmd.HasSubCommands() && cmd.Name() != "help" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newRoot(&app{out: io.Discard, err: newScreen(io.Discard), getenv: os.Getenv}))
}
