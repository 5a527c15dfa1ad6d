// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxRSS is the memory that a transfer may take, whatever it moves.
const maxRSS = 64 << 20

// ocmCommand is this test binary as the command.
func ocmCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = append([]string{"ocm"}, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "OCM_CONFIG=", "XDG_CONFIG_HOME=")
	return cmd
}

// pipeline runs commands, each reading what the one before it writes, and returns their peak memory.
func pipeline(t *testing.T, in io.Reader, commands ...*exec.Cmd) []int64 {
	t.Helper()
	stderr := make([]bytes.Buffer, len(commands))
	for i, c := range commands {
		c.Stdin = in
		c.Stderr = &stderr[i]
		if i == len(commands)-1 {
			break
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c.Stdout = w
		in = r
	}
	for _, c := range commands {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for _, f := range []any{c.Stdin, c.Stdout} { // the child has its own
			if f, ok := f.(*os.File); ok {
				f.Close()
			}
		}
	}
	peaks := make([]int64, len(commands))
	var g errgroup.Group
	for i, c := range commands {
		g.Go(func() error {
			ended := make(chan error, 1)
			go func() { ended <- c.Wait() }()
			for {
				select {
				case err := <-ended:
					if err != nil {
						return fmt.Errorf("%v: %w\n%s", c.Args, err, stderr[i].String())
					}
					return nil
				case <-time.After(5 * time.Millisecond): // the system's own count at the end begins with the memory of this test
					peaks[i] = max(peaks[i], highWater(c.Process.Pid))
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return peaks
}

// highWater is the most memory that a process has had so far, in bytes.
func highWater(pid int) int64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	n, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, _ := strconv.ParseInt(n, 10, 64)
	return kib << 10
}

func isRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A blob of 512 MiB goes through two pipes, and into archives of every form, in constant memory.
func TestPipe_memory(t *testing.T) {
	if testing.Short() || isRace() {
		t.Skip("moves 512 MiB, and the race detector needs memory of its own")
	}
	dir := t.TempDir()
	large, err := os.Create(filepath.Join(dir, "large.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := large.Truncate(512 << 20); err != nil {
		t.Fatal(err)
	}
	large.Close()
	constructor := `
name: acme.org/app
version: 1.0.0
provider: {name: acme.org}
resources: [{name: large, type: blob, input: {type: file, path: large.bin}}]
`
	if err := os.WriteFile(filepath.Join(dir, "component-constructor.yaml"), []byte(constructor), 0o644); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	all := []func() []int64{
		func() []int64 {
			return pipeline(t, nil, ocmCommand(t, "add", "cv", "-r", at("a.tar"), "-c", at("component-constructor.yaml")))
		},
		func() []int64 {
			return pipeline(t, nil, ocmCommand(t, "transfer", "cv", at("a.tar"), "ctf::-"),
				ocmCommand(t, "transfer", "cv", "ctf::-", "ctf::-"), ocmCommand(t, "transfer", "cv", "ctf::-", at("folder")))
		},
	}
	packed := []string{"b.tgz", "b.tar.zst"}
	if os.Getenv("CI") != "true" {
		packed = nil // takes its time
	}
	for _, name := range packed {
		all = append(all, func() []int64 { return pipeline(t, nil, ocmCommand(t, "transfer", "cv", at("folder"), at(name))) },
			func() []int64 { return pipeline(t, nil, ocmCommand(t, "transfer", "cv", at(name), at("of-"+name))) },
			func() []int64 {
				f, err := os.Open(at(name))
				if err != nil {
					t.Fatal(err)
				}
				return pipeline(t, f, ocmCommand(t, "transfer", "cv", "ctf::-", at("piped-"+name)))
			})
	}
	var report []string
	for i, run := range all {
		for k, peak := range run() {
			report = append(report, fmt.Sprintf("%d.%d: %d MiB", i, k, peak>>20))
			if peak > maxRSS {
				t.Errorf("run %d, command %d: %d MiB of memory, accepted are %d", i, k, peak>>20, maxRSS>>20)
			}
		}
	}
	t.Log(strings.Join(report, ", "))
}
