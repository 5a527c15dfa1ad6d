// SPDX-License-Identifier: Apache-2.0

package work

// queue holds the tasks that wait, by lane. Lanes take turns.
type queue struct {
	n     int
	lanes map[string]*lane // with tasks that wait or are at work
	turns []*lane          // with tasks that wait, in the order of their turns
}

type lane struct {
	waiting []*run
	running int
}

// of is how many tasks of a lane wait.
func (q *queue) of(name string) int {
	if l := q.lanes[name]; l != nil {
		return len(l.waiting)
	}
	return 0
}

func (q *queue) add(r *run) {
	l := q.lanes[r.lane]
	if l == nil {
		l = &lane{}
		q.lanes[r.lane] = l
	}
	if len(l.waiting) == 0 {
		q.turns = append(q.turns, l)
	}
	l.waiting = append(l.waiting, r)
	q.n++
}

// next takes the task whose turn it is, nil if none may begin. A lane gets one more worker only while more are free than it has: alone it
// takes half of them, and each lane beside it half of what is left.
func (q *queue) next(free int) *run {
	for i, l := range q.turns {
		if l.running >= free {
			continue
		}
		r := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		l.running++
		q.n--
		q.turns = append(q.turns[:i], q.turns[i+1:]...)
		if len(l.waiting) > 0 {
			q.turns = append(q.turns, l)
		}
		return r
	}
	return nil
}

// done notes that a task has returned.
func (q *queue) done(name string) {
	l := q.lanes[name]
	if l.running--; l.running == 0 && len(l.waiting) == 0 {
		delete(q.lanes, name)
	}
}
