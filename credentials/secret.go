// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"errors"
	"fmt"
	"slices"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// typed are the credential types whose members are the properties themselves.
func typed(base string) bool {
	return slices.Contains([]string{
		"OCICredentials", "HelmHTTPCredentials", "WgetCredentials", "GitHubCredentials", "S3Credentials",
		"RSACredentials", "GPGCredentials", "OIDCIdentityToken", "TrustedRoot",
	}, base)
}

// add adds one credential: properties are merged, a typed credential replaces all before it.
func (c *consumer) add(raw ocm.RawJSON) error {
	var members map[string]ocm.RawJSON
	if err := decode(raw, &members); err != nil {
		return err
	}
	var typ string
	if err := decode(members["type"], &typ); err != nil || typ == "" {
		return fmt.Errorf("no type: %w", ocm.ErrInvalid)
	}
	delete(members, "type")
	switch base := baseType(typ); {
	case base == "Credentials" || base == "DirectCredentials":
		raw := members["properties"]
		members = nil
		if raw != nil {
			if err := decode(raw, &members); err != nil {
				return fmt.Errorf("properties: %w", err)
			}
		}
	case typed(base):
		c.secret, c.unknown = ocm.Secret{}, ""
	default:
		c.unknown = typ
		return nil
	}
	for k, v := range members {
		if v.Kind() == 'n' {
			continue
		}
		if v.Kind() != '"' {
			return fmt.Errorf("%s: property %q must be text, put it in quotes: %w", typ, k, ocm.ErrInvalid)
		}
		var text string
		if err := decode(v, &text); err != nil {
			return fmt.Errorf("%s: property %q: %w", typ, k, err)
		}
		c.secret[k] = text
	}
	return nil
}

// decode reads JSON without ever quoting a value in its error.
func decode(raw []byte, v any, opts ...json.Options) error {
	err := json.Unmarshal(raw, v, opts...)
	if err == nil {
		return nil
	}
	var se *json.SemanticError
	if errors.As(err, &se) && se.JSONPointer != "" {
		return fmt.Errorf("unexpected JSON %s at %s: %w", se.JSONKind, se.JSONPointer, ocm.ErrInvalid)
	}
	return fmt.Errorf("malformed or unexpected JSON: %w", ocm.ErrInvalid)
}
