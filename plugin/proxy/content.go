// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"

	"ocm"
	"ocm/plugin/wire"
)

// Uploader is an uploader of a plugin. What the plugin reads is hashed on the way; [ocm.ErrDigest] if it says that it has stored something
// else, or something that nobody knew and that it has not read. Whether its access leads to that is for the caller to find out.
func Uploader(p Plugin) ocm.Uploader { return uploader{p} }

type uploader struct{ plugin Plugin }

func (u uploader) Upload(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec, hint string) (stored ocm.Stored, err error) {
	var job *ocm.Job
	if env != nil {
		job = env.Job
	}
	err = job.Do(ctx, func() error {
		stored, err = u.upload(ctx, env, c, s, hint)
		return err
	})
	return stored, err
}

// upload is not tried again if the plugin dies: nobody knows what it has done by then.
func (u uploader) upload(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec, hint string) (ocm.Stored, error) {
	call, err := u.plugin.Call(ctx, env)
	if err != nil {
		return ocm.Stored{}, err
	}
	defer call.End()
	w := watch(env, c)
	var said wire.Stored
	if err := call.Ask(wire.UploadPath, wire.Upload{Content: call.Offer(w.content(), ""), Spec: s, Hint: hint, Env: envOf(env)}, &said, false); err != nil {
		return ocm.Stored{}, errors.Join(w.err(), err) // the plugin knows only that a stream has broken off
	}
	stored, err := w.stored(said)
	if err == nil {
		w.tellLeftBehind(ctx, nameOf(u.plugin))
	}
	return stored, named(u.plugin, err)
}

// Transformer is a transformer of a plugin.
func Transformer(p Plugin) ocm.Transformer { return transformer{p} }

type transformer struct{ plugin Plugin }

func (t transformer) Transform(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec) (ocm.Content, error) {
	handle := "" // of the source: the same one whenever it is offered
	open := func(ctx context.Context) (made wire.Content, err error) {
		call, err := t.plugin.Call(ctx, env)
		if err != nil {
			return made, err
		}
		defer call.End()
		source := call.Offer(c, handle)
		handle = source.Handle
		err = call.Ask(wire.TransformPath, wire.Transform{Content: source, Spec: s, Env: envOf(env)}, &made, true)
		return made, err
	}
	r := &remote{plugin: t.plugin, env: env, open: open}
	made, err := content(ctx, r)
	r.sources = map[string]ocm.Content{handle: c}
	return made, err
}

// named says which plugin it is that has answered something wrong.
func named(p Plugin, err error) error {
	if who := nameOf(p); who != "" && err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	return err
}

// nameOf is what a plugin is called in messages; empty if it is not.
func nameOf(p Plugin) string {
	if who, ok := p.(fmt.Stringer); ok {
		return who.String()
	}
	return ""
}
