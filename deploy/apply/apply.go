// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
)

// FieldManager is who applies, in managedFields.
const FieldManager = "delivery.ocm.software/applyset"

const (
	definitionTimeout = 60 * time.Second       // for all definitions of a set to be served
	definitionPause   = 100 * time.Millisecond // between two looks
)

var definition = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// Ref names an object.
type Ref struct {
	APIVersion, Kind, Namespace, Name string
	UID                               types.UID
}

// String is Kind namespace/name, or Kind name, safe to show.
func (r Ref) String() string {
	if r.Namespace == "" {
		return printable(r.Kind) + " " + printable(r.Name)
	}
	return printable(r.Kind) + " " + printable(r.Namespace) + "/" + printable(r.Name)
}

// Set is what is applied together.
type Set struct {
	Parent    Parent
	Objects   []*unstructured.Unstructured
	Namespace string // of namespaced objects that name none
	// Labels and Annotations that all objects get.
	Labels, Annotations map[string]string
	// Known are members of before, which are pruned if they are no longer among the objects.
	Known []Ref
	// GroupKinds and Namespaces are those that were recorded at the parent: there members are found by their label, too. See [Set.Contains].
	GroupKinds, Namespaces []string
	// Prune deletes what is no longer among the objects. Without it the objects may be some of the set only.
	Prune bool
	// Unowned objects do not have the parent as their owner, so that they stay whatever becomes of it: the garbage collector deletes what
	// is owned, and a deletion in the foreground does not wait for finalizers.
	Unowned bool
}

// Contains are the GroupKinds and Namespaces of the objects, sorted. KEP-3659 wants the parent to record them, joined with those of
// before, before anything is applied: who crashes then leaves nothing behind that is not found again.
func (s Set) Contains() (groupKinds, namespaces []string) {
	for _, o := range s.Objects {
		if o == nil {
			continue
		}
		groupKinds = append(groupKinds, o.GroupVersionKind().GroupKind().String())
		if ns := o.GetNamespace(); ns != "" {
			namespaces = append(namespaces, ns)
		} else if s.Namespace != "" {
			namespaces = append(namespaces, s.Namespace)
		}
	}
	return distinct(groupKinds), distinct(namespaces)
}

// Applied is what came of it.
type Applied struct {
	Members []Ref // all that are there now, in the order in which they were applied
	Changed []Ref // that were created or changed
	Pruned  []Ref
	Kept    []Ref // that are no longer wanted, and stay because an annotation of theirs says so; they are no members any more
	// GroupKinds and Namespaces of members, for the annotations of the parent (contains-group-kinds, additional-namespaces).
	GroupKinds, Namespaces []string
}

// Apply brings the set into the cluster, in the order in which objects need each other: namespaces and definitions first (and waits until
// these are served), what is only read next, workloads, webhooks last. The rest is pruned after everything was applied. An object that
// belongs to another set, or is controlled by another owner, is refused ([ocm.ErrConflict]). [ocm.ErrDenied] names what the identity
// may not do. What was applied before an error is in Applied, which is never nil; members of before that were not reached are not.
// It does not ask first whether everything will be accepted: that is [Cluster.Check].
func (c *Cluster) Apply(ctx context.Context, s Set) (*Applied, error) {
	done := &Applied{}
	items, err := c.prepare(ctx, s)
	if err != nil {
		return done, err
	}
	for _, batch := range batches(items, (*item).step) {
		if err := c.applyBatch(ctx, s.Parent, batch, done); err != nil {
			done.record()
			return done, err
		}
	}
	if s.Prune {
		err = c.prune(ctx, s, items, done)
	}
	done.record()
	return done, err
}

// record fills in where members are.
func (a *Applied) record() {
	for _, r := range a.Members {
		a.GroupKinds = append(a.GroupKinds, r.gvk().GroupKind().String())
		if r.Namespace != "" {
			a.Namespaces = append(a.Namespaces, r.Namespace)
		}
	}
	a.GroupKinds, a.Namespaces = distinct(a.GroupKinds), distinct(a.Namespaces)
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// applyBatch applies objects that do not need each other. All of them are tried.
func (c *Cluster) applyBatch(ctx context.Context, p Parent, batch []*item, done *Applied) error {
	refs, applied, changed := make([]Ref, len(batch)), make([]bool, len(batch)), make([]bool, len(batch))
	definitions := make([]*unstructured.Unstructured, len(batch))
	errs := parallel(ctx, len(batch), func(i int) error {
		live, now, err := c.applyOne(ctx, p, batch[i])
		if err != nil {
			return Refusal(batch[i].ref, "apply", err)
		}
		refs[i] = batch[i].ref
		refs[i].UID, applied[i] = now.GetUID(), true
		changed[i] = live.GetResourceVersion() != now.GetResourceVersion()
		if batch[i].key.GroupKind == definition {
			definitions[i] = now
		}
		return nil
	})
	for i, r := range refs {
		if !applied[i] || p.isParent(batch[i].key) {
			continue
		}
		done.Members = append(done.Members, r)
		if changed[i] {
			done.Changed = append(done.Changed, r)
		}
	}
	if err := join(errs); err != nil {
		return err
	}
	return c.awaitDefinitions(ctx, definitions)
}

// applyOne applies an object; live is what was there before, as far as it is metadata.
func (c *Cluster) applyOne(ctx context.Context, p Parent, it *item) (live *metav1.PartialObjectMetadata, now *unstructured.Unstructured, err error) {
	live, err = c.metadata(ctx, it.ref)
	if err != nil && !isMissing(err) {
		return nil, nil, err
	}
	if err == nil {
		if err := p.Claimed(live, it.controller); err != nil {
			return nil, nil, err
		}
	} else {
		live = &metav1.PartialObjectMetadata{}
	}
	now, err = c.send(ctx, it)
	return live, now, err
}

// send applies an object, by the server and with force: what somebody else has changed about it is changed back.
func (c *Cluster) send(ctx context.Context, it *item, o ...client.ApplyOption) (*unstructured.Unstructured, error) {
	cl, err := c.connection()
	if err != nil {
		return nil, err
	}
	now := it.obj.DeepCopy()
	err = cl.Apply(ctx, client.ApplyConfigurationFromUnstructured(now), append(o, client.ForceOwnership, client.FieldOwner(FieldManager))...)
	return now, c.served(err)
}

// awaitDefinitions waits until the kinds of definitions are served.
func (c *Cluster) awaitDefinitions(ctx context.Context, definitions []*unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, definitionTimeout)
	defer cancel()
	for _, d := range definitions {
		if d == nil {
			continue
		}
		ref := Ref{APIVersion: d.GetAPIVersion(), Kind: d.GetKind(), Name: d.GetName()}
		why := ""
		err := wait.PollUntilContextCancel(ctx, definitionPause, true, func(ctx context.Context) (ok bool, err error) {
			if d == nil {
				if d, err = c.live(ctx, ref); err != nil {
					return false, err
				}
			}
			ok, why, err = c.isServed(ctx, d)
			d = nil // look again
			return ok, err
		})
		if err != nil && why != "" && ctx.Err() != nil {
			return fmt.Errorf("%s: its kind is not served in time: %s", ref, bounded(why, maxMessage))
		}
		if err != nil {
			return Refusal(ref, "waiting until its kind is served", err)
		}
	}
	return nil
}

// isServed reports whether the kind of a definition can be used in all versions, or why not yet.
func (c *Cluster) isServed(ctx context.Context, d *unstructured.Unstructured) (ok bool, why string, err error) {
	result, err := judge(d)
	if err != nil {
		return false, "", err
	}
	if result.failed {
		return false, "", fmt.Errorf("%w: the cluster does not accept the names in it: %s", ocm.ErrInvalid, bounded(result.message, maxMessage))
	}
	if !result.healthy {
		return false, "it is not established", nil
	}
	cl, err := c.connection()
	if err != nil {
		return false, "", err
	}
	group, _, _ := unstructured.NestedString(d.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(d.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(d.Object, "spec", "versions")
	for _, v := range versions {
		version, ok := v.(map[string]any)
		if !ok || version["served"] != true {
			continue
		}
		name, _ := version["name"].(string)
		_, err := cl.RESTMapper().RESTMapping(schema.GroupKind{Group: group, Kind: kind}, name)
		if isUnknown(err) {
			return false, "version " + name + " is not served", nil
		}
		if err != nil {
			return false, "", err
		}
	}
	return true, "", ctx.Err()
}
