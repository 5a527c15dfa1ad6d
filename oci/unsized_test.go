// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
	"ocm/oci"
)

// Some sources tell a digest and no size.
func TestContentOfKnownDigestAndUnknownSize(t *testing.T) {
	t.Parallel()
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			draft, err := oci.NewRepository(place(t), &ocm.Env{}).Draft(t.Context(), "acme.org/app", "1.0.0", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer draft.Close()
			c := blob.Bytes("text/plain", []byte("hello"))
			c.Root.Size = -1
			for range 2 {
				stored, err := draft.Add(t.Context(), c, "")
				if err != nil || stored.Root.Size != 5 || stored.Root.Digest != c.Root.Digest || stored.Root.MediaType != "text/plain" {
					t.Fatalf("%+v %v", stored.Root, err)
				}
			}
			c.Root.Digest = digest.FromString("other")
			_, err = draft.Add(t.Context(), c, "")
			fixture.WantErr(t, err, ocm.ErrDigest)
		})
	}
}
