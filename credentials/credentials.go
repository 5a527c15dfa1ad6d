// SPDX-License-Identifier: Apache-2.0

// Package credentials finds secrets for consumers, such as a registry that is talked
// to or a signature that is to be made.
//
// A consumer describes itself by attributes, its identity. [New] makes a finder of the
// credentials entries of a configuration, which hold secrets by identity, and
// repositories that are asked if no identity matches:
//
//	type: credentials.config.ocm.software
//	consumers:
//	- identity: {type: OCIRegistry, hostname: ghcr.io, path: acme/*}
//	  credentials:
//	  - type: Credentials/v1
//	    properties: {username: u, password: p}
//	repositories:
//	- repository: {type: DockerConfig/v1, dockerConfigFile: ~/.docker/config.json}
//
// # Matching
//
// Types match with and without their version, and under the names that older
// configurations use. hostname must be equal; scheme if both sides name one; port after
// filling in the scheme's default. path is a pattern of [path.Match], so a * does not
// cross a slash; the older pathprefix covers everything below it. All other attributes
// must be equal and present on both sides: a key for the signature "default" is not
// used for any other.
//
// The most specific match wins: the very same identity, then an equal path, then the
// longer pattern, then the one with more attributes, then the one that stands first.
//
// # Docker
//
// A DockerConfig repository reads a file of Docker's, inline text of that form, or the
// file in its usual place ($DOCKER_CONFIG or ~/.docker), and answers everybody who has a
// hostname. Without any credentials entry the file in the usual place is consulted,
// unless the variable OCM_DISABLE_AUTO_CONFIG is set. Credential helpers are found in
// PATH only.
//
// Secrets do not appear in errors, in logs, or when a value of this package is printed.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"

	"ocm"
)

// MaxConsumers is the greatest number of identities that are accepted.
const MaxConsumers = 10_000

// Options says where things are. The zero value is the process's own surroundings.
type Options struct {
	Home     string              // folder of the user; empty: os.UserHomeDir
	Getenv   func(string) string // nil: os.Getenv
	Log      *slog.Logger        // nil: discarded
	NoDocker bool                // do not consult Docker's file without being told to
}

func (o Options) getenv(key string) string {
	if o.Getenv == nil {
		return os.Getenv(key)
	}
	return o.Getenv(key)
}

func (o Options) home() string {
	if o.Home != "" {
		return o.Home
	}
	home, _ := os.UserHomeDir() // without one, there is nothing to be found in it
	return home
}

// store holds the secrets of configuration entries.
type store struct {
	consumers    []*consumer
	repositories []ocm.Credentials
	unknown      []string // types of repositories that cannot be asked
}

// consumer is an identity and its secret.
type consumer struct {
	id      ocm.Identity
	secret  ocm.Secret
	unknown string // type of a credential that nobody here understands
}

// New returns the secrets of configuration entries, the ones that
// credentials.config.ocm.software holds; later ones add to earlier ones.
// [ocm.ErrInvalid] names the place that is wrong. A credential of a type that is not
// known here is an error only for the consumer it is for ([ocm.ErrUnknownType]).
func New(entries []ocm.Spec, o Options) (ocm.Credentials, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &store{}
	for _, e := range entries {
		if err := s.add(e, o); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Type, err)
		}
	}
	if len(entries) == 0 && !o.NoDocker && !disabled(o.getenv("OCM_DISABLE_AUTO_CONFIG")) {
		s.repositories = append(s.repositories, &docker{file: dockerFile(o), implicit: true, log: o.Log})
	}
	return s, nil
}

// disabled reads a switch; what cannot be understood switches off, too.
func disabled(v string) bool {
	b, err := strconv.ParseBool(v)
	return b || err != nil && v != ""
}

// add reads one entry.
func (s *store) add(e ocm.Spec, o Options) error {
	var v struct {
		Consumers []struct {
			Identity    map[string]ocm.RawJSON   `json:"identity"`
			Identities  []map[string]ocm.RawJSON `json:"identities"`
			Credentials []ocm.RawJSON            `json:"credentials"`
		} `json:"consumers"`
		Repositories []struct {
			Repository ocm.Spec `json:"repository"`
		} `json:"repositories"`
	}
	if err := decode(e.Raw, &v); err != nil {
		return err
	}
	for i, c := range v.Consumers {
		ids := c.Identities
		if c.Identity != nil {
			ids = slices.Insert(ids, 0, c.Identity)
		}
		if len(ids) == 0 {
			return fmt.Errorf("consumers[%d] has no identity: %w", i, ocm.ErrInvalid)
		}
		for _, raw := range ids {
			id, err := readIdentity(raw)
			if err == nil {
				err = s.addSecret(id, c.Credentials)
			}
			if err != nil {
				return fmt.Errorf("consumers[%d]: %w", i, err)
			}
		}
	}
	for i, r := range v.Repositories {
		switch r.Repository.Type {
		case "DockerConfig", "DockerConfig/v1":
			d, err := newDocker(r.Repository, o)
			if err != nil {
				return fmt.Errorf("repositories[%d]: %w", i, err)
			}
			s.repositories = append(s.repositories, d)
		default:
			o.Log.Warn("credential repository cannot be asked: its type is not known", "type", r.Repository.Type)
			s.unknown = append(s.unknown, r.Repository.Type)
		}
	}
	return nil
}

// addSecret adds credentials to the consumer with this very identity.
func (s *store) addSecret(id ocm.Identity, credentials []ocm.RawJSON) error {
	if len(credentials) == 0 {
		return nil
	}
	i := slices.IndexFunc(s.consumers, func(c *consumer) bool { return maps.Equal(c.id, id) })
	if i < 0 {
		if len(s.consumers) == MaxConsumers {
			return fmt.Errorf("more than %d identities: %w", MaxConsumers, ocm.ErrLimit)
		}
		i = len(s.consumers)
		s.consumers = append(s.consumers, &consumer{id: id, secret: ocm.Secret{}})
	}
	for n, raw := range credentials {
		if err := s.consumers[i].add(raw); err != nil {
			return fmt.Errorf("credentials[%d]: %w", n, err)
		}
	}
	return nil
}

// Resolve implements [ocm.Credentials].
func (s *store) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id["type"] == "" {
		return nil, fmt.Errorf("credentials for %s: the identity has no type: %w", id, ocm.ErrInvalid)
	}
	if c := s.best(normal(id)); c != nil {
		if c.unknown != "" {
			return nil, fmt.Errorf("credentials for %s: credential type %q: %w", id, c.unknown, ocm.ErrUnknownType)
		}
		return maps.Clone(c.secret), nil
	}
	for _, r := range s.repositories {
		secret, err := r.Resolve(ctx, id)
		if err == nil || !errors.Is(err, ocm.ErrNotFound) {
			return secret, err
		}
	}
	if len(s.unknown) > 0 {
		return nil, fmt.Errorf("credentials for %s (repositories of types %q cannot be asked): %w", id, s.unknown, ocm.ErrNotFound)
	}
	return nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
}

// best is the most specific consumer for a request; nil if there is none.
func (s *store) best(request ocm.Identity) *consumer {
	var best *consumer
	var rank []int
	for _, c := range s.consumers {
		if !matches(c.id, request) {
			continue
		}
		if r := specificity(c.id, request); best == nil || slices.Compare(r, rank) > 0 {
			best, rank = c, r
		}
	}
	return best
}

// String hides what is inside.
func (s *store) String() string { return "credentials of the configuration" }

// GoString hides what is inside.
func (s *store) GoString() string { return s.String() }
