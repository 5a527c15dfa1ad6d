// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// How the number of requests in flight follows a server that asked for fewer.
const (
	growAfter = 16 // successes until there may be one more
	unlimited = 64 // as many need no limit any more
)

// lane holds requests back from a server that said that they are too many: none begins before
// the time that it asked for, and half as many as before may be on their way at once. The
// number grows again by one with every few successes.
type lane struct {
	mu       sync.Mutex
	limit    int // requests in flight; 0: any number
	inFlight int
	good     int       // successes since the limit changed
	served   int64     // answers that were none of "too many"
	era      int       // number of times that the limit was cut
	until    time.Time // nobody begins before
	moved    chan struct{}
}

// ticket is the leave to send one request.
type ticket struct {
	era     int
	counted bool
}

// enter waits for the leave to send. What somebody in the lane may wait for, such as the
// download that feeds an upload, must not be counted: it waits for the time only.
func (l *lane) enter(ctx context.Context, counted bool) (ticket, error) {
	for {
		l.mu.Lock()
		wait := time.Until(l.until)
		free := !counted || l.limit == 0 || l.inFlight < l.limit
		if wait <= 0 && free {
			if counted {
				l.inFlight++
			}
			t := ticket{l.era, counted}
			l.mu.Unlock()
			return t, nil
		}
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		if err := l.sleep(ctx, wait, moved); err != nil {
			return ticket{}, err
		}
	}
}

// sleep waits for the time to come, with a little chance in it so that not all begin at once,
// or, if it has come, for somebody to leave.
func (l *lane) sleep(ctx context.Context, wait time.Duration, moved chan struct{}) error {
	if wait > 0 {
		return Pause(ctx, wait+rand.N(wait/4+time.Millisecond))
	}
	select {
	case <-moved:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave ends a request. tooMany tells that the server refused it as one too many, after that
// it asked for a pause.
func (l *lane) leave(t ticket, tooMany bool, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.inFlight
	if t.counted {
		l.inFlight--
	}
	switch {
	case tooMany:
		if until := time.Now().Add(after); until.After(l.until) {
			l.until = until
		}
		if t.era == l.era { // the others that were sent at that time tell nothing new
			l.limit, l.good = max(1, before/2), 0
			l.era++
		}
	default:
		l.served++
		if l.good++; l.limit > 0 && l.good >= growAfter {
			l.good = 0
			if l.limit++; l.limit >= unlimited {
				l.limit = 0
			}
		}
	}
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// abort ends a request that got no answer.
func (l *lane) abort(t ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.counted {
		l.inFlight--
	}
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// progress is the number of requests that the server has served so far.
func (l *lane) progress() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served
}
