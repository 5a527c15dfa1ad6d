// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // the hash of git; what a component signs is SHA-256
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sort"

	"github.com/klauspost/compress/zlib"

	"ocm"
)

// Limits of what a server sends for one commit.
const (
	MaxObjects = 1_000_000 // files and folders; with all their history where a server cannot leave it out
	MaxBytes   = 64 << 30  // of all objects, decompressed
)

// Types of objects in a pack.
const (
	commitObject = 1
	treeObject   = 2
	blobObject   = 3
	tagObject    = 4
	ofsDelta     = 6 // a change of an object that begins so many bytes before
	refDelta     = 7 // a change of the object of this name
)

var typeNames = map[byte]string{commitObject: "commit", treeObject: "tree", blobObject: "blob", tagObject: "tag"}

// id is the name of an object: the hash of its type, size and bytes. A SHA-1 fills the first 20 bytes.
type id [sha256.Size]byte

// store has the objects of one pack, decompressed in a temporary file. git sends them in any order and as
// changes of each other, while an archive needs them in the order of their names.
type store struct {
	file    *os.File
	visible bool // the file has its name still
	w       *bufio.Writer
	n       int64 // bytes in the file
	newHash func() hash.Hash
	objects []object
	named   map[id]int
	max     int64 // of n
}

// object is a part of the file. Changes are objects that no name leads to.
type object struct {
	name     id // of changes: none
	kind     byte
	off, len int64
	pack     int64 // where it begins in the pack
}

// newStore makes an empty store. Its file has no name any more where the system allows that, so that
// nothing stays behind whatever happens.
func newStore(env *ocm.Env, sha256Format bool) (*store, error) {
	f, err := os.CreateTemp(env.TempDir(), "ocm-git-*")
	if err != nil {
		return nil, err
	}
	visible := os.Remove(f.Name()) != nil // on Windows; there Close does it
	s := &store{file: f, visible: visible, w: bufio.NewWriterSize(f, buffer), newHash: sha1.New, named: map[id]int{}, max: MaxBytes}
	if sha256Format {
		s.newHash = sha256.New
	}
	return s, nil
}

func (s *store) Close() error {
	err := s.file.Close()
	if s.visible {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	return err
}

// source counts the bytes that are taken from a pack. Decompression reads it byte by byte and
// therefore no further than it must.
type source struct {
	r *bufio.Reader
	n int64
}

func (s *source) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.n++
	}
	return b, err
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.n += int64(n)
	return n, err
}

// read takes all objects out of a pack, by gitformat-pack. Its checksum is not looked at: each object is
// known by the hash of what arrived.
func (s *store) read(ctx context.Context, r io.Reader) error {
	src := &source{r: bufio.NewReaderSize(r, buffer)}
	head := make([]byte, 12)
	if _, err := io.ReadFull(src, head); err != nil {
		return cut(err)
	}
	if v := binary.BigEndian.Uint32(head[4:]); string(head[:4]) != "PACK" || v != 2 && v != 3 {
		return fmt.Errorf("expected a pack, found %q: %w", head, ocm.ErrInvalid)
	}
	count := binary.BigEndian.Uint32(head[8:])
	if count > MaxObjects {
		return fmt.Errorf("%d objects, accepted are %d: %w", count, MaxObjects, ocm.ErrLimit)
	}
	d := deltas{store: s, onIndex: map[int][]int{}, onID: map[id][]int{}}
	var zr io.ReadCloser
	for i := range int(count) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		if zr, err = d.readObject(src, zr); err != nil {
			return fmt.Errorf("object %d of %d: %w", i+1, count, cut(err))
		}
	}
	return d.resolve(ctx)
}

// readObject takes the next object out of a pack. zr is the decompressor of the one before.
func (d *deltas) readObject(src *source, zr io.ReadCloser) (io.ReadCloser, error) {
	o := object{pack: src.n, off: d.n}
	var err error
	if o.kind, o.len, err = readHeader(src); err != nil {
		return zr, err
	}
	if err := d.room(o.len); err != nil {
		return zr, err
	}
	index := len(d.objects)
	switch o.kind {
	case ofsDelta:
		err = d.waitForOffset(src, o.pack, index)
	case refDelta:
		var base id
		_, err = io.ReadFull(src, base[:d.newHash().Size()])
		d.onID[base] = append(d.onID[base], index)
	case commitObject, treeObject, blobObject, tagObject:
	default:
		err = fmt.Errorf("type %d: %w", o.kind, ocm.ErrInvalid)
	}
	if err != nil {
		return zr, err
	}
	if zr, err = unzip(src, zr); err != nil {
		return zr, invalid(err)
	}
	h := d.hash(o.kind, o.len)
	n, err := io.Copy(io.MultiWriter(d.w, h), io.LimitReader(zr, o.len+1))
	if d.n += n; err != nil || n != o.len {
		return zr, fmt.Errorf("expected %d bytes, found %d: %w", o.len, n, invalid(err))
	}
	d.add(o, h)
	return zr, nil
}

// invalid is what a decompressor or a short text says.
func invalid(err error) error {
	if err == nil {
		return ocm.ErrInvalid
	}
	return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
}

func unzip(src *source, zr io.ReadCloser) (io.ReadCloser, error) {
	if zr == nil {
		return zlib.NewReader(src)
	}
	if re, ok := zr.(zlib.Resetter); ok {
		return zr, re.Reset(src, nil)
	}
	return zlib.NewReader(src)
}

// readHeader reads an object's type and size: three bits, and seven bits per byte, the lowest first.
func readHeader(r io.ByteReader) (kind byte, size int64, err error) {
	b, err := r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	kind, size = b>>4&7, int64(b&15)
	for shift := 4; b&0x80 != 0; shift += 7 {
		if b, err = r.ReadByte(); err != nil {
			return 0, 0, err
		}
		if shift > 55 {
			return 0, 0, fmt.Errorf("size of an object: %w", ocm.ErrLimit)
		}
		size |= int64(b&0x7f) << shift
	}
	return kind, size, nil
}

func (s *store) room(size int64) error {
	if size < 0 || size > s.max-s.n {
		return fmt.Errorf("all objects together have more than %d bytes: %w", s.max, ocm.ErrLimit)
	}
	return nil
}

// hash begins the hash of an object; of a change it means nothing.
func (s *store) hash(kind byte, size int64) hash.Hash {
	h := s.newHash()
	fmt.Fprintf(h, "%s %d\x00", typeNames[kind], size)
	return h
}

func (s *store) add(o object, h hash.Hash) {
	if typeNames[o.kind] != "" {
		h.Sum(o.name[:0])
		s.named[o.name] = len(s.objects)
	}
	s.objects = append(s.objects, o)
}

func (s *store) section(o object) *io.SectionReader {
	return io.NewSectionReader(s.file, o.off, o.len)
}

// find returns an object by the hash that it was asked for by.
func (s *store) find(name id, kind byte) (*io.SectionReader, error) {
	i, ok := s.named[name]
	if !ok {
		return nil, fmt.Errorf("%s %s is not among the objects that came: %w", typeNames[kind], s.text(name), ocm.ErrDigest)
	}
	if o := s.objects[i]; o.kind != kind {
		return nil, fmt.Errorf("object %s: expected a %s, found a %s: %w", s.text(name), typeNames[kind], typeNames[o.kind], ocm.ErrInvalid)
	}
	return s.section(s.objects[i]), nil
}

func (s *store) text(name id) string { return hex.EncodeToString(name[:s.newHash().Size()]) }

// deltas are the changes in a pack that wait for what they change.
type deltas struct {
	*store
	onIndex map[int][]int
	onID    map[id][]int
}

// waitForOffset makes a change wait for the object that begins so far before it.
func (d *deltas) waitForOffset(r io.ByteReader, at int64, index int) error {
	back, err := readBack(r, at)
	if err != nil {
		return err
	}
	base := sort.Search(len(d.objects), func(i int) bool { return d.objects[i].pack >= at-back })
	if base == len(d.objects) || d.objects[base].pack != at-back {
		return fmt.Errorf("a change of something that is not there: %w", ocm.ErrInvalid)
	}
	d.onIndex[base] = append(d.onIndex[base], index)
	return nil
}

// readBack reads how far before at the base of a change begins.
func readBack(r io.ByteReader, at int64) (int64, error) {
	b, err := r.ReadByte()
	back := int64(b & 0x7f)
	for err == nil && b&0x80 != 0 && back <= at {
		b, err = r.ReadByte()
		back = (back+1)<<7 | int64(b&0x7f)
	}
	if err == nil && (back <= 0 || back > at) {
		err = fmt.Errorf("a change of something outside of the pack: %w", ocm.ErrInvalid)
	}
	return back, err
}

// resolve makes objects of all changes, each as soon as its base is one. A change of a change of something
// that never comes stays a change, which nothing can lead to.
func (d *deltas) resolve(ctx context.Context) error {
	if err := d.w.Flush(); err != nil {
		return err
	}
	type job struct{ delta, base int }
	var jobs []job
	ready := func(as, i int) { // as: the entry of the pack that object i was made of
		name := d.objects[i].name
		for _, delta := range slices.Concat(d.onIndex[as], d.onID[name]) {
			jobs = append(jobs, job{delta, i})
		}
		delete(d.onIndex, as)
		delete(d.onID, name)
	}
	for i, o := range d.objects {
		if typeNames[o.kind] != "" {
			ready(i, i)
		}
	}
	for len(jobs) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		j := jobs[len(jobs)-1]
		jobs = jobs[:len(jobs)-1]
		if err := d.apply(j.delta, j.base); err != nil {
			return fmt.Errorf("object %d: %w", j.delta+1, invalid(err))
		}
		ready(j.delta, len(d.objects)-1)
	}
	return nil
}

// apply makes an object of a change and its base.
func (s *store) apply(delta, base int) error {
	from := s.objects[base]
	r := bufio.NewReaderSize(s.section(s.objects[delta]), 4096)
	src, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	if src != uint64(from.len) || size > MaxBytes {
		return fmt.Errorf("a change of %d bytes, of an object of %d", src, from.len)
	}
	o := object{kind: from.kind, off: s.n, len: int64(size), pack: -1}
	if err := s.room(o.len); err != nil {
		return err
	}
	h := s.hash(o.kind, o.len)
	out := &bounded{w: io.MultiWriter(s.w, h), n: o.len}
	for err == nil {
		err = instruction(out, r, s.section(from))
	}
	if err != io.EOF || out.n != 0 {
		return fmt.Errorf("a change that does not fit: %w", cut(err))
	}
	s.n += o.len
	s.add(o, h)
	return s.w.Flush()
}

// instruction does one step of a change: copy from the base, or take what follows. io.EOF after the last.
func instruction(w io.Writer, r *bufio.Reader, base io.ReaderAt) error {
	op, err := r.ReadByte()
	if err != nil {
		return err
	}
	if op&0x80 == 0 {
		if op == 0 {
			return ocm.ErrInvalid
		}
		_, err := io.CopyN(w, r, int64(op))
		return cut(err)
	}
	var v [7]byte // four bytes of offset, three of size, those that are not zero
	for i := range v {
		if op>>i&1 == 1 {
			if v[i], err = r.ReadByte(); err != nil {
				return cut(err)
			}
		}
	}
	off := int64(binary.LittleEndian.Uint32(v[:4]))
	n := int64(v[4]) | int64(v[5])<<8 | int64(v[6])<<16
	if n == 0 {
		n = 0x10000
	}
	_, err = io.CopyN(w, io.NewSectionReader(base, off, n), n)
	return cut(err)
}

// bounded fails where more is written than was announced.
type bounded struct {
	w io.Writer
	n int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.n -= int64(len(p)); b.n < 0 {
		return 0, ocm.ErrLimit
	}
	return b.w.Write(p)
}
