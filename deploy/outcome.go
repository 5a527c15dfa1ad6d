// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// failed is tried again with growing pauses.
func failed(reason string, err error) error { return &outcome{kind: again, reason: reason, err: err} }

// stalled is not tried again before the object, or what it refers to, changes.
func stalled(reason string, err error) error {
	return &outcome{kind: stalls, reason: reason, err: err}
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
	return otherwise(err)
}

// safety is when an object is looked at again that nobody woke.
const safety = 5 * time.Minute

// object is what every kind is.
type object interface {
	client.Object
	v1alpha1.Object
}

// settle runs the steps of an object and writes what came of them into its status, in one request, and only if it changed.
// steps returns when to look again.
func (b *base) settle(ctx context.Context, obj object, steps func(context.Context) (time.Duration, error)) (ctrl.Result, error) {
	if obj.Suspended() && obj.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, nil
	}
	before := obj.DeepCopyObject().(object)
	after, err := steps(ctx)
	result, err := b.judge(obj, after, err)
	if gone := !obj.GetDeletionTimestamp().IsZero() && len(obj.GetFinalizers()) == 0; gone || apiequality.Semantic.DeepEqual(before.Common(), obj.Common()) && sameStatus(before, obj) {
		return result, err
	}
	return result, errors.Join(err, client.IgnoreNotFound(b.GetClient().Status().Patch(ctx, obj, client.MergeFrom(before))))
}

// sameStatus compares all of the status.
func sameStatus(a, b object) bool {
	switch a := a.(type) {
	case *v1alpha1.Repository:
		return apiequality.Semantic.DeepEqual(a.Status, b.(*v1alpha1.Repository).Status)
	case *v1alpha1.Component:
		return apiequality.Semantic.DeepEqual(a.Status, b.(*v1alpha1.Component).Status)
	case *v1alpha1.Resource:
		return apiequality.Semantic.DeepEqual(a.Status, b.(*v1alpha1.Resource).Status)
	case *v1alpha1.Deployer:
		return apiequality.Semantic.DeepEqual(a.Status, b.(*v1alpha1.Deployer).Status)
	case *v1alpha1.Replication:
		return apiequality.Semantic.DeepEqual(a.Status, b.(*v1alpha1.Replication).Status)
	}
	return false
}

// judge turns the error of the steps into conditions, and into what the controller does next.
func (b *base) judge(obj object, after time.Duration, err error) (ctrl.Result, error) {
	status := obj.Common()
	if err == nil {
		b.mark(obj, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "")
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciling)
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
		status.ObservedGeneration = obj.GetGeneration()
		return ctrl.Result{RequeueAfter: after}, nil
	}
	var o *outcome
	if !errors.As(err, &o) {
		o = &outcome{kind: again, reason: v1alpha1.ReasonProgressingWithRetry, err: err}
	}
	if o.kind == waits && o.reason == v1alpha1.ReasonResolutionInProgress && b.isReady(obj) {
		return ctrl.Result{RequeueAfter: o.after}, nil // it looks whether there is something new; what was, holds
	}
	b.mark(obj, metav1.ConditionFalse, o.reason, err.Error())
	status.ObservedGeneration = obj.GetGeneration()
	if o.kind == stalls {
		set(obj, v1alpha1.ConditionStalled, metav1.ConditionTrue, o.reason, err.Error())
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciling)
		return ctrl.Result{}, nil
	}
	set(obj, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonProgressingWithRetry, err.Error())
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
	if o.kind == waits || o.after > 0 {
		return ctrl.Result{RequeueAfter: o.after}, nil
	}
	return ctrl.Result{}, err
}

// isReady reports whether an object is ready as it is specified now.
func (b *base) isReady(obj object) bool {
	return obj.Common().ObservedGeneration == obj.GetGeneration() && meta.IsStatusConditionTrue(obj.Common().Conditions, v1alpha1.ConditionReady)
}

// mark sets the Ready condition, and tells an event if that is news.
func (b *base) mark(obj object, status metav1.ConditionStatus, reason, message string) {
	if !set(obj, v1alpha1.ConditionReady, status, reason, message) || reason == v1alpha1.ReasonResolutionInProgress {
		return
	}
	severity := corev1.EventTypeNormal
	if status != metav1.ConditionTrue {
		severity = corev1.EventTypeWarning
	}
	b.event(obj, severity, reason, message)
}

// event tells something to those who look at the object.
func (b *base) event(obj object, severity, reason, message string) {
	b.GetEventRecorder("ocm-controller").Eventf(obj, nil, severity, reason, "Reconcile", "%s", message)
}

// MaxMessage bounds the message of a condition, in bytes.
const MaxMessage = 4096

// set sets a condition and reports whether it changed.
func set(obj object, typ string, status metav1.ConditionStatus, reason, message string) bool {
	if len(message) > MaxMessage {
		message = message[:MaxMessage] + " …"
	}
	return meta.SetStatusCondition(&obj.Common().Conditions, metav1.Condition{
		Type: typ, Status: status, Reason: reason, Message: message, ObservedGeneration: obj.GetGeneration()})
}
