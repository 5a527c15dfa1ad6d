// SPDX-License-Identifier: Apache-2.0

// Command k8sbench measures ocm-controller against a bare client that writes the same finalizers and statuses into the same objects, in
// turn, each time into a cluster of its own that has never seen anybody else; and then how much it does when there is nothing to do. Run
// it by "make bench-k8s"; docs/benchmarks.md tells what is compared with what.
//
//	main.go      flags and the sizes
//	round.go     clusters and what happens in them
//	process.go   the programs that are measured
//	bare.go      the bare client, which is this program
//	report.go    tables for people, and the section of docs/benchmarks.md
//	profile.go   profiles of ocm-controller
//	load/        component versions, objects, and a look at whether they are ready
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"ocm/internal/bench/kit"
	"ocm/internal/k8sbench/load"
)

type options struct {
	controller, flags  string
	dir, write         string
	sizes, profile     string
	rounds             int
	resources, content int
	parallel           int
	idle               time.Duration
}

func main() {
	ctrllog.SetLogger(logr.Discard())
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		os.Exit(bareMain(os.Args[2:]))
	}
	var o options
	flag.StringVar(&o.controller, "controller", "bin/ocm-controller", "the program to measure")
	flag.StringVar(&o.flags, "flags", "", "further flags of it")
	flag.StringVar(&o.dir, "dir", "", "where to work, up to 2 GiB; default: a temporary folder")
	flag.StringVar(&o.write, "write", "", "Markdown file whose measured part is replaced")
	flag.StringVar(&o.sizes, "sizes", "100,1000", "numbers of Components")
	flag.IntVar(&o.resources, "resources", 10, "Resources of each Component")
	flag.IntVar(&o.content, "content", 20, "component versions in the registry, which the Components share")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; medians are printed")
	flag.IntVar(&o.parallel, "parallel", 8, "what the bare client does at once; the default is what the controllers of Components and Resources do together")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long to watch the controllers when there is nothing to do; 0: not at all")
	flag.StringVar(&o.profile, "profile", "", "folder for profiles of ocm-controller, which is built anew for it; run in a clone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "k8sbench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	options
	ctx     context.Context
	out     io.Writer
	self    string // this program, to be run as the bare client
	dir     string // of this run
	results []result
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	b := &bench{options: o, ctx: ctx, out: out}
	if b.dir, err = os.MkdirTemp(o.dir, "ocm-k8sbench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.controller, err = filepath.Abs(o.controller); err != nil {
		return err
	}
	if b.profile != "" {
		if err := b.buildProfiled(); err != nil {
			return err
		}
	}
	for text := range strings.SplitSeq(o.sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return fmt.Errorf("-sizes %q: expected numbers, such as 100,1000", o.sizes)
		}
		r, err := b.measure(load.Plan{Components: n, Resources: min(o.resources, load.PerVersion), Versions: min(o.content, n)})
		if err != nil {
			return fmt.Errorf("%d Components: %w", n, err)
		}
		b.results = append(b.results, r)
	}
	if o.write != "" {
		return kit.Write(o.write, map[string]string{"controllers": b.markdown()})
	}
	return nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }
