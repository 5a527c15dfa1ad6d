// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm/deploy/v1alpha1"
)

// Outcome is what the controllers wrote into one object.
type Outcome struct {
	Kind, Name string
	Finalizers []string
	Status     json.RawMessage
}

// object is the empty object of the outcome's kind.
func (o *Outcome) object() client.Object {
	switch o.Kind {
	case v1alpha1.KindRepository:
		return &v1alpha1.Repository{ObjectMeta: named(o.Name)}
	case v1alpha1.KindComponent:
		return &v1alpha1.Component{ObjectMeta: named(o.Name)}
	}
	return &v1alpha1.Resource{ObjectMeta: named(o.Name)}
}

// Outcomes reads what was written into all objects, those first on which others depend.
func Outcomes(ctx context.Context, c client.Client) ([]Outcome, error) {
	var repositories v1alpha1.RepositoryList
	var components v1alpha1.ComponentList
	var resources v1alpha1.ResourceList
	for _, list := range []client.ObjectList{&repositories, &components, &resources} {
		if err := c.List(ctx, list, client.InNamespace(Namespace)); err != nil {
			return nil, err
		}
	}
	var all []Outcome
	var err error
	add := func(kind string, o client.Object, status any) {
		raw, failed := json.Marshal(status)
		err = errors.Join(err, failed)
		all = append(all, Outcome{Kind: kind, Name: o.GetName(), Finalizers: o.GetFinalizers(), Status: raw})
	}
	for i := range repositories.Items {
		add(v1alpha1.KindRepository, &repositories.Items[i], repositories.Items[i].Status)
	}
	for i := range components.Items {
		add(v1alpha1.KindComponent, &components.Items[i], components.Items[i].Status)
	}
	for i := range resources.Items {
		add(v1alpha1.KindResource, &resources.Items[i], resources.Items[i].Status)
	}
	return all, err
}

// Bare writes outcomes into objects that were not touched yet, one request for the finalizer and one for the status of each: the least that
// somebody does who keeps both.
func Bare(ctx context.Context, c client.Client, parallel int, all []Outcome) error {
	return Each(ctx, parallel, all, func(ctx context.Context, o Outcome) error {
		obj := o.object()
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": o.Finalizers}})
		if err != nil {
			return err
		}
		if err := c.Patch(ctx, obj, client.RawPatch(types.MergePatchType, body)); err != nil {
			return fmt.Errorf("%s %s: %w", o.Kind, o.Name, err)
		}
		body = slices.Concat([]byte(`{"status":`), o.Status, []byte(`}`))
		if err := c.Status().Patch(ctx, obj, client.RawPatch(types.MergePatchType, body)); err != nil {
			return fmt.Errorf("status of %s %s: %w", o.Kind, o.Name, err)
		}
		return nil
	})
}
