// SPDX-License-Identifier: Apache-2.0

package work

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"time"

	"ocm"
)

// Task is something slow. Tasks with equal keys are the same task.
type Task[T any] struct {
	Key any // comparable
	// Lane names what the task may have to wait for, such as a registry. A lane gets one more worker only while more are free than it has
	// already: never more than half of them, and several that hang leave some for others.
	Lane    string
	Kind    Kind
	Timeout time.Duration // 0: that of the pool
	// MaxAge of an answer that is good enough; 0: as old as it is kept. An error in place of a newer answer drops none that is good enough.
	MaxAge time.Duration
	// ErrorAge is how long an error is an answer; 0: 5 seconds. Each asker is given it at least once.
	ErrorAge time.Duration
	// Run does it. bytes is what the result costs to be kept. A panic is an error.
	Run func(ctx context.Context) (result T, bytes int64, err error)
}

// Ask returns the answer to a task, or [ErrInProgress]: then who is woken when there is one. [ocm.ErrLimit] if too many wait already: then
// nobody is woken. An answer of another type than T, which a wrong key brings, is [ocm.ErrInvalid].
func Ask[T any](p *Pool, t Task[T], who Asker) (T, error) {
	r := &run{at: laneKey{lane: t.Lane}, kind: t.Kind, timeout: cmp.Or(t.Timeout, p.o.Timeout), errorAge: cmp.Or(t.ErrorAge, defaultErrorAge)}
	if of, ok := who.(Tenant); ok {
		r.at.tenant = of.Tenant()
	}
	r.do = func(ctx context.Context) (any, int64, error) { return t.Run(ctx) }
	found, err := p.ask(t.Key, r, t.MaxAge, who)
	result, fits := found.(T)
	if err == nil && !fits && found != nil { // nil is the zero value of an interface
		err = fmt.Errorf("the answer to this task is a %T: %w", found, ocm.ErrInvalid)
	}
	return result, err
}

// entry is what is known of a task.
type entry struct {
	key            any
	run            *run    // waits, or is at work; nil: neither
	value, failure *answer // the latest of each; nil: none
	used           time.Time
	place          *list.Element // in the order of use; nil: there is no answer
}

// answer is a result, or an error.
type answer struct {
	value any
	err   error
	bytes int64
	time  time.Time
	age   time.Duration // how long an error counts
	stale bool          // counts for those only to whom it is owed
	owed  map[Asker]bool
	held  bool // counts as owed: it is not dropped to make room
}

// run is a task that waits or is at work.
type run struct {
	do       func(ctx context.Context) (any, int64, error)
	at       laneKey
	kind     Kind
	timeout  time.Duration
	errorAge time.Duration

	entry   *entry
	started bool
	late    error          // it did not return in time, and is at work still
	askers  map[Asker]bool // wait for it
	// next wait for another run: the answer was forgotten before they asked.
	next map[Asker]bool
	then *run // that next run
}

func (p *Pool) ask(key any, r *run, maxAge time.Duration, who Asker) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	e := p.entries[key]
	if e == nil {
		e = &entry{key: key}
	}
	if a := e.answer(who, now, maxAge, p.o.TTL); a != nil {
		p.o.Observe.Hit()
		p.use(e, now)
		p.claim(e, a, who)
		return a.value, a.err
	}
	switch {
	case e.run == nil:
		r.entry, r.askers = e, map[Asker]bool{}
		if err := p.enqueue(r); err != nil {
			return nil, err
		}
		p.o.Observe.Miss()
		e.run, p.entries[key] = r, e
		p.dispatch()
	case e.run.late != nil:
		return nil, e.run.late
	case e.run.next != nil:
		e.run.then = r // equal keys: any of them will do
		join(e.run.next, who)
		return nil, ErrInProgress
	case !e.run.started && e.run.at.tenant != "" && e.run.at.tenant != r.at.tenant:
		p.waiting.share(e.run)
		p.dispatch()
	}
	join(e.run.askers, who)
	return nil, ErrInProgress
}

func join(set map[Asker]bool, who Asker) {
	if who != nil {
		set[who] = true
	}
}

// answer is what counts for somebody now, nil if nothing does.
func (e *entry) answer(who Asker, now time.Time, maxAge, ttl time.Duration) *answer {
	if a := e.value; a != nil {
		fresh := !a.stale && (maxAge <= 0 || now.Sub(a.time) <= maxAge) && now.Sub(e.used) <= ttl
		if fresh || a.owed[who] {
			return a
		}
	}
	if a := e.failure; a != nil && (a.owed[who] || !a.stale && now.Sub(a.time) <= a.age) {
		return a
	}
	return nil
}

// Forget drops the answer of a task, so that it is done again for the next who asks. Those who wait for it already get what they wait for.
func (p *Pool) Forget(key any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[key]
	if e == nil {
		return
	}
	if e.run != nil && e.run.started && e.run.next == nil {
		e.run.next = map[Asker]bool{}
	}
	for _, a := range [...]*answer{e.value, e.failure} {
		if a != nil {
			a.stale = true
		}
	}
	p.tidy(e)
}
