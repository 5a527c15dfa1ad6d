// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/config"
)

func newSession(t *testing.T, text string) *Session {
	t.Helper()
	c, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Kit: builtin.Kit(), Env: &ocm.Env{Job: ocm.NewJob(1)}, Config: c, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func memory(t *testing.T, s *Session, name string, components ...string) ocm.Repository {
	t.Helper()
	spec, err := ocm.NewSpec(map[string]string{"type": "Memory/v1", "name": name})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := s.Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range components {
		draft, err := repo.Draft(t.Context(), c, "1.0.0", nil)
		if err == nil {
			_, err = draft.Commit(t.Context(), &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2}, Component: ocm.Component{Name: c, Version: "1.0.0", Provider: "acme.org"}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return repo
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	s := newSession(t, `{"type":"resolvers.config.ocm.software/v1alpha1","resolvers":[{"repository":{"type":"Memory/v1","name":"resolved"}}]}`)
	own := memory(t, s, "own", "acme.org/app", "acme.org/both", "acme.org/mine")
	resolved := memory(t, s, "resolved", "acme.org/app", "acme.org/both")
	other := memory(t, s, "other", "acme.org/else")
	others := []Place{{"other", func(context.Context) (ocm.Repository, error) { return other, nil }}}
	locate := s.Locator(own, "acme.org/app", others)
	for name, want := range map[string]ocm.Repository{"acme.org/app": own, "acme.org/both": resolved, "acme.org/mine": own, "acme.org/else": other} {
		if repo, v, err := locate(t.Context(), name, "1.0.0"); err != nil || repo != want || v.Descriptor().Component.Name != name {
			t.Errorf("%s: found in %v, %v", name, repo, err)
		}
	}
	_, _, err := locate(t.Context(), "acme.org/none", "1.0.0")
	if !errors.Is(err, ocm.ErrNotFound) {
		t.Fatal(err)
	}
	var at []int
	for _, place := range []string{"resolved", own.String(), "other"} {
		at = append(at, strings.LastIndex(err.Error(), place))
	}
	if at[0] < 0 || !slices.IsSorted(at) {
		t.Errorf("the places are not named in their order: %v", err)
	}
	if spec := s.SpecOf(own); !strings.Contains(string(spec.Raw), `"own"`) || s.SpecOf(nil).Type != "" {
		t.Error(string(spec.Raw))
	}
	broken := []Place{{"broken", func(context.Context) (ocm.Repository, error) { return nil, ocm.ErrDenied }}, others[0]}
	if _, _, err := First(t.Context(), broken, "acme.org/else", "1.0.0"); !errors.Is(err, ocm.ErrDenied) {
		t.Errorf("a place that fails is not skipped: %v", err)
	}
	if _, _, err := First(t.Context(), nil, "acme.org/else", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	refused := errors.New("no")
	s, err := New(Options{Kit: builtin.Kit(), Env: &ocm.Env{}, Allow: func(ocm.Spec) (ocm.Spec, error) { return ocm.Spec{}, refused }})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ocm.NewSpec(map[string]string{"type": "Memory/v1", "name": "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, open := range []func(context.Context, ocm.Spec) (ocm.Repository, error){s.Open, s.Existing, s.Fork(nil, nil).Open, s.Share(nil).Open} {
		if _, err := open(t.Context(), spec); !errors.Is(err, refused) {
			t.Error(err)
		}
	}
}
