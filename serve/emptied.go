// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"slices"
	"sync"
)

// emptied remembers repositories out of which something was deleted. A store knows a repository by what is in it, so that one whose
// last manifest is gone would be unknown all at once; who deletes, and then asks what tags are left, expects none and no error.
type emptied struct {
	mu    sync.Mutex
	names []string // the oldest first
}

const maxEmptied = 1000 // repositories; older ones are forgotten

func (e *emptied) add(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.Contains(e.names, name) {
		return
	}
	if e.names = append(e.names, name); len(e.names) > maxEmptied {
		e.names = slices.Delete(e.names, 0, 1)
	}
}

func (e *emptied) has(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.names, name)
}
