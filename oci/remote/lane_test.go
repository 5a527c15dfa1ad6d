// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/config"
	"ocm/oci"
	"ocm/web"
)

// bucket is a registry that serves so many requests per second and refuses the others.
type bucket struct {
	mu     sync.Mutex
	perSec float64
	header string
	tokens float64
	last   time.Time
	served int
	denied int
}

func (b *bucket) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(b.perSec, b.tokens+now.Sub(b.last).Seconds()*b.perSec)
	b.last = now
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}
	if b.tokens < 1 {
		b.denied++
		resp.StatusCode = http.StatusTooManyRequests
		if b.header != "" {
			resp.Header.Set("Retry-After", b.header)
		}
		return resp, nil
	}
	b.tokens--
	b.served++
	switch req.Method {
	case http.MethodHead:
		resp.StatusCode = 404
	case http.MethodPost:
		resp.StatusCode = 202
		resp.Header.Set("Location", "/v2/a/blobs/uploads/1")
	case http.MethodPut:
		resp.StatusCode = 201
	}
	return resp, nil
}

// 16 at once against a registry that takes five requests in a second: all finish.
func TestTooManyRequestsFinish(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"", "0", "1", "3"} {
		t.Run("Retry-After "+header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bucket{perSec: 5, header: header, last: time.Now()}
				job := ocm.NewJob(16)
				s, err := Open(&ocm.Env{HTTP: b, Job: job}, "registry.example.org", "", Options{})
				if err != nil {
					t.Fatal(err)
				}
				r := s.Repo("a").(oci.Placer)
				g, ctx := errgroup.WithContext(t.Context())
				g.SetLimit(16)
				began := time.Now()
				for i := range 200 {
					content := []byte(fmt.Sprint(i))
					g.Go(func() error {
						_, err := r.Place(ctx, describe("", content), nil, (&placed{content: content}).open)
						return err
					})
				}
				if err := g.Wait(); err != nil {
					t.Fatalf("after %v: %v", time.Since(began), err)
				}
				least := time.Duration(b.served/5) * time.Second
				if took := time.Since(began); took > 4*least+10*time.Second {
					t.Errorf("expected about %v, found %v", least, took)
				}
				if b.denied > b.served {
					t.Errorf("%d requests were served, %d denied: it was not given less", b.served, b.denied)
				}
				if job.Stats.Retries.Load() == 0 {
					t.Error("expected retries to be counted")
				}
			})
		})
	}
}

// One that only ever says "too many" is given up.
func TestTooManyRequestsForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bucket{perSec: 0, header: "10"}
		s, err := Open(&ocm.Env{HTTP: b}, "registry.example.org", "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = s.Repo("a").Exists(t.Context(), describe("", []byte("x")))
		if took := time.Since(began); err == nil || took < web.MaxRetries*10*time.Second || took > 2*time.Minute || b.denied != web.MaxRetries+1 {
			t.Errorf("found %v after %v and %d requests", err, took, b.denied)
		}
	})
}

// A port where nobody listens is reported within about a second.
func TestWrongPortIsReportedSoon(t *testing.T) {
	t.Parallel()
	const addr = "127.0.0.1:1" // no port that a test of another package may get
	s, err := Open(nil, addr, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = s.Repo("a").Resolve(t.Context(), "1")
	check(t, err, nil, []string{"nobody listens on " + addr})
	if took := time.Since(began); took > 8*time.Second { // 0.9 s; the machine may be busy
		t.Errorf("it took %v", took)
	}
}

// A registry that is started anew is waited for.
func TestRestartIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		restarting := &sometimes{}
		s, err := Open(&ocm.Env{HTTP: restarting}, "registry.example.org", "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := s.Repo("a")
		d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1}
		if _, err := r.Exists(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		restarting.until = time.Now().Add(2 * time.Second)
		if _, err := r.Exists(t.Context(), d); err != nil {
			t.Errorf("expected it to be waited for, found %v", err)
		}
	})
}

// sometimes refuses connections for a time.
type sometimes struct{ until time.Time }

func (s *sometimes) RoundTrip(req *http.Request) (*http.Response, error) {
	if time.Now().Before(s.until) {
		return nil, &net.OpError{Op: "dial", Err: refused}
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// Chosen settings of a host count, and one connection serves many requests.
func TestTransportSettings(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	srv := quiet(olaregHandler(t))
	srv.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	tr := web.NewTransport(settingsFor(srv.Listener.Addr().String()))
	t.Cleanup(tr.CloseIdleConnections)
	s, err := Open(&ocm.Env{HTTP: tr}, srv.URL, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := s.session.pace; p.Answer != 7*time.Second || p.Stall != 7*time.Second || p.Commit != web.CommitTimeout || p.Retries != 2 || p.Wait != time.Second || p.MaxWait != 2*time.Second {
		t.Errorf("expected the settings of the host, found %+v", p)
	}
	other, err := Open(&ocm.Env{HTTP: tr, Timeout: time.Hour}, "other.example.org", "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := other.session.pace; p.Answer != time.Hour || p.Stall != time.Hour || p.Commit != time.Hour || p.Retries != 0 {
		t.Errorf("expected the environment's time and no retries, found %+v", p)
	}
	for range 5 { // several rounds of 16 at once need 16 connections, not more with every round
		g, ctx := errgroup.WithContext(t.Context())
		for i := range 16 {
			content := bytes.Repeat([]byte{byte(i)}, 1000)
			g.Go(func() error {
				_, err := s.Repo("a").Push(ctx, describe("", content), bytes.NewReader(content))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n > 64 { // a slow machine dials some in vain; without idle ones it would be more than 100
		t.Errorf("expected about 16 connections, found %d", n)
	}
}

// A certificate that nobody knows is taken from the host that it was configured for, from no other.
func TestInsecureIsPerHost(t *testing.T) {
	t.Parallel()
	srv, _ := serveTLS(t, olaregHandler(t))
	addr := srv.Listener.Addr().String()
	settings := settingsFor("127.0.0.1")
	tr := web.NewTransport(settings)
	t.Cleanup(tr.CloseIdleConnections)
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1}
	if _, err := open(t, &ocm.Env{HTTP: tr}, "https://"+addr).Repo("a").Exists(t.Context(), d); err != nil {
		t.Errorf("expected it to be taken, found %v", err)
	}
	_, err := open(t, &ocm.Env{HTTP: tr}, "https://"+strings.Replace(addr, "127.0.0.1", "localhost", 1)).Repo("a").Exists(t.Context(), d)
	check(t, err, nil, []string{"certificate"})
}

var refused error = syscall.ECONNREFUSED

func settingsFor(host string) config.HTTP {
	o := config.HTTPOptions{Timeout: 7 * time.Second, MaxRetries: 2, MinWait: time.Second, MaxWait: 2 * time.Second, InsecureSkipVerify: true}
	return config.HTTP{Default: config.HTTPOptions{MaxRetries: -1}, Hosts: map[string]config.HTTPOptions{host: o}}
}
