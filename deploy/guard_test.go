// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	obj := testRepository()
	obj.Finalizers = []string{"somebody/else"}
	bed := newTestbed(t, obj)
	children := []string(nil)
	list := func(context.Context) ([]string, error) { return children, nil }
	guard := func() (bool, error) {
		t.Helper()
		bed.read(t, obj)
		return bed.guard(t.Context(), obj, v1alpha1.FinalizerRepository, list)
	}
	for range 2 {
		if done, err := guard(); done || err != nil || len(obj.Finalizers) != 2 {
			t.Errorf("%v %v %v", done, err, obj.Finalizers)
		}
	}
	if n := bed.counted("patch Repository"); n != 1 {
		t.Errorf("%d writes", n)
	}
	if err := bed.GetClient().Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		children = append(children, fmt.Sprintf("Component team/%02d", i))
	}
	done, err := guard()
	var o *outcome
	if !done || !errors.As(err, &o) || o.kind != waits || o.reason != v1alpha1.ReasonDeletionFailed || len(err.Error()) > 400 {
		t.Errorf("%v %v", done, err)
	}
	children = nil
	for range 2 { // the second time it is somebody else who has not finished
		if done, err := guard(); !done || err != nil || len(obj.Finalizers) != 1 {
			t.Errorf("%v %v %v", done, err, obj.Finalizers)
		}
	}
}

// A finalizer of somebody else that came in the meantime must not get lost.
func TestGuardOverwritesNobody(t *testing.T) {
	t.Parallel()
	obj := testRepository()
	bed := newTestbed(t, obj)
	bed.read(t, obj)
	other := obj.DeepCopy()
	other.Finalizers = []string{"somebody/else"}
	if err := bed.GetClient().Update(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	result, err := bed.settle(t.Context(), obj, func(ctx context.Context) (time.Duration, error) {
		_, err := bed.guard(ctx, obj, v1alpha1.FinalizerRepository, nil)
		return 0, err
	})
	if err != nil || result.RequeueAfter != soon {
		t.Errorf("%v %v", result, err)
	}
	if bed.read(t, obj); len(obj.Finalizers) != 1 || ready(obj) != "" {
		t.Errorf("%v, %q", obj.Finalizers, ready(obj))
	}
}

func newQueue() queue {
	return workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
}

func TestWatchesWakeWhomItConcerns(t *testing.T) {
	t.Parallel()
	repo, comp, other := testRepository(), testComponent(), testComponent()
	other.Namespace = "others"
	target := testTarget()
	copies := testReplication()
	bed := newTestbed(t, repo, target, comp, other, copies)
	woken := func(fn func(q queue)) []string {
		q := newQueue()
		defer q.ShutDown()
		fn(q)
		var names []string
		for q.Len() > 0 {
			r, _ := q.Get()
			names = append(names, r.String())
		}
		return names
	}
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s wakes %v, not %v", what, got, want)
		}
	}
	update := func(o client.Object) event.UpdateEvent { return event.UpdateEvent{ObjectOld: o, ObjectNew: o} }
	expect("a Repository", woken(func(q queue) { bed.childrenOf(v1alpha1.KindComponent).Update(t.Context(), update(repo), q) }), "team/app")
	expect("a target", woken(func(q queue) { bed.childrenOf(v1alpha1.KindReplication).Update(t.Context(), update(target), q) }), "team/copy")
	expect("a Component", woken(func(q queue) { bed.childrenOf(v1alpha1.KindReplication).Update(t.Context(), update(comp), q) }), "team/copy")
	leaves := func(q queue) {
		bed.parentOf(v1alpha1.KindRepository).Delete(t.Context(), event.DeleteEvent{Object: comp}, q)
	}
	expect("a child", woken(leaves))
	bed.read(t, repo)
	repo.Finalizers = []string{v1alpha1.FinalizerRepository}
	if err := bed.GetClient().Update(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	if err := bed.GetClient().Delete(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	expect("a child of what is to go", woken(leaves), "team/repo")
}

func TestPredicates(t *testing.T) {
	t.Parallel()
	old := testComponent()
	spec, status, meta, asked := old.DeepCopy(), old.DeepCopy(), old.DeepCopy(), old.DeepCopy()
	spec.Generation++
	status.Status.RefusedVersion = "1"
	meta.Labels = map[string]string{"a": "b"}
	asked.Annotations = map[string]string{v1alpha1.AnnotationReconcile: "now"}
	for what, c := range map[string]struct {
		is                     client.Object
		changed, told, departs bool
	}{"spec": {spec, true, true, true}, "status": {status, false, true, false}, "metadata": {meta, false, false, false}, "annotation": {asked, true, false, false}} {
		e := event.UpdateEvent{ObjectOld: old, ObjectNew: c.is}
		if got := [3]bool{changed().Update(e), told().Update(e), left().Update(e)}; got != [3]bool{c.changed, c.told, c.departs} {
			t.Errorf("%s: %v", what, got)
		}
	}
	if left().Create(event.CreateEvent{Object: old}) || !left().Delete(event.DeleteEvent{Object: old}) || !changed().Create(event.CreateEvent{Object: old}) {
		t.Error("create and delete")
	}
}

// Controllers start while the pool is at work: -race judges.
func TestWakersWhileControllersStart(t *testing.T) {
	t.Parallel()
	w, q := &wakers{}, newQueue()
	defer q.ShutDown()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() { w.wake(asker{kind: "a", key: types.NamespacedName{Name: fmt.Sprint(i)}}) })
	}
	all.Go(func() { _ = w.source("a").Start(t.Context(), q) })
	all.Go(func() { _ = w.source("b").Start(t.Context(), newQueue()) })
	all.Wait()
	q.ShutDown()
	started := newQueue()
	defer started.ShutDown()
	if err := w.source("a").Start(t.Context(), started); err != nil {
		t.Fatal(err)
	}
	w.wake(asker{kind: "a", key: types.NamespacedName{Name: "x"}})
	w.wake(asker{kind: "nobody"})
	if started.Len() != 1 {
		t.Errorf("%d are awake", started.Len())
	}
}

func TestMetricsHaveTheirNames(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	o, err := observe(registry)
	if err != nil {
		t.Fatal(err)
	}
	same, err := observe(registry) // a second manager in one process
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*observer{o, same} {
		o.Hit()
		o.Miss()
		o.Queued(3)
		o.Running(2)
		o.Done(work.Kind{Component: "acme.org/app", Version: "1.0.0", Verification: "verified"}, time.Second, nil)
		o.Done(work.Kind{Component: "acme.org/app", Version: "\xff"}, time.Second, errors.New("x"))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	const prefix = "ocm_system_ocm_k8s_toolkit_"
	for name, want := range map[string]float64{"cache_hit": 2, "cache_miss": 2, "queue_size": 3, "in_progress": 2, "event_channel_drops": 0, "resolution_duration_seconds": 2} {
		if v, ok := got[prefix+name]; !ok || v != want {
			t.Errorf("%s is %v, %v, not %v", name, v, ok, want)
		}
	}
}

// Tenants choose names, so there is a bound to how many series they make.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	o, err := observe(registry)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxSeries {
		o.Done(work.Kind{Component: fmt.Sprint("acme.org/", i), Version: "1", Verification: "verified"}, time.Second, nil)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > maxSeries+2 {
			t.Errorf("%s has %d series", f.GetName(), n)
		}
	}
}
