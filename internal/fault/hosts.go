// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// Hosts is a network without sockets: an http.RoundTripper that asks handlers of this process,
// found by host. Whatever waits in it waits for channels, and every goroutine that it starts
// ends with the request.
type Hosts map[string]http.Handler

// RoundTrip implements http.RoundTripper.
func (h Hosts) RoundTrip(req *http.Request) (*http.Response, error) {
	handler, ok := h[req.URL.Host]
	if !ok {
		closeBody(req)
		return nil, fmt.Errorf("fault: there is no host %s", req.URL.Host)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	a := &answer{
		ctx: ctx, cancel: cancel,
		header: http.Header{}, head: req.Method == http.MethodHead, length: -1,
		began: make(chan struct{}), chunks: make(chan []byte, 16), gone: make(chan struct{}),
	}
	in := req.Clone(ctx)
	in.RequestURI, in.RemoteAddr = req.URL.RequestURI(), "192.0.2.1:1"
	in.Body = http.NoBody
	if req.Body != nil {
		in.Body = &arriving{body: req.Body, ctx: ctx, cancel: cancel, left: req.ContentLength}
	}
	go func() {
		defer closeBody(req)
		a.serve(handler, in)
	}()
	select {
	case <-a.began:
	case <-ctx.Done():
	}
	err := context.Cause(ctx) // the body could not be read: no answer counts any more
	if err == nil && a.status == 0 {
		err = reset()
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, ContentLength: a.length, Body: a, Request: req,
	}, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// arriving is a request's body as the server sees it.
type arriving struct {
	body   io.Reader
	ctx    context.Context
	cancel context.CancelCauseFunc
	left   int64 // negative: not known
}

func (b *arriving) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, io.ErrUnexpectedEOF
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.left > 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.body.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if err == io.EOF && b.left > 0 {
		err = fmt.Errorf("fault: the request's body ends %d bytes too early", b.left)
	}
	if err != nil && err != io.EOF {
		b.cancel(err) // this is what the client gets; the server sees a connection that ends
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *arriving) Close() error { return nil }

// answer is a response on its way: an http.ResponseWriter for the server, the body for the client.
type answer struct {
	header http.Header
	head   bool

	sent   http.Header // as they were when the answer began
	status int         // 0: the server broke off before it
	length int64
	began  chan struct{}

	chunks  chan []byte // closed at the end
	err     error       // how it ends; set before chunks is closed
	written int64
	rest    []byte // read by the client in part

	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
	once   sync.Once
	gone   chan struct{} // closed when the client has gone
}

func (a *answer) serve(handler http.Handler, req *http.Request) {
	defer func() {
		broke := recover()
		if broke != nil && broke != http.ErrAbortHandler { //nolint:errorlint // recover returns it as it is
			panic(broke)
		}
		if broke == nil {
			a.WriteHeader(http.StatusOK)
		}
		a.err = io.EOF
		if broke != nil || a.length >= 0 && a.written < a.length && !a.head {
			a.err = io.ErrUnexpectedEOF
		}
		if a.sent == nil {
			close(a.began) // without a status
		}
		close(a.chunks)
	}()
	handler.ServeHTTP(a, req)
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.sent != nil {
		return
	}
	a.sent, a.status = a.header.Clone(), status
	if n, err := strconv.ParseInt(a.sent.Get("Content-Length"), 10, 64); err == nil {
		a.length = n
	}
	close(a.began)
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	switch {
	case a.head:
		return len(p), nil
	case a.length >= 0 && a.written+int64(len(p)) > a.length:
		return 0, http.ErrContentLength
	}
	select {
	case a.chunks <- append([]byte{}, p...):
		a.written += int64(len(p))
		return len(p), nil
	case <-a.gone:
		return 0, errors.New("fault: the client has gone")
	}
}

// Flush implements http.Flusher: nothing is kept back.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

func (a *answer) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		select {
		case chunk, ok := <-a.chunks:
			if !ok {
				return 0, a.err
			}
			a.rest = chunk
		case <-a.ctx.Done():
			return 0, context.Cause(a.ctx)
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *answer) Close() error {
	a.once.Do(func() {
		close(a.gone)
		a.cancel(nil)
	})
	return nil
}
