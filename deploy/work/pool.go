// SPDX-License-Identifier: Apache-2.0

package work

import (
	"context"
	"errors"
	"time"
)

// ErrInProgress says that there is no answer yet; who asked is woken when there is one.
var ErrInProgress = errors.New("in progress")

// Asker is somebody who can be woken: a comparable value, such as a kind with the key of an object.
type Asker any

// Options of a [Pool]. Zero values are replaced by the defaults.
type Options struct {
	Workers int           // tasks at a time; default 10
	Queue   int           // tasks that may wait; default 1000. More are refused with [ocm.ErrLimit]: who asked tries again later
	Bytes   int64         // of results that are kept; default 32 MiB. The least recently used go first
	TTL     time.Duration // how long a result is kept that nobody asks for; default 30 minutes
	Timeout time.Duration // of a task that names none; default 10 minutes
	Wake    func(Asker)   // must not block; nil: nobody is woken
	Now     func() time.Time
	Observe Observer // nil: nobody
}

// Observer is told what a pool does, for metrics. It must be fit for concurrent use.
type Observer interface {
	Hit()
	Miss()
	Queued(n int)  // tasks that wait
	Running(n int) // tasks at work
	Done(t Kind, took time.Duration, err error)
}

// Kind says in metrics what a task does: a component, its version, and whether it is verified. All may be empty.
type Kind struct{ Component, Version, Verification string }

// Task is something slow. Tasks with equal keys are the same task.
type Task[T any] struct {
	Key any // comparable
	// Lane names what the task may have to wait for, such as a registry. The tasks of one lane never take all workers.
	Lane    string
	Kind    Kind
	Timeout time.Duration // 0: that of the pool
	// MaxAge of an answer that is good enough; 0: as old as it is kept.
	MaxAge time.Duration
	// ErrorAge is how long an error is an answer; 0: 5 seconds. Each asker is given it at least once.
	ErrorAge time.Duration
	// Run does it. bytes is what the result costs to be kept. A panic is an error.
	Run func(ctx context.Context) (result T, bytes int64, err error)
}

// Pool does tasks.
type Pool struct{}

// New returns a pool that does nothing before [Pool.Start].
func New(o Options) *Pool { return &Pool{} }

// Start works until the context ends.
func (p *Pool) Start(ctx context.Context) error { <-ctx.Done(); return nil }

// Forget drops the answer of a task, so that it is done again for the next who asks.
func (p *Pool) Forget(key any) {}

// Ask returns the answer to a task, or [ErrInProgress]: then who is woken when there is one.
func Ask[T any](p *Pool, t Task[T], who Asker) (T, error) {
	var none T
	return none, ErrInProgress
}
