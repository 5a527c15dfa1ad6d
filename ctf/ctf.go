// SPDX-License-Identifier: Apache-2.0

// Package ctf reads and writes the Common Transport Format: OCI repositories in a folder or
// in one file, to be carried where no network goes.
//
// A CTF is an index and a flat heap of blobs:
//
//	artifact-index.json     which manifest has which tag in which repository
//	blobs/sha256.<hex>      every blob, config, manifest and index
//
// [Open] takes it in three forms and gives the same answers for each. A directory can be
// read and written, by several processes at once. A tar archive is read in place. A gzipped
// tar archive cannot be entered in the middle: opening reads it once from front to back and
// remembers small content; large content streams from the archive again, which is fast for
// those who fetch in the archive's order, one after the other. Archives are never unpacked,
// and never written.
//
// # Writing a directory
//
// A blob is written beside its final place, hashed on the way, and renamed when digest and
// size are right; so what can be seen is whole. A tag becomes visible by renaming a new index
// over the old one, as the last thing, after everything pushed before it is on the disk. The index
// is read again, changed and replaced under an advisory lock (flock) on the directory itself:
// there is no lock file, and no update is lost. Readers take no lock. Killing a writer at any
// moment leaves a readable CTF, and at worst a hidden temporary file that a later writer removes.
//
// # Reading from strangers
//
// Digests become file names only after they were checked, repository names and tags never
// become paths, links are not followed, and every count is bounded by a constant below. The
// bytes themselves are not verified here: those who read them do so (package blob).
package ctf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

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
	MaxSmall          = 1 << 20  // bytes of a blob that a tgz keeps in memory …
	MaxHeld           = 32 << 20 // … and of all of them together
	MaxPadding        = 16 << 20 // bytes after the last entry of a tgz
)

// Store is an [oci.Store] and [oci.RepoLister] over a CTF. It may be used concurrently.
type Store struct {
	path  string
	files files
	out   sink // nil if this form cannot be written

	referrers referrers
}

// sink is the half of a form that can be written. Digests and names were checked before.
type sink interface {
	// push stores a blob as [oci.Repo.Push] does.
	push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error)
	// place stores a blob as [oci.Placer] does.
	place(ctx context.Context, d ociv1.Descriptor, open func(context.Context) (io.ReadCloser, error)) (oci.How, error)
	// update replaces the index by what fn makes of it, as one step. fn returns its argument if
	// nothing changes. With visible set, what was pushed before is kept even if the power fails.
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

// Open opens the CTF at path: a directory, or a file that is a tar archive, gzipped or not,
// which its first bytes tell. A path that does not exist is an empty directory CTF, which the
// first write creates; its parent must exist ([ocm.ErrNotFound]). If such a path ends with .tar,
// .tgz or .tar.gz, an archive is meant and missing: also [ocm.ErrNotFound].
//
// A broken archive or index is [ocm.ErrInvalid], one beyond the limits [ocm.ErrLimit]. The
// index of a directory is not read yet. Opening a tgz reads all of it.
func Open(path string) (*Store, error) {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := mayCreate(path); err != nil {
			return nil, err
		}
		return openDirectory(path), nil
	case err != nil:
		return nil, fmt.Errorf("CTF %s: %w", path, explain(err))
	case fi.IsDir():
		return openDirectory(path), nil
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("CTF %s: expected a directory or a tar archive, found %s: %w", path, fi.Mode().Type(), ocm.ErrInvalid)
	}
	return openArchive(path, fi.Size())
}

func openDirectory(path string) *Store {
	d := newDirectory(path)
	return &Store{path: path, files: d, out: d}
}

// mayCreate tells early what the first write would stumble over.
func mayCreate(path string) error {
	for _, suffix := range []string{".tar", ".tgz", ".tar.gz"} {
		if strings.HasSuffix(path, suffix) {
			return fmt.Errorf("CTF %s: %w (archives are read only: to write, name a directory)", path, ocm.ErrNotFound)
		}
	}
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

func openArchive(path string, size int64) (*Store, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("CTF %s: %w", path, explain(err))
	}
	in, err := newArchive(f, size)
	if err != nil {
		f.Close()
		if errors.Is(err, errNoArchive) {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return nil, fmt.Errorf("CTF archive %s: %w", path, err)
	}
	return &Store{path: path, files: in}, nil
}

// errNoArchive is what a file is called that does not even begin as an archive.
var errNoArchive = fmt.Errorf("neither a folder nor a tar archive: %w", ocm.ErrInvalid)

// newArchive looks at the first bytes of an archive: gzip or not.
func newArchive(f archive, size int64) (files, error) {
	magic := make([]byte, 2)
	_, err := f.ReadAt(magic, 0)
	switch {
	case err == io.EOF:
		return nil, errNoArchive
	case err != nil:
		return nil, err
	case bytes.Equal(magic, []byte{0x1f, 0x8b}):
		return newTgz(f, size)
	}
	return newTar(f, size)
}

// Repo gives access to a repository.
func (s *Store) Repo(name string) oci.Repo { return &repo{s: s, name: name} }

// String is the path given to [Open].
func (s *Store) String() string { return s.path }

// Close releases the files; readers of an archive's content end with it. It leaves nothing
// behind in a directory. The store cannot be used any more.
func (s *Store) Close() error { return s.files.Close() }

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
