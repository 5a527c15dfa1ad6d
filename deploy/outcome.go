// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// outcome is an error that says what happens with the object now.
type outcome struct {
	kind   kind
	reason string
	after  time.Duration // 0: with growing pauses, or not at all
	err    error
}

type kind int

const (
	// again: it may work the next time, without anybody doing anything.
	again kind = iota
	// stalls: somebody has to change the spec, or what it names.
	stalls
	// waits: a watch or the pool wakes the object.
	waits
)

func (o *outcome) Error() string { return o.err.Error() }
func (o *outcome) Unwrap() error { return o.err }

// failed is tried again with growing pauses. It is for everything that can get well while the object stays as it is: nobody watches
// registries, or Secrets.
func failed(reason string, err error) error { return &outcome{kind: again, reason: reason, err: err} }

// stalled is not tried again before the object, or one that it refers to, changes.
func stalled(reason string, err error) error {
	return &outcome{kind: stalls, reason: reason, err: err}
}

// stalledFor is stalled, and looked at again after the given time: what is wrong is in a place that is looked at now and then.
func stalledFor(reason string, after time.Duration, err error) error {
	return &outcome{kind: stalls, reason: reason, after: after, err: err}
}

// waiting is continued when something else happens; it is looked at again after the given time even if not.
func waiting(reason string, after time.Duration, err error) error {
	return &outcome{kind: waits, reason: reason, after: after, err: err}
}

// asked is the outcome of an error of the pool: in progress, or what it was otherwise.
func asked(err error, otherwise func(error) error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, work.ErrInProgress) {
		return waiting(v1alpha1.ReasonResolutionInProgress, safety, err)
	}
	if errors.Is(err, work.ErrFull) {
		return waiting(v1alpha1.ReasonResolutionInProgress, jitter(patience), err)
	}
	return otherwise(err)
}

const (
	// safety is when an object is looked at again that nobody woke.
	safety = 5 * time.Minute
	// soon is when an object is looked at again that somebody else changed in the meantime.
	soon = 500 * time.Millisecond
	// patience is how long the pool has for an answer before the object says that it waits: most answers come sooner, and each word
	// is a write.
	patience = 2 * time.Second
	// The first and the longest pause between two attempts.
	firstPause, longestPause = time.Second, 2 * time.Minute
)

// object is what every kind is.
type object interface {
	client.Object
	v1alpha1.Object
}

// fetch reads the object of a request. What is gone is forgotten.
func (b *base) fetch(ctx context.Context, req ctrl.Request, obj object) (found bool, err error) {
	err = b.GetClient().Get(ctx, req.NamespacedName, obj)
	if apierrors.IsNotFound(err) {
		gone := asker{kind: kindOf(obj), key: req.NamespacedName}
		b.attempts.forget(gone)
		b.written.forget(gone)
		return false, nil
	}
	return err == nil, err
}

// settle runs the steps of an object and writes what came of them into its status, in one request, and only if it changed.
// steps returns when to look again. What a step leaves unwrapped are errors of writes to the object itself: if it was changed or deleted
// in the meantime, it is looked at again, without a word.
func (b *base) settle(ctx context.Context, obj object, steps func(context.Context) (time.Duration, error)) (ctrl.Result, error) {
	if obj.Suspended() && obj.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, nil
	}
	if b.written.outdated(obj) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	read := obj.GetResourceVersion()
	before := obj.DeepCopyObject().(object)
	after, err := steps(ctx)
	var o *outcome
	if err != nil && !errors.As(err, &o) {
		if result, ok := overtaken(obj, err); ok {
			return result, nil
		}
		o = &outcome{kind: again, reason: v1alpha1.ReasonProgressingWithRetry, err: err}
	}
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // the controller stops: that says nothing of the object
	}
	if !obj.GetDeletionTimestamp().IsZero() && len(obj.GetFinalizers()) == 0 {
		b.attempts.forget(askerFor(obj))
		b.written.forget(askerFor(obj))
		return ctrl.Result{}, nil
	}
	result := b.judge(obj, after, o)
	if sameStatus(before, obj) {
		return result, nil
	}
	patch, err := statusPatch(before, obj)
	if err != nil || patch == nil {
		return result, err
	}
	last := obj.GetResourceVersion()
	if err := b.GetClient().Status().Patch(ctx, obj, patch); err != nil {
		b.attempts.forget(askerFor(obj)) // it is done again soon, and often while the API server is away: none of that is the object's failure
		if result, ok := overtaken(obj, err); ok {
			return result, nil
		}
		return ctrl.Result{}, err
	}
	b.written.over(obj, read, last)
	b.tell(ctx, before, obj)
	return result, nil
}

// statusPatch writes what changed of the status, and nothing else: an object to which a finalizer was added came back with all that the API
// server knows of it. It is nil if nothing changed: that is a matter of what JSON says, not of how it is written, because the API server
// sorts the members of specifications. The status is computed from the one that was read: if that was not the last one, the API server
// refuses it, and it is done again.
func statusPatch(before, after object) (client.Patch, error) {
	after.SetManagedFields(before.GetManagedFields())
	data, err := client.MergeFrom(before).Data(after)
	if err != nil {
		return nil, err
	}
	var patch struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Status json.RawMessage `json:"status,omitempty"`
	}
	if err := json.Unmarshal(data, &patch); err != nil || patch.Status == nil {
		return nil, err
	}
	patch.Metadata.ResourceVersion = after.GetResourceVersion()
	data, err = json.Marshal(patch)
	return client.RawPatch(types.MergePatchType, data), err
}

// overtaken reports whether a write to an object failed because it is not as it was read, and what follows.
func overtaken(obj object, err error) (ctrl.Result, bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return ctrl.Result{}, false
	}
	if d := status.Status().Details; d == nil || d.Name != obj.GetName() || d.Group != v1alpha1.Group {
		return ctrl.Result{}, false // it is about another object
	}
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: soon}, true
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, true
	}
	return ctrl.Result{}, false
}

// judge turns the outcome of the steps, nil if they succeeded, into conditions, and into when the controller looks next.
func (b *base) judge(obj object, after time.Duration, o *outcome) ctrl.Result {
	status, who := obj.Common(), askerFor(obj)
	if o == nil {
		b.attempts.forget(who)
		set(obj, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, summary(obj))
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciling)
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
		status.ObservedGeneration = obj.GetGeneration()
		return ctrl.Result{RequeueAfter: after}
	}
	if o.kind == waits && o.reason == v1alpha1.ReasonResolutionInProgress {
		if holds(obj) {
			return ctrl.Result{RequeueAfter: o.after}
		}
		if rest := patience - b.attempts.asking(who, b.now()); rest > 0 {
			return ctrl.Result{RequeueAfter: rest}
		}
	}
	if o.kind != waits && b.failures != nil {
		b.failures.WithLabelValues(strings.ToLower(who.kind)).Inc()
	}
	set(obj, v1alpha1.ConditionReady, metav1.ConditionFalse, o.reason, o.Error())
	status.ObservedGeneration = obj.GetGeneration()
	if o.kind == stalls {
		b.attempts.forget(who)
		set(obj, v1alpha1.ConditionStalled, metav1.ConditionTrue, o.reason, o.Error())
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciling)
		return ctrl.Result{RequeueAfter: o.after}
	}
	set(obj, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressingWithRetry, o.Error())
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
	if o.kind == again && o.after == 0 {
		return ctrl.Result{RequeueAfter: b.attempts.pause(who, obj.GetGeneration())}
	}
	return ctrl.Result{RequeueAfter: o.after}
}

// holds reports whether what the conditions say about the object as it is specified now stands until there is an answer: looking whether
// there is something new is no news, neither for what is ready nor for what failed.
func holds(obj object) bool {
	ready := meta.FindStatusCondition(obj.Common().Conditions, v1alpha1.ConditionReady)
	if ready == nil || obj.Common().ObservedGeneration != obj.GetGeneration() {
		return false
	}
	switch ready.Reason {
	case v1alpha1.ReasonResolutionInProgress, v1alpha1.ReasonResourceIsNotAvailable, v1alpha1.ReasonComponentDriftResolutionInProgress:
		return false // it waited for something that is there now
	}
	return true
}

// isReady reports whether an object is ready as it is specified now.
func (b *base) isReady(obj object) bool {
	return obj.Common().ObservedGeneration == obj.GetGeneration() && meta.IsStatusConditionTrue(obj.Common().Conditions, v1alpha1.ConditionReady)
}

// set sets a condition and reports whether it changed.
func set(obj object, typ string, status metav1.ConditionStatus, reason, message string) bool {
	return meta.SetStatusCondition(&obj.Common().Conditions, metav1.Condition{
		Type: typ, Status: status, Reason: reason, Message: clip(message, MaxMessage), ObservedGeneration: obj.GetGeneration()})
}

func (b *base) now() time.Time { return b.options.Env.Time() }
