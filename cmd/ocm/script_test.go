// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
)

// Commands of scripts that look at results and prepare files.

// scriptExits runs a command that must end with an exit status:
//
//	exits STATUS COMMAND...
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

// scriptExample puts one of the example plugins into a folder; what is in Go is built:
//
//	example NAME DIR
func scriptExample(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: example NAME DIR")
	}
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o700))
	plugin, source := filepath.Join(dir, args[0]), filepath.Join("../../examples/plugins", args[0])
	if script, err := os.ReadFile(filepath.Join(source, args[0])); err == nil {
		ts.Check(fixture.Program(plugin, script))
		return
	}
	if out, err := exec.Command("go", "build", "-o", plugin, "./"+source).CombinedOutput(); err != nil {
		ts.Fatalf("%v: %s", err, out)
	}
}

// scriptTamper flips all bits of one byte; a negative offset counts from the end:
//
//	tamper FILE OFFSET
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

// scriptJSON compares the value at a path such as 0.component.name, "#" for a length:
//
//	json FILE PATH VALUE
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

// scriptStdout2env sets a variable to the last standard output, without line end:
//
//	stdout2env NAME
func scriptStdout2env(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stdout2env NAME")
	}
	ts.Setenv(args[0], strings.TrimRight(ts.ReadFile("stdout"), "\n"))
}

// scriptGolden copies the archives that other OCM tools wrote to $WORK/golden:
//
//	golden
func scriptGolden(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: golden")
	}
	ts.Check(os.CopyFS(ts.MkAbs("golden"), os.DirFS(ts.Getenv("GOLDEN"))))
}

// scriptSnapshot remembers what is in folders; unchanged compares:
//
//	snapshot DIR...
//	unchanged DIR...
func scriptSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		ts.Setenv("SNAPSHOT_"+dir, treeOf(ts, dir))
	}
}

func scriptUnchanged(ts *testscript.TestScript, neg bool, args []string) {
	for _, dir := range args {
		if before, now := ts.Getenv("SNAPSHOT_"+dir), treeOf(ts, dir); (before == now) == neg {
			ts.Fatalf("%s was\n%s\nand is\n%s", dir, before, now)
		}
	}
}

// treeOf lists the files below a folder with their digests.
func treeOf(ts *testscript.TestScript, dir string) string {
	var b strings.Builder
	root := os.DirFS(ts.MkAbs(dir))
	ts.Check(fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(root, path)
		fmt.Fprintf(&b, "%x %s\n", sha256.Sum256(raw), path)
		return err
	}))
	return b.String()
}

// canMount is the condition [mount]: small file systems can be mounted here.
var canMount = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "ocm-test-")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	return mount(dir, "64k") == nil && exec.Command("umount", dir).Run() == nil
})

// canUnshare is the condition [world]: a script can have a network and file systems of its own here. In CI it must.
func canUnshare() bool {
	as := []string{"--net", "--mount", "true"}
	if os.Getuid() != 0 {
		as = append([]string{"--map-root-user"}, as...)
	}
	return os.Getenv("CI") == "true" || exec.Command("unshare", as...).Run() == nil
}

func mount(dir, size string) error {
	return exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).Run()
}

// scriptDisk mounts a small file system, under the condition [mount]; a second call with "ro"
// makes it read-only:
//
//	disk DIR SIZE
//	disk DIR ro
func scriptDisk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: disk DIR SIZE|ro")
	}
	dir := ts.MkAbs(args[0])
	if args[1] == "ro" {
		ts.Check(exec.Command("mount", "-o", "remount,ro", dir).Run())
		return
	}
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(mount(dir, args[1]))
	ts.Defer(func() { ts.Check(exec.Command("umount", "-l", dir).Run()) })
}

// scriptFit fails if a line of the last standard output is wider than that many characters:
//
//	fit WIDTH
func scriptFit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fit WIDTH")
	}
	width, err := strconv.Atoi(args[0])
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > width {
			ts.Fatalf("%d characters: %s", n, line)
		}
	}
}
