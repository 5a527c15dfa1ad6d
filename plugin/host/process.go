// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"ocm"
)

// leftover is how long a program's output is waited for that others hold open after it has ended.
const leftover = time.Second

// process is a program of a plugin that runs, in a group of its own.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // why it ended, once it has

	mu   sync.Mutex
	gone bool // its number may be somebody else's
}

// spawn starts the plugin's program, within its limits; dir is its working directory, empty: that of this process.
func (p *Plugin) spawn(dir string, args, env []string, in *os.File, out, errOut io.Writer) (*process, error) {
	f, err := p.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &process{ended: make(chan struct{})}
	started := make(chan error)
	onThread(func() {
		err := untilWritten(func() error {
			r.cmd = exec.Command(p.real, args...) //nolint:gosec // what is in the folders of plugins is run
			r.cmd.Path, r.cmd.Args[0] = executable(f, p.real), p.Path
			r.cmd.Dir = dir
			r.cmd.Env = append(p.environment(), env...)
			if in != nil {
				r.cmd.Stdin = in
			}
			r.cmd.Stdout, r.cmd.Stderr = out, errOut
			r.cmd.WaitDelay = leftover
			prepare(r.cmd)
			return r.cmd.Start()
		})
		if err != nil {
			started <- startError(err)
			return
		}
		err = limit(r.cmd.Process.Pid, p.memory(), p.openFiles())
		if err != nil {
			r.signal(syscall.SIGKILL)
			err = fmt.Errorf("its limits cannot be set: %w", err)
		}
		started <- err
		r.wait()
	})
	if err := <-started; err != nil {
		return nil, err
	}
	return r, nil
}

// untilWritten calls start again for about a second while the system says that somebody still writes the program. That was us, who have just
// installed it: another process that we started meanwhile has its file open until it begins its own work.
func untilWritten(start func() error) error {
	err := start()
	for pause := time.Millisecond; errors.Is(err, syscall.ETXTBSY) && pause < time.Second; pause *= 2 {
		time.Sleep(pause)
		err = start()
	}
	return err
}

// startError leaves the path out, which says nothing.
func startError(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	if errors.Is(err, syscall.ENOEXEC) {
		return fmt.Errorf("it is no program for this system: %w", ocm.ErrInvalid)
	}
	return err
}

// wait waits for the end of the program, and ends what it has started and left behind.
func (r *process) wait() {
	await(r.cmd.Process.Pid)
	r.mu.Lock()
	signal(r.cmd.Process.Pid, syscall.SIGKILL)
	r.gone = true
	r.mu.Unlock()
	r.err = r.cmd.Wait()
	close(r.ended)
}

// signal sends a signal to the program and those that it has started.
func (r *process) signal(s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone {
		signal(r.cmd.Process.Pid, s)
	}
}

// Variables that every plugin sees. Others it is granted by the configuration.
var visible = []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// environment is what a plugin sees of the process's variables.
func (p *Plugin) environment() (env []string) {
	granted := append(slices.Clone(visible), p.settings().Environment...)
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains(granted, name) || strings.HasPrefix(name, "LC_") {
			env = append(env, v)
		}
	}
	if m := p.memory(); m > 0 { // a Go program collects its garbage before it reaches the limit
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(m/8*7, 10))
	}
	return env
}
