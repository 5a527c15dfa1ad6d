// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// smallBlob is the size up to which a store is told the size of a blob that comes in one request, which makes it quicker. The rest of
// a larger one that broke would be kept for a next attempt that knows how to go on; nobody here does.
const smallBlob = 64 << 10

// postUpload begins an upload, or does all of it where the blob is here already or comes along.
func (g *Registry) postUpload(x *exchange) error {
	q := x.r.URL.Query()
	if q.Has("mount") {
		if d, ok := g.mount(x, q.Get("mount"), q.Get("from")); ok {
			return x.created(d)
		}
	} else if q.Has("digest") {
		d, err := parseDigest(q.Get("digest"))
		if err != nil {
			return err
		}
		if err := g.uploads.enter(); err != nil {
			return err
		}
		defer g.uploads.leave()
		if err := x.pushWhole(d); err != nil {
			return err
		}
		return x.created(d)
	}
	u, err := g.uploads.begin(x.route.name, x.repo)
	if err != nil {
		return err
	}
	x.progress(u)
	return x.empty(http.StatusAccepted)
}

// mount takes a blob over from another repository, or finds that it is there: then it need not be told from where. Whatever is
// wrong with it only means that the client has to push.
func (g *Registry) mount(x *exchange, mount, from string) (digest.Digest, bool) {
	ctx := x.r.Context()
	d, err := parseDigest(mount)
	if err != nil {
		return "", false
	}
	want := ociv1.Descriptor{MediaType: octetStream, Digest: d, Size: -1}
	if there, err := oci.Keep(ctx, x.repo, want); there || err != nil {
		return d, there
	}
	if checkName(from) != nil || g.uploads.enter() != nil {
		return "", false
	}
	defer g.uploads.leave()
	rc, err := g.store.Repo(from).Fetch(ctx, want)
	if err != nil {
		return "", false
	}
	defer rc.Close()
	_, err = x.repo.Push(ctx, want, rc)
	return d, err == nil
}

// pushWhole stores the body of a request as a blob.
func (x *exchange) pushWhole(d digest.Digest) error {
	in := x.body(MaxBlob)
	want := ociv1.Descriptor{MediaType: octetStream, Digest: d, Size: -1}
	if n := x.r.ContentLength; n >= 0 && n <= smallBlob {
		want.Size = n
	}
	_, err := x.repo.Push(x.r.Context(), want, in)
	return pushed(in, d, err)
}

// pushed says what went wrong with a push: the body, the digest, or the store.
func pushed(in *body, d digest.Digest, err error) error {
	switch {
	case err == nil:
		return nil
	case in.err != nil:
		return broken(in.err)
	case errors.Is(err, ocm.ErrDigest):
		return refuse(http.StatusBadRequest, codeDigestInvalid, "what came does not have the digest %s: nothing was stored", d).because(err)
	}
	return err
}

// created answers that a blob is there.
func (x *exchange) created(d digest.Digest) error {
	x.w.Header().Set("Location", "/v2/"+x.route.name+"/blobs/"+string(d))
	x.w.Header().Set("Docker-Content-Digest", string(d))
	return x.empty(http.StatusCreated)
}

// progress tells how far an upload is. Where nothing came yet, the range is what Docker's registries say.
func (x *exchange) progress(u *upload) {
	h := x.w.Header()
	h.Set("Location", "/v2/"+u.name+"/blobs/uploads/"+u.id)
	h.Set("Docker-Upload-UUID", u.id)
	h.Set("Range", fmt.Sprintf("0-%d", max(0, u.has-1)))
}

// getUpload tells how far an upload is.
func (g *Registry) getUpload(x *exchange) error {
	u, back, err := g.uploads.take(x.route.ref, x.route.name)
	if err != nil {
		return err
	}
	defer back()
	x.progress(u)
	return x.empty(http.StatusNoContent)
}

// deleteUpload gives an upload up.
func (g *Registry) deleteUpload(x *exchange) error {
	u, back, err := g.uploads.take(x.route.ref, x.route.name)
	if err != nil {
		return err
	}
	defer back()
	g.uploads.drop(u)
	return x.empty(http.StatusNoContent)
}

// patchUpload takes the next piece.
func (g *Registry) patchUpload(x *exchange) error {
	u, back, err := g.uploads.take(x.route.ref, x.route.name)
	if err != nil {
		return err
	}
	defer back()
	if err := g.addChunk(x, u); err != nil {
		return err
	}
	x.progress(u)
	return x.empty(http.StatusAccepted)
}

// addChunk adds the body to an upload. After a failure of the store the upload is over; a body that broke may be continued.
func (g *Registry) addChunk(x *exchange, u *upload) error {
	length, err := x.chunk(u)
	if err != nil {
		return err
	}
	in := x.body(MaxBlob - u.has)
	from := io.Reader(in)
	if length >= 0 {
		from = io.LimitReader(in, length)
	}
	buf := g.buffers.Get().(*[copySize]byte)
	defer g.buffers.Put(buf)
	n, err := u.add(x.r.Context(), from, buf[:])
	switch {
	case in.err != nil:
		if errors.Is(in.err, errTooLarge) {
			g.uploads.drop(u)
		}
		return broken(in.err)
	case err != nil:
		g.uploads.drop(u)
		return err
	case length < 0:
		return nil
	}
	if more, _ := io.ReadFull(in, make([]byte, 1)); n < length || more > 0 {
		x.progress(u)
		return refuse(http.StatusBadRequest, codeSizeInvalid, "the body does not have the %d bytes of its Content-Range", length)
	}
	return nil
}

// chunk compares the place of a piece with what is there. It returns its length, below zero if that was not told.
func (x *exchange) chunk(u *upload) (int64, error) {
	header := x.r.Header.Get("Content-Range")
	if header == "" {
		return -1, nil
	}
	start, length, ok := parseContentRange(header)
	if !ok || start != u.has {
		x.progress(u)
		return 0, refuse(http.StatusRequestedRangeNotSatisfiable, codeUploadInvalid, "range %.100q: the next byte is %d", header, u.has)
	}
	if x.r.ContentLength >= 0 && x.r.ContentLength != length {
		x.progress(u)
		return 0, refuse(http.StatusBadRequest, codeSizeInvalid, "range %.100q and a body of %d bytes", header, x.r.ContentLength)
	}
	return length, nil
}

// putUpload ends an upload, with a last piece or without. A blob that comes whole in this request goes to the store as
// one that was known before.
func (g *Registry) putUpload(x *exchange) error {
	d, err := parseDigest(x.r.URL.Query().Get("digest"))
	if err != nil {
		return err
	}
	u, back, err := g.uploads.take(x.route.ref, x.route.name)
	if err != nil {
		return err
	}
	defer back()
	if u.in == nil && x.r.Header.Get("Content-Range") == "" {
		err = x.pushWhole(d)
		if f := (*failure)(nil); !errors.As(err, &f) || f.errors[0].Code == codeDigestInvalid {
			g.uploads.drop(u)
		}
	} else if err = g.addChunk(x, u); err == nil {
		err = pushed(&body{}, d, u.finish(x.r.Context(), d))
		g.uploads.drop(u)
	}
	if err != nil {
		return err
	}
	return x.created(d)
}
