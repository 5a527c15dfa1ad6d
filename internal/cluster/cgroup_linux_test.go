// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHierarchiesOfBothVersions(t *testing.T) {
	t.Parallel()
	const one = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n"
	for mounts, want := range map[string]string{
		one: "/sys/fs/cgroup/memory /sys/fs/cgroup/cpu",
		one + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n": "/sys/fs/cgroup/memory /sys/fs/cgroup/cpu /sys/fs/cgroup/unified",
		"cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n":    "/sys/fs/cgroup",
	} {
		if list, err := hierarchies(mounts); err != nil || strings.Join(list, " ") != want {
			t.Errorf("expected %s, found %q, %v", want, list, err)
		}
	}
	if list, err := hierarchies("proc /proc proc rw 0 0\n\nx\n"); err == nil {
		t.Errorf("expected that none are mounted, found %q", list)
	}
}

// Folders stand for hierarchies. What is locked is in use.
func TestSweepTakesWhatNobodyHolds(t *testing.T) {
	t.Parallel()
	memory, cpu := t.TempDir(), t.TempDir()
	for _, dir := range []string{"ocm-node-held", "ocm-node-left/kubepods/pod1", "other/kubepods"} {
		for _, root := range []string{memory, cpu} {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(cpu, "ocm-node-half"), 0o700); err != nil { // its other half has gone before
		t.Fatal(err)
	}
	lock, err := locked(filepath.Join(memory, "ocm-node-held"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	sweep([]string{memory, cpu})
	for _, root := range []string{memory, cpu} {
		left, err := filepath.Glob(filepath.Join(root, "*"))
		for i := range left {
			left[i] = filepath.Base(left[i])
		}
		if want := []string{"ocm-node-held", "other"}; err != nil || !slices.Equal(left, want) {
			t.Errorf("expected %q, found %q, %v", want, left, err)
		}
	}
}

func TestGroupEndsWhatIsInIt(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("control groups are made by root")
	}
	g, err := newCgroup()
	if err != nil {
		t.Skip(err) // not every root may, say in a container
	}
	cmd := exec.Command("sh", "-c", "setsid sleep 1000 & sleep 1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.add(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	sweep([]string{filepath.Dir(g.dirs[0])}) // of another run, meanwhile
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // a group with one that nobody has waited for may stay
	if err := g.remove(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: killed" {
		t.Errorf("expected that it was killed, found %v", err)
	}
	for _, dir := range g.dirs {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("expected that %s is gone, found %v", dir, err)
		}
	}
}
