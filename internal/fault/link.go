// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Link is an http.RoundTripper on which something happens to the requests that its steps name.
// Steps are the requests that its kind of fault can act on.
type Link struct {
	Base  http.RoundTripper
	Steps *Steps
	Kind  Kind // the zero value does nothing
}

// RoundTrip implements http.RoundTripper.
func (l *Link) RoundTrip(req *http.Request) (*http.Response, error) {
	name := req.Method + " " + req.URL.Host + req.URL.Path
	if l.Kind.on != nil && !l.Kind.on(req) || !l.Steps.next(name) || l.Kind.do == nil {
		return l.Base.RoundTrip(req)
	}
	l.Steps.hit(name)
	return l.Kind.do(l.Base, req)
}

// Kind is something that happens to a request.
type Kind struct {
	Name string
	// Passes says that the same request can succeed when it is sent again, and that nothing in the
	// answer tells otherwise: whoever repeats requests gets over one of these.
	Passes bool
	on     func(req *http.Request) bool // nil: every request
	do     func(base http.RoundTripper, req *http.Request) (*http.Response, error)
}

// CutBefore is a connection that ends before the server has seen the request.
func CutBefore() Kind {
	return Kind{"cut before the request", true, nil, func(_ http.RoundTripper, req *http.Request) (*http.Response, error) {
		closeBody(req)
		return nil, reset()
	}}
}

// CutAfter is a connection that ends when the server has done what it was asked for.
func CutAfter() Kind {
	return Kind{"cut before the answer", false, nil, func(base http.RoundTripper, req *http.Request) (*http.Response, error) {
		if resp, err := base.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		return nil, reset()
	}}
}

// BreakUpload lets something happen in the middle of the request's body. A request whose body is
// cut gets no answer.
func BreakUpload(how Stream) Kind {
	hasBody := func(req *http.Request) bool { return req.Body != nil && req.ContentLength != 0 }
	return Kind{"upload " + how.String(), false, hasBody, func(base http.RoundTripper, req *http.Request) (*http.Response, error) {
		out := req.Clone(req.Context())
		out.Body = Break(req.Body, how, max(req.ContentLength, 2)/2, reset())
		return base.RoundTrip(out)
	}}
}

// BreakAnswer lets something happen in the middle of the answer's body. What is truncated has no
// Content-Length that could tell.
func BreakAnswer(how Stream) Kind {
	mayAnswer := func(req *http.Request) bool { return req.Method != http.MethodHead }
	return Kind{"answer " + how.String(), false, mayAnswer, func(base http.RoundTripper, req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		if err != nil || resp.ContentLength == 0 {
			return resp, err
		}
		resp.Body = Break(resp.Body, how, max(resp.ContentLength, 2)/2, io.ErrUnexpectedEOF)
		if how == Truncate {
			resp.ContentLength = -1
			resp.Header.Del("Content-Length")
		}
		return resp, nil
	}}
}

func (s Stream) String() string {
	return map[Stream]string{Cut: "cut", Corrupt: "corrupt", Truncate: "truncated"}[s]
}

// Status is an answer in place of the server's, with a Retry-After in seconds unless that is negative.
func Status(code, after int) Kind {
	name, passes := "status "+strconv.Itoa(code), code != http.StatusInternalServerError
	return Kind{name, passes, nil, func(_ http.RoundTripper, req *http.Request) (*http.Response, error) {
		closeBody(req)
		resp := made(req, code, "application/json", `{"errors":[{"code":"UNKNOWN","message":"a fault that was asked for"}]}`)
		if after >= 0 {
			resp.Header.Set("Retry-After", strconv.Itoa(after))
		}
		return resp, nil
	}}
}

// StatusAfter is the answer of a proxy that loses patience, while the server does what it was asked for.
func StatusAfter(code int) Kind {
	return Kind{"done, but status " + strconv.Itoa(code), false, nil, func(base http.RoundTripper, req *http.Request) (*http.Response, error) {
		if resp, err := base.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		return made(req, code, "text/plain", "the gateway has lost patience"), nil
	}}
}

// WebPage is the answer of a portal that wants somebody to log in, of no announced length.
func WebPage() Kind {
	return Kind{"web page", false, nil, func(_ http.RoundTripper, req *http.Request) (*http.Response, error) {
		closeBody(req)
		resp := made(req, http.StatusOK, "text/html; charset=utf-8", "<!doctype html><title>Please log in</title>")
		resp.ContentLength = -1
		return resp, nil
	}}
}

// Delay lets the request and every read of the answer wait.
func Delay(d time.Duration) Kind {
	return Kind{"delay", true, nil, func(base http.RoundTripper, req *http.Request) (*http.Response, error) {
		if err := sleep(req.Context(), d); err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := base.RoundTrip(req)
		if err == nil {
			resp.Body = slow{resp.Body, req.Context(), d}
		}
		return resp, err
	}}
}

// Trickle lets bodies through byte by byte, with a pause before each.
func Trickle(d time.Duration) Kind {
	return Kind{"trickle", false, nil, func(base http.RoundTripper, req *http.Request) (*http.Response, error) {
		out := req.Clone(req.Context())
		if req.Body != nil {
			out.Body = slow{single{req.Body}, req.Context(), d}
		}
		resp, err := base.RoundTrip(out)
		if err == nil {
			resp.Body = slow{single{resp.Body}, req.Context(), d}
		}
		return resp, err
	}}
}

// single is read byte by byte.
type single struct{ io.ReadCloser }

func (s single) Read(p []byte) (int, error) { return s.ReadCloser.Read(p[:min(1, len(p))]) }

type slow struct {
	io.ReadCloser
	ctx context.Context // of the request
	d   time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	if err := sleep(s.ctx, s.d); err != nil {
		return 0, err
	}
	return s.ReadCloser.Read(p)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Kinds are all of them; delays are of that length.
func Kinds(delay time.Duration) []Kind {
	return []Kind{
		CutBefore(), CutAfter(), BreakUpload(Cut), BreakAnswer(Cut), Delay(delay),
		Status(429, 2), Status(500, -1), Status(502, -1), Status(503, 0), StatusAfter(504),
		BreakUpload(Corrupt), BreakAnswer(Corrupt), BreakAnswer(Truncate), WebPage(),
	}
}

func reset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

func made(req *http.Request, code int, contentType, body string) *http.Response {
	r := &http.Response{
		Status: strconv.Itoa(code) + " " + http.StatusText(code), StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {contentType}}, ContentLength: int64(len(body)), Request: req,
		Body: io.NopCloser(strings.NewReader(body)),
	}
	if req.Method == http.MethodHead {
		r.Body = http.NoBody
	}
	return r
}
