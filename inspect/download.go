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

// MaxDecompressed bounds, in bytes, a file that a download decompresses. Archives have the limits
// of [blob.Extract].
const MaxDecompressed = blob.DefaultExtractBytes

// DownloadOptions say what a download makes of the content.
type DownloadOptions struct {
	Form     string         // empty: FormAuto
	Platform *blob.Platform // which image of an index FormDocker takes; nil: that for Linux on this kind of processor
	// Own says under which name a chart, which has a name of its own such as app-1.0.0.tgz, is written in the folder of
	// the path; nil: under that of the path. The name it gets is one for a file.
	Own func(name string) string
	// Transformer is the specification of what makes other content of the resource's, before that gets its form; nil: nothing does.
	Transformer *ocm.Spec
}

// Download writes the content of a resource to path, in the form that the options ask for, and returns what was
// written: one file or directory, for a chart with a provenance file both. path must not be an existing directory.
// Content with a digest is compared with it, first to last byte, and what that digest does not cover, such as
// further files in the archive of an OCI artifact, is not written; nothing is left at path if that or anything
// else fails. What a transformer is given was compared before. [ocm.ErrInvalid] if the content cannot have the form.
func Download(ctx context.Context, kit *ocm.Kit, env *ocm.Env, v ocm.Version, r *ocm.Resource, path string, o DownloadOptions) ([]string, error) {
	c, err := graph.Content(ctx, kit, env, v, r.Access)
	if err != nil {
		return nil, err
	}
	if o.Own == nil {
		if err := noFolder(path); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	raw, drop, err := tempBeside(path)
	if err != nil {
		return nil, err
	}
	defer drop()
	mediaType, err := fetch(ctx, env, c, r, raw)
	if err != nil {
		return nil, graph.ExplainMissing(ctx, c, r.Labels, err)
	}
	f := &fetched{resource: r, source: c, raw: raw, mediaType: mediaType, path: path, options: o}
	if o.Transformer != nil {
		drop, err := f.transform(ctx, kit, env)
		if err != nil {
			return nil, err
		}
		defer drop()
	}
	written, err := f.write(ctx)
	if err != nil {
		return nil, err
	}
	return written, nil
}

func noFolder(path string) error {
	if s, err := os.Stat(path); err == nil && s.IsDir() {
		return fmt.Errorf("%s is a directory: name the file to write, or remove it: %w", path, ocm.ErrExists)
	}
	return nil
}

// tempBeside makes a file in the folder of path, that can get its name. drop removes what has not.
func tempBeside(path string) (f *os.File, drop func(), err error) {
	f, err = os.CreateTemp(filepath.Dir(path), ".ocm-download-*")
	if err != nil {
		return nil, nil, err
	}
	return f, func() { f.Close(); os.Remove(f.Name()) }, nil
}

// executableType is the type of resources that are programs.
const executableType = "executable"

// mode makes executables executable.
func mode(r *ocm.Resource) os.FileMode {
	if r.Type == executableType {
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
	mediaType, err := store(ctx, c, r.Version, to)
	if err != nil {
		return "", err
	}
	written, err := blob.File(to.Name(), mediaType)
	if err == nil && blob.IsManifest(c.Root.MediaType) {
		written, err = blob.Layout(ctx, written)
	}
	if err != nil {
		return "", err
	}
	return mediaType, checkDigest(ctx, written, r)
}

// store writes content into a file and returns the media type that it has there: a graph becomes an OCI layout archive.
func store(ctx context.Context, c ocm.Content, version string, to *os.File) (mediaType string, err error) {
	if blob.IsManifest(c.Root.MediaType) {
		return blob.MediaTypeLayout, blob.WriteLayout(ctx, to, c, version)
	}
	rc, err := blob.OpenContent(ctx, c)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	_, err = io.Copy(to, rc)
	return c.Root.MediaType, err
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
func extract(ctx context.Context, raw *os.File, mediaType, path string, perm os.FileMode) error {
	if !isTar(mediaType) && !isGzip(mediaType) {
		return publish(raw, path, perm)
	}
	written, err := blob.File(raw.Name(), mediaType)
	if err != nil {
		return err
	}
	rc, err := blob.OpenContent(ctx, written)
	if err != nil {
		return err
	}
	defer rc.Close()
	plain, _, err := blob.Gunzip(rc)
	if err != nil {
		return err
	}
	if isTar(mediaType) {
		return unpack(ctx, plain, path)
	}
	out, drop, err := tempBeside(path)
	if err != nil {
		return err
	}
	defer drop()
	if err := copyBounded(out, plain, MaxDecompressed); err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	return publish(out, path, perm)
}

// unpack makes a directory of an archive.
func unpack(ctx context.Context, tar io.Reader, path string) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".ocm-download-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	content := filepath.Join(dir, "content")
	if err := blob.Extract(ctx, tar, content, blob.ExtractOptions{}); err != nil {
		return err
	}
	return os.Rename(content, path)
}

// copyBounded copies at most limit bytes; more are an error.
func copyBounded(w io.Writer, r io.Reader, limit int64) error {
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		return fmt.Errorf("more than %d bytes (the form %q is the content as it is): %w", limit, FormBlob, ocm.ErrLimit)
	}
	return err
}

// publish gives a finished file its name, once everything about it has succeeded: what a full disk
// cuts off may be noticed only when the file is closed.
func publish(f *os.File, path string, perm os.FileMode) error {
	if err := noFolder(path); err != nil {
		return err
	}
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
