// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"ocm/deploy/apply"
	"ocm/deploy/v1alpha1"
)

// The first and the longest pause between two repairs of an object that is changed again and again.
const (
	firstRepairPause   = 10 * time.Second
	longestRepairPause = time.Hour
)

// repairs remembers what was repaired, so that two who want different things of an object do not fight at full speed. It is memory of the
// process only.
type repairs struct {
	mu  sync.Mutex
	all map[types.UID]map[apply.Ref]repair
}

type repair struct {
	last  time.Time
	pause time.Duration
}

// due returns those that may be repaired now, and says when the next may be.
func (x *repairs) due(id types.UID, refs []apply.Ref, now time.Time) (due []apply.Ref, next time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	next = longestRepairPause
	for _, ref := range refs {
		ref.UID = ""
		was := x.all[id][ref]
		since := now.Sub(was.last)
		if since < was.pause {
			next = min(next, was.pause-since)
			continue
		}
		due = append(due, ref)
	}
	return due, next
}

// begun notes that objects are being repaired.
func (x *repairs) begun(id types.UID, refs []apply.Ref, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all == nil {
		x.all = map[types.UID]map[apply.Ref]repair{}
	}
	if x.all[id] == nil {
		x.all[id] = map[apply.Ref]repair{}
	}
	for _, ref := range refs {
		was := x.all[id][ref]
		pause := min(max(2*was.pause, firstRepairPause), longestRepairPause)
		if now.Sub(was.last) > 4*pause {
			pause = firstRepairPause
		}
		x.all[id][ref] = repair{last: now, pause: pause}
	}
}

func (x *repairs) forget(id types.UID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.all, id)
}

// drifted does what the policy says with objects that somebody else changed.
func (r *deployers) drifted(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, seen *look, repair bool) error {
	switch {
	case d.Spec.Drift == v1alpha1.DriftIgnore:
		d.Status.Conditions = without(d.Status.Conditions, v1alpha1.ConditionDrifted)
		return nil
	case seen.unwatched != "":
		set(d, v1alpha1.ConditionDrifted, metav1.ConditionUnknown, v1alpha1.ReasonProgressingWithRetry, "nothing to compare with: "+seen.unwatched)
		return nil
	case len(seen.drift) == 0:
		set(d, v1alpha1.ConditionDrifted, metav1.ConditionFalse, v1alpha1.ReasonSucceeded, "all objects are as they were deployed")
		return nil
	}
	var names []string
	for _, ref := range seen.drift[:min(len(seen.drift), maxUnhealthy)] {
		names = append(names, ref.String())
	}
	text := fmt.Sprintf("%d objects are not as they were deployed: %s", len(seen.drift), strings.Join(names, ", "))
	if set(d, v1alpha1.ConditionDrifted, metav1.ConditionTrue, v1alpha1.ReasonDriftDetected, text) {
		r.event(d, corev1.EventTypeWarning, v1alpha1.ReasonDriftDetected, text)
	}
	if d.Spec.Drift == v1alpha1.DriftReport || !repair {
		return nil
	}
	due, next := r.repairs.due(d.UID, seen.drift, r.now())
	if len(due) == 0 {
		r.later(d, next)
		return nil
	}
	return r.repair(ctx, d, dep, due)
}

// repair applies objects again as they were deployed.
func (r *deployers) repair(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, refs []apply.Ref) error {
	rev := *running(d)
	meanwhile := waiting(v1alpha1.ReasonResolutionInProgress, safety, errors.New("objects that somebody else changed are being repaired"))
	return r.act(ctx, d, meanwhile, func(ctx context.Context, d *v1alpha1.Deployer) *done {
		r.repairs.begun(d.UID, refs, r.now())
		j := &job{d: d, dep: dep, rev: rev}
		k, err := r.unpack(ctx, d, &rev)
		if err != nil {
			return &done{err: lost(fmt.Errorf("repair: %w", err))}
		}
		j.kept = *k
		s := r.set(ctx, j)
		s.Prune, s.Objects = false, only(s.Objects, refs)
		a, err := dep.cluster.Apply(ctx, s)
		if err != nil {
			return &done{err: r.refused(j, fmt.Errorf("repair: %w", err))}
		}
		text := fmt.Sprintf("%d objects were repaired: %s", len(refs), refs[0])
		return &done{tell: func(d *v1alpha1.Deployer) {
			deployed(d, a, false)
			r.event(d, corev1.EventTypeNormal, v1alpha1.ReasonDriftRepaired, text)
		}}
	})
}

// only picks the objects that are named.
func only(objects []*unstructured.Unstructured, refs []apply.Ref) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, o := range objects {
		for _, ref := range refs {
			if ref.Kind == o.GetKind() && ref.Name == o.GetName() && ref.APIVersion == o.GetAPIVersion() &&
				(o.GetNamespace() == "" || ref.Namespace == "" || ref.Namespace == o.GetNamespace()) {
				all = append(all, o)
				break
			}
		}
	}
	return all
}

func without(all []metav1.Condition, typ string) []metav1.Condition {
	var rest []metav1.Condition
	for _, c := range all {
		if c.Type != typ {
			rest = append(rest, c)
		}
	}
	return rest
}
