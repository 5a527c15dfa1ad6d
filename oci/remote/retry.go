// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"ocm"
	"ocm/web"
)

// Repetition of requests that failed for a reason that passes.
const (
	MaxRetries    = 4                      // repetitions of one request
	FirstWait     = 250 * time.Millisecond // doubled each time, with a little chance in it
	MaxWait       = 8 * time.Second        // the longest of these waits
	MaxRetryAfter = 30 * time.Second       // the longest wait that a registry may ask for

	// firstRefusals is how often a connection is tried again where there never was one: the
	// port is wrong more often than the registry about to start.
	firstRefusals = 2
)

// pace holds the times; tests make them shorter. A time of 0 is no limit.
type pace struct {
	answer, commit, stall time.Duration
	wait, maxWait         time.Duration
	maxAfter              time.Duration
	retries               int
	whole                 time.Duration // see wholeTime
}

// paceFor is the pace for a host, by the environment or its transport.
func paceFor(env *ocm.Env, host string) pace {
	p := pace{AnswerTimeout, CommitTimeout, StallTimeout, FirstWait, MaxWait, MaxRetryAfter, MaxRetries, wholeTime}
	if t, ok := env.HTTP.(*web.Transport); ok {
		o := t.Settings(host)
		p.patience(o.Timeout)
		p.wait, p.maxWait = o.MinWait, max(o.MinWait, o.MaxWait)
		switch {
		case o.MaxRetries < 0:
			p.retries = 0
		case o.MaxRetries == 0:
			p.retries = math.MaxInt
		default:
			p.retries = o.MaxRetries
		}
	}
	if env.Timeout > 0 {
		p.patience(env.Timeout)
	}
	return p
}

func (p *pace) patience(d time.Duration) {
	p.answer, p.stall, p.commit = d, d, max(d, CommitTimeout)
	if d == 0 {
		p.commit = 0
	}
}

// backoff is the wait before a repetition, the first being 0: doubled each time, up to a quarter
// more or less.
func (p pace) backoff(attempt int) time.Duration {
	d := max(p.wait, time.Millisecond) << min(attempt, 20)
	if p.maxWait > 0 {
		d = min(d, p.maxWait)
	}
	return d*3/4 + rand.N(d/2+1)
}

// tries counts the attempts at one piece of work. Being told to wait does not count while the
// registry serves others: then it is our turn sooner or later.
type tries struct {
	n      int
	served int64
}

// again tells whether there is another attempt after one that failed.
func (t *tries) again(s *session, tooMany bool, limit int) bool {
	served := s.lane.progress()
	moving := tooMany && served > t.served
	t.served = served
	if moving {
		return true
	}
	t.n++
	return t.n <= limit
}

// retrying repeats requests that can be repeated: without body or with one that can be had
// again. That includes the POST that begins an upload, which merely begins another one. A body
// that streams is sent once; [repo.Push] decides what then.
type retrying struct {
	session *session
	base    http.RoundTripper
	reached atomic.Bool // somebody answered
}

func (t *retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	s := t.session
	tries := tries{served: s.lane.progress()}
	for {
		resp, err := t.once(req, s.pace.backoff(tries.n))
		limit := s.pace.retries
		if err != nil && !t.reached.Load() {
			limit = min(limit, firstRefusals)
		}
		again := passes(resp, err) && (req.Body == nil || req.Body == http.NoBody || req.GetBody != nil)
		if !again || req.Context().Err() != nil || !tries.again(s, tooMany(resp), limit) {
			return resp, err
		}
		if resp != nil {
			s.env.Logger().Debug("registry busy, trying again", "host", resp.Request.URL.Host, "status", resp.StatusCode)
			drop(resp)
		}
		s.env.Job.Counters().Retries.Add(1)
		if !tooMany(resp) { // else it waits in the lane, with all others
			if err := pause(req.Context(), s.waitAfter(resp, s.pace.backoff(tries.n-1))); err != nil {
				return nil, err
			}
		}
		if req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			req = req.Clone(req.Context())
			req.Body = body
		}
	}
}

// once sends a request when it is its turn; wait is for all, should the registry refuse it as one
// too many and not say for how long. Downloads take no place in the lane: an upload that is
// in it may wait for one.
func (t *retrying) once(req *http.Request, wait time.Duration) (*http.Response, error) {
	s := t.session
	download := req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
	leave, err := s.lane.enter(req.Context(), !download)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		s.lane.abort(leave)
		return nil, err
	}
	t.reached.Store(true)
	if busy := tooMany(resp); busy {
		s.lane.leave(leave, true, s.waitAfter(resp, wait))
	} else {
		s.lane.leave(leave, false, 0)
	}
	return resp, nil
}

// waitAfter is the wait that an answer asks for, within reason, otherwise ours.
func (s *session) waitAfter(resp *http.Response, ours time.Duration) time.Duration {
	if resp == nil {
		return ours
	}
	if d, ok := retryAfter(resp, s.env.Time()); ok {
		return max(min(d, s.pace.maxAfter), s.pace.wait) // at once would be the same again
	}
	return ours
}

// drop reads what little there is of an answer, so that its connection can be used again.
func drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxRefusal)
	resp.Body.Close()
}

// tooMany tells an answer that asks for fewer requests.
func tooMany(resp *http.Response) bool {
	return resp != nil && (resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "")
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

// retryAfter reads the header of that name: seconds or a date. It is not bounded here.
func retryAfter(resp *http.Response, now time.Time) (time.Duration, bool) {
	v := resp.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now)), true
	}
	return 0, false
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
