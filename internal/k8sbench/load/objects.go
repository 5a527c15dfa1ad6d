// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm/deploy/v1alpha1"
)

// Interval is how often the controllers are asked to look for something new.
const Interval = 10 * time.Minute

// Client talks to a cluster without a limit of its own, as the controllers do.
func Client(config *rest.Config) (client.Client, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, -1
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// Create makes all objects of the plan, the namespace first.
func Create(ctx context.Context, c client.Client, p Plan, r *Registry) error {
	if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}); err != nil {
		return err
	}
	spec, err := json.Marshal(map[string]string{"type": "OCIRepository/v1", "baseUrl": r.URL, "subPath": subPath})
	if err != nil {
		return err
	}
	all := []client.Object{&v1alpha1.Repository{ObjectMeta: named(Repository), Spec: v1alpha1.RepositorySpec{
		RepositorySpec: &apiextensionsv1.JSON{Raw: spec}, Interval: metav1.Duration{Duration: Interval}}}}
	for i := range p.Components {
		all = append(all, component(p, r, i))
	}
	for i := range p.Components {
		for k := range p.Resources {
			all = append(all, resource(i, k))
		}
	}
	return Each(ctx, 16, all, func(ctx context.Context, o client.Object) error { return c.Create(ctx, o) })
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: Namespace, Name: name} }

// component wants a signed version; its key stands in the object, so that no Secret has to be read.
func component(p Plan, r *Registry, i int) *v1alpha1.Component {
	return &v1alpha1.Component{ObjectMeta: named(fmt.Sprintf("c%04d", i)), Spec: v1alpha1.ComponentSpec{
		RepositoryRef: corev1.LocalObjectReference{Name: Repository},
		Component:     componentName(i % p.Versions), Semver: ">=1.0.0", Interval: metav1.Duration{Duration: Interval},
		Verify: []v1alpha1.Verification{{Signature: signature, Value: base64.StdEncoding.EncodeToString(r.PublicKey)}}}}
}

// resource asks for a resource and, if it is an image, for where it can be pulled.
func resource(i, k int) *v1alpha1.Resource {
	o := &v1alpha1.Resource{ObjectMeta: named(fmt.Sprintf("c%04d-r%02d", i, k)), Spec: v1alpha1.ResourceSpec{
		ComponentRef: corev1.LocalObjectReference{Name: fmt.Sprintf("c%04d", i)},
		Resource:     v1alpha1.ResourceID{ByReference: v1alpha1.ResourceReference{Resource: v1alpha1.Identity{"name": resourceName(k)}}}}}
	if k%3 == 0 {
		o.Spec.AdditionalStatusFields = &apiextensionsv1.JSON{Raw: []byte(`{"oci":"resource.access.toOCI()"}`)}
	}
	return o
}

// Each calls fn for all items, by a number of goroutines, until the first error.
func Each[T any](ctx context.Context, parallel int, items []T, fn func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan T)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for item := range work {
				if err := fn(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, item := range items {
		if ctx.Err() != nil {
			break
		}
		work <- item
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}
