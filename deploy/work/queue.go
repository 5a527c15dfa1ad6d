// SPDX-License-Identifier: Apache-2.0

package work

import "slices"

// queue holds the tasks that wait, by lane and tenant. They take turns.
type queue struct {
	n       int
	lanes   map[laneKey]*lane // with tasks that wait or are at work
	turns   []*lane           // with tasks that wait, in the order of their turns
	running map[laneKey]int   // tasks at work, of a lane with any tenant, and of a tenant in any lane
}

type laneKey struct{ lane, tenant string }

type lane struct {
	laneKey
	waiting []*run
	running int
}

// of is how many tasks of a tenant wait in a lane.
func (q *queue) of(at laneKey) int {
	if l := q.lanes[at]; l != nil {
		return len(l.waiting)
	}
	return 0
}

func (q *queue) add(r *run) {
	l := q.lanes[r.at]
	if l == nil {
		l = &lane{laneKey: r.at}
		q.lanes[r.at] = l
	}
	if len(l.waiting) == 0 {
		q.turns = append(q.turns, l)
	}
	l.waiting = append(l.waiting, r)
	q.n++
}

// share makes a task that waits one of no tenant: several ask for it, and none of them has to wait for what keeps another one busy.
func (q *queue) share(r *run) {
	l := q.lanes[r.at]
	i := slices.Index(l.waiting, r)
	if i < 0 {
		return
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	q.n--
	if len(l.waiting) == 0 {
		q.turns = slices.DeleteFunc(q.turns, func(t *lane) bool { return t == l })
	}
	if l.running == 0 && len(l.waiting) == 0 {
		delete(q.lanes, l.laneKey)
	}
	r.at.tenant = ""
	q.add(r)
}

// next takes the task whose turn it is, nil if none may begin. A lane gets one more worker only while more are free than it has: alone it
// takes half of them, and each lane beside it half of what is left. So does a tenant, or one with many servers that hang would have all.
func (q *queue) next(free int) *run {
	for i, l := range q.turns {
		if q.busy(l.laneKey) >= free {
			continue
		}
		r := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		l.running++
		q.count(l.laneKey, 1)
		q.n--
		q.turns = append(q.turns[:i], q.turns[i+1:]...)
		if len(l.waiting) > 0 {
			q.turns = append(q.turns, l)
		}
		return r
	}
	return nil
}

// busy is how many workers a lane has, or its tenant, whichever has more.
func (q *queue) busy(at laneKey) int {
	of := q.running[laneKey{lane: at.lane}]
	if at.tenant != "" {
		of = max(of, q.running[laneKey{tenant: at.tenant}])
	}
	return of
}

// count counts tasks at work. Who is no tenant counts in lanes only.
func (q *queue) count(at laneKey, n int) {
	keys := []laneKey{{lane: at.lane}}
	if at.tenant != "" {
		keys = append(keys, laneKey{tenant: at.tenant})
	}
	for _, k := range keys {
		if q.running[k] += n; q.running[k] == 0 {
			delete(q.running, k)
		}
	}
}

// done notes that a task has returned.
func (q *queue) done(at laneKey) {
	q.count(at, -1)
	l := q.lanes[at]
	if l.running--; l.running == 0 && len(l.waiting) == 0 {
		delete(q.lanes, at)
	}
}
