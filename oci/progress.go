// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"io"
	"os"

	"ocm"
)

// reportEvery is the number of bytes between two reports about a stream.
const reportEvery = 1 << 20

// progress tells the environment how far a stream is. It ends with its context, which files do
// not look at, and keeps the abilities of what it wraps: an [Extent] where the source is
// a local file, an io.Seeker (see seekable) where the source is one.
type progress struct {
	ctx  context.Context
	rc   io.ReadCloser
	env  *ocm.Env
	at   int64 // place in the stream
	ev   ocm.Event
	next int64
}

// seekable is a progress over an io.Seeker.
type seekable struct {
	*progress
	io.Seeker
}

func watch(ctx context.Context, env *ocm.Env, rc io.ReadCloser, item string, total int64) io.ReadCloser {
	p := &progress{ctx: ctx, rc: rc, env: env, ev: ocm.Event{Item: item, Total: total}}
	if s, ok := rc.(io.Seeker); ok {
		return &seekable{p, s}
	}
	return p
}

func (p *progress) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	n, err := p.rc.Read(b)
	p.advance(int64(n))
	return n, err
}

// advance never reports less than before: a stream that begins again is not progress.
func (p *progress) advance(n int64) {
	p.at += n
	p.ev.Bytes = max(p.ev.Bytes, p.at)
	if p.ev.Bytes >= p.next {
		p.next = p.ev.Bytes + reportEvery
		p.env.Event(p.ev)
	}
}

func (p *progress) Close() error {
	p.ev.Done = true
	p.env.Event(p.ev)
	return p.rc.Close()
}

// Extent implements [Extent].
func (p *progress) Extent() (f *os.File, offset, size int64) {
	switch rc := p.rc.(type) {
	case Extent:
		return rc.Extent()
	case *os.File:
		info, err := rc.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return nil, 0, 0
		}
		at, err := rc.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, 0, 0
		}
		return rc, at, info.Size() - at
	}
	return nil, 0, 0
}

// Skip implements [Extent].
func (p *progress) Skip(n int64) {
	switch rc := p.rc.(type) {
	case Extent:
		rc.Skip(n)
	case io.Seeker:
		_, _ = rc.Seek(n, io.SeekCurrent) // a file that can say where it is can go elsewhere
	}
	p.advance(n)
}

// Seek implements io.Seeker.
func (s *seekable) Seek(offset int64, whence int) (int64, error) {
	at, err := s.Seeker.Seek(offset, whence)
	if err == nil {
		s.at = at
	}
	return at, err
}

var (
	_ Extent        = (*progress)(nil)
	_ Extent        = (*seekable)(nil)
	_ io.ReadSeeker = (*seekable)(nil)
)
