// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/blob"
	"ocm/web"
)

// upload is what a registry has of a blob that is being sent.
type upload struct {
	at       *url.URL // where the next request goes
	has      int64    // bytes that are there
	least    int64    // smallest part that the registry takes, but for the last
	restored bool     // we did not send all that is there, or are not sure that it arrived
}

// Push stores a blob in two requests if digest and size are known (POST, PUT), else in three
// (POST, one PATCH that streams, PUT). It does not ask whether the blob is there already. A
// blob that takes long goes in several parts, so that it can be continued, see [repo.restore].
//
// The registry gets the last part of the bytes only after digest and size were found right, so
// that wrong content never is a complete upload. What fails for a reason that passes is
// continued or begun again up to [web.MaxRetries] times without progress, if r is an io.Seeker or nothing was
// read of it yet.
func (r *repo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	if r.invalid != nil {
		return ociv1.Descriptor{}, r.invalid
	}
	if d.Digest == "" && d.Size == 0 {
		d.Size = -1 // nothing is known: a descriptor without a digest says nothing by its zero size
	}
	var u *upload
	if d.Digest != "" {
		if err := blob.CheckDigest(d.Digest); err != nil {
			return ociv1.Descriptor{}, fmt.Errorf("%s: %w", r, err)
		}
		u = r.resume(ctx, d)
	}
	return r.push(ctx, d, newSource(src), u)
}

// push sends a blob, with as many attempts as it needs. u is an upload that was begun already, or nil.
func (r *repo) push(ctx context.Context, d ociv1.Descriptor, src *source, u *upload) (ociv1.Descriptor, error) {
	s := r.session
	ctx = r.scope(ctx, auth.ActionPull, auth.ActionPush)
	tries := s.peer.Tries()
	for {
		had := u.size()
		out, err := src.begin(ctx, d, had)
		if err != nil {
			return ociv1.Descriptor{}, r.giveUp(ctx, d, u, err)
		}
		u, err = r.attempt(ctx, d, out, u)
		complete, failed := out.stop()
		src.ended(out, failed)
		switch {
		case failed != nil && !src.canRestart(failed):
			err = fmt.Errorf("%s: upload: %w", r, failed) // the reason behind a broken request
			return ociv1.Descriptor{}, r.giveUp(ctx, d, u, err)
		case failed == nil && err == nil && complete:
			s.pending.forget(r.key(d))
			d.Digest, d.Size = out.sum, out.n
			return d, nil
		case err == nil:
			err = fmt.Errorf("%s: upload: the registry confirms before it has everything: %w", r, ocm.ErrInvalid)
			return ociv1.Descriptor{}, r.giveUp(ctx, d, u, err)
		}
		worth := failed != nil || r.worth(err, u)
		if ctx.Err() != nil || !worth || !tries.Again(busy(err), s.pace.Retries) {
			return ociv1.Descriptor{}, r.giveUp(ctx, d, u, err)
		}
		if !src.again() {
			return ociv1.Descriptor{}, r.giveUp(ctx, d, u, fmt.Errorf("%w (the source can be read only once: repeat the whole)", err))
		}
		s.env.Job.Counters().Retries.Add(1)
		if err := web.Pause(ctx, s.pace.Backoff(max(0, tries.N-1))); err != nil {
			return ociv1.Descriptor{}, r.giveUp(ctx, d, u, err)
		}
		if u = r.after(ctx, d, err, u); u.size() > had {
			tries.N = 0
		}
	}
}

func (r *repo) scope(ctx context.Context, actions ...string) context.Context {
	return auth.AppendRepositoryScope(ctx, r.oras.Reference, actions...)
}

// size is what there is of an upload; nil has nothing.
func (u *upload) size() int64 {
	if u == nil {
		return 0
	}
	return u.has
}

// attempt sends what the registry does not have. It returns the upload as far as it came.
func (r *repo) attempt(ctx context.Context, d ociv1.Descriptor, out *outgoing, u *upload) (*upload, error) {
	if u == nil {
		req, err := r.ask(ctx, http.MethodPost, "blobs/uploads/")
		if err != nil {
			return nil, err
		}
		if u, err = r.step(req, http.StatusAccepted, nil); err != nil {
			return nil, err
		}
	}
	if d.Digest == "" || d.Size < 0 {
		after, err := r.stream(ctx, u, d.Size, out)
		if err != nil {
			return u, err
		}
		sum := out.digest()
		if sum == "" {
			return after, fmt.Errorf("%s: upload: the registry confirms before it has everything: %w", r, ocm.ErrInvalid)
		}
		return after, r.finish(ctx, after, sum, 0, nil)
	}
	for {
		rest := d.Size - u.has
		n := r.session.rate.part(rest, u.least, r.session.pace.whole)
		began := time.Now()
		if n == rest {
			err := r.finish(ctx, u, d.Digest, rest, out)
			if err == nil {
				r.session.rate.add(n, time.Since(began))
			}
			return u, err
		}
		r.session.pending.save(r.key(d), u)
		after, err := r.patch(ctx, u, n, out)
		if err != nil {
			return u, err
		}
		u = after
		r.session.rate.add(n, time.Since(began))
		r.session.pending.save(r.key(d), u)
	}
}

// stream sends content of unknown size or digest in one PATCH.
func (r *repo) stream(ctx context.Context, u *upload, size int64, out *outgoing) (*upload, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, u.at.String(), out)
	if err != nil {
		return nil, err
	}
	req.ContentLength = -1
	if size > 0 {
		req.ContentLength = size
		req.Header.Set("Content-Range", fmt.Sprintf("0-%d", size-1))
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	return r.step(req, http.StatusAccepted, u)
}

// patch sends a part of the content.
func (r *repo) patch(ctx context.Context, u *upload, n int64, out *outgoing) (*upload, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, u.at.String(), io.LimitReader(out, n))
	if err != nil {
		return nil, err
	}
	req.ContentLength = n
	req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.has, u.has+n-1))
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := r.send(req, http.StatusAccepted) //nolint:bodyclose // web.Drop does it
	var f *failure
	if errors.As(err, &f) && u.has == 0 && f.code >= 400 && !web.PassingStatus(f.code) && f.code != http.StatusUnauthorized && f.code != http.StatusForbidden {
		return nil, r.noParts(err)
	}
	if err != nil {
		return nil, err
	}
	defer web.Drop(resp)
	after, err := r.next(req, resp, u)
	if err != nil {
		return nil, err
	}
	after.has = u.has + n
	// A registry need not say how much it has by now, but if it does, it has to be all.
	if has, said := parseUploadRange(resp.Header.Get("Range")); said && has != after.has {
		return nil, r.noParts(fmt.Errorf("%s: upload: %d bytes were sent, the registry says that it has %d", r, after.has, has))
	}
	return after, nil
}

// errNoParts: the registry takes blobs in one part only.
var errNoParts = errors.New("the registry does not take parts")

func (r *repo) noParts(err error) error {
	r.session.rate.onlyWhole()
	return fmt.Errorf("%w: %w", errNoParts, err)
}

// finish sends the PUT that ends an upload, with the rest of the content or with none.
func (r *repo) finish(ctx context.Context, u *upload, d digest.Digest, rest int64, out *outgoing) error {
	end := *u.at
	if end.RawQuery != "" {
		end.RawQuery += "&" // the registry's own query stays as it is: it may be signed
	}
	end.RawQuery += "digest=" + url.QueryEscape(d.String())
	var body io.Reader // nil can be sent again by the transport
	if rest > 0 {
		body = io.LimitReader(out, rest)
	} else if out != nil {
		if _, err := io.Copy(io.Discard, out); err != nil { // without anything to send it still has to be right
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, end.String(), body)
	if err != nil {
		return err
	}
	req.ContentLength = rest
	if u.has > 0 && rest > 0 {
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", u.has, u.has+rest-1))
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	_, err = r.step(req, http.StatusCreated, u)
	return err
}

// step sends one request of an upload and returns where the next one goes.
func (r *repo) step(req *http.Request, want int, u *upload) (*upload, error) {
	resp, err := r.send(req, want) //nolint:bodyclose // web.Drop does it
	if err != nil {
		return nil, err
	}
	defer web.Drop(resp)
	if want == http.StatusCreated {
		return nil, nil
	}
	return r.next(req, resp, u)
}

// send sends one request of an upload. The success that is wanted may also be another one, but for the end.
func (r *repo) send(req *http.Request, want int) (*http.Response, error) {
	resp, err := r.session.Do(req)
	if err != nil || resp.StatusCode == want || want != http.StatusCreated && resp.StatusCode <= 299 {
		return resp, err
	}
	defer resp.Body.Close()
	kind := ocm.ErrInvalid
	if resp.StatusCode == http.StatusNotFound {
		kind = ocm.ErrNotFound
	}
	text := fmt.Sprintf("%s: upload: expected status %d, found %d %s", r.session.place(req), want, resp.StatusCode, firstLine(resp))
	return nil, &failure{code: resp.StatusCode, cause: kind, text: text}
}

// next reads from an answer where an upload goes on.
func (r *repo) next(req *http.Request, resp *http.Response, u *upload) (*upload, error) {
	at, err := resp.Location()
	if err != nil || at.User != nil {
		return nil, &failure{text: r.session.place(req) + ": upload: the registry does not say where to send the content", cause: ocm.ErrInvalid}
	}
	after := &upload{at: at}
	if u != nil {
		*after = *u
		after.at = at
	} else if n, err := strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil && n > 0 {
		after.least = n
	}
	return after, nil
}

// abandon tells the registry to drop a half upload. It need not succeed: registries clean up.
func (r *repo) abandon(ctx context.Context, u *upload) {
	if u == nil || !web.SameOrigin(u.at, r.session.origin) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.scope(ctx, auth.ActionPull, auth.ActionPush)), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, u.at.String(), nil)
	if err != nil {
		return
	}
	if resp, err := r.session.Do(req); err == nil { //nolint:bodyclose // web.Drop does it
		web.Drop(resp)
	}
}

// giveUp ends an upload that failed. What the next run can continue stays; anything else is dropped, at the
// registry too unless that was the one to refuse it.
func (r *repo) giveUp(ctx context.Context, d ociv1.Descriptor, u *upload, err error) error {
	var f *failure
	answered := errors.As(err, &f) && f.code != 0
	refused := answered && !passing(err) || errors.Is(err, ocm.ErrDigest)
	if u != nil && !refused && r.session.pending.has(r.key(d)) {
		return err
	}
	r.session.pending.forget(r.key(d))
	if !answered {
		r.abandon(ctx, u)
	}
	return err
}

// worth tells whether an upload is worth another attempt.
func (r *repo) worth(err error, u *upload) bool {
	var f *failure
	switch {
	case passing(err), errors.Is(err, errNoParts):
		return true
	case !errors.As(err, &f) || f.code == 0:
		return false
	case f.code == http.StatusUnauthorized:
		return u != nil // the token has expired since the upload began; the next attempt gets a new one
	case f.code == http.StatusForbidden || f.code == http.StatusRequestEntityTooLarge:
		return false
	}
	return u != nil && (u.has > 0 && f.code != http.StatusBadRequest || u.restored) // the registry lost it
}

// after finds out where an upload goes on that has failed; nil if it has to begin anew.
func (r *repo) after(ctx context.Context, d ociv1.Descriptor, err error, u *upload) *upload {
	var f *failure
	var now *upload
	answered := errors.As(err, &f) && f.code != 0
	usable := !errors.Is(err, errNoParts) && (!answered || passing(err) || f.code == http.StatusUnauthorized)
	if u != nil && usable && d.Digest != "" && d.Size >= wholeSize {
		now, _ = r.status(ctx, u.at, d.Size) //nolint:errcheck // then it begins anew
	}
	if now == nil {
		r.session.pending.forget(r.key(d))
		if !answered {
			r.abandon(ctx, u)
		}
		return nil
	}
	now.least = u.least
	return now
}

// passing tells failures that may be gone the next time.
func passing(err error) bool {
	var f *failure
	return errors.As(err, &f) && (web.PassingStatus(f.code) || f.code == 0 && (web.Passes(nil, err) || errors.Is(err, web.ErrSilent)))
}

// busy tells that a request was refused as one too many.
func busy(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.code == http.StatusTooManyRequests
}
