// SPDX-License-Identifier: Apache-2.0

// Command ocm-controller carries verified component versions into a Kubernetes cluster, and keeps them there.
//
// Without a subcommand it runs the controllers of package deploy, in a cluster or, with --kubeconfig, beside one. Its subcommands
// are for people: what is running here, and where does it come from (report); give me what was good before (rollback).
//
// Flags that the existing controllers have are accepted with their names and defaults, so that a Deployment written for them works.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"ocm"
	"ocm/deploy/render"
)

func main() {
	render.Main() // charts are rendered by this program in a process of its own
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses, those of the ocm command.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDenied   = 5
)

// run executes one command line and returns the exit status. The first signal asks the work to stop, a second one ends the process.
func run(args []string, out, errOut io.Writer) int {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release)

	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(errOut, "Error: "+err.Error())
	return status(err)
}

// usageError is a command line that cannot be right.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// status tells the kind of an error.
func status(err error) int {
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.Is(err, ocm.ErrNotFound):
		return exitNotFound
	case errors.Is(err, ocm.ErrDenied):
		return exitDenied
	}
	return exitFailed
}
