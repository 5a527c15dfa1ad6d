// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/blob"
)

// FuzzAsReferrer reads manifests of strangers.
func FuzzAsReferrer(f *testing.F) {
	subject := digest.FromString("subject").String()
	for _, s := range []string{
		`{}`, `{"subject":null}`, `{"subject":{"digest":"` + subject + `"},"artifactType":"a","annotations":{"k":"v"}}`,
		`{"subject":{"digest":"sha256:../../x"}}`, `{"subject":[]}`, `{"subject":{"digest":"` + subject + `"},"config":{"mediaType":"c"},"layers":[{"digest":"x"}]}`,
		`{"config":{},"layers":[{"annotations":{"a":"b"}}]}`, `{"subject":{},"subject":{}}`, "\xff",
	} {
		f.Add([]byte(s), []byte(`{"config":{},"layers":[]}`), true)
	}
	f.Fuzz(func(t *testing.T, raw, other []byte, index bool) {
		d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		if index {
			d.MediaType = ociv1.MediaTypeImageIndex
		}
		subject, r, err := AsReferrer(d, raw)
		if err == nil && subject != "" && (blob.CheckDigest(subject) != nil || r.Digest != d.Digest || r.Size != d.Size) {
			t.Fatalf("subject %q, referrer %+v", subject, r)
		}
		if _, ok := layersOf(raw); ok && !covers(raw, raw) {
			t.Fatal("a manifest does not cover itself")
		}
		covers(raw, other)
	})
}
