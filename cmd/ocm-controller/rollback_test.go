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
		if got := lastGood(d); got != c.want {
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
	if got, err := rollback(t.Context(), c, "shop", 0); err != nil || got != 1 {
		t.Fatalf("revision %d, %v", got, err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil || !strings.HasPrefix(d.Annotations[v1alpha1.AnnotationRollbackTo], "1/") {
		t.Errorf("annotations %v, %v", d.Annotations, err)
	}
	if _, err := rollback(t.Context(), c, "shop", 7); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("a revision that there is not: %v", err)
	}
	for _, to := range []int64{0, 1} {
		if _, err := rollback(t.Context(), c, "none", to); status(explain(err)) != exitNotFound {
			t.Errorf("a Deployer that there is not: %v", err)
		}
	}
}
