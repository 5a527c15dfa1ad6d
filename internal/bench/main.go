// SPDX-License-Identifier: Apache-2.0

// Command bench measures the ocm command against plain tools that do the same work, in the same
// run and in turn, and prints ratios of medians. Run it by "make bench"; docs/benchmarks.md tells
// what is compared with what.
//
//	main.go      flags and the list of cases
//	measure.go   running processes in rounds: time, CPU, peak memory
//	registry.go  real registry servers, filled and emptied
//	proxy.go     delay and counting of requests, in front of a registry
//	bare.go      the least that a client can do, as a yardstick
//	data.go      what is moved
//	images.go small.go memory.go local.go verify.go    the cases
//	report.go machine.go    tables for people, sections of docs/benchmarks.md
//	profile.go   CPU profiles of ocm
//	kit/         what the bench of the controllers has as well
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

// cases in the order in which they run; their letters are those of docs/benchmarks.md.
var cases = []struct {
	id, title string
	run       func(*bench) error
}{
	{"a", "Large images between registries and archives", (*bench).images},
	{"b", "Large images from archive to archive", (*bench).imagesLocally},
	{"c", "Many small components", (*bench).small},
	{"d", "Many small components, with 20 ms of delay", (*bench).smallDelayed},
	{"e", "The second run, when nothing has changed", (*bench).secondRun},
	{"f", "Peak memory and the size of a blob", (*bench).memory},
	{"g", "A tar archive of 50 GiB", (*bench).hugeTar},
	{"h", "Packing, starting, listing", (*bench).local},
	{"i", "Verifying", (*bench).verify},
}

type options struct {
	ocm, dir, storage string
	write, only       string
	profile           string
	runs, parallel    int
	scale             float64
	full, verbose     bool
	quick             bool // for a test: does everything, but carelessly
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		os.Exit(bareMain(os.Args[2:]))
	}
	var o options
	flag.StringVar(&o.ocm, "ocm", "bin/ocm", "the command to measure; crane and regctl are looked for beside it, then on PATH")
	flag.StringVar(&o.dir, "dir", "", "where to work, up to 20 GiB; default: a temporary folder")
	flag.StringVar(&o.storage, "storage", "", "where the registries keep their files, such as /dev/shm; default: the same folder")
	flag.StringVar(&o.write, "write", "", "Markdown file whose measured parts are replaced")
	flag.StringVar(&o.only, "only", "", "letters of the cases to run, such as a,c; default: all")
	flag.IntVar(&o.runs, "runs", 5, "rounds; medians are printed")
	flag.IntVar(&o.parallel, "parallel", 0, "parallelism of ocm and of the bare client; default: that of ocm")
	flag.Float64Var(&o.scale, "scale", 1, "sizes and numbers are multiplied by this, to try things out")
	flag.BoolVar(&o.full, "full", false, "also the largest: a blob of 4 GiB")
	flag.BoolVar(&o.verbose, "v", false, "tell the kinds of requests")
	flag.StringVar(&o.profile, "profile", "", "folder for CPU profiles of ocm, which is built anew for it; run in a clone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	debug.SetGCPercent(25) // see kit.Tail
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run: where it works, what it starts, what it has measured so far.
type bench struct {
	options
	ctx          context.Context
	out          io.Writer
	bareParallel int       // as ocm's
	self         string    // this program, to be run as the bare client
	peersAt      string    // where peers are looked for first
	dir          string    // of this run
	storage      string    // of this run's registries
	source       *registry // filled once
	target       *registry // emptied before each run
	made         map[string]bool
	results      []section
	writes       int64 // bytes that a run of this case writes, if that is what it costs; see warm
}

func run(ctx context.Context, o options, out io.Writer) error {
	b := &bench{options: o, ctx: ctx, out: out, made: map[string]bool{}}
	defer b.close()
	if err := b.prepare(); err != nil {
		return err
	}
	selected := strings.FieldsFunc(o.only, func(r rune) bool { return r == ',' })
	for _, c := range cases {
		if len(selected) > 0 && !slices.Contains(selected, c.id) {
			continue
		}
		b.begin(c.id, c.title)
		if err := c.run(b); err != nil {
			return fmt.Errorf("case %s: %w", c.id, err)
		}
		if o.write != "" {
			if err := b.writeReport(o.write); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare makes the folders to work in, which close removes.
func (b *bench) prepare() (err error) {
	if b.dir, err = os.MkdirTemp(b.options.dir, "ocm-bench-"); err != nil {
		return err
	}
	b.storage = b.dir
	if b.options.storage != "" {
		if b.storage, err = os.MkdirTemp(b.options.storage, "ocm-bench-"); err != nil {
			return err
		}
	}
	for _, name := range []string{"home", "tmp"} {
		if err := os.Mkdir(b.path(name), 0o755); err != nil {
			return err
		}
	}
	if b.ocm, err = filepath.Abs(b.options.ocm); err != nil {
		return err
	}
	b.peersAt = filepath.Dir(b.ocm)
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.bareParallel = b.parallel; b.bareParallel == 0 {
		b.bareParallel = b.defaultParallel()
	}
	if b.profile != "" {
		return b.buildProfiled()
	}
	return nil
}

func (b *bench) close() {
	for _, r := range []*registry{b.source, b.target} {
		if r != nil {
			r.close()
		}
	}
	for _, dir := range []string{b.dir, b.storage} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
}

func (b *bench) path(name ...string) string {
	return filepath.Join(b.dir, filepath.Join(name...))
}

// count scales a number of things, size a number of bytes.
func (b *bench) count(n int) int { return max(int(float64(n)*b.scale), 4) }

func (b *bench) size(n int64) int64 { return max(int64(float64(n)*b.scale), 4<<10) }

// once says whether name is asked for the first time: data that several cases use is made once.
func (b *bench) once(name string) bool {
	first := !b.made[name]
	b.made[name] = true
	return first
}
