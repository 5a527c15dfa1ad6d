// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// scripted is a transport that gives the same answer to everything.
type scripted struct {
	code                         int
	contentType, dig, link, body string
}

func (s scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	code := 100 + max(0, s.code)%500
	h := http.Header{
		"Content-Type": {s.contentType}, "Docker-Content-Digest": {s.dig}, "Link": {s.link}, "Location": {s.link}, "Www-Authenticate": {s.link},
		"Retry-After": {s.dig}, "Accept-Ranges": {"bytes"}, "Content-Length": {strconv.Itoa(len(s.body))},
	}
	body := io.NopCloser(strings.NewReader(s.body))
	if req.Method == http.MethodHead {
		body = http.NoBody
	}
	return &http.Response{StatusCode: code, ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: body, ContentLength: int64(len(s.body)), Request: req}, nil
}
