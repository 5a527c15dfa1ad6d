// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// An act changes objects in the cluster: it deploys, rolls back, repairs, or deletes. It is done by the pool, beside the reconciles of its
// Deployer, which learn afterwards what was done. There is never more than one act on a Deployer: all have the same key.
type actKey types.UID

// done is what an act did.
type done struct {
	input      string // that was deployed; empty: it did something else
	generation int64
	tell       func(*v1alpha1.Deployer) // writes it into the status; nil: there is nothing to tell
	err        error                    // an outcome
	gone       bool                     // all objects were deleted
}

// noted remembers acts: what the status says while one is going on, and what was done but is not in the status yet, because that could not be
// written. It is memory of the process only; what is lost with it is done again.
type noted struct {
	mu  sync.Mutex
	all map[types.UID]*note
}

type note struct {
	meanwhile error // nil: nothing is going on
	untold    []*done
}

func (n *noted) begun(id types.UID, meanwhile error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[types.UID]*note{}
	}
	if n.all[id] == nil {
		n.all[id] = &note{}
	}
	n.all[id].meanwhile = meanwhile
}

func (n *noted) ended(id types.UID, d *done) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.all[id]; at != nil {
		at.meanwhile, at.untold = nil, append(at.untold, d)
	}
}

// told forgets what was done: the status tells it.
func (n *noted) told(id types.UID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.all[id]
	if at == nil {
		return
	}
	if at.untold = nil; at.meanwhile == nil {
		delete(n.all, id)
	}
}

func (n *noted) get(id types.UID) (untold []*done, meanwhile error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.all[id]; at != nil {
		return slices.Clone(at.untold), at.meanwhile
	}
	return nil, nil
}

// doneBytes is about what the answer of an act takes in memory.
const doneBytes = 1 << 10

// act begins an act, which gets a copy of the Deployer. meanwhile is what the status says until it is done. What is begun was decided on the last
// state of the Deployer, not on what a cache still has of it: hooks would run twice.
func (r *deployers) act(ctx context.Context, d *v1alpha1.Deployer, meanwhile error, run func(ctx context.Context, d *v1alpha1.Deployer) *done) error {
	fresh := &v1alpha1.Deployer{}
	if err := r.GetAPIReader().Get(ctx, askerFor(d).key, fresh); err != nil {
		return err
	}
	if fresh.ResourceVersion != d.ResourceVersion {
		return waiting(v1alpha1.ReasonResolutionInProgress, soon, errors.New("the Deployer was changed in the meantime"))
	}
	d = d.DeepCopy()
	task := work.Task[*done]{Key: actKey(d.UID), Lane: "deploy/" + d.Spec.ResourceRef.Namespace, Run: func(ctx context.Context) (*done, int64, error) {
		result := run(ctx, d)
		result.generation = d.Generation
		return result, doneBytes, nil
	}}
	_, err := work.Ask(r.acts, task, askerFor(d))
	if err != nil && !errors.Is(err, work.ErrInProgress) {
		return failed(v1alpha1.ReasonApplyFailed, err)
	}
	r.acting.begun(d.UID, meanwhile)
	return meanwhile
}

// learn writes into the status what the last act did. While one is going on it is an error.
func (r *deployers) learn(d *v1alpha1.Deployer) (*done, error) {
	last := &done{}
	untold, meanwhile := r.acting.get(d.UID)
	for _, last = range untold {
		last.write(d)
	}
	if meanwhile == nil {
		return last, nil
	}
	task := work.Task[*done]{Key: actKey(d.UID), Run: func(context.Context) (*done, int64, error) {
		return &done{}, doneBytes, nil // the answer was lost: what is to be done is found out anew
	}}
	last, err := work.Ask(r.acts, task, askerFor(d))
	if errors.Is(err, work.ErrInProgress) {
		return nil, meanwhile
	}
	if err != nil {
		last = &done{generation: d.Generation, err: failed(v1alpha1.ReasonApplyFailed, fmt.Errorf("%w: %w", meanwhile, err))}
	}
	r.acts.Forget(actKey(d.UID))
	r.acting.ended(d.UID, last)
	last.write(d)
	r.acts.Forget(lookOf(d)) // it saw what was before
	r.watches.acted(d.Name)
	return last, nil
}

func (l *done) write(d *v1alpha1.Deployer) {
	if l.tell != nil {
		l.tell(d)
	}
}

// failure is why an act failed that was begun for the spec as it is now.
func (l *done) failure(d *v1alpha1.Deployer) error {
	if l.generation != d.Generation {
		return nil
	}
	return l.err
}
