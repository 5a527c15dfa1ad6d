// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// wired tells scripts whether the verbs are built in.
const wired = true

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ocm": main})
}

// TestScripts runs the scripts in testdata/script, each in an empty folder $WORK with a
// home of its own. Beside testscript's commands there are:
//
//	exits STATUS COMMAND...   run a command that must end with this exit status
//	registry                  start an empty OCI registry, set $REGISTRY to its host:port
//	tamper FILE OFFSET        flip all bits of one byte; a negative offset counts from the end
//	json FILE PATH VALUE      the value at a path such as 0.component.name, "#" for a length
//	stdout2env NAME           set a variable to the last standard output, without line end
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               isolate,
		Condition: func(cond string) (bool, error) {
			if cond == "wired" {
				return wired, nil
			}
			return false, errors.New("unknown condition")
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      scriptExits,
			"registry":   scriptRegistry,
			"tamper":     scriptTamper,
			"json":       scriptJSON,
			"stdout2env": scriptStdout2env,
		},
	})
}

// isolate keeps the configuration of whoever runs the tests away from them.
func isolate(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, ".home")
	env.Setenv("HOME", home)
	for _, name := range []string{"XDG_CONFIG_HOME", "DOCKER_CONFIG", "OCM_CONFIG"} {
		env.Setenv(name, "")
	}
	env.Setenv("GOOS", runtime.GOOS)
	env.Setenv("GOARCH", runtime.GOARCH)
	return os.Mkdir(home, 0o700)
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := 0, error(nil)
	if len(args) > 1 {
		want, err = strconv.Atoi(args[0])
	}
	if neg || len(args) < 2 || err != nil {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, expected %d", got, want)
	}
}

func scriptRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: registry")
	}
	handler := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem},
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	server := httptest.NewServer(handler)
	ts.Defer(func() {
		server.Close()
		ts.Check(handler.Close())
	})
	ts.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
}

func scriptTamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tamper FILE OFFSET")
	}
	path := ts.MkAbs(args[0])
	raw, err := os.ReadFile(path)
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(raw)
	}
	if at < 0 || at >= len(raw) {
		ts.Fatalf("%s has %d bytes", args[0], len(raw))
	}
	raw[at] ^= 0xff
	ts.Check(os.Chmod(path, 0o600))
	ts.Check(os.WriteFile(path, raw, 0o600))
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH VALUE")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for step := range strings.SplitSeq(args[1], ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			if step == "#" {
				v = len(x)
				continue
			}
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(x) {
				ts.Fatalf("%s: %q is no index into %d entries", args[1], step, len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("%s: nothing below %q", args[1], step)
		}
	}
	got, isText := v.(string)
	if !isText {
		raw, err := json.Marshal(v)
		ts.Check(err)
		got = string(raw)
	}
	if (got == args[2]) == neg {
		ts.Fatalf("%s is %s, which was expected to be %s: %v", args[1], got, args[2], !neg)
	}
}

func scriptStdout2env(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stdout2env NAME")
	}
	ts.Setenv(args[0], strings.TrimRight(ts.ReadFile("stdout"), "\n"))
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
