// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// MediaTypeLayout and MediaTypeLayoutGzip are the media types of OCI image layout archives.
const (
	MediaTypeLayout     = "application/vnd.ocm.software.oci.layout.v1+tar"
	MediaTypeLayoutGzip = MediaTypeLayout + "+gzip"
)

// Limits of what is held in memory of an OCI layout archive.
const (
	maxKeptEntry = 1 << 20  // bytes of one entry
	maxKept      = 32 << 20 // bytes of all of them
)

// Files of an archive that list its artifacts, in the order in which they are looked for: an
// OCI layout or a newer artifact set, the oldest form of an artifact set, and the name that
// the specification gives to the latter.
var indexNames = []string{ociv1.ImageIndexFile, "artifact-descriptor.json", "artifact-set-descriptor.json"}

// IsLayout reports whether a media type says that a blob is an archive of an OCI artifact with
// everything it consists of: an OCI image layout, or one of the older artifact sets; plain or
// compressed with gzip.
func IsLayout(mediaType string) bool {
	base, _, _ := strings.Cut(mediaType, ";")
	base, isTar := strings.CutSuffix(strings.TrimSuffix(strings.TrimSpace(base), "+gzip"), "+tar")
	if !isTar {
		return false
	}
	switch base {
	case "application/vnd.ocm.software.oci.layout.v1",
		"application/vnd.oci.image.manifest.v1", "application/vnd.oci.image.index.v1",
		"application/vnd.docker.distribution.manifest.v2", "application/vnd.docker.distribution.manifest.list.v2":
		return true
	}
	return false
}

// Layout opens an archive as the graph of its main artifact: Root is that artifact's manifest or
// index, From delivers it and everything else in the archive by digest. It understands OCI
// image layouts and all three forms of artifact sets, as tar or compressed with gzip, by their
// bytes and not by their media type.
//
// The main artifact is the one that the annotation software.ocm/main of the index names; else
// the only one in the index; else the only one with the annotation
// org.opencontainers.image.ref.name. If there is no such one, the error lists the candidates.
//
// Nothing is copied to disk. From an uncompressed archive whose reader is an io.ReaderAt,
// entries are read in place. Other archives are read once to the end by Layout, which keeps
// entries of up to 1 MiB, 32 MiB in all; larger ones are delivered by reading the archive again,
// forward as long as they are asked for in the archive's order. The context of a Fetch bounds
// the life of the stream that it began.
//
// Nothing is verified here: read by [Open] or [ReadAll], and call [CheckLayout] for the archive
// as a whole. [ocm.ErrInvalid] for a malformed archive: links, duplicates and sparse files in
// it are; [ocm.ErrLimit] for one beyond [MaxArchive] or [MaxEntries].
func Layout(ctx context.Context, archive ocm.Content) (ocm.Content, error) {
	l := newLayout(archive)
	if err := l.scan(ctx, l.entries); err != nil {
		return ocm.Content{}, fmt.Errorf("%s: %w", l, err)
	}
	main, err := l.main(ctx)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("%s: %w", l, err)
	}
	return ocm.Content{Root: main, From: l}, nil
}

// layout is an opened archive: which blob stands where.
type layout struct {
	archive ocm.Content
	inPlace bool // archive's reader is an io.ReaderAt of a plain tar
	indexes map[string][]byte
	blobs   map[digest.Digest]span
	kept    map[digest.Digest][]byte
	room    int64 // for kept
	last    int64 // where the last blob ends that is not kept

	mu   sync.Mutex
	idle *cursor
}

// span is a piece of the uncompressed archive.
type span struct{ off, size int64 }

func newLayout(archive ocm.Content) *layout {
	return &layout{
		archive: archive, room: maxKept,
		indexes: map[string][]byte{}, blobs: map[digest.Digest]span{}, kept: map[digest.Digest][]byte{},
	}
}

// String names the archive for messages.
func (l *layout) String() string {
	if l.archive.Root.Digest == "" {
		return "OCI layout"
	}
	return "OCI layout " + l.archive.Root.Digest.String()
}

// taker is told of each blob of an archive, which it need not read.
type taker func(d ociv1.Descriptor, r io.Reader) error

// scan finds out what stands where: entries reads the archive from its beginning to its end.
func (l *layout) scan(ctx context.Context, entries func(*tarStream, taker) error) error {
	rc, err := l.archive.Open(ctx)
	if err != nil {
		return err
	}
	defer rc.Close()
	if section := plainSection(rc, l.archive.Root.Size); section != nil {
		l.inPlace = true
		return entries(newTarStream(ctx, section, MaxEntries), func(ociv1.Descriptor, io.Reader) error { return nil })
	}
	plain, _, err := Gunzip(&limitReader{ctxReader{ctx, rc}, MaxArchive})
	if err != nil {
		return err
	}
	return entries(newTarStream(ctx, plain, MaxEntries), l.keepSmall)
}

// plainSection returns the uncompressed tar in rc if its bytes can be read at any offset, else nil.
func plainSection(rc io.Reader, size int64) *io.SectionReader {
	at, ok := rc.(io.ReaderAt)
	if !ok {
		return nil
	}
	if s, ok := rc.(io.Seeker); ok && size <= 0 {
		end, err := s.Seek(0, io.SeekEnd)
		if _, back := s.Seek(0, io.SeekStart); err != nil || back != nil {
			return nil
		}
		size = end
	}
	magic := make([]byte, 2)
	if n, _ := at.ReadAt(magic, 0); size <= 0 || isGzip(magic[:n]) {
		return nil
	}
	return io.NewSectionReader(at, 0, size)
}

// keepSmall holds on to small blobs: manifests, configurations and the like.
func (l *layout) keepSmall(d ociv1.Descriptor, r io.Reader) error {
	if d.Size > maxKeptEntry || d.Size > l.room {
		at := l.blobs[d.Digest]
		l.last = at.off + at.size
		return nil
	}
	raw := make([]byte, d.Size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return archiveError(err)
	}
	l.kept[d.Digest] = raw
	l.room -= d.Size
	return nil
}

// entries reads the archive from its beginning to its end, notes where its blobs are and gives
// each of them to take, which need not read it.
func (l *layout) entries(t *tarStream, take taker) error {
	for {
		hdr, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := entryName(hdr.Name)
		if err != nil {
			return err
		}
		if slices.Contains(indexNames, name) {
			err = l.addIndex(name, hdr, t.tr)
		} else if d := blobDigest(name); d != "" {
			err = l.addBlob(d, hdr, t, take)
		}
		if err != nil {
			return fmt.Errorf("archive entry %q: %w", hdr.Name, err)
		}
	}
}

// blobDigest reads the two forms of blob names, blobs/sha256/<hex> and blobs/sha256.<hex>. It is
// empty for all others, which are of no interest.
func blobDigest(name string) digest.Digest {
	rest, ok := strings.CutPrefix(name, "blobs/")
	if !ok {
		return ""
	}
	i := strings.IndexAny(rest, "/.")
	if i < 0 {
		return ""
	}
	d := digest.Digest(rest[:i] + ":" + rest[i+1:])
	if CheckDigest(d) != nil {
		return ""
	}
	return d
}

func (l *layout) addIndex(name string, hdr *tar.Header, r io.Reader) error {
	switch _, dup := l.indexes[name]; {
	case hdr.Typeflag != tar.TypeReg:
		return fmt.Errorf("expected a regular file: %w", ocm.ErrInvalid)
	case dup:
		return fmt.Errorf("the archive has this entry twice: %w", ocm.ErrInvalid)
	case hdr.Size > MaxManifest:
		return fmt.Errorf("%d bytes, accepted are %d: %w", hdr.Size, MaxManifest, ocm.ErrLimit)
	}
	raw := make([]byte, hdr.Size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return archiveError(err)
	}
	l.indexes[name] = raw
	return nil
}

func (l *layout) addBlob(d digest.Digest, hdr *tar.Header, t *tarStream, take taker) error {
	switch _, dup := l.blobs[d]; {
	case hdr.Typeflag != tar.TypeReg:
		// A link could name a file anywhere, and a blob is what its digest says, not a name.
		return fmt.Errorf("expected a regular file: %w", ocm.ErrInvalid)
	case dup:
		return fmt.Errorf("the archive has blob %s twice: %w", d, ocm.ErrInvalid)
	}
	l.blobs[d] = span{t.pos, hdr.Size}
	return take(ociv1.Descriptor{Digest: d, Size: hdr.Size}, t.tr)
}

// Fetch delivers a blob of the archive.
func (l *layout) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	at, ok := l.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s in %s: %w", d.Digest, l, ocm.ErrNotFound)
	}
	if d.Size >= 0 && d.Size != at.size {
		return nil, fmt.Errorf("blob %s in %s: expected %d bytes, found %d: %w", d.Digest, l, d.Size, at.size, ocm.ErrDigest)
	}
	if raw, ok := l.kept[d.Digest]; ok {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}
	return l.piece(ctx, at)
}

// piece opens a piece of the archive.
func (l *layout) piece(ctx context.Context, at span) (io.ReadCloser, error) {
	if !l.inPlace {
		return l.stream(ctx, at)
	}
	rc, err := l.archive.Open(ctx)
	if err != nil {
		return nil, err
	}
	ra, ok := rc.(io.ReaderAt)
	if !ok {
		rc.Close()
		return nil, fmt.Errorf("%s: expected a reader with offsets again: %w", l, ocm.ErrConflict)
	}
	return sectionCloser{io.NewSectionReader(ra, at.off, at.size), rc}, nil
}

// sectionCloser is a piece of an open file, with all that can be done to it.
type sectionCloser struct {
	*io.SectionReader
	io.Closer
}
