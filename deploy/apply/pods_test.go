// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestHealthTellsOfPods(t *testing.T) {
	t.Parallel()
	c := fakeCluster(t, interceptor.Funcs{}, objectsOf(t,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: app, namespace: ns, generation: 1}, spec: {replicas: 1, selector: {matchLabels: {app: a}}}, status: {observedGeneration: 1}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: fine, namespace: ns, labels: {app: a}}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: crashes, namespace: ns, labels: {app: a}}, status: {containerStatuses: [{name: web, state: {waiting: {reason: CrashLoopBackOff, message: "back-off\e[31m"}}}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: pulls, namespace: ns, labels: {app: a}}, status: {initContainerStatuses: [{name: init, state: {waiting: {reason: ImagePullBackOff, message: no such image}}}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: pulls-too, namespace: ns, labels: {app: a}}, status: {initContainerStatuses: [{name: init, state: {waiting: {reason: ImagePullBackOff, message: no such image}}}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: ns, labels: {app: b}}, status: {containerStatuses: [{name: web, state: {waiting: {reason: CrashLoopBackOff}}}]}}`,
	)...)
	h, err := c.Health(t.Context(), []Ref{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "ns", Name: "app"}, {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "ns", Name: "app", UID: "another"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(h[0].Message, "no such image"); n != 1 {
		t.Errorf("expected the same trouble of two pods once, found it %d times: %s", n, h[0].Message)
	}
	for _, want := range []string{"pod crashes: container web: CrashLoopBackOff: back-off", "pod pulls: container init: ImagePullBackOff: no such image"} {
		if h[0].Healthy || !strings.Contains(h[0].Message, want) || strings.Contains(h[0].Message, "other") || strings.Contains(h[0].Message, "\x1b") {
			t.Errorf("expected %q in %+v", want, h[0])
		}
	}
	if h[1].Healthy || !strings.Contains(h[1].Message, "replaced") {
		t.Errorf("found %+v", h[1])
	}
}

// The statuses are those that a kubelet 1.36 with containerd 1.6 has written.
func TestTroubleOf(t *testing.T) {
	t.Parallel()
	const image = `registry:5000/component-descriptors/acme.org/shop@sha256:0000000000000000000000000000000000000000000000000000000000000000`
	pull := func(end string) string {
		return `{containerStatuses: [{name: web, state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image "` + image + `": ErrImagePull: failed to pull and unpack image "` + image + `": ` + end + `'}}}]}`
	}
	for _, c := range []struct{ name, status, want string }{
		{"no image", pull(`failed to resolve reference "` + image + `": ` + image + ": not found"), ": not found"},
		{"no room", pull("failed to extract layer sha256:1111111111111111111111111111111111111111111111111111111111111111: mount callback failed on /var/lib/containerd/tmpmounts/containerd-mount1: write /usr/bin/web: no space left on device: unknown"), "no space left on device: unknown"},
		{"crashes", `{containerStatuses: [{name: web, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff, message: back-off 20s restarting failed container=web}},
			lastState: {terminated: {exitCode: 2, reason: Error, message: "password=1234"}}}]}`, "container web: CrashLoopBackOff, it ended with exit code 2 (Error), and was restarted 3 times"},
		{"has crashed", `{containerStatuses: [{name: web, restartCount: 1, state: {terminated: {exitCode: 137, reason: OOMKilled}}}]}`, "container web: it ended with exit code 137 (OOMKilled), and was restarted 1 times"},
		{"no program", `{containerStatuses: [{name: web, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 128, reason: StartError,
			message: 'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nothing": stat /nothing: no such file or directory: unknown'}}}]}`, "stat /nothing: no such file or directory: unknown"},
		{"no configuration", `{containerStatuses: [{name: web, state: {waiting: {reason: CreateContainerConfigError, message: configmap "nomap" not found}}}]}`, `CreateContainerConfigError: configmap "nomap" not found`},
		{"evicted", `{phase: Failed, reason: Evicted, message: "The node was low on resource: ephemeral-storage."}`, "Evicted: The node was low on resource"},
		{"no node", `{conditions: [{type: PodScheduled, status: "False", message: 0/1 nodes are available}]}`, "it is not scheduled: 0/1 nodes"},
		{"has done its work", `{phase: Succeeded, containerStatuses: [{name: web, state: {terminated: {exitCode: 0, reason: Completed}}}]}`, ""},
		{"runs", `{phase: Running, containerStatuses: [{name: web, ready: true, state: {running: {}}}]}`, ""},
		{"hostile", `{phase: 1, reason: [], containerStatuses: [1, {name: [], restartCount: x, state: {waiting: {reason: 5}, terminated: {exitCode: x}}}], conditions: [[]]}`, ""},
		{"hostile in its text", `{containerStatuses: [{name: "a\e[31m", state: {waiting: {reason: ErrImagePull, message: "` + strings.Repeat("ü", 500) + `\n\e]0;x"}}}]}`, "ErrImagePull"},
	} {
		got := troubleOf(object(t, "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: "+c.status+"}"))
		if !strings.Contains(got, c.want) || c.want == "" && got != "" || len(got) > 400 || strings.ContainsAny(got, "\n\x1b") || strings.Contains(got, "1234") {
			t.Errorf("%s: expected %q, found %d bytes: %q", c.name, c.want, len(got), got)
		}
	}
}

// Why a pod is not ready stands in events, which an identity may read or not.
func TestHealthTellsOfPodsThatAreNotReady(t *testing.T) {
	t.Parallel()
	there := objectsOf(t,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: app, namespace: ns, generation: 1}, spec: {replicas: 3, selector: {matchLabels: {app: a}}},
			status: {observedGeneration: 1, conditions: [{type: ReplicaFailure, status: "True", message: 'pods "app" is forbidden: violates PodSecurity'}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: one, namespace: ns, uid: "1", labels: {app: a}}, status: {phase: Running, conditions: [{type: Ready, status: "False"}], containerStatuses: [{name: web, ready: false, state: {running: {}}}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: two, namespace: ns, uid: "2", labels: {app: a}}, status: {phase: Pending, conditions: [{type: Ready, status: "False"}], containerStatuses: [{name: web, ready: false, state: {waiting: {reason: ContainerCreating}}}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: fine, namespace: ns, uid: "3", labels: {app: a}}, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`,
		`{apiVersion: v1, kind: Event, metadata: {name: one.1, namespace: ns}, involvedObject: {uid: "1"}, type: Warning, lastTimestamp: "2026-01-01T00:00:02Z", message: "Readiness probe failed: HTTP probe failed with statuscode: 503"}`,
		`{apiVersion: v1, kind: Event, metadata: {name: one.2, namespace: ns}, involvedObject: {uid: "1"}, type: Warning, eventTime: "2026-01-01T00:00:01.000000Z", message: "an older one"}`,
		`{apiVersion: v1, kind: Event, metadata: {name: one.3, namespace: ns}, involvedObject: {uid: "1"}, type: Normal, lastTimestamp: "2026-01-01T00:00:03Z", message: "Pulled"}`,
		`{apiVersion: v1, kind: Event, metadata: {name: two.1, namespace: ns}, involvedObject: {uid: "2"}, type: Warning, lastTimestamp: "2026-01-01T00:00:01Z", message: 'MountVolume.SetUp failed for volume "data" : secret "gone" not found'}`,
	)
	ref := []Ref{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "ns", Name: "app"}}
	message := func(f interceptor.Funcs) string {
		h, err := fakeCluster(t, f, there...).Health(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return h[0].Message
	}
	const unready = "pod one: container web: it is not ready"
	got := message(interceptor.Funcs{})
	for _, want := range []string{"violates PodSecurity", unready + ": Readiness probe failed: HTTP probe failed with statuscode: 503", `pod two: container web: it is not ready: ContainerCreating: MountVolume.SetUp failed for volume "data" : secret "gone" not found`} {
		if !strings.Contains(got, want) || strings.Contains(got, "fine") {
			t.Errorf("expected %q in %q", want, got)
		}
	}
	got = message(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, o ...client.ListOption) error {
		if l.GetObjectKind().GroupVersionKind().Kind == "EventList" {
			return errors.New("forbidden")
		}
		return c.List(ctx, l, o...)
	}})
	if !strings.Contains(got, unready+"; ") || strings.Contains(got, "503") {
		t.Errorf("without a look at events: %q", got)
	}
}

// involved is how the server finds the events of an object.
func involved(o client.Object) []string {
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil
	}
	uid, _, _ := unstructured.NestedString(raw, "involvedObject", "uid")
	return []string{uid}
}
