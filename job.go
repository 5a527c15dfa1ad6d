// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"sync"
	"sync/atomic"
)

// Job bounds the work of one run and makes sure that nothing is done twice in it.
// A nil Job bounds nothing and remembers nothing.
type Job struct {
	// Stats counts what the job has done so far.
	Stats Stats

	slots chan struct{}

	mu      sync.Mutex
	flights map[any]*flight
	kept    map[any]any
}

// Stats are the counters of a job. They only grow, and may be read at any time.
type Stats struct {
	Blobs   atomic.Int64 // blobs that were moved
	Moved   atomic.Int64 // their bytes
	Found   atomic.Int64 // blobs that were at the target already
	Skipped atomic.Int64 // bytes of what was found or mounted
	Mounted atomic.Int64 // blobs that a registry took over from another of its repositories
	Retries atomic.Int64 // requests that were repeated, and streams that were resumed
}

// Counters returns the job's statistics, never nil; those of a nil Job are lost.
func (j *Job) Counters() *Stats {
	if j == nil {
		return &Stats{}
	}
	return &j.Stats
}

type flight struct {
	done chan struct{}
	err  error
}

// NewJob returns a job that does at most parallel things at once (at least one).
func NewJob(parallel int) *Job {
	return &Job{slots: make(chan struct{}, max(1, parallel)), flights: map[any]*flight{}, kept: map[any]any{}}
}

// Parallel is the number of things the job does at once; 1 for a nil Job.
func (j *Job) Parallel() int {
	if j == nil {
		return 1
	}
	return cap(j.slots)
}

// Do runs fn when a slot is free. fn must not call Do itself: a slot is for one piece of
// work, such as moving one blob, never for something that waits for other work.
func (j *Job) Do(ctx context.Context, fn func() error) error {
	if j == nil {
		return fn()
	}
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
		return fn()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Once runs fn for the first caller with this key, a comparable value; others wait for it and share its
// result. Success is remembered for the rest of the job, failure is not: the next
// caller tries again. The caller whose context ends stops waiting.
func (j *Job) Once(ctx context.Context, key any, fn func() error) error {
	if j == nil {
		return fn()
	}
	j.mu.Lock()
	f, ok := j.flights[key]
	if !ok {
		f = &flight{done: make(chan struct{})}
		j.flights[key] = f
	}
	j.mu.Unlock()
	if ok {
		select {
		case <-f.done:
			return f.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	f.err = fn()
	if f.err != nil {
		j.mu.Lock()
		delete(j.flights, key)
		j.mu.Unlock()
	}
	close(f.done)
	return f.err
}

// Keep returns what the job holds under key, a comparable value; the first caller's fresh makes it.
// It must be fit for concurrent use. A nil Job holds nothing: each caller gets something fresh.
func (j *Job) Keep(key any, fresh func() any) any {
	if j == nil {
		return fresh()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	v, ok := j.kept[key]
	if !ok {
		v = fresh()
		j.kept[key] = v
	}
	return v
}
