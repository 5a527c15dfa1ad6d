// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ocm"
	"ocm/deploy/expression"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// resources reconciles Resource objects: it finds a resource below the version of a Component, compares its content with what the signatures
// cover, and publishes where it is.
type resources struct {
	*base
	expressions *expression.Evaluator
	// What is asked of an answer, always by the pool.
	locate func(context.Context, *resolve.Answer, v1alpha1.ResourceReference) (*resolve.Resource, error)
	check  func(context.Context, *resolve.Resource) error
}

// addResource registers the controller of Resource objects.
func (b *base) addResource() error {
	r, err := newResources(b)
	if err != nil {
		return err
	}
	return b.controller(&v1alpha1.Resource{}, b.options.ResourceConcurrency).
		Watches(&v1alpha1.Component{}, b.childrenOf(v1alpha1.KindResource), builder.WithPredicates(told())).
		Watches(&v1alpha1.Deployer{}, b.parentOf(v1alpha1.KindResource), builder.WithPredicates(left())).
		Complete(reconcile.Func(r.Reconcile))
}

func newResources(b *base) (*resources, error) {
	expressions, err := expression.New("resource")
	if err != nil {
		return nil, err
	}
	return &resources{
		base: b, expressions: expressions,
		locate: locateResource, check: func(ctx context.Context, found *resolve.Resource) error { return found.Check(ctx) },
	}, nil
}

// Reconcile looks at one Resource.
func (r *resources) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1alpha1.Resource{}
	if found, err := r.fetch(ctx, req, obj); !found {
		return ctrl.Result{}, err
	}
	return r.settle(ctx, obj, func(ctx context.Context) (time.Duration, error) { return 0, r.reconcile(ctx, obj) })
}

// reconcile is the list of steps. Nothing of the status changes before all of them succeeded: what was published holds, and
// the Ready condition says that it is not confirmed.
func (r *resources) reconcile(ctx context.Context, obj *v1alpha1.Resource) error {
	if done, err := r.guard(ctx, obj, v1alpha1.FinalizerResource, r.children(obj)); done || err != nil {
		return err
	}
	s := &resourceSearch{}
	for _, step := range []func(context.Context, *v1alpha1.Resource, *resourceSearch) error{r.component, r.place, r.find, r.compare, r.publish} {
		if err := step(ctx, obj, s); err != nil {
			return err
		}
	}
	return nil
}

// resourceSearch is what the steps find out.
type resourceSearch struct {
	component *v1alpha1.Component
	at        resolve.Place
	question  resolve.Question
	found     *resolve.Resource
}

// component reads the Component. It must be ready and its version not refused.
func (r *resources) component(ctx context.Context, obj *v1alpha1.Resource, s *resourceSearch) error {
	s.component = &v1alpha1.Component{}
	key := types.NamespacedName{Namespace: obj.Namespace, Name: obj.Spec.ComponentRef.Name}
	unready := r.parent(ctx, "spec.componentRef", key, s.component)
	if v := s.component.Status.Verification; v != nil && v.Verdict == v1alpha1.Refused {
		return waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("spec.componentRef: the version of Component %s is refused: %w: %s", key, ocm.ErrSignature, v.Message))
	}
	if unready != nil {
		return unready
	}
	if info := s.component.Status.Component; info == nil || info.RepositorySpec == nil || info.Digest == nil || info.Digest.Value == "" {
		return waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("spec.componentRef: Component %s has no version with a digest yet", key))
	}
	return nil
}

// place says where to look, and for what: the very version that the Component found, by its digest.
func (r *resources) place(ctx context.Context, obj *v1alpha1.Resource, s *resourceSearch) error {
	config, err := r.configure(ctx, obj, obj.Namespace, s.component)
	if err != nil {
		return err
	}
	s.at.Config = config
	info := s.component.Status.Component
	if err := s.at.Repository.UnmarshalJSON(info.RepositorySpec.Raw); err != nil {
		return stalled(v1alpha1.ReasonGetRepositoryFailed, fmt.Errorf("status.component.repositorySpec of %s: %w: %w", nameOf(s.component), err, ocm.ErrInvalid))
	}
	s.question = resolve.Question{Component: info.Component, Version: info.Version,
		Digest: &ocm.Digest{HashAlgorithm: info.Digest.HashAlgorithm, NormalisationAlgorithm: info.Digest.NormalisationAlgorithm, Value: info.Digest.Value}}
	return nil
}

// publish writes into the status what was found.
func (r *resources) publish(ctx context.Context, obj *v1alpha1.Resource, s *resourceSearch) error {
	status, err := r.tellAbout(ctx, obj, s)
	if err != nil {
		return err
	}
	status.Status = obj.Status.Status
	obj.Status = *status
	return nil
}

// notFound says what becomes of a search that failed. What is not there in a version that is known by its digest will never be there.
func notFound(err error) error {
	if errors.Is(err, ocm.ErrNotFound) || errors.Is(err, ocm.ErrInvalid) || errors.Is(err, ocm.ErrLimit) {
		reason := v1alpha1.ReasonGetOCMResourceFailed
		if errors.Is(err, resolve.ErrReference) {
			reason = v1alpha1.ReasonGetReferenceFailed
		}
		return stalled(reason, fmt.Errorf("spec.resource.byReference: %w", err))
	}
	return failed(v1alpha1.ReasonGetOCMResourceFailed, err)
}
