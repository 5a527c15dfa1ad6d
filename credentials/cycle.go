// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"fmt"

	"ocm"
)

// checkCycles refuses credentials that are needed to get themselves, such as the token of a server that is
// kept on that server.
func (s *Store) checkCycles() error {
	state := map[any]int{} // 1: on the way, 2: good
	var visit func(node any, label string) error
	visit = func(node any, label string) error {
		switch state[node] {
		case 1:
			return fmt.Errorf("%s: these credentials are needed to get themselves: %w", label, ocm.ErrInvalid)
		case 2:
			return nil
		}
		state[node] = 1
		for _, next := range s.needs(node) {
			if err := visit(next, label); err != nil {
				return err
			}
		}
		state[node] = 2
		return nil
	}
	for _, c := range s.consumers {
		if err := visit(&c.bundle, c.String()); err != nil {
			return err
		}
	}
	for name, set := range s.sets {
		if err := visit(set, fmt.Sprintf("credentials %q in memory", name.Name)); err != nil {
			return err
		}
	}
	for _, src := range s.opened {
		if err := visit(src, src.String()); err != nil {
			return err
		}
	}
	return nil
}

// needs are the bundles and sources that have to be asked before a bundle or source can answer.
func (s *Store) needs(node any) []any {
	var out []any
	switch n := node.(type) {
	case *bundle:
		for _, st := range n.steps {
			if st.set != nil {
				out = append(out, st.set)
			}
			if st.from != nil {
				out = append(out, st.from)
			}
			if st.foreign != nil {
				out = append(out, st.foreign) // which needs nothing that needs it: see direct
			}
		}
	case *vault:
		if n.own != nil {
			return []any{n.own}
		}
		if c := s.best(n.identity()); c != nil {
			return []any{&c.bundle}
		}
	}
	return out
}
