// SPDX-License-Identifier: Apache-2.0

package input

import (
	"net/http"
	"strings"
)

// byContent judges the first 512 bytes, by the rules of browsers. Parameters such as the
// character set are left out: registries do not accept them in media types.
func byContent(head []byte) string {
	mt, _, _ := strings.Cut(http.DetectContentType(head), ";")
	if mt == "application/x-gzip" {
		return "application/gzip"
	}
	return mt
}
