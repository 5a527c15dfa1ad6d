// SPDX-License-Identifier: Apache-2.0

// Package blob makes, reads and describes content: byte streams that check their
// own digest and size, files and bytes as content, directories as reproducible
// archives, and OCI layouts as graphs.
//
// Everything that is read by digest goes through [Reader] or [ReadAll], so that no
// byte is used that was not promised.
//
// Content is made by [Bytes], [File] and [TarDir], and compressed by [Gzip]. An archive
// that holds an OCI artifact becomes the artifact's graph by [Layout], is proven whole by
// [CheckLayout], and is made of a graph by [WriteLayout]. [Extract] unpacks any tar archive
// without trusting it. All of them stream: what they hold in memory, and how many bytes,
// entries and levels they accept, is bounded by the constants of this package. Nothing is
// copied to temporary files on the way.
package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// MaxManifest bounds OCI manifests and indexes, in bytes.
const MaxManifest = 4 << 20

// NewHash returns the hash of a digest algorithm name: "sha256" (also for the empty
// name) or "sha512". Every other name is [ocm.ErrInvalid].
func NewHash(a digest.Algorithm) (hash.Hash, error) {
	switch a {
	case digest.SHA256, "":
		return sha256.New(), nil
	case digest.SHA512:
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("digest algorithm %q: expected sha256 or sha512: %w", a, ocm.ErrInvalid)
}

// CheckDigest refuses anything that is not a well-formed sha256 or sha512 digest. It is
// called on every digest from outside before it becomes part of a path or a URL.
func CheckDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.200q: %v: %w", string(d), err, ocm.ErrInvalid)
	}
	_, err := NewHash(d.Algorithm())
	return err
}

// Reader checks digest and size of what is read through it. The last Read returns an
// [ocm.ErrDigest] instead of io.EOF if the bytes are not those of the descriptor;
// so does closing it early never: a caller that must know reads to the end.
type Reader struct {
	rc   io.ReadCloser
	want ociv1.Descriptor
	hash hash.Hash
	n    int64
	err  error
}

// NewReader wraps rc. d.Digest must be set; a size below zero is not checked.
func NewReader(rc io.ReadCloser, d ociv1.Descriptor) (*Reader, error) {
	if err := CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	h, err := NewHash(d.Digest.Algorithm())
	return &Reader{rc: rc, want: d, hash: h}, err
}

func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.rc.Read(p)
	r.hash.Write(p[:n])
	r.n += int64(n)
	switch {
	case r.want.Size >= 0 && r.n > r.want.Size:
		r.err = fmt.Errorf("blob %s: expected %d bytes, found more: %w", r.want.Digest, r.want.Size, ocm.ErrDigest)
		return 0, r.err
	case err == io.EOF:
		r.err = r.check()
	default:
		r.err = err
	}
	return n, r.err
}

func (r *Reader) check() error {
	if r.want.Size >= 0 && r.n != r.want.Size {
		return fmt.Errorf("blob %s: expected %d bytes, found %d: %w", r.want.Digest, r.want.Size, r.n, ocm.ErrDigest)
	}
	if got := digest.NewDigest(r.want.Digest.Algorithm(), r.hash); got != r.want.Digest {
		return fmt.Errorf("blob: expected %s, found %s: %w", r.want.Digest, got, ocm.ErrDigest)
	}
	return io.EOF
}

// Close closes the wrapped reader.
func (r *Reader) Close() error { return r.rc.Close() }

type readCloser struct {
	io.Reader
	io.Closer
}

// OpenContent opens the root's bytes: verified if its digest is known, else as they are. The stream
// ends with its context.
func OpenContent(ctx context.Context, c ocm.Content) (io.ReadCloser, error) {
	if c.Root.Digest != "" {
		return Open(ctx, c.From, c.Root)
	}
	rc, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	return readCloser{ctxReader{ctx, rc}, rc}, nil
}

// Open opens content by digest through a [Reader]. The stream ends with its context.
func Open(ctx context.Context, from ocm.Fetcher, d ociv1.Descriptor) (*Reader, error) {
	if err := CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	rc, err := from.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(readCloser{ctxReader{ctx, rc}, rc}, d)
	if err != nil {
		rc.Close()
		return nil, err
	}
	return r, nil
}

// ReadAll reads content of at most limit bytes into memory and verifies it.
func ReadAll(ctx context.Context, from ocm.Fetcher, d ociv1.Descriptor, limit int64) ([]byte, error) {
	if d.Size > limit {
		return nil, fmt.Errorf("blob %s has %d bytes, accepted are %d: %w", d.Digest, d.Size, limit, ocm.ErrLimit)
	}
	r, err := Open(ctx, from, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := ReadDocument(r, d.Size, limit)
	if errors.Is(err, ocm.ErrLimit) {
		err = fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return raw, err
}

// maxExpected bounds what is allocated because of a size that somebody claims, in bytes.
const maxExpected = 64 << 10

// ReadDocument reads at most limit bytes; more is [ocm.ErrLimit]. If the size is what was expected (below
// zero: not known), the slice is no larger than it need be, which counts where thousands are kept.
func ReadDocument(r io.Reader, expected, limit int64) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, min(max(expected, 0), maxExpected, limit)+bytes.MinRead))
	if _, err := buf.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, fmt.Errorf("more than the accepted %d bytes: %w", limit, ocm.ErrLimit)
	}
	return buf.Bytes(), nil
}
