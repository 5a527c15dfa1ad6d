// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"maps"
	"net/http"

	"ocm"
	"ocm/web"
)

// Ping asks whether there is a registry that accepts the credentials of the environment, by the one request that
// the protocol has for it. Credentials are looked up only if the registry asks for some. [ocm.ErrDenied] if it does not
// accept them, [ocm.ErrNotFound] if there is no registry.
func (s *Store) Ping(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.session.origin.String()+"/v2/", nil) //nolint:gocritic // with http.NoBody a request could not be repeated
	if err != nil {
		return err
	}
	resp, err := s.session.Do(req) //nolint:bodyclose // web.Drop does it
	if err != nil {
		return err
	}
	defer web.Drop(resp)
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("registry %s: it answers, and is no registry: %w", s.session.name, ocm.ErrNotFound)
	}
	return nil
}

// Consumer is the identity that the credentials for this registry, or part of it, are looked up by.
func (s *Store) Consumer() ocm.Identity { return maps.Clone(s.session.id) }
