// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// pipeName is how a pipe is called in messages and in references.
const pipeName = "-"

// Read opens a CTF that comes through a pipe: a tar archive, gzipped, compressed by zstd or not,
// which its first bytes tell. It reads the index and all small content up to the first entry that
// is large; what it holds in memory is bounded by [MaxHeld]. Large content is to be had by
// [Store.Sequential] only, once, when it comes by. An archive in which the index, or manifests, come
// after more than can be held is [ocm.ErrLimit]: it must be saved into a file.
//
// A stream that ends too early is [ocm.ErrInvalid], from Read or when it is found out.
// Reader r is not closed.
func Read(r io.Reader) (*Store, error) {
	p, err := newPipe(r)
	if err != nil {
		return nil, fmt.Errorf("CTF archive from a pipe: %w", err)
	}
	return &Store{path: pipeName, files: p}, nil
}

// pipe is an archive that is read once, from front to back.
type pipe struct {
	at  *cursor
	idx *index

	mu   sync.Mutex // guards held
	held map[digest.Digest][]byte

	turn  sync.Mutex // guards what follows: who holds it reads the stream
	taken bool       // each is at work, and nobody else reads
	size  int64      // of what is held
	next  *member    // the stream stands before its content; nil: before a header
	end   error      // io.EOF after a good end, or what is wrong with the stream
}

// errLater is what is said about content that did not come by yet, or not to be kept.
var errLater = fmt.Errorf("content of a pipe can be read only when it comes by, and memory holds %d bytes of it: %w (save the stream into a file and name that)", MaxHeld, ocm.ErrLimit)

func newPipe(r io.Reader) (*pipe, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	unpack := sniffForm(head).unpack
	if unpack == nil {
		unpack = func(r io.Reader) (io.Reader, error) { return r, nil }
	}
	p := &pipe{held: map[digest.Digest][]byte{}}
	if p.at, err = newCursor(unpack, br); err != nil {
		return nil, err
	}
	p.at.scan.zeros = 2 * tarBlock
	for limit := int64(MaxSmall); ; {
		kept, err := p.hold(limit)
		switch {
		case err == io.EOF && p.idx == nil:
			return nil, p.at.scan.noIndex()
		case err == io.EOF:
			return p, nil
		case err != nil:
			return nil, err
		case kept:
		case p.idx != nil:
			return p, nil
		case limit == MaxHeld:
			return nil, fmt.Errorf("%s comes too late: %w", indexName, errLater)
		default:
			limit = MaxHeld
		}
	}
}

// hold reads the next entry into memory, unless it is larger than limit or too large for what is
// left. The caller has the turn.
func (p *pipe) hold(limit int64) (kept bool, err error) {
	m, err := p.peek()
	switch {
	case err != nil:
		return false, err
	case m.name == indexName:
		p.next = nil
		p.idx, err = p.at.scan.index()
		return true, p.broken(err)
	case m.size > limit || p.size+m.size > MaxHeld:
		return false, nil
	}
	p.next = nil
	data := make([]byte, m.size)
	if _, err := io.ReadFull(p.at.scan.tr, data); err != nil {
		return false, p.broken(fmt.Errorf("%s: %w", m.name, err))
	}
	p.size += m.size
	p.mu.Lock()
	p.held[m.digest] = data
	p.mu.Unlock()
	return true, nil
}

// peek returns the next entry, whose content was not read yet; io.EOF behind the last one, if the
// stream ended as it should.
func (p *pipe) peek() (*member, error) {
	if p.end != nil || p.next != nil {
		return p.next, p.end
	}
	m, err := p.at.scan.next()
	if err == io.EOF {
		if err = p.at.drain(); err == nil {
			p.end = io.EOF
			return nil, io.EOF
		}
	}
	if err != nil {
		return nil, p.broken(err)
	}
	p.next = &m
	return p.next, nil
}

// broken remembers that there is no reading on.
func (p *pipe) broken(err error) error {
	if err != nil && p.end == nil {
		p.end = broken(err)
		p.next = nil
	}
	return p.end
}

// find returns content that is held, or reads on until it is.
func (p *pipe) find(ctx context.Context, d digest.Digest) ([]byte, error) {
	if data, ok := p.get(d); ok {
		return data, nil
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	for {
		if data, ok := p.get(d); ok {
			return data, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if p.taken || p.at.scan.seen[blobsName+"/"+blobName(d)] {
			return nil, fmt.Errorf("blob %s: %w", d, errLater)
		}
		kept, err := p.hold(MaxHeld)
		switch {
		case err == io.EOF:
			return nil, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
		case err != nil:
			return nil, err
		case !kept:
			return nil, fmt.Errorf("blob %s: %w", d, errLater)
		}
	}
}

func (p *pipe) get(d digest.Digest) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, ok := p.held[d]
	return data, ok
}

func (p *pipe) load() (*index, error) { return p.idx, nil }

func (p *pipe) stat(d digest.Digest) (int64, error) {
	data, err := p.find(context.Background(), d)
	return int64(len(data)), err
}

func (p *pipe) open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	data, err := p.find(ctx, d)
	if err != nil {
		return nil, err
	}
	return held{bytes.NewReader(data)}, nil
}

// Close leaves the pipe to whoever opened it.
func (p *pipe) Close() error { return nil }

// each implements [sequence].
func (p *pipe) each(ctx context.Context, fn func(ociv1.Descriptor, io.Reader) error) error {
	if !p.take() {
		return fmt.Errorf("the pipe is being read: %w", errLater)
	}
	defer p.give()
	for {
		m, err := p.peek()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		p.next = nil
		if err := m.pass(ctx, p.at.scan.tr, fn); err != nil {
			return err
		}
	}
}

func (p *pipe) take() bool {
	p.turn.Lock()
	defer p.turn.Unlock()
	was := p.taken
	p.taken = true
	return !was
}

func (p *pipe) give() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.taken = false
}

// sequence is a form that gives its content in the order in which it has it.
type sequence interface {
	// each is [ocm.Sequential], for what is not held in memory.
	each(ctx context.Context, fn func(d ociv1.Descriptor, r io.Reader) error) error
}

// inOrder is a store that is a [sequence].
type inOrder struct{ s *Store }

// Each implements [ocm.Sequential].
func (o inOrder) Each(ctx context.Context, fn func(d ociv1.Descriptor, r io.Reader) error) error {
	seq, ok := o.s.sequence()
	if !ok {
		return fmt.Errorf("CTF %s: %w", o.s.path, errors.ErrUnsupported)
	}
	if err := seq.each(ctx, fn); err != nil {
		return fmt.Errorf("CTF %s: %w", o.s.path, err)
	}
	return nil
}

// Sequential is that of the store.
func (r *repo) Sequential() (ocm.Sequential, bool) { return r.s.Sequential() }
