// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// ErrSilent is the cause of every end by a timeout of this package.
var ErrSilent = errors.New("the server has gone silent")

// watch sends a request and ends it if it makes no progress. Only waiting for the server counts: the time
// that our side takes to produce an upload or to use a download does not.
func watch(base http.RoundTripper, p Pace, req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	guard := newGuard(cancel, p.Answer)
	out := req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &watchedUpload{ReadCloser: req.Body, guard: guard, pace: p}
	}
	resp, err := base.RoundTrip(out)
	guard.end()
	if err != nil {
		if context.Cause(ctx) == ErrSilent {
			err = fmt.Errorf("no answer: %w", ErrSilent)
		}
		cancel(nil)
		return nil, err
	}
	body := newGuard(cancel, p.Stall)
	body.pause()
	resp.Body = &watchedDownload{ReadCloser: resp.Body, guard: body, ctx: ctx, cancel: cancel, stall: p.Stall}
	return resp, nil
}

// guard cancels with ErrSilent when its time is over. Pausing and running is for one goroutine.
type guard struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// newGuard begins with d; a time of 0 never ends anything.
func newGuard(cancel context.CancelCauseFunc, d time.Duration) *guard {
	g := &guard{timer: time.AfterFunc(time.Hour, func() { cancel(ErrSilent) })}
	g.run(d)
	return g
}

func (g *guard) run(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.ended:
	case d == 0:
		g.timer.Stop()
	default:
		g.timer.Reset(d)
	}
}

func (g *guard) pause() { g.timer.Stop() }

// end stops for good, whatever a goroutine that still sends the body does afterwards.
func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.timer.Stop()
}

type watchedUpload struct {
	io.ReadCloser
	guard *guard
	pace  Pace
}

func (u *watchedUpload) Read(p []byte) (int, error) {
	u.guard.pause()
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		u.guard.run(u.pace.Commit)
	} else {
		u.guard.run(u.pace.Stall)
	}
	return n, err
}

type watchedDownload struct {
	io.ReadCloser
	guard  *guard
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  time.Duration
}

func (d *watchedDownload) Read(p []byte) (int, error) {
	d.guard.run(d.stall)
	n, err := d.ReadCloser.Read(p)
	d.guard.pause()
	if err != nil && err != io.EOF && context.Cause(d.ctx) == ErrSilent {
		err = fmt.Errorf("no data for %v: %w", d.stall, ErrSilent)
	}
	return n, err
}

func (d *watchedDownload) Close() error {
	d.guard.end()
	err := d.ReadCloser.Close()
	d.cancel(nil)
	return err
}
