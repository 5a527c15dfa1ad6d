// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ocm/deploy/v1alpha1"
)

// reference is a field of a kind that names an object of another kind. The values of all of them are indexed: namespace/name.
type reference struct {
	from  func() client.Object
	list  func() client.ObjectList
	field string
	to    string // kind
	key   func(client.Object) types.NamespacedName
}

// references are all of them.
func references() []reference {
	components := func() client.ObjectList { return &v1alpha1.ComponentList{} }
	resources := func() client.ObjectList { return &v1alpha1.ResourceList{} }
	deployers := func() client.ObjectList { return &v1alpha1.DeployerList{} }
	replications := func() client.ObjectList { return &v1alpha1.ReplicationList{} }
	beside := func(o client.Object, name string) types.NamespacedName {
		return types.NamespacedName{Namespace: o.GetNamespace(), Name: name}
	}
	return []reference{
		{func() client.Object { return &v1alpha1.Component{} }, components, "spec.repositoryRef.name", v1alpha1.KindRepository,
			func(o client.Object) types.NamespacedName {
				return beside(o, o.(*v1alpha1.Component).Spec.RepositoryRef.Name)
			}},
		{func() client.Object { return &v1alpha1.Replication{} }, replications, "spec.targetRepositoryRef.name", v1alpha1.KindRepository,
			func(o client.Object) types.NamespacedName {
				return beside(o, o.(*v1alpha1.Replication).Spec.TargetRepositoryRef.Name)
			}},
		{func() client.Object { return &v1alpha1.Resource{} }, resources, "spec.componentRef.name", v1alpha1.KindComponent,
			func(o client.Object) types.NamespacedName {
				return beside(o, o.(*v1alpha1.Resource).Spec.ComponentRef.Name)
			}},
		{func() client.Object { return &v1alpha1.Replication{} }, replications, "spec.componentRef.name", v1alpha1.KindComponent,
			func(o client.Object) types.NamespacedName {
				return beside(o, o.(*v1alpha1.Replication).Spec.ComponentRef.Name)
			}},
		{func() client.Object { return &v1alpha1.Deployer{} }, deployers, "spec.resourceRef", v1alpha1.KindResource,
			func(o client.Object) types.NamespacedName {
				ref := o.(*v1alpha1.Deployer).Spec.ResourceRef
				return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
			}},
	}
}

// index makes the cache find objects by what they refer to.
func index(ctx context.Context, indexer client.FieldIndexer) error {
	for _, r := range references() {
		err := indexer.IndexField(ctx, r.from(), r.field, func(o client.Object) []string { return []string{r.key(o).String()} })
		if err != nil {
			return fmt.Errorf("index %s of %s: %w", r.field, kindOf(r.from()), err)
		}
	}
	return nil
}

// children names all objects that refer to one; it is what [base.guard] asks.
func (b *base) children(obj object) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		var names []string
		err := b.eachChild(ctx, obj, "", func(child client.Object) { names = append(names, nameOf(child)) })
		return names, err
	}
}

// eachChild calls fn for the objects of a kind, or of all kinds, that refer to an object. They must not be modified.
func (b *base) eachChild(ctx context.Context, obj client.Object, kind string, fn func(client.Object)) error {
	for _, r := range references() {
		if r.to != kindOf(obj) || kind != "" && kind != kindOf(r.from()) {
			continue
		}
		list := r.list()
		err := b.GetClient().List(ctx, list, client.MatchingFields{r.field: client.ObjectKeyFromObject(obj).String()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return err
		}
		err = meta.EachListItem(list, func(child runtime.Object) error {
			fn(child.(client.Object))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// childrenOf is for the watch of a kind of child on its parents: a parent wakes its children of that kind.
func (b *base) childrenOf(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, parent client.Object) []reconcile.Request {
		var all []reconcile.Request
		err := b.eachChild(ctx, parent, kind, func(child client.Object) {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(child)})
		})
		if err != nil {
			b.GetLogger().Error(err, "look for what refers to an object", "kind", kindOf(parent), "name", parent.GetName())
		}
		return all
	})
}

// parentOf is for the watch of a kind of parent on its children: a child that goes, or turns to another parent, wakes a parent that is
// to be deleted.
func (b *base) parentOf(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, child client.Object) []reconcile.Request {
		var all []reconcile.Request
		for _, r := range references() {
			if r.to != kind || kindOf(r.from()) != kindOf(child) {
				continue
			}
			parent := newObject(kind)
			if b.GetClient().Get(ctx, r.key(child), parent) == nil && !parent.GetDeletionTimestamp().IsZero() {
				all = append(all, reconcile.Request{NamespacedName: r.key(child)})
			}
		}
		return all
	})
}

// changed is for the watch of a controller on its own objects: another spec, or the annotation that asks for a look. Statuses, which the controllers write themselves, are not.
func changed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
			e.ObjectOld.GetAnnotations()[v1alpha1.AnnotationReconcile] != e.ObjectNew.GetAnnotations()[v1alpha1.AnnotationReconcile] ||
			!e.ObjectNew.GetDeletionTimestamp().IsZero() && len(e.ObjectOld.GetFinalizers()) != len(e.ObjectNew.GetFinalizers())
	}}
}

// told is for watches on parents: another spec or another status.
func told() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		old, ok := e.ObjectOld.(object)
		if !ok {
			return true
		}
		is, ok := e.ObjectNew.(object)
		return !ok || old.GetGeneration() != is.GetGeneration() || !sameStatus(old, is)
	}}
}

// left is for watches on children: one is gone, or its spec changed.
func left() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool { return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() },
	}
}
