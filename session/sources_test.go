// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"testing"

	"ocm"
	"ocm/config"
)

// mine is a credential source.
type mine struct{}

func (mine) Find(context.Context, *ocm.Env, ocm.Spec, ocm.Identity) (ocm.Secret, error) {
	return ocm.Secret{"token": "t"}, nil
}

// The credential sources of the kit are those of the configuration, except for tenants.
func TestSources(t *testing.T) {
	t.Parallel()
	kit := ocm.NewKit()
	kit.Secrets.Add(mine{}, "Mine/v1")
	entry := ocm.Spec{}
	if err := entry.UnmarshalJSON([]byte(`{"type":"credentials.config.ocm.software","consumers":[{"identity":{"type":"X"},"credentials":[{"type":"Mine/v1"}]}]}`)); err != nil {
		t.Fatal(err)
	}
	for confined, want := range map[bool]error{false: nil, true: ocm.ErrUnknownType} {
		s, err := New(Options{Kit: kit, Config: &config.Config{Entries: []ocm.Spec{entry}}, Env: &ocm.Env{}, Confined: confined})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Env.Resolve(t.Context(), ocm.Identity{"type": "X"})
		if !errors.Is(err, want) || err == nil && got["token"] != "t" {
			t.Errorf("confined %v: %v %v", confined, got, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
