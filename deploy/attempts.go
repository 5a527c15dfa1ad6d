// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"math/rand/v2"
	"sync"
	"time"
)

// attempts remembers of objects that are not settled how long they have been waiting for the pool, and how often they failed. It is
// memory of the process only: after a restart everything is tried at once. The zero value is ready.
type attempts struct {
	mu  sync.Mutex
	all map[asker]attempt
}

type attempt struct {
	asked      time.Time
	failures   int
	generation int64
}

// forget is for objects that are settled, or gone.
func (a *attempts) forget(who asker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, who)
}

// asking returns for how long the object has been waiting for an answer.
func (a *attempts) asking(who asker, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.all[who]
	if at.asked.IsZero() {
		at.asked = now
		a.keep(who, at)
	}
	return now.Sub(at.asked)
}

// pause counts a failure and returns the time to the next attempt. A changed spec begins anew.
func (a *attempts) pause(who asker, generation int64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.all[who]
	if at.generation != generation {
		at = attempt{generation: generation}
	}
	pause := longestPause
	if at.failures < 7 { // 2^7 s is more than the longest
		pause = firstPause << at.failures
		at.failures++
	}
	at.asked = time.Time{}
	a.keep(who, at)
	return jitter(pause)
}

func (a *attempts) keep(who asker, at attempt) {
	if a.all == nil {
		a.all = map[asker]attempt{}
	}
	a.all[who] = at
}

// jitter spreads what would happen at the same time: ±10 %.
func jitter(d time.Duration) time.Duration {
	if d < 10 {
		return max(d, 0)
	}
	return d - d/10 + rand.N(d/5)
}
