// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/credentials"
	"ocm/oci/remote"
	"ocm/web"
)

const authExplainLong = `Tell which credentials are used for a place, and why: which consumers of the configuration
were considered and which of them wins, and which files, credential helpers and servers
were asked. Secrets are never shown, only the names of what is in them.

The place is one of
  ghcr.io/acme                     a repository of component versions; images in it are asked
                                   for by the host alone, which is shown too
  ghcr.io/acme//acme.org/app       the repository of a component
  ghcr.io/acme/app:1.0.0           an image
  https://example.org/files/a.tgz  a download; --as names other types of consumers, such as
                                   HelmChartRepository, GitHubRepository, MavenRepository,
                                   NpmRegistry, Git, S3Bucket, OCIRegistry
  type=RSA/v1alpha1,algorithm=RSASSA-PSS,signature=default
                                   any consumer by its attributes`

const authExplainExample = `  ocm auth explain ghcr.io/acme

  # as a chart repository, for programs
  ocm auth explain https://charts.example.org/stable --as HelmChartRepository -o json

  # the key of a signature
  ocm auth explain type=RSA/v1alpha1,algorithm=RSASSA-PSS,signature=default`

type authExplainOptions struct {
	as     string
	output string
}

func (o *authExplainOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.as, "as", "", "`type` of the consumer that asks, for an address with http(s)://")
	addEnum(fs, &o.output, "output", "o", "output format", "text", "json", "yaml")
}

// explained is a question, and how it was answered.
type explained struct {
	For string `json:"for"` // what somebody wants to have credentials for
	credentials.Explanation
	Error string `json:"error,omitempty"`
}

func newAuthExplain(a *app) *cobra.Command {
	var o authExplainOptions
	cmd := &cobra.Command{
		Use:     "explain <place> [flags]",
		Short:   "Tell which credentials are used for a place, and why",
		Long:    authExplainLong,
		Example: authExplainExample,
		Args:    arguments("<place>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAuthExplain(cmd.Context(), a, o, args[0])
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runAuthExplain(ctx context.Context, a *app, o authExplainOptions, place string) error {
	questions, err := consumersOf(place, o.as)
	if err != nil {
		return usage(err)
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	var failed error
	for i := range questions {
		if err := s.explain(ctx, &questions[i]); err != nil {
			questions[i].Error = err.Error()
			failed = errors.Join(failed, err)
		}
	}
	if o.output == "text" {
		printExplained(a, questions)
		return failed
	}
	return errors.Join(printValue(a.out, o.output, questions), failed)
}

// explain answers a question. Keys of the older kind of configuration have no entries that could be compared.
func (s *session) explain(ctx context.Context, q *explained) error {
	var err error
	if q.Explanation, err = s.Secrets.Explain(ctx, q.Consumer); err != nil || q.Source != "" {
		return err
	}
	secret, err := s.env.Resolve(ctx, q.Consumer)
	if errors.Is(err, ocm.ErrNotFound) {
		return nil
	}
	if err == nil {
		q.Source, q.Properties = "keys.config.ocm.software", slices.Sorted(maps.Keys(secret))
	}
	return err
}

// consumersOf are the consumers that ask for credentials for a place.
func consumersOf(place, as string) ([]explained, error) {
	if id, err := ocm.ParseIdentity(place); err == nil && id["type"] != "" && !strings.Contains(place, "://") {
		return question("consumer", id), nil
	}
	isURL := strings.HasPrefix(place, "https://") || strings.HasPrefix(place, "http://")
	if at, err := ocm.ParseCoordinates(place); err == nil && at.Repository != "" {
		return registryConsumer("repository of "+at.Component, at.Type, at.Repository)
	}
	if isURL && as != "OCIRegistry" {
		if as == "" {
			as = "Wget"
		}
		u, err := url.Parse(place)
		if err != nil || u.Host == "" || u.User != nil {
			return nil, fmt.Errorf("the address is none, or has a user name: %w", ocm.ErrInvalid) // it is not repeated: a password may be in it
		}
		return question("download as "+as, web.Identity(as, u)), nil
	}
	if as != "" && !isURL {
		return nil, fmt.Errorf("--as %s is for addresses with http:// or https://: %w", as, ocm.ErrInvalid)
	}
	return registryOrImage(place)
}

// registryOrImage reads a place in a registry. Without tag and digest nobody can tell whether it is an image, or
// where component versions are.
func registryOrImage(place string) ([]explained, error) {
	typ, location, err := ocm.ParseRepository(place)
	if err == nil && typ != ocm.OCIRepositoryType {
		return registryConsumer("", typ, location) // tells that archives need none
	}
	image, noImage := remote.ParseReference(place)
	name, _, _ := strings.Cut(place, ":")
	isHost := !strings.Contains(place, "/") && (strings.Contains(name, ".") || name == "localhost")
	var found []explained
	if isHost || noImage != nil || image.Tag == "" && image.Digest == "" {
		if err == nil {
			found, err = registryConsumer("component repository", typ, location)
		}
		if err != nil || isHost || noImage != nil {
			return found, err
		}
	}
	host := image.Host
	if image.Scheme != "" {
		host = image.Scheme + "://" + host
	}
	more, err := registryConsumer("image", ocm.OCIRepositoryType, host)
	return append(found, more...), err
}

func question(what string, id ocm.Identity) []explained {
	return []explained{{For: what, Explanation: credentials.Explanation{Consumer: id}}}
}

func registryConsumer(what, typ, location string) ([]explained, error) {
	switch typ {
	case ocm.OCIRepositoryType:
	case ocm.CTFType, ocm.ComponentArchiveType, ocm.MemoryType:
		return nil, fmt.Errorf("%s is an archive, which needs no credentials: %w", location, ocm.ErrInvalid)
	default:
		return nil, fmt.Errorf("%s::%s: which credentials it needs is known to the plugin that opens it; name the consumer, as in type=%s,hostname=HOST: %w", typ, location, typ, ocm.ErrInvalid)
	}
	r, err := remote.Open(nil, location, "", remote.Options{})
	if err != nil {
		return nil, err
	}
	return question(what, r.Consumer()), nil
}

// printExplained shows the answers for people.
func printExplained(a *app, list []explained) {
	for i, q := range list {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		fmt.Fprintf(a.out, "%s: %s\n", clean(q.For, false), clean(q.Consumer.String(), false))
		for _, c := range q.Considered {
			id := maps.Clone(c.Identity)
			delete(id, "type") // all have the same
			fmt.Fprintf(a.out, "- %s: %s\n  %s\n", clean(c.Place, true), clean(id.String(), false), clean(c.Why, false))
		}
		if q.Others > 0 {
			fmt.Fprintf(a.out, "not considered: %s for consumers of other types\n", countOf(q.Others))
		}
		for _, line := range q.Asked {
			fmt.Fprintf(a.out, "asked: %s\n", clean(line, true))
		}
		switch {
		case q.Error != "":
			fmt.Fprintln(a.out, "failed, see below: requests would fail, too")
		case q.Source == "":
			fmt.Fprintln(a.out, "found: nothing, requests are sent without credentials")
		default:
			fmt.Fprintf(a.out, "found: %s, of %s\n", clean(strings.Join(q.Properties, ", "), false), clean(q.Source, true))
		}
	}
}

func countOf(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
