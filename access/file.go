// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"

	"ocm"
	"ocm/blob"
)

// File is a file of this computer. It is for specifications that the user of this computer writes: a
// descriptor, which comes from elsewhere, must not make a program read local files and copy them to
// where others see them. So it is opened only where the environment has a Dir, and below that;
// whoever opens accesses of descriptors has none (see graph.Content).
var File = ocm.Method{
	Type: ocm.Type{
		Names:  ocm.Versioned("v1alpha1", "File", "file"),
		About:  "A file of this computer, as it stands between the steps of some tools.",
		Fields: ocm.FieldsOf(file{}),
		Can:    []string{"pack as input", "refused in descriptors"},
		Notes: []string{
			"It is opened only where it stands in a constructor, below the folder of that. In a descriptor it is refused: nobody else's text may read local files.",
			"Exactly one of path and uri is needed. The input file is the way to pack a file.",
		},
	},
	Opener: ocm.OpenerFunc(openFile),
}

type file struct {
	Path      string `json:"path" about:"the file, relative to the folder of the constructor, which it may not leave"`
	URI       string `json:"uri" about:"the same as file:path or file:///path"`
	MediaType string `json:"mediaType" about:"media type; default application/octet-stream"`
}

func openFile(_ context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var f file
	if err := s.Members(&f); err != nil {
		return ocm.Content{}, err
	}
	name, err := f.name(s.Type)
	if err != nil {
		return ocm.Content{}, err
	}
	if env == nil || env.Dir == "" {
		return ocm.Content{}, fmt.Errorf("access %s: a descriptor must not make this program read local files; pack the file with the input file: %w", s.Type, ocm.ErrDenied)
	}
	dir, err := filepath.Abs(env.Dir)
	if err != nil {
		return ocm.Content{}, err
	}
	if filepath.IsAbs(name) {
		if name, err = filepath.Rel(dir, name); err != nil {
			return ocm.Content{}, fmt.Errorf("access %s: path: %v: %w", s.Type, err, ocm.ErrInvalid)
		}
	}
	if !filepath.IsLocal(name) {
		return ocm.Content{}, fmt.Errorf("access %s: path %q leaves the folder %s: %w", s.Type, name, dir, ocm.ErrInvalid)
	}
	c, err := blob.FileIn(dir, filepath.ToSlash(name), f.MediaType)
	if err != nil {
		return c, fmt.Errorf("access %s: %w", s.Type, err)
	}
	return c, nil
}

// name is the path of the file as it was written.
func (f file) name(typ string) (string, error) {
	if (f.Path == "") == (f.URI == "") {
		return "", fmt.Errorf("access %s: expected exactly one of path and uri: %w", typ, ocm.ErrInvalid)
	}
	if f.Path != "" {
		return filepath.FromSlash(f.Path), nil
	}
	u, err := url.Parse(f.URI)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("access %s: uri: expected file:path or file:///path: %w", typ, ocm.ErrInvalid)
	}
	if u.Opaque != "" {
		path, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return "", fmt.Errorf("access %s: uri: %v: %w", typ, err, ocm.ErrInvalid)
		}
		return filepath.FromSlash(path), nil
	}
	return filepath.FromSlash(u.Path), nil
}
