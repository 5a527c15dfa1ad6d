// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Drift lists members that are not as they were applied, or not there, in the order in which they are applied. It reads and asks the
// server, and changes nothing. Members that somebody else has added something to, that the objects of the set do not speak of, are as
// they were applied.
func (c *Cluster) Drift(ctx context.Context, s Set) ([]Ref, error) {
	items, err := c.prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	drifted := make([]bool, len(items))
	there := newBringing(items)
	errs := parallel(ctx, len(items), func(i int) error {
		if items[i].kind.pending {
			drifted[i] = true
			return nil
		}
		var err error
		for range 2 { // what the cluster changes between the reading and the asking is no drift
			live, merged, failed := c.preview(ctx, s.Parent, items[i], there)
			drifted[i], err = failed == nil && (live == nil || merged == nil || !same(live, merged)), failed
			if !drifted[i] {
				break
			}
		}
		return err
	})
	var out []Ref
	for i, d := range drifted {
		if d && !s.Parent.isParent(items[i].key) {
			out = append(out, items[i].ref)
		}
	}
	return out, join(errs)
}

// same reports whether an object would stay as it is.
func same(live, merged *unstructured.Unstructured) bool {
	return apiequality.Semantic.DeepEqual(essence(live), essence(merged))
}

// essence is an object without what a server writes by itself.
func essence(o *unstructured.Unstructured) map[string]any {
	out := make(map[string]any, len(o.Object))
	for k, v := range o.Object {
		if k != "status" && k != "metadata" {
			out[k] = v
		}
	}
	metadata := map[string]any{}
	if m, ok := o.Object["metadata"].(map[string]any); ok {
		for k, v := range m {
			metadata[k] = v
		}
	}
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"} {
		delete(metadata, field)
	}
	out["metadata"] = metadata
	return out
}
