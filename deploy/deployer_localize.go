// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ocm"
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// imageOf is where an image can be pulled.
func imageOf(res *resolve.Resource) (render.Image, error) {
	var access struct {
		ImageReference string `json:"imageReference"`
	}
	if err := res.Access.Members(&access); err != nil {
		return render.Image{}, err
	}
	name, digest, _ := strings.Cut(access.ImageReference, "@")
	registry, path, ok := strings.Cut(name, "/")
	if !ok {
		return render.Image{}, fmt.Errorf("imageReference: %q: %w: a registry and a path are expected", access.ImageReference, ocm.ErrInvalid)
	}
	path, tag, _ := strings.Cut(path, ":")
	return render.Image{Registry: registry, Path: path, Tag: tag, Digest: digest}, nil
}

// expressed evaluates expressions over what is deployed into values.
func (r *deployers) expressed(_ context.Context, d *v1alpha1.Deployer, _ *wanted) error {
	if d.Spec.ValueExpressions == nil {
		return nil
	}
	return errors.ErrUnsupported
}
