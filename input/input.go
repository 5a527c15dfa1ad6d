// SPDX-License-Identifier: Apache-2.0

// Package input makes content of what a constructor describes: files, directories and values
// that stand in the constructor itself. Each kind is an [ocm.Opener] that is found by the
// "type" member of its specification; [All] lists them with their names.
//
// A specification comes from somebody's constructor and is checked like any other input: a
// member that is not known is an error, because a misspelt option would otherwise silently pack
// the wrong thing. Paths are relative to the environment's Dir and cannot leave it, neither by
// ".." nor by a symbolic link, so that a constructor from elsewhere packs nothing that it was
// not given. An absolute path is accepted if it lies in Dir.
//
// Files and directories are read when their content is, each time anew; digests of them are not
// known before. What stands in the constructor is held in memory, at most [MaxInline] bytes.
package input

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/blob"
)

// Limits of values that stand in the constructor.
const (
	MaxInline      = 16 << 20 // bytes, before and after encoding
	MaxInlineDepth = 100      // nested objects and arrays of json, formattedJson and yaml
)

// The inputs of this package. Besides the members that are listed here a specification holds
// only its "type".
var (
	// File is a regular file. Members: path; mediaType, default by the file's extension and
	// content; compress (gzip). An OCI image layout archive, which only its media type
	// (see [blob.MediaTypeLayout]) can tell, becomes the artifact in it.
	File ocm.Opener = ocm.OpenerFunc(openFile)
	// Dir is a directory as a tar archive, see [blob.TarDir]. Members: path; mediaType, default
	// application/x-tar; compress; preserveDir; followSymlinks; includeFiles; excludeFiles;
	// reproducible, default true. A path that names a regular file is that file, with the
	// default media type application/octet-stream.
	Dir ocm.Opener = ocm.OpenerFunc(openDir)
	// UTF8 is a value from the constructor: exactly one of text, json (compact, with sorted
	// keys), formattedJson (indented by two spaces) and yaml. Other members: mediaType,
	// default text/plain, application/json or application/x-yaml; compress.
	UTF8 ocm.Opener = ocm.OpenerFunc(openUTF8)
	// Binary is a value from the constructor in base64. Members: data; mediaType, default
	// application/octet-stream; compress.
	Binary ocm.Opener = ocm.OpenerFunc(openBinary)
)

// Input is an opener with the type names that it is known by.
type Input struct {
	Names  []string
	Opener ocm.Opener
}

// All lists the inputs of this package.
func All() []Input {
	return []Input{
		{[]string{"file", "file/v1", "File", "File/v1"}, File},
		{[]string{"dir", "dir/v1", "Dir", "Dir/v1"}, Dir},
		{[]string{"utf8", "utf8/v1", "UTF8", "UTF8/v1"}, UTF8},
		{[]string{"binary", "binary/v1", "Binary", "Binary/v1"}, Binary},
	}
}

// decode reads a specification into v, a pointer to a struct, and refuses members that are not
// among known.
func decode(s ocm.Spec, v any, known ...string) error {
	if len(s.Raw) == 0 {
		return fmt.Errorf("input %s: expected the members %s, found none: %w", s.Type, strings.Join(known, ", "), ocm.ErrInvalid)
	}
	var members map[string]ocm.RawJSON
	if err := jsonv2.Unmarshal(s.Raw, &members); err != nil {
		return fmt.Errorf("input %s: %v: %w", s.Type, err, ocm.ErrInvalid)
	}
	for _, m := range slices.Sorted(maps.Keys(members)) {
		if m != "type" && !slices.Contains(known, m) {
			return fmt.Errorf("input %s: unknown field %.200q (known: %s): %w", s.Type, m, strings.Join(known, ", "), ocm.ErrInvalid)
		}
	}
	if err := s.Decode(v); err != nil {
		return fmt.Errorf("input %w", err)
	}
	return nil
}

// place finds the boundary directory and the slash path of an input below it.
func place(env *ocm.Env, s ocm.Spec, path string) (boundary, name string, err error) {
	if env != nil {
		boundary = env.Dir
	}
	if boundary, err = filepath.Abs(boundary); err != nil {
		return "", "", err
	}
	if path == "" {
		return "", "", fmt.Errorf("input %s: path is missing: %w", s.Type, ocm.ErrInvalid)
	}
	local := filepath.FromSlash(path)
	if filepath.IsAbs(local) {
		local = below(boundary, local)
	}
	local = filepath.Clean(local)
	if !filepath.IsLocal(local) {
		return "", "", fmt.Errorf("input %s: path %q leaves the directory %s, which inputs are confined to: %w", s.Type, path, boundary, ocm.ErrInvalid)
	}
	return boundary, filepath.ToSlash(local), nil
}

// below makes an absolute path relative to dir, whose own path may contain links.
func below(dir, path string) string {
	for _, base := range []string{dir, real(dir)} {
		if rel, err := filepath.Rel(base, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return ".."
}

func real(dir string) string {
	if r, err := filepath.EvalSymlinks(dir); err == nil {
		return r
	}
	return dir
}

// confined adds to an error where paths may lead, because "not found" and "escapes" are the
// same surprise to somebody who uses a link or a wrong working directory.
func confined(err error, s ocm.Spec, boundary string) error {
	return fmt.Errorf("input %s (paths are confined to %s): %w", s.Type, boundary, err)
}

// compressed is the media type of content of the given type after compression.
func compressed(mediaType string) string {
	switch {
	case mediaType == "":
		return "application/gzip"
	case isCompressed(mediaType):
		return mediaType // the author named the result
	}
	return mediaType + "+gzip"
}

func isCompressed(mediaType string) bool {
	switch mediaType {
	case "application/gzip", "application/x-gzip", "application/x-tgz", "application/zstd":
		return true
	}
	return strings.HasSuffix(mediaType, "gzip") || strings.HasSuffix(mediaType, "+zstd")
}

// inline is content that stands in the constructor, in memory with its digest.
func inline(ctx context.Context, s ocm.Spec, mediaType string, b []byte, compress bool) (ocm.Content, error) {
	if len(b) > MaxInline {
		return ocm.Content{}, fmt.Errorf("input %s: %d bytes, accepted are %d; put them into a file: %w", s.Type, len(b), MaxInline, ocm.ErrLimit)
	}
	c := blob.Bytes(mediaType, b)
	if !compress {
		return c, nil
	}
	zipped := blob.Gzip(c, compressed(mediaType))
	r, err := zipped.Open(ctx)
	if err != nil {
		return ocm.Content{}, err
	}
	defer r.Close()
	z, err := io.ReadAll(r)
	if err != nil {
		return ocm.Content{}, err
	}
	return blob.Bytes(zipped.Root.MediaType, z), nil
}
