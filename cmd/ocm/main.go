// SPDX-License-Identifier: Apache-2.0

// Command ocm packs, signs, transports and verifies software as component versions of
// the Open Component Model.
//
// Commands parse, libraries do, printers print: every command is one file with its
// options, its flags and a run function; what it does is in the packages of this module,
// reached through the methods of session in verbs.go. Results go to stdout, everything
// else to stderr. The exit status tells the kind of failure, see exit.go.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(30) // what lives is small: thousands of versions fit into a third less memory, for a tenth of CPU time
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, time.Now))
}

// run executes one command line and returns the exit status. The first signal asks the
// work to stop; a second one ends the process at once. now is the clock that certificates
// are judged by.
func run(args []string, in io.Reader, out, errOut io.Writer, now func() time.Time) int {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)

	a := &app{in: in, out: out, err: newScreen(errOut), getenv: os.Getenv, args: args, now: now, ctx: ctx}
	root := newRoot(a)
	root.SetArgs(args)
	return a.exit(root.ExecuteContext(ctx))
}
