// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
	"ocm/internal/worktest"
	"ocm/plugin"
)

// workPlugin is a plugin of scripts: it uploads into folders, and decompresses.
func workPlugin() {
	plugin.Main(plugin.About{Name: "work", Version: "1.0.0", About: "Folders, and content that is compressed."}, worktest.Kit())
}

// scriptPlugin puts a plugin into a folder:
//
//	plugin NAME DIR
func scriptPlugin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: plugin NAME DIR")
	}
	from, err := exec.LookPath(args[0]) // where testscript has put the commands that this binary is
	ts.Check(err)
	from, err = filepath.EvalSymlinks(from)
	ts.Check(err)
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(fixture.LinkProgram(from, filepath.Join(dir, args[0])))
}
