// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"context"
	"os"

	"ocm"
)

// transformer is a type of transformations.
type transformer struct {
	plugin *Plugin
	typ    specType
}

// Transform implements [ocm.Transformer]. c is read at once, and again if the result is needed for long: that protocol knows files only.
func (t transformer) Transform(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec) (ocm.Content, error) {
	i, err := t.plugin.prepared(ctx, t.typ, s)
	if err != nil {
		return ocm.Content{}, err
	}
	return t.plugin.contentOf(ctx, func(ctx context.Context) (d delivered, from taking, err error) {
		dir, err := os.MkdirTemp(env.TempDir(), "ocm-") // 0700
		if err != nil {
			return d, from, err
		}
		h, err := handOut(ctx, dir, c)
		if err == nil {
			q := question{path: "/blob/transform", body: map[string]any{"location": h.location, "specification": s}}
			d, from, err = i.asking(q, "", i.authorizer(env, identityPath, typedBody{s}))(ctx)
		}
		if from.call = dir; err != nil {
			from.close()
		}
		return d, from, err
	}, "", "")
}
