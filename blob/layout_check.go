// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// CheckLayout reads an archive once, front to back, and proves three things: that its bytes
// have the digest and size of its own descriptor, where that has a digest; that every blob in
// it has the digest that its name says; and that everything reachable from the main artifact
// (see [Layout]) is in it with the size that is promised. It returns the main artifact's
// media type, digest and size.
//
// It needs no more than a stream. In memory are the manifests, 32 MiB in all, and one line per
// entry. [ocm.ErrDigest] and [ocm.ErrNotFound] name the blob; [ocm.ErrInvalid] and
// [ocm.ErrLimit] as for Layout.
func CheckLayout(ctx context.Context, archive ocm.Content) (ociv1.Descriptor, error) {
	c := &checker{layout: newLayout(archive)}
	main, err := c.run(ctx)
	if err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("%s: %w", c, err)
	}
	return main, nil
}

// checker is a layout of which only the manifests are at hand.
type checker struct {
	*layout
	full    bool // a manifest did not fit any more
	scratch bytes.Buffer
}

func (c *checker) run(ctx context.Context) (ociv1.Descriptor, error) {
	var none ociv1.Descriptor
	rc, err := OpenContent(ctx, c.archive)
	if err != nil {
		return none, err
	}
	defer rc.Close()
	raw := &limitReader{ctxReader{ctx, rc}, MaxArchive}
	if err := c.read(ctx, raw); err != nil {
		return none, c.blame(err, raw)
	}
	// The archive's digest is compared where its reader ends. The decoders read that far by
	// themselves; the promise does not rest on that.
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return none, err
	}
	main, err := c.main(ctx)
	if err != nil {
		return none, err
	}
	return main, Walk(ctx, c, main, c.check)
}

func (c *checker) read(ctx context.Context, raw io.Reader) error {
	plain, _, err := Gunzip(raw)
	if err != nil {
		return err
	}
	return c.entries(newTarStream(ctx, plain, MaxEntries), c.verify)
}

// blame reads on after an error in the archive, to tell an archive that was made broken from
// one that is not the promised one. It does so only where the promise bounds the length.
func (c *checker) blame(err error, raw io.Reader) error {
	if root := c.archive.Root; root.Digest == "" || root.Size < 0 || errors.Is(err, ocm.ErrDigest) {
		return err
	}
	if _, drained := io.Copy(io.Discard, raw); errors.Is(drained, ocm.ErrDigest) {
		return fmt.Errorf("%w (noticed by: %v)", drained, err)
	}
	return err
}

// verify reads a blob to its end and keeps it if it is a manifest.
func (c *checker) verify(d ociv1.Descriptor, r io.Reader) error {
	v, err := NewReader(io.NopCloser(r), d)
	if err != nil {
		return err
	}
	first := make([]byte, 1)
	n, err := io.ReadFull(v, first)
	if err == io.EOF {
		return nil // empty, and rightly so
	}
	if err != nil {
		return archiveError(err)
	}
	if d.Size > MaxManifest || first[0] != '{' && first[0] > ' ' {
		if _, err = io.Copy(io.Discard, v); err != nil {
			return archiveError(err)
		}
		return nil
	}
	c.scratch.Reset()
	c.scratch.Write(first[:n])
	if _, err := c.scratch.ReadFrom(v); err != nil {
		return archiveError(err)
	}
	switch {
	case !IsManifest(sniffManifest(c.scratch.Bytes())):
	case d.Size > c.room:
		c.full = true
	default:
		c.room -= d.Size
		c.kept[d.Digest] = bytes.Clone(c.scratch.Bytes())
	}
	return nil
}

// Fetch delivers manifests to the walk through the graph.
func (c *checker) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if _, ok := c.kept[d.Digest]; !ok && c.blobs[d.Digest].size > 0 {
		if c.full {
			return nil, fmt.Errorf("manifest %s: the archive has more than %d bytes of manifests: %w", d.Digest, maxKept, ocm.ErrLimit)
		}
		return nil, fmt.Errorf("blob %s: expected a manifest of at most %d bytes: %w", d.Digest, MaxManifest, ocm.ErrInvalid)
	}
	return c.layout.Fetch(ctx, d)
}

// check compares one node of the graph with what was found in the archive.
func (c *checker) check(d ociv1.Descriptor, _ []byte) error {
	at, ok := c.blobs[d.Digest]
	switch {
	case !ok:
		return fmt.Errorf("blob %s (%s) is missing in the archive: %w", d.Digest, d.MediaType, ocm.ErrNotFound)
	case at.size != d.Size:
		return fmt.Errorf("blob %s: expected %d bytes, found %d: %w", d.Digest, d.Size, at.size, ocm.ErrDigest)
	}
	return nil
}
