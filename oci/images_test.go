// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"bytes"
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// images is a fetcher over documents in memory.
type images map[digest.Digest][]byte

func (m images) put(mediaType, s string) ociv1.Descriptor {
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromString(s), Size: int64(len(s))}
	m[d.Digest] = []byte(s)
	return d
}

func (m images) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	b, ok := m[d.Digest]
	if !ok {
		return nil, ocm.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
