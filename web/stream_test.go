// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"ocm"
	"ocm/web"
)

// A body that streams has the length that is said, and is sent once, whatever the answer is.
func TestStreamIsSentOnce(t *testing.T) {
	t.Parallel()
	var lengths []int64
	var texts []string
	status := http.StatusCreated
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		lengths, texts = append(lengths, r.ContentLength), append(texts, string(text))
		w.WriteHeader(status)
	}))
	defer srv.Close()
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := web.For(t.Context(), &ocm.Env{}, at)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string, size int64) error {
		resp, err := c.Do(t.Context(), web.Request{Method: http.MethodPut, URL: at, Stream: io.NopCloser(strings.NewReader(text)), Size: size})
		if err == nil {
			web.Drop(resp)
		}
		return err
	}
	for i, tt := range []struct {
		text string
		size int64
	}{{"hello", 5}, {"hello", -1}, {"", 0}, {"", -1}} {
		if err := put(tt.text, tt.size); err != nil || len(texts) != i+1 || texts[i] != tt.text || lengths[i] != tt.size {
			t.Errorf("%+v: %q %d %v", tt, texts, lengths, err)
		}
	}
	status = http.StatusServiceUnavailable
	if err := put("hello", 5); web.Status(err) != status || len(texts) != 5 {
		t.Errorf("sent %d times: %v", len(texts)-4, err)
	}
}
