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

type fileSpec struct {
	Path      string `json:"path"`
	MediaType string `json:"mediaType"`
	Compress  bool   `json:"compress"`
}

func openFile(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var f fileSpec
	if err := decode(s, &f, "path", "mediaType", "compress"); err != nil {
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
	case mt == blob.MediaTypeLayout || mt == blob.MediaTypeLayoutGzip:
		return blob.Layout(ctx, c) // compress is for blobs; this one is taken apart
	case f.Compress && isCompressed(mt):
		return ocm.Content{}, fmt.Errorf("file %s: its media type %s says that it is compressed already; leave out compress: %w", name, mt, ocm.ErrInvalid)
	case f.Compress:
		return blob.Gzip(c, compressed(mt)), nil
	}
	return c, nil
}

// sniff finds a media type by the file's name, else by its first bytes.
func sniff(ctx context.Context, name string, c ocm.Content) (string, error) {
	if mt := byExtension(name); mt != "" {
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

type dirSpec struct {
	Path           string   `json:"path"`
	MediaType      string   `json:"mediaType"`
	Compress       bool     `json:"compress"`
	PreserveDir    bool     `json:"preserveDir"`
	FollowSymlinks bool     `json:"followSymlinks"`
	IncludeFiles   []string `json:"includeFiles"`
	ExcludeFiles   []string `json:"excludeFiles"`
	Reproducible   *bool    `json:"reproducible"`
}

func openDir(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var d dirSpec
	err := decode(s, &d, "path", "mediaType", "compress", "preserveDir", "followSymlinks", "includeFiles", "excludeFiles", "reproducible")
	if err != nil {
		return ocm.Content{}, err
	}
	boundary, name, err := place(env, s, d.Path)
	if err != nil {
		return ocm.Content{}, err
	}
	if _, err := blob.FileIn(boundary, name, ""); err == nil {
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
