// SPDX-License-Identifier: Apache-2.0

// Package legacy runs plugins that were written for the next generation of the existing implementation, unchanged, as implementations of
// the interfaces of package ocm.
//
// Such a plugin prints what it can do as a document without the member "protocol" ([Parse]). It is started with the argument --config,
// says on its standard output where it listens, and is asked with HTTP and JSON; credentials come with each question. It ends itself when
// it was idle for a while, and is started again when it is needed.
//
// # Files
//
// That protocol hands content over in files. This is the one place where content goes through temporary files: what a plugin is
// given lies in a folder of the call, which goes with it, and each process gets a folder of its own for what it writes (TMPDIR), which goes
// with the process. A file that a plugin answers must be a regular one in that folder, in the system's folder for temporary
// files, or, for an input, in the folder of the constructor. It is opened once and then removed, unless it was there before the call.
//
// # What that protocol cannot say
//
//   - An access method or an uploader is asked about a resource, of which an [ocm.Opener] knows the access only: the other members are
//     placeholders.
//   - Questions that read from a component repository do not say from which. So each repository has a process of its own, which is told
//     the specification first.
//   - A repository replaces a version without comparing. It is compared here, before, which leaves a moment for somebody faster. States
//     that were replaced are not found any more.
//   - A verifier says yes or no, and nothing of the signer.
//   - Digest processors are not used: digests are computed of what was read.
package legacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ocm"
)

// Limits of what is taken from such a plugin; answers are bounded as those of other plugins are.
const (
	StartTimeout    = 30 * time.Second // until it has said where it listens
	HealthTimeout   = 5 * time.Second  // until it answers there
	QuestionTimeout = 5 * time.Minute  // for a question that moves no content
	WorkTimeout     = 30 * time.Minute // for one that does; see [Options]
	IdleTimeout     = time.Hour        // after which a plugin that nobody asks ends itself; see [Options]
	MaxRepositories = 16               // repositories that are open at once: processes
	MaxFiles        = 16               // files of a plugin that are kept open
	MaxOutput       = 1 << 20          // bytes of its standard output before it has said where it listens
)

// Process is a program that was started.
type Process interface {
	// Output is its standard output. It ends at the latest when the process has ended.
	Output() io.Reader
	// Ended is closed when it has ended.
	Ended() <-chan struct{}
	// Stop asks it to end as an interrupt from the keyboard does (SIGINT), ends it by force if it does not, and waits.
	Stop()
}

// Options of a [Plugin].
type Options struct {
	// Start starts the program with arguments, and with variables that come to those of its environment or replace them. Its standard error is
	// the starter's business.
	Start   func(args, variables []string) (Process, error)
	Temp    string        // folder for what processes write; empty: the system's
	Idle    time.Duration // 0: [IdleTimeout]
	Timeout time.Duration // of a question that moves content; 0: [WorkTimeout]
	Entries []ocm.Spec    // of the configuration: a plugin is given those of the types that it names
	Origin  string        // as types show it; empty: "plugin" and the name
	Log     *slog.Logger  // nil: discarded
}

// Plugin is a program of that protocol. It may be used concurrently.
type Plugin struct {
	name string
	doc  Document
	o    Options

	mu        sync.Mutex
	closed    bool
	instances map[string]*instance
	ending    sync.WaitGroup // instances that are no longer there
	files     []*content     // whose files are open, the one that was used last at the end
}

// New returns the plugin of a document. Nothing is started yet.
func New(name string, doc Document, o Options) *Plugin {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Idle == 0 {
		o.Idle = IdleTimeout
	}
	if o.Timeout == 0 {
		o.Timeout = WorkTimeout
	}
	o.Origin = cmp.Or(o.Origin, "plugin "+name)
	return &Plugin{name: name, doc: doc, o: o, instances: map[string]*instance{}}
}

// Close ends its processes. What was opened of it cannot be read any more.
func (p *Plugin) Close() {
	p.mu.Lock()
	p.closed = true
	files, instances := p.files, p.instances
	p.files = nil
	p.mu.Unlock()
	for _, c := range files {
		c.drop()
	}
	var all sync.WaitGroup
	for _, i := range instances {
		all.Go(i.close)
	}
	all.Wait()
	p.ending.Wait()
}

// errClosed is the answer of a plugin that was closed.
var errClosed = errors.New("it was closed")

// instance finds or makes what runs for a key: the empty one, or a repository, which is released when nobody uses it any more.
func (p *Plugin) instance(key string, greet func(context.Context, *process)) (*instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.instances[key]
	switch {
	case p.closed:
		return nil, p.named(errClosed)
	case !ok && key != "" && p.repositoriesOpen() >= MaxRepositories && !p.evict():
		return nil, p.named(fmt.Errorf("more than %d repositories at once: %w", MaxRepositories, ocm.ErrLimit))
	case !ok:
		i = &instance{plugin: p, greet: greet, turn: make(chan struct{}, 1), commit: make(chan struct{}, 1)}
		p.instances[key] = i
	}
	i.users++
	return i, nil
}

func (p *Plugin) repositoriesOpen() int {
	n := len(p.instances)
	if _, ok := p.instances[""]; ok {
		n--
	}
	return n
}

// release notes that an instance has one user less. It runs on: who opens the repository again finds it as it was.
func (p *Plugin) release(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.users--
}

// evict makes room for another repository, if there is one that nobody uses.
func (p *Plugin) evict() bool {
	for key, i := range p.instances {
		if key != "" && i.users == 0 {
			delete(p.instances, key)
			p.ending.Go(i.close)
			return true
		}
	}
	return false
}

func (p *Plugin) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("plugin %s: %w", p.name, err)
}

// Register adds what the plugin can do to a kit. A name that the kit has already stays what it was: the error tells which. What
// nobody here understands of the document is passed over, and noted in the log.
func (p *Plugin) Register(kit *ocm.Kit) error {
	if err := p.configured(); err != nil {
		return p.named(err)
	}
	var errs []error
	for _, c := range p.doc.capabilities {
		errs = append(errs, p.add(kit, c))
	}
	return errors.Join(errs...)
}

func (p *Plugin) add(kit *ocm.Kit, c capability) error {
	switch c.Kind {
	case "componentVersionRepository":
		return enlist(p, kit.Repositories, c, func(t specType) ocm.RepositoryOpener { return p.repositories(t) })
	case "resourceRepository":
		return errors.Join(
			enlist(p, kit.Access, c, func(t specType) ocm.Opener { return accessMethod{p, t} }),
			enlist(p, kit.Uploaders, c, func(t specType) ocm.Uploader { return uploader{p, t} }))
	case "inputRepository":
		return enlist(p, kit.Inputs, c, func(t specType) ocm.Opener { return input{p, t, kit} })
	case "blobTransformer":
		return enlist(p, kit.Transformers, c, func(t specType) ocm.Transformer { return transformer{p, t} })
	case "signingHandler":
		return errors.Join(
			enlist(p, kit.Signers, c, func(t specType) ocm.Signer { return signing{p, t} }),
			enlist(p, kit.Verifiers, c, func(t specType) ocm.Verifier { return signing{p, t} }))
	case "credentialRepository":
		return enlist(p, kit.Secrets, c, func(t specType) ocm.CredentialSource { return secrets{p, t, "config"} })
	case "credentialPlugin":
		return enlist(p, kit.Secrets, c, func(t specType) ocm.CredentialSource { return secrets{p, t, "credential"} })
	case "componentLister": // an ability of the repositories
		return nil
	case "digestProcessorRepository":
		p.o.Log.Debug("digests are computed of what was read: what the plugin would say of them is not used", "plugin", p.name)
		return nil
	}
	p.o.Log.Warn("the plugin can be something that is not known here, and that is passed over", "plugin", p.name, "capability", shown(c.Kind))
	return nil
}

// enlist registers what a function makes of each type, under those of its names that are free.
func enlist[T any](p *Plugin, r *ocm.Registry[T], c capability, implementation func(specType) T) error {
	var errs []error
	for _, t := range c.types() {
		names := slices.DeleteFunc(t.names(), r.Has)
		if len(names) > 0 {
			r.Register(implementation(t), ocm.Type{
				Names: names, About: t.schema.about(aboutUnknown), Fields: t.schema.fields(), Origin: p.o.Origin,
			})
		}
		if taken := slices.DeleteFunc(t.names(), func(name string) bool { return slices.Contains(names, name) }); len(taken) > 0 {
			errs = append(errs, p.named(fmt.Errorf("%s %q is there already, and stays what it is: %w", c.Kind, taken, ocm.ErrExists)))
		}
	}
	return errors.Join(errs...)
}
