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
// The older tool's names of types count, too. Its consumers of type HashiCorpVault may leave out namespace and
// secretEngine: they are for all then.
//
// # Secrets that are kept elsewhere
//
// Repositories are asked if no consumer matches, in their order; the first that has something wins. Their
// types, which [Repositories] describes, are DockerConfig (files of Docker and Podman, with credential helpers),
// KubernetesSecret (pull secrets), NPMConfig (.npmrc), Environment (variables) and HashiCorpVault. A consumer can also name one
// set in a repository by credentialsName:
//
//	credentials:
//	- {type: HashiCorpVault/v1alpha1, serverURL: https://vault.example.org, path: team, credentialsName: registry}
//
// Types that are none of these are looked up among the credential sources of [Options], which may be plugins. Such a source is told who
// asks, also where it stands among the credentials of a consumer, and its whole specification. If it needs credentials itself, they are those of a
// consumer that needs no source. Its answers are kept for a minute.
//
// Such a set must be there: what was promised and is missing is an error, because callers go on anonymously where there
// are no credentials. Repositories that need each other to be opened are refused by [New].
//
// Without any entry the files of Docker and Podman in their usual places are consulted, unless the variable
// OCM_DISABLE_AUTO_CONFIG is set; faults of such a file are only logged.
//
// [Store.Explain] tells which entries were considered, which won and why.
//
// Secrets do not appear in errors, in logs, or when a value of this package is printed.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"ocm"
)

const (
	// MaxConsumers is the greatest number of identities that are accepted.
	MaxConsumers = 10_000
	// MaxRepositories is the greatest number of repositories that are accepted.
	MaxRepositories = 1000
)

// Options says where things are. The zero value is the process's own surroundings.
type Options struct {
	Home     string              // folder of the user; empty: os.UserHomeDir
	Getenv   func(string) string // nil: os.Getenv
	Log      *slog.Logger        // nil: discarded
	NoDocker bool                // do not consult Docker's file without being told to
	HTTP     http.RoundTripper   // for repositories on servers; nil: that of package web
	Confined bool                // [ocm.ErrInvalid] for what is in files, variables and programs of this process; no Docker file is consulted
	Places   []string            // for messages: what a path in each entry is put behind, such as "FILE: "; may be shorter
	// Sources are asked for the credentials of types that are not known here; nil: there are none. A type is looked up when a consumer needs it.
	// A store that is confined has none: plugins belong to the process.
	Sources *ocm.Registry[ocm.CredentialSource]
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

// place is what a path in an entry is put behind; its type if nothing else is known.
func (o Options) place(i int, e ocm.Spec) string {
	if i < len(o.Places) && o.Places[i] != "" {
		return o.Places[i]
	}
	return e.Type + ": "
}

// Store holds the secrets of configuration entries. It may be used concurrently.
type Store struct {
	o   Options
	log *slog.Logger

	consumers    []*consumer
	repositories []finder // asked for consumers that are configured nowhere
	sets         map[memoryName]*bundle
	opened       map[string]source
	foreigners   int // how many references to sources of other types there are
}

// consumer is an identity and its secret.
type consumer struct {
	id     ocm.Identity
	places []string // where it stands
	bundle
}

// New returns the secrets of configuration entries, those of types credentials.config.ocm.software and
// [MemoryConfig]; later ones add to earlier ones. [ocm.ErrInvalid] names the place that is wrong; repositories
// that need each other's credentials are [ocm.ErrInvalid], too. A credential of a type that is not
// known here is an error only for the consumer it is for ([ocm.ErrUnknownType]). Nothing is asked for yet.
func New(entries []ocm.Spec, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Confined {
		o.Sources = nil
	}
	s := &Store{o: o, log: o.Log, sets: map[memoryName]*bundle{}, opened: map[string]source{}}
	for i, e := range entries {
		add := s.add
		if isMemory(e.Type) {
			add = func(e ocm.Spec, _ string) error { return s.addSets(e) }
		}
		place := o.place(i, e)
		if err := add(e, place); err != nil {
			return nil, fmt.Errorf("%s%w", place, err)
		}
	}
	if len(entries) == 0 && !o.NoDocker && !o.Confined && !disabled(o.getenv("OCM_DISABLE_AUTO_CONFIG")) {
		s.repositories = append(s.repositories, usualDocker(o, true))
	}
	if err := s.checkSets(); err != nil {
		return nil, err
	}
	if err := s.checkCycles(); err != nil {
		return nil, err
	}
	if o.Confined {
		return s, s.confinedVaults()
	}
	return s, nil
}

// disabled reads a switch; what cannot be understood switches off, too.
func disabled(v string) bool {
	b, err := strconv.ParseBool(v)
	return b || err != nil && v != ""
}

// configuredConsumer is a consumer as it is written; identity is the older form.
type configuredConsumer struct {
	Identity    map[string]ocm.RawJSON   `json:"identity"`
	Identities  []map[string]ocm.RawJSON `json:"identities"`
	Credentials []ocm.RawJSON            `json:"credentials"`
}

// identities reads what the consumer is told apart by.
func (c configuredConsumer) identities() ([]ocm.Identity, error) {
	all := c.Identities
	if c.Identity != nil {
		all = slices.Insert(slices.Clone(all), 0, c.Identity)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no identity: %w", ocm.ErrInvalid)
	}
	var ids []ocm.Identity
	for _, raw := range all {
		id, err := readIdentity(raw)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// add reads one entry, whose members are at a place.
func (s *Store) add(e ocm.Spec, place string) error {
	var v struct {
		Consumers    []configuredConsumer `json:"consumers"`
		Repositories []struct {
			Repository  ocm.RawJSON   `json:"repository"`
			Credentials []ocm.RawJSON `json:"credentials"`
		} `json:"repositories"`
	}
	if err := decode(e.Raw, &v); err != nil {
		return err
	}
	for i, c := range v.Consumers {
		ids, err := c.identities()
		for _, id := range ids {
			if err == nil {
				err = s.addSecret(id, c.Credentials, fmt.Sprintf("%sconsumers[%d]", place, i))
			}
		}
		if err != nil {
			return fmt.Errorf("consumers[%d]: %w", i, err)
		}
	}
	for i, r := range v.Repositories {
		if err := s.addRepository(r.Repository, r.Credentials); err != nil {
			return fmt.Errorf("repositories[%d]: %w", i, err)
		}
	}
	return nil
}

// addRepository adds a repository, with the credentials that it is opened with where these are said.
func (s *Store) addRepository(raw ocm.RawJSON, own []ocm.RawJSON) error {
	var spec struct {
		Type      string `json:"type"`
		Propagate *bool  `json:"propagateConsumerIdentity"`
	}
	if err := decode(raw, &spec); err != nil {
		return err
	}
	if _, ok := kindOf(spec.Type); !ok {
		return s.addForeign(raw, own, answersNobody(spec.Propagate))
	}
	src, err := s.source(raw)
	if err != nil {
		return err
	}
	if v, ok := src.(*vault); ok && len(own) > 0 {
		v.own = &bundle{}
		if err := v.own.addAll(s, own); err != nil {
			return err
		}
	}
	if !answersNobody(spec.Propagate) && !slices.Contains(s.repositories, finder(src)) {
		s.repositories = append(s.repositories, src)
	}
	return nil
}

// addForeign adds a repository of a type that is not known here. One that answers nobody cannot be meant by anybody.
func (s *Store) addForeign(raw ocm.RawJSON, own []ocm.RawJSON, answersNobody bool) error {
	f, err := s.foreign(raw)
	if err != nil || answersNobody {
		return err
	}
	if s.o.Sources == nil {
		f.warn(ocm.ErrUnknownType)
	} else if len(own) > 0 {
		f.own = &bundle{}
		if err := f.own.addAll(s, own); err != nil {
			return err
		}
	}
	if len(s.repositories) == MaxRepositories {
		return fmt.Errorf("more than %d credential repositories: %w", MaxRepositories, ocm.ErrLimit)
	}
	s.repositories = append(s.repositories, f)
	return nil
}

// addSecret adds credentials to the consumer with this very identity.
func (s *Store) addSecret(id ocm.Identity, credentials []ocm.RawJSON, place string) error {
	if len(credentials) == 0 {
		return nil
	}
	i := slices.IndexFunc(s.consumers, func(c *consumer) bool { return maps.Equal(c.id, id) })
	if i < 0 {
		if len(s.consumers) == MaxConsumers {
			return fmt.Errorf("more than %d identities: %w", MaxConsumers, ocm.ErrLimit)
		}
		i = len(s.consumers)
		s.consumers = append(s.consumers, &consumer{id: id})
	}
	c := s.consumers[i]
	c.places = append(c.places, place)
	return c.addAll(s, credentials)
}

// Resolve implements [ocm.Credentials].
func (s *Store) Resolve(ctx context.Context, id ocm.Identity) (ocm.Secret, error) {
	secret, _, err := s.resolve(ctx, id, nil)
	if err != nil {
		return nil, err
	}
	if err := s.confinedSecret(secret); err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", id, err)
	}
	return secret, nil
}

// resolve also tells which consumer has the secret.
func (s *Store) resolve(ctx context.Context, id ocm.Identity, n *notes) (ocm.Secret, *consumer, error) {
	if id[attrType] == "" {
		return nil, nil, fmt.Errorf("credentials for %s: the identity has no type: %w", id, ocm.ErrInvalid)
	}
	request := normal(id)
	if c := s.best(request); c != nil {
		secret, err := c.secret(ctx, request, n)
		if err != nil {
			// A set that is missing where it was promised must not look like "no credentials needed".
			return nil, nil, fmt.Errorf("credentials for %s: %s: %w", id, c, promised(err))
		}
		return renamed(request[attrType], secret), c, nil
	}
	var unknown []string
	for _, r := range s.repositories {
		secret, err := r.find(ctx, request, n)
		f, isForeign := r.(*foreign)
		switch {
		case err == nil:
			return renamed(request[attrType], maps.Clone(secret)), nil, nil
		case isForeign && errors.Is(err, ocm.ErrUnknownType):
			f.warn(err)
			unknown = append(unknown, f.spec.Type)
		case !errors.Is(err, ocm.ErrNotFound):
			return nil, nil, fmt.Errorf("credentials for %s: %w", id, err)
		}
	}
	if len(unknown) > 0 {
		return nil, nil, fmt.Errorf("credentials for %s (repositories of types %q cannot be asked): %w", id, unknown, ocm.ErrNotFound)
	}
	return nil, nil, fmt.Errorf("credentials for %s: %w", id, ocm.ErrNotFound)
}

// promised makes an error of a reference that leads to nothing: callers of Resolve go on anonymously after [ocm.ErrNotFound].
func promised(err error) error {
	if errors.Is(err, ocm.ErrNotFound) {
		return fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	return err
}

// best is the most specific consumer for a request; nil if there is none.
func (s *Store) best(request ocm.Identity) *consumer {
	i := mostSpecific(len(s.consumers), func(i int) ocm.Identity { return s.consumers[i].id }, request)
	if i < 0 {
		return nil
	}
	return s.consumers[i]
}

// String says where the consumer is configured.
func (c *consumer) String() string { return strings.Join(c.places, ", ") }

// GoString hides what is inside.
func (c *consumer) GoString() string { return c.String() }

// String hides what is inside.
func (s *Store) String() string { return "credentials of the configuration" }

// GoString hides what is inside.
func (s *Store) GoString() string { return s.String() }
