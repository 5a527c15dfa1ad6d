// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"bufio"
	"context"
	"io"

	"github.com/klauspost/compress/gzip"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// gzipLevel is part of the promise that the same bytes compress to the same bytes.
const gzipLevel = 6

// Gzip is the content c, compressed while it is read, with the given media type. It compresses
// with one fixed level and a header without name and time, so that equal bytes give equal
// bytes on every machine. Digest and size of the result are not known before it was read; it
// can be fetched any number of times. If c has a digest, reading fails with [ocm.ErrDigest]
// where the bytes do not have it.
func Gzip(c ocm.Content, mediaType string) ocm.Content {
	return ocm.Content{Root: ociv1.Descriptor{MediaType: mediaType, Size: -1}, From: gzipFetcher{c}}
}

type gzipFetcher struct{ c ocm.Content }

func (g gzipFetcher) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	src, err := OpenContent(ctx, g.c)
	if err != nil {
		return nil, err
	}
	return pipe(ctx, func(ctx context.Context, w io.Writer) error {
		defer src.Close()
		zw, err := gzip.NewWriterLevel(w, gzipLevel)
		if err != nil {
			return err
		}
		if _, err := io.Copy(zw, ctxReader{ctx, src}); err != nil {
			return err
		}
		return zw.Close()
	}), nil
}

// Gunzip decompresses r if its first bytes are those of gzip, whatever its name or media type
// says, and else returns the bytes as they are. gz tells which it was. The caller bounds what is
// read: a small compressed stream can be an endless one.
func Gunzip(r io.Reader) (plain io.Reader, gz bool, err error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic, _ := br.Peek(2) // an error comes again when br is read
	if !isGzip(magic) {
		return br, false, nil
	}
	zr, err := gzip.NewReader(br)
	if err != nil {
		return nil, true, archiveError(err)
	}
	return zr, true, nil
}

func isGzip(magic []byte) bool { return len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b }
