// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"context"
	"fmt"
	"maps"
	"strings"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// Limits of credentials that a plugin answers with.
const (
	maxProperties = 100
	maxSecret     = 1 << 20 // bytes of all of them
)

// consumerPath asks which credentials a place of credentials needs itself.
const consumerPath = "/consumer-identity"

// secrets is a type of places where credentials are.
type secrets struct {
	plugin *Plugin
	typ    specType
	member string // of its questions, that has the specification
}

// Find implements [ocm.CredentialSource]. A credential repository is asked for the consumer; a credential plugin is asked by what it has
// made of its specification, so that it has one answer for all consumers.
func (s secrets) Find(ctx context.Context, env *ocm.Env, spec ocm.Spec, id ocm.Identity) (ocm.Secret, error) {
	i, err := s.plugin.prepared(ctx, s.typ, spec)
	if err != nil {
		return nil, err
	}
	own, auth, err := i.authorize(ctx, env, consumerPath, map[string]any{s.member: spec}, true)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"identity": id}
	if s.member == "config" {
		body["config"] = spec
	} else if body["identity"] = own; len(own) == 0 {
		return nil, s.plugin.named(fmt.Errorf("%s: its answer says nothing of what it is to be asked for: %w", consumerPath, ocm.ErrInvalid))
	}
	var answer map[string]ocm.RawJSON
	if err := i.ask(ctx, question{path: "/resolve", body: body, auth: auth, again: true, quiet: true}, &answer); err != nil {
		return nil, err
	}
	secret, err := secretOf(answer)
	if err != nil {
		return nil, s.plugin.named(fmt.Errorf("/resolve: %w", err))
	}
	if len(secret) == 0 {
		return nil, s.plugin.named(fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound))
	}
	return secret, nil
}

// secretOf reads typed credentials: those of the direct type have properties, of all others the members are the properties. Errors
// quote nothing but names.
func secretOf(members map[string]ocm.RawJSON) (ocm.Secret, error) {
	var typ string
	if raw, ok := members["type"]; ok && json.Unmarshal(raw, &typ) != nil {
		return nil, fmt.Errorf("credentials: the type is no text: %w", ocm.ErrInvalid)
	}
	members = maps.Clone(members)
	delete(members, "type")
	base, _, _ := strings.Cut(typ, "/")
	if properties, ok := members["properties"]; ok && (base == "DirectCredentials" || base == "Credentials" || typ == "") {
		members = nil
		if json.Unmarshal(properties, &members) != nil {
			return nil, fmt.Errorf("credentials: properties: expected an object: %w", ocm.ErrInvalid)
		}
	}
	out, size := ocm.Secret{}, 0
	for name, raw := range members {
		var text string
		switch {
		case raw.Kind() == 'n':
			continue
		case raw.Kind() != '"' || json.Unmarshal(raw, &text) != nil:
			return nil, fmt.Errorf("credentials: property %q: expected text: %w", shown(name), ocm.ErrInvalid)
		}
		out[name] = text
		size += len(name) + len(text)
	}
	if len(out) > maxProperties || size > maxSecret {
		return nil, fmt.Errorf("credentials: %d properties of %d bytes: %w", len(out), size, ocm.ErrLimit)
	}
	return out, nil
}
