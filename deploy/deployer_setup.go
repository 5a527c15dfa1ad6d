// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
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
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// Defaults of [Options].
const (
	defaultMaxResourceSize = 2 << 20
	defaultDownloadBytes   = 32 << 20
	defaultConcurrency     = 4
	// actTimeout is how long an act may take: that is mostly the time of hooks.
	actTimeout = 15 * time.Minute
)

// newDeployers makes a reconciler without a controller.
func newDeployers(b *base) *deployers {
	if b.options.MaxResourceSize == 0 {
		b.options.MaxResourceSize = defaultMaxResourceSize
	}
	r := &deployers{base: b, now: time.Now, locate: locate, load: load, render: render.Render}
	r.version = func(ctx context.Context, p resolve.Place, q resolve.Question) (*resolve.Answer, error) {
		return b.resolver.Version(ctx, p, q)
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
	r.watches = &watches{ctx: context.Background(), all: map[target]*watching{}, now: time.Now,
		connect: func(dep *deputy) (metadata.Interface, error) { return metadata.NewForConfig(dep.config) },
		changed: func(name string, id types.UID) {
			r.acts.Forget(lookKey(id))
			r.later(&v1alpha1.Deployer{ObjectMeta: metav1.ObjectMeta{Name: name}}, settling)
		}}
	return r
}

// addDeployer registers the controller of Deployer objects.
func (b *base) addDeployer() error {
	r := newDeployers(b)
	concurrency := b.options.DeployerConcurrency
	if concurrency == 0 {
		concurrency = defaultConcurrency
	}
	err := ctrl.NewControllerManagedBy(b.Manager).Named("deployer").
		For(&v1alpha1.Deployer{}, builder.WithPredicates(askedFor())).
		Watches(&v1alpha1.Deployer{}, handler.EnqueueRequestsFromMapFunc(r.dependents)).
		Watches(&v1alpha1.Resource{}, handler.EnqueueRequestsFromMapFunc(r.deployersOf)).
		WatchesRawSource(b.wakers.source(v1alpha1.KindDeployer)).
		WatchesRawSource(source.Func(func(ctx context.Context, q queue) error {
			r.queue, r.watches.ctx = q, ctx
			return nil
		})).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		Complete(r)
	if err != nil {
		return err
	}
	return b.Add(r.acts)
}

// askedFor passes on what people change of a Deployer, and nothing that the controller writes itself.
func askedFor() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		for _, a := range []string{v1alpha1.AnnotationRollbackTo, v1alpha1.AnnotationReconcile} {
			if e.ObjectOld.GetAnnotations()[a] != e.ObjectNew.GetAnnotations()[a] {
				return true
			}
		}
		return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration()
	}}
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

// deployersOf are the Deployers of a Resource.
func (r *deployers) deployersOf(ctx context.Context, o client.Object) []reconcile.Request {
	return r.those(ctx, func(d *v1alpha1.Deployer) bool {
		return d.Spec.ResourceRef.Namespace == o.GetNamespace() && d.Spec.ResourceRef.Name == o.GetName()
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
