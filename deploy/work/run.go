// SPDX-License-Identifier: Apache-2.0

package work

import (
	"context"
	"fmt"
	"maps"
	"time"

	"ocm"
)

// dispatch begins what may begin. The lock is held.
func (p *Pool) dispatch() {
	for p.ctx != nil && p.ctx.Err() == nil && p.held < p.o.Bytes {
		r := p.waiting.next(p.o.Workers - p.running)
		if r == nil {
			break
		}
		r.started = true
		p.running++
		p.tasks.Add(1)
		go p.work(p.ctx, r)
	}
	p.o.Observe.Queued(p.waiting.n)
	p.o.Observe.Running(p.running)
}

func (p *Pool) enqueue(r *run) error {
	if waiting := p.waiting.of(r.at); waiting >= p.o.Queue || p.waiting.n >= 2*p.o.Queue {
		return fmt.Errorf("%w: %d, %d of them for %q; it is tried again later", ErrFull, p.waiting.n, waiting, r.at.lane)
	}
	p.waiting.add(r)
	return nil
}

// result is what a task returned.
type result struct {
	value any
	bytes int64
	err   error
}

// work runs a task. One that does not return in time answers with an error, and keeps its worker until it returns.
func (p *Pool) work(parent context.Context, r *run) {
	defer p.tasks.Done()
	ctx, cancel := context.WithTimeout(parent, r.timeout)
	defer cancel()
	begin := time.Now()
	done := make(chan result, 1)
	go func() { done <- guarded(ctx, r.do) }()
	var got result
	select {
	case got = <-done:
	case <-ctx.Done():
		if parent.Err() == nil {
			p.tooLate(r)
		}
		got = <-done
	}
	if parent.Err() == nil {
		p.o.Observe.Done(r.kind, time.Since(begin), got.err)
	}
	p.finish(r, got, parent.Err() != nil)
}

// guarded makes errors of panics.
func guarded(ctx context.Context, do func(context.Context) (any, int64, error)) (out result) {
	out.err = fmt.Errorf("the task ended its goroutine: %w", ocm.ErrInvalid)
	defer func() {
		if r := recover(); r != nil {
			out = result{err: fmt.Errorf("panic: %v", r)}
		}
	}()
	out.value, out.bytes, out.err = do(ctx)
	return out
}

// tooLate answers those who wait for a task whose time is over.
func (p *Pool) tooLate(r *run) {
	p.mu.Lock()
	r.late = fmt.Errorf("no answer within %s: %w", r.timeout, context.DeadlineExceeded)
	woken := p.settle(r, result{err: r.late})
	p.mu.Unlock()
	p.wake(woken)
}

// finish frees the worker, and answers. Nobody is told of what was cancelled.
func (p *Pool) finish(r *run, got result, cancelled bool) {
	p.mu.Lock()
	p.running--
	p.waiting.done(r.at)
	var woken map[Asker]bool
	if !cancelled && (r.late == nil || got.err == nil) {
		woken = p.settle(r, got)
	}
	e := r.entry
	e.run = nil
	if r.then != nil {
		e.run, r.then.entry, r.then.askers = r.then, e, r.next
		p.waiting.add(r.then) // it was let in with the run that it follows
	}
	p.tidy(e)
	p.dispatch()
	p.mu.Unlock()
	p.wake(woken)
}

// settle keeps the answer of a run, and returns who is to be woken. Those who were owed an older one are owed this.
func (p *Pool) settle(r *run, got result) map[Asker]bool {
	e, woken := r.entry, r.askers
	r.askers = map[Asker]bool{}
	a := &answer{value: got.value, err: got.err, bytes: overhead + max(got.bytes, 0), time: p.o.Now(), age: r.errorAge, stale: r.next != nil,
		owed: maps.Clone(woken)}
	p.replace(&e.failure, a)
	if got.err == nil {
		p.replace(&e.value, a)
		e.value = a
	} else {
		a.value, a.bytes = nil, overhead+int64(len(got.err.Error()))
		e.failure = a
	}
	p.account(a)
	p.use(e, a.time)
	p.evict()
	return woken
}

func (p *Pool) wake(askers map[Asker]bool) {
	for who := range askers {
		p.o.Wake(who)
	}
}
