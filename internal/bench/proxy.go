// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// traffic is what passed a counter.
type traffic struct {
	sent, received int64            // bytes of bodies
	kinds          map[string]int64 // requests by method, what they are about, and status
}

// plus adds n times another one.
func (t traffic) plus(n int64, o traffic) traffic {
	sum := traffic{t.sent + n*o.sent, t.received + n*o.received, map[string]int64{}}
	maps.Copy(sum.kinds, t.kinds)
	for kind, count := range o.kinds {
		sum.kinds[kind] += n * count
	}
	return sum
}

func (t traffic) bytes() int64 { return t.sent + t.received }

func (t traffic) requests() (n int64) {
	for _, count := range t.kinds {
		n += count
	}
	return n
}

// String tells the kinds of requests.
func (t traffic) String() string {
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(t.kinds)) {
		if n := t.kinds[kind]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(list, ", ")
}

// counter is an HTTP proxy that counts. Nothing is timed through it.
type counter struct {
	addr           string
	srv            *http.Server
	sent, received atomic.Int64
	mu             sync.Mutex
	kinds          map[string]int64
}

// count remembers what a request was, such as "HEAD blobs 404".
func (c *counter) count(r *http.Request, status int) {
	what := "/v2/"
	for _, s := range []string{"blobs/uploads", "blobs", "manifests", "tags", "referrers"} {
		if strings.Contains(r.URL.Path, "/"+s+"/") {
			what = s
			break
		}
	}
	if r.URL.Query().Has("mount") {
		what = "mount"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[fmt.Sprintf("%s %s %d", r.Method, what, status)]++
}

func newCounter(target string) (*counter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{addr: l.Addr().String(), kinds: map[string]int64{}}
	proxy := &httputil.ReverseProxy{
		// The Host stays, so that the registry's upload locations lead through the counter too.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", target
		},
		ModifyResponse: func(r *http.Response) error {
			c.count(r.Request, r.StatusCode)
			r.Body = &counted{r.Body, &c.received}
			return nil
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
	c.srv = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			r.Body = &counted{r.Body, &c.sent}
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = c.srv.Serve(l) }() // ends by Close
	return c, nil
}

func (c *counter) Close() error { return c.srv.Close() }

func (c *counter) sum() traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	return traffic{c.sent.Load(), c.received.Load(), maps.Clone(c.kinds)}
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// delay is a TCP proxy that hands on every byte after half a round trip, and opens a connection
// after a whole one. Bytes under way queue up, so that bandwidth stays what it is.
type delay struct {
	addr string
	l    net.Listener
	half time.Duration
	mu   sync.Mutex
	open map[net.Conn]bool
}

const (
	delayChunk = 64 << 10
	delayQueue = 512 // chunks under way per direction: 32 MiB in 10 ms are more than a loopback moves
)

func newDelay(target string, roundTrip time.Duration) (*delay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &delay{addr: l.Addr().String(), l: l, half: roundTrip / 2, open: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serve(c, target)
		}
	}()
	return d, nil
}

// Close stops listening and drops what is open.
func (d *delay) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		c.Close()
	}
	d.open = nil
	return d.l.Close()
}

// hold remembers a connection until it is let go; false: the proxy is closed.
func (d *delay) hold(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		c.Close()
		return false
	}
	d.open[c] = true
	return true
}

func (d *delay) letGo(c net.Conn) {
	c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, c)
}

func (d *delay) serve(client net.Conn, target string) {
	ready := time.Now().Add(2 * d.half) // what the handshake would have taken
	if !d.hold(client) {
		return
	}
	defer d.letGo(client)
	server, err := net.Dial("tcp", target)
	if err != nil || !d.hold(server) {
		return
	}
	defer d.letGo(server)
	var both sync.WaitGroup
	both.Go(func() { d.pump(server, client, ready) })
	both.Go(func() { d.pump(client, server, ready) })
	both.Wait()
}

type chunk struct {
	due time.Time
	b   []byte
}

var chunks = sync.Pool{New: func() any { return new([delayChunk]byte) }}

// pump moves one direction until its end.
func (d *delay) pump(to, from net.Conn, ready time.Time) {
	queue := make(chan chunk, delayQueue)
	go func() {
		defer close(queue)
		for {
			buf := chunks.Get().(*[delayChunk]byte)
			n, err := from.Read(buf[:])
			now := time.Now()
			if now.Before(ready) {
				now = ready
			}
			queue <- chunk{now.Add(d.half), buf[:n]}
			if err != nil {
				return
			}
		}
	}()
	failed := false
	for c := range queue {
		time.Sleep(time.Until(c.due))
		if !failed && len(c.b) > 0 {
			_, err := to.Write(c.b)
			failed = err != nil
		}
		if cap(c.b) == delayChunk {
			chunks.Put((*[delayChunk]byte)(c.b[:delayChunk]))
		}
		if failed {
			from.Close() // ends the reader, which may wait for room in the queue
		}
	}
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite() // the other side may be gone
	}
}
