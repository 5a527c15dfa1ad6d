// SPDX-License-Identifier: Apache-2.0

package ctf

import "maps"

// lookup is a map that is copied at little cost: a large one that copies share and nobody
// changes any more, and above it a small one with what is newer.
type lookup[K comparable, V any] struct {
	base map[K]V
	top  map[K]newer[V] // nil while base is not shared
}

type newer[V any] struct {
	v    V
	gone bool
}

func newLookup[K comparable, V any](n int) lookup[K, V] {
	return lookup[K, V]{base: make(map[K]V, n)}
}

func (l lookup[K, V]) get(k K) (V, bool) {
	if n, ok := l.top[k]; ok {
		return n.v, !n.gone
	}
	v, ok := l.base[k]
	return v, ok
}

func (l lookup[K, V]) set(k K, v V) {
	if l.top == nil {
		l.base[k] = v
	} else {
		l.top[k] = newer[V]{v: v}
	}
}

func (l lookup[K, V]) drop(k K) {
	if l.top == nil {
		delete(l.base, k)
	} else {
		l.top[k] = newer[V]{gone: true}
	}
}

// clone returns a copy that may be changed; l must not be changed after it. Now and then both maps
// become one: so rarely that it costs no more than what was added since.
func (l lookup[K, V]) clone() lookup[K, V] {
	switch {
	case l.top == nil:
		return lookup[K, V]{base: l.base, top: map[K]newer[V]{}}
	case len(l.top) < 64+len(l.base)/8:
		return lookup[K, V]{base: l.base, top: maps.Clone(l.top)}
	}
	base := make(map[K]V, len(l.base)+len(l.top))
	maps.Copy(base, l.base)
	for k, n := range l.top {
		if n.gone {
			delete(base, k)
		} else {
			base[k] = n.v
		}
	}
	return lookup[K, V]{base: base}
}
