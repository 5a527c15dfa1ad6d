// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ocm"
)

// environmentSpec is an Environment repository.
type environmentSpec struct {
	Consumers []environmentConsumer `json:"consumers" need:"yes" about:"who is answered: identity, as of a consumer, and properties: by the name of each the variable that it is in"`
}

type environmentConsumer struct {
	Identity   map[string]ocm.RawJSON   `json:"identity"`
	Identities []map[string]ocm.RawJSON `json:"identities"`
	Properties map[string]string        `json:"properties"`
}

func environmentKind() kind {
	return kind{ocm.Type{
		Names:  ocm.Versioned("v1", "Environment"),
		About:  "Variables of the environment, for CI systems that hand out secrets this way.",
		Fields: ocm.FieldsOf(environmentSpec{}),
		Notes: []string{
			"{identity: {type: OCIRegistry, hostname: ghcr.io}, properties: {username: GITHUB_ACTOR, password: GITHUB_TOKEN}} takes user name and password from these two variables.",
			"Where none of the variables is set, there are no credentials; where some are missing, that is an error.",
		},
	}, openEnvironment}
}

// environment takes secrets from variables when they are asked for.
type environment struct {
	getenv  func(string) string
	entries []variables
}

type variables struct {
	id         ocm.Identity
	properties map[string]string
}

func openEnvironment(s *Store, spec ocm.Spec) (source, error) {
	var v environmentSpec
	if err := decode(spec.Raw, &v); err != nil {
		return nil, err
	}
	e := &environment{getenv: s.o.getenv}
	for i, c := range v.Consumers {
		ids, err := configuredConsumer{Identity: c.Identity, Identities: c.Identities}.identities()
		if err == nil && len(c.Properties) == 0 {
			err = fmt.Errorf("no properties: %w", ocm.ErrInvalid)
		}
		for property, name := range c.Properties {
			if err == nil && !isVariable(name) {
				// The text is not repeated: somebody may have written the secret itself.
				err = fmt.Errorf("properties: %s: expected the name of a variable, such as REGISTRY_PASSWORD: %w", property, ocm.ErrInvalid)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("consumers[%d]: %w", i, err)
		}
		for _, id := range ids {
			e.entries = append(e.entries, variables{id, c.Properties})
		}
	}
	if len(e.entries) == 0 || len(e.entries) > MaxConsumers {
		return nil, fmt.Errorf("consumers: expected 1 to %d, found %d: %w", MaxConsumers, len(e.entries), ocm.ErrInvalid)
	}
	return e, nil
}

func isVariable(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	return name != "" && strings.Trim(name, letters+"0123456789") == "" && strings.Contains(letters, name[:1])
}

// find implements source.
func (e *environment) find(_ context.Context, request ocm.Identity, n *notes) (ocm.Secret, error) {
	i := mostSpecific(len(e.entries), func(i int) ocm.Identity { return e.entries[i].id }, request)
	if i < 0 {
		n.add("%s: has nothing", e)
		return nil, fmt.Errorf("%s: nothing for %s: %w", e, request, ocm.ErrNotFound)
	}
	secret, missing := ocm.Secret{}, []string(nil)
	for _, property := range slices.Sorted(maps.Keys(e.entries[i].properties)) {
		name := e.entries[i].properties[property]
		if v := e.getenv(name); v != "" {
			secret[property] = v
		} else {
			missing = append(missing, name)
		}
	}
	switch {
	case len(secret) == 0:
		n.add("%s: not set: %s", e, strings.Join(missing, ", "))
		return nil, fmt.Errorf("variables %s are not set: %w", strings.Join(missing, ", "), ocm.ErrNotFound)
	case len(missing) > 0:
		return nil, fmt.Errorf("variables of the environment: %s: not set, while others of the same credentials are: %w", strings.Join(missing, ", "), ocm.ErrInvalid)
	}
	n.has(e.String(), secret)
	return secret, nil
}

// named implements source: sets have no names here.
func (e *environment) named(context.Context, string, *notes) (ocm.Secret, error) {
	return nil, fmt.Errorf("%s have no credentialsName; list it as repository: %w", e, ocm.ErrInvalid)
}

// String hides what is inside.
func (e *environment) String() string { return "variables of the environment" }

// GoString hides what is inside.
func (e *environment) GoString() string { return e.String() }
