// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ocm"
	"ocm/plugin/wire"
)

// StartTimeout is how long a plugin may take to serve.
const StartTimeout = 30 * time.Second

// running is a plugin's process.
type running struct {
	cmd    *exec.Cmd
	input  io.Closer // its end tells the plugin to end
	dir    string    // of the sockets
	client *wire.Client
	calls  *calls
	ended  chan struct{}
}

// start starts the plugin unless it runs.
func (p *Plugin) start() (*running, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs != nil {
		select {
		case <-p.runs.ended:
		default:
			return p.runs, nil
		}
	}
	r, err := p.launch()
	if err != nil {
		return nil, fmt.Errorf("plugin %s: start: %w", p.Name, err)
	}
	p.runs = r
	return r, nil
}

func (p *Plugin) launch() (*running, error) {
	dir, err := os.MkdirTemp(p.host.o.Temp, "ocm-")
	if err != nil {
		return nil, err
	}
	r := &running{dir: dir, ended: make(chan struct{})}
	socket, back := filepath.Join(dir, "plugin"), filepath.Join(dir, "host")
	l, err := net.Listen("unix", back)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	r.calls = serveCalls(l)
	r.client = wire.NewClient(socket)
	if err := r.run(p, socket, back); err != nil {
		r.cleanUp()
		return nil, err
	}
	return r, nil
}

// run starts the process and waits for the line by which it says that it serves.
func (r *running) run(p *Plugin, socket, back string) error {
	r.cmd = exec.Command(p.Path) //nolint:gosec // what is in the folders of plugins is run
	r.cmd.Env = append(p.environment(), wire.PluginSocket+"="+socket, wire.HostSocket+"="+back)
	r.cmd.WaitDelay = time.Second
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return err
	}
	r.input = in
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(io.LimitReader(out, 1024)).ReadString('\n')
		line <- strings.TrimSpace(text)
		_, _ = io.Copy(io.Discard, out) // nothing else is expected there
		_ = r.cmd.Wait()
		r.cleanUp()
		close(r.ended)
	}()
	select {
	case text := <-line:
		if text != wire.Protocol {
			_ = r.cmd.Process.Kill()
			return fmt.Errorf("expected the line %q on its standard output, found %q: %w", wire.Protocol, wire.Text(text, 100), ocm.ErrInvalid)
		}
	case <-time.After(StartTimeout):
		_ = r.cmd.Process.Kill()
		return fmt.Errorf("it did not say that it serves: %w", context.DeadlineExceeded)
	}
	return nil
}

func (r *running) cleanUp() {
	r.calls.close()
	r.client.Close()
	_ = os.RemoveAll(r.dir)
}

// stop ends the plugin's process.
func (p *Plugin) stop() {
	if p.legacy != nil {
		p.legacy.Close()
		return
	}
	p.mu.Lock()
	r := p.runs
	p.mu.Unlock()
	if r == nil {
		return
	}
	_ = r.input.Close()
	select {
	case <-r.ended:
	case <-time.After(p.host.o.Shutdown):
		p.host.log.Warn("the plugin does not end, and is killed", "plugin", p.Name)
		_ = r.cmd.Process.Kill()
		<-r.ended
	}
}
