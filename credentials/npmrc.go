// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"ocm"
)

// npmConsumer is the type of consumers that npm's file is for.
const npmConsumer = "NpmRegistry"

// npmrcSpec is an NPMConfig repository.
type npmrcSpec struct {
	File      string `json:"npmrcFile" about:"a file of npm; default: ~/.npmrc; ~ is the home folder"`
	Propagate *bool  `json:"propagateConsumerIdentity" about:"false: answer only consumers that name a registry of it by credentialsName"`
}

func npmrcKind() kind {
	return kind{ocm.Type{
		Names:  ocm.Versioned("v1", "NPMConfig"),
		About:  "The file in which npm keeps tokens and passwords.",
		Fields: ocm.FieldsOf(npmrcSpec{}),
		Notes: []string{
			"Only consumers of type NpmRegistry are answered.",
			"${NAME} stands for a variable of the environment.",
			"A file that is not there is as good as an empty one.",
		},
	}, openNpmrc}
}

// npmrc answers from a file of npm, which is read when it is first needed.
type npmrc struct {
	file   string
	getenv func(string) string
	log    *slog.Logger

	once    sync.Once
	entries []npmEntry
	err     error
}

// npmEntry is what the file has for a registry: values as they are written, by their names.
type npmEntry struct {
	registry string // host[:port]/path/
	id       ocm.Identity
	values   map[string]string
}

func openNpmrc(s *Store, spec ocm.Spec) (source, error) {
	var v npmrcSpec
	if err := decode(spec.Raw, &v); err != nil {
		return nil, err
	}
	if v.File == "" {
		v.File = "~/.npmrc"
	}
	return &npmrc{file: s.o.path(v.File), getenv: s.o.getenv, log: s.log}, nil
}

func (c *npmrc) load() ([]npmEntry, error) {
	c.once.Do(func() {
		text, err := readBounded(c.file)
		if errors.Is(err, fs.ErrNotExist) {
			c.log.Debug("npm's configuration is not there", "file", c.file)
			return
		}
		if err == nil {
			c.entries, err = parseNpmrc(string(text))
		}
		if err != nil {
			c.err = fmt.Errorf("%s: %w", c, unwrapPath(err))
		}
	})
	return c.entries, c.err
}

// parseNpmrc reads the lines of the form //host/path/:name = value; all others are settings of npm.
func parseNpmrc(text string) ([]npmEntry, error) {
	var entries []npmEntry
	at := map[string]int{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		registry, isEntry := strings.CutPrefix(strings.TrimSpace(key), "//")
		colon := strings.LastIndexByte(registry, ':')
		if !ok || !isEntry || colon < 0 {
			continue
		}
		registry, name := registry[:colon], registry[colon+1:]
		value = strings.TrimSpace(value)
		if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		i, known := at[registry]
		if !known {
			if i = len(entries); i == MaxConsumers {
				return nil, fmt.Errorf("more than %d registries: %w", MaxConsumers, ocm.ErrLimit)
			}
			at[registry] = i
			entries = append(entries, npmEntry{registry, npmIdentity(registry), map[string]string{}})
		}
		entries[i].values[name] = value
	}
	return entries, nil
}

// npmIdentity is the consumer for all that is below a registry's address.
func npmIdentity(registry string) ocm.Identity {
	id := serverIdentity(registry)
	id[attrType] = npmConsumer
	if p := id[attrPath]; p != "" {
		delete(id, attrPath)
		id[attrPrefix] = p
	}
	return id
}

// find implements source.
func (c *npmrc) find(_ context.Context, request ocm.Identity, n *notes) (ocm.Secret, error) {
	entries, err := c.load()
	if err != nil {
		return nil, err
	}
	i := mostSpecific(len(entries), func(i int) ocm.Identity { return entries[i].id }, request)
	if i < 0 {
		n.add("%s: has nothing", c)
		return nil, fmt.Errorf("%s: nothing for %s: %w", c, request, ocm.ErrNotFound)
	}
	secret, err := entries[i].secret(c.getenv)
	if err != nil {
		return nil, fmt.Errorf("%s: //%s: %w", c, entries[i].registry, err)
	}
	if len(secret) == 0 {
		n.add("%s: has nothing", c)
		return nil, fmt.Errorf("%s: nothing for %s: %w", c, request, ocm.ErrNotFound)
	}
	n.has(c.String(), secret)
	return secret, nil
}

// named returns the credentials for a registry: host[:port][/path].
func (c *npmrc) named(ctx context.Context, name string, n *notes) (ocm.Secret, error) {
	id := serverIdentity(strings.TrimPrefix(name, "//"))
	id[attrType] = npmConsumer
	return c.find(ctx, id, n)
}

// npmVariable is how variables stand in values.
var npmVariable = regexp.MustCompile(`\$\{([^}$]+)\}`)

// secret translates what npm keeps: a token, user name and password in base64, or both in one.
func (e npmEntry) secret(getenv func(string) string) (ocm.Secret, error) {
	var missing []string
	value := func(name string) string {
		return npmVariable.ReplaceAllStringFunc(e.values[name], func(v string) string {
			variable := v[2 : len(v)-1]
			text := getenv(variable)
			if text == "" && isVariable(variable) && !slices.Contains(missing, variable) {
				missing = append(missing, variable)
			}
			return text
		})
	}
	secret := ocm.Secret{"token": value("_authToken"), "username": value("username")}
	for name, raw := range map[string]string{"_password": value("_password"), "_auth": value("_auth")} {
		text, err := base64.StdEncoding.DecodeString(raw)
		if err != nil {
			return nil, fmt.Errorf("%s is not base64: %w", name, ocm.ErrInvalid)
		}
		if name == "_password" && raw != "" {
			secret["password"] = string(text)
		} else if user, password, ok := strings.Cut(string(text), ":"); ok {
			secret["username"], secret["password"] = user, password
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("variables of the environment that are not set: %s: %w", strings.Join(missing, ", "), ocm.ErrInvalid)
	}
	secret = filled(secret)
	if secret["token"] == "" && secret["password"] == "" {
		return nil, nil
	}
	return secret, nil
}

// String names the file.
func (c *npmrc) String() string { return "npm's configuration " + c.file }

// GoString hides what is inside.
func (c *npmrc) GoString() string { return c.String() }
