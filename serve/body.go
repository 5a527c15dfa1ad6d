// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"io"
	"net/http"
	"time"
)

var errTooLarge = errors.New("the body is larger than is accepted")

// body is what a client sends: bounded, and not slower than is accepted. It remembers what went wrong with it, to be told
// from what is wrong with the store.
type body struct {
	r    io.Reader
	ctl  *http.ResponseController
	pace time.Duration
	left int64 // bytes until the next deadline is set
	room int64 // bytes that may come
	n    int64 // bytes that came
	err  error
}

func (x *exchange) body(limit int64) *body {
	return &body{r: x.r.Body, ctl: x.ctl, pace: x.pace, room: limit}
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left <= 0 {
		_ = b.ctl.SetReadDeadline(time.Now().Add(b.pace)) // there is no connection in some tests
		b.left = PieceSize
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	b.n += int64(n)
	switch {
	case b.n > b.room:
		b.err = errTooLarge
		return 0, b.err
	case err == io.EOF:
		_ = b.ctl.SetReadDeadline(time.Time{}) // what follows takes as long as the store needs
	case err != nil:
		b.err = err
	}
	return n, err
}
