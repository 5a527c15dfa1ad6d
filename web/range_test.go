// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"testing"
	"time"
)

// What is said of a state is compared with itself, and a wait is never negative.
func FuzzAnswerHeaders(f *testing.F) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Add("7", `"1"`, "Tue, 01 Jan 2030 00:00:00 GMT", "Tue, 01 Jan 2030 00:00:01 GMT")
	f.Add("Tue, 01 Jan 2020 00:00:00 GMT", `W/"1"`, "", "x")
	f.Add("-1", `"`, "Mon, 31 Dec 2029 00:00:00 GMT", "Tue, 01 Jan 2030 00:00:01 GMT")
	f.Add("99999999999999999999", "", "", "")
	f.Fuzz(func(t *testing.T, after, tag, modified, date string) {
		h := http.Header{"Retry-After": {after}, "Etag": {tag}, "Last-Modified": {modified}, "Date": {date}}
		if d, ok := retryAfter(&http.Response{Header: h}, now); d < 0 || d > 0 && !ok {
			t.Errorf("%q: found %v, %v", after, d, ok)
		}
		s := stateOf(h)
		if s.contradicts(h) {
			t.Errorf("%+v contradicts itself", s)
		}
		if s.known() && (s.condition() == "" || s.condition() != tag && s.condition() != modified) {
			t.Errorf("%+v makes the condition %q", s, s.condition())
		}
		if len(tag) > 1 && tag[:2] == "W/" && s.etag != "" {
			t.Errorf("a weak tag is taken as a strong one: %q", tag)
		}
	})
}
