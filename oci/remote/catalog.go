// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"oras.land/oras-go/v2/registry"
	orasremote "oras.land/oras-go/v2/registry/remote"

	"ocm"
	"ocm/oci"
)

// MaxRepositories is how many repositories a registry may list, all of them counted. More are [ocm.ErrLimit].
const MaxRepositories = 200_000

var _ oci.RepoLister = (*Store)(nil)

// Repos lists the repositories below the store's path by the catalog that Docker's registries have; the distribution specification has
// none. It comes page by page, at most [MaxPages] of them. A registry without it is [errors.ErrUnsupported], one that
// lets nobody see it, or not those who ask, [ocm.ErrDenied]. What has a name that could not be asked for is passed over.
func (s *Store) Repos(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		from := orasremote.Registry{
			RepositoryOptions: orasremote.RepositoryOptions{
				Client: s.session, Reference: registry.Reference{Registry: s.session.origin.Host},
				PlainHTTP: s.session.origin.Scheme == "http", MaxMetadataBytes: MaxPageBytes,
			},
			RepositoryListPageSize: TagsPerPage,
		}
		seen, pages := newSeen(MaxRepositories), 0
		err := from.Repositories(context.WithValue(ctx, stayHere{}, true), "", func(names []string) error {
			if pages++; pages > MaxPages {
				return &badPage{fmt.Errorf("more than %d pages: %w", MaxPages, ocm.ErrLimit)}
			}
			return seen.page(names, func(name string) error {
				below, ok := s.below(name)
				if ok && !yield(below, nil) {
					return errStop
				}
				return nil
			})
		})
		if err = s.catalog(err, pages > 0); err != nil {
			yield("", err)
		}
	}
}

// below is the name of a repository as the store calls it.
func (s *Store) below(name string) (string, bool) {
	if checkRepository(name) != nil {
		return "", false
	}
	if s.prefix == "" {
		return name, true
	}
	return strings.CutPrefix(name, s.prefix+"/")
}

// catalog sorts the ways in which the list ends. A list that breaks off is not a short list.
func (s *Store) catalog(err error, begun bool) error {
	const what = "list of repositories"
	var bad *badPage
	var f *failure
	switch {
	case err == nil, errors.Is(err, errStop):
		return nil
	case errors.As(err, &bad):
		return fmt.Errorf("registry %s: %s: %w", s.session.name, what, bad.error)
	}
	err = explain("registry "+s.session.name, what, err, ocm.ErrInvalid)
	switch {
	case begun && errors.Is(err, ocm.ErrNotFound):
		return fmt.Errorf("registry %s: the %s breaks off: %w", s.session.name, what, ocm.ErrInvalid)
	case begun:
		return err
	case errors.Is(err, ocm.ErrNotFound), errors.As(err, &f) && withoutAPI(err):
		return fmt.Errorf("registry %s does not list its repositories: %w", s.session.name, errors.ErrUnsupported)
	case f != nil && (f.code == http.StatusUnauthorized || f.code == http.StatusForbidden):
		return fmt.Errorf("%w (many registries let nobody list their repositories: name the component)", err)
	}
	return err
}
