// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm/deploy/v1alpha1"
)

// Bounds of what is told, in bytes.
const (
	// MaxMessage of a condition.
	MaxMessage = 4096
	// MaxNote of an event; the API server takes no more.
	MaxNote = 1024
)

// tell makes an event and a line of the log of what is news between two states: another verdict or reason, or another thing that is ready.
// The first time that something is only known and ready is in the log alone.
// That an attempt failed in other words than the one before is no news.
func (b *base) tell(ctx context.Context, before, after object) {
	was := meta.FindStatusCondition(before.Common().Conditions, v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(after.Common().Conditions, v1alpha1.ConditionReady)
	if is == nil || is.Reason == v1alpha1.ReasonResolutionInProgress {
		return
	}
	ready := is.Status == metav1.ConditionTrue
	if was != nil && was.Status == is.Status && was.Reason == is.Reason && (!ready || was.Message == is.Message) {
		return
	}
	severity := corev1.EventTypeWarning
	if ready || slices.Contains(ordinary(), is.Reason) {
		severity = corev1.EventTypeNormal
	}
	ctrl.LoggerFrom(ctx).Info("settled", "ready", ready, "reason", is.Reason, "message", is.Message)
	if ready && wasUnsettled(was) && !actsOnClusters(after) {
		return
	}
	b.event(after, severity, is.Reason, is.Message)
}

// wasUnsettled reports whether nothing was said of an object yet, or only that it waits. That it is ready then is in its columns: an event
// for each would be a third of all that an API server is asked when ten thousand objects are new.
func wasUnsettled(was *metav1.Condition) bool {
	return was == nil || was.Status != metav1.ConditionTrue && (was.Reason == v1alpha1.ReasonResolutionInProgress || slices.Contains(ordinary(), was.Reason))
}

// actsOnClusters reports whether that an object is ready means that something was changed elsewhere.
func actsOnClusters(obj object) bool {
	switch obj.(type) {
	case *v1alpha1.Deployer, *v1alpha1.Replication:
		return true
	}
	return false
}

// ordinary are the reasons for not being ready that nobody needs to worry about.
func ordinary() []string {
	return []string{v1alpha1.ReasonTransferInProgress, v1alpha1.ReasonProgressing, v1alpha1.ReasonResourceIsNotAvailable, v1alpha1.ReasonDependencyNotReady,
		v1alpha1.ReasonComponentDriftResolutionInProgress, v1alpha1.ReasonDryRun}
}

// event tells something to those who look at the object.
func (b *base) event(obj object, severity, reason, message string) {
	b.GetEventRecorder("ocm-controller").Eventf(obj, nil, severity, reason, "Reconcile", "%s", clip(message, MaxNote))
}

// clip makes text fit for a status: valid, in one line, of at most n bytes. (What the API server would change when it stores it would
// be a difference at each look.) Registries and descriptors have a say in it, and people see it in terminals: nothing is left in it that
// moves a cursor, or turns the direction of what is read.
func clip(s string, n int) string {
	const more = " …"
	if len(s) > 4*n { // it is not read further than it is shown
		s = s[:4*n]
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(s), "\uFFFD"), "\n", "; ")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return '\uFFFD'
		}
		return r
	}, s)
	if len(s) <= n {
		return s
	}
	end := n - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}

// summary is what the Ready condition says of an object that is ready.
func summary(obj object) string {
	switch o := obj.(type) {
	case *v1alpha1.Repository:
		return "the repository answers"
	case *v1alpha1.Component:
		if c := o.Status.Component; c != nil {
			return fmt.Sprintf("%s:%s, %s", c.Component, c.Version, verdict(o.Status.Verification))
		}
	case *v1alpha1.Resource:
		if r := o.Status.Resource; r != nil {
			return fmt.Sprintf("%s %s, %s", r.Name, r.Version, verdict(o.Status.Verification))
		}
	case *v1alpha1.Deployer:
		return fmt.Sprintf("revision %d: %d objects", o.Status.Revision, len(o.Status.Deployed))
	case *v1alpha1.Replication:
		if c := o.Status.Component; c != nil {
			return fmt.Sprintf("%s:%s is at the target", c.Component, o.Status.LastTransferredVersion)
		}
	}
	return "done"
}

// verdict says in words who vouches for a version.
func verdict(v *v1alpha1.VerificationStatus) string {
	if v == nil || v.Verdict != v1alpha1.Verified {
		return "not verified"
	}
	var by []string
	for _, s := range v.Signatures {
		by = append(by, s.Name)
	}
	return "verified by signature " + strings.Join(by, ", ")
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

// kindOf names the kind: objects that come from the cache do not say it themselves.
func kindOf(obj client.Object) string {
	switch obj.(type) {
	case *v1alpha1.Repository:
		return v1alpha1.KindRepository
	case *v1alpha1.Component:
		return v1alpha1.KindComponent
	case *v1alpha1.Resource:
		return v1alpha1.KindResource
	case *v1alpha1.Deployer:
		return v1alpha1.KindDeployer
	case *v1alpha1.Replication:
		return v1alpha1.KindReplication
	}
	return ""
}

// nameOf names an object in messages.
func nameOf(obj client.Object) string {
	if obj.GetNamespace() == "" {
		return kindOf(obj) + " " + obj.GetName()
	}
	return kindOf(obj) + " " + obj.GetNamespace() + "/" + obj.GetName()
}

// askerFor is the object as one that waits for the pool.
func askerFor(obj client.Object) asker {
	return asker{kind: kindOf(obj), key: client.ObjectKeyFromObject(obj)}
}
