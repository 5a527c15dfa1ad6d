// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"

	"ocm/plugin/wire"
)

func (s *server) upload(ctx context.Context, q wire.Upload) (wire.Stored, error) {
	uploader, err := s.kit.Uploaders.For(q.Spec.Type)
	if err != nil {
		return wire.Stored{}, err
	}
	c, err := s.content(ctx, q.Content)
	if err != nil {
		return wire.Stored{}, err
	}
	stored, err := uploader.Upload(ctx, s.env(q.Env), c, q.Spec, q.Hint)
	return wire.Stored{Root: stored.Root, Access: stored.Access}, err
}

func (s *server) transform(ctx context.Context, q wire.Transform) (wire.Content, error) {
	transformer, err := s.kit.Transformers.For(q.Spec.Type)
	if err != nil {
		return wire.Content{}, err
	}
	if q.Content.Partial { // which part it is could not be asked any more when the new content is read
		return wire.Content{}, fmt.Errorf("a part of an image cannot be transformed: %w", errors.ErrUnsupported)
	}
	c, err := s.content(ctx, q.Content)
	if err != nil {
		return wire.Content{}, err
	}
	made, err := transformer.Transform(ctx, s.env(q.Env), c, q.Spec)
	if err != nil {
		return wire.Content{}, err
	}
	return s.offer(made), nil
}
