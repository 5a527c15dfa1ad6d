// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// How often what runs is looked at.
const (
	gatePeriod    = 5 * time.Second  // while the health gate waits
	illPeriod     = 30 * time.Second // while it is not healthy
	watchedPeriod = time.Hour        // while all is watched
)

// maxUnhealthy bounds status.unhealthy.
const maxUnhealthy = 20

// look is what was seen of what runs.
type look struct {
	after     uint64 // changes that were noticed before it began
	health    []apply.Health
	drift     []apply.Ref
	unwatched string // why nothing is known of drift
}

// lookKey has the revision: a look that began before a revision was deployed says nothing about it.
type lookKey struct {
	deployer types.UID
	revision int64
}

func lookOf(d *v1alpha1.Deployer) lookKey { return lookKey{d.UID, d.Status.Revision} }

// tend looks after what runs: its health, and that it stays as it was deployed. problem is why something else is not deployed; it counts
// more than what is found here.
func (r *deployers) tend(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, problem error) error {
	if _, acting := r.acting.get(d.UID); running(d) == nil || acting != nil || d.Spec.DryRun {
		return problem
	}
	watched := r.watches.watch(d, dep)
	every := r.period(d, watched)
	r.later(d, every)
	seen, err := work.Ask(r.acts, work.Task[*look]{Key: lookOf(d), Lane: "look/" + d.Spec.ResourceRef.Namespace, MaxAge: every * 4 / 5,
		Run: r.looking(d.DeepCopy(), dep)}, askerFor(d))
	if err != nil {
		err = r.unseen(d, err)
	} else {
		r.lookAgain(d, seen)
		if err = r.gate(ctx, d, dep, seen); err == nil {
			err = r.drifted(ctx, d, dep, seen, !errors.Is(problem, ocm.ErrSignature)) // of what is refused nothing is applied, not even again
		}
	}
	if problem == nil {
		return err
	}
	if err != nil { // the outcome is another, and so is when that is looked at again
		after := illPeriod
		if o := (*outcome)(nil); errors.As(err, &o) && o.after > 0 {
			after = o.after
		}
		r.later(d, after)
	}
	return problem
}

// lookAgain makes another look follow one that began before something changed. The Deployer was woken for that as well, but who is woken twice
// before it is looked at is looked at once: for the answer of the look that was still going on.
func (r *deployers) lookAgain(d *v1alpha1.Deployer, seen *look) {
	if seen.after == r.watches.seen(d.Name) {
		return
	}
	r.acts.Forget(lookOf(d))
	r.later(d, settling)
}

// unseen says what it means that there is no look yet, or that it failed.
func (r *deployers) unseen(d *v1alpha1.Deployer, err error) error {
	if errors.Is(err, work.ErrInProgress) {
		if running(d).Outcome == v1alpha1.OutcomePending {
			return waiting(v1alpha1.ReasonProgressing, safety, errors.New("the health of what was deployed is being looked at"))
		}
		return nil
	}
	return failed(v1alpha1.ReasonApplyFailed, fmt.Errorf("look at what was deployed: %w", err))
}

// period says when what runs is looked at again.
func (r *deployers) period(d *v1alpha1.Deployer, watched bool) time.Duration {
	switch {
	case running(d).Outcome == v1alpha1.OutcomePending:
		return gatePeriod
	case meta.IsStatusConditionFalse(d.Status.Conditions, v1alpha1.ConditionHealthy):
		return illPeriod
	case watched:
		return watchedPeriod
	}
	return idle
}

// later wakes a Deployer after some time.
func (r *deployers) later(d *v1alpha1.Deployer, after time.Duration) {
	if r.queue != nil {
		r.queue.AddAfter(ctrl.Request{NamespacedName: askerFor(d).key}, after)
	}
}

// looking looks at what runs.
func (r *deployers) looking(d *v1alpha1.Deployer, dep *deputy) func(context.Context) (*look, int64, error) {
	return func(ctx context.Context) (*look, int64, error) {
		seen := &look{after: r.watches.seen(d.Name)}
		var refs []apply.Ref
		for _, o := range d.Status.Deployed {
			refs = append(refs, refOf(o))
		}
		var err error
		if d.Spec.HealthGate != nil {
			if seen.health, err = dep.cluster.Health(ctx, refs); err != nil {
				return nil, 0, err
			}
		}
		if d.Spec.Drift == v1alpha1.DriftIgnore {
			return seen, doneBytes, nil
		}
		k, err := r.unpack(ctx, d, running(d))
		if err != nil {
			seen.unwatched = err.Error()
			return seen, doneBytes, nil //nolint:nilerr // the status tells it
		}
		seen.drift, err = dep.cluster.Drift(ctx, r.set(ctx, &job{d: d, dep: dep, kept: *k}))
		return seen, doneBytes + int64(len(seen.drift)+len(seen.health))*doneBytes/4, err
	}
}

// gate judges the health of what runs, and goes back to the last good revision if that is asked for.
func (r *deployers) gate(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, seen *look) error {
	g, rev := d.Spec.HealthGate, running(d)
	if g == nil {
		meta.RemoveStatusCondition(&d.Status.Conditions, v1alpha1.ConditionHealthy)
		d.Status.Unhealthy = nil
		if rev.Outcome == v1alpha1.OutcomePending {
			rev.Outcome = v1alpha1.OutcomeGood
		}
		return nil
	}
	ill, hopeless := ills(seen.health)
	d.Status.Unhealthy = ill[:min(len(ill), maxUnhealthy)]
	if len(ill) == 0 {
		rev.Outcome, rev.Message = v1alpha1.OutcomeGood, ""
		set(d, v1alpha1.ConditionHealthy, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, fmt.Sprintf("%d objects are healthy", len(seen.health)))
		return nil
	}
	text := fmt.Sprintf("%d of %d objects are not healthy: %s", len(ill), len(seen.health), strings.Join(ill[:min(len(ill), 3)], "; "))
	if rev.Outcome == v1alpha1.OutcomePending && !hopeless && r.now().Before(rev.Time.Add(timeout(g))) {
		set(d, v1alpha1.ConditionHealthy, metav1.ConditionFalse, v1alpha1.ReasonProgressing, text)
		return waiting(v1alpha1.ReasonProgressing, gatePeriod, errors.New(text))
	}
	set(d, v1alpha1.ConditionHealthy, metav1.ConditionFalse, v1alpha1.ReasonUnhealthy, text)
	if rev.Outcome == v1alpha1.OutcomeGood { // it was healthy once: the condition tells, and what is deployed stays
		return nil
	}
	rev.Outcome, rev.Message = v1alpha1.OutcomeFailed, clipped(text)
	return r.giveUp(ctx, d, dep, waiting(v1alpha1.ReasonUnhealthy, illPeriod, fmt.Errorf("spec.healthGate: revision %d, %s:%s: not healthy within %v: %s",
		rev.Revision, rev.Component, rev.Version, timeout(g), text)))
}

// giveUp goes back to the last good revision, if there is one and it is asked for. why is the outcome otherwise.
func (r *deployers) giveUp(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, why error) error {
	rev := current(d)
	if g := d.Spec.HealthGate; g == nil || g.OnFailure != v1alpha1.FailureRollback || rev.RollbackOf != 0 {
		return why
	}
	i := slices.IndexFunc(d.Status.History, func(other v1alpha1.Revision) bool { return isGood(other) && other.Input != rev.Input })
	if i < 0 {
		return why
	}
	r.event(d, corev1.EventTypeWarning, v1alpha1.ReasonUnhealthy, why.Error())
	return r.revert(ctx, d, dep, &d.Status.History[i], "")
}

// defaultGate is the timeout of a health gate that names none.
const defaultGate = 5 * time.Minute

func timeout(g *v1alpha1.HealthGate) time.Duration {
	if g.Timeout.Duration <= 0 {
		return defaultGate
	}
	return g.Timeout.Duration
}

// ills names what is not healthy; hopeless says that something of it will not become healthy by waiting.
func ills(all []apply.Health) (ill []string, hopeless bool) {
	for _, h := range all {
		if !h.Healthy {
			ill = append(ill, clipped(h.Ref.String()+": "+h.Message))
			hopeless = hopeless || h.Failed
		}
	}
	return ill, hopeless
}
