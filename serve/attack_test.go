// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/ctf"
)

// The time in which one answer had to be taken is no matter of the next one on the same connection: clients keep connections
// for longer than that.
func TestDeadlineOfOneAnswer(t *testing.T) {
	t.Parallel()
	store := folder(t)
	tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	g := Handler(store, Options{Writable: true})
	g.pace = 500 * time.Millisecond // also what an answer may take on a busy machine
	srv := httptest.NewServer(g)
	t.Cleanup(func() { srv.Close(); g.Close() })
	for _, second := range []string{
		"HEAD /v2/acme/app/manifests/1.0.0", "GET /v2/acme/app/manifests/2.0.0", "POST /v2/acme/app/blobs/uploads/", "GET /nothing",
		"HEAD /v2/acme/app/blobs/" + string(digest.FromString(content)),
	} {
		t.Run(second, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			in := bufio.NewReader(c)
			for i, line := range []string{"GET /v2/acme/app/blobs/" + string(digest.FromString(content)), second} {
				fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", line)
				req, _ := http.NewRequest(line[:4], "/", nil)
				if line[:4] != "HEAD" {
					req = nil
				}
				a, err := http.ReadResponse(in, req)
				if err != nil {
					t.Fatalf("request %d: %v", i+1, err)
				}
				io.Copy(io.Discard, a.Body)
				a.Body.Close()
				time.Sleep(3 * g.pace) // what is tested is that time passes
			}
		})
	}
}

// Who sends requests and takes no answers does not keep a connection: small answers fill it too.
func TestAnswersThatNobodyTakes(t *testing.T) {
	t.Parallel()
	g := Handler(folder(t), Options{Writable: true})
	g.pace = 50 * time.Millisecond
	srv := httptest.NewUnstartedServer(g)
	srv.Config.ReadHeaderTimeout, srv.Config.IdleTimeout = time.Second, time.Second // as Run has them; what is tested is that it does not wait for ever in writing
	srv.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.(*net.TCPConn).SetWriteBuffer(4 << 10) // soon full, also where requests take their time
		}
	}
	srv.Start()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close(); g.Close() })
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lines := bytes.Repeat([]byte("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 1000)
	for {
		c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(lines); err != nil {
			if e, is := err.(net.Error); is && e.Timeout() {
				t.Error("the registry waits for somebody who takes nothing")
			}
			return
		}
	}
}

// Who pushes manifests, slowly, does not keep others from reading.
func TestSlowPushesAndReaders(t *testing.T) {
	t.Parallel()
	store := folder(t)
	tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	srv, g := start(t, store, Options{Writable: true})
	for range MaxHeld / manifestMemory {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "PUT /v2/acme/app/manifests/slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	}
	until(t, "the pushes take all that there is for them", func() bool { return noRoom(g) })
	client := &http.Client{Timeout: 10 * time.Second}
	a, err := client.Get(srv.URL + "/v2/acme/app/manifests/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != 200 {
		t.Error(a.Status)
	}
}

// noRoom reports whether there is no room for one more manifest that is pushed.
func noRoom(g *Registry) bool {
	if !g.pushed.TryAcquire(manifestMemory) {
		return true
	}
	g.pushed.Release(manifestMemory)
	return false
}

// Names that strangers make up cost no memory.
func TestReferrersOfNames(t *testing.T) { // alone: it measures memory
	dir := t.TempDir()
	store, err := ctf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	g := Handler(store, Options{})
	ask := func(n int) {
		for i := range n {
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequest("GET", fmt.Sprintf("/v2/n%d/referrers/%s", i, digest.FromString(content)), nil))
			if w.Code != 200 {
				t.Fatal(w.Code, w.Body)
			}
		}
	}
	ask(100)
	before := heap()
	ask(20_000)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes more in memory", grown)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Somebody who hangs up in the middle of a blob is no failure of the registry, which the log would tell.
func TestClientHangsUp(t *testing.T) {
	t.Parallel()
	store := folder(t)
	d, err := store.Repo("acme/app").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader(strings.Repeat("content ", 4<<20)))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	srv, _ := start(t, store, Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /v2/acme/app/blobs/%s HTTP/1.1\r\nHost: registry\r\n\r\n", d.Digest)
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	srv.Close() // waits for the answer to end
	if text := log.String(); strings.Contains(text, "ERROR") || !strings.Contains(text, "request") {
		t.Error(text)
	}
}
