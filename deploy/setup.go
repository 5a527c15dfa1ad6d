// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// Options of the controllers. Zero values are replaced by the defaults.
type Options struct {
	Env *ocm.Env // log, temporary folder, cache of unfinished uploads; nil: defaults

	Workers    int           // of the pool; default 10
	Queue      int           // tasks that may wait; default 1000
	CacheTTL   time.Duration // of answers; default 30 minutes
	CacheBytes int64         // of answers; default 32 MiB

	ResourceConcurrency    int // default 4
	ReplicationConcurrency int // default 4
	DeployerConcurrency    int // default 4

	// MaxResourceSize is the greatest content that is deployed, in bytes; default 2 MiB.
	MaxResourceSize int64
	// DownloadBytes bounds the cache of such content; default 32 MiB.
	DownloadBytes int64

	// DeployAs is the service account of Deployers that name none.
	DeployAs types.NamespacedName
	// Archives is the folder below which repositories may be archives; empty: they must not be.
	Archives string
	// Version of the program.
	Version string
}

// base is what all reconcilers share.
type base struct {
	ctrl.Manager
	options  Options
	pool     *work.Pool
	copies   *work.Pool // transfers, so that they never take the place of what is quick
	resolver answerer
	wakers   *wakers
	attempts attempts
	written  written
	memo     memo
	failures *prometheus.CounterVec // by controller; nil: nobody counts
}

// asker is an object that waits for an answer of the pool.
type asker struct {
	kind string
	key  types.NamespacedName
}

// Tenant implements [work.Tenant]: objects of a namespace share what they may keep busy. Those without one are the installation's.
func (a asker) Tenant() string { return a.key.Namespace }

// Setup registers all controllers with a manager. The scheme must know the types of [ocm/deploy/v1alpha1].
func Setup(mgr ctrl.Manager, o Options) error {
	b := &base{Manager: mgr, options: o, wakers: &wakers{}}
	observer, err := observe(metrics.Registry)
	if err != nil {
		return err
	}
	if b.failures, err = failures(metrics.Registry); err != nil {
		return err
	}
	wake := func(a work.Asker) { b.wakers.wake(a.(asker)) }
	b.pool = work.New(work.Options{Workers: o.Workers, Queue: o.Queue, Bytes: o.CacheBytes, TTL: o.CacheTTL, Wake: wake, Observe: observer})
	b.copies = work.New(work.Options{Workers: cmp.Or(o.ReplicationConcurrency, defaultConcurrency), Timeout: transferTimeout, Wake: wake})
	b.resolver = resolve.New(resolve.Options{Env: o.Env, Archives: o.Archives})
	if err := index(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return err
	}
	for _, add := range []func() error{b.addRepository, b.addComponent, b.addResource, b.addDeployer, b.addReplication} {
		if err := add(); err != nil {
			return err
		}
	}
	return errors.Join(mgr.Add(b.pool), mgr.Add(b.copies))
}

// defaultConcurrency is how many objects of a kind are looked at at a time. They only wait for the API server.
const defaultConcurrency = 4

// controller begins the controller of a kind: it is woken by its objects, and by the pool.
func (b *base) controller(obj object, concurrency int) *builder.Builder {
	return ctrl.NewControllerManagedBy(b).
		For(obj, builder.WithPredicates(changed())).
		WatchesRawSource(b.wakers.source(kindOf(obj))).
		WithOptions(controller.Options{MaxConcurrentReconciles: cmp.Or(concurrency, defaultConcurrency)})
}

// parent reads an object that another one names in a field of its spec. It must be ready: until then the other one waits, and is woken
// by its watch.
func (b *base) parent(ctx context.Context, field string, key types.NamespacedName, parent object) error {
	err := b.GetClient().Get(ctx, key, parent)
	what := fmt.Sprintf("%s: %s %s", field, kindOf(parent), key)
	switch {
	case apierrors.IsNotFound(err):
		return waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("%s: %w", what, ocm.ErrNotFound))
	case err != nil:
		return failed(v1alpha1.ReasonResourceIsNotAvailable, fmt.Errorf("%s: %w", what, err))
	case !parent.GetDeletionTimestamp().IsZero():
		return waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("%s is being deleted", what))
	case !b.isReady(parent):
		return waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, fmt.Errorf("%s is not ready", what))
	}
	return nil
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// wakers put objects into the queues of their controllers, which never blocks, and never loses one: nobody asks the pool before its
// controller has a queue.
type wakers struct {
	mu     sync.RWMutex
	queues map[string]queue
}

// source is where the controller of a kind is woken.
func (w *wakers) source(kind string) source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.queues == nil {
			w.queues = map[string]queue{}
		}
		w.queues[kind] = q
		return nil
	})
}

func (w *wakers) wake(a asker) {
	w.mu.RLock()
	q := w.queues[a.kind]
	w.mu.RUnlock()
	if q != nil {
		q.Add(reconcile.Request{NamespacedName: a.key})
	}
}
