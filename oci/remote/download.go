// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
)

// MaxResumes is how often a download goes on after it broke off, without progress in between.
const MaxResumes = 5

const (
	// smallDownload is the size up to which a blob is asked for when it is opened. Larger ones
	// wait for the first Read, so that a Seek before it costs nothing.
	smallDownload = 1 << 20
	// resumeProgress is how many bytes must have come for a break to be the first one again.
	// A registry that sends one byte per connection does not get far.
	resumeProgress = 1 << 20
)

// download reads a blob: with one request if nothing breaks. Where it breaks off it goes on with
// a range request. Whether the parts fit is seen by whoever checks the digest.
type download struct {
	repo   *repo
	ctx    context.Context
	d      ociv1.Descriptor
	size   int64         // -1: not known yet
	body   io.ReadCloser // nil: nothing is open
	at     int64         // place of the next byte
	came   int64         // bytes since the last break that counts
	breaks int           // without progress in between
	broken error         // the last of them
	closed bool
}

// open prepares a download. That a large blob is missing is told by the first Read.
func (r *repo) open(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	get := &download{repo: r, ctx: ctx, d: d, size: d.Size}
	if d.Size >= 0 && d.Size > smallDownload {
		return get, nil
	}
	if err := get.request(); err != nil {
		return nil, err
	}
	return get, nil
}

func (g *download) Read(p []byte) (int, error) {
	for {
		switch {
		case g.closed:
			return 0, errors.New("read after close")
		case len(p) == 0:
			return 0, nil
		case g.body == nil && g.at > 0 && g.size >= 0 && g.at >= g.size:
			return 0, io.EOF
		}
		if g.body == nil {
			if err := g.request(); err != nil {
				if g.broken == nil {
					return 0, err
				}
				if passing(err) && g.mayResume(err) {
					continue
				}
				return 0, fmt.Errorf("%w (it cannot be continued: %v)", g.broken, err)
			}
		}
		n, err := g.body.Read(p)
		g.at += int64(n)
		g.came += int64(n)
		if err == io.EOF && g.size >= 0 && g.at < g.size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil || err == io.EOF {
			return n, err
		}
		if g.broken = err; !g.mayResume(err) {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

// mayResume closes what broke and waits a little, unless it broke too often. A registry that has gone
// silent gets one more chance, not five.
func (g *download) mayResume(err error) bool {
	g.drop()
	if g.ctx.Err() != nil {
		return false
	}
	if g.came >= resumeProgress {
		g.breaks = 0
	}
	g.came = 0
	g.breaks++
	if errors.Is(err, errStalled) {
		g.breaks += MaxResumes / 2
	}
	if g.breaks > MaxResumes || g.at > 0 && g.size < 0 {
		return false
	}
	g.repo.session.env.Job.Counters().Retries.Add(1)
	if g.breaks == 1 {
		return true // a link that drops now and then costs no wait
	}
	return pause(g.ctx, g.repo.session.pace.backoff(g.breaks-2)) == nil
}

// request asks for the content from where we are.
func (g *download) request() error {
	req, err := g.repo.ask(g.ctx, http.MethodGet, "blobs/"+g.d.Digest.String(), auth.ActionPull)
	if err != nil {
		return err
	}
	if g.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", g.at))
	}
	resp, err := g.repo.session.Do(req)
	if err != nil {
		return err
	}
	if err := g.accept(req, resp); err != nil {
		drop(resp)
		return err
	}
	g.body = resp.Body
	return nil
}

// accept judges the answer to a request for content.
func (g *download) accept(req *http.Request, resp *http.Response) error {
	at := g.repo.session.place(req)
	total := resp.ContentLength
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %s: %w", g.repo, g.d.Digest, ocm.ErrNotFound)
	case resp.StatusCode == http.StatusPartialContent && g.at > 0:
		first, all, ok := parseContentRange(resp.Header.Get("Content-Range"))
		if !ok || first != g.at {
			return &failure{text: fmt.Sprintf("%s: expected bytes from %d on, the registry sends %.100q", at, g.at, resp.Header.Get("Content-Range")), cause: ocm.ErrInvalid}
		}
		if total = all; total < 0 && resp.ContentLength >= 0 {
			total = g.at + resp.ContentLength
		}
	case resp.StatusCode != http.StatusOK:
		return &failure{code: resp.StatusCode, text: fmt.Sprintf("%s: expected status 200, found %d", at, resp.StatusCode), cause: ocm.ErrInvalid}
	case g.at > 0:
		return &failure{text: at + ": the registry sends content from its beginning only", cause: errors.ErrUnsupported}
	}
	if total >= 0 && g.size >= 0 && total != g.size {
		return &failure{text: fmt.Sprintf("%s: expected %d bytes, the registry says %d", at, g.size, total), cause: ocm.ErrDigest}
	}
	if g.size < 0 {
		g.size = total
	}
	return nil
}

// Seek implements io.Seeker. It sends nothing: the next Read asks for the content from there
// on, and fails with [errors.ErrUnsupported] if the registry sends it from the beginning
// only; then it has to be read anew. io.SeekEnd needs a known size.
func (g *download) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += g.at
	case io.SeekEnd:
		if g.size < 0 {
			return g.at, fmt.Errorf("%s: %s: the size is not known: %w", g.repo, g.d.Digest, errors.ErrUnsupported)
		}
		offset += g.size
	default:
		return g.at, fmt.Errorf("seek: whence %d: %w", whence, ocm.ErrInvalid)
	}
	switch ahead := offset - g.at; {
	case offset < 0 || g.closed:
		return g.at, fmt.Errorf("seek to %d: %w", offset, ocm.ErrInvalid)
	case ahead == 0:
	case g.body != nil && 0 < ahead && ahead <= smallDownload && (g.size < 0 || offset <= g.size):
		if n, err := io.CopyN(io.Discard, g.body, ahead); err != nil { // cheaper than another request
			g.drop()
			g.at += n
		}
	default:
		g.drop()
	}
	g.at, g.broken = offset, nil
	return offset, nil
}

func (g *download) drop() {
	if g.body != nil {
		g.body.Close()
		g.body = nil
	}
}

func (g *download) Close() error {
	g.drop()
	g.closed = true
	return nil
}

// parseContentRange reads "bytes first-last/total"; total is -1 if it is "*".
func parseContentRange(v string) (first, total int64, ok bool) {
	v, ok = strings.CutPrefix(v, "bytes ")
	span, all, hasTotal := strings.Cut(v, "/")
	from, to, hasTo := strings.Cut(span, "-")
	first, e1 := parseSize(from)
	last, e2 := parseSize(to)
	if !ok || !hasTotal || !hasTo || !e1 || !e2 || last < first {
		return 0, 0, false
	}
	if all == "*" {
		return first, -1, true
	}
	total, ok = parseSize(all)
	return first, total, ok && last < total
}

// parseUploadRange reads how much of an upload a registry has: "0-last", by some with "bytes="
// in front. Some say 0-0 for nothing, and one byte is not worth to know better.
func parseUploadRange(v string) (size int64, ok bool) {
	v = strings.TrimPrefix(strings.TrimPrefix(v, "bytes="), "bytes ")
	from, to, _ := strings.Cut(v, "-")
	last, ok := parseSize(to)
	if from != "0" || !ok {
		return 0, false
	}
	if last == 0 {
		return 0, true
	}
	return last + 1, true
}

// parseSize reads digits only.
func parseSize(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 62)
	return int64(n), err == nil
}
