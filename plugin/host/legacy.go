// SPDX-License-Identifier: Apache-2.0

package host

import (
	"io"
	"os"
	"syscall"
	"time"

	"ocm/plugin/legacy"
)

// adopt makes a plugin of the older protocol of this one, if its document is of that.
func (p *Plugin) adopt(document []byte) (bool, error) {
	doc, ok, err := legacy.Parse(document)
	if ok && err == nil {
		p.Capabilities = doc.Capabilities()
		p.legacy = legacy.New(p.Name, doc, legacy.Options{
			Start: p.startLegacy, Temp: p.host.o.Temp, Idle: p.host.o.Idle, Entries: p.host.o.Entries, Log: p.host.log, Origin: p.origin(),
		})
	}
	return ok, err
}

// legacyProcess is a process of a plugin of the older protocol, within the same limits as others.
type legacyProcess struct {
	*process
	out  *os.File
	wait time.Duration
}

func (p *Plugin) startLegacy(args, variables []string) (legacy.Process, error) {
	if !p.host.launch() {
		return nil, errClosed
	}
	defer p.host.launches.Done()
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	log := newLogger(p.host.log.With("plugin", p.Name))
	stderr := &lines{each: log.line}
	r, err := p.spawn("", args, variables, nil, w, stderr)
	_ = w.Close() // the process has its own
	if err != nil {
		_ = out.Close()
		return nil, err
	}
	go func() {
		<-r.ended
		stderr.close()
		log.tellDropped()
		_ = out.Close()
	}()
	return &legacyProcess{process: r, out: out, wait: p.host.o.Shutdown}, nil
}

// Output is what it prints on its standard output.
func (r *legacyProcess) Output() io.Reader { return r.out }

// Ended is closed when it has ended.
func (r *legacyProcess) Ended() <-chan struct{} { return r.ended }

// Stop asks it to end, and ends it by force if it does not.
func (r *legacyProcess) Stop() {
	r.signal(syscall.SIGINT)
	late := time.NewTimer(r.wait)
	defer late.Stop()
	select {
	case <-r.ended:
	case <-late.C:
		r.signal(syscall.SIGKILL)
		<-r.ended
	}
}
