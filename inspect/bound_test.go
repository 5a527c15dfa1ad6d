// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"ocm"
)

func TestCopyBounded(t *testing.T) {
	t.Parallel()
	if err := copyBounded(t.Context(), io.Discard, strings.NewReader("12345"), 5); err != nil {
		t.Error(err)
	}
	if err := copyBounded(t.Context(), io.Discard, strings.NewReader("123456"), 5); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected ErrLimit, found %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyBounded(ctx, io.Discard, strings.NewReader("1"), 5); !errors.Is(err, context.Canceled) {
		t.Errorf("expected Canceled, found %v", err)
	}
}
