// SPDX-License-Identifier: Apache-2.0

// Package host finds plugins, starts those that are needed, and makes what they can do part of a kit.
//
// A plugin is an executable file in one of the configured folders, which nobody else than the user or root may change. Which types it
// knows it says when it is called with the argument "capabilities"; that is asked only when a type is needed that is not compiled in. What
// is compiled in always wins. A plugin is started by its first call, shared by all that follow, started again once when it dies, and ends
// when nobody uses it, with the host, and with the process of the host, however that ends. It is not trusted: what it may take of time,
// memory, files and environment is bounded, its answers are, and what it says of contents is checked by whoever reads them, as with any
// other place that content comes from.
package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"ocm"
	"ocm/config"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

// Options of a [Host].
type Options struct {
	// Dirs are the folders with plugins, absolute; ~ and variables in them are replaced. One that does not exist has no plugins. Empty:
	// $HOME/.config/ocm/plugins.
	Dirs     []string
	Plugins  map[string]config.Plugin // what single plugins are granted, by the name of the file
	Idle     time.Duration            // how long a plugin runs that nobody uses; 0: 1 h
	Memory   int64                    // of each process of a plugin for which nothing else was said, in bytes; 0: [Memory]; negative: no limit
	Temp     string                   // for sockets; empty: the system's
	Shutdown time.Duration            // how long Close waits for plugins to end; 0: [ShutdownTimeout]
	Getenv   func(string) string      // nil: os.Getenv
	Entries  []ocm.Spec               // of the configuration, for plugins of the older protocol, which are given those of the types that they name
	Log      *slog.Logger             // nil: discarded
	Context  context.Context          // when it ends nothing is started any more, and nobody waits for a plugin to say what it can do; nil: until Close
}

// Defaults of [Options] and of [config.Plugin].
const (
	ShutdownTimeout = 10 * time.Second
	IdleTimeout     = time.Hour
	CallTimeout     = 5 * time.Minute // of a call without progress
	Memory          = 2 << 30         // of each process, in bytes
	OpenFiles       = 1024
)

// Host has plugins. It may be used concurrently.
type Host struct {
	o    Options
	log  *slog.Logger
	ctx  context.Context // ends with Close, or before
	stop context.CancelFunc

	askTimeout, startTimeout time.Duration // what tests shorten

	once    sync.Once
	plugins []*Plugin
	failed  error

	launches sync.WaitGroup // processes that are being started
	mu       sync.Mutex
	running  map[*running]bool
}

var errClosed = errors.New("the host of plugins is closed")

// New returns a host. Nothing is looked for yet.
func New(o Options) *Host {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	o.Shutdown = cmp.Or(o.Shutdown, ShutdownTimeout)
	o.Idle = cmp.Or(o.Idle, IdleTimeout)
	o.Memory = cmp.Or(o.Memory, Memory)
	h := &Host{o: o, log: o.Log, running: map[*running]bool{}, askTimeout: CapabilitiesTimeout, startTimeout: StartTimeout}
	h.ctx, h.stop = context.WithCancel(o.Context)
	return h
}

// Attach lets a kit find what plugins can do where it has nothing itself. load does so at once.
func (h *Host) Attach(kit *ocm.Kit) (load func() error) {
	load = sync.OnceValue(func() error {
		plugins, err := h.Plugins()
		for _, p := range plugins {
			err = errors.Join(err, h.tell(p.register(kit)))
		}
		if err != nil { // in words only: what is wrong with one plugin says nothing about a type that is asked for
			err = errors.New(err.Error())
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
	return load
}

// Plugins looks for plugins, once. The error tells which files are none that can be used; the others are returned besides. Each of
// its parts is a warning in the log, too.
func (h *Host) Plugins() ([]*Plugin, error) {
	h.once.Do(func() {
		plugins, errs := h.discover(h.ctx)
		h.plugins, h.failed = plugins, h.tell(errs)
	})
	return h.plugins, h.failed
}

// tell writes errors to the log, and joins them.
func (h *Host) tell(errs []error) error {
	for _, err := range errs {
		if err == nil {
			continue
		}
		h.log.Warn("a plugin cannot be used", "error", err)
	}
	return errors.Join(errs...)
}

// launch reports whether a process may be started; Close waits for the end of that.
func (h *Host) launch() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return false
	}
	h.launches.Add(1)
	return true
}

// keep notes a process that Close ends.
func (h *Host) keep(r *running) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[r] = true
}

func (h *Host) forget(r *running) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, r)
}

// Close ends all plugins, and waits for their end. Nothing is started any more.
func (h *Host) Close() error {
	h.mu.Lock()
	h.stop()
	h.mu.Unlock()
	h.once.Do(func() { h.failed = errClosed })
	h.launches.Wait()
	h.mu.Lock()
	all := slices.Collect(maps.Keys(h.running))
	h.mu.Unlock()
	var wait sync.WaitGroup
	for _, r := range all {
		wait.Go(r.stop)
	}
	for _, p := range h.plugins {
		if p.legacy != nil {
			wait.Go(p.legacy.Close)
		}
	}
	wait.Wait()
	return nil
}

// register adds what a plugin can do to a kit. A type that the kit has already stays what it was, and is told.
func (p *Plugin) register(kit *ocm.Kit) (all []error) {
	if p.legacy != nil {
		return []error{p.legacy.Register(kit)}
	}
	for _, c := range p.Capabilities.Capabilities {
		if err := p.add(kit, c); err != nil {
			all = append(all, fmt.Errorf("plugin %s: %w", p.Name, err))
		}
	}
	return all
}

// origin is how types show where they come from.
func (p *Plugin) origin() string { return "plugin " + p.Name + " (" + show(p.Path) + ")" }

func (p *Plugin) add(kit *ocm.Kit, c wire.Capability) error {
	if err := p.checkOneShot(c.Kind); err != nil {
		return err
	}
	if err := checkType(&c.Type); err != nil {
		return err
	}
	c.Type.Origin = p.origin()
	switch c.Kind {
	case wire.AccessMethod:
		return enlist(kit.Access, proxy.Opener(p, c.Kind), c)
	case wire.Input:
		return enlist(kit.Inputs, proxy.Opener(p, c.Kind), c)
	case wire.Signer:
		return enlist(kit.Signers, proxy.Signer(p, c.Type, p.algorithms(c.Type)), c)
	case wire.Verifier:
		return enlist(kit.Verifiers, proxy.Verifier(p, c.Type), c)
	case wire.CredentialSource:
		return enlist(kit.Secrets, proxy.CredentialSource(p, p.Name), c)
	case wire.Repository:
		return enlist(kit.Repositories, proxy.Repository(p, c.Origin), c)
	case wire.Uploader:
		return enlist(kit.Uploaders, proxy.Uploader(p), c)
	case wire.Transformer:
		return enlist(kit.Transformers, proxy.Transformer(p), c)
	}
	return fmt.Errorf("it can be %q, which is not known here: %w", wire.Text(c.Kind, 100), errors.ErrUnsupported)
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
