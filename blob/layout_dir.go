// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// LayoutIn opens the OCI image layout in a directory, which is a slash-separated name below dir, as the graph of its
// main artifact: [Layout] says which that is. Blobs are read where they are. Neither ".." nor a link in the
// name leads out of dir, and within the layout there are no links at all: a link could stand for any
// file of this computer, which would then be packed as a blob ([ocm.ErrInvalid]; go-containerregistry #2306).
// [ocm.ErrNotFound] if there is no layout.
func LayoutIn(ctx context.Context, dir, name string) (ocm.Content, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ocm.Content{}, err
	}
	l := layoutDir{dir: dir, name: filepath.ToSlash(name)}
	root, err := l.main(ctx)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("OCI layout %s: %w", filepath.Join(dir, name), err)
	}
	return ocm.Content{Root: root, From: l}, nil
}

// layoutDir fetches blobs from a directory.
type layoutDir struct{ dir, name string }

// Fetch implements [ocm.Fetcher].
func (l layoutDir) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if err := CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	f, size, err := l.open("blobs", d.Digest.Algorithm().String(), d.Digest.Encoded())
	if err != nil {
		return nil, fmt.Errorf("OCI layout %s: %w", filepath.Join(l.dir, l.name), err)
	}
	if d.Size >= 0 && size != d.Size {
		f.Close()
		return nil, fmt.Errorf("OCI layout %s: blob %s: expected %d bytes, found %d: %w", filepath.Join(l.dir, l.name), d.Digest, d.Size, size, ocm.ErrDigest)
	}
	return f, nil
}

// open opens a regular file of the layout, after a look at every element of its path: a link is refused
// wherever it leads.
func (l layoutDir) open(elements ...string) (*os.File, int64, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, 0, fileError(err)
	}
	defer root.Close()
	at := l.name
	var info os.FileInfo
	for i, e := range elements {
		at = path.Join(at, e)
		if info, err = root.Lstat(filepath.FromSlash(at)); err != nil {
			return nil, 0, fileError(err)
		}
		if last := i == len(elements)-1; last && !info.Mode().IsRegular() || !last && !info.IsDir() {
			return nil, 0, fmt.Errorf("%s: expected no links, found %s: %w", at, kind(info.Mode()), ocm.ErrInvalid)
		}
	}
	f, err := root.Open(filepath.FromSlash(at))
	if err != nil {
		return nil, 0, fileError(err)
	}
	now, err := f.Stat()
	if err != nil || !os.SameFile(info, now) {
		f.Close()
		return nil, 0, fmt.Errorf("%s was replaced while it was opened: %w", at, ocm.ErrConflict)
	}
	return f, now.Size(), nil
}

// main finds the main artifact.
func (l layoutDir) main(ctx context.Context) (ociv1.Descriptor, error) {
	if !IsLayoutDir(l.dir, l.name) {
		return ociv1.Descriptor{}, fmt.Errorf("there is no file %s: %w", ociv1.ImageLayoutFile, ocm.ErrNotFound)
	}
	f, size, err := l.open(ociv1.ImageIndexFile)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	defer f.Close()
	raw, err := ReadDocument(f, size, MaxManifest)
	if err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("%s: %w", ociv1.ImageIndexFile, err)
	}
	d, err := selectMain(ociv1.ImageIndexFile, raw)
	if err != nil {
		return d, err
	}
	opened := newLayout(ocm.Content{})
	if raw, err = ReadAll(ctx, l, d, MaxManifest); err != nil {
		return d, fmt.Errorf("main artifact %s: %w", d.Digest, err)
	}
	opened.kept[d.Digest], opened.blobs[d.Digest] = raw, span{0, int64(len(raw))}
	return opened.describe(ctx, d)
}

// IsLayoutDir reports whether a directory below dir says that it is an OCI image layout.
func IsLayoutDir(dir, name string) bool {
	f, _, err := layoutDir{dir, filepath.ToSlash(name)}.open(ociv1.ImageLayoutFile)
	if err == nil {
		f.Close()
	}
	return err == nil
}
