// SPDX-License-Identifier: Apache-2.0

// Package proxy makes the interfaces of package ocm of the questions that a plugin answers. It knows nothing of processes: it
// asks through a [Plugin].
package proxy

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
	"ocm/plugin/wire"
)

// Plugin is somebody who answers. Its errors say which plugin it is.
type Plugin interface {
	// Call begins a call, in which the plugin may ask for the credentials of env and for what is offered. It starts the plugin if it does not
	// run. Whoever begins a call ends it.
	Call(ctx context.Context, env *ocm.Env) (Call, error)
}

// Call is one call of a plugin. It is for one question; the plugin's questions that it brings about may be many.
type Call interface {
	// Offer lets the plugin read a content until the call ends, always under the handle that is given, or under a new one.
	Offer(c ocm.Content, handle string) wire.Content
	// Ask asks a question as [wire.Client.Ask] does. again says that it may be asked twice: then a plugin that has died is started again.
	Ask(path string, question, answer any, again bool) error
	// Stream asks for bytes. The call lasts until they are closed.
	Stream(path string, question any) (io.ReadCloser, int64, error)
	// End ends the call, unless a stream goes on. It may be called twice.
	End()
}

// envOf is what goes over the wire of an environment.
func envOf(env *ocm.Env) wire.Env {
	if env == nil {
		return wire.Env{}
	}
	e := wire.Env{Dir: env.Dir, Temp: env.Temp, Durable: env.Durable, Confined: env.Confined}
	if env.Now != nil {
		e.Time = env.Now().Round(time.Second)
	}
	return e
}

// ask asks one question in a call of its own.
func ask[A any](ctx context.Context, p Plugin, env *ocm.Env, path string, question any, again bool) (answer A, err error) {
	call, err := p.Call(ctx, env)
	if err != nil {
		return answer, err
	}
	defer call.End()
	err = call.Ask(path, question, &answer, again)
	return answer, err
}

// Opener is an access method or input of a plugin.
func Opener(p Plugin, kind string) ocm.Opener {
	return ocm.OpenerFunc(func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		c, err := content(ctx, &remote{plugin: p, env: env, open: func(ctx context.Context) (wire.Content, error) {
			return ask[wire.Content](ctx, p, env, wire.OpenPath, wire.Open{Kind: kind, Spec: s, Env: envOf(env)}, true)
		}})
		if err == nil && c.Pinned != nil && c.Pinned.Type != s.Type { // it takes the place of the access, for which nobody has chosen another type
			return ocm.Content{}, named(p, fmt.Errorf("it pins an access of type %q by one of type %q: %w", s.Type, wire.Text(c.Pinned.Type, 100), ocm.ErrInvalid))
		}
		return c, err
	})
}

// remote is a content of a plugin. One that the plugin has forgotten is opened again.
type remote struct {
	plugin  Plugin
	env     *ocm.Env
	open    func(ctx context.Context) (wire.Content, error)
	sources map[string]ocm.Content // by handle: contents of the host that the plugin reads when it is read
	held
}

// content is what open opens.
func content(ctx context.Context, r *remote) (ocm.Content, error) {
	described, err := r.open(ctx)
	if err != nil {
		return ocm.Content{}, err
	}
	r.held = held{handle: described.Handle, read: true, open: func(ctx context.Context) (string, error) {
		again, err := r.open(ctx)
		return again.Handle, err
	}}
	c, err := described.Content(r)
	if err == nil && described.Can == nil && blob.IsManifest(c.Root.MediaType) {
		c.From = oci.Telling(r, r.untold(c.Root.Digest))
	}
	return c, named(r.plugin, err)
}

// Fetch asks the plugin for the bytes.
func (r *remote) Fetch(ctx context.Context, d ociv1.Descriptor) (body io.ReadCloser, err error) {
	err = r.use(ctx, func(handle string) error {
		body, err = r.fetch(ctx, handle, d)
		return err
	})
	return body, err
}

// Attached asks the plugin what is attached to a manifest.
func (r *remote) Attached(ctx context.Context, subject digest.Digest) ([]oci.Attached, error) {
	var said wire.Attached
	err := r.use(ctx, func(handle string) error {
		call, err := r.call(ctx)
		if err != nil {
			return err
		}
		defer call.End()
		return call.Ask(wire.AttachedPath, wire.AskAttached{Handle: handle, Digest: subject}, &said, true)
	})
	return said.Attached, err
}

func (r *remote) fetch(ctx context.Context, handle string, d ociv1.Descriptor) (io.ReadCloser, error) {
	call, err := r.call(ctx)
	if err != nil {
		return nil, err
	}
	defer call.End()
	body, _, err := call.Stream(wire.FetchPath, wire.Fetch{Handle: handle, Descriptor: d})
	return body, err
}

// call begins a call in which the plugin may read what it needs for the content.
func (r *remote) call(ctx context.Context) (Call, error) {
	call, err := r.plugin.Call(ctx, r.env)
	if err != nil {
		return nil, err
	}
	for h, c := range r.sources {
		call.Offer(c, h)
	}
	return call, nil
}
