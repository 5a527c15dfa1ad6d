// SPDX-License-Identifier: Apache-2.0

package work

import (
	"container/list"
	"time"
)

// overhead is what an answer costs beside its own bytes, about.
const overhead = 512

// account adds an answer to the sums.
func (p *Pool) account(a *answer) {
	p.bytes += a.bytes
	if a.held = len(a.owed) > 0; a.held {
		p.held += a.bytes
	}
}

// release lets an answer be dropped: it was fetched, or nobody came for it in time.
func (p *Pool) release(a *answer) {
	if a.held {
		a.held = false
		p.held -= a.bytes
	}
}

// drop forgets an answer.
func (p *Pool) drop(a **answer) {
	if *a != nil {
		p.release(*a)
		p.bytes -= (*a).bytes
		*a = nil
	}
}

// replace drops an answer; to whom it is owed is owed its successor.
func (p *Pool) replace(old **answer, by *answer) {
	if *old == nil {
		return
	}
	for who := range (*old).owed {
		by.owed[who] = true
	}
	p.drop(old)
}

// claim notes that somebody has got an answer.
func (p *Pool) claim(e *entry, a *answer, who Asker) {
	if !a.owed[who] {
		return
	}
	delete(a.owed, who)
	if len(a.owed) > 0 {
		return
	}
	p.release(a)
	p.tidy(e)
	p.evict()
	p.dispatch()
}

// use notes that an answer was used, or made.
func (p *Pool) use(e *entry, now time.Time) {
	e.used = now
	if e.place == nil {
		e.place = p.order.PushFront(e)
		return
	}
	p.order.MoveToFront(e.place)
}

// tidy drops of an entry what counts for nobody any more.
func (p *Pool) tidy(e *entry) {
	for _, a := range [...]**answer{&e.value, &e.failure} {
		if *a != nil && (*a).stale && len((*a).owed) == 0 {
			p.drop(a)
		}
	}
	if e.value != nil || e.failure != nil {
		return
	}
	if e.place != nil {
		p.order.Remove(e.place)
		e.place = nil
	}
	if e.run == nil {
		delete(p.entries, e.key)
	}
}

// evict makes room: the least recently used go first, those that are owed to somebody stay.
func (p *Pool) evict() {
	var before *list.Element
	for at := p.order.Back(); at != nil && p.bytes > p.o.Bytes; at = before {
		before = at.Prev()
		e := at.Value.(*entry)
		for _, a := range [...]**answer{&e.value, &e.failure} {
			if *a != nil && !(*a).held {
				p.drop(a)
			}
		}
		p.tidy(e)
	}
}

// sweep drops what nobody has asked for in time, and what nobody came for.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	var before *list.Element
	for at := p.order.Back(); at != nil; at = before {
		before = at.Prev()
		e := at.Value.(*entry)
		for _, a := range [...]**answer{&e.value, &e.failure} {
			if *a == nil {
				continue
			}
			if now.Sub((*a).time) > ClaimTime {
				clear((*a).owed)
				p.release(*a)
			}
			if !(*a).held && now.Sub(e.used) > p.o.TTL {
				p.drop(a)
			}
		}
		p.tidy(e)
	}
	p.evict()
	p.dispatch()
}
