// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// written remembers which states of objects were written over. The cache may still have them when an object is looked at again: what is
// found out then would be compared with a status that is not there any more, and not be written because it says the same. Nobody
// would look again. The zero value is ready.
type written struct {
	mu  sync.Mutex
	all map[asker]states
}

// states are resource versions of an object.
type states struct {
	uid        types.UID
	read, last string
}

// over notes that a status was written: over the states that the object had when it was read, and before that.
func (w *written) over(obj object, read, last string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := obj.GetResourceVersion(); v == read || v == last {
		return // the API server had it already
	}
	if w.all == nil {
		w.all = map[asker]states{}
	}
	w.all[askerFor(obj)] = states{obj.GetUID(), read, last}
}

// outdated reports whether an object is in a state that was written over. The first that is not ends that.
func (w *written) outdated(obj object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	over, known := w.all[askerFor(obj)]
	if !known {
		return false
	}
	if v := obj.GetResourceVersion(); over.uid == obj.GetUID() && (v == over.read || v == over.last) {
		return true
	}
	delete(w.all, askerFor(obj))
	return false
}

// forget is for objects that are gone.
func (w *written) forget(who asker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, who)
}
