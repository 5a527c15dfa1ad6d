// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/internal/nearest"
)

// bundle is what stands in a list of credentials, in order. Its secret is made when it is needed, because
// parts of it may be kept elsewhere.
type bundle struct{ steps []step }

// step is one credential: properties that are merged into those before, or replace them, or the name of a
// set that is kept elsewhere.
type step struct {
	properties ocm.Secret
	replaces   bool
	foreign    *foreign // of a type that is not known here
	from       source   // with name
	name       string   // of a set in from
	set        *bundle  // a set in memory
}

// typedFields are the credential types whose members are the properties themselves, with the names of these.
var typedFields = map[string][]string{
	"OCICredentials":      {"username", "password", "accessToken", "refreshToken", "identityToken"},
	"HelmHTTPCredentials": {"username", "password", "certFile", "keyFile", "keyring"},
	"WgetCredentials":     {"username", "password", "identityToken", "certificate", "privateKey", "certificateAuthority"},
	"GitHubCredentials":   {"token"},
	"S3Credentials":       {"accessKeyId", "secretAccessKey", "sessionToken", "awsAccessKeyID", "awsSecretAccessKey", "token"},
	"RSACredentials": {
		"privateKeyPEM", "privateKeyPEMFile", "publicKeyPEM", "publicKeyPEMFile", "caCertPEM", "caCertPEMFile", "tsaCertPEM", "tsaCertPEMFile",
		"issuer", "private_key_pem", "private_key_pem_file", "public_key_pem", "public_key_pem_file",
	},
	"GPGCredentials":    {"privateKeyPGP", "privateKeyPGPFile", "publicKeyPGP", "publicKeyPGPFile", "passphrase", "issuer"},
	"OIDCIdentityToken": {"token", "tokenFile"},
	"TrustedRoot":       {"trustedRootJSON", "trustedRootJSONFile"},
}

// newerNames are property names of newer configurations by the older ones, for consumers that have both.
var newerNames = map[string]map[string]string{
	"S3Bucket": {"awsAccessKeyID": "accessKeyId", "awsSecretAccessKey": "secretAccessKey", "token": "sessionToken"},
}

// addAll adds a list of credentials.
func (b *bundle) addAll(s *Store, credentials []ocm.RawJSON) error {
	for n, raw := range credentials {
		if err := b.add(s, raw); err != nil {
			return fmt.Errorf("credentials[%d]: %w", n, err)
		}
	}
	return nil
}

// add adds one credential.
func (b *bundle) add(s *Store, raw ocm.RawJSON) error {
	var members map[string]ocm.RawJSON
	if err := decode(raw, &members); err != nil {
		return err
	}
	var typ string
	if err := decode(members["type"], &typ); err != nil || typ == "" {
		return fmt.Errorf("no type: %w", ocm.ErrInvalid)
	}
	delete(members, "type")
	base := baseType(typ)
	known, typed := typedFields[base]
	switch {
	case base == "Credentials" || base == "DirectCredentials":
		properties := members["properties"]
		members = nil
		if properties != nil {
			if err := decode(properties, &members); err != nil {
				return fmt.Errorf("properties: %w", err)
			}
		}
	case typed:
		s.warnUnknown(typ, known, members)
	case base == memoryRepository:
		return b.addMemory(s, members)
	default:
		return b.addNamed(s, typ, raw)
	}
	properties, err := texts(typ, members)
	if err == nil {
		err = s.confinedSecret(properties)
	}
	b.steps = append(b.steps, step{properties: properties, replaces: typed})
	return err
}

// addNamed adds a set of credentials that a repository keeps under a name.
func (b *bundle) addNamed(s *Store, typ string, raw ocm.RawJSON) error {
	if _, ok := kindOf(typ); !ok {
		f, err := s.foreign(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", typ, err)
		}
		b.steps = append(b.steps, step{foreign: f})
		return nil
	}
	var v struct {
		Name string `json:"credentialsName"`
	}
	if err := decode(raw, &v); err != nil {
		return fmt.Errorf("%s: %w", typ, err)
	}
	if v.Name == "" {
		return fmt.Errorf("%s: credentialsName is missing: which of its credentials are meant: %w", typ, ocm.ErrInvalid)
	}
	from, err := s.source(raw)
	b.steps = append(b.steps, step{from: from, name: v.Name})
	return err
}

// texts takes over members that are text; null is as good as missing.
func texts(typ string, members map[string]ocm.RawJSON) (ocm.Secret, error) {
	out := ocm.Secret{}
	for k, v := range members {
		if v.Kind() == 'n' {
			continue
		}
		if v.Kind() != '"' {
			return nil, fmt.Errorf("%s: property %q must be text, put it in quotes: %w", typ, k, ocm.ErrInvalid)
		}
		var text string
		if err := decode(v, &text); err != nil {
			return nil, fmt.Errorf("%s: property %q: %w", typ, k, err)
		}
		out[k] = text
	}
	return out, nil
}

// warnUnknown tells of members that no consumer is going to look at. They are no error: the configuration may
// be of a newer tool.
func (s *Store) warnUnknown(typ string, known []string, members map[string]ocm.RawJSON) {
	for _, m := range slices.Sorted(maps.Keys(members)) {
		if slices.Contains(known, m) {
			continue
		}
		if len(m) > nearest.MaxLength {
			m = m[:nearest.MaxLength] // whatever it is, it is no name
		}
		closest := slices.MinFunc(known, func(a, b string) int { return nearest.Distance(a, m) - nearest.Distance(b, m) })
		s.log.Warn("credential has a property that its type does not know", "type", typ, "property", m, "similar", closest)
	}
}

// secret puts the parts together for a consumer; [ocm.ErrNotFound] if there are none.
func (b *bundle) secret(ctx context.Context, request ocm.Identity, n *notes) (ocm.Secret, error) {
	out, unknown := ocm.Secret{}, error(nil)
	for _, st := range b.steps {
		part, err := st.properties, error(nil)
		switch {
		case st.foreign != nil:
			part, err = st.foreign.find(ctx, request, n)
		case st.set != nil:
			part, err = st.set.secret(ctx, request, n)
		case st.from != nil:
			part, err = st.from.named(ctx, st.name, n)
		}
		if st.foreign != nil && errors.Is(err, ocm.ErrUnknownType) {
			unknown, err = err, nil
		}
		if err != nil {
			return nil, err
		}
		if st.replaces {
			out, unknown = ocm.Secret{}, nil
		}
		maps.Copy(out, part)
	}
	if unknown != nil {
		return nil, unknown
	}
	return out, nil
}

// renamed gives a secret the newer names of properties, besides the older ones.
func renamed(typ string, secret ocm.Secret) ocm.Secret {
	for older, newer := range newerNames[typ] {
		if v, ok := secret[older]; ok && secret[newer] == "" {
			secret[newer] = v
		}
	}
	return secret
}

// names are the names of properties, which are no secret.
func names(secret ocm.Secret) string {
	return strings.Join(slices.Sorted(maps.Keys(secret)), ", ")
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
