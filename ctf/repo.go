// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"
	"unicode"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// octetStream is the media type of content about which nothing is known.
const octetStream = "application/octet-stream"

var tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// repo is one repository of the index. Blobs are shared by all repositories of a CTF.
type repo struct {
	s    *Store
	name string
}

// wrap says where an error happened.
func (r *repo) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("CTF %s: repository %s: %w", r.s.path, r.name, err)
}

func (r *repo) Origin() string { return "" }

func (r *repo) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return nil, r.wrap(err)
	}
	rc, err := r.s.files.open(ctx, d.Digest)
	if err != nil {
		return nil, r.wrap(err)
	}
	return rc, nil
}

// Exists is true for a manifest if the index lists it in this repository, too.
func (r *repo) Exists(ctx context.Context, d ociv1.Descriptor) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return false, r.wrap(err)
	}
	if blob.IsManifest(d.MediaType) {
		idx, err := r.s.index(r.name)
		if err != nil {
			return false, r.wrap(err)
		}
		if _, listed := idx.digest(r.name, d.Digest); !listed {
			return false, nil
		}
	}
	size, err := r.s.files.stat(d.Digest)
	switch {
	case errors.Is(err, ocm.ErrNotFound):
		return false, nil
	case err != nil:
		return false, r.wrap(err)
	}
	return d.Size < 0 || d.Size == size, nil
}

// Resolve finds tags, and digests of manifests that the index lists. A digest that it does not
// list may still be a manifest that is nested in one of them, or a blob, which is then an application/octet-stream:
// some writers list what has a tag and nothing else.
func (r *repo) Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return ociv1.Descriptor{}, err
	}
	idx, err := r.s.index(r.name)
	if err != nil {
		return ociv1.Descriptor{}, r.wrap(err)
	}
	d, err := r.resolve(ctx, idx, ref)
	for range resolveTries { // what the index listed a moment ago may have been deleted since, by another process, too
		now, nerr := r.s.index(r.name)
		if err == nil || nerr != nil || now == idx {
			break
		}
		idx = now
		d, err = r.resolve(ctx, idx, ref)
	}
	return d, r.wrap(err)
}

// resolveTries is how often a manifest is looked for that is not as the index says, while that changes.
const resolveTries = 4

func (r *repo) resolve(ctx context.Context, idx *index, ref string) (ociv1.Descriptor, error) {
	var none ociv1.Descriptor
	want := digest.Digest(ref)
	byDigest := strings.Contains(ref, ":")
	if byDigest {
		if err := blob.CheckDigest(want); err != nil {
			return none, err
		}
	}
	var e entry
	var listed bool
	if byDigest {
		e, listed = idx.digest(r.name, want)
		e.Digest = want
	} else {
		e, listed = idx.tag(r.name, ref)
	}
	if !listed && (!byDigest || !idx.has(r.name)) {
		return none, fmt.Errorf("manifest %q: %w", ref, ocm.ErrNotFound)
	}
	size, err := r.s.files.stat(e.Digest)
	if listed && errors.Is(err, ocm.ErrNotFound) { // damaged, and not absent
		return none, fmt.Errorf("manifest %q is in the index, but %v: %w", ref, err, ocm.ErrInvalid)
	}
	if err != nil {
		return none, fmt.Errorf("manifest %q: %w", ref, err)
	}
	d := ociv1.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: size}
	if d.MediaType == "" {
		d.MediaType, err = r.mediaType(ctx, d)
	}
	if err == nil && listed && d.MediaType == octetStream && e.MediaType == "" {
		err = fmt.Errorf("manifest %q: %s is neither a manifest nor an index: %w", ref, e.Digest, ocm.ErrInvalid)
	}
	if err == nil && !listed && blob.IsManifest(d.MediaType) {
		err = r.belongs(ctx, idx, d.Digest)
	}
	return d, err
}

// belongs looks whether a manifest that is not listed is nested in one that is: else it belongs to another repository, or it
// was deleted. What comes through a pipe cannot be looked up in another order, and nothing was deleted there.
func (r *repo) belongs(ctx context.Context, idx *index, d digest.Digest) error {
	if _, ok := r.s.files.(*pipe); ok {
		return nil
	}
	by, err := r.s.parent(ctx, idx.relatives(r.name), d, true)
	if err == nil && by == "" {
		err = fmt.Errorf("manifest %s: %w", d, ocm.ErrNotFound)
	}
	return err
}

// mediaType looks into content whose media type is not written down.
func (r *repo) mediaType(ctx context.Context, d ociv1.Descriptor) (string, error) {
	if d.Size > blob.MaxManifest {
		return octetStream, nil
	}
	raw, err := blob.ReadAll(ctx, r, d, blob.MaxManifest)
	if err != nil {
		return "", err
	}
	return sniff(raw), nil
}

// sniff tells manifests and indexes from other content. A document that is both is neither.
func sniff(raw []byte) string {
	var m struct {
		SchemaVersion int         `json:"schemaVersion"`
		MediaType     string      `json:"mediaType"`
		Config        ocm.RawJSON `json:"config"`
		Layers        ocm.RawJSON `json:"layers"`
		Manifests     ocm.RawJSON `json:"manifests"`
	}
	if jsonv2.Unmarshal(raw, &m) != nil || m.SchemaVersion != 2 {
		return octetStream
	}
	isManifest, isIndex := m.Config != nil || m.Layers != nil, m.Manifests != nil
	switch {
	case isManifest == isIndex:
		return octetStream
	case blob.IsManifest(m.MediaType):
		return m.MediaType
	case m.MediaType != "":
		return octetStream
	case isIndex:
		return ociv1.MediaTypeImageIndex
	}
	return ociv1.MediaTypeImageManifest
}

// Tags lists in the order of the index.
func (r *repo) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		idx, err := r.s.index(r.name)
		if err != nil {
			yield("", r.wrap(err))
			return
		}
		for _, i := range idx.repo(r.name) {
			tag := idx.entries[i].Tag
			if ctx.Err() != nil {
				yield("", context.Cause(ctx))
				return
			}
			if first, _ := idx.tags.get(ref{r.name, tag}); tag == "" || first != i {
				continue // untagged, or the same entry once more
			}
			if !yield(tag, nil) {
				return
			}
		}
	}
}

func (r *repo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	if err := r.writable(); err != nil {
		return ociv1.Descriptor{}, r.wrap(err)
	}
	if d.Digest != "" {
		if err := blob.CheckDigest(d.Digest); err != nil {
			return ociv1.Descriptor{}, r.wrap(err)
		}
	}
	d, err := r.s.sink(r.name).push(ctx, d, src)
	return d, r.wrap(err)
}

// Place implements [oci.Placer]. Blobs are shared by the repositories of a CTF: what one of them has
// is there.
func (r *repo) Place(ctx context.Context, d ociv1.Descriptor, _ []string, open func(context.Context) (io.ReadCloser, error)) (oci.How, error) {
	if err := r.writable(); err != nil {
		return oci.Found, r.wrap(err)
	}
	if there, err := r.Keep(ctx, d); there || err != nil {
		return oci.Found, err
	}
	how, err := r.s.sink(r.name).place(ctx, d, open)
	return how, r.wrap(err)
}

// PutManifest does not look whether the children are there: that is up to the caller.
func (r *repo) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	return r.wrap(r.putManifest(ctx, d, raw, tag, was))
}

func (r *repo) putManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	if err := r.writable(); err != nil {
		return err
	}
	if err := blob.CheckDigest(d.Digest); err != nil {
		return err
	}
	switch {
	case !blob.IsManifest(d.MediaType):
		return fmt.Errorf("put manifest: %q is not the media type of a manifest or index: %w", d.MediaType, ocm.ErrInvalid)
	case tag != "" && !tagPattern.MatchString(tag):
		return fmt.Errorf("put manifest: tag %.200q: expected letters, digits, '_', '.', '-', at most 128: %w", tag, ocm.ErrInvalid)
	case len(raw) > blob.MaxManifest:
		return fmt.Errorf("put manifest: %d bytes, accepted are %d: %w", len(raw), blob.MaxManifest, ocm.ErrLimit)
	}
	for range putTries - 1 {
		if err := r.list(ctx, d, raw, tag, was); !errors.Is(err, errTakenAway) {
			return err
		}
	}
	return r.list(ctx, d, raw, tag, was)
}

// putTries is how often a manifest is stored that others take away before it is in the index.
const putTries = 4

var errTakenAway = fmt.Errorf("put manifest: it was taken away again: %w", ocm.ErrConflict)

// list stores a manifest and puts it into the index.
func (r *repo) list(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	if _, err := r.s.sink(r.name).push(ctx, d, bytes.NewReader(raw)); err != nil {
		return fmt.Errorf("put manifest: %w", err)
	}
	return r.s.sink(r.name).update(ctx, tag != "", func(idx *index) (*index, error) {
		if tag != "" {
			old, _ := idx.tag(r.name, tag)
			if err := was.Check(old.Digest); err != nil {
				return nil, fmt.Errorf("tag %s: found at %q: %w", tag, old.Digest, err)
			}
		}
		if dir, ok := r.s.sink(r.name).(*directory); ok { // while the index changes nobody deletes blobs, but one that was here before may be gone by now
			if _, _, err := dir.lstat(d.Digest); errors.Is(err, ocm.ErrNotFound) {
				return nil, errTakenAway
			}
		}
		return idx.with(entry{Repository: r.name, Tag: tag, Digest: d.Digest, MediaType: d.MediaType})
	})
}

// writable tells whether this repository can take content. The name would come back from the
// index of a CTF that others read, so it must be one that they accept.
func (r *repo) writable() error {
	if r.s.sink(r.name) == nil {
		return fmt.Errorf("it comes through a pipe and cannot be written: %w", errors.ErrUnsupported)
	}
	odd := func(c rune) bool {
		return c == '\\' || c == ':' || c > unicode.MaxASCII || !unicode.IsGraphic(c) || c == ' '
	}
	if len(r.name) > MaxName/2 || strings.ContainsFunc(r.name, odd) {
		return fmt.Errorf("name %.200q: expected at most %d printable ASCII characters without ':', '\\' and space: %w", r.name, MaxName/2, ocm.ErrInvalid)
	}
	for part := range strings.SplitSeq(r.name, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("name %.200q: segment %q: %w", r.name, part, ocm.ErrInvalid)
		}
	}
	return nil
}
