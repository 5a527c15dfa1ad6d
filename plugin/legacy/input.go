// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"context"
	"fmt"

	"ocm"
	"ocm/blob"
)

// input is an input type.
type input struct {
	plugin *Plugin
	typ    specType
	kit    *ocm.Kit // for inputs that answer with an access
}

// Open implements [ocm.Opener]. A plugin may answer with a finished resource in place of content: then its access is opened.
func (in input) Open(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	i, err := in.plugin.prepared(ctx, in.typ, s)
	if err != nil {
		return ocm.Content{}, err
	}
	q := question{path: "/resource/process", body: map[string]any{"resource": map[string]any{
		"name": aspect, "version": "1.0.0", "type": "blob", "relation": ocm.RelationLocal, "input": s,
	}}}
	ask := i.asking(q, inputFolder(env), i.authorizer(env, identityPath, typedBody{s}))
	d, from, err := ask(ctx)
	if err != nil {
		return ocm.Content{}, err
	}
	if d.Location == nil && d.Resource != nil {
		return in.byReference(ctx, env, d.Resource)
	}
	return in.plugin.opened(ctx, d, from, ask, "", "")
}

// inputFolder is the folder of the constructor, whose files an input may answer with.
func inputFolder(env *ocm.Env) string {
	if env == nil || env.Dir == "" {
		return "."
	}
	return env.Dir
}

func (in input) byReference(ctx context.Context, env *ocm.Env, r *ocm.Resource) (ocm.Content, error) {
	access := r.Access
	if err := global(access); err != nil {
		return ocm.Content{}, in.plugin.named(err)
	}
	method, err := in.kit.Access.For(access.Type)
	if err != nil {
		return ocm.Content{}, in.plugin.named(err)
	}
	c, err := method.Open(ctx, env, access)
	if err == nil && blob.IsManifest(c.Root.MediaType) && c.Root.Digest == "" {
		err = fmt.Errorf("access %s: an artifact without a digest: %w", shown(access.Type), ocm.ErrInvalid)
	}
	return c, in.plugin.named(err)
}
