// SPDX-License-Identifier: Apache-2.0

package host

import (
	"io"
	"os"
	"os/exec"
	"time"

	"ocm/plugin/legacy"
)

// adopt makes a plugin of the older protocol of this one, if its document is of that.
func (p *Plugin) adopt(document []byte) (bool, error) {
	doc, ok, err := legacy.Parse(document)
	if ok && err == nil {
		p.legacy = legacy.New(p.Name, doc, legacy.Options{Start: p.startLegacy, Temp: p.host.o.Temp, Entries: p.host.o.Entries, Log: p.host.log})
	}
	return ok, err
}

// legacyProcess is a process of a plugin of the older protocol.
type legacyProcess struct {
	cmd   *exec.Cmd
	out   *os.File
	ended chan struct{}
	wait  time.Duration
}

func (p *Plugin) startLegacy(args, variables []string) (legacy.Process, error) {
	cmd := exec.Command(p.Path, args...) //nolint:gosec // what is in the folders of plugins is run
	cmd.Env = append(p.environment(), variables...)
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	err = cmd.Start()
	_ = w.Close() // the process has its own
	if err != nil {
		_ = out.Close()
		return nil, err
	}
	r := &legacyProcess{cmd: cmd, out: out, ended: make(chan struct{}), wait: p.host.o.Shutdown}
	go func() {
		_ = cmd.Wait()
		close(r.ended)
		_ = out.Close()
	}()
	return r, nil
}

func (r *legacyProcess) Output() io.Reader      { return r.out }
func (r *legacyProcess) Ended() <-chan struct{} { return r.ended }

func (r *legacyProcess) Stop() {
	if r.cmd.Process.Signal(os.Interrupt) == nil {
		select {
		case <-r.ended:
			return
		case <-time.After(r.wait):
		}
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
}
