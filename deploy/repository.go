// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// repositories makes sure that repositories answer.
type repositories struct{ *base }

// addRepository registers the controller of Repository objects.
func (b *base) addRepository() error {
	deleted := b.parentOf(v1alpha1.KindRepository)
	return b.controller(&v1alpha1.Repository{}, 0).
		Watches(&v1alpha1.Component{}, deleted, builder.WithPredicates(left())).
		Watches(&v1alpha1.Replication{}, deleted, builder.WithPredicates(left())).
		Complete(&repositories{b})
}

// Reconcile looks at one of them.
func (r *repositories) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1alpha1.Repository{}
	if found, err := r.fetch(ctx, req, obj); !found {
		return ctrl.Result{}, err
	}
	return r.settle(ctx, obj, func(ctx context.Context) (time.Duration, error) { return r.steps(ctx, obj) })
}

func (r *repositories) steps(ctx context.Context, obj *v1alpha1.Repository) (time.Duration, error) {
	if done, err := r.guard(ctx, obj, v1alpha1.FinalizerRepository, r.children(obj)); done || err != nil {
		return 0, err
	}
	interval, err := between(obj.Spec.Interval.Duration)
	if err != nil {
		return 0, err
	}
	config, err := r.configure(ctx, obj, obj.Namespace)
	if err != nil {
		return 0, err
	}
	place, err := placeOf(obj, config)
	if err != nil {
		return 0, stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.repositorySpec: %w", err))
	}
	return jitter(interval), r.ping(obj, place, interval)
}

// ping asks the repository whether it is there.
func (r *repositories) ping(obj *v1alpha1.Repository, place resolve.Place, interval time.Duration) error {
	_, err := work.Ask(r.pool, work.Task[bool]{
		Key: question{what: "ping", place: place.Key(), again: again64(obj)}, Lane: place.Lane(), MaxAge: freshFor(interval),
		Run: func(ctx context.Context) (bool, int64, error) { return true, smallAnswer, r.resolver.Ping(ctx, place) },
	}, askerFor(obj))
	return asked(err, func(err error) error {
		switch {
		case errors.Is(err, ocm.ErrInvalid), errors.Is(err, ocm.ErrUnknownType):
			return stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.repositorySpec: %w", err))
		case errors.Is(err, ocm.ErrDenied):
			return failed(v1alpha1.ReasonGetRepositoryFailed, fmt.Errorf("%w; spec.ocmConfig says which credentials are used", err))
		}
		return failed(v1alpha1.ReasonGetRepositoryFailed, err)
	})
}

// placeOf is a repository as seen with a configuration. [ocm.ErrInvalid] if its specification is none.
func placeOf(repo *v1alpha1.Repository, config *resolve.Config) (resolve.Place, error) {
	if repo.Spec.RepositorySpec == nil {
		return resolve.Place{}, fmt.Errorf("%w: it is missing", ocm.ErrInvalid)
	}
	spec, err := repositorySpec(repo.Spec.RepositorySpec.Raw)
	return resolve.Place{Repository: spec, Config: config}, err
}

// maxSpec bounds the specification of a repository, in bytes.
const maxSpec = 16 << 10

func repositorySpec(raw []byte) (ocm.Spec, error) {
	var spec ocm.Spec
	if len(raw) > maxSpec {
		return spec, fmt.Errorf("%w: %d bytes, at most %d are read", ocm.ErrLimit, len(raw), maxSpec)
	}
	if err := spec.UnmarshalJSON(raw); err != nil {
		return spec, fmt.Errorf("%w: it is not an object with a type: %w", ocm.ErrInvalid, err)
	}
	if spec.Type == "" {
		return spec, fmt.Errorf("%w: it has no type, such as OCIRegistry", ocm.ErrInvalid)
	}
	return spec, nil
}
