// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A proxy that is away is not the server that is away.
func TestProxyThatIsAway(t *testing.T) {
	t.Parallel()
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server.example/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
		t.Fatal("the request succeeded")
	}
	if text := unreachable(req, err).Error(); !strings.Contains(text, "the proxy does not answer") || strings.Contains(text, "nobody listens") {
		t.Error(text)
	}
}
