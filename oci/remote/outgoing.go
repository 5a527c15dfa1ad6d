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

// uploadChunk is what an upload holds in memory, twice, in bytes.
const uploadChunk = 64 << 10

var errStopped = errors.New("the upload is over")

// outgoing is the body of an upload: it hashes what it reads, and stays one chunk behind so
// that the last one leaves only if the whole is right.
type outgoing struct {
	mu      sync.Mutex // Read is called by net/http, which may outlive the request by a moment
	src     io.Reader
	want    ociv1.Descriptor
	hash    hash.Hash
	n       int64         // bytes read
	sum     digest.Digest // set at the end, if all is right
	buffers [2][]byte
	turn    int    // the buffer to read into next
	ahead   []byte // read, not yet let out
	ready   []byte // let out, not yet taken
	err     error  // what follows after ready; io.EOF if all is right
}

func newOutgoing(src io.Reader, want ociv1.Descriptor) (*outgoing, error) {
	h, err := blob.NewHash(algorithm(want.Digest))
	o := &outgoing{src: src, want: want, hash: h}
	for i := range o.buffers {
		o.buffers[i] = make([]byte, uploadChunk)
	}
	return o, err
}

// algorithm is sha256 for the empty digest.
func algorithm(d digest.Digest) digest.Algorithm {
	if d == "" {
		return digest.SHA256
	}
	return d.Algorithm()
}

func (o *outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.ready) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		o.advance()
	}
	n := copy(p, o.ready)
	o.ready = o.ready[n:]
	return n, nil
}

// advance reads a chunk and lets the one before out.
func (o *outgoing) advance() {
	if o.sum != "" {
		o.ready, o.ahead, o.err = o.ahead, nil, io.EOF
		return
	}
	buf := o.buffers[o.turn]
	n, err := fill(o.src, buf)
	o.hash.Write(buf[:n])
	o.n += int64(n)
	switch {
	case o.want.Size >= 0 && o.n > o.want.Size:
		o.err = fmt.Errorf("expected %d bytes, found more: %w", o.want.Size, ocm.ErrDigest)
	case err == io.EOF:
		o.err = o.verify()
	case err != nil:
		o.err = fmt.Errorf("reading the content: %w", err)
	}
	if o.err == nil {
		o.ready, o.ahead, o.turn = o.ahead, buf[:n], 1-o.turn
	}
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

// stop waits for a running Read and lets none begin: the source is the caller's again.
func (o *outgoing) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ready = nil
	if o.err == nil || o.err == io.EOF {
		o.err = errStopped
	}
}

// outcome tells why reading failed, nil if it did not, and whether everything was read.
func (o *outgoing) outcome() (complete bool, failed error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil && o.err != io.EOF {
		failed = o.err
	}
	return o.sum != "", failed
}
