// SPDX-License-Identifier: Apache-2.0

// Package input makes content of what a constructor describes: files, directories and values
// that stand in the constructor itself. Each kind is an [ocm.Opener] that is found by the
// "type" member of its specification; [All] lists them.
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
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"ocm"
	"ocm/access"
	"ocm/blob"
	"ocm/oci/remote"
)

// Limits of values that stand in the constructor.
const (
	MaxInline      = 16 << 20 // bytes, before and after encoding
	MaxInlineDepth = 100      // nested objects and arrays of json, formattedJson and yaml
)

// All lists the inputs of this package. A member that is not among the fields of a type is an error.
func All() []ocm.Method {
	all := []ocm.Method{
		File, Dir, UTF8, Binary,
		OCIArtifact, Docker, DockerMulti, Helm,
		Git, access.GitHub, Maven, access.NPM, access.S3, access.S3V1, access.S3V2,
	}
	for i, m := range all {
		all[i] = ocm.Strict(m)
	}
	return append(all, ocm.Strict(access.Wget, "URL", "noredirect"))
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
	return fmt.Errorf("input %s: %w (paths are confined to %s)", s.Type, err, boundary)
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

// hintForm is what a name for uploads may be: a repository path, and perhaps a tag.
var hintForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^/?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$`)
})

// checkHint refuses a name that no registry accepts: it would be found out at the first upload only.
func checkHint(s ocm.Spec, repository string) error {
	if repository != "" && (len(repository) > remote.MaxRepository || !hintForm().MatchString(repository)) {
		return fmt.Errorf("input %s: repository %.200q: expected path[:tag] of lower-case letters, digits and single . _ - between them: %w", s.Type, repository, ocm.ErrInvalid)
	}
	return nil
}
