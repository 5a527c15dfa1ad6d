// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"

	"ocm/plugin/wire"
)

func (s *server) credentials(ctx context.Context, q wire.Credentials) (wire.Secret, error) {
	source, err := s.kit.Secrets.For(q.Spec.Type)
	if err != nil {
		return wire.Secret{}, err
	}
	found, err := source.Find(ctx, s.env(q.Env), q.Spec, q.Identity)
	return wire.Secret{Secret: found}, err
}
