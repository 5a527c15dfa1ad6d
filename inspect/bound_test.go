// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"io"
	"strings"
	"testing"

	"ocm"
)

func TestCopyBounded(t *testing.T) {
	t.Parallel()
	if err := copyBounded(io.Discard, strings.NewReader("12345"), 5); err != nil {
		t.Error(err)
	}
	if err := copyBounded(io.Discard, strings.NewReader("123456"), 5); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected ErrLimit, found %v", err)
	}
}
