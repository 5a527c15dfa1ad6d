// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestScrapeAddsWhatBelongsTogether(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`# HELP rest_client_requests_total requests
rest_client_requests_total{code="200",host="127.0.0.1:1",method="PATCH"} 20
rest_client_requests_total{code="409",host="127.0.0.1:1",method="PATCH"} 2
rest_client_requests_total{code="200",host="127.0.0.1:1",method="GET"} 1
process_cpu_seconds_total 1.5
ocm_system_ocm_k8s_toolkit_cache_hit 1.2e+01
ocm_system_ocm_k8s_toolkit_cache_miss 3
other{a="b"} NaN
`))
	}))
	t.Cleanup(srv.Close)
	s, err := Scrape(t.Context(), srv.Client(), srv.URL)
	if err != nil || s.Requests["PATCH"] != 22 || s.Total() != 23 || s.CPU != 1500*time.Millisecond || s.Hits != 12 || s.Misses != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if rest := s.Since(s); rest.Total() != 0 || rest.CPU != 0 || rest.Hits != 0 {
		t.Errorf("%+v", rest)
	}
}

func TestGetComesBackWhenItIsAskedTo(t *testing.T) {
	t.Parallel()
	answers := []int{http.StatusTooManyRequests, http.StatusOK, http.StatusForbidden}
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[asked.Add(1)-1])
	}))
	t.Cleanup(srv.Close)
	body, err := get(t.Context(), srv.Client(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	body.Close()
	if _, err := get(t.Context(), srv.Client(), srv.URL); err == nil {
		t.Error("403 is no answer")
	}
}

func TestEachEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	want := errors.New("no")
	err := Each(t.Context(), 2, slices.Repeat([]int{1}, 100), func(context.Context, int) error { return want })
	if !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	if err := Each(t.Context(), 2, []int{1, 2, 3}, func(context.Context, int) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestWatchCountsWhatIsReady(t *testing.T) {
	t.Parallel()
	w := &Watch{want: 2, done: make(chan struct{}), states: map[string]string{}}
	ready, not := &event{}, &event{}
	ready.Object.Status.Conditions = []struct{ Type, Status, Message string }{{"Ready", "True", ""}}
	not.Object.Status.Conditions = []struct{ Type, Status, Message string }{{"Ready", "False", "because"}}
	for _, e := range []struct {
		name string
		is   *event
	}{{"a", not}, {"a", ready}, {"a", ready}, {"a", not}, {"b", ready}, {"c", &event{}}} {
		w.see(e.name, e.is)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Wait(ended); w.count != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d are ready: %v", w.count, err)
	}
	w.see("a", ready)
	if err := w.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
