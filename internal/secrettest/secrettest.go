// SPDX-License-Identifier: Apache-2.0

// Package secrettest is the contract of credential sources, as tests that run on a source with something in it, in the process or
// through the wire.
package secrettest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"ocm"
)

// Case is a source that has something.
type Case struct {
	Source ocm.CredentialSource
	Types  []string // names of the type
	Env    *ocm.Env // nil: an empty one
	Good   any      // a specification without "type"
	// Identity is a consumer, and Want what the source has for it.
	Identity ocm.Identity
	Want     ocm.Secret
	// Missing are consumers that it has nothing for: [ocm.ErrNotFound].
	Missing []ocm.Identity
	// Refused are consumers that are refused before anybody is asked: [ocm.ErrInvalid].
	Refused []ocm.Identity
	// Wrong are changes of members of Good that are refused: [ocm.ErrInvalid].
	Wrong []map[string]any
	// Secrets are texts that must not be in any error, besides those of Want.
	Secrets []string
}

// limit is for what must not wait.
const limit = 10 * time.Second

// Run runs the contract.
func Run(t *testing.T, c Case) {
	t.Helper()
	if c.Env == nil {
		c.Env = &ocm.Env{}
	}
	t.Run("found", func(t *testing.T) { found(t, c) })
	t.Run("not found", func(t *testing.T) {
		for _, id := range c.Missing {
			c.fails(t, c.spec(t, nil), id, ocm.ErrNotFound)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for _, id := range c.Refused {
			c.fails(t, c.spec(t, nil), id, ocm.ErrInvalid)
		}
	})
	t.Run("wrong", func(t *testing.T) {
		for _, change := range c.Wrong {
			c.fails(t, c.spec(t, change), c.Identity, ocm.ErrInvalid)
		}
	})
	t.Run("cancelled", func(t *testing.T) { cancelled(t, c) })
	t.Run("concurrent", func(t *testing.T) { concurrent(t, c) })
}

// spec is Good with changes; nil takes a member away.
func (c Case) spec(t *testing.T, change map[string]any) ocm.Spec {
	t.Helper()
	raw, err := json.Marshal(c.Good)
	must(t, err)
	members := map[string]any{}
	must(t, json.Unmarshal(raw, &members))
	members["type"] = c.Types[0]
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	s, err := ocm.NewSpec(members)
	must(t, err)
	return s
}

// found asks under each name of the type, twice. What was answered is the caller's.
func found(t *testing.T, c Case) {
	for _, name := range c.Types {
		s := c.spec(t, map[string]any{"type": name})
		for range 2 {
			id := maps.Clone(c.Identity)
			got, err := c.Source.Find(t.Context(), c.Env, s, id)
			must(t, err)
			if !maps.Equal(got, c.Want) {
				t.Errorf("%s: it has %d properties, which are not those that were expected", name, len(got))
			}
			if !maps.Equal(id, c.Identity) {
				t.Errorf("%s: the identity was changed to %s", name, id)
			}
			clear(got)
		}
	}
}

func (c Case) fails(t *testing.T, s ocm.Spec, id ocm.Identity, kind error) {
	t.Helper()
	got, err := c.Source.Find(t.Context(), c.Env, s, id)
	if !errors.Is(err, kind) || len(got) > 0 {
		t.Errorf("%s %s: expected %v, found %d properties, %v", s.Raw, id, kind, len(got), err)
	}
	c.silent(t, err)
}

// silent looks for secrets in an error.
func (c Case) silent(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range append(c.values(), c.Secrets...) {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is in the error %v", err)
		}
	}
}

// values are what of Want is secret.
func (c Case) values() (list []string) {
	for name, v := range c.Want {
		if name != "username" {
			list = append(list, v)
		}
	}
	return list
}

// cancelled asks when it is too late.
func cancelled(t *testing.T, c Case) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	_, err := c.Source.Find(ctx, c.Env, c.spec(t, nil), c.Identity)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("expected that it is cancelled, found %v", err)
	}
	if took := time.Since(begun); took > limit {
		t.Errorf("it went on for %s", took)
	}
}

// concurrent asks for what is there and what is not.
func concurrent(t *testing.T, c Case) {
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got, err := c.Source.Find(t.Context(), c.Env, c.spec(t, nil), c.Identity); err != nil || !maps.Equal(got, c.Want) {
				t.Errorf("%d properties, %v", len(got), err)
			}
		})
		for _, id := range c.Missing {
			wait.Go(func() { c.fails(t, c.spec(t, nil), id, ocm.ErrNotFound) })
		}
	}
	wait.Wait()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
