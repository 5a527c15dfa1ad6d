// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
	"ocm/web"
)

// faulty answers with what fault does for as long as it says true, then as the registry does.
type faulty struct {
	http.Handler
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func (f faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.fault(w, r) {
		f.Handler.ServeHTTP(w, r)
	}
}

func status(code int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const asJSON, asHTML = "application/json", "text/html"
	for name, tt := range map[string]struct {
		h     http.HandlerFunc
		want  error // nil: no sentinel fits
		words []string
	}{
		"401":      {status(401, asJSON, `{"errors":[{"code":"UNAUTHORIZED","message":"go away"}]}`), ocm.ErrDenied, []string{"go away", "no credentials were sent", "ocm login"}},
		"403":      {status(403, asJSON, `{"errors":[{"code":"DENIED","message":"not yours"}]}`), ocm.ErrDenied, []string{"DENIED not yours", "some/app"}},
		"404":      {status(404, asJSON, `{}`), ocm.ErrNotFound, []string{"some/app"}},
		"413":      {status(413, asJSON, ``), ocm.ErrLimit, []string{"413"}},
		"429":      {status(429, asJSON, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`), nil, []string{"429", "slow down", "try again later"}},
		"500":      {status(500, "text/plain", "something broke\nstack trace"), nil, []string{"500", "something broke"}},
		"503 HTML": {status(503, asHTML, "<html>maintenance</html>"), nil, []string{"503", "maintenance"}},
		"200 HTML": {status(200, asHTML, "<html>please log in</html>"), ocm.ErrInvalid, []string{"web page"}},
		"garbage":  {status(200, asJSON, `{"tags":`), ocm.ErrInvalid, nil},
		"terminal": {status(500, "text/plain", "\x1b[2Jboo\x07"), nil, []string{"[2Jboo"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, nil, serve(t, tt.h).URL).Repo("some/app")
			_, err := r.Fetch(t.Context(), ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1})
			if name != "garbage" {
				check(t, err, tt.want, tt.words)
			}
			if _, err = tags(t.Context(), r); name != "404" {
				check(t, err, tt.want, tt.words)
			}
		})
	}
}

func check(t *testing.T, err, want error, words []string) {
	t.Helper()
	if want == nil {
		want = err
	}
	if err == nil {
		t.Fatal("expected an error")
	}
	wantErr(t, err, want, words...)
	if strings.ContainsAny(err.Error(), "\x1b\x07\n") || strings.Contains(err.Error(), "stack trace") || len(err.Error()) > 2000 {
		t.Errorf("the message is not fit to be printed: %q", err)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code  int
		after string
		times int64
		ok    bool
		least time.Duration
	}{
		"503 once":         {503, "", 1, true, 0},
		"502, 504":         {502, "", 2, true, 0},
		"for ever":         {503, "", 1000, false, 0},
		"500 is final":     {500, "", 1, false, 0},
		"429 with seconds": {429, "1", 1, true, time.Second},
		"429 with a date":  {429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 1, true, fast.MaxAfter},
		"429 for too long": {429, "86400", 1, true, fast.MaxAfter},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			h := faulty{olaregHandler(t), func(w http.ResponseWriter, r *http.Request) bool {
				if n.Add(1) > tt.times {
					return false
				}
				if tt.after != "" {
					w.Header().Set("Retry-After", tt.after)
				}
				w.WriteHeader(tt.code)
				return true
			}}
			began := time.Now()
			_, err := open(t, nil, serve(t, h).URL).Repo("a").Exists(t.Context(), ociv1.Descriptor{Digest: digest.FromString("x")})
			if (err == nil) != tt.ok {
				t.Errorf("expected success %v, found %v", tt.ok, err)
			}
			if took := time.Since(began); took < tt.least || took > 25*time.Second {
				t.Errorf("expected to wait %v, waited %v", tt.least, took)
			}
			if n.Load() > int64(fast.Retries)+1 {
				t.Errorf("%d requests", n.Load())
			}
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
		defer cancel()
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(429)
		}))
		s, err := Open(nil, srv.URL, "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := s.Repo("a").Resolve(ctx, "1"); err == nil || !strings.Contains(err.Error(), "enough") || time.Since(began) > 20*time.Second {
			t.Errorf("expected the caller's reason at once, found %v after %v", err, time.Since(began))
		}
	})
}

func TestUploadIsBegunAgain(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("content "), 50_000)
	for name, tt := range map[string]struct {
		d      ociv1.Descriptor
		src    func() io.Reader
		method string
		ok     bool
	}{
		"seekable PUT":   {describe("", content), func() io.Reader { return bytes.NewReader(content) }, "PUT", true},
		"seekable PATCH": {ociv1.Descriptor{Size: -1}, func() io.Reader { return bytes.NewReader(content) }, "PATCH", true},
		"stream PUT":     {describe("", content), func() io.Reader { return bytes.NewBuffer(content) }, "PUT", false},
		"stream POST":    {describe("", content), func() io.Reader { return bytes.NewBuffer(content) }, "POST", true},
		"end of stream":  {ociv1.Descriptor{Size: -1}, func() io.Reader { return bytes.NewBuffer(content) }, "PUT", true},
	} {
		for _, how := range []string{"503", "cut"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				var n atomic.Int64
				h := faulty{olaregHandler(t), func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != tt.method || n.Add(1) > 1 {
						return false
					}
					io.CopyN(io.Discard, r.Body, 100_000)
					if how == "cut" {
						panic(http.ErrAbortHandler)
					}
					w.WriteHeader(503)
					return true
				}}
				r := open(t, nil, serve(t, h).URL).Repo("a")
				got, err := r.Push(t.Context(), tt.d, tt.src())
				if !tt.ok {
					if err == nil || !strings.Contains(err.Error(), "only once") {
						t.Errorf("expected an error that says why, found %v", err)
					}
					return
				}
				if err != nil || got.Digest != digest.FromBytes(content) {
					t.Fatalf("expected success, found %v, %v", got, err)
				}
				if read, err := blob.ReadAll(t.Context(), r, got, 10_000_000); err != nil || !bytes.Equal(read, content) {
					t.Errorf("expected the content, found %d bytes, %v", len(read), err)
				}
			})
		}
	}
}

// A position in the middle of a file is where the content begins, also the second time.
func TestUploadBeginsWhereTheReaderIs(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	h := faulty{olaregHandler(t), func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "PUT" || n.Add(1) > 1 {
			return false
		}
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(503)
		return true
	}}
	src := strings.NewReader("header content")
	src.Seek(7, io.SeekStart)
	got, err := open(t, nil, serve(t, h).URL).Repo("a").Push(t.Context(), describe("", []byte("content")), src)
	if err != nil || got.Size != 7 {
		t.Errorf("expected 7 bytes, found %v, %v", got, err)
	}
}

func TestAbandonedUploadIsDropped(t *testing.T) {
	t.Parallel()
	j := &journal{Handler: olaregHandler(t)}
	r := open(t, nil, serve(t, j).URL).Repo("a")
	_, err := r.Push(t.Context(), ociv1.Descriptor{Digest: digest.FromString("x"), Size: -1}, strings.NewReader("y"))
	wantErr(t, err, ocm.ErrDigest)
	if found := methods(j.take()); !slices.Contains(found, "DELETE") || slices.Contains(found, "PUT") {
		t.Errorf("expected a DELETE and no PUT, found %v", found)
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	hurry := func(o *Options) {
		o.pace.Answer, o.pace.Commit, o.pace.Stall = 100*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	}
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1000}
	release := make(chan struct{})
	hang := func(r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/stalls/"):
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "a beginning")
			w.(http.Flusher).Flush()
		case strings.Contains(r.URL.Path, "/commits/") && r.Method == http.MethodPost:
			w.Header().Set("Location", r.URL.Path+"1")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		hang(r)
	}))
	t.Cleanup(func() { close(release); srv.Close() })
	s := open(t, nil, srv.URL, hurry)

	began := time.Now()
	_, err := s.Repo("answers").Fetch(t.Context(), d)
	wantErr(t, err, web.ErrSilent)
	rc, err := s.Repo("stalls").Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	_, err = io.ReadAll(rc)
	wantErr(t, err, web.ErrSilent)
	_, err = s.Repo("commits").Push(t.Context(), d, bytes.NewReader(make([]byte, 1000)))
	if err == nil {
		t.Error("expected an error")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Our own slowness is no silence of the registry.
func TestSlowUsersAreNotCutOff(t *testing.T) {
	t.Parallel()
	hurry := func(o *Options) {
		o.pace.Answer, o.pace.Commit, o.pace.Stall = 1500*time.Millisecond, 1500*time.Millisecond, 1500*time.Millisecond
	}
	r := open(t, nil, serve(t, olaregHandler(t)).URL, hurry).Repo("a")
	content := bytes.Repeat([]byte("x"), 3_000_000)
	d, err := r.Push(t.Context(), ociv1.Descriptor{Size: -1}, &slow{src: bytes.NewReader(content), naps: 1})
	if err != nil {
		t.Fatal(err)
	}
	rc, err := r.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got, err := io.ReadAll(&slow{src: rc, naps: 1}); err != nil || !bytes.Equal(got, content) {
		t.Errorf("expected all bytes, found %d, %v", len(got), err)
	}
}

type slow struct {
	src  io.Reader
	naps int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.naps--; s.naps >= 0 {
		time.Sleep(2500 * time.Millisecond)
	}
	return s.src.Read(p)
}

func TestTruncatedWithoutRanges(t *testing.T) {
	t.Parallel()
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "a beginning")
	}))
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1000}
	_, err := blob.ReadAll(t.Context(), open(t, nil, srv.URL).Repo("a"), d, 1000)
	wantErr(t, err, io.ErrUnexpectedEOF)
}

func TestEndlessBodies(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ociv1.MediaTypeImageManifest)
		if strings.HasPrefix(r.URL.Path, "/v2/refuses/") {
			w.WriteHeader(500)
		}
		w.(http.Flusher).Flush()
		for r.Method == http.MethodGet {
			n, err := w.Write(make([]byte, 64<<10))
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}))
	s := open(t, nil, srv.URL)
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1000}
	rc, err := s.Repo("a").Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	n, err := io.Copy(io.Discard, rc)
	wantErr(t, err, ocm.ErrLimit)
	if n > blob.MaxManifest {
		t.Errorf("expected at most %d bytes, found %d", blob.MaxManifest, n)
	}
	_, err = s.Repo("a").Resolve(t.Context(), "1")
	wantErr(t, err, ocm.ErrLimit)
	if _, err = s.Repo("refuses").Fetch(t.Context(), d); err == nil {
		t.Error("expected an error")
	}
	d.Size = blob.MaxManifest + 1
	_, err = s.Repo("a").Fetch(t.Context(), d)
	wantErr(t, err, ocm.ErrLimit)
	if sent.Load() > 100<<20 {
		t.Errorf("the registry could send %d bytes", sent.Load())
	}
}

func TestManifestTooLarge(t *testing.T) {
	t.Parallel()
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ociv1.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromString("x").String())
		w.Header().Set("Content-Length", fmt.Sprint(blob.MaxManifest+1))
	}))
	_, err := open(t, nil, srv.URL).Repo("a").Resolve(t.Context(), "1")
	wantErr(t, err, ocm.ErrLimit)
}

func TestWrongScheme(t *testing.T) {
	t.Parallel()
	plain := serve(t, olaregHandler(t))
	_, err := open(t, nil, strings.Replace(plain.URL, "http:", "https:", 1)).Repo("a").Resolve(t.Context(), "1")
	check(t, err, nil, []string{"write http://"})
	secure, _ := serveTLS(t, olaregHandler(t))
	_, err = open(t, nil, secure.Listener.Addr().String()).Repo("a").Resolve(t.Context(), "1")
	check(t, err, nil, []string{"400"})
	_, err = tags(t.Context(), open(t, nil, secure.Listener.Addr().String()).Repo("a"))
	check(t, err, nil, []string{"write https://"})
	_, err = open(t, nil, secure.URL).Repo("a").Resolve(t.Context(), "1")
	check(t, err, nil, []string{"certificate"})
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	const addr = "127.0.0.1:1" // no port that a test of another package may get
	_, err := open(t, nil, addr).Repo("a").Resolve(t.Context(), "1")
	check(t, err, nil, []string{"nobody listens on " + addr})
}

func TestUploadWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"confirms early": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/v2/a/blobs/uploads/1")
			w.WriteHeader(map[string]int{"GET": 404, "HEAD": 404, "POST": 202, "PUT": 201, "DELETE": 204}[r.Method])
		},
		"says OK": status(200, "text/html", "<html>hello</html>"),
		"other digest": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
			w.Header().Set("Location", "/v2/a/blobs/uploads/1")
			w.WriteHeader(map[string]int{"GET": 404, "HEAD": 404, "POST": 202, "PUT": 201, "DELETE": 204}[r.Method])
		},
		"digest invalid": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "/v2/a/blobs/uploads/1")
			if r.Method == "PUT" {
				status(400, "application/json", `{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}`)(w, r)
				return
			}
			w.WriteHeader(202)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := make([]byte, 50<<20)
			if name != "confirms early" {
				content = content[:1000]
			}
			_, err := open(t, nil, serve(t, h).URL).Repo("a").Push(t.Context(), describe("", content), bytes.NewBuffer(content))
			if err == nil {
				t.Error("expected an error")
			}
			if strings.Contains(name, "digest") && !errors.Is(err, ocm.ErrDigest) {
				t.Errorf("expected %v, found %v", ocm.ErrDigest, err)
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"schemaVersion":2}`)
	d := describe(ociv1.MediaTypeImageManifest, raw)
	j := answer(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	err := open(t, nil, serve(t, j).URL).Repo("a").PutManifest(t.Context(), d, raw, "1", oci.Absent())
	if err == nil || slices.Contains(methods(j.take()), "PUT") {
		t.Errorf("a tag whose state is not known must not be moved, found %v", err)
	}
}

// pattern is a stream of n bytes that needs no memory.
type pattern struct{ at, n int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.n {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.n-p.at)]
	for i := range b {
		b[i] = byte((p.at + int64(i)) >> 8)
	}
	p.at += int64(len(b))
	return len(b), nil
}

// sink is a registry that keeps nothing: it hashes uploads and serves the pattern.
func sink(n int64, sum *digest.Digest) http.Handler {
	var h hash.Hash = sha256.New()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			w.Header().Set("Content-Length", fmt.Sprint(n))
			io.Copy(w, &pattern{n: n})
			return
		case http.MethodPut, http.MethodPatch:
			if r.ContentLength != 0 {
				h.Reset()
				io.Copy(h, r.Body)
				*sum = digest.NewDigest(digest.SHA256, h)
			}
		}
		w.Header().Set("Location", "/v2/a/blobs/uploads/1")
		w.WriteHeader(map[string]int{"POST": 202, "PATCH": 202, "PUT": 201}[r.Method])
	})
}

// Not parallel: it looks at the memory of the whole process.
func TestMemoryIsConstant(t *testing.T) {
	size, most := int64(256<<20), uint64(32<<20)
	if testing.Short() {
		size = 32 << 20
		most = 8 << 20
	}
	var stored digest.Digest
	r := open(t, nil, serve(t, sink(size, &stored)).URL).Repo("a")
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	before, peak := stats.HeapAlloc, stats.HeapAlloc
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&stats)
				peak = max(peak, stats.HeapAlloc)
			}
		}
	}()
	d, err := r.Push(t.Context(), ociv1.Descriptor{Size: -1}, &pattern{n: size})
	if err != nil || d.Size != size || d.Digest != stored {
		t.Fatalf("unknown digest: found %v, %v, the registry got %s", d, err, stored)
	}
	if _, err := r.Push(t.Context(), d, &pattern{n: size}); err != nil {
		t.Fatal(err)
	}
	rc, err := blob.Open(t.Context(), r, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, rc); err != nil {
		t.Fatal(err)
	}
	rc.Close()
	close(done)
	<-stopped
	if peak-before > most {
		t.Errorf("%d bytes moved three times: expected at most %d bytes more in memory, found %d", size, most, peak-before)
	}
}
