// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command sovereign runs documents that tell how a product gets into an environment without any connection, and writes a record of it. The
// fenced blocks of a document are what runs: those marked "sh build" in the world that makes the product, "sh target" in the one that
// runs it, "sh carry" between them, where files are copied. The worlds are network namespaces that reach nothing but themselves; in the
// target is a Kubernetes cluster. A further word "real" is for blocks that need pods to run, and are left out with -light.
//
//	go run ./internal/sovereign docs/sovereign.md conformance/sovereign/hardships.md
//
// The worlds end with this program, however it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// The first argument of a process that this program has started in a world.
const (
	asCluster = "inside-cluster" // the cluster of the target
	asListen  = "inside-listen"  // a listener, to prove that the worlds cannot reach each other
	asDial    = "inside-dial"    // who tries to reach it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sovereign:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) > 1 {
		switch args[0] {
		case asCluster:
			return serveCluster(ctx, args[1:])
		case asListen:
			return listen(ctx, args[1])
		case asDial:
			return dial(ctx, args[1])
		}
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return run(ctx, o)
}

// options are those of the command line.
type options struct {
	light     bool
	keep      bool
	verbose   bool
	dir       string // of everything that a run writes
	only      string // heading
	root      string // of the project
	documents []string
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("sovereign", flag.ContinueOnError)
	flags.BoolVar(&o.light, "light", false, "kwok in place of a node: blocks that need pods to run are left out")
	flags.BoolVar(&o.keep, "keep", false, "stay at the end, or where it failed, for a look around, until interrupted")
	flags.BoolVar(&o.verbose, "v", false, "show what the blocks print while they run")
	flags.StringVar(&o.dir, "dir", filepath.Join("bin", "sovereign", "run"), "folder of the run; an earlier run in it is removed")
	flags.StringVar(&o.only, "only", "", "end after the section with this heading")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.documents = flags.Args(); len(o.documents) == 0 {
		return o, errors.New("usage: sovereign [-light] [-keep] [-v] [-dir DIR] [-only HEADING] DOCUMENT…")
	}
	var err error
	if o.root, err = os.Getwd(); err != nil {
		return o, err
	}
	if _, err := os.Stat(filepath.Join(o.root, "conformance", "sovereign")); err != nil {
		return o, fmt.Errorf("run it in the root of the project: %w", err)
	}
	o.dir, err = filepath.Abs(o.dir)
	return o, err
}
