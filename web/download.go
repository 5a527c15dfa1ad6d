// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"ocm"
)

// MaxResumes is how often a download goes on after it broke off, without progress in between.
const MaxResumes = 5

const (
	// SmallDownload is the size in bytes up to which content is asked for when it is opened. Larger
	// content waits for the first Read, so that a Seek before it costs nothing.
	SmallDownload = 1 << 20
	// resumeProgress is how many bytes must have come for a break to be the first one again.
	// A server that sends one byte per connection does not get far.
	resumeProgress = 1 << 20
)

// Download reads content: with one request if nothing breaks. Where it breaks off it goes on with
// a range request. It is for one goroutine.
//
// Unless the content is Fixed, parts are joined only where the server says that they are of one
// state, by an ETag or a Last-Modified. Without that, or where the server knows no ranges, it begins anew as long
// as nothing was handed out, and fails after that.
type Download struct {
	// Ask sends the request for the content; header has what is to be added to it, nil for nothing. It
	// returns answers of status 200 and 206, and errors for anything else.
	Ask  func(ctx context.Context, header http.Header) (*http.Response, error)
	Size int64  // -1: not known
	Name string // what is read, for messages
	// Fixed says that it is always the same content, because somebody who knows its digest looks at what was read.
	Fixed bool
	// Whole says that no part of the content can be asked for.
	Whole   bool
	Pace    Pace
	Job     *ocm.Job
	Passing func(error) bool // tells errors of Ask that may be gone the next time

	ctx     context.Context
	body    io.ReadCloser // nil: nothing is open
	state   state         // of the first answer
	given   bool          // something was handed out
	learned bool          // Size is what an answer said
	at      int64         // place of the next byte
	came    int64         // bytes since the last break that counts
	breaks  int           // without progress in between
	broken  error         // the last of them
	closed  bool
}

// Open begins the download, at once if now is set, else with the first Read. It is called once.
func (g *Download) Open(ctx context.Context, now bool) error {
	g.ctx = ctx
	if !now {
		return nil
	}
	return g.request()
}

func (g *Download) Read(p []byte) (int, error) {
	for {
		switch {
		case g.closed:
			return 0, errors.New("read after close")
		case len(p) == 0:
			return 0, nil
		case g.body == nil && g.at > 0 && g.Size >= 0 && g.at >= g.Size:
			return 0, io.EOF
		}
		if g.body == nil {
			if err := g.request(); err != nil {
				if g.broken == nil {
					return 0, err
				}
				if g.Passing(err) && g.mayResume(err) {
					continue
				}
				return 0, fmt.Errorf("%w (it cannot be continued: %v)", g.broken, err)
			}
		}
		n, err := g.body.Read(p)
		g.at += int64(n)
		g.came += int64(n)
		g.given = g.given || n > 0
		if err == io.EOF && g.Size >= 0 && g.at < g.Size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil || err == io.EOF {
			return n, err
		}
		if g.broken = err; !g.mayResume(err) {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

// mayResume closes what broke and waits a little, unless it broke too often. A server that has gone
// silent gets one more chance, not five.
func (g *Download) mayResume(err error) bool {
	g.drop()
	if g.ctx.Err() != nil {
		return false
	}
	if g.came >= resumeProgress {
		g.breaks = 0
	}
	g.came = 0
	g.breaks++
	if errors.Is(err, ErrSilent) {
		g.breaks += MaxResumes / 2
	}
	if g.breaks > MaxResumes || g.at > 0 && (g.Size < 0 || g.Whole || !g.Fixed && !g.state.known()) {
		return false
	}
	g.Job.Counters().Retries.Add(1)
	if g.breaks == 1 {
		return true // a link that drops now and then costs no wait
	}
	return Pause(g.ctx, g.Pace.Backoff(g.breaks-2)) == nil
}

// request asks for the content from where we are.
func (g *Download) request() error {
	var header http.Header
	if g.at > 0 {
		if g.Whole {
			return fmt.Errorf("%s: it can be had from its beginning only: %w", g.Name, errors.ErrUnsupported)
		}
		header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", g.at)}}
		if !g.Fixed && g.state.known() {
			header.Set("If-Range", g.state.condition())
		}
	}
	resp, err := g.Ask(g.ctx, header)
	if err != nil {
		return err
	}
	if err := g.accept(resp); err != nil {
		Drop(resp)
		return err
	}
	g.body = resp.Body
	return nil
}

// accept judges the answer to a request for content.
func (g *Download) accept(resp *http.Response) error {
	total := resp.ContentLength
	if !g.Fixed && g.given && g.state.contradicts(resp.Header) {
		return fmt.Errorf("%s: the content has changed while it was read: %w", g.Name, ocm.ErrConflict)
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && g.at > 0:
		first, all, ok := ParseContentRange(resp.Header.Get("Content-Range"))
		if !ok || first != g.at {
			return fmt.Errorf("%s: expected bytes from %d on, the server sends %.100q: %w", g.Name, g.at, resp.Header.Get("Content-Range"), ocm.ErrInvalid)
		}
		if total = all; total < 0 && resp.ContentLength >= 0 {
			total = g.at + resp.ContentLength
		}
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: expected status 200, found %d: %w", g.Name, resp.StatusCode, ocm.ErrInvalid)
	case g.at > 0:
		return fmt.Errorf("%s: the server sends content from its beginning only, or it has changed: %w", g.Name, errors.ErrUnsupported)
	}
	settled := g.Fixed || g.given || !g.learned
	if total >= 0 && g.Size >= 0 && total != g.Size && settled {
		return fmt.Errorf("%s: expected %d bytes, the server says %d: %w", g.Name, g.Size, total, ocm.ErrDigest)
	}
	if g.Size < 0 || !settled {
		g.Size, g.learned = total, true
	}
	if !g.given {
		g.state = stateOf(resp.Header)
	}
	return nil
}

// Seek implements io.Seeker. It sends nothing: the next Read asks for the content from there
// on, and fails with [errors.ErrUnsupported] if the server sends it from the beginning
// only; then it has to be read anew. io.SeekEnd needs a known size.
func (g *Download) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += g.at
	case io.SeekEnd:
		if g.Size < 0 {
			return g.at, fmt.Errorf("%s: the size is not known: %w", g.Name, errors.ErrUnsupported)
		}
		offset += g.Size
	default:
		return g.at, fmt.Errorf("seek: whence %d: %w", whence, ocm.ErrInvalid)
	}
	switch ahead := offset - g.at; {
	case offset < 0 || g.closed:
		return g.at, fmt.Errorf("seek to %d: %w", offset, ocm.ErrInvalid)
	case ahead == 0:
	case g.body != nil && 0 < ahead && ahead <= SmallDownload && (g.Size < 0 || offset <= g.Size):
		if n, err := io.CopyN(io.Discard, g.body, ahead); err != nil { // cheaper than another request
			g.drop()
			g.at += n
		}
	default:
		g.drop()
	}
	g.at, g.broken = offset, nil
	return offset, nil
}

func (g *Download) drop() {
	if g.body != nil {
		g.body.Close()
		g.body = nil
	}
}

// Close implements io.Closer.
func (g *Download) Close() error {
	g.drop()
	g.closed = true
	return nil
}
