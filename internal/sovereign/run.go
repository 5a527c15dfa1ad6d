// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// cleanupTimeout bounds what is done after a run was interrupted.
const cleanupTimeout = 30 * time.Second

// run runs documents from the beginning to the end: worlds, cluster, blocks, the last checks, the record.
func run(ctx context.Context, o options) error {
	var blocks []block
	for _, name := range o.documents {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		some, err := parse(name, string(text))
		if err != nil {
			return err
		}
		blocks = append(blocks, some...)
	}
	if len(blocks) == 0 {
		return errors.New("the documents have no blocks for a world")
	}
	if err := has(blocks, o.only); err != nil {
		return err
	}
	if os.Geteuid() != 0 { // worlds could be made, but not pods that run as other users
		return errors.New("root is needed: pods run as users of their own")
	}
	l, err := newLab(o)
	if err != nil {
		return err
	}
	rec := newRecord(o)
	err = inWorlds(ctx, o, l, rec, blocks)
	rec.end(err)
	folder := filepath.Dir(l.dir)
	if writeErr := rec.write(folder); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	fmt.Printf("\n%s\nrecord: %s and %s\n", rec.summary(), filepath.Join(folder, "record.json"), "record.html")
	return err
}

// has refuses a heading, if one is given, that no block stands under.
func has(blocks []block, heading string) error {
	if heading == "" || slices.ContainsFunc(blocks, func(b block) bool { return b.Heading == heading }) {
		return nil
	}
	return fmt.Errorf("no section with the heading %q has blocks", heading)
}

// inWorlds makes the worlds, proves that they are apart, and lets the blocks run in them.
func inWorlds(ctx context.Context, o options, l *lab, rec *record, blocks []block) (err error) {
	fmt.Println("Two worlds")
	w, err := newWorlds(l)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.apart(ctx, rec); err != nil {
		return err
	}
	start := time.Now()
	c, err := w.startCluster(ctx, l, o.light)
	if err := rec.add("a cluster in the target", start, err); err != nil {
		return err
	}
	defer c.stop()
	fmt.Printf("  a cluster in the target after %.1fs\n", time.Since(start).Seconds())
	r := &runner{lab: l, record: rec, out: os.Stdout, verbose: o.verbose, light: o.light, command: w.command}
	r.ocm = func(ctx context.Context, args ...string) ([]byte, error) { return r.output(ctx, carry, "ocm", args...) }
	rec.programs(ctx, r)
	err = r.all(ctx, blocks, o.only)
	if err == nil {
		err = keyStayed(l, w.of[target].PID(), rec)
	}
	if err != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		r.tellFailure(late, err)
	}
	if o.keep && ctx.Err() == nil {
		w.stay(ctx, l)
	}
	return err
}
