// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ocm"
)

// form is how an archive in one file is compressed.
type form struct {
	suffixes []string
	magic    []byte                          // of a file of this form; nil: all others
	unpack   unpacker                        // nil: not compressed
	pack     func(io.Writer) (packer, error) // nil: not compressed
}

// unpacker begins to decompress a stream. A stream that does not end as it should is an error of
// the last Read.
type unpacker func(io.Reader) (io.Reader, error)

// packer compresses a stream.
type packer interface {
	io.WriteCloser
	// stored says that what comes is compressed already, or not any more.
	stored(bool) error
}

func forms() []form {
	return []form{
		{suffixes: []string{".tgz", ".tar.gz"}, magic: magicGzip, unpack: unpackGzip, pack: packGzip},
		{suffixes: []string{".tar.zst"}, magic: magicZstd, unpack: unpackZstd, pack: packZstd},
		{suffixes: []string{".tar"}},
	}
}

var (
	magicGzip = []byte{0x1f, 0x8b}
	magicZstd = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// formOf is the form that a file name asks for.
func formOf(path string) (form, bool) {
	for _, f := range forms() {
		for _, suffix := range f.suffixes {
			if strings.HasSuffix(path, suffix) {
				return f, true
			}
		}
	}
	return form{}, false
}

// sniffForm is the form that the first bytes of a file show.
func sniffForm(head []byte) form {
	for _, f := range forms() {
		if bytes.HasPrefix(head, f.magic) { // the last one has none
			return f
		}
	}
	return form{}
}

// isPacked reports whether the beginning of a blob shows that compressing it again is idle.
func isPacked(head []byte) bool {
	return bytes.HasPrefix(head, magicGzip) || bytes.HasPrefix(head, magicZstd)
}

func unpackGzip(r io.Reader) (io.Reader, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", broken(err))
	}
	return zr, nil
}

// gzipLevel is a compromise: one more takes much longer and saves little.
const gzipLevel = 5

// gzipPacker writes a gzip stream of one or more members: what is compressed already goes into
// members of its own, in which it is only wrapped.
type gzipPacker struct {
	w       io.Writer
	now     *gzip.Writer // the member that is being written
	deflate *gzip.Writer
	wrap    *gzip.Writer // nil until needed
}

func packGzip(w io.Writer) (packer, error) {
	zw, err := gzip.NewWriterLevel(w, gzipLevel)
	return &gzipPacker{w: w, now: zw, deflate: zw}, err
}

func (g *gzipPacker) Write(b []byte) (int, error) { return g.now.Write(b) }

func (g *gzipPacker) Close() error { return g.now.Close() }

func (g *gzipPacker) stored(on bool) (err error) {
	next := g.deflate
	if on {
		if g.wrap == nil {
			if g.wrap, err = gzip.NewWriterLevel(g.w, gzip.NoCompression); err != nil {
				return err
			}
		}
		next = g.wrap
	}
	if next == g.now {
		return nil
	}
	if err := g.now.Close(); err != nil {
		return err
	}
	next.Reset(g.w)
	g.now = next
	return nil
}

// zstdWindow is what readers of our archives need as memory, per reader.
const zstdWindow = 1 << 20

type zstdPacker struct{ *zstd.Encoder }

func packZstd(w io.Writer) (packer, error) {
	zw, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow))
	return zstdPacker{zw}, err
}

// stored does nothing: zstd itself is quick to see that there is nothing to be saved.
func (zstdPacker) stored(bool) error { return nil }

type zstdReader struct{ *zstd.Decoder }

func unpackZstd(r io.Reader) (io.Reader, error) {
	// With a concurrency of one there are no goroutines, and nothing that must be closed.
	zr, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxWindow))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return zstdReader{zr}, nil
}

func (z zstdReader) Read(b []byte) (int, error) {
	n, err := z.Decoder.Read(b)
	switch {
	case err == nil || err == io.EOF:
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		err = fmt.Errorf("zstd: %w: the archive wants a window of more than %d bytes: %w (compress it without --long and --ultra)", err, MaxWindow, ocm.ErrLimit)
	default:
		err = fmt.Errorf("zstd: %w", err)
	}
	return n, err
}
