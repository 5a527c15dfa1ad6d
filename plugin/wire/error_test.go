// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// A plugin that says "cancelled" must not pass for an interruption by the user, of which nothing else is told than that all is well.
func TestGivenUpByTheOtherSideIsNoInterruption(t *testing.T) {
	t.Parallel()
	err := NewError(context.Canceled).Err()
	if errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("%v", err)
	}
	if err := NewError(context.DeadlineExceeded).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
