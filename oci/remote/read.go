// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"fmt"
	"io"

	"ocm"
)

// bounded reads at most left bytes; more is an error, not an end.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("the registry sends more than is accepted here: %w", ocm.ErrLimit)
	}
	p = p[:min(int64(len(p)), b.left+1)]
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, fmt.Errorf("the registry sends more than is accepted here: %w", ocm.ErrLimit)
	}
	return n, err
}

// errStop ends a listing whose reader has seen enough.
var errStop = errors.New("stop")

// badPage keeps our own verdict on a listing apart from oras-go's errors.
type badPage struct{ error }

// seen watches over a listing that comes in pages.
type seen struct {
	keys map[string]bool
	max  int
	idle bool // the page before brought nothing new
}

func newSeen(limit int) *seen { return &seen{keys: map[string]bool{}, max: limit} }

// page calls fn for what is new on a page. It fails when a page follows one without news: that
// registry would go on for ever.
func (s *seen) page(keys []string, fn func(key string) error) error {
	if s.idle {
		return &badPage{fmt.Errorf("the registry's list does not advance from page to page: %w", ocm.ErrInvalid)}
	}
	s.idle = true
	for _, k := range keys {
		if s.keys[k] {
			continue
		}
		if s.idle = false; len(s.keys) == s.max {
			return &badPage{fmt.Errorf("more than %d entries: %w", s.max, ocm.ErrLimit)}
		}
		s.keys[k] = true
		if err := fn(k); errors.Is(err, errStop) {
			return err
		} else if err != nil {
			return &badPage{err}
		}
	}
	return nil
}
