// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// registry is a docker-registry of our own, with a counter and a delay in front of it.
type registry struct {
	addr, data, file string
	cmd              *exec.Cmd
	counter          *counter
	delay            *delay
}

const delayed = 20 * time.Millisecond // there and back

func (b *bench) registries() (err error) {
	if b.source != nil {
		return nil
	}
	if b.source, err = b.newRegistry("source"); err != nil {
		return err
	}
	b.target, err = b.newRegistry("target")
	return err
}

func (b *bench) direct() ends { return ends{b.source.addr, b.target.addr} }

func (b *bench) viaCounters() ends { return ends{b.source.counter.addr, b.target.counter.addr} }

func (b *bench) viaDelay() ends { return ends{b.source.delay.addr, b.target.delay.addr} }

// reach chooses the way; cases that need no registry have none.
func (b *bench) reach(slow bool) ends {
	switch {
	case b.source == nil:
		return ends{}
	case slow:
		return b.viaDelay()
	}
	return b.direct()
}

func (b *bench) newRegistry(name string) (*registry, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &registry{addr: l.Addr().String(), data: filepath.Join(b.storage, name), file: b.path(name + ".yml")}
	l.Close()
	text := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}, maintenance: {uploadpurging: {enabled: false}}}
http: {addr: %q}
`, r.data, r.addr)
	if err := os.WriteFile(r.file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if err := r.start(b.ctx, b.environment()); err != nil {
		return nil, err
	}
	if r.counter, err = newCounter(r.addr); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	if r.delay, err = newDelay(r.addr, delayed); err != nil {
		r.counter.Close()
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

func (r *registry) start(ctx context.Context, env []string) error {
	r.cmd = exec.CommandContext(ctx, "docker-registry", "serve", r.file)
	r.cmd.Env = env
	if err := r.cmd.Start(); err != nil {
		return err
	}
	for range 500 {
		if c, err := net.Dial("tcp", r.addr); err == nil {
			return c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.Join(fmt.Errorf("docker-registry does not listen on %s", r.addr), r.stop())
}

// stop ends the server that start began.
func (r *registry) stop() error {
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = r.cmd.Wait() // it was killed
	return nil
}

func (r *registry) close() {
	r.counter.Close()
	r.delay.Close()
	_ = r.stop() // nothing can be done about it
}

// emptied is a preparation that takes away what the target registry has. The server goes on: it
// has no cache, so it finds out by itself, and it is warm for everybody.
func (b *bench) emptied() error {
	return os.RemoveAll(b.target.data)
}
