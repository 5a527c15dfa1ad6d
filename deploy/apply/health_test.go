// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"
	"testing"
)

func TestHealthOfObjects(t *testing.T) {
	t.Parallel()
	const (
		good = "good"
		wait = "wait"
		fail = "fail"
	)
	for _, c := range []struct{ name, object, want, message string }{
		{"nothing to say", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", good, ""},
		{"job failed", "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {startTime: x, conditions: [{type: Failed, status: 'True'}]}}", fail, "Job Failed"},
		{"job done", "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {startTime: x, conditions: [{type: Complete, status: 'True'}]}}", good, ""},
		{"definition", "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}}", wait, "Install in progress"},
		{"definition refused", "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, status: {conditions: [{type: NamesAccepted, status: 'False', message: taken}]}}", fail, "taken"},
		{"definition established", "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, status: {conditions: [{type: Established, status: 'True'}]}}", good, ""},
		{"ready", "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a}, status: {conditions: [{type: Ready, status: 'True'}]}}", good, ""},
		{"not ready", "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a}, status: {conditions: [{type: Ready, status: 'False', message: because}]}}", wait, "because"},
		{"stalled", "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a}, status: {conditions: [{type: Stalled, status: 'True', message: never}]}}", fail, "never"},
		{"ready before", "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a, generation: 2}, status: {conditions: [{type: Ready, status: 'True', observedGeneration: 1}]}}", wait, "generation 1"},
		{"observed before", "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a, generation: 2}, status: {observedGeneration: 1}}", wait, "generation is 2"},
		{"not looked at", "{apiVersion: delivery.ocm.software/v1alpha1, kind: Component, metadata: {name: a}}", wait, "no condition Ready"},
		{"not to be looked at", "{apiVersion: delivery.ocm.software/v1alpha1, kind: Component, metadata: {name: a}, spec: {suspend: true}}", good, ""},
		{"release not looked at", "{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: a}}", wait, "no condition Ready"},
		{"pod failed", "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Failed}}", fail, "failed"},
		{"API", "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}, status: {conditions: [{type: Available, status: 'False', message: no endpoints}]}}", wait, "no endpoints"},
		{"hostile", "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Running, containerStatuses: [{name: [], state: {waiting: {reason: 5}}}]}}", wait, "cannot be read"},
		{"more hostile", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, generation: x}, status: []}", wait, "cannot be read"},
		{"going", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, deletionTimestamp: '2026-01-01T00:00:00Z'}}", wait, "being deleted"},
	} {
		v, err := judge(object(t, c.object))
		got := wait
		switch {
		case err != nil:
			v.message = "cannot be read"
		case v.healthy:
			got = good
		case v.failed:
			got = fail
		}
		if got != c.want || !strings.Contains(v.message, c.message) || c.message == "" && v.message != "" {
			t.Errorf("%s: expected %s %q, found %s %q", c.name, c.want, c.message, got, v.message)
		}
	}
}
