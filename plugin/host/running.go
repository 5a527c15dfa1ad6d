// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ocm"
	"ocm/plugin/wire"
)

const (
	// StartTimeout is how long a plugin may take to serve.
	StartTimeout = 30 * time.Second
	// maxDeaths is how often a plugin may end by itself: once it is started again.
	maxDeaths = 2
	// maxSocket is what is left of the 104 bytes of a socket's path that all systems allow.
	maxSocket = 100
)

// attempt is a plugin's process, from when it is started on.
type attempt struct {
	done chan struct{} // it is started, or is not
	r    *running
	err  error
}

// over reports whether another one is needed, and why this one ended if it should not have.
func (a *attempt) over() (over bool, death error) {
	select {
	case <-a.done:
	default:
		return false, nil
	}
	if a.err != nil {
		return true, a.err
	}
	if a.r.stopped.Load() {
		return true, nil
	}
	select {
	case <-a.r.ended:
		return true, a.r.obituary()
	default:
		return false, nil
	}
}

// start returns the plugin's process, which all calls share; it is started if there is none.
func (p *Plugin) start(ctx context.Context) (*running, error) {
	a, err := p.attempt()
	if err != nil {
		return nil, err
	}
	select {
	case <-a.done:
		return a.r, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *Plugin) attempt() (*attempt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil {
		over, death := p.now.over()
		if !over {
			return p.now, nil
		}
		if death != nil {
			p.deaths, p.last = p.deaths+1, death
		}
		p.now = nil
	}
	if p.deaths == maxDeaths {
		return nil, fmt.Errorf("it has ended twice, and is not started again: %w", p.last)
	}
	if !p.host.launch() {
		return nil, errClosed
	}
	a := &attempt{done: make(chan struct{})}
	p.now = a
	go func() {
		defer p.host.launches.Done()
		if a.r, a.err = p.launch(); a.err != nil {
			a.err = fmt.Errorf("start: %w", a.err)
		}
		close(a.done)
	}()
	return a, nil
}

// running is a plugin's process that serves.
type running struct {
	*process
	plugin *Plugin
	log    *slog.Logger
	dir    string    // of the sockets
	input  io.Closer // its end tells the plugin to end
	stderr *lines
	client *wire.Client
	calls  *calls

	clean   chan struct{} // nothing is left of it
	once    sync.Once     // told to end
	stopped atomic.Bool   // by us
}

func (p *Plugin) launch() (*running, error) {
	dir, err := p.host.socketDir()
	if err != nil {
		return nil, err
	}
	r := &running{plugin: p, dir: dir, clean: make(chan struct{}), log: p.host.log.With("plugin", p.Name)}
	socket, back := filepath.Join(dir, "plugin"), filepath.Join(dir, "host")
	l, err := net.Listen("unix", back)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	r.calls = serveCalls(l)
	r.client = wire.NewClient(socket)
	if err := r.run(socket, back); err != nil {
		r.cleanUp()
		return nil, err
	}
	r.log.Debug("the plugin is started", "path", show(p.Path), "process", r.cmd.Process.Pid)
	p.host.keep(r)
	r.calls.expire(p.host.o.Idle, r.stop)
	return r, nil
}

// socketDir makes a folder that only this user may enter, with a path that is short enough.
func (h *Host) socketDir() (string, error) {
	for _, temp := range []string{h.o.Temp, os.TempDir(), "/tmp"} {
		if temp == "" || len(temp)+len("/ocm-plugin-0123456789/plugin") > maxSocket {
			continue
		}
		return os.MkdirTemp(temp, "ocm-plugin-")
	}
	return "", fmt.Errorf("%s: the path is too long for a socket in it: %w", os.TempDir(), ocm.ErrLimit)
}

// run starts the process and waits for the line by which it says that it serves.
func (r *running) run(socket, back string) error {
	in, input, err := os.Pipe()
	if err != nil {
		return err
	}
	r.input = input
	out := &greeting{first: make(chan string, 1), log: r.log}
	log := newLogger(r.log)
	r.stderr = &lines{each: log.line}
	r.process, err = r.plugin.spawn("", nil, []string{wire.PluginSocket + "=" + socket, wire.HostSocket + "=" + back}, in, out, r.stderr)
	in.Close()
	if err != nil {
		input.Close()
		return err
	}
	go func() {
		<-r.ended
		input.Close()
		r.stderr.close()
		log.tellDropped()
		r.log.Debug("the plugin has ended", "process", r.cmd.Process.Pid, "status", reason(r.err))
		r.cleanUp()
		close(r.clean)
	}()
	if err := r.greeted(out.first); err != nil {
		r.signal(syscall.SIGKILL)
		<-r.ended
		return fmt.Errorf("%w%s", err, r.stderr)
	}
	return nil
}

func (r *running) greeted(line <-chan string) error {
	late := time.NewTimer(r.plugin.host.startTimeout)
	defer late.Stop()
	select {
	case text := <-line:
		if text == wire.Protocol {
			return nil
		}
		return fmt.Errorf("expected the line %q on its standard output, found %q: %w", wire.Protocol, wire.Text(text, 100), ocm.ErrInvalid)
	case <-r.ended:
		return fmt.Errorf("it ended before it served: %w", reason(r.err))
	case <-r.plugin.host.ctx.Done():
		return errClosed
	case <-late.C:
		return fmt.Errorf("it did not say within %s that it serves: %w", r.plugin.host.startTimeout, context.DeadlineExceeded)
	}
}

func (r *running) cleanUp() {
	r.calls.close()
	r.client.Close()
	_ = os.RemoveAll(r.dir)
}

// obituary is an error that tells why the process ended.
func (r *running) obituary() error {
	return fmt.Errorf("it ended by itself: %w%s", reason(r.err), r.stderr)
}

// reason is why a process ended, which is never what was wanted.
func reason(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stop ends the process: it is told by the end of its input, then by a signal, and then it is killed with all that it has started.
func (r *running) stop() {
	r.once.Do(func() {
		r.stopped.Store(true)
		r.calls.retire()
		r.input.Close()
		half := r.plugin.host.o.Shutdown / 2
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			select {
			case <-r.ended:
				return
			case <-time.After(half):
			}
			if s == syscall.SIGKILL {
				r.log.Warn("the plugin does not end, and is killed")
			}
			r.signal(s)
		}
	})
	<-r.clean
	r.plugin.host.forget(r)
}

// greeting takes the first line of a plugin's standard output. Nothing else is expected there.
type greeting struct {
	first chan string
	log   *slog.Logger
	line  []byte
	done  bool
	told  bool
}

// maxGreeting bounds the first line, in bytes.
const maxGreeting = 256

func (g *greeting) Write(b []byte) (int, error) {
	n := len(b)
	if !g.done {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		g.line = append(g.line, line[:min(len(line), maxGreeting-len(g.line))]...)
		if g.done = ended || len(g.line) == maxGreeting; g.done {
			g.first <- string(bytes.TrimSpace(g.line))
		}
		b = rest
	}
	if g.done && len(b) > 0 && !g.told {
		g.told = true
		g.log.Warn("the plugin writes to its standard output, which nobody reads")
	}
	return n, nil
}
