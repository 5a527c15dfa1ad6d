// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"strings"

	"ocm/deploy/expression"
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// imageOf is where an image can be pulled.
func imageOf(res *resolve.Resource) (render.Image, error) {
	c, err := expression.Coordinates(res)
	if err != nil {
		return render.Image{}, err
	}
	return render.Image{Registry: c["registry"], Path: c["repository"], Tag: c["tag"], Digest: c["digest"]}, nil
}

// expressed evaluates expressions over what is deployed into values.
func (r *deployers) expressed(ctx context.Context, d *v1alpha1.Deployer, w *wanted) error {
	if d.Spec.ValueExpressions == nil {
		return nil
	}
	images := map[string]any{}
	for name, image := range w.images {
		parts := map[string]any{}
		for _, p := range []v1alpha1.Part{v1alpha1.PartImage, v1alpha1.PartRegistry, v1alpha1.PartPath, v1alpha1.PartRepository, v1alpha1.PartTag, v1alpha1.PartDigest} {
			parts[strings.ToLower(string(p))] = image.Part(p)
		}
		images[name] = parts
	}
	resource, err := expression.Variable(&w.resource.Resource)
	if err != nil {
		return err
	}
	component := map[string]any{"name": w.resource.Component, "version": w.resource.Version, "digest": w.resource.Digest.Value}
	text, err := r.expressions.Evaluate(ctx, "spec.valueExpressions", d.Spec.ValueExpressions.Raw,
		map[string]any{"resource": resource, "component": component, "images": images}, w.resource)
	if err != nil || text == nil {
		return err
	}
	values := map[string]any{}
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	merge(w.values, values)
	return nil
}
