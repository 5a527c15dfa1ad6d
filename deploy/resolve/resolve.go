// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"container/list"
	"errors"
	"sync"
	"time"

	"ocm"
	"ocm/builtin"
	"ocm/session"
)

const (
	// MaxSessions bounds the configurations whose connections and tokens are kept; the least recently used go first.
	MaxSessions = 256
	// sessionTime is how long one is kept, and maxOpened how many repositories it may have open: then it is made anew, so that what it
	// remembers does not grow.
	sessionTime = time.Hour
	maxOpened   = 1000

	defaultParallel = 4
)

// Options of a [Resolver].
type Options struct {
	Kit *ocm.Kit // nil: all that is compiled in
	Env *ocm.Env // Log, Temp, Cache, Timeout, Now count; nil: defaults
	// Archives is the folder below which repositories may be archives; empty: they must not be.
	Archives string
	// Parallel is how much one question may do at once; default 4.
	Parallel int
}

// Resolver answers questions. It may be used concurrently; connections are shared by those with equal configurations.
type Resolver struct {
	o   Options
	env ocm.Env // without a cache, which has a part for each tenant: [Resolver.cacheOf]

	mu       sync.Mutex
	sessions map[string]*list.Element // of kept, by the digest of the configuration
	order    *list.List               // the most recently used first
}

type kept struct {
	digest string
	made   time.Time
	*session.Session
}

func (k *kept) old(now time.Time) bool {
	return now.Sub(k.made) > sessionTime || k.Opened() > maxOpened
}

// New returns a resolver.
func New(o Options) *Resolver {
	if o.Kit == nil {
		o.Kit = builtin.Kit()
	}
	if o.Env == nil {
		o.Env = &ocm.Env{}
	}
	o.Parallel = cmp.Or(max(o.Parallel, 0), defaultParallel)
	return &Resolver{o: o, sessions: map[string]*list.Element{}, order: list.New(),
		env: ocm.Env{Log: o.Env.Log, Temp: o.Env.TempDir(), Timeout: o.Env.Timeout, Now: o.Env.Now}}
}

// Close closes connections.
func (r *Resolver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for r.order.Len() > 0 {
		errs = append(errs, r.drop(r.order.Back()))
	}
	return errors.Join(errs...)
}

// session returns the session of a configuration, of which there is one.
func (r *Resolver) session(c *Config) (*session.Session, error) {
	if c == nil {
		c = &Config{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.env.Time()
	if at := r.sessions[c.digest]; at != nil {
		if k := at.Value.(*kept); !k.old(now) {
			r.order.MoveToFront(at)
			return k.Session, nil
		}
		_ = r.drop(at) // what cannot be closed is told in the log
	}
	env := r.env
	env.Job = ocm.NewJob(r.o.Parallel)
	s, err := session.New(session.Options{Kit: r.o.Kit, Env: &env, Config: c.config, Getenv: noVariables, Confined: true, Allow: r.allow})
	if err != nil {
		return nil, err
	}
	if err := r.checkResolvers(s); err != nil {
		return nil, err
	}
	for at := r.order.Back(); at != nil && (r.order.Len() >= MaxSessions || at.Value.(*kept).old(now)); at = r.order.Back() {
		_ = r.drop(at)
	}
	r.sessions[c.digest] = r.order.PushFront(&kept{c.digest, now, s})
	return s, nil
}

// drop forgets a session. Answers that were got with it stay good: their next request makes a connection again.
func (r *Resolver) drop(at *list.Element) error {
	k := r.order.Remove(at).(*kept)
	delete(r.sessions, k.digest)
	return k.Close()
}

func noVariables(string) string { return "" }
