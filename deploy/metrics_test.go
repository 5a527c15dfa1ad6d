// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"errors"
	"testing"

	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"ocm/deploy/v1alpha1"
)

// counted is what the metric of controller-runtime says of a controller.
func counted(t *testing.T, controller string) float64 {
	t.Helper()
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "controller_runtime_reconcile_errors_total" {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.GetLabel() {
				if l.GetName() == "controller" && l.GetValue() == controller {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

// What fails is counted where people look; what waits is not, and neither is what is well.
func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	bed := newTestbed(t)
	var err error
	if bed.failures, err = failures(ctrlmetrics.Registry); err != nil {
		t.Fatal(err)
	}
	obj := &v1alpha1.Replication{ObjectMeta: inNamespace("x")} // no other test counts those
	before := counted(t, "replication")
	for _, err := range []error{nil, waiting("x", 0, errors.New("x")), failed("x", errors.New("x")), stalled("x", errors.New("x"))} {
		var o *outcome
		errors.As(err, &o)
		bed.judge(obj, 0, o)
	}
	if n := counted(t, "replication") - before; n != 2 {
		t.Errorf("%v failures were counted, expected 2", n)
	}
}
