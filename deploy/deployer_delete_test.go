// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm/deploy/apply"
)

// confinedClient is that of an identity that may list in one namespace only.
type confinedClient struct {
	client.Client
	namespace string
}

func (c confinedClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	if o.Namespace != c.namespace {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", nil)
	}
	return c.Client.List(ctx, list, options...)
}

func (confinedClient) RESTMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Version: "v1"}})
	m.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	return m
}

// What was applied by a controller that was killed before it could say so is found also by an identity that may not list in the whole cluster.
func TestMembersAreFoundWhereTheIdentityMayLook(t *testing.T) {
	t.Parallel()
	d := testDeployer()
	p := apply.Parent{APIVersion: "delivery.ocm.software/v1alpha1", Kind: "Deployer", Name: d.Name, UID: "u"}
	yes := true
	bed := newTestbed(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "orphan", Labels: map[string]string{apply.LabelPartOf: p.ID()},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: p.APIVersion, Kind: p.Kind, Name: p.Name, UID: p.UID, Controller: &yes}}}})
	d.Annotations = map[string]string{apply.AnnotationGroupKinds: "ConfigMap", apply.AnnotationNamespaces: "foreign,team"}
	d.Status.Deployed = nil
	all, err := members(t.Context(), d, &deputy{Client: confinedClient{bed.GetClient(), "team"}}, p)
	if err != nil || len(all) != 1 || all[0].Namespace != "team" || all[0].Name != "orphan" {
		t.Errorf("found %v, %v", all, err)
	}
}
