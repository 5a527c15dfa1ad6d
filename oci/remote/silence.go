// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Times that a registry has. They bound silence, not work: a transfer that moves may take days.
// [ocm.Env.Timeout] and the settings of a web.Transport replace them.
const (
	AnswerTimeout = time.Minute      // from the end of a request to its response
	CommitTimeout = 10 * time.Minute // the same after a body was sent, at least: the registry may have to store 100 GiB
	StallTimeout  = time.Minute      // between two reads or writes of a body
)

// errStalled is the cause of every end by a timeout of this package.
var errStalled = errors.New("the registry has gone silent")

// watched ends requests that make no progress. Only waiting for the registry counts: the time
// that our side takes to produce an upload or to use a download does not.
type watched struct {
	base http.RoundTripper
	pace pace
}

func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	guard := newGuard(cancel, w.pace.answer)
	out := req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &watchedUpload{ReadCloser: req.Body, guard: guard, pace: w.pace}
	}
	resp, err := w.base.RoundTrip(out)
	guard.end()
	if err != nil {
		if context.Cause(ctx) == errStalled {
			err = fmt.Errorf("no answer: %w", errStalled)
		}
		cancel(nil)
		return nil, err
	}
	body := newGuard(cancel, w.pace.stall)
	body.pause()
	resp.Body = &watchedDownload{ReadCloser: resp.Body, guard: body, ctx: ctx, cancel: cancel, stall: w.pace.stall}
	return resp, nil
}

// guard cancels with errStalled when its time is over. Pausing and running is for one goroutine.
type guard struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// newGuard begins with d; a time of 0 never ends anything.
func newGuard(cancel context.CancelCauseFunc, d time.Duration) *guard {
	g := &guard{timer: time.AfterFunc(time.Hour, func() { cancel(errStalled) })}
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
	pace  pace
}

func (u *watchedUpload) Read(p []byte) (int, error) {
	u.guard.pause()
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		u.guard.run(u.pace.commit)
	} else {
		u.guard.run(u.pace.stall)
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
	if err != nil && err != io.EOF && context.Cause(d.ctx) == errStalled {
		err = fmt.Errorf("no data for %v: %w", d.stall, errStalled)
	}
	return n, err
}

func (d *watchedDownload) Close() error {
	d.guard.end()
	err := d.ReadCloser.Close()
	d.cancel(nil)
	return err
}
