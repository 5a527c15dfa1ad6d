// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, minPiece, maxPiece + 1, 1 << 20} {
		for _, hint := range []int64{-1, 0, n, 1 << 60} {
			text := strings.Repeat("x", int(n))
			for _, r := range []io.Reader{strings.NewReader(text), iotest.HalfReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
				if got, err := Drain(r, hint); got != n || err != nil {
					t.Errorf("expected %d, found %d, %v", n, got, err)
				}
			}
		}
	}
	for _, bad := range []error{errors.New("sudden"), fmt.Errorf("wrapped: %w", io.EOF), io.ErrUnexpectedEOF} {
		if _, err := Drain(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(bad)), -1); !errors.Is(err, bad) {
			t.Errorf("expected %v, found %v", bad, err)
		}
	}
}
