// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Limits of what is told about pods.
const (
	maxPods   = 50  // of a workload that are looked at
	maxTold   = 3   // of them that are told
	maxEvents = 20  // of a pod that are looked at
	maxReason = 200 // bytes of a text of the node; of a longer one the middle is left out
)

// stuck are reasons of containers that wait for something that will not come by itself.
var stuck = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// troubles tells why pods of a workload do not work. It is a help for the reader: what cannot be asked is left out.
func (c *Cluster) troubles(ctx context.Context, o *unstructured.Unstructured) []string {
	if !slices.Contains([]string{"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch"}, o.GroupVersionKind().GroupKind().String()) {
		return nil
	}
	var out []string
	if none, _ := condition(o, "ReplicaFailure"); none.status == "True" { // what the server does not let be made is no pod
		out = append(out, shortened(none.message))
	}
	labels, found, err := unstructured.NestedStringMap(o.Object, "spec", "selector", "matchLabels")
	if err != nil || !found || len(labels) == 0 {
		return out
	}
	pods := c.known(ctx, "PodList", client.InNamespace(o.GetNamespace()), client.MatchingLabels(labels), client.Limit(maxPods))
	told := map[string]bool{} // what ails one pod mostly ails the others
	for i := range pods {
		if len(told) == maxTold {
			break
		}
		trouble := troubleOf(&pods[i])
		if trouble == "" {
			trouble = c.notReady(ctx, &pods[i])
		}
		if trouble != "" && !told[trouble] {
			out, told[trouble] = append(out, "pod "+printable(pods[i].GetName())+": "+trouble), true
		}
	}
	return out
}

// known is what there is of a kind of group "", or nothing.
func (c *Cluster) known(ctx context.Context, kind string, o ...client.ListOption) []unstructured.Unstructured {
	cl, err := c.connection()
	if err != nil {
		return nil
	}
	var l unstructured.UnstructuredList
	l.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind})
	if err := cl.List(ctx, &l, o...); err != nil {
		return nil
	}
	return l.Items
}

// troubleOf tells what the status of a pod says of why it does not start, or "".
func troubleOf(pod *unstructured.Unstructured) string {
	if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase == "Failed" {
		reason, _, _ := unstructured.NestedString(pod.Object, "status", "reason") // such as Evicted
		message, _, _ := unstructured.NestedString(pod.Object, "status", "message")
		if reason != "" {
			return joined(printable(reason), shortened(message))
		}
	}
	for _, container := range containersOf(pod) {
		if trouble := troubleOfContainer(container); trouble != "" {
			return trouble
		}
	}
	if c, ok := condition(pod, "PodScheduled"); ok && c.status == "False" {
		return "it is not scheduled: " + shortened(c.message)
	}
	return ""
}

// containersOf are the statuses of a pod's containers, those first that run first.
func containersOf(pod *unstructured.Unstructured) (out []map[string]any) {
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		list, _, _ := unstructured.NestedSlice(pod.Object, "status", field)
		for _, e := range list {
			if container, ok := e.(map[string]any); ok {
				out = append(out, container)
			}
		}
	}
	return out
}

func troubleOfContainer(container map[string]any) string {
	name, _, _ := unstructured.NestedString(container, "name")
	name = "container " + printable(name) + ": "
	if ended := ending(container, "state"); ended != "" {
		return name + ended
	}
	reason, _, _ := unstructured.NestedString(container, "state", "waiting", "reason")
	if !slices.Contains(stuck, reason) {
		return ""
	}
	if ended := ending(container, "lastState"); ended != "" && reason == "CrashLoopBackOff" {
		return name + reason + ", " + ended
	}
	message, _, _ := unstructured.NestedString(container, "state", "waiting", "message")
	return name + joined(reason, shortened(message))
}

// ending tells how a container has failed, or "". What the container itself left as its last words is not told: it may be secret.
func ending(container map[string]any, state string) string {
	code, found, _ := unstructured.NestedInt64(container, state, "terminated", "exitCode")
	if !found || code == 0 {
		return ""
	}
	reason, _, _ := unstructured.NestedString(container, state, "terminated", "reason")
	restarts, _, _ := unstructured.NestedInt64(container, "restartCount")
	text := fmt.Sprintf("it ended with exit code %d (%s), and was restarted %d times", code, printable(reason), restarts)
	if reason == "StartError" { // these are words of the node
		message, _, _ := unstructured.NestedString(container, state, "terminated", "message")
		text = joined(text, shortened(message))
	}
	return text
}

// notReady tells of a pod that is about to start or runs, and is not ready, or "". Why is in its events only: a probe that fails, a volume
// that is not there, a node without room.
func (c *Cluster) notReady(ctx context.Context, pod *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	if ready, told := condition(pod, "Ready"); !told || ready.status == "True" || phase == "Succeeded" || pod.GetDeletionTimestamp() != nil {
		return ""
	}
	text := "it is not ready"
	for _, container := range containersOf(pod) {
		if ready, _, _ := unstructured.NestedBool(container, "ready"); !ready {
			name, _, _ := unstructured.NestedString(container, "name")
			waits, _, _ := unstructured.NestedString(container, "state", "waiting", "reason")
			text = joined("container "+printable(name)+": it is not ready", printable(waits))
		}
	}
	return joined(text, c.warning(ctx, pod))
}

// warning is the last one among the events of a pod, or "".
func (c *Cluster) warning(ctx context.Context, pod *unstructured.Unstructured) string {
	events := c.known(ctx, "EventList", client.InNamespace(pod.GetNamespace()), client.MatchingFields{"involvedObject.uid": string(pod.GetUID())}, client.Limit(maxEvents))
	when := func(e unstructured.Unstructured) string { // RFC 3339 in UTC, so that texts are in order
		last, _, _ := unstructured.NestedString(e.Object, "lastTimestamp")
		once, _, _ := unstructured.NestedString(e.Object, "eventTime")
		return cmp.Or(last, once)
	}
	events = slices.DeleteFunc(events, func(e unstructured.Unstructured) bool {
		severity, _, _ := unstructured.NestedString(e.Object, "type")
		return severity != "Warning"
	})
	if len(events) == 0 {
		return ""
	}
	last := slices.MaxFunc(events, func(a, b unstructured.Unstructured) int { return strings.Compare(when(a), when(b)) })
	message, _, _ := unstructured.NestedString(last.Object, "message")
	return shortened(message)
}

// joined puts a reason behind a text, if there is one.
func joined(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// shortened is a text of at most [maxReason] bytes, safe to show. Errors begin with what was tried and end with why it failed: of a long one
// the end is worth more than the middle.
func shortened(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxReason {
		head, tail := maxReason/3, len(s)-maxReason*2/3
		for head > 0 && !utf8.RuneStart(s[head]) {
			head--
		}
		for tail < len(s) && !utf8.RuneStart(s[tail]) {
			tail++
		}
		s = s[:head] + "…" + s[tail:]
	}
	return printable(s)
}
