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

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// packed is a compressed tar archive. Nothing is unpacked to disk, so whoever wants large
// content waits until the archive was read up to it; those who want all of it take it in the
// order in which it comes (see each).
type packed struct {
	f      archive
	size   int64
	unpack unpacker
	idx    *index
	blobs  map[digest.Digest]packedBlob

	allHeld bool // in memory

	mu    sync.Mutex
	idle  *cursor // where the last reader stopped; taken out while used
	spare resetter
}

// resetter is a decompressor that can begin anew, which saves its memory.
type resetter interface {
	io.Reader
	Reset(r io.Reader) error
}

type packedBlob struct {
	member
	data []byte // nil if it has to be read from the archive
}

// cursor is a place in the archive: in or behind the entry that scan returned last.
type cursor struct {
	scan *scan
	zr   *counter // what scan reads from
}

// start returns a cursor that stands before the first entry.
func (t *packed) start() (*cursor, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(t.f, 0, t.size), 64<<10)
	t.mu.Lock()
	again := t.spare
	t.spare = nil
	t.mu.Unlock()
	if again == nil {
		return newCursor(t.unpack, in)
	}
	return newCursor(func(r io.Reader) (io.Reader, error) { return again, again.Reset(r) }, in)
}

// drop takes back the memory of a cursor that nobody uses any more.
func (t *packed) drop(c *cursor) {
	if r, ok := c.zr.r.(resetter); ok {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.spare = r
	}
}

// newCursor begins to read a stream.
func newCursor(unpack unpacker, r io.Reader) (*cursor, error) {
	zr, err := unpack(r)
	if err != nil {
		return nil, broken(err)
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

func newPacked(f archive, size int64, unpack unpacker) (listed, error) {
	t := &packed{f: f, size: size, unpack: unpack, blobs: map[digest.Digest]packedBlob{}}
	c, err := t.start()
	if err != nil {
		return nil, err
	}
	if err := t.readAll(c); err != nil {
		return nil, broken(err)
	}
	t.drop(c)
	if t.idx == nil {
		return nil, c.scan.noIndex()
	}
	return t, nil
}

// readAll is the first pass. It reads to the very end, where the checksum is.
func (t *packed) readAll(c *cursor) error {
	var inMemory int64
	t.allHeld = true
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
		b := packedBlob{member: m}
		if m.size <= MaxSmall && inMemory+m.size <= MaxHeld {
			inMemory += m.size
			b.data = make([]byte, m.size)
			if _, err := io.ReadFull(c.scan.tr, b.data); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		} else {
			t.allHeld = false
		}
		t.blobs[m.digest] = b
	}
}

// drain reads what follows the last entry: zeros, and the end of the compressed stream.
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

func (t *packed) load() (*index, error) { return t.idx, nil }

func (t *packed) Close() error { return t.f.Close() }

func (t *packed) sizes() map[digest.Digest]int64 {
	all := make(map[digest.Digest]int64, len(t.blobs))
	for d, b := range t.blobs {
		all[d] = b.size
	}
	return all
}

// each implements [sequence]: what is not held in memory, in one pass.
func (t *packed) each(ctx context.Context, fn func(ociv1.Descriptor, io.Reader) error) error {
	if t.allHeld {
		return nil
	}
	c, err := t.start()
	if err != nil {
		return err
	}
	defer t.drop(c)
	for {
		m, err := c.scan.next()
		switch {
		case err == io.EOF:
			return c.drain()
		case err != nil:
			return err
		case m.name == indexName || t.blobs[m.digest].data != nil:
			continue
		case t.blobs[m.digest].member != m:
			return fmt.Errorf("%s: the archive has changed since it was opened: %w", m.name, ocm.ErrConflict)
		}
		if err := m.pass(ctx, c.scan.tr, fn); err != nil {
			return err
		}
	}
}

func (t *packed) stat(d digest.Digest) (int64, error) {
	b, ok := t.blobs[d]
	if !ok {
		return 0, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
	}
	return b.size, nil
}

func (t *packed) open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
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
func (t *packed) take(ordinal int) (*cursor, error) {
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

func (t *packed) put(c *cursor) {
	t.mu.Lock()
	old := t.idle
	t.idle = c
	t.mu.Unlock()
	if old != nil {
		t.drop(old)
	}
}

// stream reads one blob from the archive. It is used by one goroutine at a time.
type stream struct {
	ctx context.Context
	t   *packed
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
		err = broken(err)
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
