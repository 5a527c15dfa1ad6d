// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"io"
	"strconv"
	"testing"
)

func quoted(s string) string { return strconv.Quote(s) }

func content(t *testing.T, r *Resource) (string, string) {
	t.Helper()
	rc, mediaType, err := r.Open(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return string(data), mediaType
}
