// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"ocm"
)

// maxAnswers is how many answers are kept. Who is asked for is said by descriptors, too.
const maxAnswers = 1000

// answers keeps what programs have said for a while. One question is asked once, however many ask it at that time. The zero value is ready.
type answers struct {
	mu    sync.Mutex
	known map[string]*answer
}

// answer is a question that was asked, or is being asked.
type answer struct {
	ctx     context.Context // of the question, which belongs to all that wait for its answer
	cancel  context.CancelFunc
	waiting int           // how many; the question is given up when there are none
	done    chan struct{} // closed: what follows is there

	secret ocm.Secret
	err    error
	until  time.Time
}

// get asks, or answers from what is known. That there is nothing, [ocm.ErrNotFound], is kept, too; other errors are not. A question
// that lasts longer than timeout fails.
func (c *answers) get(ctx context.Context, key string, timeout time.Duration, ask func(context.Context) (ocm.Secret, error)) (ocm.Secret, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	a := c.join(ctx, key, timeout, ask)
	defer c.leave(a)
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-a.ctx.Done(): // also if it ends just now
		select {
		case <-a.done:
		default:
			return nil, context.Cause(a.ctx)
		}
	}
	return maps.Clone(a.secret), a.err
}

// join is the question under this key: one that goes on, or was answered, or a new one.
func (c *answers) join(ctx context.Context, key string, timeout time.Duration, ask func(context.Context) (ocm.Secret, error)) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.known[key]; a != nil && a.good() {
		a.waiting++
		return a
	}
	if c.known == nil || len(c.known) >= maxAnswers {
		c.known = map[string]*answer{} // who waits has the answer itself
	}
	a := &answer{waiting: 1, done: make(chan struct{})}
	a.ctx, a.cancel = context.WithTimeout(context.WithoutCancel(ctx), timeout)
	c.known[key] = a
	go func() {
		defer a.cancel()
		defer close(a.done)
		a.secret, a.err = ask(a.ctx)
		a.until = time.Now().Add(helperKept)
	}()
	return a
}

// good reports whether an answer may be waited for, or used.
func (a *answer) good() bool {
	select {
	case <-a.done:
		return (a.err == nil || errors.Is(a.err, ocm.ErrNotFound)) && time.Now().Before(a.until)
	default:
		return a.ctx.Err() == nil
	}
}

func (c *answers) leave(a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.waiting--; a.waiting == 0 {
		a.cancel()
	}
}
