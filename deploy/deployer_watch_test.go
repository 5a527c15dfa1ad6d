// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	metadatafake "k8s.io/client-go/metadata/fake"
	clientgotesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ocm/deploy/apply"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// A server that has just started refuses for some seconds what it allows; what is not allowed is refused for good.
func TestWatchesOutliveRefusals(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &watches{now: func() time.Time { return now }}
	stopped := false
	at := &watching{stop: func() { stopped = true }}
	refuse := func(after time.Duration) {
		now = now.Add(after)
		w.refuse(at)
	}
	for range 3 {
		refuse(10 * time.Second)
	}
	if stopped || at.works(now) {
		t.Errorf("after 20 seconds: stopped %t, works %t", stopped, at.works(now))
	}
	if now = now.Add(2 * time.Minute); !at.works(now) {
		t.Error("nothing is refused any more")
	}
	refuse(time.Hour) // another restart
	if stopped {
		t.Error("refusals of another time count")
	}
	for range 4 {
		refuse(30 * time.Second)
	}
	if !stopped || at.works(now.Add(time.Hour)) {
		t.Errorf("after two minutes: stopped %t", stopped)
	}
}

// run reconciles as a controller does, with its queue: who is woken twice before it is looked at is looked at once.
func (bed *deployerBed) run(t *testing.T) {
	t.Helper()
	q := priorityqueue.New[reconcile.Request](t.Name())
	bed.r.queue = q
	pool := work.New(work.Options{Wake: func(a work.Asker) { q.Add(reconcile.Request{NamespacedName: a.(asker).key}) }})
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = pool.Start(ctx) })
	all.Go(func() {
		for {
			req, _, stopped := q.GetWithPriority()
			if stopped {
				return
			}
			result, err := bed.r.Reconcile(ctx, req)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if result.RequeueAfter > 0 {
				q.AddAfter(req, result.RequeueAfter)
			}
			q.Done(req)
		}
	})
	t.Cleanup(func() { cancel(); q.ShutDown(); all.Wait() })
	bed.r.acts, bed.pool = pool, pool
	q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: "app"}})
}

// deleted is what a watch tells of the object that tests deploy.
func (bed *deployerBed) deleted() {
	w := bed.r.watches
	t := target{as: identity{Namespace: "team", Name: "deployer"}, gvr: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, namespace: "team"}
	w.mu.Lock()
	at := w.all[t]
	w.mu.Unlock()
	w.handler(t, at).OnDelete(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "one",
		Labels: map[string]string{apply.LabelPartOf: setOf(testDeployer())}}})
}

// slowWatch makes watches whose first list takes until the channel is closed; then drift is what has changed until then.
func (bed *deployerBed) slowWatch(until <-chan struct{}, drift ...apply.Ref) {
	scheme := runtime.NewScheme()
	_ = metav1.AddMetaToScheme(scheme)
	bed.r.watches.connect = func(*deputy) (metadata.Interface, error) {
		c := metadatafake.NewSimpleMetadataClient(scheme)
		c.PrependReactor("list", "*", func(clientgotesting.Action) (bool, runtime.Object, error) {
			<-until
			bed.cluster.with(func() { bed.cluster.drift = drift })
			return false, nil, nil
		})
		return c, nil
	}
}

func one() apply.Ref {
	return apply.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "team", Name: "one"}
}

// A look is going on, and what it has read already is deleted: it answers before the change is looked at.
func TestAChangeDuringALookIsLookedAt(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	bed.slowWatch(end) // it tells nothing by itself
	bed.cluster.looked = sync.OnceFunc(func() {
		bed.cluster.with(func() { bed.cluster.drift = []apply.Ref{one()} })
		bed.deleted()
	})
	bed.run(t)
	eventually(t, func() bool { return bed.cluster.applied() == 2 })
}

// What changes after the first look, and before the watch has begun, makes no event.
func TestAChangeBeforeTheWatchIsLookedAt(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	first := make(chan struct{})
	bed.cluster.looked = sync.OnceFunc(func() { close(first) })
	bed.slowWatch(first, one())
	bed.run(t)
	eventually(t, func() bool { return bed.cluster.applied() == 2 })
}

// A repair that could not begin, because the Deployer was changed in the meantime, is not taken for one that was done.
func TestRepairThatDidNotBeginIsNotCounted(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	d := bed.settle(t, "True Succeeded")
	dep, err := bed.r.deputy(d)
	if err != nil {
		t.Fatal(err)
	}
	d.ResourceVersion = "0"
	for range 2 {
		if err := bed.r.drifted(t.Context(), d, dep, &look{drift: []apply.Ref{one()}}, true); err == nil || !strings.Contains(err.Error(), "was changed in the meantime") {
			t.Error(err)
		}
	}
}

// alarms remembers when a Deployer shall be looked at again.
type alarms struct {
	queue
	mu  sync.Mutex
	all []time.Duration
}

func (a *alarms) AddAfter(_ reconcile.Request, after time.Duration) {
	a.with(func() { a.all = append(a.all, after) })
}

func (a *alarms) with(fn func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn()
}

// What is wrong with what is wanted is told; when what runs is looked at again is not that of the problem.
func TestRepairGoesOnBesideAProblem(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	clock := &alarms{}
	bed.r.queue = clock
	d := bed.settle(t, "True Succeeded")
	dep, err := bed.r.deputy(d)
	if err != nil {
		t.Fatal(err)
	}
	clock.with(func() { clock.all = nil })
	bed.cluster.with(func() { bed.cluster.drift = []apply.Ref{one()} })
	bed.r.acts.Forget(lookOf(d))
	d.ResourceVersion = "0" // it was changed in the meantime: the repair cannot begin
	problem := waiting(v1alpha1.ReasonResourceIsNotAvailable, safety, errors.New("x"))
	eventually(t, func() bool {
		if err := bed.r.tend(t.Context(), d, dep, problem); err != problem { //nolint:errorlint // this very one
			t.Fatal(err)
		}
		found := false
		clock.with(func() { found = slices.Contains(clock.all, soon) })
		return found
	})
}
