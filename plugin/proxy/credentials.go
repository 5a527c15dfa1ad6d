// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ocm"
	"ocm/plugin/wire"
)

// CredentialSource is a credential source of a plugin of this name.
//
// What went wrong is told by its kind only. Who asks a program for a secret does not know what it puts into its message, nor into
// an answer that cannot be read, nor into what it writes before it ends.
func CredentialSource(p Plugin, name string) ocm.CredentialSource { return credentialSource{p, name} }

type credentialSource struct {
	plugin Plugin
	name   string
}

// Find asks the plugin.
func (c credentialSource) Find(ctx context.Context, env *ocm.Env, s ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
	call, err := c.plugin.Call(ctx, env)
	if err != nil {
		return nil, firstLine(err)
	}
	defer call.End()
	var found wire.Secret
	err = call.Ask(wire.CredentialsPath, wire.Credentials{Spec: s, Identity: id, Env: envOf(env)}, &found, true)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, c.unsaid(err)
	}
	if err := found.Check(); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", c.name, err)
	}
	return found.Secret, nil
}

// firstLine is an error that says why a plugin does not run, without the lines that it wrote: it may have been asked before.
func firstLine(err error) error {
	line, more, _ := strings.Cut(err.Error(), "\n")
	if more == "" {
		return err
	}
	plain := wire.Error{Kind: wire.NewError(err).Kind, Message: line + " (not shown here, because a secret could be among it)"}
	return plain.Err()
}

// unsaid is an error of the same kind, without its words.
func (c credentialSource) unsaid(err error) error {
	e := wire.NewError(err)
	what := e.Kind
	switch {
	case errors.Is(err, wire.ErrBroken):
		what = "the connection broke"
	case what == "":
		what = "no reason that has a name"
	}
	plain := wire.Error{Kind: e.Kind, Message: fmt.Sprintf("plugin %s: no credentials: %s; its own words are not shown, because a secret could be among them", c.name, what)}
	return plain.Err()
}
