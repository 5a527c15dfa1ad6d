// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"ocm"
)

// Times that a server has. They bound silence, not work: a transfer that moves may take days.
// [ocm.Env.Timeout] and the settings of a [Transport] replace them.
const (
	AnswerTimeout = time.Minute      // from the end of a request to its response
	CommitTimeout = 10 * time.Minute // the same after a body was sent, at least: the server may have to store 100 GiB
	StallTimeout  = time.Minute      // between two reads or writes of a body
)

// Repetition of requests that failed for a reason that passes.
const (
	MaxRetries    = 4                      // repetitions of one request
	FirstWait     = 250 * time.Millisecond // doubled each time, with a little chance in it
	MaxWait       = 8 * time.Second        // the longest of these waits
	MaxRetryAfter = 30 * time.Second       // the longest wait that a server may ask for
)

// Pace holds the times that a server has, and how often it is asked again. A time of 0 is no limit.
type Pace struct {
	Answer, Commit, Stall time.Duration // see [AnswerTimeout], [CommitTimeout], [StallTimeout]
	Wait, MaxWait         time.Duration // before the first repetition, and at most
	MaxAfter              time.Duration // the longest wait that the server may ask for
	Retries               int
}

// PaceFor is the pace for "host:port" or "host", by the environment or its transport.
func PaceFor(env *ocm.Env, host string) Pace {
	p := Pace{AnswerTimeout, CommitTimeout, StallTimeout, FirstWait, MaxWait, MaxRetryAfter, MaxRetries}
	if env == nil {
		return p
	}
	if t, ok := env.HTTP.(*Transport); ok {
		o := t.Settings(host)
		p.patience(o.Timeout)
		p.Wait, p.MaxWait = o.MinWait, max(o.MinWait, o.MaxWait)
		switch {
		case o.MaxRetries < 0:
			p.Retries = 0
		case o.MaxRetries == 0:
			p.Retries = math.MaxInt
		default:
			p.Retries = o.MaxRetries
		}
	}
	if env.Timeout > 0 {
		p.patience(env.Timeout)
	}
	return p
}

func (p *Pace) patience(d time.Duration) {
	p.Answer, p.Stall, p.Commit = d, d, max(d, CommitTimeout)
	if d == 0 {
		p.Commit = 0
	}
}

// Backoff is the wait before a repetition, the first being 0: doubled each time, up to a quarter
// more or less.
func (p Pace) Backoff(attempt int) time.Duration {
	d := max(p.Wait, time.Millisecond) << min(attempt, 20)
	if p.MaxWait > 0 {
		d = min(d, p.MaxWait)
	}
	return d*3/4 + rand.N(d/2+1)
}

// Pause waits, or returns the reason why the context has ended.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
