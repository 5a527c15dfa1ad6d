// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

const tarBlock = 512

// tarFiles is a tar archive, read in place.
type tarFiles struct {
	f     archive
	idx   *index
	blobs map[digest.Digest]span
}

// archive is the open file.
type archive interface {
	io.ReaderAt
	io.Closer
}

// span is where a blob lies in the archive.
type span struct{ offset, size int64 }

func newTar(f archive, size int64) (listed, error) {
	in := io.NewSectionReader(f, 0, size)
	t := &tarFiles{f: f, blobs: map[digest.Digest]span{}}
	sc := newScan(in, func() int64 { n, _ := in.Seek(0, io.SeekCurrent); return n })
	for {
		m, err := sc.next()
		switch {
		case err == io.EOF:
			if t.idx == nil {
				return nil, sc.noIndex()
			}
			return t, nil
		case err != nil:
			return nil, err
		case m.size > size-m.offset:
			return nil, fmt.Errorf("%q: %d bytes at offset %d, but it ends at %d: %w", m.name, m.size, m.offset, size, ErrBroken)
		case m.name == indexName:
			if t.idx, err = sc.index(); err != nil {
				return nil, err
			}
		default:
			t.blobs[m.digest] = span{m.offset, m.size}
		}
	}
}

func (t *tarFiles) load() (*index, error) { return t.idx, nil }

func (t *tarFiles) Close() error { return t.f.Close() }

func (t *tarFiles) stat(d digest.Digest) (int64, error) {
	s, ok := t.blobs[d]
	if !ok {
		return 0, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
	}
	return s.size, nil
}

func (t *tarFiles) open(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	s, ok := t.blobs[d]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
	}
	return newSection(t.f, s), nil
}

func (t *tarFiles) sizes() map[digest.Digest]int64 {
	all := make(map[digest.Digest]int64, len(t.blobs))
	for d, s := range t.blobs {
		all[d] = s.size
	}
	return all
}

// section is a part of a file that can be read as a file can. It is an [oci.Extent].
type section struct{ *io.SectionReader }

func newSection(f io.ReaderAt, s span) section {
	return section{io.NewSectionReader(f, s.offset, s.size)}
}

func (section) Close() error { return nil }

// Extent implements [oci.Extent].
func (s section) Extent() (f *os.File, offset, size int64) {
	from, start, length := s.Outer()
	f, ok := from.(*os.File)
	if !ok {
		return nil, 0, 0
	}
	at, _ := s.Seek(0, io.SeekCurrent) // never fails
	return f, start + at, length - at
}

// Skip implements [oci.Extent]. The place in the file, which others share, does not move.
func (s section) Skip(n int64) { _, _ = s.Seek(n, io.SeekCurrent) }

// held is content in memory.
type held struct{ *bytes.Reader }

func (held) Close() error { return nil }

// member is an entry of an archive that belongs to the CTF: the index or a blob.
type member struct {
	name    string
	digest  digest.Digest // empty for the index
	ordinal int           // of all entries
	offset  int64         // of its first byte, in the unpacked archive
	size    int64
}

// pass gives the content of the member to fn, for no longer than fn runs.
func (m member) pass(ctx context.Context, r io.Reader, fn func(ociv1.Descriptor, io.Reader) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w := &window{ctx: ctx, r: r}
	defer w.shut()
	return fn(ociv1.Descriptor{MediaType: octetStream, Digest: m.digest, Size: m.size}, w)
}

// window is a reader that can be shut: a connection that broke may still be reading from it.
type window struct {
	ctx context.Context
	mu  sync.Mutex
	r   io.Reader // nil: shut
}

func (w *window) Read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.r == nil:
		return 0, fs.ErrClosed
	case w.ctx.Err() != nil:
		return 0, context.Cause(w.ctx)
	}
	n, err := w.r.Read(b)
	if err != nil && err != io.EOF {
		err = broken(err)
	}
	return n, err
}

func (w *window) shut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.r = nil
}

// scan walks through an archive once and refuses everything that a CTF has no need for, see [blob.TarName].
type scan struct {
	tr    *tar.Reader
	pos   func() int64 // of the reader below tr, which tr does not read ahead
	count int
	end   int64 // of the last entry's data
	zeros int64 // bytes that must follow it
	seen  map[string]bool

	strangers []string // some entries that no CTF has
	other     string   // the format that has one of them
}

func newScan(r io.Reader, pos func() int64) *scan {
	return &scan{tr: tar.NewReader(r), pos: pos, zeros: tarBlock, seen: map[string]bool{}}
}

// noTar reports whether an error of the first entry says that there is none: a header that is
// wrong or not whole.
func noTar(err error) bool {
	return errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)
}

// next returns the next member; io.EOF after the last one.
func (s *scan) next() (member, error) {
	for {
		hdr, err := s.tr.Next()
		if err == io.EOF {
			if s.pos() < s.end+s.zeros {
				return member{}, fmt.Errorf("the end is missing: %w", ErrBroken)
			}
			return member{}, io.EOF
		}
		if err != nil && s.count == 0 && noTar(err) {
			return member{}, errNoArchive
		}
		if err != nil {
			return member{}, fmt.Errorf("tar entry %d: %w", s.count, broken(err))
		}
		if s.count++; s.count > MaxArchiveEntries {
			return member{}, fmt.Errorf("more than %d tar entries: %w", MaxArchiveEntries, ocm.ErrLimit)
		}
		name, err := blob.TarName(hdr)
		if err != nil {
			return member{}, err
		}
		m := member{name: name, ordinal: s.count - 1, offset: s.pos()}
		s.end = m.offset
		if hdr.Typeflag != tar.TypeReg {
			continue
		}
		m.size = hdr.Size
		s.end += (hdr.Size + tarBlock - 1) / tarBlock * tarBlock
		var ours bool
		if m.digest, ours = blobDigest(name); !ours && name != indexName {
			s.strange(name)
			continue
		}
		if s.seen[name] {
			return member{}, fmt.Errorf("%q is there twice: %w", name, ocm.ErrInvalid)
		}
		s.seen[name] = true
		return m, nil
	}
}

// index parses the member that next returned.
func (s *scan) index() (*index, error) { return parseIndex(s.tr) }

// blobDigest tells the digest of a file in the blobs folder. Others do not count.
func blobDigest(name string) (digest.Digest, bool) {
	dir, file := path.Split(name)
	alg, hex, ok := strings.Cut(file, ".")
	if dir != blobsName+"/" || !ok {
		return "", false
	}
	d := digest.Digest(alg + ":" + hex)
	return d, blob.CheckDigest(d) == nil
}
