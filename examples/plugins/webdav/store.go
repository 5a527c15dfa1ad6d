// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// store keeps OCI repositories in a folder:
//
//	blobs/sha256.<hex>                         contents and manifests, of all repositories
//	repositories/<a!b>/manifests/sha256.<hex>  that repository a/b has a manifest: its media type and size
//	repositories/<a!b>/tags/<tag>@<n>          where a tag leads: the one with the highest number counts
//	repositories/<a!b>/referrers/…             that a manifest refers to another one
//	uploads/<random>                           what is not finished
//
// Everything is uploaded under another name, and moved when it is whole. A tag is moved by a file with the next number, which is
// moved to its place only if there is none: so there is one who wins, and there is nothing to lock or to undo.
type store struct{ *server }

var (
	_ oci.Store          = (*store)(nil)
	_ oci.RepoLister     = (*store)(nil)
	_ oci.ManifestReader = (*repo)(nil)
	_ oci.ReferrerLister = (*repo)(nil)
)

const (
	blobs        = "blobs"
	repositories = "repositories"
	maxName      = 200     // bytes of the name of a repository
	maxStates    = 1 << 20 // of a tag
	octetStream  = "application/octet-stream"
)

var (
	repoName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]*(/[a-zA-Z0-9_][a-zA-Z0-9._-]*)*$`)
	tagName  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

func (s *store) String() string { return "WebDAV::" + strings.TrimRight(s.base.String(), "/") }

func (s *store) Close() error { return nil }

// Repo implements [oci.Store].
func (s *store) Repo(name string) oci.Repo {
	return &repo{store: s, name: name, dir: path.Join(repositories, strings.ReplaceAll(name, "/", "!"))}
}

// Repos implements [oci.RepoLister].
func (s *store) Repos(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := s.list(ctx, repositories)
		if err != nil {
			yield("", err)
			return
		}
		for _, name := range names {
			if name = strings.ReplaceAll(name, "!", "/"); repoName.MatchString(name) && !yield(name, nil) {
				return
			}
		}
	}
}

// repo is one repository of a store.
type repo struct {
	store     *store
	name, dir string
}

// check refuses a repository that cannot be, and so never is.
func (r *repo) check() error {
	if len(r.name) > maxName || !repoName.MatchString(r.name) {
		return fmt.Errorf("repository %.300q: expected at most %d letters, digits, '.', '_', '-' and '/': %w", r.name, maxName, ocm.ErrInvalid)
	}
	return nil
}

// fileOf is the name of a file for a digest, which was checked.
func fileOf(d digest.Digest) string { return strings.Replace(d.String(), ":", ".", 1) }

func (r *repo) Origin() string { return "" }

// Fetch implements [ocm.Fetcher].
func (r *repo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if err := errors.Join(r.check(), blob.CheckDigest(d.Digest)); err != nil {
		return nil, err
	}
	return r.store.fetch(ctx, path.Join(blobs, fileOf(d.Digest)), d)
}

// Exists implements [oci.Repo].
func (r *repo) Exists(ctx context.Context, d ociv1.Descriptor) (bool, error) {
	if err := errors.Join(r.check(), blob.CheckDigest(d.Digest)); err != nil {
		return false, err
	}
	if blob.IsManifest(d.MediaType) {
		if _, err := r.store.size(ctx, path.Join(r.dir, "manifests", fileOf(d.Digest))); err != nil {
			return false, absent(err)
		}
	}
	size, err := r.store.size(ctx, path.Join(blobs, fileOf(d.Digest)))
	if err != nil {
		return false, absent(err)
	}
	return d.Size < 0 || d.Size == size, nil
}

// absent is no error about what is not there.
func absent(err error) error {
	if errors.Is(err, ocm.ErrNotFound) {
		return nil
	}
	return err
}

// Push implements [oci.Repo].
func (r *repo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	if err := r.check(); err != nil {
		return d, err
	}
	if d.MediaType == "" {
		d.MediaType = octetStream
	}
	if d.Digest == "" {
		return r.pushUnknown(ctx, d, src)
	}
	verified, err := blob.NewReader(io.NopCloser(src), d)
	if err != nil {
		return d, err
	}
	counted := &counter{r: verified}
	name := path.Join(blobs, fileOf(d.Digest))
	written, err := r.store.write(ctx, name, counted, d.Size)
	d.Size = counted.n
	if err == nil && !written { // it is there, unless that is only a part of it
		if there, err := r.Exists(ctx, ociv1.Descriptor{Digest: d.Digest, Size: d.Size}); err != nil || !there {
			return d, fmt.Errorf("%s is there in another length, and has to be removed: %w", name, errors.Join(err, ocm.ErrDigest))
		}
	}
	return d, err
}

// pushUnknown stores a blob that has a name only when it was read.
func (r *repo) pushUnknown(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	hash := sha256.New()
	counted := &counter{r: io.TeeReader(src, hash)}
	temp := path.Join(uploads, rand.Text())
	err := r.store.put(ctx, temp, counted, -1)
	moved := false
	if err == nil {
		d.Digest, d.Size = digest.NewDigest(digest.SHA256, hash), counted.n
		moved, err = r.store.move(ctx, temp, path.Join(blobs, fileOf(d.Digest)))
	}
	if !moved {
		r.store.drop(ctx, temp)
	}
	return d, err
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// PutManifest implements [oci.Repo]. The tag is the last thing that is written.
func (r *repo) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	switch {
	case !blob.IsManifest(d.MediaType):
		return fmt.Errorf("put manifest: %q is not the media type of a manifest or index: %w", d.MediaType, ocm.ErrInvalid)
	case tag != "" && !tagName.MatchString(tag):
		return fmt.Errorf("put manifest: tag %.200q: expected letters, digits, '_', '.', '-', at most 128: %w", tag, ocm.ErrInvalid)
	}
	if _, err := blob.ReadAll(ctx, blob.Bytes(d.MediaType, raw).From, d, blob.MaxManifest); err != nil {
		return fmt.Errorf("put manifest: %w", err)
	}
	if _, err := r.Push(ctx, d, bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("put manifest: %w", err)
	}
	subject, _, err := oci.AsReferrer(d, raw)
	if err != nil {
		return fmt.Errorf("put manifest: %w", err)
	}
	state := stateOf(d, raw)
	if subject != "" {
		if err := r.note(ctx, path.Join("referrers", fileOf(subject), fileOf(d.Digest)), state); err != nil {
			return err
		}
	}
	if err := r.note(ctx, path.Join("manifests", fileOf(d.Digest)), state); err != nil {
		return err
	}
	if tag == "" {
		return nil
	}
	return r.tag(ctx, tag, d, state, was)
}

// stateOf describes a manifest.
func stateOf(d ociv1.Descriptor, raw []byte) []byte {
	state, _ := jsonv2.Marshal(ociv1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: int64(len(raw))}) // made of texts
	return state
}

// note writes a small document that always says the same.
func (r *repo) note(ctx context.Context, name string, text []byte) error {
	_, err := r.store.write(ctx, path.Join(r.dir, name), bytes.NewReader(text), int64(len(text)))
	return err
}

// tag adds the next state of a tag.
func (r *repo) tag(ctx context.Context, tag string, d ociv1.Descriptor, state []byte, was oci.Was) error {
	for {
		n, at, err := r.latest(ctx, tag)
		if err != nil {
			return err
		}
		if err := was.Check(at.Digest); err != nil {
			return fmt.Errorf("repository %s: tag %s: found at %q: %w", r.name, tag, at.Digest, err)
		}
		switch {
		case at.Digest == d.Digest:
			return nil
		case n == maxStates:
			return fmt.Errorf("repository %s: tag %s was moved more than %d times: %w", r.name, tag, maxStates, ocm.ErrLimit)
		}
		written, err := r.store.write(ctx, r.stateFile(tag, n+1), bytes.NewReader(state), int64(len(state)))
		if written || err != nil {
			return err
		} // else somebody was faster: it is looked at again
	}
}

func (r *repo) stateFile(tag string, n int) string {
	return path.Join(r.dir, "tags", tag+"@"+strconv.Itoa(n))
}

// latest finds the number and the state of a tag; 0 if there is none. Numbers have no gaps, so that it takes few questions.
func (r *repo) latest(ctx context.Context, tag string) (n int, at ociv1.Descriptor, err error) {
	missing := 0 // the lowest number that is known to be missing; 0: none yet
	for missing == 0 || missing-n > 1 {
		try := max(1, 2*n)
		if missing > 0 {
			try = n + (missing-n)/2
		}
		if try > maxStates {
			return n, at, fmt.Errorf("repository %s: tag %s has more than %d states: %w", r.name, tag, maxStates, ocm.ErrLimit)
		}
		switch found, err := r.state(ctx, r.stateFile(tag, try)); {
		case errors.Is(err, ocm.ErrNotFound):
			missing = try
		case err != nil:
			return 0, at, err
		default:
			n, at = try, found
		}
	}
	return n, at, nil
}

// state reads the description of a manifest.
func (r *repo) state(ctx context.Context, name string) (d ociv1.Descriptor, err error) {
	raw, err := r.store.read(ctx, name)
	if err != nil {
		return d, err
	}
	if err := jsonv2.Unmarshal(raw, &d); err != nil || !blob.IsManifest(d.MediaType) || d.Size < 0 || blob.CheckDigest(d.Digest) != nil {
		return d, fmt.Errorf("repository %s: %s does not describe a manifest: %w", r.name, path.Base(name), ocm.ErrInvalid)
	}
	return ociv1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
}

// Resolve implements [oci.Repo].
func (r *repo) Resolve(ctx context.Context, ref string) (d ociv1.Descriptor, err error) {
	if err := r.check(); err != nil {
		return d, err
	}
	if want := digest.Digest(ref); strings.Contains(ref, ":") {
		if err := blob.CheckDigest(want); err != nil {
			return d, err
		}
		d, err = r.state(ctx, path.Join(r.dir, "manifests", fileOf(want)))
		if err == nil && d.Digest != want {
			err = fmt.Errorf("repository %s: expected %s, found %s: %w", r.name, want, d.Digest, ocm.ErrDigest)
		}
		return d, err
	}
	n := 0
	if tagName.MatchString(ref) {
		n, d, err = r.latest(ctx, ref)
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("repository %s: tag %.200q: %w", r.name, ref, ocm.ErrNotFound)
	}
	return d, err
}

// ReadManifest implements [oci.ManifestReader].
func (r *repo) ReadManifest(ctx context.Context, ref string) (ociv1.Descriptor, []byte, error) {
	d, err := r.Resolve(ctx, ref)
	if err != nil {
		return d, nil, err
	}
	raw, err := blob.ReadAll(ctx, r, d, blob.MaxManifest)
	if errors.Is(err, ocm.ErrNotFound) {
		err = fmt.Errorf("manifest: %v: %w", err, ocm.ErrInvalid) // damaged, and not absent
	}
	return d, raw, err
}

// Tags implements [oci.Repo].
func (r *repo) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := r.store.list(ctx, path.Join(r.dir, "tags"))
		if err = errors.Join(r.check(), err); err != nil {
			yield("", err)
			return
		}
		for i, name := range names {
			names[i], _, _ = strings.Cut(name, "@")
		}
		slices.Sort(names)
		for _, tag := range slices.Compact(names) {
			if tagName.MatchString(tag) && !yield(tag, nil) {
				return
			}
		}
	}
}

// Referrers implements [oci.ReferrerLister].
func (r *repo) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		if err := errors.Join(r.check(), blob.CheckDigest(d.Digest)); err != nil {
			yield(d, err)
			return
		}
		names, err := r.store.list(ctx, path.Join(r.dir, "referrers", fileOf(d.Digest)))
		if err != nil {
			yield(d, err)
			return
		}
		for _, name := range names {
			found, raw, err := r.ReadManifest(ctx, strings.Replace(name, ".", ":", 1))
			if errors.Is(err, ocm.ErrNotFound) {
				continue // noted, and then it was not stored
			}
			if err == nil {
				_, found, err = oci.AsReferrer(found, raw)
			}
			if (err != nil || artifactType == "" || found.ArtifactType == artifactType) && !yield(found, err) || err != nil {
				return
			}
		}
	}
}
