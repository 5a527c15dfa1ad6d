// SPDX-License-Identifier: Apache-2.0

// Package ctf reads and writes the Common Transport Format: OCI repositories in a folder or
// in one file, to be carried where no network goes.
//
// A CTF is an index and a flat heap of blobs:
//
//	artifact-index.json     which manifest has which tag in which repository
//	blobs/sha256.<hex>      every blob, config, manifest and index
//
// [Open] takes it in several forms and gives the same answers for each. A directory can be
// read and written, by several processes at once. A tar archive is read in place. A compressed
// tar archive (gzip or zstd) cannot be entered in the middle: opening reads it once from front to
// back and remembers small content; large content streams from the archive again, which is fast
// for those who take it in the archive's order (see [Store.Sequential]). Archives are never
// unpacked. [Read] and [Write] are for archives that go through a pipe.
//
// Archives compressed by zstd (.tar.zst) are small and quick, but other tools do not know them.
//
// # Writing a directory
//
// A blob is written beside its final place, hashed on the way, and renamed when digest and
// size are right; so what can be seen is whole. A tag becomes visible by renaming a new index
// over the old one, as the last thing. The index
// is read again, changed and replaced under an advisory lock (flock) on the directory itself:
// there is no lock file, and no update is lost. Readers take no lock. Killing a writer at any
// moment leaves a readable CTF, and at worst a hidden temporary file that a later writer removes.
//
// Tags and manifests are taken out by a new index, too. A blob is removed under the same lock, and only if no manifest of the
// index on the disk needs it. Nothing is collected by itself: what nobody needs any more stays until it is deleted, or until
// [Store.Clean].
//
// # Writing an archive
//
// An archive is written by [Store.Finish], in one go from front to back: the index, all manifests, the
// descriptors of component versions, then everything else, each group in the order of the digests. So it
// can be read from a pipe in one pass. What is added before is only noted: small content in
// memory, content of unknown digest in a nameless temporary file, everything else not at all, it is
// read from its source while the archive is written. The archive is made beside the old one and
// renamed over it when all of it was compared (and, see [Store.Durable], is on the disk). The same content gives the
// same bytes; only what a pipe brings in an order of its own keeps that. Content that nothing refers
// to any more stays.
//
// # Reading from strangers
//
// Digests become file names only after they were checked, repository names and tags never
// become paths, links are not followed, and every count is bounded by a constant below. The
// bytes themselves are not verified here: those who read them do so (package blob).
package ctf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// Names inside a CTF.
const (
	indexName = "artifact-index.json"
	blobsName = "blobs"
)

// Limits. What exceeds them is refused with [ocm.ErrLimit].
const (
	MaxIndex          = 64 << 20 // bytes of artifact-index.json: about 600,000 entries at most
	MaxName           = 1024     // bytes of a repository name, a tag or a media type in the index
	MaxArchiveEntries = 250_000  // entries of a tar archive
	MaxSmall          = 1 << 20  // bytes of a blob that a compressed archive keeps in memory …
	MaxHeld           = 32 << 20 // … and of all of them together
	MaxPadding        = 16 << 20 // bytes after the last entry of a compressed archive
	MaxWindow         = 32 << 20 // bytes that zstd looks back
)

// Store is an [oci.Store] and [oci.RepoLister] over a CTF. It may be used concurrently.
type Store struct {
	path  string
	files files
	out   sink     // nil if this form cannot be written
	over  *overlay // nil if this is no archive that can be written; else it is files, too
	form  form     // of an archive that is written

	referrers referrers
	family    family
}

// index returns an index in which a repository can be looked up.
func (s *Store) index(repository string) (*index, error) {
	if s.over != nil {
		return s.over.of(repository)
	}
	return s.files.load()
}

// sink returns what takes the content of a repository; nil if it cannot be written.
func (s *Store) sink(repository string) sink {
	if s.over != nil {
		return repoSink{s.over, repository}
	}
	return s.out
}

// sink is the half of a form that can be written. Digests and names were checked before.
type sink interface {
	// push stores a blob as [oci.Repo.Push] does.
	push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error)
	// place stores a blob as [oci.Placer] does.
	place(ctx context.Context, d ociv1.Descriptor, open func(context.Context) (io.ReadCloser, error)) (oci.How, error)
	// update replaces the index by what fn makes of it, as one step. fn returns its argument if
	// nothing changes. With visible set, what was pushed before is on the disk, if [Store.Durable] asked for that.
	update(ctx context.Context, visible bool, fn func(*index) (*index, error)) error
}

// files is what the forms of a CTF have in common: an index, and blobs by digest. Digests
// were checked before.
type files interface {
	// load returns the index as it is now.
	load() (*index, error)
	// stat returns the size of a blob, [ocm.ErrNotFound] if it is not there.
	stat(d digest.Digest) (int64, error)
	// open opens a blob, [ocm.ErrNotFound] if it is not there.
	open(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	io.Closer
}

// Open opens the CTF at path: a directory, or a file that is a tar archive, compressed or not,
// which its first bytes tell. A path that does not exist is an empty CTF, which writing
// creates; its parent must exist ([ocm.ErrNotFound]). If it ends with .tar, .tgz, .tar.gz or
// .tar.zst it will be an archive of that form, else a directory.
//
// What is written to an archive is in the file after [Store.Finish] and not before.
//
// A broken archive or index is [ocm.ErrInvalid], one beyond the limits [ocm.ErrLimit]. The
// index of a directory is not read yet. Of a tar the headers are read; a compressed one is read
// to its end.
func Open(path string) (*Store, error) {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return create(path)
	case err != nil:
		return nil, fmt.Errorf("CTF %s: %w", path, explain(err))
	case fi.IsDir():
		return openDirectory(path), nil
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("CTF %s: %w", path, noFile(fi))
	}
	return openArchive(path)
}

// Durable lets writing wait for the disk, so that what is visible survives a loss of power, and a medium
// that is unplugged. Otherwise, as with every copy of files, the system writes when it likes: the end
// of this process, however it comes, does no harm. It returns s and is called before anything is written.
func (s *Store) Durable() *Store {
	if d, ok := s.out.(*directory); ok {
		d.durable = true
	}
	if s.over != nil {
		if p, ok := s.over.to.(*place); ok {
			p.durable = true
		}
	}
	return s
}

// Standing says that the store is open for as long as a program runs, as that of a registry is, and not for one piece of work.
// Then it does not keep [Store.Clean] away by having written: what is pushed to it is protected by its age alone. It returns s and is called before anything is written.
func (s *Store) Standing() *Store {
	if d, ok := s.out.(*directory); ok {
		d.standing = true
	}
	return s
}

// Write returns an empty CTF that [Store.Finish] writes to w, as a tar archive. Content that is
// large and of unknown digest waits in a temporary file in the folder temp.
func Write(w io.Writer, temp string) *Store {
	idx, _ := newIndex(nil) // nothing can be wrong with it
	o := newOverlay(&outlet{w: w, temp: temp}, nil, idx)
	o.changes = 1 // an archive without content is one, too
	return &Store{path: pipeName, files: o, over: o}
}

func openDirectory(path string) *Store {
	d := newDirectory(path)
	return &Store{path: path, files: d, out: d}
}

// create opens a CTF that is not there yet.
func create(path string) (*Store, error) {
	if err := mayCreate(path); err != nil {
		return nil, err
	}
	form, ok := formOf(path)
	if !ok {
		return openDirectory(path), nil
	}
	idx, err := newIndex(nil)
	if err != nil {
		return nil, err
	}
	o := newOverlay(&place{path: path}, nil, idx)
	return &Store{path: path, files: o, over: o, form: form}, nil
}

// mayCreate tells early what the first write would stumble over.
func mayCreate(path string) error {
	parent := filepath.Dir(path)
	fi, err := os.Stat(parent)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("CTF %s: %w, and neither is its parent folder %s: create that first", path, ocm.ErrNotFound, parent)
	case err != nil:
		return fmt.Errorf("CTF %s: %w", path, explain(err))
	case !fi.IsDir():
		return fmt.Errorf("CTF %s: %s is not a folder: %w", path, parent, ocm.ErrInvalid)
	}
	return nil
}

// openArchive opens a file. If it is written, it keeps the form that its name says; without such a
// name, the form that it has.
func openArchive(path string) (*Store, error) {
	real, err := filepath.EvalSymlinks(path) // renaming over a link would leave the file as it is
	if err != nil {
		return nil, fmt.Errorf("CTF %s: %w", path, explain(err))
	}
	f, err := os.OpenFile(real, os.O_RDONLY|openSafely, 0)
	if err != nil {
		return nil, fmt.Errorf("CTF %s: %w", path, explain(err))
	}
	s, err := newArchiveStore(path, real, f)
	if err != nil {
		defer f.Close()
		if errors.Is(err, errNoArchive) {
			return nil, noArchive(path, f)
		}
		return nil, fmt.Errorf("CTF archive %s: %w", path, err)
	}
	return s, nil
}

func newArchiveStore(path, real string, f *os.File) (*Store, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() { // exchanged since it was looked at
		return nil, noFile(fi)
	}
	in, has, err := newArchive(f, fi.Size())
	if err != nil {
		return nil, err
	}
	idx, err := in.load()
	if err != nil {
		return nil, err
	}
	form, ok := formOf(path)
	if !ok {
		form = has
	}
	o := newOverlay(&place{path: real, was: fi}, in, idx)
	return &Store{path: path, files: o, over: o, form: form}, nil
}

// newArchive looks at the first bytes of an archive: compressed or not.
func newArchive(f archive, size int64) (listed, form, error) {
	head := make([]byte, 4)
	n, err := f.ReadAt(head, 0)
	switch {
	case err == io.EOF && n < 2:
		return nil, form{}, errNoArchive
	case err != nil && err != io.EOF:
		return nil, form{}, err
	}
	has := sniffForm(head[:n])
	var in listed
	if has.unpack != nil {
		in, err = newPacked(f, size, has.unpack)
	} else {
		in, err = newTar(f, size)
	}
	return in, has, err
}

// Repo gives access to a repository.
func (s *Store) Repo(name string) oci.Repo { return &repo{s: s, name: name} }

// String is the path given to [Open].
func (s *Store) String() string { return s.path }

// Close releases the files; readers of an archive's content end with it. It leaves nothing
// behind in a directory. The store cannot be used any more.
func (s *Store) Close() error { return s.files.Close() }

// Finish implements [ocm.Finisher]. It writes an archive if there is anything new: beside the old one,
// which it replaces at once; to a pipe as it goes. [ocm.ErrConflict] if the file is not the one
// that was opened. A directory has nothing to be finished.
func (s *Store) Finish(ctx context.Context) error { return s.finish(ctx) }

func (s *Store) finish(ctx context.Context, from ...ocm.Sequential) error {
	if s.over == nil {
		return nil
	}
	if err := s.over.finish(ctx, s.form, from); err != nil {
		return fmt.Errorf("CTF archive %s: %w", s.path, err)
	}
	return nil
}

// Feeder returns what takes content from sequential sources when it is finished: an archive.
func (s *Store) Feeder() (oci.Feeder, bool) {
	return feeder{s}, s.over != nil
}

type feeder struct{ s *Store }

// FinishFrom implements [oci.Feeder].
func (f feeder) FinishFrom(ctx context.Context, from ...ocm.Sequential) error {
	return f.s.finish(ctx, from...)
}

// Sequential returns the content in the order in which the CTF has it, if it has one: a pipe, or a
// compressed archive as it was when it was opened.
func (s *Store) Sequential() (ocm.Sequential, bool) {
	_, ok := s.sequence()
	return inOrder{s}, ok
}

func (s *Store) sequence() (sequence, bool) {
	if s.over != nil {
		seq, ok := s.over.old.(sequence)
		return seq, ok
	}
	seq, ok := s.files.(sequence)
	return seq, ok
}

// Repos lists the repositories that the index knows, in its order, each once.
func (s *Store) Repos(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		idx, err := s.files.load()
		if err != nil {
			yield("", fmt.Errorf("CTF %s: %w", s.path, err))
			return
		}
		for _, name := range idx.repos {
			if ctx.Err() != nil {
				yield("", context.Cause(ctx))
				return
			}
			if !yield(name, nil) {
				return
			}
		}
	}
}
