// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ocm"
	"ocm/deploy"
	"ocm/deploy/v1alpha1"
)

func rev(n, of int64, o v1alpha1.Outcome, stored bool) v1alpha1.Revision {
	return v1alpha1.Revision{Revision: n, RollbackOf: of, Outcome: o, Stored: stored}
}

func TestLastGood(t *testing.T) {
	t.Parallel()
	const good, failed = v1alpha1.OutcomeGood, v1alpha1.OutcomeFailed
	for _, c := range []struct {
		name    string
		now     int64
		history []v1alpha1.Revision
		want    int64
	}{
		{"nothing was deployed", 0, nil, 0},
		{"the first", 1, []v1alpha1.Revision{rev(1, 0, good, true)}, 0},
		{"the one before", 2, []v1alpha1.Revision{rev(2, 0, good, true), rev(1, 0, good, true)}, 1},
		{"not what failed", 3, []v1alpha1.Revision{rev(3, 0, good, true), rev(2, 0, failed, true), rev(1, 0, good, true)}, 1},
		{"not what is not kept", 3, []v1alpha1.Revision{rev(3, 0, good, true), rev(2, 0, good, false), rev(1, 0, good, true)}, 1},
		{"further back each time", 4, []v1alpha1.Revision{rev(4, 2, good, true), rev(3, 0, good, true), rev(2, 0, good, true), rev(1, 0, good, true)}, 1},
		{"what is wanted failed", 2, []v1alpha1.Revision{rev(3, 0, failed, true), rev(2, 0, good, true), rev(1, 0, good, true)}, 1},
	} {
		d := &v1alpha1.Deployer{Status: v1alpha1.DeployerStatus{Revision: c.now, History: c.history}}
		if got := append(candidates(d), 0)[0]; got != c.want {
			t.Errorf("%s: %d, expected %d", c.name, got, c.want)
		}
	}
}

func TestRollbackAsks(t *testing.T) {
	t.Parallel()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	d := &v1alpha1.Deployer{ObjectMeta: metav1.ObjectMeta{Name: "shop"},
		Status: v1alpha1.DeployerStatus{Revision: 2, History: []v1alpha1.Revision{rev(2, 0, v1alpha1.OutcomeGood, true), rev(1, 0, v1alpha1.OutcomeGood, true)}}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(d).WithStatusSubresource(d).Build()
	if got, _, err := rollback(t.Context(), c, "shop", 0); err != nil || got != 1 {
		t.Fatalf("revision %d, %v", got, err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil || !strings.HasPrefix(d.Annotations[v1alpha1.AnnotationRollbackTo], "1/") {
		t.Errorf("annotations %v, %v", d.Annotations, err)
	}
	if _, _, err := rollback(t.Context(), c, "shop", 7); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("a revision that there is not: %v", err)
	}
	for _, to := range []int64{0, 1} {
		if _, _, err := rollback(t.Context(), c, "none", to); status(explain(err)) != exitNotFound {
			t.Errorf("a Deployer that there is not: %v", err)
		}
	}
}

// What the policy of the Component forbids is not chosen, and it is said why.
func TestRollbackPassesOverWhatIsForbidden(t *testing.T) {
	t.Parallel()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	of := func(n int64, version string) v1alpha1.Revision {
		r := rev(n, 0, v1alpha1.OutcomeGood, true)
		r.Component, r.Version = "acme.org/app", version
		return r
	}
	res := &v1alpha1.Resource{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}}
	res.Spec.ComponentRef.Name = "app"
	comp := &v1alpha1.Component{ObjectMeta: res.ObjectMeta}
	for _, c := range []struct {
		name    string
		history []v1alpha1.Revision
		want    int64
		passed  int
	}{
		{"another configuration", []v1alpha1.Revision{of(3, "1.1.0"), of(2, "1.0.0"), of(1, "1.1.0")}, 1, 1},
		{"older versions only", []v1alpha1.Revision{of(3, "1.1.0"), of(2, "1.0.0"), of(1, "0.9.0")}, 0, 0},
	} {
		d := &v1alpha1.Deployer{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: v1alpha1.DeployerStatus{Revision: 3, History: c.history}}
		d.Spec.ResourceRef = v1alpha1.ObjectKey{Namespace: "team", Name: "app"}
		api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(d, res.DeepCopy(), comp.DeepCopy()).WithStatusSubresource(d).Build()
		got, passed, err := rollback(t.Context(), api, "shop", 0)
		if got != c.want || len(passed) != c.passed || (err == nil) != (c.want != 0) {
			t.Errorf("%s: revision %d, %v, %v", c.name, got, passed, err)
		}
		if c.want == 0 && (status(explain(err)) != exitDenied || !strings.Contains(err.Error(), "revision 2 has acme.org/app:1.0.0") || !strings.Contains(err.Error(), "downgradePolicy")) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, _, err := rollback(t.Context(), api, "shop", 2); !errors.Is(err, deploy.ErrForbidden) {
			t.Errorf("%s: by its number: %v", c.name, err)
		}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil || (d.Annotations[v1alpha1.AnnotationRollbackTo] != "") != (c.want != 0) {
			t.Errorf("%s: %v, %v", c.name, d.Annotations, err)
		}
	}
}
