// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// What an upload holds in memory, in bytes.
const (
	uploadChunk  = 256 << 10 // read, hashed and sent in one piece
	uploadChunks = 4         // one being read, one held back, one or two on their way
	smallUpload  = 64 << 10  // has a buffer of its own size: most blobs of most components are small
	markEvery    = 64 << 20  // between two places that hashing can go on from, at least
	maxMarks     = 256       // number of these places
)

var errStopped = errors.New("the upload is over")

// chunks are buffers of uploads.
var chunks = sync.Pool{New: func() any { return new([uploadChunk]byte) }}

// outgoing is the content of an upload, which may be several requests. A goroutine of its own
// reads and hashes ahead of what is being sent. It stays one piece behind so that the last one
// leaves only if the whole is right.
type outgoing struct {
	src   io.Reader
	want  ociv1.Descriptor
	hash  hash.Hash
	from  int64 // where src began
	n     int64 // bytes hashed, with those before
	skip  int64 // bytes that are hashed only: the registry has them
	marks []mark
	every int64         // bytes between two marks
	sum   digest.Digest // set at the end, if all is right
	err   error         // why it ended before

	ready chan piece    // closed at the end; sum and err are set before
	free  chan piece    // buffers to read into
	quit  chan struct{} // closed by stop
	ended chan struct{} // closed by the pump

	mu      sync.Mutex // Read is called by net/http, which may outlive the request by a moment
	current piece
	over    bool
}

// piece is a part of the content in a buffer.
type piece struct {
	buf  []byte
	data []byte
}

// mark is a place of the content from which hashing can go on.
type mark struct {
	at   int64
	hash hash.Cloner
}

// newOutgoing begins to read. src is at from; what is before skip is not let out.
func newOutgoing(src io.Reader, want ociv1.Descriptor, from mark, skip int64) (*outgoing, error) {
	o := &outgoing{
		src: src, want: want, skip: skip, from: from.at, n: from.at, every: max(markEvery, want.Size/maxMarks),
		ready: make(chan piece, uploadChunks), free: make(chan piece, uploadChunks), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	var err error
	if from.hash == nil {
		o.hash, err = blob.NewHash(algorithm(want.Digest))
	} else {
		o.hash, err = from.hash.Clone()
	}
	if err != nil {
		return nil, err
	}
	pieces := uploadChunks
	if want.Size >= 0 {
		pieces = int(min(want.Size/uploadChunk+1, uploadChunks))
	}
	for range pieces {
		o.free <- piece{}
	}
	go o.pump()
	return o, nil
}

// algorithm is sha256 for the empty digest.
func algorithm(d digest.Digest) digest.Algorithm {
	if d == "" {
		return digest.SHA256
	}
	return d.Algorithm()
}

// pump reads, hashes and lets out until the end.
func (o *outgoing) pump() {
	defer close(o.ready)
	defer close(o.ended) // first: who has seen the end of ready finds the digest
	var held piece
	defer func() { held.recycle() }()
	for o.sum == "" {
		var p piece
		select {
		case p = <-o.free:
		case <-o.quit:
			o.err = errStopped
			return
		}
		if p.buf == nil {
			p.buf = bufferFor(o.want.Size)
		}
		if o.err = o.fill(&p); o.err != nil {
			p.recycle()
			return
		}
		if len(p.data) == 0 {
			o.free <- p
			continue
		}
		if held.buf != nil {
			o.ready <- held // never blocks: there are no more pieces than places
		}
		held = p
	}
	if held.buf != nil {
		o.ready <- held
		held = piece{}
	}
}

// fill reads the next piece. At the end it verifies the whole.
func (o *outgoing) fill(p *piece) error {
	n, err := fill(o.src, p.buf)
	at := o.n
	o.hash.Write(p.buf[:n])
	o.n += int64(n)
	p.data = p.buf[min(max(0, o.skip-at), int64(n)):n]
	switch {
	case o.want.Size >= 0 && o.n > o.want.Size:
		return fmt.Errorf("expected %d bytes, found more: %w", o.want.Size, ocm.ErrDigest)
	case err == io.EOF:
		return o.verify()
	case err != nil:
		return fmt.Errorf("reading the content: %w", err)
	}
	if h, ok := o.hash.(hash.Cloner); ok && o.n/o.every > at/o.every {
		if c, err := h.Clone(); err == nil {
			o.marks = append(o.marks, mark{o.n, c})
		}
	}
	return nil
}

// fill reads until buf is full or the source ends. Unlike io.ReadFull it keeps a source that
// broke off (io.ErrUnexpectedEOF) apart from one that ended.
func fill(src io.Reader, buf []byte) (n int, err error) {
	for empty := 0; n < len(buf) && err == nil; {
		var m int
		m, err = src.Read(buf[n:])
		if n += m; m > 0 {
			empty = 0
		} else if empty++; empty > 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

func (o *outgoing) verify() error {
	if o.want.Size >= 0 && o.n != o.want.Size {
		return fmt.Errorf("expected %d bytes, found %d: %w", o.want.Size, o.n, ocm.ErrDigest)
	}
	sum := digest.NewDigest(algorithm(o.want.Digest), o.hash)
	if o.want.Digest != "" && sum != o.want.Digest {
		return fmt.Errorf("expected %s, found %s: %w", o.want.Digest, sum, ocm.ErrDigest)
	}
	o.sum = sum
	return nil
}

func (o *outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.current.data) == 0 {
		if o.over {
			return 0, errStopped
		}
		if o.current.buf != nil {
			o.free <- o.current
			o.current = piece{}
		}
		select {
		case next, ok := <-o.ready:
			if !ok && o.err != nil {
				return 0, o.err
			} else if !ok {
				return 0, io.EOF
			}
			o.current = next
		case <-o.quit:
			return 0, errStopped
		}
	}
	n := copy(p, o.current.data)
	o.current.data = o.current.data[n:]
	return n, nil
}

// digest is that of the whole content, empty as long as not everything was read and right.
func (o *outgoing) digest() digest.Digest {
	select {
	case <-o.ended:
		return o.sum
	default:
		return ""
	}
}

// stop ends reading and waits for it: the source is the caller's again. It tells why reading
// failed, nil if it did not, and whether everything was read and right.
func (o *outgoing) stop() (complete bool, failed error) {
	close(o.quit)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.current.recycle()
	for p := range o.ready { // until the pump has ended
		p.recycle()
	}
	for len(o.free) > 0 {
		p := <-o.free
		p.recycle()
	}
	if failed = o.err; failed == errStopped {
		failed = nil
	}
	return o.sum != "", failed
}

// recycle gives a buffer back. Nobody may use the piece any more.
func (p *piece) recycle() {
	if len(p.buf) == uploadChunk {
		chunks.Put((*[uploadChunk]byte)(p.buf))
	}
	*p = piece{}
}

// bufferFor is a buffer for content of that size: with a byte more, in which its end shows.
func bufferFor(size int64) []byte {
	if size >= 0 && size < smallUpload {
		return make([]byte, size+1)
	}
	return chunks.Get().(*[uploadChunk]byte)[:] //nolint:errcheck,forcetypeassert // the pool holds nothing else
}
