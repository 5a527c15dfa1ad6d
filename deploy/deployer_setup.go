// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"ocm/deploy/apply"
	"ocm/deploy/expression"
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// Defaults of [Options].
const (
	defaultMaxResourceSize = 2 << 20
	defaultDownloadBytes   = 32 << 20
	// actTimeout is how long an act may take: that is mostly the time of hooks.
	actTimeout = 15 * time.Minute
)

// newDeployers makes a reconciler without a controller.
func newDeployers(b *base) (*deployers, error) {
	if b.options.MaxResourceSize == 0 {
		b.options.MaxResourceSize = defaultMaxResourceSize
	}
	e, err := expression.New("resource", "component", "images")
	if err != nil {
		return nil, err
	}
	r := &deployers{base: b, locate: locate, check: func(ctx context.Context, found *resolve.Resource) error { return found.Check(ctx) }, load: load, render: render.Render, expressions: e}
	r.version = func(ctx context.Context, p resolve.Place, q resolve.Question) (*resolve.Answer, error) {
		return b.resolver.Version(ctx, p, q)
	}
	r.recordAgain = func(ctx context.Context, j *job, state, text string) error {
		namespace, name, _ := strings.Cut(j.Release, "/")
		return render.RecordAgain(ctx, j.dep.config, namespace, name, int(j.rev.RollbackOf), int(j.rev.Revision), state, text)
	}
	r.record = func(ctx context.Context, dep *deputy, rel *render.Release, state, text string) error {
		return render.Record(ctx, dep.config, rel, state, text)
	}
	r.forget = func(ctx context.Context, dep *deputy, namespace, name string) error {
		return render.Forget(ctx, dep.config, namespace, name)
	}
	bytes := b.options.DownloadBytes
	if bytes == 0 {
		bytes = defaultDownloadBytes
	}
	r.acts = work.New(work.Options{Workers: b.options.Workers, Queue: b.options.Queue, Bytes: bytes, Timeout: actTimeout,
		Wake: func(a work.Asker) { b.wakers.wake(a.(asker)) }})
	r.deputies = &deputies{connect: b.connect, known: map[identity]*deputy{}}
	r.watches = &watches{ctx: context.Background(), all: map[target]*watching{}, now: b.now,
		connect: func(dep *deputy) (metadata.Interface, error) { return metadata.NewForConfig(dep.config) },
		changed: func(name string, look lookKey) {
			r.acts.Forget(look)
			r.later(&v1alpha1.Deployer{ObjectMeta: metav1.ObjectMeta{Name: name}}, settling)
		}}
	return r, nil
}

// addDeployer registers the controller of Deployer objects.
func (b *base) addDeployer() error {
	r, err := newDeployers(b)
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(b.Manager).
		For(&v1alpha1.Deployer{}, builder.WithPredicates(predicate.Or(changed(), rollbackAsked()))).
		Watches(&v1alpha1.Deployer{}, handler.EnqueueRequestsFromMapFunc(r.dependents), builder.WithPredicates(told())).
		Watches(&v1alpha1.Resource{}, b.childrenOf(v1alpha1.KindDeployer), builder.WithPredicates(told())).
		WatchesRawSource(b.wakers.source(v1alpha1.KindDeployer)).
		WatchesRawSource(source.Func(func(ctx context.Context, q queue) error {
			r.queue, r.watches.ctx = q, ctx
			return nil
		})).
		WithOptions(controller.Options{MaxConcurrentReconciles: cmp.Or(b.options.DeployerConcurrency, defaultConcurrency)}).
		Complete(r)
	return errors.Join(err, b.Add(r.acts))
}

func rollbackAsked() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetAnnotations()[v1alpha1.AnnotationRollbackTo] != e.ObjectNew.GetAnnotations()[v1alpha1.AnnotationRollbackTo]
		},
	}
}

// dependents are the Deployers that wait for another one, and those with which they go around in circles.
func (r *deployers) dependents(ctx context.Context, o client.Object) []reconcile.Request {
	return r.those(ctx, func(d *v1alpha1.Deployer) bool {
		for _, dep := range d.Spec.DependsOn {
			if dep.Name == o.GetName() {
				return true
			}
		}
		return false
	})
}

func (r *deployers) those(ctx context.Context, fits func(*v1alpha1.Deployer) bool) []reconcile.Request {
	all := &v1alpha1.DeployerList{}
	if err := r.GetClient().List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var names []reconcile.Request
	for i := range all.Items {
		if fits(&all.Items[i]) {
			names = append(names, reconcile.Request{NamespacedName: types.NamespacedName{Name: all.Items[i].Name}})
		}
	}
	return names
}

// setOf is the value of the label of what a Deployer deploys.
func setOf(d *v1alpha1.Deployer) string {
	return apply.Parent{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.KindDeployer, Name: d.Name}.ID()
}
