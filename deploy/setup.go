// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"ocm"
	"ocm/deploy/resolve"
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
	resolver *resolve.Resolver
	wakers   *wakers
}

// asker is an object that waits for an answer of the pool.
type asker struct {
	kind string
	key  types.NamespacedName
}

// Setup registers all controllers with a manager. The scheme must know the types of [ocm/deploy/v1alpha1].
func Setup(mgr ctrl.Manager, o Options) error {
	b := &base{Manager: mgr, options: o, wakers: &wakers{queues: map[string]queue{}}}
	b.pool = work.New(work.Options{Workers: o.Workers, Queue: o.Queue, Bytes: o.CacheBytes, TTL: o.CacheTTL,
		Wake: func(a work.Asker) { b.wakers.wake(a.(asker)) }})
	b.resolver = resolve.New(resolve.Options{Env: o.Env, Archives: o.Archives})
	for _, add := range []func() error{b.addRepository, b.addComponent, b.addResource, b.addDeployer, b.addReplication} {
		if err := add(); err != nil {
			return err
		}
	}
	return mgr.Add(b.pool)
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// wakers put objects into the queues of their controllers, which never blocks, and never loses one.
type wakers struct {
	queues map[string]queue
}

// source is where the controller of a kind is woken.
func (w *wakers) source(kind string) source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		w.queues[kind] = q
		return nil
	})
}

func (w *wakers) wake(a asker) {
	if q := w.queues[a.kind]; q != nil {
		q.Add(reconcile.Request{NamespacedName: a.key})
	}
}
