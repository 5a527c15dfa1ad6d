// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
)

// Hidden stands in place of a secret.
const Hidden = "***"

// Effective is the whole configuration as one container: the folders first, then all entries in the order in which
// they count, with the several spellings of a consumer's identity written in one.
//
// Unless secrets are asked for, they are [Hidden]. Of credentials, keys and entries of types that nobody here knows
// only what is known to be harmless is shown: names of members, types, identities, paths. In the other entries, what by
// its name is a secret is hidden, and so are private keys and the users, passwords and queries of addresses.
// [ocm.ErrInvalid] for an entry that is not as it should be.
func (c *Config) Effective(folders Filesystem, secrets bool) (ocm.Spec, error) {
	entries := []ocm.Spec{}
	if folders != (Filesystem{}) {
		first, err := ocm.NewSpec(struct {
			Type    string `json:"type"`
			Temp    string `json:"tempFolder,omitempty"`
			Working string `json:"workingDirectory,omitempty"`
		}{FilesystemType + "/v1alpha1", folders.TempFolder, folders.WorkingDirectory})
		if err != nil {
			return first, err
		}
		entries = append(entries, first)
	}
	if c != nil {
		for _, e := range c.Entries {
			if Is(e.Type, FilesystemType) {
				continue
			}
			shown, err := effective(e, secrets)
			if err != nil {
				return shown, fmt.Errorf("configuration: %s: not as it should be: %w", e.Type, ocm.ErrInvalid) // without the text, which may be secret
			}
			entries = append(entries, shown)
		}
	}
	return ocm.NewSpec(struct {
		Type           string     `json:"type"`
		Configurations []ocm.Spec `json:"configurations"`
	}{GenericType + "/v1", entries})
}

// effective is one entry, without its secrets unless they are asked for.
func effective(e ocm.Spec, secrets bool) (ocm.Spec, error) {
	raw := e.Raw
	var err error
	if Is(e.Type, CredentialsType) {
		if raw, err = oneSpelling(raw); err != nil {
			return e, err
		}
	}
	if !secrets {
		raw, err = redactor(e.Type)("", raw)
	}
	return ocm.Spec{Type: e.Type, Raw: raw}, err
}

// redact hides what is secret in the value of a member.
type redact func(name string, raw ocm.RawJSON) (ocm.RawJSON, error)

// redactor is what an entry of a type needs.
func redactor(typ string) redact {
	key := members(map[string]redact{"path": plain}, hide)
	keys := each(key)
	switch {
	case Is(typ, CredentialsType):
		identity := each(plain)
		return members(map[string]redact{
			"type": plain,
			"consumers": each(members(map[string]redact{
				"identities":  each(identity),
				"credentials": each(members(map[string]redact{"type": plain}, hide)),
			}, hide)),
			"repositories": each(members(map[string]redact{"repository": members(credentialRepository(), hide)}, hide)),
		}, hide)
	case strings.Contains(typ, "credential"): // others of that kind, known here or not
		return members(map[string]redact{"type": plain}, hide)
	case Is(typ, KeysType), Is(typ, RootCertsType):
		return members(map[string]redact{
			"type": plain, "publicKeys": keys, "privateKeys": keys, "rootCertificates": keys, "issuers": scrub,
		}, hide)
	case ignored(typ) == "":
		return scrub
	}
	return members(map[string]redact{"type": plain}, hide)
}

// credentialRepository lists the members of repositories of secrets that say where they are and how they are asked.
func credentialRepository() map[string]redact {
	shown := map[string]redact{}
	for _, name := range []string{
		"type", "dockerConfigFile", "propagateConsumerIdentity", "credentialsName", "repoName", "path", "serverURL", "namespace", "mountPath", "secrets",
	} {
		shown[name] = each(plain)
	}
	return shown
}

// members redacts the members of an object, those that are not listed by rest. What is no object is hidden.
func members(listed map[string]redact, rest redact) redact {
	return func(name string, raw ocm.RawJSON) (ocm.RawJSON, error) {
		if raw.Kind() != '{' {
			return hide(name, raw)
		}
		return object(raw, func(member string, value ocm.RawJSON) (ocm.RawJSON, error) {
			if r, ok := listed[member]; ok {
				return r(member, value)
			}
			return rest(member, value)
		})
	}
}

// each redacts what is in a list or object, or else the value itself.
func each(r redact) redact {
	return func(name string, raw ocm.RawJSON) (ocm.RawJSON, error) {
		switch raw.Kind() {
		case '{':
			return object(raw, r)
		case '[':
			return list(name, raw, r)
		}
		return r(name, raw)
	}
}

func object(raw ocm.RawJSON, r redact) (ocm.RawJSON, error) {
	var values map[string]ocm.RawJSON
	if err := jsonv2.Unmarshal(raw, &values); err != nil {
		return nil, err
	}
	for name, value := range values {
		var err error
		if values[name], err = r(name, value); err != nil {
			return nil, err
		}
	}
	return jsonv2.Marshal(values, jsonv2.Deterministic(true))
}

func list(name string, raw ocm.RawJSON, r redact) (ocm.RawJSON, error) {
	var values []ocm.RawJSON
	if err := jsonv2.Unmarshal(raw, &values); err != nil {
		return nil, err
	}
	for i, value := range values {
		var err error
		if values[i], err = r(name, value); err != nil {
			return nil, err
		}
	}
	return jsonv2.Marshal(values)
}

// hide leaves nothing but the names of members, and whether there is anything.
func hide(name string, raw ocm.RawJSON) (ocm.RawJSON, error) {
	switch raw.Kind() {
	case '{':
		return object(raw, hide)
	case '[':
		return list(name, raw, hide)
	case 'n':
		return raw, nil
	}
	return jsonv2.Marshal(Hidden)
}

// plain shows a single value; a text without what nobody should have written into it. Anything else is hidden.
func plain(name string, raw ocm.RawJSON) (ocm.RawJSON, error) {
	switch raw.Kind() {
	case '"':
		var text string
		if err := jsonv2.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
		return jsonv2.Marshal(cleanText(text))
	case '{', '[':
		return hide(name, raw)
	}
	return raw, nil
}

// scrub shows all but what by its name, or by itself, is a secret.
func scrub(name string, raw ocm.RawJSON) (ocm.RawJSON, error) {
	if isSecret(name) {
		return hide(name, raw)
	}
	switch raw.Kind() {
	case '{':
		return object(raw, scrub)
	case '[':
		return list(name, raw, scrub)
	}
	return plain(name, raw)
}

// isSecret judges a member by its name: those that name a file or an address are none.
func isSecret(name string) bool {
	name = strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	for _, end := range []string{"file", "files", "path", "url", "type"} {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	if slices.Contains([]string{"data", "stringdata", "auth", "auths", "key", "pass", "pwd", "pat", "otp", "pin"}, name) {
		return true
	}
	return slices.ContainsFunc([]string{
		"password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "accesskey", "privatekey", "sessionkey", "signingkey", "encryptionkey", "sshkey", "authorization", "bearer", "cookie", "dockerconfig",
	}, func(part string) bool { return strings.Contains(name, part) })
}

var (
	addressUser  = regexp.MustCompile(`(://)(?:[^/\s@]*:[^\s]*|[^/\s]*)@`)
	plainUser    = regexp.MustCompile(`^[^/\s:@]+:[^/\s@]*@`) // without a scheme
	tagAndDigest = regexp.MustCompile(`^[^/\s:@]+:[^/\s@]*@sha(256|512):[0-9a-f]+$`)
	addressQuery = regexp.MustCompile(`(://[^\s?#]*)[?#]\S*`)
)

// cleanText takes out of a text what must not stand in it where it is shown: users, passwords and queries of
// addresses, and private keys.
func cleanText(text string) string {
	if strings.Contains(text, "PRIVATE KEY") {
		return Hidden
	}
	text = addressUser.ReplaceAllString(text, "${1}"+Hidden+"@")
	if !tagAndDigest.MatchString(text) {
		text = plainUser.ReplaceAllString(text, Hidden+"@")
	}
	return addressQuery.ReplaceAllString(text, "${1}?"+Hidden)
}

// oneSpelling writes the identity of each consumer into its identities, as their first.
func oneSpelling(raw ocm.RawJSON) (ocm.RawJSON, error) {
	return members(map[string]redact{"consumers": each(func(_ string, consumer ocm.RawJSON) (ocm.RawJSON, error) {
		var values map[string]ocm.RawJSON
		if jsonv2.Unmarshal(consumer, &values) != nil || values["identity"] == nil {
			return consumer, nil //nolint:nilerr // it stays as it is written
		}
		var all []ocm.RawJSON
		if more := values["identities"]; more != nil {
			if err := jsonv2.Unmarshal(more, &all); err != nil {
				return nil, err
			}
		}
		if values["identity"].Kind() != 'n' {
			all = append([]ocm.RawJSON{values["identity"]}, all...)
		}
		delete(values, "identity")
		var err error
		if values["identities"], err = jsonv2.Marshal(all); err != nil {
			return nil, err
		}
		return jsonv2.Marshal(values, jsonv2.Deterministic(true))
	})}, keep)("", raw)
}

func keep(_ string, raw ocm.RawJSON) (ocm.RawJSON, error) { return raw, nil }
