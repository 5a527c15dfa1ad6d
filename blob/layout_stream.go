// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"fmt"
	"io"

	"ocm"
)

// cursor is an archive that is being read again, front to back. It belongs to one reader at a
// time; between two readers the layout keeps it, so that blobs which are asked for in the
// order of the archive cost one pass.
type cursor struct {
	ctx  context.Context // of the Fetch that began it
	rc   io.Closer
	r    io.Reader // the uncompressed archive
	pos  int64     // in r
	stop func() bool
}

func (c *cursor) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.pos += int64(n)
	return n, err
}

func (c *cursor) close() error {
	c.stop()
	return c.rc.Close()
}

// stream opens a piece of an archive that can only be read front to back.
func (l *layout) stream(ctx context.Context, at span) (io.ReadCloser, error) {
	c := l.take(at.off)
	if c == nil {
		var err error
		if c, err = l.begin(ctx); err != nil {
			return nil, err
		}
	}
	_, err := io.CopyN(io.Discard, ctxReader{ctx, c}, at.off-c.pos)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", l, archiveError(unexpected(err)))
	}
	return &streamReader{l: l, c: c, ctx: ctx, left: at.size}, nil
}

// begin opens the archive once more.
func (l *layout) begin(ctx context.Context) (*cursor, error) {
	rc, err := l.archive.Open(ctx)
	if err != nil {
		return nil, err
	}
	plain, _, err := Gunzip(ctxReader{ctx, rc})
	if err != nil {
		rc.Close()
		return nil, err
	}
	c := &cursor{ctx: ctx, rc: rc, r: plain}
	c.stop = context.AfterFunc(ctx, func() { l.drop(c) })
	return c, nil
}

// take returns the idle cursor if it can go forward to the offset, else nil.
func (l *layout) take(off int64) *cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.idle
	if c == nil || c.pos > off || c.ctx.Err() != nil {
		return nil
	}
	l.idle = nil
	return c
}

// put keeps the cursor for the next reader, or closes it if there can be none for it: it is
// behind the last blob, its context has ended, or another one is further in front.
func (l *layout) put(c *cursor) error {
	l.mu.Lock()
	old := l.idle
	if c.pos >= l.last || c.ctx.Err() != nil || old != nil && old.pos <= c.pos {
		l.mu.Unlock()
		return c.close()
	}
	l.idle = c
	l.mu.Unlock()
	if old != nil {
		return old.close()
	}
	return nil
}

// drop closes the cursor if nobody uses it; it is called when its context ends.
func (l *layout) drop(c *cursor) {
	l.mu.Lock()
	mine := l.idle == c
	if mine {
		l.idle = nil
	}
	l.mu.Unlock()
	if mine {
		c.rc.Close()
	}
}

// streamReader delivers one blob from a cursor. Like all readers it is for one goroutine.
type streamReader struct {
	l    *layout
	c    *cursor // nil: closed
	ctx  context.Context
	left int64
	bad  bool
}

func (r *streamReader) Read(p []byte) (int, error) {
	switch {
	case r.c == nil:
		return 0, fmt.Errorf("blob of %s is closed: %w", r.l, io.ErrClosedPipe)
	case r.ctx.Err() != nil:
		return 0, context.Cause(r.ctx)
	case r.left == 0:
		return 0, io.EOF
	}
	n, err := r.c.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err != nil && r.left > 0 {
		r.bad = true
		return n, archiveError(unexpected(err))
	}
	return n, nil
}

func (r *streamReader) Close() error {
	c := r.c
	if c == nil {
		return nil
	}
	r.c = nil
	if r.bad {
		return c.close()
	}
	return r.l.put(c)
}

// unexpected is for an archive that ends where it did not end before.
func unexpected(err error) error {
	if err == io.EOF {
		return fmt.Errorf("the archive is shorter than before: %w: %w", io.ErrUnexpectedEOF, ocm.ErrConflict)
	}
	return err
}
