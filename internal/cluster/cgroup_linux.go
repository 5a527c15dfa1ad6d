// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	cgroupPrefix = "ocm-node-"
	endTimeout   = 20 * time.Second // until what was killed is gone, on a machine that does other things as well
)

// cgroup is a control group of this run in each hierarchy of the machine. Everything that containerd starts is in it, so
// that it can be ended whatever it has become. It is locked for as long as its owner lives.
type cgroup struct {
	name string
	dirs []string // the first is that by which processes are found
	lock *os.File
}

// hierarchies are the places where control groups are made: of version 1, memory first, or of version 2, or of both, because
// containers are put into each that there is.
func hierarchies(mounts string) (list []string, err error) {
	unified := ""
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		switch {
		case len(f) < 4:
		case f[2] == "cgroup2":
			unified = f[1]
		case f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), "memory"):
			list = append([]string{f[1]}, list...)
		case f[2] == "cgroup":
			list = append(list, f[1])
		}
	}
	if unified != "" {
		list = append(list, unified)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: no control groups are mounted", errMachine)
	}
	return list, nil
}

// newCgroup makes the groups of a run, and takes away those of runs that have ended without doing so.
func newCgroup() (*cgroup, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	roots, err := hierarchies(string(mounts))
	if err != nil {
		return nil, err
	}
	sweep(roots)
	offer(roots[0])
	g := &cgroup{name: cgroupPrefix + strings.ToLower(rand.Text()[:10])}
	for _, root := range roots {
		g.dirs = append(g.dirs, filepath.Join(root, g.name))
	}
	for i, dir := range g.dirs {
		err := os.Mkdir(dir, 0o755)
		if err == nil && i == 0 {
			g.lock, err = locked(dir)
		}
		if err != nil {
			return nil, errors.Join(err, g.remove())
		}
	}
	return g, nil
}

// offer lets groups below the root of version 2 use its controllers, as far as the system lets them. Version 1 has no such file.
func offer(root string) {
	controllers, _ := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	for _, c := range strings.Fields(string(controllers)) {
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+c), 0) // kubelet tells what it misses
	}
}

// locked takes the lock of a group, which its owner holds until it ends, however it does.
func locked(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use: %w", dir, err)
	}
	return f, nil
}

// sweep takes groups away that nobody holds. One in which something still runs stays: the system takes only empty ones.
func sweep(roots []string) {
	for _, root := range slices.Backward(roots) { // the one that has the lock is the last
		old, _ := filepath.Glob(filepath.Join(root, cgroupPrefix+"*")) // the pattern is good
		for _, dir := range old {
			lock, err := locked(filepath.Join(roots[0], filepath.Base(dir)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			_ = removeGroups(dir) // the next start tries again
			if lock != nil {
				lock.Close()
			}
		}
	}
}

// removeGroups takes a group away with those below it, if nothing runs in them.
func removeGroups(dir string) error {
	var groups []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	for _, group := range slices.Backward(groups) {
		if rm := syscall.Rmdir(group); rm != nil && !errors.Is(rm, syscall.ENOENT) {
			return fmt.Errorf("control group %s: %w", group, rm)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// add puts a process into the group, and so what it starts.
func (g *cgroup) add(pid int) error {
	dir := filepath.Join(g.dirs[0], "system")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// kill kills all processes in the group, and returns how many there were.
func (g *cgroup) kill() (n int) {
	_ = filepath.WalkDir(g.dirs[0], func(path string, d fs.DirEntry, err error) error { // what is gone meanwhile needs no killing
		if err == nil && d.Name() == "cgroup.procs" {
			text, _ := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 1 { // 0 is one that cannot be seen from here
					_ = syscall.Kill(pid, syscall.SIGKILL)
					n++
				}
			}
		}
		return nil
	})
	return n
}

// remove kills what is in the group, and takes it away.
func (g *cgroup) remove() error {
	err := eventually(func() error {
		if n := g.kill(); n > 0 {
			return fmt.Errorf("%d processes do not end", n)
		}
		var all error
		for _, dir := range g.dirs {
			all = errors.Join(all, removeGroups(dir))
		}
		return all
	})
	if g.lock != nil {
		g.lock.Close()
	}
	return err
}

// eventually calls f until it returns no error, for a while.
func eventually(f func() error) error {
	for end := time.Now().Add(endTimeout); ; time.Sleep(20 * time.Millisecond) { // the system does not tell when
		if err := f(); err == nil || time.Now().After(end) {
			return err
		}
	}
}
