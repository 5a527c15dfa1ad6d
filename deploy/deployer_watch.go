// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"ocm/deploy/apply"
	"ocm/deploy/v1alpha1"
)

const (
	// MaxWatches bounds the watches on what was deployed. What is not watched is looked at every ten minutes.
	MaxWatches = 500
	// refusedFor is when a watch is tried again that the identity was not allowed, or that there is no kind for.
	refusedFor = 10 * time.Minute
	// refusals is how long a watch is refused before that is believed. An API server that has just started refuses everything until it
	// knows the roles; the watch tries again by itself, at least every half minute.
	refusals = 2 * time.Minute
	// settling is how long more changes are waited for after one.
	settling = time.Second
)

// target is what one watch sees: the members of all sets of one kind in one namespace, or one object that has values.
type target struct {
	as        identity
	gvr       schema.GroupVersionResource
	namespace string
	name      string // of one object; empty: all that are members of a set
}

// watches tells when something was changed. It watches metadata, in the name of the identities that deploy: the controller itself has no
// rights on what products are made of.
type watches struct {
	ctx     context.Context // of the program
	connect func(*deputy) (metadata.Interface, error)
	changed func(name string, look lookKey)
	now     func() time.Time

	mu      sync.Mutex
	all     map[target]*watching
	changes map[string]uint64 // how often something changed, by the name of the Deployer
}

// watching is one watch.
type watching struct {
	stop        context.CancelFunc
	refused     time.Time           // zero: it is at work, or tries to be
	first, last time.Time           // refusals that followed each other
	who         map[string]interest // by the name of the Deployer
}

// works reports whether a watch sees what happens, as far as is known.
func (at *watching) works(now time.Time) bool {
	return at.refused.IsZero() && (at.last.IsZero() || now.Sub(at.last) > refusals/2)
}

// interest of a Deployer.
type interest struct {
	look lookKey
	set  string // the value of the label of its members
}

// watch begins to watch what a Deployer has deployed and where its values are, and ends what it watched otherwise. It reports whether all of it
// is watched.
func (w *watches) watch(d *v1alpha1.Deployer, dep *deputy) bool {
	wanted, complete := targets(d, dep)
	w.mu.Lock()
	defer w.mu.Unlock()
	for t, at := range w.all {
		if _, has := at.who[d.Name]; has && !wanted[t] {
			w.leave(t, at, d.Name)
		}
	}
	mine := interest{look: lookOf(d), set: setOf(d)}
	for t := range wanted {
		at := w.all[t]
		if at != nil && !at.refused.IsZero() && w.now().Sub(at.refused) > refusedFor {
			at.stop()
			delete(w.all, t)
			at = nil
		}
		if at == nil {
			at = w.begin(t, dep)
		}
		if at == nil {
			complete = false
			continue
		}
		at.who[d.Name] = mine
		complete = complete && at.works(w.now())
	}
	return complete
}

// targets is what is to be watched of a Deployer.
func targets(d *v1alpha1.Deployer, dep *deputy) (map[target]bool, bool) {
	all, complete := map[target]bool{}, true
	kinds := map[schema.GroupVersionKind]schema.GroupVersionResource{}
	for _, o := range d.Status.Deployed {
		gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
		gvr, known := kinds[gvk]
		if !known {
			if m, err := dep.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err == nil {
				gvr = m.Resource
			}
			kinds[gvk] = gvr
		}
		if gvr.Empty() {
			complete = false
			continue
		}
		all[target{as: dep.as, gvr: gvr, namespace: o.Namespace}] = true
	}
	for _, v := range d.Spec.ValuesFrom {
		resource := "configmaps"
		if v.Kind == "Secret" {
			resource = "secrets"
		}
		all[target{as: dep.as, gvr: schema.GroupVersionResource{Version: "v1", Resource: resource}, namespace: d.Spec.ResourceRef.Namespace, name: v.Name}] = true
	}
	return all, complete
}

// begin starts a watch; nil if there are too many.
func (w *watches) begin(t target, dep *deputy) *watching {
	if len(w.all) >= MaxWatches {
		return nil
	}
	c, err := w.connect(dep)
	if err != nil {
		return nil
	}
	ctx, stop := context.WithCancel(w.ctx)
	at := &watching{stop: stop, who: map[string]interest{}}
	informer := metadatainformer.NewFilteredMetadataInformer(c, t.gvr, t.namespace, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		if t.name != "" {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", t.name).String()
		} else {
			o.LabelSelector = apply.LabelPartOf
		}
	}).Informer()
	_ = informer.SetTransform(slim)                                                                         // fails only once it runs
	_ = informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) { // as well
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			w.refuse(at)
		}
	})
	events, err := informer.AddEventHandler(w.handler(t, at))
	if err != nil {
		stop()
		return nil
	}
	go informer.RunWithContext(ctx)
	go func() { // what changed before the watch saw anything makes no event: a look that began before that may have missed it
		select {
		case <-events.HasSyncedChecker().Done():
			w.tell(at, func(interest) bool { return true })
		case <-ctx.Done():
		}
	}()
	w.all[t] = at
	return at
}

// tell notes that something changed for those who are interested, and wakes them.
func (w *watches) tell(at *watching, concerns func(interest) bool) {
	w.mu.Lock()
	who := map[string]interest{}
	for name, i := range at.who {
		if concerns(i) {
			who[name] = i
			w.note(name)
		}
	}
	w.mu.Unlock()
	for name, i := range who {
		w.changed(name, i.look)
	}
}

// note counts a change. The lock is held.
func (w *watches) note(name string) {
	if w.changes == nil {
		w.changes = map[string]uint64{}
	}
	w.changes[name]++
}

// acted counts what was done for a Deployer itself: looks that began before that are as old as those before a change.
func (w *watches) acted(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(name)
}

// seen is how often something changed for a Deployer until now.
func (w *watches) seen(name string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes[name]
}

// refuse ends a watch that is not allowed again and again; it stays among the watches, so that it is not tried at once again.
func (w *watches) refuse(at *watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if at.last.IsZero() || now.Sub(at.last) > refusals/2 { // it worked in between
		at.first = now
	}
	if at.last = now; now.Sub(at.first) >= refusals {
		at.refused = now
		at.stop()
	}
}

// slim drops what need not be remembered of an object.
func slim(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID,
		Generation: m.Generation, ResourceVersion: m.ResourceVersion, Labels: m.Labels, DeletionTimestamp: m.DeletionTimestamp}}, nil
}

// handler wakes those whose objects change. What only reports its status has the generation that it had; kinds without status have none.
func (w *watches) handler(t target, at *watching) cache.ResourceEventHandler {
	tell := func(o any) {
		if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		m, err := meta.Accessor(o)
		if err != nil {
			return
		}
		w.tell(at, func(i interest) bool { return t.name != "" || i.set == m.GetLabels()[apply.LabelPartOf] })
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, first bool) {
			if !first {
				tell(o)
			}
		},
		UpdateFunc: func(old, o any) {
			a, errA := meta.Accessor(old)
			b, errB := meta.Accessor(o)
			same := errA == nil && errB == nil && maps.Equal(a.GetLabels(), b.GetLabels()) && a.GetDeletionTimestamp().Equal(b.GetDeletionTimestamp()) &&
				(a.GetResourceVersion() == b.GetResourceVersion() || b.GetGeneration() > 0 && a.GetGeneration() == b.GetGeneration())
			if !same {
				tell(old) // it may have lost its label
				tell(o)
			}
		},
		DeleteFunc: tell,
	}
}

// drop ends what a Deployer watches.
func (w *watches) drop(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t, at := range w.all {
		w.leave(t, at, name)
	}
	delete(w.changes, name)
}

func (w *watches) leave(t target, at *watching, name string) {
	if delete(at.who, name); len(at.who) == 0 {
		at.stop()
		delete(w.all, t)
	}
}
