// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/internal/fixture"
	"ocm/oci/remote"
)

// A registry without room is told from one that is broken, by its status or by its words; what it says where something is
// only read is not taken for that.
func TestRegistryWithoutRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		said   string
		want   string
	}{
		{http.StatusInsufficientStorage, "", "has no room left"},
		{http.StatusInternalServerError, "write /data: no space left on device", "has no room left"},
		{http.StatusInternalServerError, "unknown error", "its log tells why, and often its disk is full"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.said)
		}))
		store := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, server.URL, "", remote.Options{}))
		_, err := store.Repo("x").Push(t.Context(), ociv1.Descriptor{MediaType: "text/plain"}, strings.NewReader("content"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: expected %q, found %v", c.status, c.said, c.want, err)
		}
		_, err = store.Repo("x").Resolve(t.Context(), "v1")
		if err == nil || strings.Contains(err.Error(), "disk") {
			t.Errorf("%d %s: found %v", c.status, c.said, err)
		}
		server.Close()
	}
}
