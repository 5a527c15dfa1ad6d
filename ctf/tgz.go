// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"ocm"
)

// tgzFiles is a gzipped tar archive. Nothing is unpacked to disk, so whoever wants large
// content waits until the archive was read up to it.
type tgzFiles struct {
	f     archive
	size  int64
	idx   *index
	blobs map[digest.Digest]tgzBlob

	mu   sync.Mutex
	idle *cursor // where the last reader stopped; taken out while used
}

type tgzBlob struct {
	member
	data []byte // nil if it has to be read from the archive
}

// cursor is a place in the archive: in or behind the entry that scan returned last.
type cursor struct {
	scan *scan
	zr   io.Reader // what scan reads from
}

// start returns a cursor that stands before the first entry.
func (t *tgzFiles) start() (*cursor, error) {
	zr, err := gzip.NewReader(bufio.NewReaderSize(io.NewSectionReader(t.f, 0, t.size), 64<<10))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", invalid(err))
	}
	c := &counter{r: zr}
	return &cursor{scan: newScan(c, func() int64 { return c.n }), zr: c}, nil
}

// counter knows how much was read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func newTgz(f archive, size int64) (files, error) {
	t := &tgzFiles{f: f, size: size, blobs: map[digest.Digest]tgzBlob{}}
	c, err := t.start()
	if err != nil {
		return nil, err
	}
	if err := t.readAll(c); err != nil {
		return nil, invalid(err)
	}
	if t.idx == nil {
		return nil, noIndex()
	}
	return t, nil
}

// readAll is the first pass. It reads to the very end, where gzip has its checksum.
func (t *tgzFiles) readAll(c *cursor) error {
	var inMemory int64
	for {
		m, err := c.scan.next()
		switch {
		case err == io.EOF:
			return c.drain()
		case err != nil:
			return err
		case m.name == indexName:
			if t.idx, err = c.scan.index(); err != nil {
				return err
			}
			continue
		}
		b := tgzBlob{member: m}
		if m.size <= MaxSmall && inMemory+m.size <= MaxHeld {
			inMemory += m.size
			b.data = make([]byte, m.size)
			if _, err := io.ReadFull(c.scan.tr, b.data); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		t.blobs[m.digest] = b
	}
}

// drain reads what follows the last entry: zeros, and the end of the gzip stream.
func (c *cursor) drain() error {
	n, err := io.CopyN(io.Discard, c.zr, MaxPadding+1)
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%d bytes and more after the last tar entry, accepted are %d: %w", n, MaxPadding, ocm.ErrLimit)
}

func (t *tgzFiles) load() (*index, error) { return t.idx, nil }

func (t *tgzFiles) Close() error { return t.f.Close() }

func (t *tgzFiles) stat(d digest.Digest) (int64, error) {
	b, ok := t.blobs[d]
	if !ok {
		return 0, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
	}
	return b.size, nil
}

func (t *tgzFiles) open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	b, ok := t.blobs[d]
	switch {
	case !ok:
		return nil, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
	case b.data != nil:
		return held{bytes.NewReader(b.data)}, nil
	}
	c, err := t.take(b.ordinal)
	if err != nil {
		return nil, err
	}
	for {
		if ctx.Err() != nil {
			t.put(c) // it stands between two entries
			return nil, context.Cause(ctx)
		}
		m, err := c.scan.next()
		switch {
		case err != nil && err != io.EOF:
			return nil, fmt.Errorf("blob %s: %w", d, err)
		case err == io.EOF, m.ordinal >= b.ordinal && m != b.member:
			return nil, fmt.Errorf("blob %s: the archive has changed since it was opened: %w", d, ocm.ErrConflict)
		case m.ordinal == b.ordinal:
			return &stream{ctx: ctx, t: t, c: c}, nil
		}
	}
}

// take returns a cursor that stands before an entry: the idle one if it does, else a new one.
func (t *tgzFiles) take(ordinal int) (*cursor, error) {
	t.mu.Lock()
	c := t.idle
	if c != nil && c.scan.count <= ordinal {
		t.idle = nil
		t.mu.Unlock()
		return c, nil
	}
	t.mu.Unlock()
	return t.start()
}

func (t *tgzFiles) put(c *cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = c
}

// stream reads one blob from the archive. It is used by one goroutine at a time.
type stream struct {
	ctx context.Context
	t   *tgzFiles
	c   *cursor // nil after Close
	err error
}

func (s *stream) Read(b []byte) (int, error) {
	if s.c == nil {
		return 0, fs.ErrClosed
	}
	if s.err == nil && s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	n, err := s.c.scan.tr.Read(b)
	if err != nil && err != io.EOF && !errors.Is(err, fs.ErrClosed) {
		err = invalid(err)
	}
	s.err = err
	return n, err
}

// Close leaves the cursor for the next reader, who continues behind this blob.
func (s *stream) Close() error {
	if s.c != nil && (s.err == nil || s.err == io.EOF) {
		s.t.put(s.c)
	}
	s.c = nil
	return nil
}
