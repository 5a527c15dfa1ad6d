// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// state is what an answer says about which state of the content it has: two answers with the same state can be
// parts of one whole.
type state struct{ etag, modified string }

// stateOf reads a strong ETag, else a Last-Modified that is older than the answer by more than the
// second that it can tell apart (RFC 9110, 8.8.2.2 and 13.1.5).
func stateOf(h http.Header) state {
	if tag := h.Get("ETag"); len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		return state{etag: tag}
	}
	modified, e1 := http.ParseTime(h.Get("Last-Modified"))
	date, e2 := http.ParseTime(h.Get("Date"))
	if e1 == nil && e2 == nil && date.Sub(modified) > time.Second {
		return state{modified: h.Get("Last-Modified")}
	}
	return state{}
}

func (s state) known() bool { return s != state{} }

// condition is the value of an If-Range header.
func (s state) condition() string { return s.etag + s.modified }

// contradicts tells whether an answer says that it has another state. One that says nothing does not.
func (s state) contradicts(h http.Header) bool {
	tag, modified := h.Get("ETag"), h.Get("Last-Modified")
	return s.etag != "" && tag != "" && tag != s.etag || s.modified != "" && modified != "" && modified != s.modified
}

// ParseContentRange reads "bytes first-last/total"; total is -1 if it is "*".
func ParseContentRange(v string) (first, total int64, ok bool) {
	v, ok = strings.CutPrefix(v, "bytes ")
	span, all, hasTotal := strings.Cut(v, "/")
	from, to, hasTo := strings.Cut(span, "-")
	first, e1 := ParseSize(from)
	last, e2 := ParseSize(to)
	if !ok || !hasTotal || !hasTo || !e1 || !e2 || last < first {
		return 0, 0, false
	}
	if all == "*" {
		return first, -1, true
	}
	total, ok = ParseSize(all)
	return first, total, ok && last < total
}

// ParseSize reads a number of bytes: digits only, below 2^62.
func ParseSize(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 62)
	return int64(n), err == nil
}
