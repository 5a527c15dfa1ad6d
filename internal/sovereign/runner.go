// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	blockTimeout = 15 * time.Minute       // for one block
	followEvery  = 100 * time.Millisecond // how often output is looked for, where it is shown
)

// runner runs blocks. What they leave running runs until their world ends.
type runner struct {
	lab     *lab
	record  *record
	out     io.Writer
	verbose bool
	light   bool
	command func(ctx context.Context, s side, args ...string) *exec.Cmd // a command in the world of a side
	ocm     asker
	serial  int
}

// all runs blocks up to the first failure, or the end of the section only, if that is not empty.
func (r *runner) all(ctx context.Context, blocks []block, only string) error {
	heading, seen := "", false
	for _, b := range blocks {
		if only != "" && seen && b.Heading != only {
			return nil
		}
		seen = seen || b.Heading == only
		if b.Heading != heading {
			heading = b.Heading
			fmt.Fprintf(r.out, "\n%s\n", heading)
		}
		if err := r.one(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// one runs a block, and records it.
func (r *runner) one(ctx context.Context, b block) error {
	c := check{Name: b.Heading, Document: b.Document, Line: b.Line, Side: b.Side, Outcome: passed}
	place := fmt.Sprintf("%s:%d", b.Document, b.Line)
	if b.Real && r.light {
		c.Outcome = leftOut
		r.record.Checks = append(r.record.Checks, c)
		fmt.Fprintf(r.out, "  %-6s  %-44s left out: needs a node that runs pods\n", b.Side, place)
		return nil
	}
	read, before := r.reads(b), r.holds(b)
	there, err := entries(r.lab.site)
	if err != nil {
		return err
	}
	start := time.Now()
	output, err := r.run(ctx, b)
	c.Seconds = time.Since(start).Seconds()
	if err != nil {
		c.Outcome = failed
	}
	r.record.Checks = append(r.record.Checks, c)
	fmt.Fprintf(r.out, "  %-6s  %-44s %s %6.1fs\n", b.Side, place, c.Outcome, c.Seconds)
	if err != nil {
		return &blockError{block: b, output: output, err: err}
	}
	if b.Measure != "" {
		if read == 0 {
			read = r.holds(b) - before
		}
		r.record.rate(b, read, c.Seconds)
	}
	if b.Side == carry {
		return r.record.arrived(ctx, r.lab.site, there, r.ocm)
	}
	return nil
}

// blockError is a block that failed.
type blockError struct {
	block  block
	output string // path
	err    error
}

func (e *blockError) Error() string {
	return fmt.Sprintf("%s:%d: in section %q, on the side %q: %v", e.block.Document, e.block.Line, e.block.Heading, e.block.Side, e.err)
}
func (e *blockError) Unwrap() error { return e.err }

// onError says which command of a block has failed. It stands in the first line of the script, so that numbers of lines stay right.
const onError = `set -E; trap 'status=$?; echo "line $((LINENO + %d)) of the document, exit status $status: $BASH_COMMAND" >&2' ERR; `

// run runs the script of a block, and returns the file with what it printed.
func (r *runner) run(ctx context.Context, b block) (string, error) {
	r.serial++
	path := filepath.Join(r.lab.log, fmt.Sprintf("%02d-%s.log", r.serial, b.Side))
	output, err := os.Create(path) // a file and no pipe: what the block leaves running may go on writing
	if err != nil {
		return path, err
	}
	defer output.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, blockTimeout, fmt.Errorf("took more than %v", blockTimeout))
	defer cancel()
	cmd := r.command(ctx, b.Side, "bash", "-euo", "pipefail", "-c", fmt.Sprintf(onError, b.Line-1)+b.Script)
	cmd.Dir, cmd.Env = r.lab.folder(b.Side), r.lab.environment(b.Side)
	cmd.Stdout, cmd.Stderr = output, output
	done := make(chan struct{})
	followed := make(chan struct{})
	go func() { r.follow(path, done); close(followed) }()
	err = cmd.Run()
	close(done)
	<-followed
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return path, err
}

// output runs a command in the world of a side, and returns what it prints.
func (r *runner) output(ctx context.Context, s side, name string, args ...string) ([]byte, error) {
	cmd := r.command(ctx, s, append([]string{name}, args...)...)
	cmd.Dir, cmd.Env = r.lab.folder(s), r.lab.environment(s)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return out, nil
}

// follow shows what a block prints, where that is asked for.
func (r *runner) follow(path string, done <-chan struct{}) {
	if !r.verbose {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	w := &prefixer{w: r.out}
	for last := false; ; {
		_, _ = io.Copy(w, f)
		if last {
			return
		}
		select {
		case <-done:
			last = true // and once more
		case <-time.After(followEvery):
		}
	}
}

// prefixer marks the lines that pass through.
type prefixer struct {
	w      io.Writer
	inside bool // of a line
}

func (p *prefixer) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if !p.inside {
			line = "          | " + line
		}
		p.inside = !strings.HasSuffix(line, "\n")
		if _, err := io.WriteString(p.w, line); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// source is the repository in a script, say ./product.tar of ./product.tar//acme.org/product:1.0.0.
var source = regexp.MustCompile(`(?:^|\s)([^\s"':]+)//`)

// reads is how many bytes the archive has that a block verifies. Others are measured by what they write.
func (r *runner) reads(b block) int64 {
	m := source.FindStringSubmatch(b.Script)
	if b.Measure != "verify" || m == nil {
		return 0
	}
	return size(filepath.Join(r.lab.folder(b.Side), m[1]))
}

// holds is how many bytes there are where a measured block writes.
func (r *runner) holds(b block) int64 {
	if b.Measure == "" {
		return 0
	}
	return size(r.lab.folder(b.Side))
}

// tellFailure prints all that is needed to understand why a block failed.
func (r *runner) tellFailure(ctx context.Context, err error) {
	var b *blockError
	if !errors.As(err, &b) {
		return
	}
	fmt.Fprintf(r.out, "\n%v\n\nthe block:\n%s\nwhat it printed (%s):\n%s\n", err, indent(b.block.Script), r.lab.within(b.output), indent(tail(b.output)))
	if b.block.Side == target {
		r.tellCluster(ctx)
	}
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}

// tailBytes bounds how much of one output is told.
const tailBytes = 32 << 10

// tail is the end of a file.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
