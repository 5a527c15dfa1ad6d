// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"

	"ocm"
)

// Times that a registry has. They bound silence, not work: a transfer that moves may take days.
const (
	AnswerTimeout = time.Minute      // from the end of a request to its response
	CommitTimeout = 10 * time.Minute // the same after a body was sent: the registry may have to store 100 GiB
	StallTimeout  = time.Minute      // between two reads or writes of a body
)

// Repetition of requests that failed for a reason that passes.
const (
	MaxRetries    = 4                      // repetitions of one request
	FirstWait     = 250 * time.Millisecond // doubled each time, with a little chance in it
	MaxRetryAfter = 30 * time.Second       // the longest wait that a registry may ask for
)

// pace holds the times; tests make them shorter.
type pace struct {
	answer, commit, stall time.Duration
	wait, maxWait         time.Duration
	retries               int
}

func (p pace) orDefault() pace {
	if p == (pace{}) {
		return pace{AnswerTimeout, CommitTimeout, StallTimeout, FirstWait, MaxRetryAfter, MaxRetries}
	}
	return p
}

// errStalled is the cause of every end by a timeout of this package.
var errStalled = errors.New("the registry has gone silent")

// retrying repeats requests that can be repeated: without body or with one that can be had
// again. That includes the POST that begins an upload, which merely begins another one. A body
// that streams is sent once; [repo.Push] decides what then.
func retrying(env *ocm.Env, p pace, base http.RoundTripper) http.RoundTripper {
	policy := &retry.GenericPolicy{
		Retryable: func(resp *http.Response, err error) (bool, error) {
			again := passes(resp, err)
			if again && resp != nil {
				env.Logger().Debug("registry busy, trying again", "host", resp.Request.URL.Host, "status", resp.StatusCode)
			}
			return again, nil
		},
		Backoff: func(attempt int, resp *http.Response) time.Duration {
			if d, ok := retryAfter(resp, env.Time()); ok {
				return d
			}
			return retry.ExponentialBackoff(p.wait, 2, 0.1)(attempt, nil)
		},
		MaxWait:  p.maxWait,
		MaxRetry: p.retries,
	}
	return &retry.Transport{
		Base:   &watched{base: base, pace: p},
		Policy: func() retry.Policy { return policy },
	}
}

// passes tells failures that may be gone the next time.
func passes(resp *http.Response, err error) bool {
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
			errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) ||
			errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
	}
	return passingStatus(resp.StatusCode)
}

func passingStatus(code int) bool {
	switch code {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the header of that name: seconds or a date. The policy caps it.
func retryAfter(resp *http.Response, now time.Time) (time.Duration, bool) {
	if resp == nil {
		return 0, false
	}
	v := resp.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now)), true
	}
	return 0, false
}

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

func newGuard(cancel context.CancelCauseFunc, d time.Duration) *guard {
	return &guard{timer: time.AfterFunc(d, func() { cancel(errStalled) })}
}

func (g *guard) run(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
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
