// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/v1alpha1"
)

const (
	// deleteTimeout is how long one attempt to delete what was deployed takes; then it is said what is still there, and tried again.
	deleteTimeout = 2 * time.Minute
	deletePoll    = 500 * time.Millisecond
)

// remove deletes what was deployed, and lets the Deployer go. It needs neither the Resource nor a registry.
func (r *deployers) remove(ctx context.Context, d *v1alpha1.Deployer, gone bool) error {
	if slices.Contains(d.Finalizers, v1alpha1.FinalizerPrune) {
		if !gone && (len(d.Status.Deployed) > 0 || d.Annotations[apply.AnnotationGroupKinds] != "") {
			return r.prune(ctx, d)
		}
		if err := r.label(ctx, d, func(o *v1alpha1.Deployer) { dropFinalizer(o, v1alpha1.FinalizerPrune) }); err != nil {
			return err
		}
	}
	r.watches.drop(d.Name)
	r.repairs.forget(d.UID)
	return r.label(ctx, d, func(o *v1alpha1.Deployer) { dropFinalizer(o, v1alpha1.FinalizerWatch) })
}

// released lets go of what was deployed, which stays as it is: no longer owned by the Deployer, it is not collected with it.
func (r *deployers) released(ctx context.Context, d *v1alpha1.Deployer, dep *deputy) error {
	p := r.owner(ctx, d)
	all, err := members(ctx, d, dep, p)
	if err != nil {
		return err
	}
	return dep.cluster.Release(ctx, p, all)
}

// prune begins to delete all that was deployed, or to let go of it.
func (r *deployers) prune(ctx context.Context, d *v1alpha1.Deployer) error {
	dep, err := r.deputy(d)
	if err != nil {
		return err
	}
	meanwhile := waiting(v1alpha1.ReasonProgressing, safety, errors.New("what was deployed is being deleted"))
	return r.act(ctx, d, meanwhile, func(ctx context.Context, d *v1alpha1.Deployer) *done {
		undo := r.pruned
		if !prunes(d) {
			undo = r.released
		}
		err := undo(ctx, d, dep)
		switch {
		case errors.Is(err, ocm.ErrDenied) && prunes(d) && r.leaving(ctx, dep.as.Namespace): // nothing is left to wait for
		case errors.Is(err, ocm.ErrDenied):
			return &done{err: failed(v1alpha1.ReasonForbidden, fmt.Errorf("as %s: %w", dep.as, err))}
		case err != nil:
			return &done{err: failed(v1alpha1.ReasonPruneFailed, fmt.Errorf("as %s: %w", dep.as, err))}
		}
		return &done{gone: true, tell: func(d *v1alpha1.Deployer) { d.Status.Deployed = nil }}
	})
}

// leaving reports whether a namespace is being deleted, or is gone. The identity that deploys went with it, while the namespace waits for the
// Resource, and that for the Deployer. What was deployed there goes with the namespace, and what is elsewhere is collected with its owner.
func (r *deployers) leaving(ctx context.Context, namespace string) bool {
	ns := &corev1.Namespace{}
	err := r.GetAPIReader().Get(ctx, types.NamespacedName{Name: namespace}, ns)
	return apierrors.IsNotFound(err) || err == nil && !ns.DeletionTimestamp.IsZero()
}

// pruned deletes all that was deployed, with the hooks of a chart before and after.
func (r *deployers) pruned(ctx context.Context, d *v1alpha1.Deployer, dep *deputy) error {
	j := &job{d: d, dep: dep}
	if rev := running(d); rev != nil {
		if k, err := r.unpack(ctx, d, rev); err == nil { // else there are no hooks
			j.kept = *k
		}
	}
	if err := r.hooks(ctx, j, "pre-delete"); err != nil {
		return err
	}
	p := r.owner(ctx, d)
	all, err := members(ctx, d, dep, p)
	if err != nil {
		return err
	}
	if err := deleted(ctx, dep, p, all); err != nil {
		return err
	}
	if err := r.hooks(ctx, j, "post-delete"); err != nil {
		return err
	}
	if namespace, name, ok := strings.Cut(d.Status.Release, "/"); ok {
		return r.forget(ctx, dep, namespace, name)
	}
	return nil
}

// deleted deletes members and waits until they are gone.
func deleted(ctx context.Context, dep *deputy, p apply.Parent, members []apply.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, deletePoll, true, func(ctx context.Context) (bool, error) { return dep.cluster.Delete(ctx, p, members) })
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("some of %d objects are still there after %v: %w", len(members), deleteTimeout, err)
	}
	return err
}

// members are the objects that the status names, and those that carry the label of the set in kinds that the Deployer ever had: what was
// applied by a controller that was killed before it could say so.
func members(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, p apply.Parent) ([]apply.Ref, error) {
	var all []apply.Ref
	seen := map[apply.Ref]bool{}
	add := func(ref apply.Ref) {
		key := ref
		key.UID, key.APIVersion = "", schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group
		if !seen[key] {
			seen[key] = true
			all = append(all, ref)
		}
	}
	for _, o := range d.Status.Deployed {
		add(refOf(o))
	}
	kinds, namespaces := apply.Recorded(d.Annotations)
	for _, kind := range kinds {
		m, err := dep.RESTMapper().RESTMapping(schema.ParseGroupKind(kind))
		if meta.IsNoMatchError(err) {
			continue // the definition is gone, and all objects with it
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		for _, o := range labelled(ctx, dep, m, p, namespaces) {
			if c := metav1.GetControllerOf(&o); c == nil || c.UID != p.UID {
				continue // a label is soon put on
			}
			apiVersion, k := m.GroupVersionKind.ToAPIVersionAndKind()
			add(apply.Ref{APIVersion: apiVersion, Kind: k, Namespace: o.Namespace, Name: o.Name, UID: o.UID})
		}
	}
	return all, nil
}

// labelled are the objects of a kind with the label of the set: in the whole cluster, or, for an identity that may see only some namespaces, in those
// where the Deployer ever had something. What it may not list is not there: the status names most of it.
func labelled(ctx context.Context, dep *deputy, m *meta.RESTMapping, p apply.Parent, namespaces []string) []metav1.PartialObjectMetadata {
	in := func(namespace string) ([]metav1.PartialObjectMetadata, error) {
		found := &metav1.PartialObjectMetadataList{}
		found.SetGroupVersionKind(m.GroupVersionKind)
		err := dep.List(ctx, found, client.InNamespace(namespace), client.MatchingLabels{apply.LabelPartOf: p.ID()})
		return found.Items, err
	}
	all, err := in("")
	if err == nil || m.Scope.Name() != meta.RESTScopeNameNamespace {
		return all
	}
	for _, namespace := range namespaces {
		if some, err := in(namespace); err == nil {
			all = append(all, some...)
		}
	}
	return all
}
