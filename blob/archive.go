// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"ocm"
)

// Limits of the archives that are read.
const (
	MaxArchive = 1 << 40 // bytes of an archive, as it is stored and after decompression
	MaxEntries = 100_000 // entries of an OCI layout or artifact set archive

	maxHeader  = 4 << 20 // bytes between the data of two entries: headers, long names, padding
	maxPadding = 1 << 20 // zero bytes after the end of an archive
	maxPath    = 4096    // bytes of an entry's name
)

// tarStream reads a tar archive front to back and keeps count: of its entries, of the bytes
// that stand between them and of the bytes in all. Nothing in an archive can make it read
// for longer than that, and the end of ctx stops it.
type tarStream struct {
	ctx   context.Context
	r     io.Reader
	tr    *tar.Reader
	pos   int64 // bytes read so far: after next, the offset of the entry's data
	end   int64 // where the entry's data end
	limit int64 // position behind which nothing is read
	max   int64 // the last limit of all
	left  int   // entries that are still accepted
}

// newTarStream reads r, which must be uncompressed. If r can seek, data that nobody asks for
// are skipped.
func newTarStream(ctx context.Context, r io.Reader, entries int) *tarStream {
	t := &tarStream{ctx: ctx, r: r, left: entries, max: MaxArchive}
	if s, ok := r.(io.Seeker); ok {
		t.tr = tar.NewReader(tarSeeker{t, s})
	} else {
		t.tr = tar.NewReader(t)
	}
	return t
}

// tarSeeker lets the tar reader skip data by seeking.
type tarSeeker struct {
	*tarStream
	s io.Seeker
}

func (t tarSeeker) Seek(offset int64, whence int) (int64, error) {
	n, err := t.s.Seek(offset, whence)
	if err == nil {
		t.pos = n
	}
	return n, err
}

// Read delivers the archive's bytes to the tar reader.
func (t *tarStream) Read(p []byte) (int, error) {
	if t.ctx.Err() != nil {
		return 0, context.Cause(t.ctx)
	}
	room := t.limit - t.pos
	if room <= 0 {
		return 0, fmt.Errorf("%d bytes without an entry's end, or too many in all: %w", t.pos, ocm.ErrLimit)
	}
	n, err := t.r.Read(p[:min(int64(len(p)), room)])
	t.pos += int64(n)
	return n, err
}

// next moves to the next entry; io.EOF after the last one, if nothing but padding follows.
// The entry's data are read from t.tr.
func (t *tarStream) next() (*tar.Header, error) {
	hdr, err := t.header()
	for err == nil && hdr.Typeflag == tar.TypeXGlobalHeader { // remarks for all entries, such as git's
		hdr, err = t.header()
	}
	if err == io.EOF {
		return nil, t.padding()
	}
	if err != nil {
		return nil, archiveError(err)
	}
	if isSparse(hdr) {
		// A few bytes of sparse map stand for any number of zeros, and such maps were a
		// source of faults in tar readers; nobody writes them into these archives.
		return nil, fmt.Errorf("archive entry %q is a sparse file, which is not accepted: %w", hdr.Name, ocm.ErrInvalid)
	}
	if hasData(hdr) {
		if hdr.Size > t.max {
			return nil, fmt.Errorf("archive entry %q has %d bytes, accepted are %d in all: %w", hdr.Name, hdr.Size, t.max, ocm.ErrLimit)
		}
		t.end += (hdr.Size + 511) &^ 511
		t.limit = min(t.end, t.max)
	}
	return hdr, nil
}

func (t *tarStream) header() (*tar.Header, error) {
	if t.left--; t.left < 0 {
		return nil, fmt.Errorf("too many entries: %w", ocm.ErrLimit)
	}
	t.limit = min(t.end+maxHeader, t.max)
	hdr, err := t.tr.Next()
	t.end = t.pos
	return hdr, err
}

// padding reads what follows the end mark, which must be a small number of zeros: anything
// else is a second archive that other readers might see.
func (t *tarStream) padding() error {
	t.limit = min(t.pos+maxPadding, t.max)
	buf := make([]byte, 4096)
	for {
		n, err := t.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return fmt.Errorf("archive: data follow its end: %w", ocm.ErrInvalid)
			}
		}
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return archiveError(err)
		}
	}
}

// limitReader is like io.LimitedReader, but what is too long is an error and does not just end.
type limitReader struct {
	r    io.Reader
	left int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, fmt.Errorf("the stream is longer than accepted: %w", ocm.ErrLimit)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return n - 1, fmt.Errorf("the stream is longer than accepted: %w", ocm.ErrLimit)
	}
	return n, err
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func hasData(h *tar.Header) bool {
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo:
		return false
	}
	return true
}

// archiveError adds ErrInvalid to errors that say that the bytes are no archive, and leaves
// those alone that come from reading them.
func archiveError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, gzip.ErrHeader),
		errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &corrupt):
		return fmt.Errorf("archive is damaged: %w: %w", err, ocm.ErrInvalid)
	}
	return fmt.Errorf("archive: %w", err)
}

// entryName returns an entry's clean, relative slash path; "." is the root. Leading "./" and
// a trailing slash are accepted, "..", absolute and overlong names are not: names that two
// readers could understand differently have no place in an archive.
func entryName(name string) (string, error) {
	if len(name) > maxPath {
		return "", fmt.Errorf("archive entry %.80q…: the name has %d bytes, accepted are %d: %w", name, len(name), maxPath, ocm.ErrLimit)
	}
	if name == "" || strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("archive entry %q: expected a relative path: %w", name, ocm.ErrInvalid)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("archive entry %q: %q in a path is not accepted: %w", name, "..", ocm.ErrInvalid)
		}
	}
	return path.Clean(name), nil
}
