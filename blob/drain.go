// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"io"
)

// Sizes of the pieces in which content is read that nobody keeps, in bytes: each costs a call of the
// system, and what was read is to be in the processor's cache when it is hashed.
const (
	minPiece = 4 << 10
	maxPiece = 128 << 10
)

// Drain reads r to its end and returns how many bytes there were. size is how many are expected, for
// the choice of a buffer; below zero if that is not known.
func Drain(r io.Reader, size int64) (int64, error) {
	piece := int64(maxPiece)
	if size >= 0 {
		piece = min(max(size+1, minPiece), maxPiece)
	}
	buf := make([]byte, piece)
	var n int64
	for {
		m, err := r.Read(buf)
		n += int64(m)
		if err == io.EOF { // as io.Copy: a wrapped one is an error
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
