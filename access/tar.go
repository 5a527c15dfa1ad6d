// SPDX-License-Identifier: Apache-2.0

package access

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// tarOf is a tar archive of files, in their order, made while it is read: the same bytes for the same files. Nothing
// is asked before. open describes a file with its size; reading it fails where it has another one ([compared]).
func tarOf(names []string, open func(ctx context.Context, name string) (ocm.Content, error)) ocm.Content {
	return ocm.Content{Root: ociv1.Descriptor{MediaType: "application/x-tar", Size: -1}, From: tarFetcher{names, open}}
}

type tarFetcher struct {
	names []string
	open  func(ctx context.Context, name string) (ocm.Content, error)
}

// Fetch implements [ocm.Fetcher].
func (f tarFetcher) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	return &tarReader{ctx: ctx, tarFetcher: f, now: bytes.NewReader(nil), file: io.NopCloser(nil)}, nil
}

const tarBlock = 512 // bytes; a file is filled up to it, and two of them are the end

type tarReader struct {
	tarFetcher
	ctx   context.Context
	now   io.Reader
	file  io.Closer
	ended bool
	err   error
}

func (r *tarReader) Read(p []byte) (int, error) {
	for r.err == nil {
		n, err := r.now.Read(p)
		switch {
		case err == nil:
			return n, nil
		case err != io.EOF:
			r.err = err
		case n > 0: // the end comes again
			return n, nil
		default:
			r.err = r.next()
		}
	}
	return 0, r.err
}

// next goes to the next file.
func (r *tarReader) next() error {
	r.file.Close()
	switch {
	case r.ended:
		return io.EOF
	case len(r.names) == 0:
		r.now, r.ended = bytes.NewReader(make([]byte, 2*tarBlock)), true
		return nil
	}
	name := r.names[0]
	r.names = r.names[1:]
	c, err := r.open(r.ctx, name)
	if err != nil {
		return err
	}
	if c.Root.Size < 0 {
		return fmt.Errorf("%s: the server does not tell its size: %w", name, ocm.ErrInvalid)
	}
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: c.Root.Size}); err != nil {
		return err
	}
	rc, err := c.Open(r.ctx)
	if err != nil {
		return err
	}
	r.file = rc
	r.now = io.MultiReader(&head, rc, bytes.NewReader(make([]byte, -c.Root.Size&(tarBlock-1))))
	return nil
}

// Close closes the file that is read.
func (r *tarReader) Close() error { return r.file.Close() }
