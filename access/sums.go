// SPDX-License-Identifier: Apache-2.0

package access

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// sum is a checksum that the source of content tells.
type sum struct {
	name string // as in messages: sha512
	hash func() hash.Hash
	want [][]byte // any of these
}

// compared is content whose size, if it is known, and checksums are compared while it is read to its end:
// [ocm.ErrDigest]. So content that never ends, ends where the source said.
func compared(c ocm.Content, sums ...sum) ocm.Content {
	c.From = comparing{c.From, c.Name, c.Root.Size, sums}
	return c
}

type comparing struct {
	from ocm.Fetcher
	name string
	size int64 // below zero: not known
	sums []sum
}

// Fetch implements [ocm.Fetcher].
func (c comparing) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := c.from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	r := &comparer{ReadCloser: rc, comparing: c}
	for _, s := range c.sums {
		r.hashes = append(r.hashes, s.hash())
	}
	return r, nil
}

type comparer struct {
	io.ReadCloser
	comparing
	hashes []hash.Hash
	n      int64
	err    error
}

func (r *comparer) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.ReadCloser.Read(p)
	for _, h := range r.hashes {
		h.Write(p[:n])
	}
	r.n += int64(n)
	switch {
	case r.size >= 0 && r.n > r.size:
		r.err = fmt.Errorf("%s: expected %d bytes, found more: %w", r.name, r.size, ocm.ErrDigest)
		return 0, r.err
	case err == io.EOF:
		r.err = r.check()
	default:
		r.err = err
	}
	return n, r.err
}

func (r *comparer) check() error {
	if r.size >= 0 && r.n != r.size {
		return fmt.Errorf("%s: expected %d bytes, found %d: %w", r.name, r.size, r.n, ocm.ErrDigest)
	}
	for i, s := range r.sums {
		got := r.hashes[i].Sum(nil)
		if !slices.ContainsFunc(s.want, func(want []byte) bool { return bytes.Equal(got, want) }) {
			return fmt.Errorf("%s: expected %s %s, as the source says, found %s: %w", r.name, s.name, hex.EncodeToString(s.want[0]), hex.EncodeToString(got), ocm.ErrDigest)
		}
	}
	return io.EOF
}
