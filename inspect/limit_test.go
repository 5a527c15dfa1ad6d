// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"io"
	"strings"
	"testing"

	"ocm"
)

func TestCVE_2025_32386_DecompressedFile(t *testing.T) {
	if err := decompress(io.Discard, strings.NewReader("12345"), 5); err != nil {
		t.Error(err)
	}
	if err := decompress(io.Discard, strings.NewReader("123456"), 5); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("got %v, want %v", err, ocm.ErrLimit)
	}
}
