// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// steps are the kinds in the order in which objects need each other. Kinds of one step do not need each other.
var steps = [][]string{
	{"Namespace"},
	{"CustomResourceDefinition.apiextensions.k8s.io"},
	{"PriorityClass.scheduling.k8s.io", "RuntimeClass.node.k8s.io", "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io"},
	{"ResourceQuota", "LimitRange", "NetworkPolicy.networking.k8s.io"},
	{"ServiceAccount"},
	{"ClusterRole.rbac.authorization.k8s.io", "Role.rbac.authorization.k8s.io"},
	{"ClusterRoleBinding.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io"},
	{"Secret", "ConfigMap"},
	{"StorageClass.storage.k8s.io", "VolumeAttributesClass.storage.k8s.io", "CSIDriver.storage.k8s.io"},
	{"PersistentVolume"},
	{"PersistentVolumeClaim"},
	{"Service", "Endpoints", "EndpointSlice.discovery.k8s.io", "IngressClass.networking.k8s.io"},
	{
		"Pod", "ReplicationController", "PodTemplate", "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps",
		"Job.batch", "CronJob.batch",
	},
	{"Ingress.networking.k8s.io"},
	{"HorizontalPodAutoscaler.autoscaling", "PodDisruptionBudget.policy"},
	{others},
	{"APIService.apiregistration.k8s.io"},
	{
		"MutatingWebhookConfiguration.admissionregistration.k8s.io", "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
		"ValidatingAdmissionPolicy.admissionregistration.k8s.io", "MutatingAdmissionPolicy.admissionregistration.k8s.io",
	},
	{"ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io"},
}

// others stands for all kinds that are not named: custom resources.
const others = "*"

// stepOf is when objects of a kind are applied.
func stepOf(gk schema.GroupKind) int {
	name, rest := gk.String(), 0
	for i, kinds := range steps {
		if slices.Contains(kinds, name) {
			return i
		}
		if kinds[0] == others {
			rest = i
		}
	}
	return rest
}

// parseGroupKind reads what [schema.GroupKind.String] writes.
func parseGroupKind(s string) schema.GroupKind {
	kind, group, _ := strings.Cut(s, ".")
	return schema.GroupKind{Group: group, Kind: kind}
}

// batches cuts what is sorted by step into its steps.
func batches[T any](list []T, step func(T) int) [][]T {
	var out [][]T
	for start := 0; start < len(list); {
		end := start + 1
		for end < len(list) && step(list[end]) == step(list[start]) {
			end++
		}
		out = append(out, list[start:end])
		start = end
	}
	return out
}
