// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ocm/internal/peer"
)

// registry is a docker-registry of our own, with a counter and a delay in front of it.
type registry struct {
	addr, data, file string
	stop             func() // ends the server that start began
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
	addr, err := peer.Address()
	if err != nil {
		return nil, err
	}
	r := &registry{addr: addr, data: filepath.Join(b.storage, name), file: b.path(name + ".yml")}
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
		r.stop()
		return nil, err
	}
	if r.delay, err = newDelay(r.addr, delayed); err != nil {
		r.counter.Close()
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *registry) start(ctx context.Context, env []string) (err error) {
	cmd := exec.CommandContext(ctx, "docker-registry", "serve", r.file)
	cmd.Env = env
	r.stop, err = peer.Start(cmd, "http://"+r.addr+"/v2/")
	return err
}

func (r *registry) close() {
	r.counter.Close()
	r.delay.Close()
	r.stop()
}

// emptied is a preparation that takes away what the target registry has. The server goes on: it
// has no cache, so it finds out by itself, and it is warm for everybody.
func (b *bench) emptied() error {
	return os.RemoveAll(b.target.data)
}
