// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ocm/internal/bench/kit"
)

// cost is what one process took, with the processes that it started.
type cost struct {
	wall, cpu time.Duration
	peak      int64 // bytes; of the largest process
}

// ends are the addresses, host:port, by which a run reaches the two registries.
type ends struct{ source, target string }

// slug names data that holds these addresses.
func (e ends) slug() string { return e.source[strings.LastIndexByte(e.source, ':')+1:] }

// contender is one way to do the work of a case.
type contender struct {
	name  string
	ours  bool
	slow  bool                  // through the delay
	extra bool                  // told, but not what ours is judged by
	fresh func() error          // the target as it must be before a run; nil: as it is
	cmd   func(e ends) []string // the program and its arguments
}

// environment keeps the settings of whoever runs this out of the measured programs, and their
// temporary files in the folder that is removed.
func (b *bench) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return strings.HasPrefix(name, "OCM_") || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "DOCKER_") ||
			name == "REGISTRY_AUTH_FILE" || name == "SOURCE_DATE_EPOCH"
	})
	return append(env, "HOME="+b.path("home"), "TMPDIR="+b.path("tmp"), "OTEL_TRACES_EXPORTER=none")
}

func (b *bench) exec(args ...string) (cost, error) {
	cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = b.dir, append(b.environment(), b.profileOf(args)...)
	out := &kit.Tail{}
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(start)}
	if err != nil {
		return c, errors.Join(b.ctx.Err(), fmt.Errorf("%.300s: %w\n%s", strings.Join(args, " "), err, out))
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = u.Maxrss << 10
	}
	return c, nil
}

const quiet = "--quiet"

// do runs ocm where nothing is measured.
func (b *bench) do(args ...string) error {
	_, err := b.exec(append([]string{b.ocm, quiet}, args...)...)
	return err
}

// settle empties the queue of the disk, so that nobody pays for what others wrote.
func (b *bench) settle() error {
	if b.quick {
		return nil
	}
	if err := b.shell("sync", "-f", b.dir, b.storage); err != nil {
		return err
	}
	for _, dir := range []string{b.dir, b.storage} {
		if err := b.warm(filepath.Join(dir, "warm")); err != nil {
			return err
		}
	}
	return nil
}

// warm writes as much as a run will and removes it. A virtual machine gets its memory from the host when it is
// first written to, and may give it back when it is free: whoever came first would pay for that, up to
// twice the time of a whole run.
func (b *bench) warm(path string) error {
	if b.writes == 0 {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	zero := make([]byte, 1<<20)
	for n := int64(0); n < b.writes && err == nil; n += int64(len(zero)) {
		_, err = f.Write(zero)
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}

// runOnce runs a contender one time.
func (b *bench) runOnce(c contender, e ends) (cost, error) {
	if c.fresh != nil {
		if err := c.fresh(); err != nil {
			return cost{}, err
		}
	}
	if err := b.settle(); err != nil {
		return cost{}, err
	}
	got, err := b.exec(c.cmd(e)...)
	if err != nil {
		err = fmt.Errorf("%s: %w", c.name, err)
	}
	return got, err
}

// compare runs contenders in turn, each round in another order, and after that once more through
// counters. It prints a line per contender; the first line is ours.
func (b *bench) compare(name string, contenders ...contender) ([]line, error) {
	costs := make([][]cost, len(contenders))
	for round := range b.runs {
		for i := range contenders {
			k := (i + round) % len(contenders)
			c, err := b.runOnce(contenders[k], b.reach(contenders[k].slow))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			costs[k] = append(costs[k], c)
		}
	}
	var lines []line
	for i, c := range contenders {
		l := line{Case: name, Who: c.name, Ours: c.ours, Extra: c.extra, Cost: median(costs[i]), Rounds: costs[i]}
		if b.source != nil && !c.slow {
			t, err := b.counted(c)
			if err != nil {
				return nil, err
			}
			l.Traffic = &t
		}
		lines = append(lines, l)
	}
	b.add(lines...)
	return lines, nil
}

// counted runs a contender once through the counters.
func (b *bench) counted(c contender) (traffic, error) {
	if c.fresh != nil {
		if err := c.fresh(); err != nil {
			return traffic{}, err
		}
	}
	before := b.source.counter.sum().plus(1, b.target.counter.sum())
	if _, err := b.exec(c.cmd(b.viaCounters())...); err != nil {
		return traffic{}, fmt.Errorf("%s, counted: %w", c.name, err)
	}
	return b.source.counter.sum().plus(1, b.target.counter.sum()).plus(-1, before), nil
}

// moved complains where somebody was fast because nothing was done.
func moved(lines []line, atLeast int64) error {
	for _, l := range lines {
		if l.Traffic != nil && l.Traffic.bytes() < atLeast {
			return fmt.Errorf("%s: %s moved %d bytes, at least %d were to be moved", l.Case, l.Who, l.Traffic.bytes(), atLeast)
		}
	}
	return nil
}

// median is that of the times; peak memory is the highest.
func median(c []cost) cost {
	c = slices.Clone(c)
	slices.SortFunc(c, func(x, y cost) int { return int(x.wall - y.wall) })
	m := c[len(c)/2]
	for _, x := range c {
		m.peak = max(m.peak, x.peak)
	}
	return m
}

// fastest is the best of lines that are not ours.
func fastest(lines []line) line {
	var best line
	for _, l := range lines {
		if !l.Ours && !l.Extra && (best.Who == "" || l.Cost.wall < best.Cost.wall) {
			best = l
		}
	}
	return best
}

// faster runs two forms of the same peer once and keeps the better one.
func (b *bench) faster(one, other contender) (contender, error) {
	if b.quick {
		return other, nil
	}
	x, err := b.runOnce(one, b.direct())
	if err != nil {
		return one, err
	}
	y, err := b.runOnce(other, b.direct())
	if err != nil {
		return one, err
	}
	if y.wall < x.wall {
		return other, nil
	}
	return one, nil
}

// tool finds a program of somebody else: beside ocm, where make puts it, or on PATH.
func (b *bench) tool(name string) (string, bool) {
	beside := filepath.Join(b.peersAt, name)
	if _, err := os.Stat(beside); err == nil {
		return beside, true
	}
	path, err := exec.LookPath(name)
	return path, err == nil
}

// defaultParallel reads from ocm's help what it does at once when nobody says.
func (b *bench) defaultParallel() int {
	out, _ := exec.Command(b.ocm, "--help").Output()
	if m := regexp.MustCompile(`--parallel number[^(]*\(default (\d+)\)`).FindSubmatch(out); m != nil {
		if n, err := strconv.Atoi(string(m[1])); err == nil && n > 0 {
			return n
		}
	}
	return 16
}

// remove is a preparation that drops files and folders.
func (b *bench) remove(names ...string) func() error {
	return func() error {
		for _, n := range names {
			if err := os.RemoveAll(b.path(n)); err != nil {
				return err
			}
		}
		return nil
	}
}

// shell runs a program where nothing is measured.
func (b *bench) shell(args ...string) error {
	_, err := b.exec(args...)
	return err
}
