// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
)

// Limits of the search for members.
const (
	maxLists = 1000 // kinds times namespaces
	pageSize = 500  // members in one answer
)

// prune deletes members that are not among the items, those first that need others. All are tried.
func (c *Cluster) prune(ctx context.Context, s Set, items []*item, done *Applied) error {
	wanted := map[key]bool{}
	for _, it := range items {
		wanted[it.key] = true
	}
	found, errs := c.members(ctx, s)
	var old []Ref
	for _, r := range append(slices.Clone(s.Known), found...) {
		if !wanted[r.key()] {
			wanted[r.key()] = true
			old = append(old, r)
		}
	}
	backwards(old)
	var mu sync.Mutex
	for _, batch := range batches(old, func(r Ref) int { return stepOf(r.key().GroupKind) }) {
		errs = append(errs, parallel(ctx, len(batch), func(i int) error {
			fate, err := c.remove(ctx, s.Parent, batch[i])
			mu.Lock()
			defer mu.Unlock()
			switch fate {
			case deleted:
				done.Pruned = append(done.Pruned, batch[i])
			case kept:
				done.Kept = append(done.Kept, batch[i])
			}
			return err
		})...)
	}
	sortRefs(done.Pruned)
	sortRefs(done.Kept)
	return join(errs)
}

// Delete deletes members, in the opposite order: first those that need others, and what these need only when they are gone; done is
// false while some are still there. Members that belong to somebody else by now, or say that they stay, are let go, and what the parent
// needs is left alone. [ocm.ErrDenied] tells what the identity may not delete; then what is needed by that stays, too.
func (c *Cluster) Delete(ctx context.Context, p Parent, members []Ref) (done bool, err error) {
	members = slices.Clone(members)
	backwards(members)
	for _, batch := range batches(members, func(r Ref) int { return stepOf(r.key().GroupKind) }) {
		there := make([]bool, len(batch))
		err := join(parallel(ctx, len(batch), func(i int) error {
			fate, err := c.remove(ctx, p, batch[i])
			if err != nil || fate != deleted {
				return err
			}
			live, err := c.metadata(ctx, batch[i])
			there[i] = err == nil && (batch[i].UID == "" || live.UID == batch[i].UID)
			if isMissing(err) {
				return nil
			}
			return err
		}))
		if err != nil || slices.Contains(there, true) {
			return false, err
		}
	}
	return true, ctx.Err()
}

// Release lets go of members, which stay in the cluster as they are: they are no longer owned by the parent, and another set may have
// them.
func (c *Cluster) Release(ctx context.Context, p Parent, members []Ref) error {
	return join(parallel(ctx, len(members), func(i int) error {
		live, err := c.member(ctx, p, members[i])
		if err != nil || live == nil {
			return err
		}
		return c.release(ctx, p, members[i], live)
	}))
}

// fate is what became of a member that is no longer wanted.
type fate int

const (
	gone    fate = iota // it is not there, or not a member
	deleted             // its deletion was asked for, now or before
	kept                // it was let go
)

// remove deletes an object if it still is a member.
func (c *Cluster) remove(ctx context.Context, p Parent, r Ref) (fate, error) {
	if p.needs(r.key()) {
		return gone, nil
	}
	live, err := c.member(ctx, p, r)
	if err != nil || live == nil {
		return gone, err
	}
	if stays(live.Annotations) {
		return kept, c.release(ctx, p, r, live)
	}
	if live.DeletionTimestamp != nil {
		return deleted, nil
	}
	cl, err := c.connection()
	if err != nil {
		return gone, err
	}
	err = cl.Delete(ctx, live, client.Preconditions{UID: &live.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	switch {
	case isMissing(err), apierrors.IsConflict(err): // it is another one by now
		return gone, nil
	case err != nil:
		return gone, Refusal(r, "delete", err)
	}
	return deleted, nil
}

// member is the metadata of an object if it is there and a member of the set.
func (c *Cluster) member(ctx context.Context, p Parent, r Ref) (*metav1.PartialObjectMetadata, error) {
	m, ok, err := c.current(ctx, r.gvk().GroupKind(), r.gvk().Version)
	if err != nil {
		return nil, Refusal(r, "look up its kind", err)
	}
	if !ok {
		return nil, nil
	}
	r.APIVersion = m.GroupVersionKind.GroupVersion().String()
	live, err := c.metadata(ctx, r)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, Refusal(r, "get", err)
	}
	if !p.isMember(live) || r.UID != "" && r.UID != live.UID {
		return nil, nil
	}
	return live, nil
}

// release takes the label and the owner of the set from an object.
func (c *Cluster) release(ctx context.Context, p Parent, r Ref, live *metav1.PartialObjectMetadata) error {
	cl, err := c.connection()
	if err != nil {
		return err
	}
	before := live.DeepCopy()
	delete(live.Labels, LabelPartOf)
	live.OwnerReferences = slices.DeleteFunc(live.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == p.UID })
	err = cl.Patch(ctx, live, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(FieldManager))
	if err != nil && !isMissing(err) {
		return Refusal(r, "let go", err)
	}
	return nil
}

// members finds members by their label, where the parent has recorded that there are some.
func (c *Cluster) members(ctx context.Context, s Set) (list []Ref, errs []error) {
	if n := len(s.GroupKinds) * max(1, len(s.Namespaces)); n > maxLists {
		return nil, []error{fmt.Errorf("%w: members of %d kinds in %d namespaces are recorded, at most %d combinations are searched", ocm.ErrLimit, len(s.GroupKinds), len(s.Namespaces), maxLists)}
	}
	type place struct {
		gvk       schema.GroupVersionKind
		namespace string
	}
	var places []place
	for _, name := range s.GroupKinds {
		m, ok, err := c.current(ctx, parseGroupKind(name), "")
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("look up the kind %s: %w", printable(name), err))
		case ok && m.Scope.Name() == meta.RESTScopeNameRoot:
			places = append(places, place{m.GroupVersionKind, ""})
		case ok:
			for _, ns := range s.Namespaces {
				places = append(places, place{m.GroupVersionKind, ns})
			}
		}
	}
	found := make([][]Ref, len(places))
	more := parallel(ctx, len(places), func(i int) (err error) {
		found[i], err = c.list(ctx, s.Parent, places[i].gvk, places[i].namespace)
		return err
	})
	return slices.Concat(found...), append(errs, more...)
}

// list finds the members of a kind in a namespace.
func (c *Cluster) list(ctx context.Context, p Parent, gvk schema.GroupVersionKind, namespace string) ([]Ref, error) {
	cl, err := c.connection()
	if err != nil {
		return nil, err
	}
	var out []Ref
	var page metav1.PartialObjectMetadataList
	page.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	for {
		err := cl.List(ctx, &page, client.InNamespace(namespace), client.MatchingLabels{LabelPartOf: p.ID()}, client.Limit(pageSize), client.Continue(page.Continue))
		if isMissing(err) {
			return out, nil
		}
		if err != nil {
			return out, Refusal(Ref{Kind: gvk.Kind, Namespace: namespace, Name: "*"}, "list", err)
		}
		for i := range page.Items {
			o := &page.Items[i]
			if p.isMember(o) {
				out = append(out, Ref{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: o.Namespace, Name: o.Name, UID: o.UID})
			}
		}
		if page.Continue == "" || len(out) > maxObjects {
			return out, nil
		}
	}
}

// backwards sorts in the order in which objects are deleted.
func backwards(list []Ref) {
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b Ref) int { return cmp.Compare(stepOf(b.key().GroupKind), stepOf(a.key().GroupKind)) })
}

// sortRefs sorts by what is shown.
func sortRefs(list []Ref) {
	slices.SortFunc(list, func(a, b Ref) int { return cmp.Compare(a.String(), b.String()) })
}
