// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/expression"
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// cluster is what package apply offers.
type cluster interface {
	Check(context.Context, apply.Set) error
	Apply(context.Context, apply.Set) (*apply.Applied, error)
	Diff(context.Context, apply.Set, int) (string, error)
	Drift(context.Context, apply.Set) ([]apply.Ref, error)
	Delete(context.Context, apply.Parent, []apply.Ref) (bool, error)
	Release(context.Context, apply.Parent, []apply.Ref) error
	Health(context.Context, []apply.Ref) ([]apply.Health, error)
}

// deployers reconciles Deployer objects.
//
// What takes time is done by the pool: contents are fetched, and one act at a time changes the objects of a Deployer ([deployers.act]).
// What is wanted ([deployers.want]) and what runs ([deployers.tend]) are judged apart, so that what runs is looked after also while
// the registry, or the Resource, is away.
type deployers struct {
	*base
	acts     *work.Pool // contents, acts and looks
	deputies *deputies
	watches  *watches
	acting   noted
	repairs  repairs
	queue    queue

	version func(context.Context, resolve.Place, resolve.Question) (*resolve.Answer, error)
	locate  func(context.Context, *resolve.Answer, v1alpha1.ResourceReference) (*resolve.Resource, error)
	check   func(context.Context, *resolve.Resource) error
	load    func(context.Context, *resolve.Resource, int64) (*content, error)
	render  func(context.Context, render.Source, render.Options) (*render.Result, error)
	record  func(context.Context, *deputy, *render.Release, string, string) error
	forget  func(context.Context, *deputy, string, string) error
	// recordAgain is record for what is deployed again as it was kept.
	recordAgain func(ctx context.Context, j *job, state, text string) error

	expressions *expression.Evaluator
}

// Reconcile implements reconcile.Reconciler.
func (r *deployers) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	d := &v1alpha1.Deployer{}
	if found, err := r.base.fetch(ctx, req, d); !found {
		return ctrl.Result{}, err
	}
	read, version, ran := d.DeepCopy(), "", false
	result, err := r.settle(ctx, d, func(ctx context.Context) (time.Duration, error) {
		err := r.steps(ctx, d)
		version, ran = d.ResourceVersion, true
		return 0, err
	})
	if ran && (d.ResourceVersion != version || sameStatus(read, d)) {
		r.acting.told(d.UID) // what was learned was written
	}
	return result, err
}

// steps of a Deployer.
func (r *deployers) steps(ctx context.Context, d *v1alpha1.Deployer) error {
	last, err := r.learn(d) // what an act that was begun before has done
	if err != nil {
		return err
	}
	if err := last.failure(d); err != nil && last.input == "" {
		return err
	}
	if !d.DeletionTimestamp.IsZero() {
		return r.remove(ctx, d, last.gone)
	}
	if err := r.hold(ctx, d); err != nil {
		return err
	}
	dep, err := r.deputy(d)
	if err != nil {
		return err
	}
	if err := r.rollBack(ctx, d, dep); err != nil { // by hand
		return err
	}
	w, err := r.want(ctx, d, dep)
	if err == nil {
		err = r.deploy(ctx, d, dep, w, last)
	}
	return r.tend(ctx, d, dep, err)
}

// hold puts the finalizers on.
func (r *deployers) hold(ctx context.Context, d *v1alpha1.Deployer) error {
	return r.label(ctx, d, func(o *v1alpha1.Deployer) {
		for _, f := range []string{v1alpha1.FinalizerPrune, v1alpha1.FinalizerWatch} {
			addFinalizer(o, f)
		}
	})
}

// deputy connects in the name of the identity that deploys.
func (r *deployers) deputy(d *v1alpha1.Deployer) (*deputy, error) {
	i, err := identify(d, r.options.DeployAs)
	if errors.Is(err, ocm.ErrDenied) {
		return nil, stalled(v1alpha1.ReasonForbidden, err)
	} else if err != nil {
		return nil, stalled(v1alpha1.ReasonInvalidSpec, err)
	}
	dep, err := r.deputies.get(i)
	if err != nil {
		return nil, failed(v1alpha1.ReasonApplyFailed, err)
	}
	return dep, nil
}

// label changes the metadata of a Deployer in the cluster, if there is something to change, and in d.
func (r *deployers) label(ctx context.Context, d *v1alpha1.Deployer, change func(*v1alpha1.Deployer)) error {
	before := &v1alpha1.Deployer{TypeMeta: d.TypeMeta, ObjectMeta: *d.ObjectMeta.DeepCopy()}
	after := before.DeepCopy()
	change(after)
	if sameMeta(before, after) {
		return nil
	}
	patch := client.MergeFrom(before)
	if !slices.Equal(before.Finalizers, after.Finalizers) { // a list is replaced as a whole: only if nobody else changed the object
		patch = client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	}
	if err := r.GetClient().Patch(ctx, after, patch); err != nil {
		return err
	}
	d.ObjectMeta = after.ObjectMeta
	return nil
}

// owner is a Deployer as the owner of what it deploys. If that contains what the Deployer itself needs, it outlives the rest.
func (r *deployers) owner(ctx context.Context, d *v1alpha1.Deployer) apply.Parent {
	p := apply.Parent{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.KindDeployer, Name: d.Name, UID: d.UID, Tooling: "ocm/" + r.options.Version}
	needs := func(kind, name string, obj object) bool {
		key := types.NamespacedName{Namespace: d.Spec.ResourceRef.Namespace, Name: name}
		p.Keep = append(p.Keep, apply.Ref{APIVersion: p.APIVersion, Kind: kind, Namespace: key.Namespace, Name: key.Name})
		return r.GetClient().Get(ctx, key, obj) == nil
	}
	res, comp := &v1alpha1.Resource{}, &v1alpha1.Component{}
	if needs(v1alpha1.KindResource, d.Spec.ResourceRef.Name, res) && needs(v1alpha1.KindComponent, res.Spec.ComponentRef.Name, comp) {
		needs(v1alpha1.KindRepository, comp.Spec.RepositoryRef.Name, &v1alpha1.Repository{})
	}
	return p
}
