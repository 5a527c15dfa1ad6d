// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"errors"
	"testing"

	"ocm/plugin/wire"
)

// Beyond the limit what was not used for the longest is forgotten, and a handle means nothing to another table.
func TestTable(t *testing.T) {
	t.Parallel()
	a, b := wire.Table[int]{Limit: 2}, wire.Table[int]{}
	one, two := a.Put(1), a.Put(2)
	if v, err := a.Get(one); err != nil || v != 1 {
		t.Errorf("%d %v", v, err)
	}
	three := a.Put(3)
	if _, err := a.Get(two); !errors.Is(err, wire.ErrGone) {
		t.Errorf("used last but one: %v", err)
	}
	if v, err := a.Take(one); err != nil || v != 1 {
		t.Errorf("%d %v", v, err)
	}
	if _, err := a.Take(one); !errors.Is(err, wire.ErrGone) {
		t.Errorf("taken twice: %v", err)
	}
	b.Put(10)
	b.Put(20)
	b.Put(30)
	for _, handle := range []string{one, three, "", "1"} {
		if v, err := b.Get(handle); !errors.Is(err, wire.ErrGone) {
			t.Errorf("%s in another table: %d %v", handle, v, err)
		}
	}
}
