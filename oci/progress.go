// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"io"
	"os"
	"sync/atomic"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// reportEvery is the number of bytes between two reports about a stream.
const reportEvery = 1 << 20

// source opens one blob, perhaps several times, and reports how far it is read. Its item ends
// once: by finish, or, where reading was deferred, with the stream.
type source struct {
	copier   copier
	content  ocm.Content
	d        ociv1.Descriptor
	deferred atomic.Bool
	opened   atomic.Bool
	most     atomic.Int64 // bytes that were read of it; a stream that begins again is not progress
}

func (s *source) open(ctx context.Context) (io.ReadCloser, error) {
	rc, err := s.content.From.Fetch(ctx, s.d)
	if err != nil {
		return nil, err
	}
	s.opened.Store(true)
	p := &progress{ctx: ctx, rc: rc, source: s}
	if seeker, ok := rc.(io.Seeker); ok {
		return &seekable{p, seeker}, nil
	}
	return p, nil
}

func (s *source) event(done bool) {
	s.copier.env.Event(ocm.Event{Item: item(s.content, s.d), Bytes: s.most.Load(), Total: s.d.Size, Done: done})
}

func (s *source) finish() {
	if s.opened.Load() {
		s.event(true)
	}
}

// progress is one stream of a source. It ends with its context, which files do not look at, and
// keeps the abilities of what it wraps: an [Extent] where that is a local file, an io.Seeker (see
// seekable) where it is one.
type progress struct {
	ctx    context.Context
	rc     io.ReadCloser
	source *source
	at     int64 // place in the stream
	next   int64 // place of the next report
}

// seekable is a progress over an io.Seeker.
type seekable struct {
	*progress
	seeker io.Seeker
}

func (p *progress) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	n, err := p.rc.Read(b)
	p.advance(int64(n))
	return n, err
}

func (p *progress) advance(n int64) {
	p.at += n
	if p.at < p.next {
		return
	}
	p.next = p.at + reportEvery
	p.report()
}

func (p *progress) report() {
	if p.at > p.source.most.Load() {
		p.source.most.Store(p.at)
		p.source.event(false)
	}
}

func (p *progress) Close() error {
	p.report()
	if p.source.deferred.Load() {
		p.source.finish()
	}
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
	at, err := s.seeker.Seek(offset, whence)
	if err == nil {
		s.at, s.next = at, at
	}
	return at, err
}

var (
	_ Extent        = (*progress)(nil)
	_ Extent        = (*seekable)(nil)
	_ io.ReadSeeker = (*seekable)(nil)
)
