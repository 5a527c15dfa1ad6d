// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed world.sh
var script string

// endTimeout is how long the first process of a world may take to end by itself; it is killed then.
const endTimeout = 5 * time.Second

// hostName is what a world and its hosts may be called: names as in DNS.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// Options describe a world.
type Options struct {
	Name    string                // what the machine is called in it, as in DNS
	Address netip.Prefix          // of its only link, which leads nowhere; without, it has loopback only
	Hosts   map[string]netip.Addr // the names that are known in it, beside localhost and its own
	Hide    []string              // folders, by absolute paths, that are empty and read-only in it; /run is always its own
}

// World is a place of its own. Its methods may be called by many goroutines at a time.
type World struct {
	pid              int // of its first process
	user             bool
	sh, enter, leash string // paths of programs

	mu    sync.Mutex
	first *exec.Cmd
	input io.Closer
}

// New makes a world, which takes some hundredths of a second. It lives until it is closed, or this process ends.
func New(o Options) (*World, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("world %q: %w", o.Name, err)
	}
	w := &World{user: os.Geteuid() != 0}
	var bash string
	for name, path := range map[string]*string{"bash": &bash, "sh": &w.sh, "nsenter": &w.enter, "setpriv": &w.leash, "mount": nil, "ip": nil} {
		found, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("world %q: %w; install util-linux and iproute2", o.Name, err)
		}
		if path != nil {
			*path = found
		}
	}
	w.first = exec.Command(bash, append([]string{"-c", script, "world"}, o.Hide...)...)
	w.first.Env = []string{"PATH=" + os.Getenv("PATH"), "NAME=" + o.Name, "ADDRESS=", "HOSTS=" + o.hosts()}
	if o.Address.IsValid() {
		w.first.Env = append(w.first.Env, "ADDRESS="+o.Address.String())
	}
	w.first.Dir = "/"
	w.first.SysProcAttr = w.own()
	if err := w.start(); err != nil {
		return nil, fmt.Errorf("world %q: %w", o.Name, err)
	}
	return w, nil
}

func (o Options) check() error {
	if len(o.Name) > 64 || !hostName.MatchString(o.Name) {
		return errors.New("is not called as a host may be")
	}
	if o.Address.IsValid() && !o.Address.Addr().Is4() {
		return fmt.Errorf("expected an IPv4 address, found %s", o.Address)
	}
	for name, addr := range o.Hosts {
		if !hostName.MatchString(name) {
			return fmt.Errorf("%q is no name of a host", name)
		}
		if !addr.IsValid() {
			return fmt.Errorf("host %q has no address", name)
		}
	}
	for _, dir := range o.Hide {
		if info, err := os.Stat(dir); err != nil {
			return err
		} else if !info.IsDir() || !filepath.IsAbs(dir) {
			return fmt.Errorf("expected the absolute path of a folder to hide, found %q", dir)
		}
	}
	return nil
}

// hosts is the text of /etc/hosts.
func (o Options) hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	if o.Address.IsValid() {
		fmt.Fprintf(&b, "%s %s\n", o.Address.Addr(), o.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Hosts)) {
		fmt.Fprintf(&b, "%s %s\n", o.Hosts[name], name)
	}
	return b.String()
}

// own tells the system what the first process gets of its own.
func (w *World) own() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	if w.user {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// start starts the first process and waits until it has made the world. Its input is open for as long as this process lives.
func (w *World) start() error {
	var complaints bytes.Buffer
	w.first.Stderr = &complaints
	input, err := w.first.StdinPipe()
	if err != nil {
		return err
	}
	w.input = input
	output, err := w.first.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.first.Start(); err != nil {
		return fmt.Errorf("a namespace could not be made: %w", err)
	}
	w.pid = w.first.Process.Pid
	if line, _ := bufio.NewReader(io.LimitReader(output, 100)).ReadString('\n'); line != "made\n" {
		err := w.Close()
		return fmt.Errorf("could not be made (%w): %s", err, strings.TrimSpace(complaints.String()))
	}
	return nil
}

// Command is a command that runs in the world when it is started, in its folder Dir as the world sees it. It and its children
// are a process group of their own, which is killed when the context ends. A signal to its process alone kills it: to end a
// program in order, close its input, or signal the group. All commands share the mounts of the world.
func (w *World) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	w.mu.Lock()
	defer w.mu.Unlock()
	enter := []string{"-c", `exec "$0" --wdns="$(pwd -P)" "$@"`, w.enter, "--target=" + strconv.Itoa(w.pid), "--mount", "--net", "--pid", "--uts", "--ipc"}
	if w.user {
		enter = append(enter, "--user", "--preserve-credentials")
	}
	// nsenter waits outside for the command inside, which must not outlive it
	enter = append(enter, "--", w.leash, "--pdeathsig=KILL", "--", name)
	cmd := exec.CommandContext(ctx, w.sh, append(enter, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if w.first == nil {
		cmd.Err = fmt.Errorf("world: %w", os.ErrClosed)
	}
	return cmd
}

// PID is the process identifier, outside, of the first process: /proc/PID/root is the world's file system.
func (w *World) PID() int { return w.pid }

// Close ends every process of the world, and with them the world. Once is enough. The error says how its first process ended,
// if that was not by itself.
func (w *World) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		return nil
	}
	first := w.first
	w.first = nil
	err := w.input.Close()
	late := time.AfterFunc(endTimeout, func() { _ = first.Process.Kill() })
	defer late.Stop()
	return errors.Join(err, first.Wait())
}
