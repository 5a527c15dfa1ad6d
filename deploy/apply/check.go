// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
)

const (
	rbacGroup    = "rbac.authorization.k8s.io"
	maxQuestions = 300 // about what the identity may do
)

// Check asks the server whether it would accept all objects, without changing anything, as far as that can be known before namespaces
// and definitions are there. The error names every object that is refused and why (20 of them); [ocm.ErrDenied] if the identity is not
// allowed to, [ocm.ErrConflict] if an object belongs to somebody else.
func (c *Cluster) Check(ctx context.Context, s Set) error {
	items, err := c.prepare(ctx, s)
	if err != nil {
		return err
	}
	there := newBringing(items)
	errs := parallel(ctx, len(items), func(i int) error {
		if items[i].kind.pending {
			return nil
		}
		_, _, err := c.preview(ctx, s.Parent, items[i], there)
		return err
	})
	return join(append(errs, c.checkPending(ctx, items)...))
}

// preview asks the server what would come of an object; live and merged are nil if it is not there, or if that cannot be known before
// others are applied.
func (c *Cluster) preview(ctx context.Context, p Parent, it *item, there bringing) (live, merged *unstructured.Unstructured, err error) {
	live, err = c.live(ctx, it.ref)
	switch {
	case err != nil && !isMissing(err):
		return nil, nil, Refusal(it.ref, "get", c.served(err))
	case err != nil:
		live = nil
	default:
		if err := p.Claimed(live, it.controller); err != nil {
			return live, nil, Refusal(it.ref, "apply", err)
		}
	}
	merged, err = c.send(ctx, it, client.DryRunAll)
	if err != nil && there.explains(it, err) {
		return live, nil, nil
	}
	if err != nil {
		return live, nil, Refusal(it.ref, "apply (dry run)", err)
	}
	return live, merged, nil
}

// bringing is what a set itself brings, so that objects need not be refused because it is not there yet.
type bringing map[key]bool

func newBringing(items []*item) bringing {
	b := bringing{}
	for _, it := range items {
		b[it.key] = true
	}
	return b
}

// explains reports whether a dry run was refused only because something is missing that the set brings, or because a webhook cannot
// answer without acting. What is not checked for that is still refused, where it must be, when it is applied.
func (b bringing) explains(it *item, err error) bool {
	if apierrors.IsBadRequest(err) && strings.HasSuffix(err.Error(), "does not support dry run") {
		return true
	}
	if name := missing(err, "namespaces"); name != "" {
		return name == it.ref.Namespace && b[key{schema.GroupKind{Kind: "Namespace"}, "", name}]
	}
	if it.key.Group == rbacGroup && apierrors.IsNotFound(err) { // the role of a binding; servers say that it is the binding that is missing
		kind, _, _ := unstructured.NestedString(it.obj.Object, "roleRef", "kind")
		name, _, _ := unstructured.NestedString(it.obj.Object, "roleRef", "name")
		namespace := it.ref.Namespace
		if kind == "ClusterRole" {
			namespace = ""
		}
		return b[key{schema.GroupKind{Group: rbacGroup, Kind: kind}, namespace, name}]
	}
	if it.key.GroupKind.String() != "Pod" || !apierrors.IsForbidden(err) {
		return false
	}
	account, _, _ := unstructured.NestedString(it.obj.Object, "spec", "serviceAccountName")
	if b[key{schema.GroupKind{Kind: "ServiceAccount"}, it.ref.Namespace, account}] && strings.Contains(err.Error(), "error looking up service account "+it.ref.Namespace+"/"+account) {
		return true
	}
	class, _, _ := unstructured.NestedString(it.obj.Object, "spec", "priorityClassName")
	return b[key{schema.GroupKind{Group: "scheduling.k8s.io", Kind: "PriorityClass"}, "", class}] && strings.Contains(err.Error(), "no PriorityClass with name "+class)
}

// missing is the name of the object of a resource that an error says is not there.
func missing(err error, resource string) string {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) || status.Status().Details == nil || status.Status().Details.Kind != resource {
		return ""
	}
	return status.Status().Details.Name
}

// checkPending asks whether the identity may write objects whose kinds are not there yet. Who may not ask is not told.
func (c *Cluster) checkPending(ctx context.Context, items []*item) []error {
	cl, err := c.connection()
	if err != nil {
		return []error{err}
	}
	type question struct{ group, resource, namespace, verb string }
	asked := map[question]bool{}
	var errs []error
	for _, it := range items {
		if !it.kind.pending {
			continue
		}
		for _, verb := range []string{"get", "create", "patch"} {
			q := question{it.key.Group, it.kind.resource, it.ref.Namespace, verb}
			if asked[q] || len(asked) == maxQuestions {
				continue
			}
			asked[q] = true
			review := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
				"spec": map[string]any{"resourceAttributes": map[string]any{"group": q.group, "resource": q.resource, "namespace": q.namespace, "verb": q.verb}},
			}}
			err := cl.Create(ctx, review)
			allowed, found, _ := unstructured.NestedBool(review.Object, "status", "allowed")
			if err == nil && found && !allowed {
				errs = append(errs, fmt.Errorf("%s: %w: the identity that deploys cannot %s resource %q in API group %q in the namespace %q",
					it.ref, ocm.ErrDenied, verb, printable(q.resource), printable(q.group), q.namespace))
			}
		}
	}
	return errs
}
