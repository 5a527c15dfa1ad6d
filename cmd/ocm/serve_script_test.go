// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptUntil runs a program beside the script, sets a variable to its first line of output, and lets the script go on. At the
// end of the script it is asked to end, which must be a success:
//
//	until NAME exec PROGRAM...
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || args[1] != "exec" {
		ts.Fatalf("usage: until NAME exec PROGRAM...")
	}
	bin, err := exec.LookPath(args[2])
	ts.Check(err)
	cmd := exec.Command(bin, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Scan()
	ts.Setenv(args[0], lines.Text())
	ts.Defer(func() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
		err := cmd.Wait()
		ts.Logf("%s ended: %v; it said:\n%s", args[2], err, said.String())
		ts.Check(err)
	})
	if lines.Text() == "" {
		ts.Fatalf("%s said nothing", strings.Join(args[2:], " "))
	}
}
