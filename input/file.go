// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ocm"
	"ocm/blob"
)

// File is a regular file. An OCI image layout archive, which only its media type (see
// [blob.MediaTypeLayout]) can tell, becomes the artifact in it.
var File = ocm.Method{
	Type: ocm.Type{
		Names:  []string{"file", "file/v1", "File", "File/v1"},
		About:  "A file.",
		Fields: ocm.FieldsOf(fileSpec{}),
		Notes:  []string{"A file of media type " + blob.MediaTypeLayout + "[+gzip] is an OCI image layout archive and becomes the artifact in it; so does a folder with a layout, which may not have links."},
	},
	Opener: ocm.OpenerFunc(openFile),
}

type fileSpec struct {
	Path      string `json:"path" need:"yes" about:"the file, relative to the folder of the constructor, which it may not leave"`
	MediaType string `json:"mediaType" about:"media type; default by the file's extension, else its first bytes"`
	Compress  bool   `json:"compress" about:"compress with gzip"`
}

func openFile(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var f fileSpec
	if err := s.Members(&f); err != nil {
		return ocm.Content{}, err
	}
	boundary, name, err := place(env, s, f.Path)
	if err != nil {
		return ocm.Content{}, err
	}
	c, err := fileContent(ctx, boundary, name, f)
	if err != nil {
		return ocm.Content{}, confined(err, s, boundary)
	}
	return c, nil
}

func fileContent(ctx context.Context, boundary, name string, f fileSpec) (ocm.Content, error) {
	if isLayoutType(f.MediaType) && blob.IsLayoutDir(boundary, name) {
		return blob.LayoutIn(ctx, boundary, name)
	}
	c, err := blob.FileIn(boundary, name, f.MediaType)
	if err != nil {
		return ocm.Content{}, err
	}
	if f.MediaType == "" {
		if c.Root.MediaType, err = sniff(ctx, name, c); err != nil {
			return ocm.Content{}, err
		}
	}
	switch mt := c.Root.MediaType; {
	case isLayoutType(mt):
		return blob.Layout(ctx, c) // compress is for blobs; this one is taken apart
	case f.Compress && isCompressed(mt):
		return ocm.Content{}, fmt.Errorf("file %s: its media type %s says that it is compressed already; leave out compress: %w", name, mt, ocm.ErrInvalid)
	case f.Compress:
		return blob.Gzip(c, compressed(mt)), nil
	}
	return c, nil
}

func isLayoutType(mediaType string) bool {
	return mediaType == blob.MediaTypeLayout || mediaType == blob.MediaTypeLayoutGzip
}

// sniff finds a media type by the file's name, else by its first bytes.
func sniff(ctx context.Context, name string, c ocm.Content) (string, error) {
	if mt := blob.TypeByExtension(name); mt != "" {
		return mt, nil
	}
	r, err := c.Open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", fmt.Errorf("file %s: %w", name, err)
	}
	return byContent(head[:n]), nil
}

// Dir is a directory as a tar archive, see [blob.TarDir]. A path that names a regular file is that
// file, with the default media type application/octet-stream.
var Dir = ocm.Method{
	Type: ocm.Type{
		Names:  []string{"dir", "dir/v1", "Dir", "Dir/v1"},
		About:  "A directory as a tar archive, the same bytes on every machine.",
		Fields: ocm.FieldsOf(dirSpec{}),
		Notes:  []string{"A directory with the media type " + blob.MediaTypeLayout + " is an OCI image layout and becomes the artifact in it.", "A path that is a file packs that file.", "In patterns a * stays within one element of a path, and an element ** stands for any number of elements."},
	},
	Opener: ocm.OpenerFunc(openDir),
}

type dirSpec struct {
	Path           string   `json:"path" need:"yes" about:"the directory, relative to the folder of the constructor, which it may not leave"`
	MediaType      string   `json:"mediaType" about:"media type; default application/x-tar"`
	Compress       bool     `json:"compress" about:"compress with gzip"`
	PreserveDir    bool     `json:"preserveDir" about:"put the directory's own name before every entry"`
	FollowSymlinks bool     `json:"followSymlinks" about:"store what symbolic links point at; without it each one is an error"`
	IncludeFiles   []string `json:"includeFiles" about:"patterns of what is taken; default everything"`
	ExcludeFiles   []string `json:"excludeFiles" about:"patterns of what is left out, even if it is included"`
	Reproducible   *bool    `json:"reproducible" about:"true: leave out times, owners and special modes, as other tools do; false: keep them; default: as true, and permissions are 0755 or 0644, whatever the umask was"`
}

func openDir(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var d dirSpec
	if err := s.Members(&d); err != nil {
		return ocm.Content{}, err
	}
	boundary, name, err := place(env, s, d.Path)
	if err != nil {
		return ocm.Content{}, err
	}
	if _, err := blob.FileIn(boundary, name, ""); err == nil || isLayoutType(d.MediaType) {
		c, err := fileContent(ctx, boundary, name, fileSpec{d.Path, orElse(d.MediaType, "application/octet-stream"), d.Compress})
		if err != nil {
			return ocm.Content{}, confined(err, s, boundary)
		}
		return c, nil
	}
	c, err := blob.TarDir(name, blob.DirOptions{
		MediaType:      d.MediaType,
		Within:         boundary,
		PreserveDir:    d.PreserveDir,
		FollowSymlinks: d.FollowSymlinks,
		Metadata:       d.Reproducible != nil && !*d.Reproducible,
		PlainModes:     d.Reproducible == nil,
		Include:        d.IncludeFiles,
		Exclude:        d.ExcludeFiles,
	})
	if err != nil {
		return ocm.Content{}, confined(err, s, boundary)
	}
	if d.Compress {
		return blob.Gzip(c, compressed(c.Root.MediaType)), nil
	}
	return c, nil
}

func orElse(s, other string) string {
	if strings.TrimSpace(s) == "" {
		return other
	}
	return s
}
