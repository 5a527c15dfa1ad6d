// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"ocm"
	"ocm/web"
)

// A store that is confined has its entries from people who must not reach what belongs to the process. Of repositories there are Docker
// configurations whose content is in the entry, without helpers, and vaults, with credentials that are in the entry. No property names a
// file, wherever it comes from: whoever uses a secret would read it.

// confinedKind refuses types of repositories whose secrets are in files and variables.
func (s *Store) confinedKind(typ string) error {
	if !s.o.Confined {
		return nil
	}
	for _, k := range []kind{kubernetesKind(), npmrcKind(), environmentKind()} {
		if slices.Contains(k.Names, typ) {
			return fmt.Errorf("it is in files or variables of this program; write the credentials themselves: %w", ocm.ErrInvalid)
		}
	}
	return nil
}

// confined refuses a Docker configuration that is in a file, or leads to programs.
func (d *docker) confined() error {
	if d.file != "" || len(d.inline) == 0 {
		return fmt.Errorf("dockerConfigFile: it is a file of this program; write its content into dockerConfig: %w", ocm.ErrInvalid)
	}
	d.passive = true
	conf, err := d.load()
	switch {
	case err != nil:
		return err
	case len(conf.CredHelpers) > 0:
		return fmt.Errorf("credHelpers: no program is run because a configuration says so; write the credentials into auths: %w", ocm.ErrInvalid)
	case conf.CredsStore != "":
		return fmt.Errorf("credsStore: no program is run because a configuration says so; write the credentials into auths: %w", ocm.ErrInvalid)
	}
	return nil
}

// confinedSecret refuses properties that name files.
func (s *Store) confinedSecret(secret ocm.Secret) error {
	if !s.o.Confined {
		return nil
	}
	for name, value := range secret {
		if value != "" && strings.HasSuffix(strings.ToLower(name), "file") {
			return fmt.Errorf("property %.80q names a file of this program; write its content into the property without File at its end: %w", name, ocm.ErrInvalid)
		}
	}
	return nil
}

// confinedVault refuses addresses that are never a vault.
func (s *Store) confinedVault(at *url.URL) error {
	if !s.o.Confined {
		return nil
	}
	if err := web.CheckHost(at.Hostname()); err != nil {
		return fmt.Errorf("serverURL: %w: %w", err, ocm.ErrInvalid)
	}
	return nil
}

// confinedLogin refuses to log in to a vault with files or the token of this program's own service account.
func (s *Store) confinedLogin(own ocm.Secret) error {
	if !s.o.Confined {
		return nil
	}
	if err := s.confinedSecret(own); err != nil {
		return err
	}
	if vaultMethod(own) == vaultKubernetes && own["jwt"] == "" {
		return fmt.Errorf("authmeth %s: property jwt is missing, and the service account of this program is not for others: %w", vaultKubernetes, ocm.ErrInvalid)
	}
	return nil
}

// confinedVaults is confinedLogin for what is known before anybody is asked.
func (s *Store) confinedVaults() error {
	for _, src := range s.opened {
		v, ok := src.(*vault)
		if !ok {
			continue
		}
		b := v.own
		if c := s.best(v.identity()); b == nil && c != nil {
			b = &c.bundle
		}
		if b == nil || !b.known() {
			continue // judged when it logs in
		}
		own, err := b.secret(context.Background(), nil, nil) // nobody is asked
		if err == nil {
			err = s.confinedLogin(own)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", v, err)
		}
	}
	return nil
}

// known reports whether all of a bundle is in the configuration.
func (b *bundle) known() bool {
	return !slices.ContainsFunc(b.steps, func(st step) bool { return st.from != nil || st.foreign != nil || st.set != nil && !st.set.known() })
}
