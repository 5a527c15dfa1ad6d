// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// pack makes an image of a tree.
func pack(ctx context.Context, p ociv1.Platform, config ociv1.ImageConfig, t *tree) (ocm.Content, error) {
	s := store{}
	var layers []ociv1.Descriptor
	var plain []digest.Digest
	for n := range layerCount {
		b, err := t.layer(n)
		if err != nil {
			return ocm.Content{}, err
		}
		if b == nil {
			continue
		}
		small, err := compress(ctx, b)
		if err != nil {
			return ocm.Content{}, err
		}
		layers, plain = append(layers, s.put(ociv1.MediaTypeImageLayerGzip, small)), append(plain, digest.FromBytes(b))
	}
	c, err := s.putJSON(ociv1.MediaTypeImageConfig, ociv1.Image{Platform: p, Config: config, RootFS: ociv1.RootFS{Type: "layers", DiffIDs: plain}})
	if err != nil {
		return ocm.Content{}, err
	}
	m, err := s.putJSON(ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, Config: c, Layers: layers,
	})
	return ocm.Content{Root: m, From: s}, err
}

// compress does it as all that is packed here.
func compress(ctx context.Context, plain []byte) ([]byte, error) {
	c := blob.Gzip(blob.Bytes(ociv1.MediaTypeImageLayer, plain), ociv1.MediaTypeImageLayerGzip)
	r, err := c.From.Fetch(ctx, c.Root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// store holds blobs in memory.
type store map[digest.Digest][]byte

func (s store) put(mediaType string, b []byte) ociv1.Descriptor {
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	s[d.Digest] = b
	return d
}

func (s store) putJSON(mediaType string, v any) (ociv1.Descriptor, error) {
	b, err := json.Marshal(v)
	return s.put(mediaType, b), err
}

// Fetch implements [ocm.Fetcher].
func (s store) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	b, ok := s[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, ocm.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
