// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test program be the bare client, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		os.Exit(bareMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestEveryCaseRuns runs the whole bench with sizes at which the numbers mean nothing.
func TestEveryCaseRuns(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("CI is not set")
	}
	for _, name := range []string{"docker-registry", "openssl", "go"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	bin := filepath.Join(t.TempDir(), "ocm")
	if out, err := exec.Command("go", "build", "-o", bin, "ocm/cmd/ocm").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	report := filepath.Join(t.TempDir(), "report.md")
	document, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(report, document, 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := options{ocm: bin, dir: folder(t), write: report, runs: 1, scale: 0.001, quick: true}
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
	written, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(written), "**sizes and numbers times 0.001**"); n != len(cases) {
		t.Errorf("%d of %d cases were written", n, len(cases))
	}
	if left, err := os.ReadDir(o.dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if strings.Contains(string(written), o.dir) {
		t.Error("the document names a folder of this machine")
	}
}

// folder is in memory where that can be had: the test is not about the disk.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "ocm-bench-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// echo answers with what it was sent.
func echo(t *testing.T) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func post(t *testing.T, client *http.Client, addr string, body []byte) []byte {
	t.Helper()
	resp, err := client.Post("http://"+addr, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDelayKeepsBytesAndTakesTime(t *testing.T) {
	t.Parallel()
	d, err := newDelay(echo(t), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	want, err := io.ReadAll(io.LimitReader(random(1), 5<<20+3))
	if err != nil {
		t.Fatal(err)
	}
	if got := post(t, client, d.addr, want); !bytes.Equal(got, want) {
		t.Fatal("the proxy changed the bytes")
	}
	start := time.Now()
	post(t, client, d.addr, []byte("once more on the same connection"))
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("a round trip took %v", took)
	}
}

func TestDelayEndsWithItsConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Close() // a server that hangs up at once
		}
	}()
	d, err := newDelay(l.Addr().String(), 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("expected the end, got %v", err)
	}
}

func TestCounterCounts(t *testing.T) {
	t.Parallel()
	c, err := newCounter(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		post(t, http.DefaultClient, c.addr, []byte("12345"))
	}
	got := c.sum()
	if got.requests() != 2 || got.bytes() != 20 || got.String() != "2 POST /v2/ 200" {
		t.Errorf("got %+v", got)
	}
	if rest := c.sum().plus(-1, got); rest.requests() != 0 || rest.bytes() != 0 || rest.String() != "" {
		t.Errorf("got %+v after subtraction", rest)
	}
}

func TestMedianTakesTheMiddleAndTheHighestPeak(t *testing.T) {
	t.Parallel()
	got := median([]cost{{wall: 3, peak: 1}, {wall: 1, peak: 9}, {wall: 2, peak: 2}})
	if got.wall != 2 || got.peak != 9 {
		t.Error(got)
	}
}
