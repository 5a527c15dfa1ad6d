// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
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

// noted are Deployers with an act of which the status does not tell yet.
type noted struct {
	mu  sync.Mutex
	all map[types.UID]error // what the status says meanwhile
}

func (n *noted) set(id types.UID, meanwhile error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[types.UID]error{}
	}
	if n.all[id] = meanwhile; meanwhile == nil {
		delete(n.all, id)
	}
}

func (n *noted) get(id types.UID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[id]
}

// doneBytes is about what the answer of an act takes in memory.
const doneBytes = 1 << 10

// act begins an act, which gets a copy of the Deployer. meanwhile is what the status says until it is done.
func (r *deployers) act(d *v1alpha1.Deployer, meanwhile error, run func(ctx context.Context, d *v1alpha1.Deployer) *done) error {
	d = d.DeepCopy()
	task := work.Task[*done]{Key: actKey(d.UID), Lane: "deploy/" + d.Spec.ResourceRef.Namespace, Run: func(ctx context.Context) (*done, int64, error) {
		result := run(ctx, d)
		result.generation = d.Generation
		return result, doneBytes, nil
	}}
	_, err := work.Ask(r.acts, task, r.asker(d))
	if err != nil && !errors.Is(err, work.ErrInProgress) {
		return failed(v1alpha1.ReasonApplyFailed, err)
	}
	r.acting.set(d.UID, meanwhile)
	return meanwhile
}

// learn writes into the status what the last act did. While one is going on it is an error.
func (r *deployers) learn(d *v1alpha1.Deployer) (*done, error) {
	meanwhile := r.acting.get(d.UID)
	if meanwhile == nil {
		return &done{}, nil
	}
	task := work.Task[*done]{Key: actKey(d.UID), Run: func(context.Context) (*done, int64, error) {
		return &done{}, doneBytes, nil // the answer was lost: what is to be done is found out anew
	}}
	last, err := work.Ask(r.acts, task, r.asker(d))
	if errors.Is(err, work.ErrInProgress) {
		return nil, meanwhile
	}
	r.acts.Forget(actKey(d.UID))
	r.acts.Forget(lookKey(d.UID)) // it saw what was before
	r.acting.set(d.UID, nil)
	if err != nil {
		return nil, failed(v1alpha1.ReasonApplyFailed, fmt.Errorf("%w: %w", meanwhile, err))
	}
	if last.tell != nil {
		last.tell(d)
	}
	return last, nil
}

// failure is why an act failed that was begun for the spec as it is now.
func (l *done) failure(d *v1alpha1.Deployer) error {
	if l.generation != d.Generation {
		return nil
	}
	return l.err
}
