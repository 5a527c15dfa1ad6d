// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/config"
	"ocm/internal/fault"
	"ocm/web"
)

func root() ociv1.Descriptor {
	return ociv1.Descriptor{MediaType: "application/octet-stream", Size: -1}
}

// letters is content in which every place can be told, of one kind per first letter.
func letters(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte((i/1000+i)%19)
	}
	return b
}

// shelf is a server with content that may change, whose answers break off.
type shelf struct {
	content  func(n int64) []byte // of the request with this number, from 1
	etag     func(n int64) string // "": none
	modified time.Time
	moves    bool  // it is modified with every request
	breakAt  int64 // bytes after which the first answers break off
	breaks   int64 // number of answers that do
	noRange  bool
	chunked  bool
	asked    atomic.Int64
	bare     atomic.Int64 // requests for a part of whatever there is
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.asked.Add(1)
	if r.Header.Get("Range") != "" && r.Header.Get("If-Range") == "" {
		s.bare.Add(1)
	}
	if s.etag != nil {
		w.Header().Set("ETag", s.etag(n))
	}
	if n <= s.breaks {
		w = &dropping{ResponseWriter: w, left: s.breakAt}
	}
	modified := s.modified
	if s.moves {
		modified = modified.Add(time.Duration(n) * time.Minute)
	}
	switch content := s.content(n); {
	case s.chunked:
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		_, _ = w.Write(content)
	case s.noRange:
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	default:
		http.ServeContent(w, r, "a.bin", modified, bytes.NewReader(content))
	}
}

// dropping ends the connection after some bytes.
type dropping struct {
	http.ResponseWriter
	left int64
}

func (b *dropping) Flush() { b.ResponseWriter.(http.Flusher).Flush() }

func (b *dropping) Write(p []byte) (int, error) {
	if int64(len(p)) <= b.left {
		b.left -= int64(len(p))
		return b.ResponseWriter.Write(p)
	}
	_, _ = b.ResponseWriter.Write(p[:b.left])
	b.Flush()
	panic(http.ErrAbortHandler)
}

func always[T any](v T) func(int64) T { return func(int64) T { return v } }

// Parts are joined only where they are of one state, and nothing that was handed out is handed out again.
func TestDownloadResumes(t *testing.T) {
	t.Parallel()
	one, two := letters('a', 3<<20), letters('A', 3<<20)
	changes := func(n int64) []byte { return map[bool][]byte{true: one, false: two}[n == 1] }
	tags := func(n int64) string { return fmt.Sprintf(`"%d"`, min(n, 2)) }
	old := time.Now().Add(-time.Hour)
	for name, tt := range map[string]struct {
		shelf *shelf
		want  []byte // nil: it fails
		kind  error
		asks  int64
	}{
		"whole":                  {&shelf{content: always(one)}, one, nil, 1},
		"chunked":                {&shelf{content: always(one), chunked: true}, one, nil, 1},
		"etag":                   {&shelf{content: always(one), etag: always(`"1"`), breakAt: 1 << 20, breaks: 1}, one, nil, 2},
		"etag, often":            {&shelf{content: always(one), etag: always(`"1"`), breakAt: 1 << 20, breaks: 2}, one, nil, 3},
		"modified":               {&shelf{content: always(one), modified: old, breakAt: 1 << 20, breaks: 1}, one, nil, 2},
		"nothing handed out":     {&shelf{content: changes, breaks: 1}, two, nil, 2},
		"not even ranges":        {&shelf{content: changes, breaks: 1, noRange: true}, two, nil, 2},
		"other length":           {&shelf{content: func(n int64) []byte { return one[:len(one)-int(n)] }, breaks: 1}, one[:len(one)-2], nil, 2},
		"no state":               {&shelf{content: always(one), breakAt: 1 << 20, breaks: 1}, nil, io.ErrUnexpectedEOF, 1},
		"weak etag":              {&shelf{content: always(one), etag: always(`W/"1"`), breakAt: 1 << 20, breaks: 1}, nil, io.ErrUnexpectedEOF, 1},
		"modified just now":      {&shelf{content: changes, modified: time.Now().Add(time.Hour), breakAt: 1 << 20, breaks: 1}, nil, io.ErrUnexpectedEOF, 1},
		"no ranges":              {&shelf{content: always(one), etag: always(`"1"`), noRange: true, breakAt: 1 << 20, breaks: 1}, nil, io.ErrUnexpectedEOF, 2},
		"changed":                {&shelf{content: changes, etag: tags, breakAt: 1 << 20, breaks: 1}, nil, io.ErrUnexpectedEOF, 2},
		"changed, modified":      {&shelf{content: changes, modified: old, moves: true, breakAt: 1 << 20, breaks: 1}, nil, io.ErrUnexpectedEOF, 2},
		"chunked, and breaks":    {&shelf{content: always(one), etag: always(`"1"`), chunked: true, breakAt: 1 << 20, breaks: 1}, nil, io.ErrUnexpectedEOF, 1},
		"it breaks all the time": {&shelf{content: always(one), etag: always(`"1"`), breakAt: 10, breaks: 1000}, nil, io.ErrUnexpectedEOF, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tt.shelf)
			t.Cleanup(srv.Close)
			c := client(t, nil, srv.URL).Content(web.Request{URL: address(t, srv.URL)}, root())
			rc, err := blob.OpenContent(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			got, err := io.ReadAll(rc)
			if tt.want != nil && (err != nil || !bytes.Equal(got, tt.want)) {
				t.Errorf("found %d bytes, %v", len(got), err)
			}
			if tt.want == nil && (!errors.Is(err, tt.kind) || !bytes.HasPrefix(one, got)) {
				t.Errorf("expected %v after bytes of the first state, found %v after %d", tt.kind, err, len(got))
			}
			if tt.shelf.bare.Load() > 0 {
				t.Error("a part was asked for without naming the state")
			}
			if n := tt.shelf.asked.Load(); n != tt.asks {
				t.Errorf("expected %d requests, found %d", tt.asks, n)
			}
		})
	}
}

// A server that joins parts of two states itself is found out by what it says of them.
func TestDownloadFromAServerThatIgnoresIfRange(t *testing.T) {
	t.Parallel()
	one := letters('a', 2<<20)
	for name, second := range map[string]http.Header{
		"other etag":     {"Etag": {`"2"`}, "Content-Range": {fmt.Sprintf("bytes 1048576-%d/%d", len(one)-1, len(one))}},
		"other length":   {"Etag": {`"1"`}, "Content-Range": {fmt.Sprintf("bytes 1048576-%d/%d", len(one), len(one)+1)}},
		"other place":    {"Etag": {`"1"`}, "Content-Range": {fmt.Sprintf("bytes 0-%d/%d", len(one)-1, len(one))}},
		"no place":       {"Etag": {`"1"`}},
		"a date instead": {"Etag": {`W/"1"`}, "Content-Range": {fmt.Sprintf("bytes 1048576-%d/%d", len(one)-1, len(one))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if n.Add(1) == 1 {
					w.Header().Set("ETag", `"1"`)
					w.Header().Set("Content-Length", strconv.Itoa(len(one)))
					_, _ = (&dropping{w, 1 << 20}).Write(one)
				}
				for k, v := range second {
					w.Header()[k] = v
				}
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(letters('A', 1<<20))
			}))
			t.Cleanup(srv.Close)
			rc, err := client(t, nil, srv.URL).Content(web.Request{URL: address(t, srv.URL)}, root()).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer rc.Close()
			if got, err := io.ReadAll(rc); err == nil || !bytes.HasPrefix(one, got) {
				t.Errorf("found %d bytes, %v", len(got), err)
			}
		})
	}
}

// Whatever happens on the way: the content is right or there is an error, and a stop is no end.
func TestDownloadOverABadLink(t *testing.T) {
	t.Parallel()
	content := letters('a', 300_000)
	d := ociv1.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(content), Size: int64(len(content))}
	for _, kind := range append(fault.Kinds(time.Second), fault.Trickle(time.Millisecond)) {
		for at := 1; at <= 2; at++ {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprint(kind.Name, at, known), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := &shelf{content: always(content), etag: always(`"1"`), breakAt: 100_000, breaks: 1}
						steps := &fault.Steps{At: at}
						link := &fault.Link{Base: fault.Hosts{"files.example.org": s}, Steps: steps, Kind: kind}
						c := client(t, &ocm.Env{HTTP: link}, "https://files.example.org").Content(web.Request{URL: address(t, "https://files.example.org/")}, root())
						if known {
							c.Root = d
						}
						rc, err := blob.OpenContent(t.Context(), c)
						var got []byte
						if err == nil {
							got, err = io.ReadAll(rc)
							rc.Close()
						}
						// What is corrupt, cut without a word, or a web page is seen by a digest only.
						if err == nil && known && !bytes.Equal(got, content) {
							t.Errorf("found %d wrong bytes", len(got))
						}
						if err != nil && kind.Passes {
							t.Errorf("expected it to be got over, found %v", err)
						}
					})
				})
			}
		}
	}
}

// A server that says nothing is given up, one that stops in the middle is asked once more.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		content := letters('a', 2<<20)
		var n atomic.Int64
		hosts := fault.Hosts{
			"silent": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
			"stalls": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"1"`)
				if n.Add(1) > 1 {
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
					return
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				_, _ = w.Write(content[:1000])
				<-r.Context().Done()
			}),
		}
		env := &ocm.Env{HTTP: hosts, Timeout: time.Second}
		began := time.Now()
		_, err := get(t, env, "https://silent/")
		wantErr(t, err, web.ErrSilent)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		rc, err := client(t, env, "https://stalls/").Content(web.Request{URL: address(t, "https://stalls/")}, root()).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer rc.Close()
		if got, err := io.ReadAll(rc); err != nil || !bytes.Equal(got, content) {
			t.Errorf("found %d bytes, %v", len(got), err)
		}
	})
}

// Requests are repeated where that cannot do harm, after the time that the server asks for.
func TestRepetition(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method string
		code   int // 0: the connection is cut
		after  string
		times  int64
		ok     bool
		asks   int64
		least  time.Duration
	}{
		{"GET", 503, "", 2, true, 3, 0},
		{"GET", 502, "", 100, false, web.MaxRetries + 1, 0},
		{"GET", 0, "", 1, true, 2, 0},
		{"GET", 500, "", 1, false, 1, 0},
		{"GET", 404, "", 1, false, 1, 0},
		{"GET", 429, "7", 1, true, 2, 7 * time.Second},
		{"GET", 429, "86400", 1, true, 2, web.MaxRetryAfter},
		{"GET", 503, "Fri, 31 Dec 9999 23:59:59 GMT", 1, true, 2, web.MaxRetryAfter},
		{"PUT", 503, "", 1, true, 2, 0},
		{"POST", 503, "", 1, false, 1, 0},
		{"POST", 0, "", 1, false, 1, 0},
		{"POST", 429, "1", 1, true, 2, time.Second},
	} {
		t.Run(fmt.Sprint(tt.method, tt.code, tt.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n, bodies atomic.Int64
				srv := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if raw, _ := io.ReadAll(r.Body); string(raw) == "body" {
						bodies.Add(1)
					}
					if n.Add(1) > tt.times {
						return
					}
					if tt.code == 0 {
						panic(http.ErrAbortHandler)
					}
					if tt.after != "" {
						w.Header().Set("Retry-After", tt.after)
					}
					w.WriteHeader(tt.code)
				})
				c := client(t, &ocm.Env{HTTP: fault.Hosts{"files.example.org": srv}}, "https://files.example.org")
				began := time.Now()
				resp, err := c.Do(t.Context(), web.Request{URL: address(t, "https://files.example.org/"), Method: tt.method, Body: []byte("body")})
				if err == nil {
					resp.Body.Close()
				}
				if (err == nil) != tt.ok || n.Load() != tt.asks || bodies.Load() != tt.asks {
					t.Errorf("found %v after %d requests, %d with the body", err, n.Load(), bodies.Load())
				}
				if took := time.Since(began); took < tt.least || took > tt.least+time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// What a POST delivers is not asked for in parts, and not twice.
func TestContentOfAPostIsNotResumed(t *testing.T) {
	t.Parallel()
	s := &shelf{content: always(letters('a', 2<<20)), etag: always(`"1"`), breakAt: 1 << 20, breaks: 1}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	for i, r := range []web.Request{{Method: http.MethodPost}, {Body: []byte("query")}} {
		r.URL = address(t, srv.URL)
		s.asked.Store(0)
		rc, err := client(t, nil, srv.URL).Content(r, root()).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		rc.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 1<<20 || s.asked.Load() != 1 {
			t.Errorf("%d: found %d bytes after %d requests, %v", i, len(got), s.asked.Load(), err)
		}
	}
}

// A signature is made for each request that reaches the origin, also after a redirect, and for no other.
func TestSign(t *testing.T) {
	t.Parallel()
	signed := func(w http.ResponseWriter, r *http.Request) {
		if want := r.Method + " " + r.URL.Path; r.Header.Get("Authorization") != want {
			t.Errorf("expected the signature %q, found %q", want, r.Header.Get("Authorization"))
		}
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusFound)
		case "/b":
			http.Redirect(w, r, "https://storage.test/", http.StatusFound)
		}
	}
	other := answer("content")
	env := &ocm.Env{HTTP: fault.Hosts{"files.example.org": http.HandlerFunc(signed), "storage.test": other}, Credentials: alice}
	c := client(t, env, "https://files.example.org")
	c.Sign = func(r *http.Request) error {
		r.Header.Set("Authorization", r.Method+" "+r.URL.Path)
		return nil
	}
	if raw, err := c.Read(t.Context(), web.Request{URL: address(t, "https://files.example.org/a")}, 10); err != nil || string(raw) != "content" {
		t.Errorf("found %q, %v", raw, err)
	}
	wantClean(t, other)
	c.Sign = func(*http.Request) error { return io.ErrNoProgress }
	_, err := c.Read(t.Context(), web.Request{URL: address(t, "https://files.example.org/a")}, 10)
	wantErr(t, err, io.ErrNoProgress)
}

// A server that asks one client for a pause is left alone by all clients of the job.
func TestOnePauseForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var early atomic.Int64
		until := time.Now().Add(10 * time.Second)
		env := &ocm.Env{Job: ocm.NewJob(4), HTTP: fault.Hosts{"files.example.org": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if time.Now().Before(until) {
				early.Add(1)
				w.Header().Set("Retry-After", "10")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})}}
		done := make(chan error)
		for i := range 4 {
			go func() {
				time.Sleep(time.Duration(i) * time.Second)
				_, err := get(t, env, "https://files.example.org/")
				done <- err
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if early.Load() != 1 {
			t.Errorf("%d clients had to be told", early.Load())
		}
	})
}

func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	env := &ocm.Env{HTTP: fault.Hosts{"files.example.org": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	})}}
	c := client(t, env, "https://files.example.org")
	_, err := c.Read(t.Context(), web.Request{URL: address(t, "https://files.example.org/index.yaml?s3cr3t")}, 10_000)
	wantErr(t, err, ocm.ErrLimit, "https://files.example.org/index.yaml:")
}

func TestPaceFor(t *testing.T) {
	t.Parallel()
	tr := web.NewTransport(config.HTTP{Hosts: map[string]config.HTTPOptions{"a": {Timeout: time.Second, MaxRetries: -1, MinWait: 2, MaxWait: 1}}})
	if p := web.PaceFor(&ocm.Env{HTTP: tr}, "a:443"); p.Answer != time.Second || p.Stall != time.Second || p.Commit != web.CommitTimeout || p.Retries != 0 || p.MaxWait != 2 {
		t.Errorf("found %+v", p)
	}
	if p := web.PaceFor(&ocm.Env{HTTP: tr}, "b"); p.Answer != 0 || p.Commit != 0 || p.Retries < 1000 {
		t.Errorf("expected no limits, found %+v", p)
	}
	if p := web.PaceFor(nil, "b"); p.Answer != web.AnswerTimeout || p.Retries != web.MaxRetries {
		t.Errorf("found %+v", p)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.EOF)
	if err := web.Pause(ctx, time.Hour); err != io.EOF {
		t.Errorf("found %v", err)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/*", "0-9", "bytes=0-0", "0--1", "bytes 9-5/10", "bytes 0-9223372036854775807/9223372036854775807", "", "-", "bytes -/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if first, total, ok := web.ParseContentRange(s); ok && (first < 0 || total != -1 && total <= first) {
			t.Errorf("%q: found %d of %d", s, first, total)
		}
	})
}
