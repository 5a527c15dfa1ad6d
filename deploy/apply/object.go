// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
)

// Limits of a set.
const (
	maxObjects = 10_000
	maxDepth   = 500 // of maps and lists in an object
	maxUnknown = maxErrors
)

// key tells objects apart, whatever version they are asked for in.
type key struct {
	schema.GroupKind
	namespace, name string
}

// item is an object on its way into the cluster.
type item struct {
	obj        *unstructured.Unstructured // a copy, as it is sent
	ref        Ref                        // without UID
	key        key
	kind       kind
	controller types.UID // that the object names itself
}

func (it *item) step() int { return stepOf(it.key.GroupKind) }

// kind is what a cluster knows about one.
type kind struct {
	resource   string
	namespaced bool
	pending    bool // only after a definition of the set was applied
}

// prepare makes items of the objects of a set, in the order in which they are applied. What cannot be applied is [ocm.ErrInvalid], a
// kind that neither the cluster nor the set has is [ocm.ErrNotFound].
func (c *Cluster) prepare(ctx context.Context, s Set) ([]*item, error) {
	if len(s.Objects) > maxObjects {
		return nil, fmt.Errorf("%w: %d objects, at most %d are applied together", ocm.ErrLimit, len(s.Objects), maxObjects)
	}
	if p := s.Parent; p.Kind == "" || p.Name == "" || p.UID == "" {
		return nil, fmt.Errorf("%w: the parent of the set needs a kind, a name and a UID", ocm.ErrInvalid)
	}
	items := make([]*item, len(s.Objects))
	errs := make([]error, len(s.Objects))
	for i, o := range s.Objects {
		items[i], errs[i] = read(o)
	}
	if err := join(errs); err != nil {
		return nil, err
	}
	if err := c.resolve(ctx, items); err != nil {
		return nil, err
	}
	seen := map[key]bool{}
	for i, it := range items {
		errs[i] = it.place(s.Namespace)
		if errs[i] == nil && seen[it.key] {
			errs[i] = fmt.Errorf("%s: %w: it is there twice", it.ref, ocm.ErrInvalid)
		}
		seen[it.key] = true
		if errs[i] == nil {
			errs[i] = it.mark(s)
		}
	}
	slices.SortStableFunc(items, func(a, b *item) int { return cmp.Compare(a.step(), b.step()) })
	return items, join(errs)
}

// read makes an item of an object that anybody may have written.
func read(o *unstructured.Unstructured) (*item, error) {
	if o == nil {
		return nil, fmt.Errorf("%w: an object is empty", ocm.ErrInvalid)
	}
	content, err := copyOf(o.Object, 0)
	if err != nil {
		return nil, fmt.Errorf("an object of kind %s: %w", printable(o.GetKind()), err)
	}
	u := &unstructured.Unstructured{Object: content.(map[string]any)}
	gv, err := schema.ParseGroupVersion(u.GetAPIVersion())
	if err != nil || gv.Version == "" || u.GetKind() == "" {
		return nil, fmt.Errorf("%w: an object has apiVersion %q and kind %q, both are needed", ocm.ErrInvalid, printable(u.GetAPIVersion()), printable(u.GetKind()))
	}
	metadata, ok := u.Object["metadata"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("an object of kind %s: %w: metadata is not a map", printable(u.GetKind()), ocm.ErrInvalid)
	}
	ref := Ref{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
	if err := checkMetadata(metadata); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	// what only a server writes, and what would make the request one about another state of the object
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"} {
		delete(metadata, field)
	}
	it := &item{obj: u, ref: ref}
	if owner := metav1.GetControllerOf(u); owner != nil {
		it.controller = owner.UID
	}
	return it, nil
}

// checkMetadata finds what would be lost, or end in a request about something else.
func checkMetadata(metadata map[string]any) error {
	for _, field := range []string{"name", "namespace"} {
		v, there := metadata[field]
		s, ok := v.(string)
		if there && v != nil && !ok {
			return fmt.Errorf("%w: metadata.%s is not a text", ocm.ErrInvalid, field)
		}
		if field == "name" && s == "" {
			return fmt.Errorf("%w: metadata.name is missing", ocm.ErrInvalid)
		}
		if strings.ContainsAny(s, "/%\x00") || s == "." || s == ".." || len(s) > maxName {
			return fmt.Errorf("%w: metadata.%s cannot be a name", ocm.ErrInvalid, field)
		}
		if field == "namespace" && s != "" && len(validation.IsDNS1123Label(s)) > 0 {
			return fmt.Errorf("%w: metadata.namespace %q cannot be a namespace", ocm.ErrInvalid, printable(s))
		}
	}
	for _, field := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(metadata, field); err != nil && metadata[field] != nil {
			return fmt.Errorf("%w: metadata.%s is not a map of texts", ocm.ErrInvalid, field)
		}
		if metadata[field] == nil {
			delete(metadata, field)
		}
	}
	if owners, there := metadata["ownerReferences"]; there && owners != nil {
		list, ok := owners.([]any)
		for _, o := range list {
			if _, isMap := o.(map[string]any); !isMap {
				ok = false
			}
		}
		if !ok {
			return fmt.Errorf("%w: metadata.ownerReferences is not a list of maps", ocm.ErrInvalid)
		}
	}
	return nil
}

// copyOf copies JSON values, and refuses what is none, or too deep.
func copyOf(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: it is nested deeper than %d", ocm.ErrLimit, maxDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			c, err := copyOf(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = c
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			c, err := copyOf(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = c
		}
		return out, nil
	case nil, string, bool, int64:
		return v, nil
	case float64:
		if v-v != 0 {
			return nil, fmt.Errorf("%w: a number is not finite", ocm.ErrInvalid)
		}
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		n, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("%w: a number is out of range", ocm.ErrInvalid)
		}
		return n, nil
	}
	return nil, fmt.Errorf("%w: a value of type %T", ocm.ErrInvalid, v)
}

// resolve finds out what the kinds of the items are in the cluster. Each is asked for once.
func (c *Cluster) resolve(ctx context.Context, items []*item) error {
	defined := definitions(items)
	known := map[schema.GroupVersionKind]kind{}
	var errs []error
	for _, it := range items {
		gvk := it.obj.GroupVersionKind()
		k, ok := known[gvk]
		if !ok {
			var err error
			if k, err = c.kindOf(ctx, gvk, defined); err != nil {
				errs = append(errs, Refusal(it.ref, "looking up its kind", err))
				if len(errs) >= maxUnknown {
					break
				}
			}
			known[gvk] = k
		}
		it.kind = k
	}
	return join(errs)
}

func (c *Cluster) kindOf(ctx context.Context, gvk schema.GroupVersionKind, defined map[schema.GroupKind]kind) (kind, error) {
	if err := ctx.Err(); err != nil {
		return kind{}, err
	}
	cl, err := c.connection()
	if err != nil {
		return kind{}, err
	}
	m, err := cl.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err == nil {
		return kind{resource: m.Resource.Resource, namespaced: m.Scope.Name() == meta.RESTScopeNameNamespace}, nil
	}
	if !isUnknown(err) {
		return kind{}, err
	}
	if k, ok := defined[gvk.GroupKind()]; ok {
		return k, nil
	}
	return kind{}, fmt.Errorf("%w: the cluster has no kind %s in %s, and no definition of it is among the objects; apply its CustomResourceDefinition first",
		ocm.ErrNotFound, printable(gvk.Kind), printable(gvk.GroupVersion().String()))
}

// definitions are the kinds that definitions among the items bring.
func definitions(items []*item) map[schema.GroupKind]kind {
	out := map[schema.GroupKind]kind{}
	for _, it := range items {
		if it.obj.GroupVersionKind().GroupKind() != definition {
			continue
		}
		group, _, _ := unstructured.NestedString(it.obj.Object, "spec", "group")
		name, _, _ := unstructured.NestedString(it.obj.Object, "spec", "names", "kind")
		resource, _, _ := unstructured.NestedString(it.obj.Object, "spec", "names", "plural")
		scope, _, _ := unstructured.NestedString(it.obj.Object, "spec", "scope")
		out[schema.GroupKind{Group: group, Kind: name}] = kind{resource: resource, namespaced: scope != "Cluster", pending: true}
	}
	return out
}

// place puts an item into its namespace.
func (it *item) place(namespace string) error {
	if !it.kind.namespaced {
		namespace = ""
	} else if own := it.obj.GetNamespace(); own != "" {
		namespace = own
	}
	if it.kind.namespaced && namespace == "" {
		return fmt.Errorf("%s: %w: it has no namespace", it.ref, ocm.ErrInvalid)
	}
	if namespace == "" {
		unstructured.RemoveNestedField(it.obj.Object, "metadata", "namespace")
	} else {
		it.obj.SetNamespace(namespace)
	}
	it.ref.Namespace = namespace
	it.key = it.ref.key()
	return nil
}

// mark writes on an item whose it is.
func (it *item) mark(s Set) error {
	labels, annotations := it.obj.GetLabels(), it.obj.GetAnnotations()
	it.obj.SetLabels(merged(labels, s.Labels, LabelPartOf, s.Parent.ID()))
	it.obj.SetAnnotations(merged(annotations, s.Annotations, "", ""))
	if s.Parent.isParent(it.key) { // an object of its own set would wake, and prune, itself
		it.obj.SetLabels(merged(labels, s.Labels, "", ""))
		unstructured.RemoveNestedField(it.obj.Object, "metadata", "labels", LabelPartOf)
	}
	if s.Unowned || stays(it.obj.GetAnnotations()) || s.Parent.needs(it.key) || it.controller != "" {
		return nil // the garbage collector would delete it with the parent, or somebody else will
	}
	owners, _, _ := unstructured.NestedSlice(it.obj.Object, "metadata", "ownerReferences")
	return unstructured.SetNestedSlice(it.obj.Object, append(owners, s.Parent.owner()), "metadata", "ownerReferences")
}

// merged adds to a map, and one entry after that.
func merged(base, more map[string]string, k, v string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{base, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	if k != "" {
		out[k] = v
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (r Ref) gvk() schema.GroupVersionKind { return schema.FromAPIVersionAndKind(r.APIVersion, r.Kind) }

func (r Ref) key() key { return key{r.gvk().GroupKind(), r.Namespace, r.Name} }

// metadata asks for the metadata of an object in the cluster.
func (c *Cluster) metadata(ctx context.Context, r Ref) (*metav1.PartialObjectMetadata, error) {
	cl, err := c.connection()
	if err != nil {
		return nil, err
	}
	var o metav1.PartialObjectMetadata
	o.SetGroupVersionKind(r.gvk())
	return &o, cl.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name}, &o)
}

// live asks for an object in the cluster.
func (c *Cluster) live(ctx context.Context, r Ref) (*unstructured.Unstructured, error) {
	cl, err := c.connection()
	if err != nil {
		return nil, err
	}
	var o unstructured.Unstructured
	o.SetGroupVersionKind(r.gvk())
	return &o, cl.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name}, &o)
}
