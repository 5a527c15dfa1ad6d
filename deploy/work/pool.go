// SPDX-License-Identifier: Apache-2.0

package work

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ocm"
)

// ErrFull says that so many tasks wait already that no more are taken; nobody is woken. It is an [ocm.ErrLimit].
var ErrFull = fmt.Errorf("%w: too many tasks wait", ocm.ErrLimit)

// ErrInProgress says that there is no answer yet; who asked is woken when there is one.
var ErrInProgress = errors.New("in progress")

// ClaimTime is how long an answer is held for those who were woken for it.
const ClaimTime = 30 * time.Second

const (
	defaultWorkers  = 10
	defaultQueue    = 1000
	defaultBytes    = 32 << 20
	defaultTTL      = 30 * time.Minute
	defaultTimeout  = 10 * time.Minute
	defaultErrorAge = 5 * time.Second

	sweepEvery = 10 * time.Second // what nobody asks for is looked for
	endGrace   = 5 * time.Second  // how long Start waits for tasks that were cancelled
)

// Asker is somebody who can be woken: a comparable value, such as a kind with the key of an object. nil is nobody.
type Asker any

// Tenant is an [Asker] that belongs to somebody. All tasks that somebody brings are bounded together, as a lane is: see [Task].
type Tenant interface{ Tenant() string }

// Options of a [Pool]. Zero values are replaced by the defaults.
type Options struct {
	Workers int // tasks at a time; default 10
	// Queue is how many tasks of one lane may wait, and half of how many of all; default 1000. More are refused with
	// [ocm.ErrLimit]: who asked tries again later.
	Queue   int
	Bytes   int64         // of results that are kept; default 32 MiB. The least recently used go first
	TTL     time.Duration // how long a result is kept that nobody asks for; default 30 minutes
	Timeout time.Duration // of a task that names none; default 10 minutes
	Wake    func(Asker)   // must not block; nil: nobody is woken
	Now     func() time.Time
	Observe Observer // nil: nobody
}

// Observer is told what a pool does, for metrics. It must be fit for concurrent use, and must not ask the pool.
type Observer interface {
	Hit()
	Miss()
	Queued(n int)  // tasks that wait
	Running(n int) // tasks at work
	Done(t Kind, took time.Duration, err error)
}

// Kind says in metrics what a task does: a component, its version, and whether it is verified. All may be empty.
type Kind struct{ Component, Version, Verification string }

// Pool does tasks.
type Pool struct {
	o Options

	mu      sync.Mutex
	ctx     context.Context // of Start; nil: nothing is done
	entries map[any]*entry  // what is known of a task, by its key
	waiting queue
	running int // tasks at work
	tasks   sync.WaitGroup

	order *list.List // entries with answers, the most recently used first
	bytes int64      // of all answers
	held  int64      // of those that are owed to somebody
}

// New returns a pool that does nothing before [Pool.Start].
func New(o Options) *Pool {
	o.Workers = cmp.Or(max(o.Workers, 0), defaultWorkers)
	o.Queue = cmp.Or(max(o.Queue, 0), defaultQueue)
	o.Bytes = cmp.Or(max(o.Bytes, 0), defaultBytes)
	o.TTL = cmp.Or(max(o.TTL, 0), defaultTTL)
	o.Timeout = cmp.Or(max(o.Timeout, 0), defaultTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wake == nil {
		o.Wake = func(Asker) {}
	}
	if o.Observe == nil {
		o.Observe = nobody{}
	}
	return &Pool{o: o, entries: map[any]*entry{}, order: list.New(), waiting: queue{lanes: map[laneKey]*lane{}, running: map[laneKey]int{}}}
}

// Start works until the context ends, and returns when the tasks at work, which are cancelled then, have returned; it waits no longer than 5
// seconds for them. Nobody is told of tasks that were cancelled so.
func (p *Pool) Start(ctx context.Context) error {
	p.mu.Lock()
	p.ctx = ctx
	p.dispatch()
	p.mu.Unlock()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			p.sweep()
		}
	}
	p.mu.Lock()
	p.ctx = nil // nothing begins from now on
	p.mu.Unlock()
	returned := make(chan struct{})
	go func() { p.tasks.Wait(); close(returned) }()
	select {
	case <-returned:
	case <-time.After(endGrace):
	}
	return nil
}

type nobody struct{}

func (nobody) Hit()                            {}
func (nobody) Miss()                           {}
func (nobody) Queued(int)                      {}
func (nobody) Running(int)                     {}
func (nobody) Done(Kind, time.Duration, error) {}
