// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

const (
	// transferTimeout bounds a transfer; one that takes longer is begun again, and goes on where it was.
	transferTimeout = 24 * time.Hour
	// progressEvery is how often the progress of a transfer is written.
	progressEvery = 2 * time.Second
	// copiedAge is how long it counts that something was copied: long enough for all who asked for it.
	copiedAge = time.Minute
)

// replications copies component versions. The work is done by a pool of its own, as many at a time as the installation says.
type replications struct {
	*base
	transfers transfers
}

// addReplication registers the controller of Replication objects.
func (b *base) addReplication() error {
	children := b.childrenOf(v1alpha1.KindReplication)
	return b.controller(&v1alpha1.Replication{}, 0).
		Watches(&v1alpha1.Component{}, children, builder.WithPredicates(told())).
		Watches(&v1alpha1.Repository{}, children, builder.WithPredicates(told())).
		Complete(&replications{base: b})
}

// Reconcile looks at one of them.
func (r *replications) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1alpha1.Replication{}
	if found, err := r.fetch(ctx, req, obj); !found {
		return ctrl.Result{}, err
	}
	return r.settle(ctx, obj, func(ctx context.Context) (time.Duration, error) { return 0, r.steps(ctx, obj) })
}

func (r *replications) steps(ctx context.Context, obj *v1alpha1.Replication) error {
	if done, err := r.guard(ctx, obj, v1alpha1.FinalizerReplication, r.children(obj)); done || err != nil {
		return err
	}
	j, err := r.consignment(ctx, obj)
	if err != nil {
		return err
	}
	obj.Status.Component = j.source
	if j.isDone(obj) {
		return nil
	}
	done, err := r.copy(obj, j)
	if err != nil {
		return r.unfinished(obj, j, err)
	}
	status := &obj.Status
	status.LastTransferredVersion, status.LastTransferredDigest, status.LastTarget = done.Version, digestValue(j.source), j.target
	status.LastFailedTransferEvents = nil
	status.Progress = &v1alpha1.TransferProgress{Versions: done.Versions, VersionsDone: done.Versions, Bytes: done.Moved + done.Found, BytesDone: done.Moved + done.Found,
		StartTime: stamp(done.begin), UpdateTime: stamp(done.end)}
	set(obj, v1alpha1.ConditionTransferInProgress, metav1.ConditionFalse, v1alpha1.ReasonTransferComplete,
		fmt.Sprintf("%s:%s is at the target", j.source.Component, done.Version))
	return nil
}

// consignment is what is to be copied.
type consignment struct {
	source *v1alpha1.ComponentInfo
	target string // in words
	copy   resolve.Copy
	key    question
}

// isDone reports whether just that was copied before.
func (j *consignment) isDone(obj *v1alpha1.Replication) bool {
	s := obj.Status
	return s.LastTransferredDigest != "" && s.LastTransferredDigest == digestValue(j.source) && s.LastTransferredVersion == j.source.Version && s.LastTarget == j.target
}

// digestValue is the digest of a component version, empty if there is none.
func digestValue(info *v1alpha1.ComponentInfo) string {
	if info.Digest == nil {
		return ""
	}
	return info.Digest.Value
}

// consignment finds out what is to be copied where to.
func (r *replications) consignment(ctx context.Context, obj *v1alpha1.Replication) (*consignment, error) {
	beside := func(name string) types.NamespacedName {
		return types.NamespacedName{Namespace: obj.Namespace, Name: name}
	}
	var from v1alpha1.Component
	if err := r.parent(ctx, "spec.componentRef.name", beside(obj.Spec.ComponentRef.Name), &from); err != nil {
		return nil, err
	}
	if v := from.Status.Verification; from.Status.Component == nil || from.Status.Component.RepositorySpec == nil || v != nil && v.Verdict == v1alpha1.Refused {
		return nil, waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("spec.componentRef.name: %s has no version that may be used", nameOf(&from)))
	}
	var to v1alpha1.Repository
	if err := r.parent(ctx, "spec.targetRepositoryRef.name", beside(obj.Spec.TargetRepositoryRef.Name), &to); err != nil {
		return nil, err
	}
	config, err := r.configure(ctx, obj, obj.Namespace, &from, &to)
	if err != nil {
		return nil, err
	}
	target, err := placeOf(&to, config)
	if err != nil {
		return nil, waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("spec.repositorySpec of %s: %w", nameOf(&to), err))
	}
	j := &consignment{source: from.Status.Component.DeepCopy(), target: clip(string(target.Repository.Raw), MaxNote), copy: resolve.Copy{Target: target, Tenant: obj.Namespace}}
	spec, err := repositorySpec(j.source.RepositorySpec.Raw)
	if err != nil {
		return nil, failed(v1alpha1.ReasonReplicationFailed, fmt.Errorf("status.component.repositorySpec of %s: %w", nameOf(&from), err))
	}
	j.copy.Source = resolve.Place{Repository: spec, Config: config}
	j.copy.Question = resolve.Question{Component: j.source.Component, Version: j.source.Version}
	if d := j.source.Digest; d != nil {
		j.copy.Question.Digest = &ocm.Digest{HashAlgorithm: d.HashAlgorithm, NormalisationAlgorithm: d.NormalisationAlgorithm, Value: d.Value}
	}
	if j.copy.Question.Demands, err = r.demands(ctx, from.Namespace, from.Spec.Verify); err != nil {
		return nil, waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("spec.componentRef.name: %s: %w", nameOf(&from), err))
	}
	if j.copy.Recursive, j.copy.CopyResources, j.copy.UploadAs, err = config.Transfer(); err != nil {
		return nil, failed(v1alpha1.ReasonGetConfigurationFailed, fmt.Errorf("spec.ocmConfig: %w", err))
	}
	j.key = question{what: "copy", component: j.source.Component, version: j.source.Version, rest: j.copy.Key(), again: again64(obj)}
	return j, nil
}

// copied is a transfer that came to its end.
type copied struct {
	*resolve.Copied
	begin, end time.Time
}

// copy has it copied.
func (r *replications) copy(obj *v1alpha1.Replication, j *consignment) (copied, error) {
	return work.Ask(r.copies, work.Task[copied]{
		Key: j.key, Lane: j.copy.Target.Lane(), Timeout: transferTimeout, MaxAge: copiedAge,
		Kind: work.Kind{Component: j.source.Component, Version: j.source.Version},
		Run: func(ctx context.Context) (copied, int64, error) {
			begin := r.now()
			c := j.copy
			c.Report = r.transfers.begin(j.key, begin)
			defer r.transfers.end(j.key)
			done, err := r.resolver.Copy(ctx, c)
			return copied{done, begin, r.now()}, smallAnswer, err
		},
	}, askerFor(obj))
}

// unfinished says that a transfer is under way, or why it failed.
func (r *replications) unfinished(obj *v1alpha1.Replication, j *consignment, err error) error {
	what := j.source.Component + ":" + j.source.Version
	if errors.Is(err, work.ErrInProgress) || errors.Is(err, work.ErrFull) {
		r.transfers.show(j.key, &obj.Status, r.now())
		set(obj, v1alpha1.ConditionTransferInProgress, metav1.ConditionTrue, v1alpha1.ReasonTransferInProgress, what+" is being copied")
		reason := v1alpha1.ReasonTransferInProgress
		if ready := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Reason == v1alpha1.ReasonReplicationFailed {
			reason = v1alpha1.ReasonResolutionInProgress // that it is tried again is no news: why it failed stands until it is known whether it does again
		}
		return waiting(reason, progressEvery, fmt.Errorf("%s is being copied", what))
	}
	obj.Status.LastFailedTransferEvents = failedEvents(j.source, err)
	set(obj, v1alpha1.ConditionTransferInProgress, metav1.ConditionFalse, v1alpha1.ReasonReplicationFailed, err.Error())
	if refuses(err) {
		return stalledFor(v1alpha1.ReasonVerificationFailed, safety, err)
	}
	return failed(v1alpha1.ReasonReplicationFailed, err)
}
