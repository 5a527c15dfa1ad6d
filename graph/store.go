// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"ocm"
	"ocm/web"
)

// How signatures of several people end up on one version.
//
// A commit names the state that it replaces. Archives and memory compare and replace in one step, so
// the second of two gets [ocm.ErrConflict], reads again, and adds its signature to that of the
// first. Registries have no such step: the tag is looked up, and then moved. Whoever looked it
// up before somebody else moved it takes the other's signature away again. So the loser has to
// notice: after DefaultSettle, the version is read again, and a signature that is gone is added anew.
//
// What remains: a writer who needs longer than that between looking at the tag and moving it. The
// signature that it takes away is not noticed by the command that made it; verifying by its
// name then fails, and signing again helps.
const (
	// DefaultSettle is how long after a write a registry is looked at again.
	DefaultSettle = 500 * time.Millisecond
	// maxAttempts bounds how often a signature is added again because somebody else changed the
	// version at the same moment. At each of them at least one of all who try succeeds.
	maxAttempts = 50
	// maxPause bounds the time between two attempts.
	maxPause = 50 * time.Millisecond
)

// store adds the signature to what is in the repository.
func (s *signing) store(ctx context.Context, t *task) error {
	for attempt := 1; ; attempt++ {
		err := t.commit(ctx)
		if err == nil {
			t.wrote = time.Now()
			return nil
		}
		if !errors.Is(err, ocm.ErrConflict) || attempt == maxAttempts {
			return err
		}
		s.env.Logger().Info("somebody else wrote the version at the same moment, trying again", "component", t.key, "signature", t.sig.Name)
		if err := web.Pause(ctx, rand.N(maxPause)); err != nil {
			return err
		}
		there, err := t.reload(ctx)
		if err != nil {
			return err
		}
		if there { // the answer to our own write was lost
			t.wrote = time.Now()
			return nil
		}
	}
}

func (t *task) commit(ctx context.Context) error {
	c := &t.desc.Component
	draft, err := t.repo.Draft(ctx, c.Name, c.Version, t.base)
	if err != nil {
		return err
	}
	defer draft.Close()
	desc := *t.desc
	desc.Signatures = put(t.desc.Signatures, t.sig)
	_, err = draft.Commit(ctx, &desc)
	return err
}

// reload takes over the signatures that others have added to the version meanwhile, and reports
// whether ours is among them. Whatever else was changed is [ocm.ErrConflict]: it was not signed.
func (t *task) reload(ctx context.Context) (there bool, err error) {
	c := &t.desc.Component
	now, err := t.repo.Open(ctx, c.Name, c.Version)
	if err != nil {
		return false, err
	}
	found := now.Descriptor()
	same, err := sameButSignatures(found, t.base.Descriptor())
	if err == nil && !same {
		same, err = sameButSignatures(found, t.desc) // others may have completed the same digests
	}
	if err != nil {
		return false, err
	}
	if !same {
		return false, fmt.Errorf("the version itself was changed while it was being signed (run the command again to sign what is there now): %w", ocm.ErrConflict)
	}
	before, after := named(t.desc.Signatures, t.sig.Name), named(found.Signatures, t.sig.Name)
	if after >= 0 {
		other := found.Signatures[after]
		if there = sameSignature(other, t.sig); !there && (before < 0 || !sameSignature(other, t.desc.Signatures[before])) {
			return false, fmt.Errorf("somebody else used the name at the same moment: %w (choose another name, or replace it by --force)", ocm.ErrExists)
		}
	}
	t.base, t.desc.Signatures = now, found.Clone().Signatures
	return there, nil
}

// sameButSignatures reports whether two descriptors are equal except for their signatures.
func sameButSignatures(a, b *ocm.Descriptor) (bool, error) {
	var raw [2][]byte
	for i, d := range []*ocm.Descriptor{a, b} {
		bare := *d
		bare.Signatures = nil
		var err error
		if raw[i], err = bare.MarshalJSON(); err != nil {
			return false, err
		}
	}
	return bytes.Equal(raw[0], raw[1]), nil
}

func sameSignature(a, b ocm.Signature) bool {
	return a.Name == b.Name && a.Digest.Value == b.Digest.Value && a.Signature.Value == b.Signature.Value
}

// settle makes sure that the signatures that were written to registries are still there.
func (s *signing) settle(ctx context.Context) error {
	var open []*task
	for _, t := range s.tasks {
		if !t.wrote.IsZero() && inRegistry(t.repo) {
			open = append(open, t)
		}
	}
	for attempt := 1; len(open) > 0; attempt++ {
		if err := web.Pause(ctx, time.Until(open[len(open)-1].wrote.Add(s.o.Settle))); err != nil {
			return err
		}
		var again []*task
		for _, t := range open {
			there, err := t.reload(ctx)
			if err == nil && !there {
				again = append(again, t)
				if err = s.store(ctx, t); err == nil && attempt == maxAttempts {
					err = fmt.Errorf("somebody else writes the version all the time: %w", ocm.ErrConflict)
				}
			}
			if err != nil {
				return fmt.Errorf("%s: signature %q was stored, but cannot be found there any more: %w", t.key, t.sig.Name, err)
			}
		}
		open = again
	}
	return nil
}

// inRegistry reports whether a repository is one that cannot compare and set.
func inRegistry(repo ocm.Repository) bool {
	p, ok := repo.(ocm.Publisher)
	if !ok {
		return false
	}
	_, err := p.Reference("x")
	return !errors.Is(err, errors.ErrUnsupported)
}
