// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ocm/internal/bench/kit"
)

// program is a running program that is measured.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  *bufio.Scanner // of what it says
	log    kit.Tail
	cancel context.CancelCauseFunc
	dead   chan struct{}
}

// start runs a program. The context that it returns ends with the program.
func (b *bench) start(env []string, args ...string) (*program, context.Context, error) {
	p := &program{cmd: exec.Command(args[0], args[1:]...), dead: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "TMPDIR=" + b.dir}, env...)
	p.cmd.Dir, p.cmd.Stderr = b.dir, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	p.lines = bufio.NewScanner(out)
	ctx, cancel := context.WithCancelCause(b.ctx)
	p.cancel = cancel
	go func() {
		state, _ := p.cmd.Process.Wait() // says how it ended
		cancel(fmt.Errorf("%s ended: %v\n%s", args[0], state, p.log.String()))
		close(p.dead)
	}()
	return p, ctx, nil
}

// stop ends it, and waits.
func (p *program) stop() {
	p.in.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.dead:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.dead
	}
	p.cancel(nil)
}

// peak is the most memory that it has had so far, in bytes, and what it has now.
func (p *program) memory() (peak, now int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	value := func(name string) int64 {
		_, rest, _ := strings.Cut(string(raw), "\n"+name+":")
		rest, _, _ = strings.Cut(rest, "kB")
		kib, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		return kib << 10
	}
	return value("VmHWM"), value("VmRSS"), nil
}

// cpu is the processor time that it has taken so far.
func (p *program) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(raw, []byte(") ")) // behind the name, which may be anything
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc: unexpected %q", raw)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100), err // the kernel counts in hundredths for everybody
}
