// SPDX-License-Identifier: Apache-2.0

package normalise_test

import (
	"fmt"
	"strings"
	"testing"

	"ocm"
	"ocm/descriptor"
	"ocm/internal/fixture"
	"ocm/normalise"
)

// large is a document with a thousand resources.
func large(b *testing.B) []byte {
	b.Helper()
	d := decode(b, document())
	r := d.Component.Resources[0]
	d.Component.Resources = nil
	for i := range 1000 {
		r := r
		r.Name = fmt.Sprintf("resource-%d", i)
		r.ExtraIdentity = ocm.Identity{"os": "linux", "architecture": "amd64"}
		r.Labels = []ocm.Label{{Name: "l", Value: ocm.RawJSON(`{"a":[1,2,3]}`), Signing: true}}
		r.Digest = &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: strings.Repeat("ab", 32)}
		d.Component.Resources = append(d.Component.Resources, r)
	}
	raw, err := descriptor.JSON(d)
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

func BenchmarkDecode(b *testing.B) {
	raw := large(b)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := descriptor.Decode("", raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeYAML(b *testing.B) {
	raw, err := fixture.YAML(decode(b, string(large(b))))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := descriptor.Decode(descriptor.MediaTypeYAML, raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNormalise(b *testing.B) {
	d := decode(b, string(large(b)))
	for _, a := range algorithms {
		b.Run(a, func(b *testing.B) {
			for b.Loop() {
				if _, err := normalise.Normalise(d, a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
