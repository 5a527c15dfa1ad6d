// SPDX-License-Identifier: Apache-2.0

package construct

import (
	"context"
	"io"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// stoppable ends every stream of a fetcher with its context. Streams over files do not look at
// it by themselves, and a large one would be copied to its end after the user said stop.
type stoppable struct{ ocm.Fetcher }

func (s stoppable) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := s.Fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return stoppableReader{rc, ctx}, nil
}

type stoppableReader struct {
	io.ReadCloser
	ctx context.Context
}

func (r stoppableReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.ReadCloser.Read(p)
}
