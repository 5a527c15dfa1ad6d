// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"maps"

	"ocm"
)

// FromDescriptor is the environment for a reference that somebody wrote into a descriptor. Such a
// reference may say http; who listens on the way would then get what was configured for https, so that
// asking for that is [ocm.ErrDenied]. This computer is no way.
func FromDescriptor(env *ocm.Env, ref Reference) *ocm.Env {
	if ref.Scheme != "http" || isLoopback(ref.Host) || env == nil || env.Credentials == nil {
		return env
	}
	guarded := *env
	guarded.Credentials = plainOnly{env.Credentials}
	return &guarded
}

// plainOnly hands out secrets that are meant for plain http and for nothing else: those that are not
// found for the same place with https.
type plainOnly struct{ all ocm.Credentials }

func (p plainOnly) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	secret, err := p.all.Resolve(ctx, id)
	if err != nil {
		return nil, err
	}
	encrypted := maps.Clone(id)
	encrypted["scheme"] = "https"
	if other, err := p.all.Resolve(ctx, encrypted); err == nil && maps.Equal(secret, other) {
		return nil, fmt.Errorf("the image reference in the descriptor asks for plain http, where the credentials could be read on the way; if that is intended, configure them with scheme http: %w", ocm.ErrDenied)
	}
	return secret, nil
}
