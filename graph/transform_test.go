// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"errors"
	"io"
	"strings"
	"testing"

	"ocm"
	"ocm/blob"
)

// What has no end is not read to its end.
func TestTransformedIsBounded(t *testing.T) {
	t.Parallel()
	text := blob.Bytes("text/plain", []byte("0123456789"))
	for limit, want := range map[int64]error{9: ocm.ErrLimit, 10: nil} {
		rc, err := bounded{text.From, "endless", limit}.Fetch(t.Context(), text.Root)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(rc)
		if !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "transformer endless: it makes more than 9 bytes") {
			t.Errorf("%d bytes: %v", limit, err)
		}
		if err := rc.Close(); err != nil {
			t.Error(err)
		}
	}
}
