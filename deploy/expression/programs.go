// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"container/list"
	"sync"

	"github.com/google/cel-go/cel"
)

// programs are the compiled expressions that were used last.
type programs struct {
	mu    sync.Mutex
	max   int
	order *list.List // of entry, last used first
	byKey map[string]*list.Element
}

type entry struct {
	expression string
	program    cel.Program
}

func newPrograms(max int) *programs {
	return &programs{max: max, order: list.New(), byKey: map[string]*list.Element{}}
}

// get returns nil if there is none.
func (p *programs) get(expression string) cel.Program {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byKey[expression]
	if at == nil {
		return nil
	}
	p.order.MoveToFront(at)
	return at.Value.(entry).program
}

func (p *programs) put(expression string, program cel.Program) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byKey[expression] != nil {
		return
	}
	p.byKey[expression] = p.order.PushFront(entry{expression, program})
	if p.order.Len() > p.max {
		last := p.order.Back()
		delete(p.byKey, p.order.Remove(last).(entry).expression)
	}
}
