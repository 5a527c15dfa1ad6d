// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/blob"
)

// until waits for something that happens beside the test.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("never: " + what)
}

func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	srv, g := start(t, folder(t), Options{Writable: true})
	var all []string
	for range MaxUploads {
		all = append(all, begin(t, srv.URL))
	}
	for _, query := range []string{"", "?digest=" + string(digest.FromString(content))} {
		a := ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads/"+query, "")
		if a.status != 429 || a.code(t) != "TOOMANYREQUESTS" || a.header.Get("Retry-After") == "" {
			t.Fatal(a)
		}
	}
	ask(t, "PATCH", all[0], content)
	if a := ask(t, "DELETE", all[1], ""); a.status != 204 {
		t.Error(a)
	}
	if a := ask(t, "DELETE", all[0], ""); a.status != 204 {
		t.Error(a)
	}
	begin(t, srv.URL)
	if n := len(g.uploads.slots); n != MaxUploads-1 {
		t.Errorf("%d uploads", n)
	}
}

// An upload that nothing comes for is given up, and nothing is left of it.
func TestUploadGivenUp(t *testing.T) {
	t.Parallel()
	store := folder(t)
	srv, g := start(t, store, Options{Writable: true})
	at := begin(t, srv.URL)
	if a := ask(t, "PATCH", at, strings.Repeat("x", 1<<20)); a.status != 202 {
		t.Fatal(a)
	}
	g.uploads.mu.Lock()
	u := g.uploads.byID[at[strings.LastIndexByte(at, '/')+1:]]
	g.uploads.mu.Unlock()
	u.busy.Lock()
	u.timer.Reset(0) // fires too early: a request has just come
	u.busy.Unlock()
	if a := ask(t, "GET", at, ""); a.status != 204 && a.status != 409 {
		t.Error(a)
	}
	u.busy.Lock()
	u.used = u.used.Add(-MaxUploadIdle) // time goes by
	u.timer.Reset(0)
	u.busy.Unlock()
	until(t, "the upload is gone", func() bool { return len(g.uploads.slots) == 0 })
	if a := ask(t, "PUT", at+"?digest="+string(digest.FromString(content)), ""); a.status != 404 {
		t.Error(a)
	}
	if files, err := os.ReadDir(filepath.Join(store.String(), "blobs")); err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
}

// A connection that breaks in the middle of a piece: what came counts, and the client goes on behind it.
func TestUploadGoesOn(t *testing.T) {
	t.Parallel()
	srv, _ := start(t, folder(t), Options{Writable: true})
	at := begin(t, srv.URL)
	path := strings.TrimPrefix(at, srv.URL)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(content), content[:5])
	conn.(*net.TCPConn).CloseWrite()
	raw, _ := io.ReadAll(conn)
	conn.Close()
	if !strings.Contains(string(raw), " 400 ") || !strings.Contains(string(raw), "SIZE_INVALID") {
		t.Errorf("%s", raw)
	}
	var reach string
	until(t, "the upload is free", func() bool {
		a := ask(t, "GET", at, "")
		reach = a.header.Get("Range")
		return a.status == 204
	})
	if reach != "0-4" {
		t.Fatal(reach)
	}
	if a := ask(t, "PUT", at+"?digest="+string(digest.FromString(content)), content[5:], "Content-Range: 5-15"); a.status != 201 {
		t.Error(a)
	}
}

func TestOneRequestAtATime(t *testing.T) {
	t.Parallel()
	srv, _ := start(t, folder(t), Options{Writable: true})
	at := begin(t, srv.URL)
	in, out := io.Pipe()
	first := make(chan int, 1)
	go func() {
		req, err := http.NewRequest("PATCH", at, in)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultTransport.RoundTrip(req); err == nil {
				resp.Body.Close()
				first <- resp.StatusCode
				return
			}
		}
		t.Error(err)
		first <- 0
	}()
	out.Write([]byte("x")) // the request is on its way
	until(t, "the upload is busy", func() bool { return ask(t, "GET", at, "").status == 409 })
	if a := ask(t, "PATCH", at, "y"); a.status != 409 || a.code(t) != "BLOB_UPLOAD_INVALID" {
		t.Error(a)
	}
	out.Close()
	if status := <-first; status != 202 {
		t.Error(status)
	}
	if a := ask(t, "PUT", at+"?digest="+string(digest.FromString("x")), ""); a.status != 201 {
		t.Error(a)
	}
}

// CVE-2017-11468: memory by the size of a manifest.
func TestCVE_2017_11468(t *testing.T) {
	t.Parallel()
	srv, _ := start(t, folder(t), Options{Writable: true})
	at := srv.URL + "/v2/acme/app/manifests/x"
	typed := "Content-Type: " + ociv1.MediaTypeImageManifest
	fits := `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"` + string(digest.FromString("")) + `","size":0},"layers":[],"annotations":{"x":"`
	fits += strings.Repeat("x", blob.MaxManifest-len(fits)-3) + `"}}`
	ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads/?digest="+string(digest.FromString("")), "")
	if a := ask(t, "PUT", at, fits, typed); a.status != 201 {
		t.Error(a)
	}
	if a := ask(t, "PUT", at, fits+" ", typed); a.status != 413 || a.code(t) != "MANIFEST_INVALID" {
		t.Error(a)
	}
	req, err := http.NewRequest("PUT", at, io.LimitReader(noise{}, 1<<40)) // no length is told
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	if err == nil && resp.StatusCode != 413 {
		t.Error(resp.Status)
	}
}

// A large blob takes no memory, neither way.
func TestConstantMemory(t *testing.T) {
	const size = 256 << 20
	store := folder(t)
	srv, _ := start(t, store, Options{Writable: true})
	d, err := client(t, srv.URL).Repo("acme/app").Push(t.Context(), ociv1.Descriptor{Size: -1}, io.LimitReader(noise{}, size))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	at := begin(t, srv.URL)
	send(t, "PATCH", at, io.LimitReader(noise{}, size), 202)
	send(t, "PUT", at+"?digest="+string(d.Digest), nil, 201)
	resp, err := http.Get(srv.URL + "/v2/acme/app/blobs/" + string(d.Digest))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Fatal(n, err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("%d MiB were allocated for %d MiB", grown>>20, size>>20)
	}
}

// stalled is a body that does not come.
type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in   io.Reader
		want error
		code string
	}{
		"too large": {strings.NewReader("12345"), errTooLarge, "413 SIZE_INVALID"},
		"too slow":  {stalled{}, os.ErrDeadlineExceeded, "408 BLOB_UPLOAD_INVALID"},
	} {
		b := &body{r: tt.in, ctl: http.NewResponseController(nil), room: 4}
		_, err := io.ReadAll(b)
		if !errors.Is(err, tt.want) || !errors.Is(b.err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if f := broken(err); fmt.Sprint(f.status, " ", f.errors[0].Code) != tt.code {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// A client that takes nothing, or sends nothing, does not keep what it has.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	store := folder(t)
	d, err := store.Repo("acme/app").Push(t.Context(), ociv1.Descriptor{Size: -1}, io.LimitReader(noise{}, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	g := Handler(store, Options{Writable: true})
	g.pace = time.Second // also what the answer may take on a busy machine
	ended := make(chan string, 4)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- r.Method }()
		g.ServeHTTP(w, r)
	}))
	defer g.Close()
	defer srv.Close()
	for _, request := range []string{
		"GET /v2/acme/app/blobs/" + string(d.Digest) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v2/acme/app/blobs/uploads/?digest=" + string(d.Digest) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx",
		"PUT /v2/acme/app/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, request)
		method, _, _ := strings.Cut(request, " ")
		select {
		case got := <-ended:
			if got != method {
				t.Errorf("%s ended, expected %s", got, method)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s does not end", method)
		}
		if method == "GET" {
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 408 {
			t.Errorf("%s: %v, %v", method, resp, err)
		}
	}
}

// The server ends while requests run: they have some time, and Run returns.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		io.WriteString(w, "whole")
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, on, h, nil, slog.New(slog.DiscardHandler)) }()
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + on.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		raw, _ := io.ReadAll(resp.Body)
		got <- string(raw)
	}()
	<-entered
	stop()
	close(release)
	if body := <-got; body != "whole" {
		t.Error(body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", on.Addr().String()); err == nil {
		t.Error("it listens on")
	}
}

// Connections are bounded, and the one that waits is served when another one ends.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	on := newCounted(inner, 1)
	srv := &http.Server{Handler: http.NotFoundHandler(), ConnState: on.state}
	go srv.Serve(on)
	defer srv.Close()
	first, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	fmt.Fprint(second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := second.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("two at once:", n, err)
	}
	first.Close()
	second.SetReadDeadline(time.Time{})
	if _, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil {
		t.Error(err)
	}
	on.end()
}
