// SPDX-License-Identifier: Apache-2.0

// Package session makes an environment of a configuration: the HTTP transport, the credentials, the resolvers, and the repositories that
// are opened with them, each once. It has the one list of places in which a component version is looked for. The command and the
// controllers share it.
//
// A session may be confined, for configurations of people who must not reach what belongs to the process: its files, the variables of
// its environment, its programs. What a configuration names of these is an error then.
package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"ocm"
	"ocm/config"
	"ocm/credentials"
	"ocm/plugin/host"
	"ocm/web"
)

// Options of a [Session].
type Options struct {
	Kit    *ocm.Kit
	Config *config.Config // nil: empty
	// Env is what the session completes: its HTTP and Credentials are set, and the folders that are not. It must not be used otherwise.
	Env    *ocm.Env
	Getenv func(string) string // nil: os.Getenv
	// Confined refuses a configuration that names what belongs to the process.
	Confined bool
	// Allow is asked before a repository is opened, and returns its specification as it is to be opened; nil: all are.
	Allow func(ocm.Spec) (ocm.Spec, error)
	// Plugins attaches plugins to the kit: what it does not say is taken from the configuration, or has its default. nil: there are none,
	// and a confined session never has any.
	Plugins *host.Options
}

// Session works with one configuration. It may be used concurrently.
type Session struct {
	Kit       *ocm.Kit
	Env       *ocm.Env
	Config    *config.Config
	Resolvers *config.Resolvers // nil: none
	Aliases   map[string]ocm.Spec
	Secrets   *credentials.Store

	allow     func(ocm.Spec) (ocm.Spec, error)
	transport *web.Transport
	plugins   *host.Host   // nil: none
	load      func() error // see LoadPlugins
	shared    *Session     // of which this is a fork; nil: of none

	mu    sync.Mutex
	repos map[string]opened // by specification
}

type opened struct {
	ocm.Repository
	spec ocm.Spec
}

// New makes a session. [ocm.ErrInvalid] names what is wrong in the configuration, or what a confined session must not have.
func New(o Options) (*Session, error) {
	s := &Session{Kit: o.Kit, Env: o.Env, Config: o.Config, allow: o.Allow, repos: map[string]opened{}}
	if s.allow == nil {
		s.allow = func(spec ocm.Spec) (ocm.Spec, error) { return spec, nil }
	}
	if o.Confined {
		s.Env.Confined = true
		if err := confine(s.Config); err != nil {
			return nil, err
		}
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	if err := s.folders(); err != nil {
		return nil, err
	}
	if err := s.attach(o); err != nil {
		return nil, err
	}
	var err error
	if s.Resolvers, err = s.Config.Resolvers(); err != nil {
		return nil, err
	}
	if s.Aliases, err = s.Config.Aliases(); err != nil {
		return nil, err
	}
	s.Secrets, err = config.Explained(s.Config, config.CredentialsType, func(c *config.Config) (*credentials.Store, error) {
		entries, places := c.CredentialPlaces()
		options := credentials.Options{Getenv: o.Getenv, Log: s.Env.Logger(), HTTP: s.Env.HTTP, Places: places, Confined: o.Confined}
		if s.Kit != nil {
			options.Sources = s.Kit.Secrets
		}
		return credentials.New(entries, options)
	})
	s.Env.Credentials = s.Secrets
	return s, err
}

// connect makes the one HTTP transport of the session.
func (s *Session) connect() error {
	settings, err := config.Explained(s.Config, config.HTTPType, (*config.Config).HTTP)
	if err != nil {
		return err
	}
	s.transport = web.NewTransport(settings)
	s.Env.HTTP = s.transport
	for host, o := range settings.Hosts {
		if o.InsecureSkipVerify {
			s.Env.Logger().Warn("certificates are not verified, as configured", "host", host)
		}
	}
	if settings.Default.InsecureSkipVerify {
		s.Env.Logger().Warn("certificates are not verified, as configured", "host", "every other")
	}
	return nil
}

// folders takes from the configuration what the environment does not say.
func (s *Session) folders() error {
	f, err := s.Config.Filesystem()
	if err != nil {
		return err
	}
	for _, d := range [...]struct {
		name, configured string
		folder           *string
	}{{"workingDirectory", f.WorkingDirectory, &s.Env.Dir}, {"tempFolder", f.TempFolder, &s.Env.Temp}} {
		if *d.folder != "" || d.configured == "" {
			continue
		}
		if info, err := os.Stat(d.configured); err != nil {
			return fmt.Errorf("configuration: %s: %s: %v: %w", config.FilesystemType, d.name, err, ocm.ErrInvalid)
		} else if !info.IsDir() {
			return fmt.Errorf("configuration: %s: %s %s: not a folder: %w", config.FilesystemType, d.name, d.configured, ocm.ErrInvalid)
		}
		*d.folder = d.configured
	}
	return nil
}

// attach lets the kit find plugins. None is looked for before a type is asked for that the kit does not have.
func (s *Session) attach(o Options) error {
	settings, err := s.Config.Plugins()
	if err != nil || o.Plugins == nil || o.Confined {
		return err
	}
	h := *o.Plugins
	if len(h.Dirs) == 0 {
		h.Dirs = settings.Locations
	}
	if h.Idle == 0 {
		h.Idle = settings.IdleTimeout
	}
	if h.Plugins == nil {
		h.Plugins = settings.Named
	}
	if h.Entries == nil && s.Config != nil {
		h.Entries = s.Config.Entries
	}
	if h.Temp == "" {
		h.Temp = s.Env.Temp
	}
	if h.Getenv == nil {
		h.Getenv = o.Getenv
	}
	if h.Log == nil {
		h.Log = s.Env.Logger()
	}
	s.plugins = host.New(h)
	s.load = s.plugins.Attach(s.Kit)
	return nil
}

// Plugins is the host of the session's plugins; nil: it has none.
func (s *Session) Plugins() *host.Host { return s.plugins }

// LoadPlugins makes what plugins can do part of the kit now, as it is otherwise done when something is needed that is not compiled in. The
// error tells which of them cannot be used.
func (s *Session) LoadPlugins() error {
	if s.load == nil {
		return nil
	}
	return s.load()
}

// Fork returns a session with the same configuration and connections that opens repositories anew, with an environment that has
// another job, and reports to somebody else.
func (s *Session) Fork(job *ocm.Job, report func(ocm.Event)) *Session {
	env := *s.Env
	env.Job, env.Report = job, report
	return &Session{Kit: s.Kit, Env: &env, Config: s.Config, Resolvers: s.Resolvers, Aliases: s.Aliases, Secrets: s.Secrets,
		allow: s.allow, transport: s.transport, repos: map[string]opened{}}
}

// Share is a fork that takes over the repositories in registries, with what they know, such as tokens; these are not its own to close. What
// is in files is opened anew: somebody else may write there.
func (s *Session) Share(job *ocm.Job) *Session {
	f := s.Fork(job, nil)
	f.shared = s
	return f
}

// Close closes the repositories that were opened, and idle connections, and ends the plugins.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.repos {
		if err := r.Close(); err != nil {
			s.Env.Logger().Warn("closing", "repository", r.String(), "error", err)
		}
	}
	clear(s.repos)
	if s.plugins != nil {
		s.plugins.Close()
	}
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	return nil
}

// Open opens a repository, each once; the session closes it.
func (s *Session) Open(ctx context.Context, spec ocm.Spec) (ocm.Repository, error) {
	if s.shared != nil && s.Kit.Repositories.Same(spec.Type, ocm.OCIRepositoryType) {
		return s.once(string(spec.Raw), spec, func() (ocm.Repository, error) { return s.shared.Open(ctx, spec) })
	}
	return s.once(string(spec.Raw), spec, func() (ocm.Repository, error) {
		allowed, err := s.allow(spec)
		if err != nil {
			return nil, err
		}
		opener, err := s.Kit.Repositories.For(spec.Type)
		if err != nil {
			return nil, err
		}
		return opener(ctx, s.Env, allowed)
	})
}

// OpenOnce opens what was not opened under this name, such as that of a stream.
func (s *Session) OpenOnce(name string, open func() (ocm.Repository, error)) (ocm.Repository, error) {
	return s.once(name, ocm.Spec{}, open)
}

func (s *Session) once(name string, spec ocm.Spec, open func() (ocm.Repository, error)) (ocm.Repository, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.repos[name]; ok {
		return r.Repository, nil
	}
	r, err := open()
	if err == nil {
		s.repos[name] = opened{r, spec}
	}
	return r, err
}

// Opened is how many repositories are open.
func (s *Session) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.repos)
}

// SpecOf is the specification that a repository was opened by; the zero Spec if it was not opened here.
func (s *Session) SpecOf(repo ocm.Repository) ocm.Spec {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.repos {
		if r.Repository == repo {
			return r.spec
		}
	}
	return ocm.Spec{}
}

// Existing opens a repository that is read. An archive that is to be written may be missing, one that is read must be
// there: [ocm.ErrNotFound].
func (s *Session) Existing(ctx context.Context, spec ocm.Spec) (ocm.Repository, error) {
	allowed, err := s.allow(spec)
	if err != nil {
		return nil, err
	}
	var archive struct {
		FilePath string `json:"filePath"`
	}
	if s.Kit.Repositories.Same(spec.Type, ocm.CTFType) && allowed.Decode(&archive) == nil && archive.FilePath != "" && IsAbsent(archive.FilePath) {
		return nil, fmt.Errorf("%s: no such folder or archive: %w", archive.FilePath, ocm.ErrNotFound)
	}
	return s.Open(ctx, spec)
}

// IsAbsent reports whether there is nothing at a path; a pipe, "-", is always there.
func IsAbsent(path string) bool {
	if path == "-" {
		return false
	}
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
