// SPDX-License-Identifier: Apache-2.0

// Package inspect looks into component versions: it selects versions and elements, tells where
// each element lives, and downloads content.
//
// What is downloaded was compared with the digest in the descriptor before it gets its
// name: a file that is there is a file that is right.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ocm"
	"ocm/blob"
	"ocm/graph"
)

// FindResource returns the one resource whose identity has every pair of the selector. None is
// [ocm.ErrNotFound], several are [ocm.ErrInvalid]; both list what there is.
func FindResource(d *ocm.Descriptor, selector ocm.Identity) (*ocm.Resource, error) {
	var found []*ocm.Resource
	var all, matching []string
	for i := range d.Component.Resources {
		r := &d.Component.Resources[i]
		all = append(all, r.Identity().String())
		if selector.Selects(r.Identity()) {
			found = append(found, r)
			matching = append(matching, r.Identity().String())
		}
	}
	where := d.Component.Name + ":" + d.Component.Version
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("%s: no resource with identity %s, there are: %s: %w", where, selector, strings.Join(all, "; "), ocm.ErrNotFound)
	}
	return nil, fmt.Errorf("%s: %d resources with identity %s, say which one: %s: %w", where, len(found), selector, strings.Join(matching, "; "), ocm.ErrInvalid)
}

// Extraction policies of a download.
const (
	ExtractAuto = "auto"    // decompress, and unpack archives into a directory
	ExtractNone = "disable" // the bytes as they are; an OCI artifact as one layout archive
)

// MaxDecompressed bounds, in bytes, a file that a download decompresses. Archives have the limits
// of [blob.Extract].
const MaxDecompressed = blob.DefaultExtractBytes

// Download writes the content of a resource to path: a file, or a directory for archives and OCI
// artifacts if the policy is ExtractAuto. It reports whether a directory was made. path must
// not be an existing directory. Content with a digest is compared with it, first to last
// byte, and what that digest does not cover, such as further files in the archive of an OCI
// artifact, is not written; nothing is left at path if that or anything else fails.
func Download(ctx context.Context, kit *ocm.Kit, env *ocm.Env, v ocm.Version, r *ocm.Resource, path, policy string) (isDir bool, err error) {
	c, err := graph.Content(ctx, kit, env, v, r.Access)
	if err != nil {
		return false, err
	}
	if s, err := os.Stat(path); err == nil && s.IsDir() {
		return false, fmt.Errorf("%s is a directory: name the file to write, or remove it: %w", path, ocm.ErrExists)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	raw, err := os.CreateTemp(filepath.Dir(path), ".ocm-download-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(raw.Name())
	defer raw.Close()
	mediaType, err := fetch(ctx, env, c, r, raw)
	if err != nil {
		return false, graph.ExplainMissing(ctx, c, r.Labels, err)
	}
	if policy == ExtractNone {
		return false, publish(raw, path, mode(r))
	}
	return extract(ctx, raw, mediaType, path, mode(r))
}

// mode makes executables executable.
func mode(r *ocm.Resource) os.FileMode {
	if r.Type == "executable" {
		return 0o755
	}
	return 0o644
}

// fetch writes verified content into a file and returns its media type. A graph becomes an OCI layout
// archive. What is compared with the digest is what was written, not the source once more.
func fetch(ctx context.Context, env *ocm.Env, c ocm.Content, r *ocm.Resource, to *os.File) (string, error) {
	if r.Digest.Empty() || r.Digest.Excluded() {
		env.Logger().Warn("the resource has no digest: its content cannot be compared with anything", "resource", r.Element.String())
	}
	if blob.IsLayout(c.Root.MediaType) && coversArtifactOnly(r.Digest) {
		var err error
		if c, err = blob.Layout(ctx, c); err != nil {
			return "", err
		}
	}
	if blob.IsManifest(c.Root.MediaType) {
		if err := blob.WriteLayout(ctx, to, c, r.Version); err != nil {
			return "", err
		}
		written, err := blob.File(to.Name(), blob.MediaTypeLayout)
		if err != nil {
			return "", err
		}
		artifact, err := blob.Layout(ctx, written)
		if err != nil {
			return "", err
		}
		return blob.MediaTypeLayout, checkDigest(ctx, artifact, r)
	}
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	if _, err := io.Copy(to, rc); err != nil {
		return "", err
	}
	written, err := blob.File(to.Name(), c.Root.MediaType)
	if err != nil {
		return "", err
	}
	return c.Root.MediaType, checkDigest(ctx, written, r)
}

// coversArtifactOnly reports whether a digest is that of an OCI artifact. Of an archive it covers the
// main artifact; other artifacts, tags and files in it are anybody's. Such an archive is written
// anew with that artifact alone.
func coversArtifactOnly(d *ocm.Digest) bool {
	return !d.Empty() && !d.Excluded() && d.NormalisationAlgorithm != ocm.GenericBlobDigest
}

func checkDigest(ctx context.Context, c ocm.Content, r *ocm.Resource) error {
	if r.Digest.Empty() || r.Digest.Excluded() {
		return nil
	}
	return graph.Check(ctx, c, *r.Digest)
}

// extract unpacks an archive, or decompresses a single file, beside path and renames it.
func extract(ctx context.Context, raw *os.File, mediaType, path string, perm os.FileMode) (bool, error) {
	if !isTar(mediaType) && !isGzip(mediaType) {
		return false, publish(raw, path, perm)
	}
	written, err := blob.File(raw.Name(), mediaType)
	if err != nil {
		return false, err
	}
	rc, err := blob.OpenContent(ctx, written)
	if err != nil {
		return false, err
	}
	defer rc.Close()
	plain, _, err := blob.Gunzip(rc)
	if err != nil {
		return false, err
	}
	if isTar(mediaType) {
		dir, err := os.MkdirTemp(filepath.Dir(path), ".ocm-download-*")
		if err != nil {
			return false, err
		}
		defer os.RemoveAll(dir)
		content := filepath.Join(dir, "content")
		if err := blob.Extract(ctx, plain, content, blob.ExtractOptions{}); err != nil {
			return false, err
		}
		return true, os.Rename(content, path)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".ocm-download-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if err := copyBounded(out, plain, MaxDecompressed); err != nil {
		return false, fmt.Errorf("decompress: %w", err)
	}
	return false, publish(out, path, perm)
}

// copyBounded copies at most limit bytes; more are an error.
func copyBounded(w io.Writer, r io.Reader, limit int64) error {
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		return fmt.Errorf("more than %d bytes (extraction policy %q takes the content as it is): %w", limit, ExtractNone, ocm.ErrLimit)
	}
	return err
}

// publish gives a finished file its name, once everything about it has succeeded: what a full disk
// cuts off may be noticed only when the file is closed.
func publish(f *os.File, path string, perm os.FileMode) error {
	if err := errors.Join(f.Chmod(perm), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func isTar(mediaType string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(mediaType, "+gzip"), ".gzip")
	return base == "application/tar" || base == "application/x-tar" || strings.HasSuffix(base, "+tar") ||
		mediaType == "application/x-tgz" || mediaType == "application/tar+gzip"
}

func isGzip(mediaType string) bool {
	return strings.HasSuffix(mediaType, "+gzip") || mediaType == "application/gzip" || mediaType == "application/x-gzip" || mediaType == "application/x-tgz"
}
