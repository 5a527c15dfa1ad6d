// SPDX-License-Identifier: Apache-2.0

// Package componentarchive reads the older format for a single component version on disk:
//
//	component-descriptor.yaml     the descriptor, schema v2 or v3alpha1
//	blobs/NAME                    local content; sha256.<hex>, or any other name
//
// as a folder, a tar archive or a compressed one (gzip). Such an archive is an [ocm.Repository] of one version
// that can only be read; copying it into a CTF or a registry imports it, and what was signed stays as it was.
//
// A folder and a tar archive are read in place. A compressed archive is read once when it is opened, and keeps
// small content in memory; large content is looked for from the front again, each time. Nothing is unpacked to disk.
//
// # What is pinned
//
// There is no manifest in this format. In its place stands the document itself: [ocm.Version.Manifest] has
// the digest of the bytes of component-descriptor.yaml. Content whose file has the name of a digest is compared
// with that whenever it is read. Content under any other name is covered by the digest of its resource only, so a
// resource that has none is not pinned.
//
// # Reading from strangers
//
// What a descriptor calls its content never becomes a path: it is looked up among the names of the files that
// are there. Links are not followed, folders below blobs are not looked into, names that differ only by case are
// refused, and what is held or listed is bounded by the constants below.
package componentarchive

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
	"ocm/blob"
	"ocm/descriptor"
	"ocm/oci"
)

// Limits. What exceeds them is refused with [ocm.ErrLimit].
const (
	MaxEntries = 100_000  // entries of an archive, or files of the folder blobs
	MaxSmall   = 1 << 20  // bytes of a blob that a compressed archive keeps in memory …
	MaxHeld    = 32 << 20 // … and of all of them together
	maxPadding = 16 << 20 // bytes after the last entry of a compressed archive
	maxName    = 255      // bytes of a file's name
)

const blobsName = "blobs"

const octetStream = "application/octet-stream"

// ErrNoDescriptor is the error of a place that may be whole, but is no component archive.
var ErrNoDescriptor = fmt.Errorf("%s is missing: not a component archive: %w", descriptor.FileName, ocm.ErrInvalid)

// Repository is a component archive. It may be used concurrently.
type Repository struct {
	path    string
	in      source
	version *version
}

var (
	_ ocm.Repository = (*Repository)(nil)
	_ ocm.Lister     = (*Repository)(nil)
)

// source is one of the forms of an archive.
type source interface {
	// list returns the document, and the files in blobs.
	list() (document []byte, blobs *listing, err error)
	// open opens a file of the listing.
	open(ctx context.Context, f file) (io.ReadCloser, error)
	io.Closer
}

// Found reports whether a folder holds a component archive, and not a CTF.
func Found(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, descriptor.FileName))
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	_, err = os.Lstat(filepath.Join(dir, "artifact-index.json"))
	return errors.Is(err, fs.ErrNotExist)
}

// Open opens the component archive at path and reads its descriptor. [ocm.ErrNotFound] if there is nothing at path;
// what is no component archive, or a broken one, is [ocm.ErrInvalid].
func Open(path string) (*Repository, error) {
	r, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("component archive %s: %w", path, err)
	}
	return r, nil
}

func open(path string) (*Repository, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no such folder or archive: %w", ocm.ErrNotFound)
	case err != nil:
		return nil, err
	}
	var in source
	switch {
	case info.IsDir():
		in, err = openFolder(path)
	case info.Mode().IsRegular():
		in, err = openTar(path)
	default:
		err = fmt.Errorf("expected a folder or a tar archive, found %s: %w", info.Mode().Type(), ocm.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	r := &Repository{path: path, in: in}
	if err := r.load(); err != nil {
		in.Close()
		return nil, err
	}
	return r, nil
}

// load reads the one version.
func (r *Repository) load() error {
	raw, blobs, err := r.in.list()
	if err != nil {
		return err
	}
	desc, err := descriptor.Decode("", raw)
	if err != nil {
		return err
	}
	r.version = &version{in: r.in, blobs: blobs, desc: desc, manifest: ociv1.Descriptor{
		MediaType: desc.Origin().MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw)),
	}}
	return nil
}

// String is the path given to [Open].
func (r *Repository) String() string { return r.path }

// Close releases the files; readers of content end with it.
func (r *Repository) Close() error { return r.in.Close() }

// Open implements [ocm.Repository].
func (r *Repository) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := descriptor.CheckName(name); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	c := &r.version.desc.Component
	if c.Name != name || ref != c.Version && ref != r.version.manifest.Digest.String() {
		return nil, fmt.Errorf("%s: %s:%s: %w (the archive holds %s:%s)", r, name, ref, ocm.ErrNotFound, c.Name, c.Version)
	}
	return r.version, nil
}

// Versions implements [ocm.Repository].
func (r *Repository) Versions(ctx context.Context, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c := &r.version.desc.Component
		switch {
		case ctx.Err() != nil:
			yield("", context.Cause(ctx))
		case name == c.Name:
			yield(c.Version, nil)
		}
	}
}

// Components implements [ocm.Lister].
func (r *Repository) Components(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if ctx.Err() != nil {
			yield("", context.Cause(ctx))
			return
		}
		yield(r.version.desc.Component.Name, nil)
	}
}

// Draft is [errors.ErrUnsupported]: this format is not written any more.
func (r *Repository) Draft(context.Context, string, string, ocm.Version) (ocm.Draft, error) {
	c := &r.version.desc.Component
	return nil, fmt.Errorf("%s is a component archive, an older format that is only read; copy it first: ocm transfer cv ca::%[1]s//%s:%s NEW_ARCHIVE: %w",
		r, c.Name, c.Version, errors.ErrUnsupported)
}

// version is the one version of an archive.
type version struct {
	in       source
	blobs    *listing
	desc     *ocm.Descriptor
	manifest ociv1.Descriptor
}

func (v *version) Manifest() ociv1.Descriptor  { return v.manifest }
func (v *version) Descriptor() *ocm.Descriptor { return v.desc }

// Blob implements [ocm.Version].
func (v *version) Blob(_ context.Context, access ocm.Spec) (ocm.Content, error) {
	if !oci.IsLocal(access.Type) {
		return ocm.Content{}, fmt.Errorf("access type %q is not local: %w", access.Type, errors.ErrUnsupported)
	}
	l, err := oci.ParseLocal(access)
	if err != nil {
		return ocm.Content{}, err
	}
	f, err := v.blobs.find(l.LocalReference)
	if err != nil {
		return ocm.Content{}, err
	}
	root := ociv1.Descriptor{MediaType: l.MediaType, Digest: f.digest(), Size: f.size}
	if root.MediaType == "" {
		root.MediaType = octetStream
	}
	return ocm.Content{Root: root, From: fetcher{v, f}, Name: f.name}, nil
}

// fetcher delivers a file, and what is referred to from there by digest.
type fetcher struct {
	v    *version
	root file
}

// Fetch implements [ocm.Fetcher].
func (f fetcher) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	at := f.root
	if own := at.digest(); own != "" && d.Digest != "" && d.Digest != own {
		var err error
		if at, err = f.v.blobs.find(d.Digest.String()); err != nil {
			return nil, err
		}
	}
	return f.v.in.open(ctx, at)
}

// file is a file in the folder blobs.
type file struct {
	name    string
	size    int64
	refused string // why it is not read; empty: it is
	offset  int64  // of its first byte, in the unpacked archive
	ordinal int    // of its entry in the archive
	data    []byte // of a small file in a compressed archive; nil: not held
}

// digest is what the name promises; empty if it is no digest.
func (f file) digest() digest.Digest {
	d := digest.Digest(strings.Replace(f.name, ".", ":", 1))
	if blob.CheckDigest(d) != nil {
		return ""
	}
	return d
}

// listing is the files in blobs by name.
type listing struct {
	byName map[string]file
	folded map[string]string // lower-case name to name
}

func newListing() *listing {
	return &listing{byName: map[string]file{}, folded: map[string]string{}}
}

// add refuses names that some file systems, and some readers, take for the same.
func (l *listing) add(f file) error {
	if len(f.name) > maxName {
		return fmt.Errorf("file %.80q…: the name has %d bytes, accepted are %d: %w", f.name, len(f.name), maxName, ocm.ErrLimit)
	}
	if len(l.byName) == MaxEntries {
		return fmt.Errorf("more than %d files: %w", MaxEntries, ocm.ErrLimit)
	}
	key := strings.ToLower(f.name)
	if other, ok := l.folded[key]; ok {
		return fmt.Errorf("files %q and %q have the same name where case does not count: %w", other, f.name, ocm.ErrInvalid)
	}
	l.folded[key] = f.name
	l.byName[f.name] = f
	return nil
}

// find looks a local reference up: the name of a file, or a digest.
func (l *listing) find(reference string) (file, error) {
	f, ok := l.byName[reference]
	if !ok {
		f, ok = l.byName[strings.Replace(reference, ":", ".", 1)]
	}
	switch {
	case strings.ContainsAny(reference, "/\\\x00") || reference == ".." || reference == ".":
		return file{}, fmt.Errorf("local reference %.200q is no name of a file in %s: %w", reference, blobsName, ocm.ErrInvalid)
	case !ok:
		return file{}, fmt.Errorf("local blob %.200q is not in the archive: %w", reference, ocm.ErrNotFound)
	case f.refused != "":
		return file{}, fmt.Errorf("local blob %.200q: %s: %w", reference, f.refused, ocm.ErrInvalid)
	}
	return f, nil
}

// memory is a reader over content that is held.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }
