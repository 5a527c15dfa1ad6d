// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// CopyAttached copies what is attached to one manifest.
func CopyAttached(ctx context.Context, env *ocm.Env, from, to Repo, manifest ociv1.Descriptor) error {
	return copier{env: env, to: to, place: place{in: NewRepository(nil, env)}}.copyAttached(ctx, from, manifest)
}
