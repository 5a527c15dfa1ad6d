// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"ocm"
)

const (
	// firstRefusals is how often a connection is tried again where there never was one: the
	// port is wrong more often than the server about to start.
	firstRefusals = 2
	// maxDrop bounds what is read of an answer that nobody wants, in bytes.
	maxDrop = 8 << 10
)

// Peer is a server that requests are sent to. Requests that make no progress are ended ([ErrSilent]), those that
// failed for a reason that passes are repeated, and a server that asks for fewer requests gets fewer. It
// serves a chain of redirects with the pace of its first host.
//
// Repeated are requests without body and with one that can be had again. A body that streams is sent once.
type Peer struct {
	Env  *ocm.Env
	Base http.RoundTripper
	Pace Pace
	// Free tells requests that take no place among those that the server allows at once: downloads that
	// somebody else, who has such a place, may wait for. nil: there are none.
	Free func(*http.Request) bool
	// Once tells requests that must not be done twice: they are repeated only if the server cannot
	// have begun with them. nil: there are none.
	Once func(*http.Request) bool

	own     lane
	shared  *lane       // in place of own: of all peers of a job at one origin
	reached atomic.Bool // somebody answered
}

// laneKey is what a job keeps the lane of an origin under.
type laneKey struct{ scheme, host string }

// share lets all peers of the job that do the same be held back together.
func (p *Peer) share(origin *url.URL) {
	fresh := func() any { return new(lane) }
	p.shared = p.Env.Job.Keep(laneKey{origin.Scheme, origin.Host}, fresh).(*lane) //nolint:errcheck,forcetypeassert // nobody else has that key
}

func (p *Peer) lane() *lane {
	if p.shared != nil {
		return p.shared
	}
	return &p.own
}

// Tries counts the attempts at one piece of work. Being told to wait does not count while the
// server serves others: then it is our turn sooner or later.
type Tries struct {
	N      int // failures so far
	peer   *Peer
	served int64
}

// Tries begins to count.
func (p *Peer) Tries() Tries { return Tries{peer: p, served: p.lane().progress()} }

// Again tells whether there is another attempt after one that failed, tooMany if the server
// refused it as one too many.
func (t *Tries) Again(tooMany bool, limit int) bool {
	served := t.peer.lane().progress()
	moving := tooMany && served > t.served
	t.served = served
	if moving {
		return true
	}
	t.N++
	return t.N <= limit
}

// RoundTrip implements [http.RoundTripper].
func (p *Peer) RoundTrip(req *http.Request) (*http.Response, error) {
	tries := p.Tries()
	for {
		resp, err := p.once(req, p.Pace.Backoff(tries.N))
		limit := p.Pace.Retries
		if err != nil && !p.reached.Load() {
			limit = min(limit, firstRefusals)
		}
		if !p.repeatable(req, resp, err) || req.Context().Err() != nil || !tries.Again(tooMany(resp), limit) {
			return resp, err
		}
		if resp != nil {
			p.Env.Logger().Debug("server busy, trying again", "host", resp.Request.URL.Host, "status", resp.StatusCode)
			Drop(resp)
		}
		p.Env.Job.Counters().Retries.Add(1)
		if !tooMany(resp) { // else it waits in the lane, with all others
			if err := Pause(req.Context(), p.waitAfter(resp, p.Pace.Backoff(tries.N-1))); err != nil {
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

// repeatable tells whether a request may be sent again after what came of it.
func (p *Peer) repeatable(req *http.Request, resp *http.Response, err error) bool {
	if !Passes(resp, err) || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	notBegun := tooMany(resp) || errors.Is(err, syscall.ECONNREFUSED)
	return notBegun || p.Once == nil || !p.Once(req)
}

// once sends a request when it is its turn; wait is for all, should the server refuse it as one
// too many and not say for how long.
func (p *Peer) once(req *http.Request, wait time.Duration) (*http.Response, error) {
	leave, err := p.lane().enter(req.Context(), p.Free == nil || !p.Free(req))
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := watch(p.Base, p.Pace, req)
	if err != nil {
		p.lane().abort(leave)
		return nil, err
	}
	p.reached.Store(true)
	if busy := tooMany(resp); busy {
		p.lane().leave(leave, true, p.waitAfter(resp, wait))
	} else {
		p.lane().leave(leave, false, 0)
	}
	return resp, nil
}

// waitAfter is the wait that an answer asks for, within reason, otherwise ours.
func (p *Peer) waitAfter(resp *http.Response, ours time.Duration) time.Duration {
	if resp == nil {
		return ours
	}
	if d, ok := retryAfter(resp, p.Env.Time()); ok {
		return max(min(d, p.Pace.MaxAfter), p.Pace.Wait) // at once would be the same again
	}
	return ours
}

// Drop reads what little there is of an answer, so that its connection can be used again, and closes it.
func Drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrop)
	resp.Body.Close()
}

// tooMany tells an answer that asks for fewer requests.
func tooMany(resp *http.Response) bool {
	return resp != nil && (resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "")
}

// Passes tells failures, answers or errors, that may be gone the next time.
func Passes(resp *http.Response, err error) bool {
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
			errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) ||
			errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
	}
	return PassingStatus(resp.StatusCode)
}

// PassingStatus tells status codes of servers that are busy or down.
func PassingStatus(code int) bool {
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
