// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ocm/deploy/v1alpha1"
)

func TestStatusPatchWritesNothingButTheStatus(t *testing.T) {
	t.Parallel()
	before := &v1alpha1.Component{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "1"}}
	after := before.DeepCopy() // as it comes back when the finalizer was added
	after.ResourceVersion, after.Finalizers = "2", []string{v1alpha1.FinalizerComponent}
	after.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
	if patch, err := statusPatch(before, after); patch != nil || err != nil {
		t.Errorf("nothing of the status changed: %v %v", patch, err)
	}
	after.Status.RefusedVersion = "1.0.0"
	patch, err := statusPatch(before, after)
	if err != nil {
		t.Fatal(err)
	}
	data, err := patch.Data(after)
	if want := `{"metadata":{"resourceVersion":"2"},"status":{"refusedVersion":"1.0.0"}}`; err != nil || string(data) != want {
		t.Errorf("got %s, %v, expected %s", data, err, want)
	}
}
