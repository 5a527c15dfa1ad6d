// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ocm/plugin/wire"
)

// What a plugin has forgotten is opened again, once. After a connection that broke, only what is read: something else may have
// been done already.
func TestHeldIsOpenedAgain(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for _, c := range []struct {
		read  bool
		err   error
		again bool
	}{
		{false, wire.ErrGone, true},
		{true, wire.ErrGone, true},
		{false, wire.ErrBroken, false},
		{true, wire.ErrBroken, true},
		{false, failed, false},
		{true, failed, false},
	} {
		h := held{handle: "old", read: c.read, open: func(context.Context) (string, error) { return "new", nil }}
		var asked []string
		err := h.use(t.Context(), func(handle string) error {
			asked = append(asked, handle)
			return fmt.Errorf("%s: %w", handle, c.err)
		})
		want := "[old]"
		if c.again {
			want = "[old new]"
		}
		if got := fmt.Sprint(asked); got != want || !errors.Is(err, c.err) {
			t.Errorf("%+v: expected to be asked with %s, found %s, %v", c, want, got, err)
		}
	}
}
