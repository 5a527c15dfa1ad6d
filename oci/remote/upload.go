// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/blob"
)

// Push stores a blob in two requests if digest and size are known (POST, PUT), else in three
// (POST, one PATCH that streams, PUT). It does not ask whether the blob is there already.
//
// The registry gets the last part of the bytes only after digest and size were found right, so
// that wrong content never is a complete upload. What fails for a reason that passes is begun
// again up to [MaxRetries] times, if r is an io.Seeker or nothing was read of it yet.
func (r *repo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	if r.invalid != nil {
		return ociv1.Descriptor{}, r.invalid
	}
	if d.Digest != "" {
		if err := blob.CheckDigest(d.Digest); err != nil {
			return ociv1.Descriptor{}, fmt.Errorf("%s: %w", r, err)
		}
	} else if d.Size == 0 {
		d.Size = -1 // nothing is known: a descriptor without a digest says nothing by its zero size
	}
	ctx = auth.AppendRepositoryScope(ctx, r.oras.Reference, auth.ActionPull, auth.ActionPush)
	seeker, start := position(src)
	for attempt := 0; ; attempt++ {
		out, err := newOutgoing(src, d)
		if err != nil {
			return ociv1.Descriptor{}, err
		}
		err = r.upload(ctx, d, out)
		out.stop()
		if err == nil {
			d.Digest, d.Size = out.sum, out.n
			return d, nil
		}
		if attempt == r.session.pace.retries || ctx.Err() != nil || !passing(err) {
			return ociv1.Descriptor{}, err
		}
		if out.n > 0 && seeker == nil {
			return ociv1.Descriptor{}, fmt.Errorf("%w (the source can be read only once: repeat the whole)", err)
		}
		if seeker != nil {
			if _, seekErr := seeker.Seek(start, io.SeekStart); seekErr != nil {
				return ociv1.Descriptor{}, err
			}
		}
		if err := pause(ctx, r.session.pace.wait<<attempt); err != nil {
			return ociv1.Descriptor{}, err
		}
	}
}

// upload is one attempt.
func (r *repo) upload(ctx context.Context, d ociv1.Descriptor, out *outgoing) error {
	req, err := r.ask(ctx, http.MethodPost, "blobs/uploads/")
	if err != nil {
		return err
	}
	at, err := r.step(req, http.StatusAccepted)
	if err != nil {
		return err
	}
	if d.Digest != "" && d.Size >= 0 {
		err = r.finish(ctx, at, d.Digest, d.Size, out)
	} else {
		var after *url.URL
		if after, err = r.stream(ctx, at, d.Size, out); err == nil {
			at, err = after, r.finish(ctx, after, out.sum, 0, nil)
		}
	}
	complete, failed := out.outcome()
	if failed != nil {
		err = fmt.Errorf("%s: upload: %w", r, failed) // the reason behind a broken request
	} else if err == nil && !complete {
		err = fmt.Errorf("%s: upload: the registry confirms before it has everything: %w", r, ocm.ErrInvalid)
	}
	var f *failure
	if err != nil && (!errors.As(err, &f) || f.code != 0) {
		r.abandon(ctx, at)
	}
	return err
}

// stream sends everything in one PATCH.
func (r *repo) stream(ctx context.Context, at *url.URL, size int64, out *outgoing) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, at.String(), out)
	if err != nil {
		return nil, err
	}
	req.ContentLength = -1
	if size > 0 {
		req.ContentLength = size
		req.Header.Set("Content-Range", fmt.Sprintf("0-%d", size-1))
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	return r.step(req, http.StatusAccepted)
}

// finish sends the PUT that ends an upload, with the whole content or with none.
func (r *repo) finish(ctx context.Context, at *url.URL, d digest.Digest, size int64, out *outgoing) error {
	end := *at
	if end.RawQuery != "" {
		end.RawQuery += "&" // the registry's own query stays as it is: it may be signed
	}
	end.RawQuery += "digest=" + url.QueryEscape(d.String())
	var body io.Reader // nil can be sent again by the transport
	if size > 0 {
		body = out
	} else if out != nil {
		if _, err := io.Copy(io.Discard, out); err != nil { // empty content still has to be empty
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, end.String(), body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/octet-stream")
	_, err = r.step(req, http.StatusCreated)
	return err
}

// step sends one request of an upload and returns where the next one goes.
func (r *repo) step(req *http.Request, want int) (*url.URL, error) {
	resp, err := r.session.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want && (want == http.StatusCreated || resp.StatusCode > 299) {
		said := firstLine(resp)
		kind := ocm.ErrInvalid
		if resp.StatusCode == http.StatusNotFound {
			kind = ocm.ErrNotFound
		}
		return nil, &failure{code: resp.StatusCode, cause: kind, text: fmt.Sprintf("%s: upload: expected status %d, found %d %s", r.session.place(req), want, resp.StatusCode, said)}
	}
	if want == http.StatusCreated {
		return nil, nil
	}
	at, err := resp.Location()
	if err != nil || at.User != nil {
		return nil, &failure{text: r.session.place(req) + ": upload: the registry does not say where to send the content", cause: ocm.ErrInvalid}
	}
	return at, nil
}

// abandon tells the registry to drop a half upload. It need not succeed: registries clean up.
func (r *repo) abandon(ctx context.Context, at *url.URL) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, at.String(), nil)
	if err != nil || !sameOrigin(at, r.session.origin) {
		return
	}
	if resp, err := r.session.Do(req); err == nil {
		resp.Body.Close()
	}
}

// passing tells whether an upload is worth another attempt.
func passing(err error) bool {
	var f *failure
	return errors.As(err, &f) && (passingStatus(f.code) || f.code == 0 && passes(nil, err))
}

func position(src io.Reader) (io.Seeker, int64) {
	if s, ok := src.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			return s, at
		}
	}
	return nil, 0
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
