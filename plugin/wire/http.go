// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// Client asks the other side.
type Client struct {
	http *http.Client
}

// NewClient returns a client of who listens at a socket.
func NewClient(socket string) *Client {
	var d net.Dialer
	return &Client{http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "unix", socket)
			},
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
			ReadBufferSize:         64 << 10,
			WriteBufferSize:        64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ErrBroken says that no answer came: the other side cannot be reached, or has gone. What was asked for may have been done.
var ErrBroken = errors.New("the connection broke")

// Ask sends a question and decodes the answer into answer. Errors of the other side keep their meaning; [ErrBroken] if there was no
// answer, [ocm.ErrLimit] for one that is too large, [ocm.ErrInvalid] for one that is none.
func (c *Client) Ask(ctx context.Context, token, path string, question, answer any) error {
	resp, err := c.send(ctx, token, path, question)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return broken(ctx, err)
	case len(raw) > MaxAnswer:
		return fmt.Errorf("its answer has more than %d bytes: %w", MaxAnswer, ocm.ErrLimit)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("its answer is not what %s answers: %w: %w", path, plain(err), ocm.ErrInvalid)
	}
	return nil
}

// Stream sends a question whose answer is a stream of bytes. The stream ends with an error if the other side broke it off. Size is
// what the other side announces, -1 if nothing.
func (c *Client) Stream(ctx context.Context, token, path string, question any) (body io.ReadCloser, size int64, err error) {
	resp, err := c.send(ctx, token, path, question) //nolint:bodyclose // whoever reads it does
	if err != nil {
		return nil, 0, err
	}
	return &stream{ctx, resp}, resp.ContentLength, nil
}

func (c *Client) send(ctx context.Context, token, path string, question any) (*http.Response, error) {
	raw, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set(CallHeader, token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, broken(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what cannot be read is no error of the protocol
	var f failed
	if json.Unmarshal(text, &f) != nil || f.Error == nil {
		return nil, unexpected(resp.StatusCode)
	}
	if ctx.Err() != nil { // why the other side has stopped, too
		return nil, context.Cause(ctx)
	}
	return nil, f.Error.Err()
}

func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrBroken, plain(err))
}

// plain leaves the parts out of an error that only say how the question was sent.
func plain(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

type stream struct {
	ctx  context.Context
	resp *http.Response
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.resp.Body.Read(p)
	if err == nil {
		return n, nil
	}
	if text := s.resp.Trailer.Get(ErrorTrailer); text != "" {
		var e Error
		if json.Unmarshal([]byte(text), &e) == nil {
			if s.ctx.Err() != nil {
				return n, context.Cause(s.ctx)
			}
			return n, e.Err()
		}
	}
	if err != io.EOF {
		err = broken(s.ctx, err)
	}
	return n, err
}

func (s *stream) Close() error { return s.resp.Body.Close() }

// Answer makes a handler of a function that answers a question.
func Answer[Q, A any](fn func(ctx context.Context, token string, q Q) (A, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := read[Q](r)
		if err != nil {
			fail(w, err)
			return
		}
		a, err := fn(r.Context(), r.Header.Get(CallHeader), q)
		if err != nil {
			fail(w, err)
			return
		}
		raw, err := json.Marshal(a)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(raw) // who asked has gone
	})
}

// AnswerStream makes a handler of a function that answers with bytes; size -1: not known.
func AnswerStream[Q any](fn func(ctx context.Context, token string, q Q) (body io.ReadCloser, size int64, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := read[Q](r)
		if err != nil {
			fail(w, err)
			return
		}
		body, size, err := fn(r.Context(), r.Header.Get(CallHeader), q)
		if err != nil {
			fail(w, err)
			return
		}
		defer body.Close()
		send(w, body, size)
	})
}

// send copies a stream. One whose length was announced can only end early; else the error comes behind it.
func send(w http.ResponseWriter, body io.Reader, size int64) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if size >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(size))
	} else {
		w.Header().Set("Trailer", ErrorTrailer)
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, make([]byte, 256<<10)) // a ReadFrom of w would take smaller parts
	if err == nil {
		return
	}
	if size >= 0 {
		panic(http.ErrAbortHandler) // the connection is cut, so that nobody takes the part for the whole
	}
	raw, _ := json.Marshal(NewError(err)) // made of texts
	w.Header().Set(ErrorTrailer, string(raw))
}

func read[Q any](r *http.Request) (q Q, err error) {
	if r.Method != http.MethodPost {
		return q, fmt.Errorf("%s %s: expected POST: %w", r.Method, r.URL.Path, ocm.ErrInvalid)
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, MaxAnswer+1))
	if err != nil {
		return q, err
	}
	if len(raw) > MaxAnswer {
		return q, fmt.Errorf("%s: the question has more than %d bytes: %w", r.URL.Path, MaxAnswer, ocm.ErrLimit)
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return q, fmt.Errorf("%s: the question cannot be read: %w: %w", r.URL.Path, plain(err), ocm.ErrInvalid)
	}
	return q, nil
}

func fail(w http.ResponseWriter, err error) {
	e := NewError(err)
	raw, _ := json.Marshal(failed{e}) // made of texts
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status())
	_, _ = w.Write(raw) // who asked has gone
}

// Serve answers questions at a listener until the context ends.
func Serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	err := srv.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
