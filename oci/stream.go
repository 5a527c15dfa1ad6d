// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// Feeder is a [Store] that becomes visible as a whole and can take content from sources that are read
// once, when they bring it. Such a store has a method Feeder() (Feeder, bool), because not
// every store of its type need be one.
type Feeder interface {
	// FinishFrom is [ocm.Finisher]'s Finish. What was placed and deferred is taken from the
	// sources where they have it; each is read to its end.
	FinishFrom(ctx context.Context, from ...ocm.Sequential) error
}

// feeding is a store that may be a [Feeder].
type feeding interface{ Feeder() (Feeder, bool) }

// sequential is a [Store] or [Repo] that may be read once.
type sequential interface {
	Sequential() (ocm.Sequential, bool)
}

var _ ocm.Finisher = (*Repository)(nil)

// Finish implements [ocm.Finisher]; without effect above a store in which every commit is visible.
func (r *Repository) Finish(ctx context.Context) error {
	if f, ok := r.store.(ocm.Finisher); ok {
		return f.Finish(ctx)
	}
	return nil
}

// Feeder returns the store as one, if it is.
func (r *Repository) Feeder() (Feeder, bool) {
	if f, ok := r.store.(feeding); ok {
		return f.Feeder()
	}
	return nil, false
}

// Sequential returns the order in which the content of the store comes, if it has one.
func (r *Repository) Sequential() (ocm.Sequential, bool) { return sequentialOf(r.store) }

// Sequential is that of the repository which the version was opened in.
func (v *version) Sequential() (ocm.Sequential, bool) { return sequentialOf(v.repo) }

func sequentialOf(x any) (ocm.Sequential, bool) {
	if s, ok := x.(sequential); ok {
		return s.Sequential()
	}
	return nil, false
}

// Added is content that was added to the draft, as it is to be read from its new place.
func (d *draft) Added(root ociv1.Descriptor) ocm.Content {
	return ocm.Content{Root: root, From: d.repo, Origin: d.repo.Origin()}
}
