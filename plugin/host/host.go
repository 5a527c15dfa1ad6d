// SPDX-License-Identifier: Apache-2.0

// Package host finds plugins, starts those that are needed, and makes what they can do part of a kit.
//
// A plugin is an executable file in one of the configured folders. Which types it knows it says when it is called with the argument
// "capabilities"; that is asked only when a type is needed that is not compiled in. What is compiled in always wins. A plugin runs from
// its first use until the host is closed. It is not trusted: what it may take of time, memory, files and environment is bounded, its
// answers are, and what it says of contents is checked by whoever reads them, as with any other place that content comes from.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ocm"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

// Options of a [Host].
type Options struct {
	Dirs     []string      // folders with plugins; one that does not exist has none
	Temp     string        // for sockets; empty: the system's
	Shutdown time.Duration // how long Close waits for plugins to end; 0: 10 s
	Entries  []ocm.Spec    // of the configuration, for plugins of the older protocol, which are given those of the types that they name
	Log      *slog.Logger  // nil: discarded
}

// Host has plugins. It may be used concurrently.
type Host struct {
	o   Options
	log *slog.Logger

	once    sync.Once
	plugins []*Plugin
	failed  error

	mu     sync.Mutex
	closed bool
}

// New returns a host. Nothing is looked for yet.
func New(o Options) *Host {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Shutdown == 0 {
		o.Shutdown = 10 * time.Second
	}
	return &Host{o: o, log: o.Log}
}

// Attach lets a kit find what plugins can do where it has nothing itself.
func (h *Host) Attach(kit *ocm.Kit) {
	load := sync.OnceValue(func() error {
		plugins, err := h.Plugins()
		for _, p := range plugins {
			err = errors.Join(err, p.register(kit))
		}
		return err
	})
	kit.Access.Later(load)
	kit.Inputs.Later(load)
	kit.Repositories.Later(load)
	kit.Uploaders.Later(load)
	kit.Transformers.Later(load)
	kit.Signers.Later(load)
	kit.Verifiers.Later(load)
	kit.Secrets.Later(load)
}

// Plugins looks for plugins, once. The error tells which files are none that can be used; the others are returned besides.
func (h *Host) Plugins() ([]*Plugin, error) {
	h.once.Do(func() { h.plugins, h.failed = h.discover(context.Background()) })
	return h.plugins, h.failed
}

// Close ends all plugins.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.once.Do(func() {}) // none are started any more
	var all sync.WaitGroup
	for _, p := range h.plugins {
		all.Go(p.stop)
	}
	all.Wait()
	return nil
}

// register adds what a plugin can do to a kit. A type that the kit has already stays what it was, and is told.
func (p *Plugin) register(kit *ocm.Kit) error {
	if p.legacy != nil {
		return p.legacy.Register(kit)
	}
	var all []error
	for _, c := range p.Capabilities.Capabilities {
		if err := p.add(kit, c); err != nil {
			all = append(all, fmt.Errorf("plugin %s: %w", p.Name, err))
		}
	}
	return errors.Join(all...)
}

func (p *Plugin) add(kit *ocm.Kit, c wire.Capability) error {
	c.Type.Origin = "plugin " + p.Name
	switch c.Kind {
	case wire.AccessMethod:
		return enlist(kit.Access, proxy.Opener(p, c.Kind), c)
	case wire.Input:
		return enlist(kit.Inputs, proxy.Opener(p, c.Kind), c)
	}
	return fmt.Errorf("it can be %.100q, which is not known here: %w", c.Kind, errors.ErrUnsupported)
}

// enlist registers v under the names of c that are free.
func enlist[T any](r *ocm.Registry[T], v T, c wire.Capability) error {
	taken := slices.DeleteFunc(slices.Clone(c.Names), func(name string) bool { return !r.Has(name) })
	if len(taken) > 0 {
		return fmt.Errorf("%s %q is there already, and stays what it is: %w", c.Kind, taken, ocm.ErrExists)
	}
	r.Register(v, c.Type)
	return nil
}
