// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// parseRange reads the Range header of a request for content of a size (RFC 9110, section 14). Units that nobody knows and several
// ranges at once are answered with everything, as it is allowed; ok is false for what is malformed or begins behind the end.
func parseRange(header string, size int64) (start, length int64, status int, ok bool) {
	unit, set, is := strings.Cut(header, "=")
	if !is || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(set, ",") {
		return 0, size, http.StatusOK, true
	}
	first, last, is := strings.Cut(strings.TrimSpace(set), "-")
	if !is {
		return 0, 0, 0, false
	}
	if first == "" { // the last bytes
		n, is := number(last)
		if !is || n == 0 || size == 0 {
			return 0, 0, 0, false
		}
		n = min(n, size)
		return size - n, n, http.StatusPartialContent, true
	}
	start, is = number(first)
	end := int64(math.MaxInt64)
	if is && last != "" {
		end, is = number(last)
	}
	if !is || end < start || start >= size {
		return 0, 0, 0, false
	}
	return start, min(end, size-1) - start + 1, http.StatusPartialContent, true
}

// parseContentRange reads the Content-Range header of a chunk, which is not the one of HTTP: first and last position, and nothing else.
func parseContentRange(header string) (start, length int64, ok bool) {
	first, last, is := strings.Cut(header, "-")
	start, ok = number(first)
	end, also := number(last)
	if !is || !ok || !also || end < start || end == math.MaxInt64 {
		return 0, 0, false
	}
	return start, end - start + 1, true
}

// number reads digits and nothing else; what is too large for a file is the largest number.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}
