// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"fmt"
	"io"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
)

// MaxTransformed bounds, in bytes, content that a transformer makes and whose size it does not tell.
const MaxTransformed = blob.DefaultExtractBytes

// Transform makes other content of content, by the transformer of the specification's type. It is read when the new content is,
// by its digest where it has one; whoever has another digest of it compares that before. [ocm.ErrUnknownType] if there is no such
// transformer, [ocm.ErrInvalid] if what it makes breaks a rule; reading more than [MaxTransformed] bytes is [ocm.ErrLimit].
func Transform(ctx context.Context, kit *ocm.Kit, env *ocm.Env, c ocm.Content, s ocm.Spec) (ocm.Content, error) {
	t, err := kit.Transformers.For(s.Type)
	if err != nil {
		return ocm.Content{}, err
	}
	made, err := t.Transform(ctx, env, c, s)
	switch {
	case err != nil:
	case made.Root.MediaType == "":
		err = fmt.Errorf("what it makes has no media type: %w", ocm.ErrInvalid)
	case blob.IsManifest(made.Root.MediaType) && blob.CheckDigest(made.Root.Digest) != nil:
		err = fmt.Errorf("what it makes has the media type of a manifest, %s, and no digest: %w", made.Root.MediaType, ocm.ErrInvalid)
	}
	if err != nil {
		return ocm.Content{}, fmt.Errorf("transformer %s: %w", s.Type, err)
	}
	if made.Name == "" {
		made.Name = c.Name
	}
	if made.Root.Digest == "" || made.Root.Size < 0 { // else readers count
		made.From = bounded{made.From, s.Type, MaxTransformed}
	}
	return made, nil
}

// bounded delivers contents of at most so many bytes.
type bounded struct {
	ocm.Fetcher
	by    string
	limit int64
}

func (b bounded) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := b.Fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("transformer %s: %w", b.by, err)
	}
	return &boundedReader{rc, b, b.limit}, nil
}

// Provenance implements [chart.Provider]: a bound takes nothing away from a chart.
func (b bounded) Provenance(ctx context.Context) ([]byte, error) {
	if p, ok := b.Fetcher.(chart.Provider); ok {
		return p.Provenance(ctx)
	}
	return nil, fmt.Errorf("provenance file: %w", ocm.ErrNotFound)
}

type boundedReader struct {
	io.ReadCloser
	b    bounded
	left int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, fmt.Errorf("transformer %s: it makes more than %d bytes: %w", r.b.by, r.b.limit, ocm.ErrLimit)
	}
	return n, err
}
