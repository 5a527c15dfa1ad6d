// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

const octetStream = "application/octet-stream"

// getManifest answers with a manifest that was compared with its digest. What the store has under a digest and is no manifest is
// none, whatever its media type would make of it in a browser.
func (g *Registry) getManifest(x *exchange) error {
	ctx, ref := x.r.Context(), x.route.ref
	byDigest := strings.Contains(ref, ":")
	if byDigest {
		if _, err := x.route.digestRef(); err != nil {
			return err
		}
	} else if !tagPattern.MatchString(ref) {
		return fmt.Errorf("tag %.200q: %w", ref, ocm.ErrNotFound) // nothing can have it
	}
	d, err := x.repo.Resolve(ctx, ref)
	switch {
	case err != nil:
		return err
	case !blob.IsManifest(d.MediaType):
		return fmt.Errorf("%s is a %.100q: %w", d.Digest, d.MediaType, ocm.ErrNotFound)
	case d.Size > blob.MaxManifest:
		return fmt.Errorf("manifest of %d bytes: %w", d.Size, ocm.ErrLimit)
	}
	h := x.w.Header()
	h.Set("Content-Type", d.MediaType)
	x.identify(d.Digest)
	if x.isKnown(d.Digest) {
		return x.empty(http.StatusNotModified)
	}
	if x.r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.FormatInt(d.Size, 10))
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	if err := g.sent.Acquire(ctx, max(0, d.Size)); err != nil {
		return err
	}
	defer g.sent.Release(max(0, d.Size))
	raw, err := blob.ReadAll(ctx, x.repo, d, blob.MaxManifest)
	if err != nil {
		return err
	}
	return x.bytes(raw)
}

// identify tells the digest of what is answered.
func (x *exchange) identify(d digest.Digest) {
	x.w.Header().Set("Docker-Content-Digest", string(d))
	x.w.Header().Set("ETag", etag(d))
}

func etag(d digest.Digest) string { return `"` + string(d) + `"` }

// isKnown reports whether the client says that it has what it asks for.
func (x *exchange) isKnown(d digest.Digest) bool {
	for known := range strings.SplitSeq(x.r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(known), "W/") == etag(d) {
			return true
		}
	}
	return false
}

// getBlob answers with a blob of the store, or a part of it, unverified.
func (g *Registry) getBlob(x *exchange) error {
	d, err := x.route.digestRef()
	if err != nil {
		return err
	}
	if x.r.Method == http.MethodHead && g.options.Writable { // mostly by who is about to push what needs it
		if _, err := oci.Keep(x.r.Context(), x.repo, ociv1.Descriptor{MediaType: octetStream, Digest: d, Size: -1}); err != nil {
			return err
		}
	}
	rc, err := x.repo.Fetch(x.r.Context(), ociv1.Descriptor{MediaType: octetStream, Digest: d, Size: -1})
	if err != nil {
		return err
	}
	defer rc.Close()
	from, err := sourceOf(rc)
	if err != nil {
		return err
	}
	defer from.close()
	x.identify(d)
	x.w.Header().Set("Content-Type", octetStream)
	if x.isKnown(d) {
		return x.empty(http.StatusNotModified)
	}
	return x.send(from)
}

// source is content to be sent.
type source struct {
	r      io.Reader
	seek   io.Seeker // nil if it can only be read from its beginning
	offset int64     // where the content begins
	size   int64     // below zero: not known
	own    *os.File  // to be closed
}

// sourceOf finds the shortest way to send what a store has opened. The file of an archive is shared by all who read in it, so
// that its place must not be moved: it is opened once more, and read through the store if it is another one by now.
func sourceOf(rc io.ReadCloser) (source, error) {
	switch in := rc.(type) {
	case *os.File:
		fi, err := in.Stat()
		if err != nil {
			return source{}, err
		}
		return source{r: in, seek: in, size: fi.Size()}, nil
	case oci.Extent:
		if f, offset, size := in.Extent(); f != nil {
			if own := reopen(f); own != nil {
				return source{r: own, seek: own, offset: offset, size: size, own: own}, nil
			}
		}
	}
	in, ok := rc.(io.ReadSeeker)
	if !ok {
		return source{r: rc, size: -1}, nil
	}
	size, err := in.Seek(0, io.SeekEnd)
	return source{r: in, seek: in, size: size}, err
}

// reopen opens the same file once more, if it still is the same.
func reopen(f *os.File) *os.File {
	own, err := os.OpenFile(f.Name(), os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe may have taken its place
	if err != nil {
		return nil
	}
	is, err := own.Stat()
	if was, werr := f.Stat(); err != nil || werr != nil || !os.SameFile(is, was) {
		own.Close()
		return nil
	}
	return own
}

func (s source) close() {
	if s.own != nil {
		s.own.Close()
	}
}

// send answers with all of the content or with the part that the client asks for.
func (x *exchange) send(from source) error {
	h := x.w.Header()
	if from.seek == nil || from.size < 0 {
		x.w.WriteHeader(http.StatusOK)
		return x.copy(from.r, MaxBlob, false)
	}
	h.Set("Accept-Ranges", "bytes")
	start, length, status := int64(0), from.size, http.StatusOK
	if ranges := x.r.Header.Get("Range"); ranges != "" && x.mayRange() {
		var ok bool
		if start, length, status, ok = parseRange(ranges, from.size); !ok {
			f := refuse(http.StatusRequestedRangeNotSatisfiable, codeSizeInvalid, "range %.100q: there are %d bytes", ranges, from.size)
			f.header = http.Header{"Content-Range": {fmt.Sprintf("bytes */%d", from.size)}}
			return f
		}
	}
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, start+length-1, from.size))
	}
	if _, err := from.seek.Seek(from.offset+start, io.SeekStart); err != nil {
		return err
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	return x.copy(from.r, length, true)
}

// mayRange is false if the client wants a part of something else, or everything.
func (x *exchange) mayRange() bool {
	known := x.r.Header.Get("If-Range")
	return x.r.Method == http.MethodGet && (known == "" || known == x.w.Header().Get("ETag"))
}

// copy sends n bytes, or what there is if that need not be exact, piece by piece, each in its time.
func (x *exchange) copy(r io.Reader, n int64, exact bool) error {
	if x.r.Method == http.MethodHead {
		return nil
	}
	for n > 0 {
		x.hurry(0)
		moved, err := io.CopyN(x.w, r, min(n, PieceSize))
		n -= moved
		if err == io.EOF && !exact {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
