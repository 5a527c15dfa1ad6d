// SPDX-License-Identifier: Apache-2.0

package componentarchive

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

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
)

// packed is a component archive in one file.
type packed struct {
	f    *os.File
	size int64
	gz   bool
}

func openTar(path string) (*packed, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w", err, ocm.ErrDenied)
		}
		return nil, err
	}
	p := &packed{f: f}
	info, err := f.Stat()
	if err == nil {
		p.size = info.Size()
		_, p.gz, err = blob.Gunzip(io.NewSectionReader(f, 0, p.size))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

func (p *packed) Close() error { return p.f.Close() }

// list reads the archive once: of one that is not compressed the headers only.
func (p *packed) list() (raw []byte, l *listing, err error) {
	s, err := p.scan()
	if err != nil {
		return nil, nil, err
	}
	l = newListing()
	held := int64(0)
	for {
		f, err := s.next()
		switch {
		case err == io.EOF && raw == nil:
			return nil, nil, ErrNoDescriptor
		case err == io.EOF:
			return raw, l, s.drain()
		case err != nil:
			return nil, nil, err
		case f.name == descriptor.FileName && raw != nil:
			return nil, nil, fmt.Errorf("%s is there twice: %w", f.name, ocm.ErrInvalid)
		case f.name == descriptor.FileName:
			if raw, err = blob.ReadDocument(s.tr, f.size, descriptor.MaxBytes); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", f.name, invalid(err))
			}
			continue
		}
		f.name = path.Base(f.name)
		if p.gz && f.size <= MaxSmall && held+f.size <= MaxHeld {
			held += f.size
			f.data = make([]byte, f.size)
			if _, err := io.ReadFull(s.tr, f.data); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", f.name, invalid(err))
			}
		}
		if err := l.add(f); err != nil {
			return nil, nil, err
		}
	}
}

func (p *packed) open(ctx context.Context, f file) (io.ReadCloser, error) {
	switch {
	case f.data != nil:
		return memory{bytes.NewReader(f.data)}, nil
	case !p.gz:
		return section{io.NewSectionReader(p.f, f.offset, f.size)}, nil
	}
	s, err := p.scan()
	if err != nil {
		return nil, err
	}
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		at, err := s.next()
		if err == io.EOF || err == nil && at.ordinal >= f.ordinal && (path.Base(at.name) != f.name || at.size != f.size || at.ordinal != f.ordinal) {
			return nil, fmt.Errorf("%s: the archive has changed since it was opened: %w", f.name, ocm.ErrConflict)
		}
		if err != nil {
			return nil, err
		}
		if at.ordinal == f.ordinal {
			return &stream{ctx: ctx, r: s.tr}, nil
		}
	}
}

// scan begins to read the archive.
func (p *packed) scan() (*scan, error) {
	in := io.NewSectionReader(p.f, 0, p.size)
	if !p.gz { // a tar reader that can seek skips content
		pos := func() int64 { n, _ := in.Seek(0, io.SeekCurrent); return n }
		return &scan{tr: tar.NewReader(in), pos: pos, limit: p.size}, nil
	}
	plain, _, err := blob.Gunzip(in)
	if err != nil {
		return nil, err
	}
	c := &counter{r: plain}
	return &scan{tr: tar.NewReader(c), pos: func() int64 { return c.n }, rest: c, limit: blob.MaxArchive}, nil
}

// scan walks through an archive once.
type scan struct {
	tr    *tar.Reader
	pos   func() int64 // of the reader below tr, which tr does not read ahead
	rest  io.Reader    // of a compressed archive: what follows
	limit int64        // bytes of the archive, unpacked
	count int
}

// next returns the next file that belongs to a component archive, with the name it has there; io.EOF at the end.
func (s *scan) next() (file, error) {
	for {
		hdr, err := s.tr.Next()
		if err == io.EOF {
			return file{}, io.EOF
		}
		if err != nil && s.count == 0 && (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return file{}, fmt.Errorf("neither a folder nor a tar archive: %w", ocm.ErrInvalid)
		}
		if err != nil {
			return file{}, fmt.Errorf("tar entry %d: %w", s.count, invalid(err))
		}
		if s.count++; s.count > MaxEntries {
			return file{}, fmt.Errorf("more than %d tar entries: %w", MaxEntries, ocm.ErrLimit)
		}
		name, err := blob.TarName(hdr)
		if err != nil {
			return file{}, err
		}
		f := file{name: name, ordinal: s.count - 1, offset: s.pos(), size: hdr.Size}
		if f.size > s.limit-f.offset {
			return file{}, fmt.Errorf("%.200q: %d bytes at offset %d, but the archive ends at %d: it is truncated: %w", name, f.size, f.offset, s.limit, ocm.ErrInvalid)
		}
		if hdr.Typeflag == tar.TypeReg && (name == descriptor.FileName || path.Dir(name) == blobsName) {
			return f, nil
		}
	}
}

// drain reads what follows the last entry of a compressed archive, up to the checksum.
func (s *scan) drain() error {
	if s.rest == nil {
		return nil
	}
	n, err := io.CopyN(io.Discard, s.rest, maxPadding+1)
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return invalid(err)
	}
	return fmt.Errorf("%d bytes and more after the last tar entry, accepted are %d: %w", n, maxPadding, ocm.ErrLimit)
}

// counter knows how much was read, and ends what does not.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	if c.n > blob.MaxArchive {
		return 0, fmt.Errorf("more than %d bytes after decompression: %w", int64(blob.MaxArchive), ocm.ErrLimit)
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// section is a part of a file.
type section struct{ *io.SectionReader }

func (section) Close() error { return nil }

// stream is content of a compressed archive.
type stream struct {
	ctx context.Context
	r   io.Reader // nil after Close
}

func (s *stream) Read(b []byte) (int, error) {
	switch {
	case s.r == nil:
		return 0, fs.ErrClosed
	case s.ctx.Err() != nil:
		return 0, context.Cause(s.ctx)
	}
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF {
		err = invalid(err)
	}
	return n, err
}

func (s *stream) Close() error {
	s.r = nil
	return nil
}

// invalid marks an error as the fault of the archive, unless it says more already.
func invalid(err error) error {
	var pathErr *fs.PathError
	if errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrLimit) || errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
}
