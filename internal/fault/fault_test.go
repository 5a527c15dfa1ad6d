// SPDX-License-Identifier: Apache-2.0

package fault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/internal/fault"
	"ocm/internal/fixture"
	"ocm/internal/storetest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

// The network without sockets is good enough for a registry and its client.
func TestHostsCarryARegistry(t *testing.T) {
	storetest.Run(t, func(t *testing.T) oci.Store {
		h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
		t.Cleanup(func() { h.Close() })
		env := &ocm.Env{HTTP: fault.Hosts{"registry.example": h}}
		return fixture.Must[*remote.Store](t)(remote.Open(env, "http://registry.example", "", remote.Options{}))
	}, storetest.SkipTagRace)
}

// A store to which nothing happens is a store.
func TestStoreIsAStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) oci.Store {
		return &fault.Store{Store: memory.New(), Steps: &fault.Steps{}, Act: fault.Refuse}
	})
}

// echo answers with what it got, and counts.
type echo struct{ got []string }

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		raw = []byte("broken")
	}
	e.got = append(e.got, string(raw))
	w.Header().Set("Content-Length", "10")
	io.WriteString(w, "0123456789")
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		kind   fault.Kind
		got    string // by the server; empty: it was not asked
		answer string // status and body, or the error
	}{
		{fault.CutBefore(), "", "connection reset"},
		{fault.CutAfter(), "abcdefgh", "connection reset"},
		{fault.BreakUpload(fault.Cut), "broken", "connection reset"},
		{fault.BreakUpload(fault.Corrupt), "abcddfgh", "200 0123456789"},
		{fault.BreakUpload(fault.Truncate), "broken", "too early"},
		{fault.BreakAnswer(fault.Cut), "abcdefgh", "200 01234 the stream was cut: unexpected EOF"},
		{fault.BreakAnswer(fault.Corrupt), "abcdefgh", "200 0123446789"},
		{fault.BreakAnswer(fault.Truncate), "abcdefgh", "200 01234"},
		{fault.Status(429, 7), "", "429 7 {\"errors\""},
		{fault.StatusAfter(504), "abcdefgh", "504 the gateway"},
		{fault.WebPage(), "", "200 <!doctype html>"},
		{fault.Delay(time.Hour), "abcdefgh", "200 0123456789"},
		{fault.Kind{}, "abcdefgh", "200 0123456789"},
	} {
		t.Run(c.kind.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &echo{}
				l := &fault.Link{Base: fault.Hosts{"x": e}, Steps: &fault.Steps{At: 2}, Kind: c.kind}
				for i, want := range []struct{ got, answer string }{{"abcdefgh", "200 0123456789"}, {c.got, c.answer}, {"abcdefgh", "200 0123456789"}} {
					e.got = nil
					found := ask(t, l)
					synctest.Wait() // the server sees the end of a connection later
					if !strings.HasPrefix(found, want.answer) && !(strings.Contains(found, want.answer) && i == 1) {
						t.Errorf("request %d: expected %q, found %q", i, want.answer, found)
					}
					if got := strings.Join(e.got, ","); got != want.got {
						t.Errorf("request %d: the server should get %q and got %q", i, want.got, got)
					}
				}
				if n := len(l.Steps.Hits()); n != 1 && c.kind.Name != "" {
					t.Errorf("%d hits", n)
				}
			})
		})
	}
}

// ask sends a request and returns what comes back as text.
func ask(t *testing.T, l *fault.Link) string {
	req := fixture.Must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPut, "http://x/y", bytes.NewReader([]byte("abcdefgh"))))
	resp, err := l.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	text := strings.Join(slices.DeleteFunc([]string{resp.Status[:3], resp.Header.Get("Retry-After"), string(raw)}, func(s string) bool { return s == "" }), " ")
	if err != nil {
		text += " " + err.Error()
	}
	return text
}

func TestLinkStaysDown(t *testing.T) {
	e := &echo{}
	l := &fault.Link{Base: fault.Hosts{"x": e}, Steps: &fault.Steps{At: 2, Down: true}, Kind: fault.CutBefore()}
	for range 4 {
		ask(t, l)
	}
	if len(e.got) != 1 || len(l.Steps.Names()) != 4 || len(l.Steps.Hits()) != 3 {
		t.Errorf("found %q, %q, %q", e.got, l.Steps.Names(), l.Steps.Hits())
	}
}

func TestStoreFails(t *testing.T) {
	const body = "some bytes"
	d := ociv1.Descriptor{MediaType: "text/plain", Digest: digest.FromString(body), Size: int64(len(body))}
	for act, stored := range map[fault.Act]bool{fault.Refuse: false, fault.Lose: true, fault.CutRead: false, fault.CorruptRead: false, fault.TruncateRead: false} {
		s := &fault.Store{Store: memory.New(), Steps: &fault.Steps{At: 1}, Act: act}
		_, err := s.Repo("a").Push(context.Background(), d, strings.NewReader(body))
		if err == nil || act != fault.CorruptRead && act != fault.TruncateRead && !errors.Is(err, fault.Err) {
			t.Errorf("%s: found %v", act, err)
		}
		if there, err := s.Repo("a").Exists(context.Background(), d); there != stored || err != nil {
			t.Errorf("%s: there %v, %v", act, there, err)
		}
	}
}

func TestBytes(t *testing.T) {
	b := fault.Bytes{Seed: 7, N: 100_000}
	whole := fixture.Must[[]byte](t)(io.ReadAll(b.Reader()))
	r := b.Reader()
	fixture.Must[int64](t)(r.Seek(-1000, io.SeekEnd))
	if tail := fixture.Must[[]byte](t)(io.ReadAll(r)); !bytes.Equal(tail, whole[99_000:]) || b.Root().Size != 100_000 {
		t.Error("the bytes depend on how they are read")
	}
	if b.Root().Digest == (fault.Bytes{Seed: 8, N: 100_000}).Root().Digest {
		t.Error("the seed is of no importance")
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("before the beginning")
	}
}

func TestResetIsOne(t *testing.T) {
	req := fixture.Must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", nil))
	_, err := (&fault.Link{Base: fault.Hosts{}, Steps: &fault.Steps{At: 1}, Kind: fault.CutBefore()}).RoundTrip(req)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("found %v", err)
	}
}
